"""Small pictures and data sets on disk, for the tests of the data room."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from maskdet.datasets import Example, label_from_name
from maskdet.datasets.examples import no_boxes
from maskdet.media import encode_jpeg, encode_png
from maskdet.types import Image


def scribble(seed: int, width: int = 90, height: int = 80) -> Image:
    """Return a picture of large soft blots: its hash differs from other seeds'."""
    rng = np.random.default_rng(seed)
    blots = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    return cv2.resize(blots, (width, height), interpolation=cv2.INTER_CUBIC)


def picture(path: Path, seed: int = 0, width: int = 90, height: int = 80) -> Path:
    """Write one such picture as JPEG or PNG, and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encode = encode_png if path.suffix.lower() == ".png" else encode_jpeg
    path.write_bytes(encode(scribble(seed, width, height)))
    return path


def example(
    name: str, label: str = "mask", group: str = "", split: str = ""
) -> Example:
    """Return a picture of one face that need not exist."""
    labels = (label_from_name(label),)
    return Example(Path(name), no_boxes(), labels, split=split, group=group)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
