"""Sets of one face a picture: `index.csv`, and a folder for each class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from maskdet.datasets.examples import (
    Example,
    no_boxes,
    split_from_name,
)
from maskdet.datasets.files import (
    PICTURE_SUFFIXES,
    copies_group,
    folders_in,
    label_in,
    listed_picture,
    pictures_in,
    text_of,
)


def read_index(path: str | Path, split: str | None = None) -> list[Example]:
    """Read an `index.csv` (path, label, split, source, group), whole pictures.

    Only `path` and `label` must be there; paths are relative to the file's folder. A
    picture listed twice counts once.

    Args:
        path: the CSV file.
        split: only the rows of this split, or all.

    Raises:
        FileNotFoundError: the file or a picture it names is missing.
        ValueError: a column is missing, a class is unknown, a picture has two labels
            or splits, or no row is left.
    """
    path = Path(path)
    examples: dict[str, Example] = {}
    for row in index_rows(text_of(path), path):
        if split is not None and _split_in(path, row.get("split") or "") != split:
            continue
        example = _index_example(path, row)
        first = examples.setdefault(row["path"] or "", example)
        if first.labels != example.labels:
            raise ValueError(f"{path}: {row['path']} is listed with two labels")
        if first.split != example.split:
            raise ValueError(f"{path}: {row['path']} is listed in two splits")
    if not examples:
        part = "" if split is None else f" of split {split!r}"
        raise ValueError(f"{path}: there is no row{part}")
    return list(examples.values())


def index_rows(text: str, path: PurePath) -> Iterator[Mapping[str, str | None]]:
    """Return the rows of an `index.csv`.

    Args:
        text: its content.
        path: names it in a complaint.

    Raises:
        ValueError: a column is missing.
    """
    rows = csv.DictReader(io.StringIO(text))
    for column in ("path", "label"):
        if column not in (rows.fieldnames or ()):
            raise ValueError(f"{path}: the column {column!r} is missing")
    return iter(rows)


def _index_example(path: Path, row: Mapping[str, str | None]) -> Example:
    return Example(
        listed_picture([path.parent / (row["path"] or "")], path),
        no_boxes(),
        (label_in(path, row["label"] or ""),),
        row.get("source") or "",
        _split_in(path, row.get("split") or ""),
        row.get("group") or "",
    )


def read_folder(path: str | Path) -> list[Example]:
    """Read a folder with one folder for each class, such as `mask/` and `no_mask/`.

    `train/`, `val/` (or `valid/`) and `test/` folders between are understood as splits.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a folder's name is no known class, or there is no picture.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: there is no such folder")
    parts = [folder for folder in folders_in(path) if split_from_name(folder.name)]
    examples = [
        Example(
            picture,
            no_boxes(),
            (label_in(path, folder.name),),
            path.resolve().name,
            split_from_name(part.name) if part != path else "",
            copies_group(picture),
        )
        for part in (parts or [path])
        for folder in folders_in(part)
        for picture in pictures_in(folder)
    ]
    if not examples:
        raise ValueError(
            f"{path}: no picture found; wanted folders such as mask/ and no_mask/ "
            f"with {', '.join(PICTURE_SUFFIXES)} files"
        )
    return examples


def _split_in(path: Path, name: str) -> str:
    split = split_from_name(name)
    if name and not split:
        raise ValueError(f"{path}: unknown split {name!r}; known are train, val, test")
    return split
