"""What a run shows of its data: a grid of training crops, and one of their views."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.report.grids import picture_grid
from maskdet.training.crops import Crops
from maskdet.training.material import Material
from maskdet.types import CLASSES

SAMPLES_FILE = "samples.png"
VIEWS_FILE = "views.png"

_COLUMNS = 8
_ROWS_A_CLASS = 2


def write_pictures(material: Material, out: Path) -> list[Path]:
    """Write both grids into the folder of a run and return where they are.

    Args:
        material: what the run learns from.
        out: folder of the run.
    """
    validation = material.validation
    chosen = _chosen(validation)
    names = [CLASSES[label].key for label in validation.labels[chosen]]
    samples = picture_grid(list(validation.images[chosen]), names, columns=_COLUMNS)
    batch = next(iter(material.batches.epoch(0, 1)))
    views = batch.images[..., ::-1]
    words = [*(label.key for label in CLASSES), "no_face"]
    names = [words[column] for column in batch.targets.argmax(axis=1)]
    paths = [out / SAMPLES_FILE, out / VIEWS_FILE]
    shown = picture_grid(list(views), names, columns=_COLUMNS)
    for path, picture in zip(paths, (samples, shown), strict=True):
        _, data = cv2.imencode(".png", picture)
        path.write_bytes(data.tobytes())
    return paths


def _chosen(crops: Crops) -> NDArray[np.int64]:
    """Return up to two rows of crops of each class, spread over the set."""
    parts = []
    for label in CLASSES:
        rows = np.flatnonzero(crops.labels == label)
        count = min(len(rows), _ROWS_A_CLASS * _COLUMNS)
        if count:
            parts.append(rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)])
    return np.concatenate(parts)
