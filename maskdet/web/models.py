"""The runs that ship, as the Models page reads them; a broken one costs one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import streamlit as st

from maskdet import runs
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
    """Return the runs that ship, read once as long as none of their files changes."""
    folder = runs.RUNS_FOLDER
    files = sorted(folder.glob("*/*"))
    stats = [(path, path.stat()) for path in files if path.is_file()]
    stamp = tuple(
        (path.relative_to(folder).as_posix(), stat.st_mtime_ns, stat.st_size)
        for path, stat in stats
    )
    return _read(str(folder), stamp)


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
