"""COCO files: boxes and classes of many images in one JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, cast

import numpy as np

from maskdet.datasets.archives import DatasetError
from maskdet.datasets.examples import split_from_name
from maskdet.datasets.issues import Issues, shortened
from maskdet.datasets.listing import (
    BROKEN,
    IGNORED,
    MAX_BRACKETS,
    MAX_FACES_PER_IMAGE,
    Coordinates,
    Listed,
    SetFiles,
    copies_group,
    stacked,
    too_crowded,
)

ORIGIN: Final = "maskdet"
"""Key of an image's row under which our own files keep source, split and group."""

_IN_FOLDER: Final = "_annotations.coco"
"""Stem of the file that labelling services put into each split's folder."""

_LABELS: Final = "annotations"
"""The folder in which COCO and CVAT keep their files, beside `images/`."""

_MAX_SIDE: Final = 1_000_000

# As COCO itself and CVAT call files of a split: `instances_train2017.json`.
_OF_SPLIT = re.compile(r"(?:instances|annotations|person_keypoints)_([a-z]+?)\d*")

_Faces = list[tuple[Coordinates, str]]
Tables = tuple[list[Any], list[Any], list[Any]]
"""Rows of images, of annotations and of categories, as JSON has them."""


def coco_rows(files: SetFiles, name: str, issues: Issues) -> Iterator[Listed]:
    """Return the images of a COCO file.

    Images lie in `images/` beside it, beside it, or in the same places of the folder
    above, as CVAT exports them. A file called `kaggle-val.json` gives the source
    `kaggle` and the split `val`; `town/valid/_annotations.coco.json` gives `town` and
    `val`. Where `maskdet label` wrote the file, it says all that itself. Boxes marked
    `iscrowd` or `ignore` are of unknown class.

    Args:
        files: the files.
        name: of the JSON file.
        issues: get what is wrong with its rows.

    Raises:
        DatasetError: it is not COCO.
    """
    images, annotations, categories = coco_tables(files, name)
    known = _numbered(images, name, issues)
    faces = _faces(annotations, _words(categories, name, issues), name, issues, known)
    folder = PurePosixPath(name).parent
    own_source, own_split = source_and_split(PurePosixPath(files.root, name))
    for row in known.values():
        named = row["file_name"]
        image = files.image(named, _folders(folder, own_split))
        if not image:
            reason = f"listed in {shortened(name)}, but there is no such image"
            issues.add(named, reason, missing=True)
            continue
        origin = row.get(ORIGIN)
        origin = origin if isinstance(origin, dict) else {}
        boxes = faces[row["id"]]
        if not boxes:
            note = "without an annotation, so counted as without a face"
            issues.add(image, note, stops=False)
        yield Listed(
            image,
            tuple(word for _, word in boxes),
            stacked([box for box, _ in boxes]),
            size_wh=_told_wh(row, name, issues),
            labels=name,
            source=str(origin.get("source", own_source)),
            split=split_from_name(str(origin.get("split", own_split))),
            group=str(origin.get("group") or "")
            or copies_group(image)
            or PurePosixPath(image).stem,
        )


def coco_tables(files: SetFiles, name: str) -> Tables:
    """Return the three tables of a COCO file.

    Args:
        files: the files.
        name: of the JSON file.

    Raises:
        DatasetError: it is not COCO.
    """
    shown = shortened(name)
    text = files.text(name)
    uploaded = files.source.path(name) is None
    if uploaded and text.count("[") + text.count("{") > MAX_BRACKETS:
        raise DatasetError(f"{shown}: not opened, it holds more rows than real sets do")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise DatasetError(f"{shown}: not valid JSON") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{shown}: not a COCO file, wanted a JSON object")
    tables = [content.get(key) for key in ("images", "annotations", "categories")]
    if not all(isinstance(table, list) for table in tables):
        raise DatasetError(
            f"{shown}: not a COCO file, wanted images, annotations and categories"
        )
    return cast(Tables, tuple(tables))


