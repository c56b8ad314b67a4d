"""Labelled pictures from disk: COCO files, `index.csv`, a folder for each class."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip, sizes_px
from maskdet.types import CLASSES, Label

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
"""File endings that a folder is searched for, in any case."""

SPLITS = ("train", "val", "test")
"""The parts a data set may be cut into."""

# The public sets name the same three states in their own words.
_NAMES: dict[str, Label] = {
    "mask": Label.MASK,
    "with_mask": Label.MASK,
    "masked": Label.MASK,
    "no_mask": Label.NO_MASK,
    "without_mask": Label.NO_MASK,
    "incorrect": Label.INCORRECT,
    "mask_weared_incorrect": Label.INCORRECT,
    "incorrect_mask": Label.INCORRECT,
}


@dataclass(frozen=True, eq=False)
class Example:
    """One picture and what is known about it.

    Attributes:
        path: the picture file.
        boxes: `(n, 4)` float32 `x1, y1, x2, y2` in pixels; `(0, 4)` where the label
            speaks of the whole picture.
        labels: one a box; exactly one where there is no box (`whole`), and none in
            a scene without a face.
        source: which collection the picture is from, such as `real` or `kaggle`.
        split: `train`, `val`, `test` or empty.
        group: pictures that look alike share it and must stay on one side of a split.
    """

    path: Path
    boxes: Boxes
    labels: tuple[Label, ...]
    source: str = ""
    split: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        """Check that labels and boxes fit each other."""
        boxes = np.asarray(self.boxes, dtype=np.float32).reshape(-1, 4)
        fits = len(self.labels) == len(boxes)
        if not fits and not (len(boxes) == 0 and len(self.labels) == 1):
            raise ValueError(
                f"{self.path}: {len(boxes)} boxes need as many labels, "
                f"got {len(self.labels)}"
            )
        object.__setattr__(self, "boxes", boxes)

    @property
    def whole(self) -> bool:
        """Whether the one label speaks of the whole picture."""
        return len(self.boxes) == 0 and len(self.labels) == 1

    @property
    def label_values(self) -> NDArray[np.int64]:
        """The labels as `(n,)` numbers, as in the columns of `Scene.probs`."""
        return np.array([int(label) for label in self.labels], dtype=np.int64)


def label_from_name(name: str) -> Label:
    """Return the class that a data set calls `name`.

    Raises:
        ValueError: the name is not one that this project knows.
    """
    key = name.strip().lower().replace(" ", "_").replace("-", "_")
    if key not in _NAMES:
        raise ValueError(f"unknown class {name!r}; known are {', '.join(_NAMES)}")
    return _NAMES[key]


def read_coco(path: str | Path) -> list[Example]:
    """Read a COCO file whose pictures lie in `images/` beside it.

    Boxes are cut at the picture's borders. A file called `kaggle-val.json` gives the
    source `kaggle` and the split `val`.

    Raises:
        FileNotFoundError: the file or a picture it names is missing.
        ValueError: not COCO, an unknown class, or a box outside its picture.
    """
    path = Path(path)
    tables = _coco_tables(path)
    source, split = _source_and_split(path.stem)
    try:
        names = {row["id"]: label_from_name(row["name"]) for row in tables[2]}
        found: dict[Any, list[tuple[Boxes, Label]]] = {
            row["id"]: [] for row in tables[0]
        }
        for row in tables[1]:
            found[row["image_id"]].append(
                (_corners(row["bbox"]), names[row["category_id"]])
            )
        return [
            _coco_example(path, row, found[row["id"]], source, split)
            for row in tables[0]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a COCO file, {error} is missing") from None


def _coco_tables(path: Path) -> tuple[list[Any], list[Any], list[Any]]:
    try:
        content = json.loads(_text(path))
    except ValueError:
        raise ValueError(f"{path}: not valid JSON") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a COCO file, wanted a JSON object")
    tables = [content.get(key) for key in ("images", "annotations", "categories")]
    if not all(isinstance(table, list) for table in tables):
        raise ValueError(
            f"{path}: not a COCO file, wanted images, annotations and categories"
        )
    return cast("tuple[list[Any], list[Any], list[Any]]", tuple(tables))


def _corners(bbox: Iterable[float]) -> Boxes:
    x, y, width, height = (float(value) for value in bbox)
    return np.array([x, y, x + width, y + height], dtype=np.float32)


def _coco_example(
    path: Path,
    row: Mapping[str, Any],
    found: list[tuple[Boxes, Label]],
    source: str,
    split: str,
) -> Example:
    picture = _picture(path.parent / "images" / str(row["file_name"]), path)
    boxes = np.array([box for box, _ in found], dtype=np.float32).reshape(-1, 4)
    boxes = clip(boxes, int(row["width"]), int(row["height"]))
    if (sizes_px(boxes) <= 0).any():
        raise ValueError(f"{path}: a box of {row['file_name']} is empty or outside it")
    labels = tuple(label for _, label in found)
    return Example(picture, boxes, labels, source, split, picture.stem)


def read_index(path: str | Path, split: str | None = None) -> list[Example]:
    """Read an `index.csv` (path, label, split, source, group), whole pictures.

    Only `path` and `label` must be there; paths are relative to the file's folder. A
    picture listed twice counts once.

    Args:
        path: the CSV file.
        split: only the rows of this split, or all.

    Raises:
        FileNotFoundError: the file or a picture it names is missing.
        ValueError: a column is missing, a class is unknown, a picture has two labels,
            or no row is left.
    """
    path = Path(path)
    rows = csv.DictReader(_text(path).splitlines())
    for column in ("path", "label"):
        if column not in (rows.fieldnames or ()):
            raise ValueError(f"{path}: the column {column!r} is missing")
    examples: dict[str, Example] = {}
    for row in rows:
        if split is not None and row.get("split") != split:
            continue
        example = Example(
            _picture(path.parent / row["path"], path),
            np.zeros((0, 4), np.float32),
            (label_from_name(row["label"] or ""),),
            row.get("source") or "",
            row.get("split") or "",
            row.get("group") or "",
        )
        if examples.setdefault(row["path"], example).labels != example.labels:
            raise ValueError(f"{path}: {row['path']} is listed with two labels")
    if not examples:
        part = "" if split is None else f" of split {split!r}"
        raise ValueError(f"{path}: there is no row{part}")
    return list(examples.values())


def read_folder(path: str | Path) -> list[Example]:
    """Read a folder with one folder for each class, such as `mask/` and `no_mask/`.

    `train/`, `val/` and `test/` folders between are understood as splits.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a folder's name is no known class, or there is no picture.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: there is no such folder")
    parts = [path / split for split in SPLITS if (path / split).is_dir()]
    examples = [
        Example(
            picture,
            np.zeros((0, 4), np.float32),
            (label_from_name(folder.name),),
            path.name,
            part.name if part != path else "",
        )
        for part in (parts or [path])
        for folder in sorted(entry for entry in part.iterdir() if entry.is_dir())
        for picture in sorted(folder.rglob("*"))
        if picture.suffix.lower() in PICTURE_SUFFIXES
    ]
    if not examples:
        raise ValueError(
            f"{path}: no picture found; wanted folders such as mask/ and no_mask/ "
            f"with {', '.join(PICTURE_SUFFIXES)} files"
        )
    return examples


def class_counts(examples: Iterable[Example]) -> dict[Label, int]:
    """Return how many faces of each class the examples hold."""
    counts = dict.fromkeys(CLASSES, 0)
    for example in examples:
        for label in example.labels:
            counts[label] += 1
    return counts


def _source_and_split(stem: str) -> tuple[str, str]:
    source, _, split = stem.rpartition("-")
    return (source, split) if source and split in SPLITS else (stem, "")


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8") from None


def _picture(path: Path, listed_in: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: the picture that {listed_in} lists is missing"
        )
    return path
