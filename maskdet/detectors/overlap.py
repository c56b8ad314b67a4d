"""Drop the weaker of overlapping boxes among thousands, where NumPy is too slow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes


def nms_opencv(
    boxes: Boxes, scores: NDArray[np.float32], max_iou: float, *, limit: int
) -> NDArray[np.int64]:
    """Do what `maskdet.boxes.nms` does, in OpenCV and for the best `limit` boxes only.

    Returns:
        Indices of the kept boxes, best score first.
    """
    corners_and_sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(
        corners_and_sides.astype(np.float64).tolist(),
        scores.tolist(),
        score_threshold=0.0,
        nms_threshold=max_iou,
        top_k=limit,
    )
    return np.asarray(kept, np.int64).reshape(-1)
