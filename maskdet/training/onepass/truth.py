"""What is known of the faces of a picture, as rows that a training reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TARGET_COLUMNS = 10
"""Of a row of truth: x1, y1, x2, y2 in pixels, state, three shares, two weights.

The state is `FACE`, `IGNORED` or 0 for a row that only fills the batch. The shares are
of `CLASSES`; the first weight is how much the label counts, the second how much the
border of the box does."""

FACE = 1.0
IGNORED = -1.0


def stack_targets(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return `(n, most faces, 10)` from one `(faces, 10)` a picture, filled with zeros.

    The count is rounded up, so that a training meets few shapes.
    """
    max_rows = max(8, -(-max(len(image_rows) for image_rows in rows) // 8) * 8)
    stacked = np.zeros((len(rows), max_rows, TARGET_COLUMNS), np.float32)
    for index, image_rows in enumerate(rows):
        stacked[index, : len(image_rows)] = image_rows
    return stacked
