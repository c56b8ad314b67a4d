"""COCO files: boxes and classes of many pictures in one JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
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
Tables = tuple[list[Any], list[Any], list[Any]]
"""Rows of images, of annotations and of categories, as JSON has them."""


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
    tables = coco_tables(text_of(path), path)
    source, split = source_and_split(path)
    try:
        words = class_words(tables[2])
        names = {key: label_in(path, word) for key, word in words.items()}
        found: dict[Any, list[_Found]] = {row["id"]: [] for row in tables[0]}
        for row in tables[1]:
            known = not (row.get("iscrowd") or row.get("ignore"))
            label = names[row["category_id"]] if known else Label.UNKNOWN
            found[row["image_id"]].append((coco_corners(row["bbox"]), label))
        return [
            _coco_example(path, row, found[row["id"]], source, split)
            for row in tables[0]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a COCO file, {error} is missing") from None


def is_coco(path: Path) -> bool:
    """Return whether a JSON file has the three tables of COCO."""
    try:
        coco_tables(text_of(path), path)
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


def coco_tables(text: str, path: PurePath) -> Tables:
    """Return the three tables of a COCO file.

    Args:
        text: its content.
        path: names it in a complaint.

    Raises:
        ValueError: it is not COCO.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: not valid JSON") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a COCO file, wanted a JSON object")
    tables = [content.get(key) for key in ("images", "annotations", "categories")]
    if not all(isinstance(table, list) for table in tables):
        raise ValueError(
            f"{path}: not a COCO file, wanted images, annotations and categories"
        )
    return cast(Tables, tuple(tables))


def class_words(rows: list[Any]) -> dict[Any, str]:
    """Return what a COCO file calls its classes, by their number.

    Raises:
        KeyError: a row has no number or no name.
    """
    # Services add the name of the whole set as a class above the real ones.
    above = {row.get("supercategory") for row in rows}
    return {
        row["id"]: row["name"]
        for row in rows
        if row["name"] not in above or row["name"] == row.get("supercategory")
    }


def coco_corners(bbox: Iterable[float]) -> Boxes:
    """Return `(4,)` `x1, y1, x2, y2` of a box told as `x, y, width, height`."""
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
