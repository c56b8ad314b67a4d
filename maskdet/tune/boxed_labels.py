"""COCO, Pascal VOC and YOLO as people send them: what is wrong costs one row, not all.

The readers of `maskdet.datasets` refuse a set that is not whole, since a training would
not notice; here a person sees what was left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from maskdet.boxes import Boxes
from maskdet.datasets.coco import Tables, class_words, coco_corners, coco_tables
from maskdet.datasets.plain_yaml import parse
from maskdet.datasets.voc import told_size_wh, voc_corners, voc_places, voc_tree
from maskdet.datasets.yolo import class_words as yolo_class_words
from maskdet.datasets.yolo import label_places, label_rows, yolo_corners
from maskdet.tune.archives import BadFiles
from maskdet.tune.listing import BROKEN, IGNORED, Listed, Places, stacked
from maskdet.tune.notes import Notes

_MISSING = "listed, but there is no such picture; left out"
_ODD_ROWS = "not understood; left out"

_YAMLS = (".yaml", ".yml")
_CLASS_LISTS = ("classes.txt", "obj.names")
_WHOLE = (1, 1)
"""The size of a picture in shares of its sides."""

_Faces = list[tuple[Boxes, str]]


def coco_rows(places: Places, names: Iterable[str], notes: Notes) -> Iterator[Listed]:
    """Return the pictures of those JSON files that are COCO."""
    for name in names:
        try:
            tables = coco_tables(places.text(name), PurePosixPath(name))
            words = class_words(tables[2])
        except BROKEN:
            continue  # some other tool's settings
        yield from _coco_pictures(places, name, tables, words, notes)


def _coco_pictures(
    places: Places, name: str, tables: Tables, words: Mapping[Any, str], notes: Notes
) -> Iterator[Listed]:
    found = _coco_faces(name, tables, words, notes)
    folder = PurePosixPath(name).parent
    for row in tables[0]:
        try:
            named = str(row["file_name"])
            faces = found.get(row["id"], [])
        except BROKEN:
            notes.add(name, _ODD_ROWS, "row")
            continue
        picture = places.picture(
            str(base / between / named)
            for base in (folder, folder.parent)
            for between in ("images", "")
        )
        if not picture:
            notes.add(named, _MISSING)
            continue
        yield _listed(picture, faces, _told_wh(row))


def _coco_faces(
    name: str, tables: Tables, words: Mapping[Any, str], notes: Notes
) -> dict[Any, _Faces]:
    found: dict[Any, _Faces] = {}
    for row in tables[1]:
        try:
            with np.errstate(over="ignore"):  # endless boxes are cut later
                box = coco_corners(row["bbox"])
            unknown = row.get("iscrowd") or row.get("ignore")
            kind = row["category_id"]
            word = IGNORED if unknown else str(words.get(kind, f"class {kind}"))
            found.setdefault(row["image_id"], []).append((box, word))
        except BROKEN:
            notes.add(name, _ODD_ROWS, "row")
    return found


def _told_wh(row: Mapping[str, Any]) -> tuple[int, int]:
    try:
        return int(row["width"]), int(row["height"])
    except BROKEN:
        return 0, 0


def voc_rows(places: Places, names: Iterable[str], notes: Notes) -> Iterator[Listed]:
    """Return the pictures of those XML files that are Pascal VOC."""
    for name in names:
        file = PurePosixPath(name)
        try:
            root = voc_tree(places.content(name), file)
        except ValueError:
            notes.add(name, "not Pascal VOC; left out", "XML file")
            continue
        picture = places.picture(str(place) for place in voc_places(file, root))
        if not picture:
            notes.add(name, "there is no picture of that name; left out", "XML file")
            continue
        faces = list(_voc_faces(root, file, notes))
        yield _listed(picture, faces, told_size_wh(root) or (0, 0))


def _voc_faces(
    root: Element, file: PurePosixPath, notes: Notes
) -> Iterator[tuple[Boxes, str]]:
    for one in root.iter("object"):
        try:
            yield voc_corners(one, file), (one.findtext("name") or "").strip() or "?"
        except ValueError:
            notes.add(file.name, "not four numbers; left out", "box")


def yolo_words(places: Places) -> dict[int, str]:
    """Return what the first of YOLO's lists of classes calls them; empty without."""
    for name in places.ending(_YAMLS):
        try:
            return yolo_class_words(
                parse(places.text(name), PurePosixPath(name)), PurePosixPath(name)
            )
        except ValueError:
            continue  # some other tool's settings
    for name in places.ending(_CLASS_LISTS):
        try:
            lines = places.text(name).splitlines()
        except BadFiles:
            continue
        return dict(enumerate(line.strip() for line in lines if line.strip()))
    return {}


def yolo_rows(
    places: Places, words: Mapping[int, str], notes: Notes
) -> Iterator[Listed]:
    """Return all pictures, with the boxes of their label files."""
    for picture in places.pictures:
        guesses = map(str, label_places(PurePosixPath(picture)))
        name = next((one for one in guesses if places.files.has(one)), "")
        if not name:
            notes.add(picture, "no label file, so counted as without a face")
            yield Listed(picture)
            continue
        try:
            rows = list(label_rows(places.text(name), PurePosixPath(name)))
            corners = yolo_corners(rows, _WHOLE)
        except BROKEN:
            notes.add(name, "not lines of class cx cy w h; left out", "label file")
            continue
        kinds = tuple(words.get(row[0], f"class {row[0]}") for row in rows)
        yield Listed(picture, kinds, corners, shares=True)


def has_yolo_labels(places: Places) -> bool:
    """Return whether any picture has a text file where YOLO keeps labels."""
    return any(
        places.files.has(str(place))
        for picture in places.pictures
        for place in label_places(PurePosixPath(picture))
    )


def _listed(picture: str, faces: _Faces, size_wh: tuple[int, int]) -> Listed:
    boxes = stacked([box for box, _ in faces])
    return Listed(picture, tuple(word for _, word in faces), boxes, size_wh=size_wh)
