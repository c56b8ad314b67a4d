"""YOLO: one text file a picture, with class numbers and boxes as shares of its size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from maskdet.boxes import Boxes
from maskdet.datasets.examples import SPLITS, Example, no_boxes
from maskdet.datasets.files import (
    PICTURE_SUFFIXES,
    boxes_inside,
    copies_group,
    label_in,
    picture_size_wh,
    pictures_in,
    split_of,
    text_of,
)
from maskdet.datasets.plain_yaml import Value, parse
from maskdet.media import ImageReadError
from maskdet.types import Label

_PICTURES, _LABELS, _CLASSES = "images", "labels", "classes.txt"

# Data files call validation `val`; those of one labelling service also `valid`.
_YAML_SPLITS = {**{split: split for split in SPLITS}, "valid": "val"}

_Names = Mapping[int, Label]
Row = tuple[int, float, float, float, float]
"""`class cx cy w h`, as a line of a label file has them."""


def read_yolo(path: str | Path) -> list[Example]:
    """Read YOLO: a `data.yaml`, or a folder with `images/` and `labels/`.

    A folder needs a `data.yaml` with `names`, or a `classes.txt` with one a line. The
    labels of `images/a/b.jpg` are in `labels/a/b.txt`, or beside the picture; a picture
    without is a scene without a face. Each line is `class cx cy w h`: a number of
    `names`, then centre and size of the box as shares of the upright picture's width
    and height (Ultralytics, "Object detection datasets overview").

    Raises:
        FileNotFoundError: the file or folder, a named folder or a picture is missing.
        ValueError: not YOLO, an unknown class, or a box outside its picture.
    """
    path = Path(path)
    if not path.is_dir():
        return _read_data_file(path)
    data_file = find_data_file(path)
    if data_file is not None:
        values = parse(text_of(data_file), data_file)
        if any(values.get(key) for key in _YAML_SPLITS):
            return _read_data_file(data_file)
        return _read_below(path, _names(values, data_file))
    return _read_below(path, _listed_names(path))


def find_data_file(folder: Path) -> Path | None:
    """Return the YAML file in a folder that names classes, or None."""
    for file in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        try:
            if "names" in parse(text_of(file), file):
                return file
        except ValueError:
            continue  # some other tool's settings
    return None


def has_yolo(folder: Path) -> bool:
    """Return whether a folder is laid out as YOLO's."""
    return find_data_file(folder) is not None or any(_class_lists(folder))


def _read_data_file(path: Path) -> list[Example]:
    values = parse(text_of(path), path)
    names = _names(values, path)
    root = path.parent / _text(values.get("path", ""))
    if not root.is_dir():
        root = path.parent  # `path` is that of the machine where it was made
    source = root.resolve().name
    examples = [
        _example(picture, names, source, split)
        for key, split in _YAML_SPLITS.items()
        for place in _listed(values.get(key, ""))
        for picture in _pictures_at(root, place, path)
    ]
    if not examples:
        raise ValueError(f"{path}: no picture found in what train, val and test name")
    return examples


def _pictures_at(root: Path, place: str, path: Path) -> Iterator[Path]:
    """Return the pictures of a folder, or of a text file with one a line."""
    # Files from one labelling service say `../train/images` and mean `train/images`.
    for found in (root / place, root / place.removeprefix("../")):
        if found.is_dir():
            return pictures_in(found)
        if found.is_file():
            return _pictures_listed(found)
    raise FileNotFoundError(f"{root / place}: what {path} names is missing")


def _pictures_listed(file: Path) -> Iterator[Path]:
    for line in filter(None, map(str.strip, text_of(file).splitlines())):
        picture = file.parent / line
        if not picture.is_file():
            raise FileNotFoundError(
                f"{picture}: the picture that {file} lists is missing"
            )
        yield picture


def _read_below(folder: Path, names: _Names) -> list[Example]:
    source = folder.resolve().name
    examples = [
        _example(picture, names, source, split_of(picture, folder))
        for picture in pictures_in(folder)
    ]
    if not examples:
        raise ValueError(
            f"{folder}: no picture found, wanted {', '.join(PICTURE_SUFFIXES)} files"
        )
    _refuse_orphans(folder, {_label_file(one.path) for one in examples})
    return examples


