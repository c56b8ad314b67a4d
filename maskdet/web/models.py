"""The runs that ship and the visitor's own; a broken one costs one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import streamlit as st

from maskdet import runs
from maskdet.analyzer import own_model_problems
from maskdet.classifier import BUILT_IN_CLASSIFIERS
from maskdet.own_models import OwnModel, own_models
from maskdet.runs import Run

Stamp: TypeAlias = tuple[tuple[str, int, int], ...]
"""Name, time and size of every file of every run: another one, another content."""

_NUMBERS: Final = ("parameters", "bytes", "one_face_ms", "four_faces_ms")
"""What a run's facts must say; a number may be null where it was not measured."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """All the runs that could be read.

    Attributes:
        runs: by name, our own first.
        problems: one line for each run that could not be read.
        stamp: changes with the content of the folder.
    """

    runs: Mapping[str, Run]
    problems: tuple[str, ...]
    stamp: Stamp


def shelf() -> Shelf:
    """Return the runs that ship, then the own ones; files are read once per change."""
    folder = runs.RUNS_FOLDER
    files = sorted(folder.glob("*/*"))
    ships = _read(str(folder), _stamp(files))
    own = {
        name: model
        for name, model in own_models("classifier").items()
        if name not in ships.runs and name not in BUILT_IN_CLASSIFIERS
    }
    problems = own_model_problems()
    if not own and not problems:
        return ships
    runs_ = {**ships.runs, **{name: _own_run(model) for name, model in own.items()}}
    beside = [
        path
        for model in own.values()
        for path in (model.path, *(model.folder or model.path).glob("*"))
    ]
    lines = [f"An own model cannot be used: {line}." for line in problems]
    return Shelf(
        runs_, (*ships.problems, *lines), (*ships.stamp, *_stamp(sorted(beside)))
    )


def _stamp(files: Sequence[Path]) -> Stamp:
    stats = [(path, path.stat()) for path in files if path.is_file()]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def _own_run(model: OwnModel) -> Run:
    """Return an own model as a run, with what its folder has; the rest stays empty."""
    facts: dict[str, Any] = {
        "title": model.name,
        "about": f"Your own model, {model.path.name}.",
        **dict.fromkeys(_NUMBERS),
        **model.facts,
        "file": model.path.name,
        "bytes": model.path.stat().st_size,
    }
    folder = model.folder
    whole = Run(model.name, facts, (), {}, "")
    if folder is not None:
        try:
            read = runs.read_run(folder.name, folder.parent)
            whole = replace(read, name=model.name, facts=facts)
        except (OSError, ValueError):
            pass  # facts are all that a model needs
    try:
        return _checked(whole)
    except ValueError:
        kept = {"title": model.name, "about": whole.facts["about"]}
        return replace(
            whole, facts={**facts, **dict.fromkeys(_NUMBERS), **kept, "about": ""}
        )


@st.cache_data(max_entries=2, show_spinner="Reading the runs …")
def _read(folder_name: str, stamp: Stamp) -> Shelf:
    folder = Path(folder_name)
    found: dict[str, Run] = {}
    problems: list[str] = []
    for name in runs.run_names(folder):
        try:
            found[name] = _checked(runs.read_run(name, folder))
        except (OSError, ValueError) as error:
            reason = _reason(error, folder / name)
            problems.append(f"The run {name} is not shown: {reason}")
    return Shelf(found, tuple(problems), stamp)


def _reason(error: Exception, folder: Path) -> str:
    """Return what is wrong in one line that names no folder of this machine."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"its {Path(error.filename).name} is missing."
    line = " ".join(str(error).split())
    line = line.replace(f"{folder}/", "").replace(f"{folder}: ", "")
    return f"{line}."


def _checked(run: Run) -> Run:
    """Return the run if its facts say what the page shows.

    Raises:
        ValueError: something is missing or of another kind; the message names it.
    """
    if not isinstance(run.facts, Mapping):
        raise ValueError("facts.json must hold a JSON object")
    for name in _NUMBERS:
        value: Any = run.facts.get(name, "nothing")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not number:
            raise ValueError(f"facts.json must have a number as {name}, not {value!r}")
    for name in ("title", "about"):
        if not isinstance(run.facts.get(name), str):
            raise ValueError(f"facts.json must have a text as {name}")
    return run


def ships_weights(run: Run) -> bool:
    """Return whether the run's network comes with the project, not only its numbers."""
    return bool(run.facts.get("file"))


def command(run: Run) -> str:
    """Return the command that makes the run again, or an empty text."""
    recipe = run.facts.get("recipe")
    found = recipe.get("command", "") if isinstance(recipe, Mapping) else ""
    return str(found)
