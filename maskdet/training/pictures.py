"""What a run shows of its data: a grid of training crops, and one of their views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.training.crops import Crops
from maskdet.training.material import Material
from maskdet.types import CLASSES, Image

SAMPLES_FILE = "samples.png"
VIEWS_FILE = "views.png"

_TILE_PX = 96
_COLUMNS = 8
_ROWS_A_CLASS = 2
_BAR_PX = 16


def write_pictures(material: Material, out: Path) -> list[Path]:
    """Write both grids into the folder of a run and return where they are.

    Args:
        material: what the run learns from.
        out: folder of the run.
    """
    validation = material.validation
    chosen = _chosen(validation)
    names = [CLASSES[label].key for label in validation.labels[chosen]]
    samples = grid(list(validation.images[chosen]), names)
    batch = next(iter(material.batches.epoch(0, 1)))
    views = batch.images[..., ::-1].clip(0, 255).astype(np.uint8)
    names = [CLASSES[label].key for label in batch.targets.argmax(axis=1)]
    paths = [out / SAMPLES_FILE, out / VIEWS_FILE]
    for path, picture in zip(paths, (samples, grid(list(views), names)), strict=True):
        _, data = cv2.imencode(".png", picture)
        path.write_bytes(data.tobytes())
    return paths


def grid(images: Sequence[Image], captions: Sequence[str]) -> Image:
    """Return the pictures side by side, eight in a row, each under its caption."""
    tiles = [_tile(image, text) for image, text in zip(images, captions, strict=True)]
    empty = np.full_like(tiles[0], 255)
    tiles += [empty] * (-len(tiles) % _COLUMNS)
    rows = [
        np.hstack(tiles[first : first + _COLUMNS])
        for first in range(0, len(tiles), _COLUMNS)
    ]
    return np.vstack(rows)


def _chosen(crops: Crops) -> NDArray[np.int64]:
    """Return up to two rows of crops of each class, spread over the set."""
    parts = []
    for label in CLASSES:
        rows = np.flatnonzero(crops.labels == label)
        count = min(len(rows), _ROWS_A_CLASS * _COLUMNS)
        if count:
            parts.append(rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)])
    return np.concatenate(parts)


def _tile(image: Image, text: str) -> Image:
    tile = np.full((_TILE_PX + _BAR_PX, _TILE_PX, 3), 255, np.uint8)
    size = (_TILE_PX, _TILE_PX)
    tile[_BAR_PX:] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(tile, text, (3, 12), font, 0.4, (40, 40, 40), 1, cv2.LINE_AA)
    return tile
