"""Scenes become a COCO file that `read_coco` reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from maskdet.boxes import Boxes
from maskdet.datasets.coco import MASKDET_KEY
from maskdet.datasets.examples import Example
from maskdet.types import CLASSES

CocoObject = dict[str, Any]


def build_coco(
    scenes: Iterable[tuple[Example, tuple[int, int]]], folder: str | Path
) -> CocoObject:
    """Return the three tables of a COCO file.

    Faces of unknown class (`Example.ignored`) carry `ignore` and `iscrowd`; a class
    must stand there, so it is the picture's first.

    Args:
        scenes: each with the width and height of its picture in pixels.
        folder: where the file will lie; the paths in it are relative to that.
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
                MASKDET_KEY: {
                    "source": scene.source,
                    "split": scene.split,
                    "group": scene.group,
                },
            }
        )
        placeholder = scene.labels[0] if scene.labels else CLASSES[0]
        annotations += _annotation_rows(
            image_id, scene.boxes, scene.labels, unknown=False
        )
        placeholder_labels = [placeholder] * len(scene.ignore_boxes)
        annotations += _annotation_rows(
            image_id, scene.ignore_boxes, placeholder_labels, unknown=True
        )
    for image_id, row in enumerate(annotations, start=1):
        row["id"] = image_id
    categories = [{"id": int(label) + 1, "name": label.key} for label in CLASSES]
    return {"images": images, "annotations": annotations, "categories": categories}


def relative_file_name(path: Path, folder: str | Path) -> str:
    """Return how a file in `folder` names a picture that may lie elsewhere."""
    # Links are followed first: `..` behind one would lead elsewhere.
    return Path(os.path.relpath(path.resolve(), Path(folder).resolve())).as_posix()


def _annotation_rows(
    image: int, boxes: Boxes, labels: Sequence[int], *, unknown: bool
) -> list[CocoObject]:
    rows: list[CocoObject] = []
    for box, label in zip(boxes, labels, strict=True):
        x1, y1, x2, y2 = (round(float(corner), 2) for corner in box)
        sides = (round(x2 - x1, 2), round(y2 - y1, 2))
        row: CocoObject = {
            "id": 0,
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": [x1, y1, *sides],
            "area": round(sides[0] * sides[1], 2),
            "iscrowd": int(unknown),
        }
        rows.append(row | {"ignore": 1} if unknown else row)
    return rows