def source_and_split(path: PurePosixPath) -> tuple[str, str]:
    """Return what the name of a COCO file says of its source and split."""
    folder = path.parent
    if path.stem == _IN_FOLDER:
        split = split_from_name(folder.name)
        return (folder.parent.name, split) if split else (folder.name, "")
    source, _, word = path.stem.rpartition("-")
    if source and (split := split_from_name(word)):
        return source, split
    if named := _OF_SPLIT.fullmatch(path.stem.lower()):
        inner = folder.name.lower() == _LABELS
        return (folder.parent if inner else folder).name, split_from_name(named[1])
    return path.stem, ""


def _folders(folder: PurePosixPath, split: str) -> list[str]:
    """Return where the images of a JSON file in a folder may lie."""
    bases = [folder, folder / ".."]
    folders = [base / between for base in bases for between in ("images", "")]
    folders += [item / split for item in folders if split]
    return [str(item) for item in folders]


def _numbered(
    rows: Sequence[Any], name: str, issues: Issues
) -> dict[Any, Mapping[str, Any]]:
    """Return the rows of images by their number."""
    known: dict[Any, Mapping[str, Any]] = {}
    twice = "used by several images; each needs an id of its own"
    for row in rows:
        try:
            number, named = row["id"], row["file_name"]
            if not isinstance(named, str) or not named.isprintable():
                raise ValueError
            if number in known:
                issues.add(f"{name}: {number}", twice, "image id")
            known.setdefault(number, row)
        except BROKEN:
            issues.add(name, "not understood; an image needs id and file_name", "row")
    return known


def _words(rows: Sequence[Any], name: str, issues: Issues) -> dict[Any, str]:
    """Return what a COCO file calls its classes, by their number."""
    words: dict[Any, str] = {}
    for row in rows:
        try:
            words[row["id"]] = str(row["name"])
        except BROKEN:
            issues.add(name, "not understood; a class needs id and name", "row")
    return words


def _faces(
    rows: Sequence[Any],
    words: Mapping[Any, str],
    name: str,
    issues: Issues,
    images: Iterable[Any],
) -> dict[Any, _Faces]:
    """Return the boxes and words of each image, by its number."""
    faces: dict[Any, _Faces] = {number: [] for number in images}
    for row in rows:
        try:
            number, kind = row["image_id"], row["category_id"]
            word = words.get(kind, f"class {kind}")
            word = IGNORED if _marked(row, "iscrowd", "ignore") else word
            listed = number in faces
        except BROKEN:
            reason = "not understood; a box needs image_id and category_id"
            issues.add(name, reason, "row")
            continue
        try:
            box = _corners(row)
        except BROKEN:
            reason = (
                "its bbox is not four numbers: x, y, width, height; mend or remove it"
            )
            issues.add(f"{name}: image {number}", reason, "annotation")
            continue
        if not listed:
            reason = "of an image that the file does not list"
            issues.add(f"{name}: image_id {number}", reason, "annotation")
            continue
        faces[number].append((box, word))
        if len(faces[number]) > MAX_FACES_PER_IMAGE:
            raise too_crowded(name, len(faces[number]))
    return faces


def _marked(row: Mapping[str, Any], *keys: str) -> bool:
    return any(row.get(key) not in (None, False, 0, "", "0", "false") for key in keys)


def _corners(row: Mapping[str, Any]) -> Coordinates:
    """Return `x1, y1, x2, y2` of an annotation: its bbox, else that of its polygons."""
    bbox, polygons = row.get("bbox"), row.get("segmentation")
    if not bbox and isinstance(polygons, list) and polygons:
        points = [float(value) for polygon in polygons for value in polygon]
        across, down = points[::2], points[1::2]
        return np.array([min(across), min(down), max(across), max(down)])
    if isinstance(bbox, str):
        raise ValueError
    x, y, width, height = (float(value) for value in row["bbox"])
    return np.array([x, y, x + width, y + height])


def _told_wh(row: Mapping[str, Any], name: str, issues: Issues) -> tuple[int, int]:
    """Return the size that a row tells; 0, 0 where it tells none."""
    told: list[Any] = [row.get("width"), row.get("height")]
    if any(value in (None, 0, "", "0") for value in told):
        return 0, 0
    try:
        width, height = (int(float(value)) for value in told)
        if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
            raise ValueError
    except BROKEN:
        reason = "its width and height are not numbers of pixels"
        issues.add(f"{name}: {row['file_name']}", reason, outcome="read from the image")
        return 0, 0
    return width, height
