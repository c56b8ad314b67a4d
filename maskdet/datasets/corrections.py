"""Labels put right by a list of file names, without touching the data itself."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from maskdet.datasets.class_names import label_from_name
from maskdet.datasets.examples import Example
from maskdet.datasets.listing import read_text
from maskdet.types import Label

COLUMNS = ("file", "face", "label", "reason")
"""The columns of a list of corrections."""

_DROP = "drop"
_PICTURE = "-"


@dataclass(frozen=True)
class _Correction:
    """One row of a list; `face` and `label` are None for `-` and `drop`."""

    file: str
    face: int | None
    label: Label | None
    place: str


def corrected(examples: Sequence[Example], list_path: str | Path) -> list[Example]:
    """Return the examples with labels put right or faces dropped, as a list says.

    The list is a CSV file with the columns file, face, label and reason; lines that
    start with # are remarks. `file` is the end of the picture's path, such as
    `faces/with_mask/real-12.jpg`; `face` is the place of a box, from 0, or `-` for the
    whole picture or its only box; `label` is the right class, or `drop`; `reason` is
    for people, and must be there. Rows about pictures that are not among the
    examples do nothing.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: a row is not understood, means several pictures, or does not fit
            its picture; the message names file and line.
    """
    result: list[Example | None] = list(examples)
    rows = _rows(Path(list_path))
    places = _places(examples, {row.file for row in rows})
    for (file, index), found in _by_picture(rows, places).items():
        result[index] = _put_right(examples[index], file, found)
    return [one for one in result if one is not None]


def _rows(path: Path) -> list[_Correction]:
    rows = csv.reader(read_text(path).splitlines())
    found: list[_Correction] = []
    titles: tuple[str, ...] = ()
    for cells in rows:
        values = tuple(cell.strip() for cell in cells)
        place = f"{path}, line {rows.line_num}"
        if not any(values) or values[0].startswith("#"):
            continue
        if not titles:
            titles = values
            if titles != COLUMNS:
                raise ValueError(f"{place}: wanted the columns {', '.join(COLUMNS)}")
        else:
            found.append(_row(values, place))
    return found


def _row(values: tuple[str, ...], place: str) -> _Correction:
    if len(values) != len(COLUMNS) or not all(values):
        raise ValueError(f"{place}: wanted {', '.join(COLUMNS)}, none of them empty")
    file, face, label, _ = values
    if face != _PICTURE and not (face.isascii() and face.isdigit()):
        raise ValueError(f"{place}: face must be a number from 0, or -, not {face!r}")
    try:
        right = None if label == _DROP else label_from_name(label)
    except ValueError as error:
        raise ValueError(f"{place}: {error}, or drop") from None
    return _Correction(file, None if face == _PICTURE else int(face), right, place)


def _places(examples: Sequence[Example], files: set[str]) -> dict[str, list[int]]:
    """Return for each listed file which examples it means."""
    by_name: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(PurePosixPath(file).name, []).append(file)
    places: dict[str, list[int]] = {file: [] for file in files}
    for index, one in enumerate(examples):
        for file in by_name.get(one.path.name, ()):
            parts = PurePosixPath(file).parts
            if one.path.resolve().parts[-len(parts) :] == parts:
                places[file].append(index)
    return places


def _by_picture(
    rows: Sequence[_Correction], places: dict[str, list[int]]
) -> dict[tuple[str, int], list[_Correction]]:
    found: dict[tuple[str, int], list[_Correction]] = {}
    for row in rows:
        if len(places[row.file]) > 1:
            raise ValueError(
                f"{row.place}: {row.file} means {len(places[row.file])} pictures; "
                "write more of its path"
            )
        for index in places[row.file]:
            found.setdefault((row.file, index), []).append(row)
    return found


def _fits(row: _Correction, example: Example) -> bool:
    """Return whether a row means one of the labels of an example.

    `maskdet label` gives pictures of one face a box: `-` still means that one.
    """
    if row.face is None:
        return len(example.labels) == 1
    return not example.whole and row.face < len(example.labels)


def _put_right(
    example: Example, file: str, rows: Sequence[_Correction]
) -> Example | None:
    """Return the example as the rows say, or None where it is dropped."""
    labels: list[Label | None] = list(example.labels)
    for row in rows:
        if row.face is None and row.label is None:
            return None
        if not _fits(row, example):
            faces = "one label" if example.whole else f"{len(labels)} boxes"
            raise ValueError(f"{row.place}: {file} has {faces}; this row does not fit")
        labels[row.face or 0] = row.label
    kept = [i for i, label in enumerate(labels) if label is not None]
    return dataclasses.replace(
        example,
        boxes=example.boxes if example.whole else example.boxes[np.array(kept, int)],
        labels=tuple(label for label in labels if label is not None),
    )
