"""The runs that ship and the visitor's own; a broken one costs one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import streamlit as st

from maskdet import runs
from maskdet.analyzer import list_own_model_problems
from maskdet.classifier import BUILT_IN_CLASSIFIERS
from maskdet.own_models import OwnModel, get_own_models
from maskdet.runs import TrainingRun

FileStamp: TypeAlias = tuple[tuple[str, int, int], ...]
"""Name, time and size of every file of every run: another one, another content."""

_NUMERIC_FACTS: Final = ("parameters", "bytes", "one_face_ms", "four_faces_ms")
"""What a run's facts must say; a number may be null where it was not measured."""


@dataclass(frozen=True, eq=False)
class RunCatalog:
    """All the runs that could be read.

    Attributes:
        runs: by name, our own first.
        problems: one line for each run that could not be read.
        stamp: changes with the content of the folder.
    """

    runs: Mapping[str, TrainingRun]
    problems: tuple[str, ...]
    stamp: FileStamp


def load_run_catalog() -> RunCatalog:
    """Return the runs that ship, then the own ones; files are read once per change."""
    folder = runs.RUNS_FOLDER
    files = sorted(folder.glob("*/*"))
    bundled = _read_runs(str(folder), _compute_stamp(files))
    own = {
        name: model
        for name, model in get_own_models("classifier").items()
        if name not in bundled.runs and name not in BUILT_IN_CLASSIFIERS
    }
    problems = list_own_model_problems()
    if not own and not problems:
        return bundled
    all_runs = {
        **bundled.runs,
        **{name: _run_from_own_model(model) for name, model in own.items()},
    }
    paths = [
        path
        for model in own.values()
        for path in (model.path, *(model.folder or model.path).glob("*"))
    ]
    lines = [f"An own model cannot be used: {line}." for line in problems]
    return RunCatalog(
        all_runs,
        (*bundled.problems, *lines),
        (*bundled.stamp, *_compute_stamp(sorted(paths))),
    )


def _compute_stamp(files: Sequence[Path]) -> FileStamp:
    stats = [(path, path.stat()) for path in files if path.is_file()]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def _run_from_own_model(model: OwnModel) -> TrainingRun:
    """Return an own model as a run, with what its folder has; the rest stays empty."""
    facts: dict[str, Any] = {
        "title": model.name,
        "about": f"Your own model, {model.path.name}.",
        **dict.fromkeys(_NUMERIC_FACTS),
        **model.facts,
        "file": model.path.name,
        "bytes": model.path.stat().st_size,
    }
    folder = model.folder
    run = TrainingRun(model.name, facts, (), {}, "")
    if folder is not None:
        try:
            stored_run = runs.read_training_run(folder.name, folder.parent)
            run = replace(stored_run, name=model.name, facts=facts)
        except (OSError, ValueError):
            pass  # facts are all that a model needs
    try:
        return _validate_run(run)
    except ValueError:
        texts = {"title": model.name, "about": run.facts["about"]}
        return replace(
            run, facts={**facts, **dict.fromkeys(_NUMERIC_FACTS), **texts, "about": ""}
        )


@st.cache_data(max_entries=2, show_spinner="Reading the runs …")
def _read_runs(folder_name: str, stamp: FileStamp) -> RunCatalog:
    folder = Path(folder_name)
    runs_by_name: dict[str, TrainingRun] = {}
    problems: list[str] = []
    for name in runs.list_training_runs(folder):
        try:
            runs_by_name[name] = _validate_run(runs.read_training_run(name, folder))
        except (OSError, ValueError) as error:
            reason = _format_reason(error, folder / name)
            problems.append(f"The run {name} is not shown: {reason}")
    return RunCatalog(runs_by_name, tuple(problems), stamp)


def _format_reason(error: Exception, folder: Path) -> str:
    """Return what is wrong in one line that names no folder of this machine."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"its {Path(error.filename).name} is missing."
    line = " ".join(str(error).split())
    line = line.replace(f"{folder}/", "").replace(f"{folder}: ", "")
    return f"{line}."


def _validate_run(run: TrainingRun) -> TrainingRun:
    """Return the run if its facts say what the page shows.

    Raises:
        ValueError: something is missing or of another kind; the message names it.
    """
    if not isinstance(run.facts, Mapping):
        raise ValueError("facts.json must hold a JSON object")
    for name in _NUMERIC_FACTS:
        value: Any = run.facts.get(name, "nothing")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not is_number:
            raise ValueError(f"facts.json must have a number as {name}, not {value!r}")
    for name in ("title", "about"):
        if not isinstance(run.facts.get(name), str):
            raise ValueError(f"facts.json must have a text as {name}")
    return run


def has_bundled_weights(run: TrainingRun) -> bool:
    """Return whether the run's network comes with the project, not only its numbers."""
    return bool(run.facts.get("file"))


def training_command(run: TrainingRun) -> str:
    """Return the command that makes the run again, or an empty text."""
    recipe = run.facts.get("recipe")
    text = recipe.get("command", "") if isinstance(recipe, Mapping) else ""
    return str(text)
