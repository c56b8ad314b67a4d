"""COCO files: boxes and classes of many pictures in one JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from maskdet.boxes import Boxes
from maskdet.datasets.examples import Example, split_from_name
from maskdet.datasets.files import (
    boxes_inside,
    copies_group,
    label_in,
    listed_picture,
    text_of,
)
from maskdet.types import Label

_IN_FOLDER = "_annotations.coco"
"""Stem of the file that labelling services put into each split's folder."""

ORIGIN = "maskdet"
"""Key of a picture's row under which our own files keep source, split and group."""

_Found = tuple[Boxes, Label]
_Tables = tuple[list[Any], list[Any], list[Any]]


def read_coco(path: str | Path) -> list[Example]:
    """Read a COCO file whose pictures lie in `images/` beside it, or beside it.

    Boxes are cut at the picture's borders. A file called `kaggle-val.json` gives the
    source `kaggle` and the split `val`; `town/valid/_annotations.coco.json` gives
    `town` and `val`. Where `maskdet label` wrote the file, it says all that itself.
    Boxes marked `iscrowd` or `ignore` become `Example.ignored`.

    Raises:
        FileNotFoundError: the file or a picture it names is missing.
        ValueError: not COCO, an unknown class, or a box outside its picture.
    """
    path = Path(path)
    tables = _coco_tables(path)
    source, split = source_and_split(path)
    try:
        names = _classes(tables[2], path)
        found: dict[Any, list[_Found]] = {row["id"]: [] for row in tables[0]}
        for row in tables[1]:
            known = not (row.get("iscrowd") or row.get("ignore"))
            label = names[row["category_id"]] if known else Label.UNKNOWN
            found[row["image_id"]].append((_corners(row["bbox"]), label))
        return [
            _coco_example(path, row, found[row["id"]], source, split)
            for row in tables[0]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a COCO file, {error} is missing") from None


def is_coco(path: Path) -> bool:
    """Return whether a JSON file has the three tables of COCO."""
    try:
        _coco_tables(path)
    except ValueError:
        return False
    return True


def source_and_split(path: Path) -> tuple[str, str]:
    """Return what the name of a COCO file says of its source and split."""
    if path.stem == _IN_FOLDER:
        folder = path.resolve().parent
        split = split_from_name(folder.name)
        return (folder.parent.name, split) if split else (folder.name, "")
    source, _, split = path.stem.rpartition("-")
    split = split_from_name(split)
    return (source, split) if source and split else (path.stem, "")


def _coco_tables(path: Path) -> _Tables:
    try:
        content = json.loads(text_of(path))
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: not valid JSON") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a COCO file, wanted a JSON object")
    tables = [content.get(key) for key in ("images", "annotations", "categories")]
    if not all(isinstance(table, list) for table in tables):
        raise ValueError(
            f"{path}: not a COCO file, wanted images, annotations and categories"
        )
    return cast(_Tables, tuple(tables))


def _classes(rows: list[Any], path: Path) -> dict[Any, Label]:
    # Services add the name of the whole set as a class above the real ones.
    above = {row.get("supercategory") for row in rows}
    return {
        row["id"]: label_in(path, row["name"])
        for row in rows
        if row["name"] not in above or row["name"] == row.get("supercategory")
    }


def _corners(bbox: Iterable[float]) -> Boxes:
    x, y, width, height = (float(value) for value in bbox)
    return np.array([x, y, x + width, y + height], dtype=np.float32)


def _coco_example(
    path: Path, row: Mapping[str, Any], found: list[_Found], source: str, split: str
) -> Example:
    name = str(row["file_name"])
    picture = listed_picture((path.parent / "images" / name, path.parent / name), path)
    boxes = boxes_inside(
        np.array([box for box, _ in found], dtype=np.float32),
        (int(row["width"]), int(row["height"])),
        f"{path}: {name}",
    )
    known = np.array([label != Label.UNKNOWN for _, label in found], dtype=np.bool_)
    origin = row.get(ORIGIN, {})
    return Example(
        picture,
        boxes[known],
        tuple(label for _, label in found if label != Label.UNKNOWN),
        origin.get("source", source),
        origin.get("split", split),
        origin.get("group") or copies_group(picture) or picture.stem,
        boxes[~known],
    )
