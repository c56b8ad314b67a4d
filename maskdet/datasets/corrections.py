"""Apply a CSV file of label corrections to examples; the data set is not changed."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from maskdet.datasets.class_names import label_from_name
from maskdet.datasets.example import Example
from maskdet.datasets.files import read_text
from maskdet.types import Label

_CORRECTION_COLUMNS = ("file", "face", "label", "reason")
"""The columns of a correction file."""

_DROP = "drop"
_WHOLE_IMAGE = "-"


@dataclass(frozen=True)
class _Correction:
    """A row of a correction file; `face` and `label` are None for `-` and `drop`."""

    file: str
    face: int | None
    label: Label | None
    location: str


def apply_corrections(
    examples: Sequence[Example], list_path: str | Path
) -> list[Example]:
    """Return the examples with corrected labels and without dropped faces.

    The CSV file has the columns file, face, label and reason; lines that start with #
    are comments. `file` is the end of the image's path, such as
    `faces/with_mask/real-12.jpg`; `face` is the index of a box, from 0, or `-` for the
    whole image or its only box; `label` is the correct class, or `drop`; `reason` is
    a required comment. Rows about other images are ignored.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a row is invalid, matches several images, or does not fit its
            image; the message names file and line.
    """
    result: list[Example | None] = list(examples)
    rows = _read_rows(Path(list_path))
    indices_by_file = _find_examples(examples, {row.file for row in rows})
    for (file, index), corrections in _group_by_example(rows, indices_by_file).items():
        result[index] = _correct_example(examples[index], file, corrections)
    return [example for example in result if example is not None]


def _read_rows(path: Path) -> list[_Correction]:
    rows = csv.reader(read_text(path).splitlines())
    corrections: list[_Correction] = []
    titles: tuple[str, ...] = ()
    for cells in rows:
        values = tuple(cell.strip() for cell in cells)
        location = f"{path}, line {rows.line_num}"
        if not any(values) or values[0].startswith("#"):
            continue
        if not titles:
            titles = values
            if titles != _CORRECTION_COLUMNS:
                raise ValueError(
                    f"{location}: expected the columns {', '.join(_CORRECTION_COLUMNS)}"
                )
        else:
            corrections.append(_parse_row(values, location))
    return corrections


def _parse_row(values: tuple[str, ...], location: str) -> _Correction:
    if len(values) != len(_CORRECTION_COLUMNS) or not all(values):
        raise ValueError(
            f"{location}: expected {', '.join(_CORRECTION_COLUMNS)}, all non-empty"
        )
    file, face, label, _ = values
    if face != _WHOLE_IMAGE and not (face.isascii() and face.isdigit()):
        raise ValueError(f"{location}: face must be an index from 0 or -, got {face!r}")
    try:
        new_label = None if label == _DROP else label_from_name(label)
    except ValueError as error:
        raise ValueError(f"{location}: {error}, or drop") from None
    return _Correction(
        file, None if face == _WHOLE_IMAGE else int(face), new_label, location
    )


def _find_examples(
    examples: Sequence[Example], files: set[str]
) -> dict[str, list[int]]:
    """Return the indices of the examples that each listed file matches."""
    by_name: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(PurePosixPath(file).name, []).append(file)
    indices_by_file: dict[str, list[int]] = {file: [] for file in files}
    for index, example in enumerate(examples):
        for file in by_name.get(example.path.name, ()):
            parts = PurePosixPath(file).parts
            if example.path.resolve().parts[-len(parts) :] == parts:
                indices_by_file[file].append(index)
    return indices_by_file


def _group_by_example(
    rows: Sequence[_Correction], indices_by_file: dict[str, list[int]]
) -> dict[tuple[str, int], list[_Correction]]:
    by_example: dict[tuple[str, int], list[_Correction]] = {}
    for row in rows:
        if len(indices_by_file[row.file]) > 1:
            raise ValueError(
                f"{row.location}: {row.file} matches "
                f"{len(indices_by_file[row.file])} images; give more of its path"
            )
        for index in indices_by_file[row.file]:
            by_example.setdefault((row.file, index), []).append(row)
    return by_example


def _matches_labels(row: _Correction, example: Example) -> bool:
    """Return whether a row refers to a label of an example.

    `maskdet label` gives images of one face a box; `-` refers to that box.
    """
    if row.face is None:
        return len(example.labels) == 1
    return not example.is_crop and row.face < len(example.labels)


def _correct_example(
    example: Example, file: str, rows: Sequence[_Correction]
) -> Example | None:
    """Return the corrected example, or None if it is dropped."""
    labels: list[Label | None] = list(example.labels)
    for row in rows:
        if row.face is None and row.label is None:
            return None
        if not _matches_labels(row, example):
            faces = "one label" if example.is_crop else f"{len(labels)} boxes"
            raise ValueError(
                f"{row.location}: {file} has {faces}; this row does not fit"
            )
        labels[row.face or 0] = row.label
    kept = [i for i, label in enumerate(labels) if label is not None]
    return dataclasses.replace(
        example,
        boxes=example.boxes if example.is_crop else example.boxes[np.array(kept, int)],
        labels=tuple(label for label in labels if label is not None),
    )
