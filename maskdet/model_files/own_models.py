"""Find the user's model files in the folder `MASKDET_MODEL_DIR`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from maskdet.model_files.model_zoo import MODEL_FILES, sha256_of, user_folders
from maskdet.types import CLASSES

OwnModelKind: TypeAlias = Literal["classifier", "network"]
"""A classifier or a single-stage network; told apart by the file's outputs."""

CLASSIFIER_OUTPUT: Final = "__".join(label.key for label in CLASSES)
"""Name of a classifier file's output; it gives the order of the class columns."""

VERIFIER_OUTPUT: Final = f"{CLASSIFIER_OUTPUT}__no_face"
"""Output name of a classifier with a fourth column: the crop does not show a face."""

FACTS_NAME: Final = "facts.json"
"""File that the export writes beside a model; it has the crop size of a classifier."""

_FACTS_FOLDERS: Final = ("runs", "runs-onepass")
_NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")

_kind_cache: dict[tuple[Path, int, int], OwnModelKind] = {}


@dataclass(frozen=True)
class OwnModel:
    """A model file of the user.

    Attributes:
        name: name of its file, or of the folder of its training run.
        kind: `classifier` or `network`.
        path: the `.tflite` file.
        facts: content of its `facts.json`; empty for a network without one.
        folder: folder of its facts, learning curve, predictions and model card; None
            without one.
    """

    name: str
    kind: OwnModelKind
    path: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def context(self) -> float:
        """Side of the crops of a classifier, in longer sides of the face box."""
        return parse_context(self.facts, FACTS_NAME)


@dataclass(frozen=True)
class OwnModels:
    """The content of the user's model folder.

    Attributes:
        models: usable models by name.
        problems: one line for each file that cannot be used.
    """

    models: Mapping[str, OwnModel] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def get_own_models(model_kind: OwnModelKind | None = None) -> Mapping[str, OwnModel]:
    """Return the usable models of the user by name, of all kinds or of one.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set but is not a folder.
    """
    models = read_own_models().models
    return {
        name: model
        for name, model in models.items()
        if model_kind in (None, model.kind)
    }


def read_own_models() -> OwnModels:
    """Return the models in the folder `MASKDET_MODEL_DIR`.

    These are its `.tflite` files with `runs/NAME/facts.json` beside them, as `maskdet
    export --out` writes them, and one file of each training run in it: the version
    that its facts name. An invalid file becomes a line in `problems`; an unchanged
    file is opened once.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set but is not a folder.
    """
    models: dict[str, OwnModel] = {}
    problems: list[str] = []
    for folder in user_folders():
        known_files = {
            known_file.file_name: known_file for known_file in MODEL_FILES.values()
        }
        for path in _list_model_files(folder):
            known_file = known_files.get(path.name) if path.parent == folder else None
            try:
                if known_file is not None:
                    # A copy of a file in the manifest is not a user's model, and a
                    # user's model must not be mistaken for one in the manifest.
                    if sha256_of(path) == known_file.sha256:
                        continue
                    raise ValueError(
                        f"{known_file.name} is the name of a model that maskdet knows; "
                        "rename the file and the folder of its facts"
                    )
                model = _read_model(path, folder)
                if model.name in models:
                    other_path = models[model.name].path
                    raise ValueError(
                        f"{other_path} has the same name; rename one of them"
                    )
                models[model.name] = model
            except (OSError, ValueError, RuntimeError) as error:
                problems.append(_format_problem(path, error))
    return OwnModels(models, tuple(problems))


