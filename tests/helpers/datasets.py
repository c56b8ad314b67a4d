"""Small images and data sets on disk, for the tests of the data room."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from maskdet.datasets import Example, label_from_name
from maskdet.datasets.example import empty_boxes
from maskdet.media import encode_jpeg, encode_png
from maskdet.types import Image
from tests.helpers.fakes import make_grey_image


def make_textured_image(seed: int, width: int = 90, height: int = 80) -> Image:
    """Return an image of large soft blots: its hash differs from other seeds'."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    return cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)


def write_image(path: Path, seed: int = 0, width: int = 90, height: int = 80) -> Path:
    """Write one such image as JPEG or PNG, and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encode = encode_png if path.suffix.lower() == ".png" else encode_jpeg
    path.write_bytes(encode(make_textured_image(seed, width, height)))
    return path


def make_example(
    name: str, label: str = "mask", group: str = "", split: str = ""
) -> Example:
    """Return an image of one face that need not exist."""
    labels = (label_from_name(label),)
    return Example(Path(name), empty_boxes(), labels, split=split, group=group)


def write_coco_dataset(folder: Path, *boxes: list[float], names: Sequence[str]) -> None:
    """Write an image with a masked and an unmasked face, and COCO files with labels.

    Args:
        folder: gets the files, and the image in `images/`.
        boxes: x, y, width and height of the masked and the unmasked face.
        names: names of the COCO files.
    """
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(encode_png(make_grey_image(100, 60)))
    content = {
        "images": [{"id": 0, "file_name": "a.png", "width": 100, "height": 60}],
        "categories": [{"id": 0, "name": "mask"}, {"id": 1, "name": "no_mask"}],
        "annotations": [
            {"id": row, "image_id": 0, "category_id": row, "bbox": box}
            for row, box in enumerate(boxes)
        ],
    }
    for name in names:
        (folder / name).write_text(json.dumps(content))


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
