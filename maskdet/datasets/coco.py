"""Read and build COCO files: boxes and classes of many images in one JSON file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from maskdet.datasets.archives import DatasetError
from maskdet.datasets.example import Example, split_from_name
from maskdet.datasets.files import (
    IGNORED_NAME,
    MAX_ELEMENTS,
    MAX_FACES_PER_IMAGE,
    PARSE_ERRORS,
    Coordinates,
    DatasetFiles,
    ImageAnnotations,
    augmentation_group,
    stack_boxes,
    too_many_boxes,
)
from maskdet.datasets.issues import Issues, truncate_name
from maskdet.types import CLASSES

_MASKDET_KEY: Final = "maskdet"
"""Key of an image row under which maskdet stores source, split and group."""

_FOLDER_FILE_STEM: Final = "_annotations.coco"
"""Stem of the file that labelling services put into the folder of each split."""

_ANNOTATIONS_FOLDER: Final = "annotations"
"""The folder of the COCO and CVAT files, next to `images/`."""

_MAX_SIDE: Final = 1_000_000

# File names of splits in COCO and CVAT: `instances_train2017.json`.
_SPLIT_FILE_PATTERN = re.compile(
    r"(?:instances|annotations|person_keypoints)_([a-z]+?)\d*"
)

_NamedBoxes = list[tuple[Coordinates, str]]
CocoTables = tuple[list[Any], list[Any], list[Any]]
"""The JSON rows of images, annotations and categories."""

CocoObject = dict[str, Any]


def read_coco(
    files: DatasetFiles, name: str, issues: Issues
) -> Iterator[ImageAnnotations]:
    """Yield the images of a COCO file.

    Images are searched in `images/` next to the file, next to it, and in the same
    places of the parent folder, as CVAT exports them. A file called `kaggle-val.json`
    gives the source `kaggle` and the split `val`; `town/valid/_annotations.coco.json`
    gives `town` and `val`. Files of `maskdet label` store both. Boxes with `iscrowd`
    or `ignore` are of unknown class.

    Args:
        files: the files.
        name: of the JSON file.
        issues: collects problems of its rows.

    Raises:
        DatasetError: it is not a COCO file.
    """
    images, annotations, categories = read_coco_tables(files, name)
    images_by_id = _images_by_id(images, name, issues)
    faces = _boxes_by_image(
        annotations,
        _category_names(categories, name, issues),
        name,
        issues,
        images_by_id,
    )
    folder = PurePosixPath(name).parent
    file_source, file_split = _source_and_split(PurePosixPath(files.root, name))
    for row in images_by_id.values():
        file_name = row["file_name"]
        folders = _image_folders(folder, file_split)
        image = files.find_listed_image(file_name, folders, name, issues)
        if not image:
            continue
        provenance = row.get(_MASKDET_KEY)
        provenance = provenance if isinstance(provenance, dict) else {}
        boxes = faces[row["id"]]
        if not boxes:
            note = "no annotation; treated as an image without faces"
            issues.add(image, note, is_error=False)
        yield ImageAnnotations(
            image,
            tuple(class_name for _, class_name in boxes),
            stack_boxes([box for box, _ in boxes]),
            size_wh=_listed_size(row, name, issues),
            label_file=name,
            source=str(provenance.get("source", file_source)),
            split=split_from_name(str(provenance.get("split", file_split))),
            group=str(provenance.get("group") or "")
            or augmentation_group(image)
            or PurePosixPath(image).stem,
        )


def read_coco_tables(files: DatasetFiles, name: str) -> CocoTables:
    """Return the three tables of a COCO file.

    Args:
        files: the files.
        name: of the JSON file.

    Raises:
        DatasetError: it is not a COCO file.
    """
    short_name = truncate_name(name)
    text = files.read_text(name)
    uploaded = files.source.local_path(name) is None
    if uploaded and text.count("[") + text.count("{") > MAX_ELEMENTS:
        raise DatasetError(
            f"{short_name}: rejected: more than {MAX_ELEMENTS:,} JSON lists and objects"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise DatasetError(f"{short_name}: not valid JSON") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{short_name}: not a COCO file, expected a JSON object")
    tables = [content.get(key) for key in ("images", "annotations", "categories")]
    if not all(isinstance(table, list) for table in tables):
        raise DatasetError(
            f"{short_name}: not a COCO file, expected images, annotations and "
            "categories"
        )
    return cast(CocoTables, tuple(tables))


def _source_and_split(path: PurePosixPath) -> tuple[str, str]:
    """Return the source and the split from the name of a COCO file."""
    folder = path.parent
    if path.stem == _FOLDER_FILE_STEM:
        split = split_from_name(folder.name)
        return (folder.parent.name, split) if split else (folder.name, "")
    source, _, split_name = path.stem.rpartition("-")
    if source and (split := split_from_name(split_name)):
        return source, split
    if split_match := _SPLIT_FILE_PATTERN.fullmatch(path.stem.lower()):
        inner = folder.name.lower() == _ANNOTATIONS_FOLDER
        return (folder.parent if inner else folder).name, split_from_name(
            split_match[1]
        )
    return path.stem, ""


def _image_folders(folder: PurePosixPath, split: str) -> list[str]:
    """Return the folders to search for the images of a JSON file."""
    bases = [folder, folder / ".."]
    folders = [base / subfolder for base in bases for subfolder in ("images", "")]
    folders += [item / split for item in folders if split]
    return [str(item) for item in folders]


def _images_by_id(
    rows: Sequence[Any], name: str, issues: Issues
) -> dict[Any, Mapping[str, Any]]:
    """Return the image rows by ID."""
    images_by_id: dict[Any, Mapping[str, Any]] = {}
    reason = "used by several images; IDs must be unique"
    for row in rows:
        try:
            image_id, file_name = row["id"], row["file_name"]
            if not isinstance(file_name, str) or not file_name.isprintable():
                raise ValueError
            if image_id in images_by_id:
                issues.add(f"{name}: {image_id}", reason, "image id")
            images_by_id.setdefault(image_id, row)
        except PARSE_ERRORS:
            issues.add(name, "invalid; an image needs id and file_name", "row")
    return images_by_id


def _category_names(rows: Sequence[Any], name: str, issues: Issues) -> dict[Any, str]:
    """Return the class names of a COCO file by ID."""
    category_names: dict[Any, str] = {}
    for row in rows:
        try:
            category_names[row["id"]] = str(row["name"])
        except PARSE_ERRORS:
            issues.add(name, "invalid; a class needs id and name", "row")
    return category_names


def _boxes_by_image(
    rows: Sequence[Any],
    category_names: Mapping[Any, str],
    name: str,
    issues: Issues,
    images: Iterable[Any],
) -> dict[Any, _NamedBoxes]:
    """Return the boxes and class names of each image by ID."""
    boxes_by_image: dict[Any, _NamedBoxes] = {image_id: [] for image_id in images}
    for row in rows:
        try:
            image_id, category_id = row["image_id"], row["category_id"]
            class_name = category_names.get(category_id, f"class {category_id}")
            class_name = (
                IGNORED_NAME if _has_flag(row, "iscrowd", "ignore") else class_name
            )
            is_listed = image_id in boxes_by_image
        except PARSE_ERRORS:
            reason = "invalid; a box needs image_id and category_id"
            issues.add(name, reason, "row")
            continue
        try:
            box = _annotation_box(row)
        except PARSE_ERRORS:
            reason = (
                "bbox must be four numbers: x, y, width, height; correct or remove it"
            )
            issues.add(f"{name}: image {image_id}", reason, "annotation")
            continue
        if not is_listed:
            reason = "its image is not listed in the file"
            issues.add(f"{name}: image_id {image_id}", reason, "annotation")
            continue
        boxes_by_image[image_id].append((box, class_name))
        if len(boxes_by_image[image_id]) > MAX_FACES_PER_IMAGE:
            raise too_many_boxes(name, len(boxes_by_image[image_id]))
    return boxes_by_image


def _has_flag(row: Mapping[str, Any], *keys: str) -> bool:
    return any(row.get(key) not in (None, False, 0, "", "0", "false") for key in keys)


def _annotation_box(row: Mapping[str, Any]) -> Coordinates:
    """Return `x1, y1, x2, y2` of an annotation: its bbox, else the polygon bounds."""
    bbox, polygons = row.get("bbox"), row.get("segmentation")
    if not bbox and isinstance(polygons, list) and polygons:
        points = [float(value) for polygon in polygons for value in polygon]
        xs, ys = points[::2], points[1::2]
        return np.array([min(xs), min(ys), max(xs), max(ys)])
    if isinstance(bbox, str):
        raise ValueError
    x, y, width, height = (float(value) for value in row["bbox"])
    return np.array([x, y, x + width, y + height])


def _listed_size(row: Mapping[str, Any], name: str, issues: Issues) -> tuple[int, int]:
    """Return the width and height of an image row; 0, 0 if they are missing."""
    size_values: list[Any] = [row.get("width"), row.get("height")]
    if any(value in (None, 0, "", "0") for value in size_values):
        return 0, 0
    try:
        width, height = (int(float(value)) for value in size_values)
        if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
            raise ValueError
    except PARSE_ERRORS:
        reason = "width and height are not valid pixel sizes"
        issues.add(f"{name}: {row['file_name']}", reason, outcome="read from the image")
        return 0, 0
    return width, height


def build_coco(
    scenes: Iterable[tuple[Example, tuple[int, int]]], folder: str | Path
) -> CocoObject:
    """Return the three tables of a COCO file.

    Faces of unknown class (`Example.ignore_boxes`) have `ignore` and `iscrowd` set. A
    category is required, so they get the first one of the image.

    Args:
        scenes: examples with the width and height of their images in pixels.
        folder: folder of the file; image paths are relative to it.
    """
    images: list[CocoObject] = []
    annotations: list[CocoObject] = []
    for image_id, (scene, (width, height)) in enumerate(scenes, start=1):
        images.append(
            {
                "id": image_id,
                "file_name": relative_file_name(scene.path, folder),
                "width": width,
                "height": height,
                _MASKDET_KEY: {
                    "source": scene.source,
                    "split": scene.split,
                    "group": scene.group,
                },
            }
        )
        placeholder = scene.labels[0] if scene.labels else CLASSES[0]
        for boxes, labels, is_unknown in (
            (scene.boxes, scene.labels, False),
            (scene.ignore_boxes, [placeholder] * len(scene.ignore_boxes), True),
        ):
            for box, label in zip(boxes, labels, strict=True):
                row = {"id": len(annotations) + 1, "image_id": image_id}
                annotations.append(row | _annotation_row(box, label, is_unknown))
    categories = [{"id": int(label) + 1, "name": label.key} for label in CLASSES]
    return {"images": images, "annotations": annotations, "categories": categories}


def relative_file_name(path: Path, folder: str | Path) -> str:
    """Return the path of an image relative to a folder."""
    # Resolve links first: `..` after a link would lead elsewhere.
    return Path(os.path.relpath(path.resolve(), Path(folder).resolve())).as_posix()


def _annotation_row(
    box: NDArray[np.float32], label: int, is_unknown: bool
) -> CocoObject:
    x1, y1, x2, y2 = (round(float(corner), 2) for corner in box)
    sides = (round(x2 - x1, 2), round(y2 - y1, 2))
    return {
        "category_id": int(label) + 1,
        "bbox": [x1, y1, *sides],
        "area": round(sides[0] * sides[1], 2),
        "iscrowd": int(is_unknown),
        **({"ignore": 1} if is_unknown else {}),
    }