def read_facts(path: Path) -> tuple[Mapping[str, Any], Path]:
    """Return the content of a user's `facts.json`, and its folder.

    Args:
        path: the `.tflite` file.

    Raises:
        FileNotFoundError: it does not exist; the message lists the expected paths.
        ValueError: it is not a JSON object.
    """
    candidates = [path.with_name(FACTS_NAME)]
    candidates += [
        path.parent / folder / path.stem / FACTS_NAME for folder in _FACTS_FOLDERS
    ]
    # Prefer the file in a folder with the model's name: one directly beside several
    # models could belong to any of them.
    facts_path = next(
        (candidate for candidate in reversed(candidates) if candidate.is_file()), None
    )
    if facts_path is None:
        raise FileNotFoundError(
            f"{path}: facts.json is missing, which holds the crop size; put it at "
            f"{candidates[0]} or {candidates[1]}; `maskdet export` writes it"
        )
    try:
        values = json.loads(facts_path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ValueError(
            f"{facts_path}: is not a JSON object as `maskdet export` writes it; "
            "export the model again"
        )
    return values, facts_path.parent


def parse_context(facts: Mapping[str, Any], subject: Path | str) -> float:
    """Return the crop size of a classifier, in longer sides of the face box.

    Raises:
        ValueError: the value is missing or out of range; the message names `subject`.
    """
    try:
        context = float(facts["input"]["context"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{subject}: input.context must be a number") from None
    if not 0.5 <= context <= 4:
        raise ValueError(f"{subject}: context must be from 0.5 to 4, not {context:g}")
    return context


def _list_model_files(folder: Path) -> list[Path]:
    """Return the model files of a folder, and one of each training run in it."""
    runs = sorted(folder.glob(f"*/{FACTS_NAME}"))
    files = sorted(path for path in folder.glob("*.tflite") if path.is_file())
    if (folder / FACTS_NAME).is_file():  # the folder is a training run itself
        runs, files = [folder / FACTS_NAME, *runs], []
    for facts in runs:
        versions = sorted(facts.parent.glob("*.tflite"))
        if versions:
            recorded_path = facts.with_name(f"{_read_recorded_version(facts)}.tflite")
            files.append(recorded_path if len(versions) > 1 else versions[0])
    return files


def _read_recorded_version(facts: Path) -> str:
    """Return the weights version that a training run names, by default float32."""
    try:
        return str(json.loads(facts.read_text(encoding="utf-8"))["weights"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "float32"


def _read_model(path: Path, folder: Path) -> OwnModel:
    """Read and check one model file."""
    is_in_run = path.parent != folder or (folder / FACTS_NAME).is_file()
    name = path.parent.resolve().name if is_in_run else path.stem
    if not _NAME_PATTERN.fullmatch(name):
        raise ValueError(
            "its name must be at most 40 letters, digits, dots, hyphens and "
            "underscores; rename it"
        )
    kind = _detect_kind(path)
    try:
        facts, facts_folder = read_facts(path)
    except FileNotFoundError:
        if kind == "network":
            return OwnModel(name, kind, path)
        raise
    if kind == "classifier":
        parse_context(facts, FACTS_NAME)
    expected_sha256 = facts.get("sha256")
    if isinstance(expected_sha256, str) and expected_sha256 != sha256_of(path):
        raise ValueError(
            f"does not match its {FACTS_NAME}: sha256 {sha256_of(path)[:12]}..., "
            f"expected {expected_sha256[:12]}...; export it again"
        )
    return OwnModel(name, kind, path, facts, facts_folder)


def _detect_kind(path: Path) -> OwnModelKind:
    """Return the kind of a model file; an unchanged file is opened once."""
    stat = path.stat()
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _kind_cache:
        # Imported late: LiteRT is slow to load and most users have no own models.
        from maskdet.model_files.litert import read_output_names

        outputs = read_output_names(path)
        if outputs in ([CLASSIFIER_OUTPUT], [VERIFIER_OUTPUT]):
            _kind_cache[key] = "classifier"
        elif len(outputs) > 1 and all(
            name.endswith(f"__{CLASSIFIER_OUTPUT}") for name in outputs
        ):
            _kind_cache[key] = "network"
        else:
            raise ValueError(
                "is a LiteRT file, but neither a classifier nor a single-stage network "
                f"of maskdet: its outputs are {', '.join(outputs) or 'unnamed'}"
            )
    return _kind_cache[key]


def _format_problem(path: Path, error: Exception) -> str:
    """Return an error as one line that starts with the file's folder and name."""
    if isinstance(error, OSError) and error.strerror:
        message = error.strerror[:1].lower() + error.strerror[1:]
    else:
        message = " ".join(str(error).split())
    place_name = f"{path.parent.name}/{path.name}"
    for prefix in (f"{path}: ", f"model file {path} "):
        message = message.removeprefix(prefix)
    return f"{place_name}: {message}"
