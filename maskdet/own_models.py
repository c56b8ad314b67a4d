"""The user's own model files: the folder that `MASKDET_MODEL_DIR` names, read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from maskdet.assets import ASSETS, extra_folder, sha256_of
from maskdet.types import CLASSES

Kind: TypeAlias = Literal["classifier", "network"]
"""A classifier, or a single-stage network; the outputs of a file say which."""

CLASSIFIER_OUTPUT: Final = "__".join(label.key for label in CLASSES)
"""Name of a classifier file's output: it says which column is which class."""

VERIFIER_OUTPUT: Final = f"{CLASSIFIER_OUTPUT}__no_face"
"""The same of a file with a fourth column: that the crop shows no face at all."""

FACTS_NAME: Final = "facts.json"
"""What the export writes beside a model file; it knows the crop of a classifier."""

_FACTS_FOLDERS: Final = ("runs", "runs-onepass")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class OwnModel:
    """A model file of the user.

    Attributes:
        name: what it is called: its file, or the folder of its training run.
        kind: what it is.
        path: the `.tflite` file.
        facts: what its `facts.json` says; empty for a network without one.
        folder: where its facts, learning curve, answers and card are; None without.
    """

    name: str
    kind: Kind
    path: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def context(self) -> float:
        """Side of the crops of a classifier, in longer sides of the face box."""
        return stated_context(self.facts, FACTS_NAME)


@dataclass(frozen=True)
class OwnModels:
    """What lies in the folder of own models.

    Attributes:
        models: by name.
        problems: one line for each file that cannot be used.
    """

    models: Mapping[str, OwnModel] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def own_models(kind: Kind | None = None) -> Mapping[str, OwnModel]:
    """Return the own models that can be used, by name; all kinds unless one is given.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set, and is not a folder.
    """
    models = read_own_models().models
    return {name: model for name, model in models.items() if kind in (None, model.kind)}


def read_own_models() -> OwnModels:
    """Return what lies in the folder that `MASKDET_MODEL_DIR` names.

    Read are its `.tflite` files with `runs/NAME/facts.json` beside them, as `maskdet
    export --out` leaves them, and each folder in it that is a training run: there the
    version that its facts name. A file that is bad costs one line; a file that has not
    changed is opened once.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set, and is not a folder.
    """
    models: dict[str, OwnModel] = {}
    problems: list[str] = []
    for folder in extra_folder():
        known = {asset.file_name: asset for asset in ASSETS.values()}
        for path in _files(folder):
            asset = known.get(path.name) if path.parent == folder else None
            try:
                if asset is not None:
                    # A file that ships, or was fetched from its publisher, is no own
                    # one; an own one must not look like it.
                    if sha256_of(path) == asset.sha256:
                        continue
                    raise ValueError(
                        f"{asset.name} is the name of a model that maskdet knows; "
                        "rename the file and the folder of its facts"
                    )
                model = _model(path, folder)
                if model.name in models:
                    other = models[model.name].path
                    raise ValueError(f"{other} has the same name; rename one of them")
                models[model.name] = model
            except (OSError, ValueError, RuntimeError) as error:
                problems.append(_line(path, error))
    return OwnModels(models, tuple(problems))


