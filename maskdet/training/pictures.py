"""What a run shows of its data: a grid of training crops, and one of their views."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.report.grids import image_grid
from maskdet.training.crops import Crops
from maskdet.training.material import ClassifierData
from maskdet.types import CLASSES

VALIDATION_SHEET_FILE = "samples.png"
AUGMENTED_SHEET_FILE = "views.png"

_COLUMNS = 8
_ROWS_PER_CLASS = 2


def write_contact_sheets(training_data: ClassifierData, out: Path) -> list[Path]:
    """Write both grids into the folder of a run and return where they are.

    Args:
        training_data: what the run learns from.
        out: folder of the run.
    """
    validation = training_data.validation
    rows = _select_rows_per_class(validation)
    names = [CLASSES[label].key for label in validation.labels[rows]]
    validation_sheet = image_grid(
        list(validation.images[rows]), names, columns=_COLUMNS
    )
    batch = next(iter(training_data.batch_source.iter_batches(0, 1)))
    views = batch.images[..., ::-1]
    class_names = [*(label.key for label in CLASSES), "no_face"]
    names = [class_names[column] for column in batch.targets.argmax(axis=1)]
    paths = [out / VALIDATION_SHEET_FILE, out / AUGMENTED_SHEET_FILE]
    augmented_sheet = image_grid(list(views), names, columns=_COLUMNS)
    for path, sheet in zip(paths, (validation_sheet, augmented_sheet), strict=True):
        _, data = cv2.imencode(".png", sheet)
        path.write_bytes(data.tobytes())
    return paths


def _select_rows_per_class(crops: Crops) -> NDArray[np.int64]:
    """Return up to two rows of crops of each class, spread over the set."""
    parts = []
    for label in CLASSES:
        rows = np.flatnonzero(crops.labels == label)
        count = min(len(rows), _ROWS_PER_CLASS * _COLUMNS)
        if count:
            parts.append(rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)])
    return np.concatenate(parts)
