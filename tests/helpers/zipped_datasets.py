"""Valid and malicious zips of labelled sets, built in memory."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping

from maskdet.media import encode_jpeg, encode_png
from tests.helpers.datasets import make_textured_image


def make_jpeg(seed: int = 0, width: int = 90, height: int = 80) -> bytes:
    """Return a small image."""
    return encode_jpeg(make_textured_image(seed, width, height))


def make_png_bytes(seed: int = 0, width: int = 90, height: int = 80) -> bytes:
    return encode_png(make_textured_image(seed, width, height))


def make_zip(contents: Mapping[str, bytes | str]) -> bytes:
    """Return a zip of files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return target.getvalue()


def make_coco_json(
    faces: Mapping[str, list[tuple[list[float], int]]],
    classes: tuple[str, ...] = ("mask", "no_mask", "incorrect"),
    size_wh: tuple[int, int] = (90, 80),
) -> str:
    """Return a COCO file: boxes `x, y, width, height` and class numbers from 1."""
    images, annotations = [], []
    for number, (name, boxes) in enumerate(faces.items()):
        size = {"width": size_wh[0], "height": size_wh[1]}
        images.append({"id": number, "file_name": name, **size})
        annotations += [
            {"image_id": number, "bbox": box, "category_id": category}
            for box, category in boxes
        ]
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
    return json.dumps(
        {"images": images, "annotations": annotations, "categories": categories}
    )