def read_facts(path: Path) -> tuple[Mapping[str, Any], Path]:
    """Return what the facts of a user's own file say, and the folder they are in.

    Args:
        path: the `.tflite` file.

    Raises:
        FileNotFoundError: it has none; the message says where they are looked for.
        ValueError: they are not a JSON object.
    """
    places = [path.with_name(FACTS_NAME)]
    places += [path.parent / one / path.stem / FACTS_NAME for one in _FACTS_FOLDERS]
    # Beside several models, a file without a name is nobody's.
    facts = next((place for place in reversed(places) if place.is_file()), None)
    if facts is None:
        raise FileNotFoundError(
            f"{path}: its facts.json is missing, which says how wide its crops are; "
            f"keep it as {places[0]} or {places[1]}, `maskdet export` writes it"
        )
    try:
        known = json.loads(facts.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        raise ValueError(
            f"{facts}: is not a JSON object as `maskdet export` writes it; export the "
            "model again"
        )
    return known, facts.parent


def stated_context(facts: Mapping[str, Any], where: Path | str) -> float:
    """Return how wide the crops of a classifier are, as its facts say.

    Raises:
        ValueError: they do not say it, or it is no width; the message names `where`.
    """
    try:
        context = float(facts["input"]["context"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{where}: wanted input.context, a number") from None
    if not 0.5 <= context <= 4:
        raise ValueError(f"{where}: context must be from 0.5 to 4, not {context:g}")
    return context


def _files(folder: Path) -> list[Path]:
    """Return the model files of a folder: its own, and one of each training run."""
    runs = sorted(folder.glob(f"*/{FACTS_NAME}"))
    files = sorted(path for path in folder.glob("*.tflite") if path.is_file())
    if (folder / FACTS_NAME).is_file():  # the folder is a training run itself
        runs, files = [folder / FACTS_NAME, *runs], []
    for facts in runs:
        versions = sorted(facts.parent.glob("*.tflite"))
        if versions:
            named = facts.with_name(f"{_stated_version(facts)}.tflite")
            files.append(named if len(versions) > 1 else versions[0])
    return files


def _stated_version(facts: Path) -> str:
    """Return the weights that a training run chose; float32 if it does not say."""
    try:
        return str(json.loads(facts.read_text(encoding="utf-8"))["weights"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "float32"


def _model(path: Path, folder: Path) -> OwnModel:
    """Return a file as a model, once all of it is as it must be."""
    in_run = path.parent != folder or (folder / FACTS_NAME).is_file()
    name = path.parent.resolve().name if in_run else path.stem
    if not _NAME.fullmatch(name):
        raise ValueError(
            "its name must be at most 40 letters, digits, dots, hyphens and "
            "underscores; rename it"
        )
    kind = _kind(path)
    try:
        facts, where = read_facts(path)
    except FileNotFoundError:
        if kind == "network":
            return OwnModel(name, kind, path)
        raise
    if kind == "classifier":
        stated_context(facts, FACTS_NAME)
    wanted = facts.get("sha256")
    if isinstance(wanted, str) and wanted != sha256_of(path):
        raise ValueError(
            f"is not the file of its {FACTS_NAME}: sha256 {sha256_of(path)[:12]}..., "
            f"stated {wanted[:12]}...; export it again"
        )
    return OwnModel(name, kind, path, facts, where)


_kinds: dict[tuple[Path, int, int], Kind] = {}


def _kind(path: Path) -> Kind:
    """Return what a file is; one that has not changed is opened once."""
    stat = path.stat()
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _kinds:
        # LiteRT is slow to load, and most people have no models of their own.
        from maskdet.litert import output_names

        outputs = output_names(path)
        if outputs in ([CLASSIFIER_OUTPUT], [VERIFIER_OUTPUT]):
            _kinds[key] = "classifier"
        elif len(outputs) > 1 and all(
            name.endswith(f"__{CLASSIFIER_OUTPUT}") for name in outputs
        ):
            _kinds[key] = "network"
        else:
            raise ValueError(
                "is a LiteRT file, but neither a classifier nor a single-stage network "
                f"of maskdet: its outputs are {', '.join(outputs) or 'not named'}"
            )
    return _kinds[key]


def _line(path: Path, error: Exception) -> str:
    """Return what is wrong with a file, in one line that begins with its place."""
    if isinstance(error, OSError) and error.strerror:
        line = error.strerror[:1].lower() + error.strerror[1:]
    else:
        line = " ".join(str(error).split())
    where = f"{path.parent.name}/{path.name}"
    for prefix in (f"{path}: ", f"model file {path} "):
        line = line.removeprefix(prefix)
    return f"{where}: {line}"