def _refuse_orphans(folder: Path, known: set[Path]) -> None:
    """Complain of labels without a picture: half of a data set may be missing."""
    for labels in sorted(folder.rglob(_LABELS)):
        for file in sorted(labels.rglob("*.txt")):
            if file not in known and file.name != _CLASSES:
                raise FileNotFoundError(f"{file}: there is no picture of that name")


def _label_file(picture: Path) -> Path:
    """Return the labels of a picture: in `labels/` for its `images/`, or beside it."""
    places = [Path(place) for place in label_places(picture)]
    return next((place for place in places if place.is_file()), places[-1])


def label_places(picture: PurePath) -> tuple[PurePath, ...]:
    """Return where the labels of a picture may be: in `labels/`, then beside it."""
    beside = picture.with_suffix(".txt")
    parts = list(beside.parts)
    if _PICTURES not in parts:
        return (beside,)
    last = len(parts) - 1 - parts[::-1].index(_PICTURES)
    return PurePath(*parts[:last], _LABELS, *parts[last + 1 :]), beside


def _example(picture: Path, names: _Names, source: str, split: str) -> Example:
    file = _label_file(picture)
    rows = list(label_rows(text_of(file), file)) if file.is_file() else []
    group = copies_group(picture)
    for row in rows:
        if row[0] not in names:
            raise ValueError(f"{file}: class {row[0]} has no name")
    try:
        size_wh = picture_size_wh(picture)
    except ImageReadError:
        # Whoever opens the picture is told; it has no pixels to place a box in.
        return Example(picture, no_boxes(), (), source, split, group)
    boxes = boxes_inside(yolo_corners(rows, size_wh), size_wh, str(file))
    labels = tuple(names[row[0]] for row in rows)
    return Example(picture, boxes, labels, source, split, group)


def label_rows(text: str, file: PurePath) -> Iterator[Row]:
    """Return the rows of a label file.

    Args:
        text: its content.
        file: names it in a complaint.

    Raises:
        ValueError: a line is not five numbers.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            kind, cx, cy, width, height = words
            yield int(kind), float(cx), float(cy), float(width), float(height)
        except ValueError:
            raise ValueError(
                f"{file}, line {number}: wanted five numbers, class cx cy w h"
            ) from None


def yolo_corners(rows: Sequence[Row], size_wh: tuple[int, int]) -> Boxes:
    """Return `(n, 4)` `x1, y1, x2, y2` in pixels of a picture of that size."""
    shares = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 4)
    centres, halves = shares[:, :2] * size_wh, shares[:, 2:] * size_wh / 2
    corners = np.concatenate([centres - halves, centres + halves], axis=1)
    return corners.astype(np.float32)


def _names(values: Mapping[str, Value], path: Path) -> _Names:
    words = class_words(values, path)
    return {number: label_in(path, word) for number, word in words.items()}


def class_words(values: Mapping[str, Value], path: PurePath) -> dict[int, str]:
    """Return what a YOLO data file calls its classes, by their number.

    Args:
        values: of the file, as `plain_yaml.parse` gives them.
        path: names it in a complaint.

    Raises:
        ValueError: it names none.
    """
    names = values.get("names", "")
    if isinstance(names, str) or not names:
        raise ValueError(f"{path}: not a YOLO data file, wanted names of the classes")
    if isinstance(names, list):
        return dict(enumerate(names))
    if not all(key.isdecimal() for key in names):
        raise ValueError(f"{path}: names must be a list, or numbered from 0")
    return {int(key): name for key, name in names.items()}


def _listed_names(folder: Path) -> _Names:
    for file in _class_lists(folder):
        lines = [line for line in text_of(file).splitlines() if line.strip()]
        return {i: label_in(file, line) for i, line in enumerate(lines)}
    raise ValueError(f"{folder}: not YOLO, wanted a data.yaml or a classes.txt")


def _class_lists(folder: Path) -> Iterator[Path]:
    places = (folder, folder / _LABELS)
    return (place / _CLASSES for place in places if (place / _CLASSES).is_file())


def _listed(value: Value) -> list[str]:
    return value if isinstance(value, list) else [_text(value)] * bool(value)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""
