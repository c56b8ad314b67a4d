"""Matching of one image in a plain loop, to compare `metrics.matching` with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, iou_matrix
from maskdet.types import Faces


def match_greedily(
    detections: Faces,
    ground_truth: Boxes,
    *,
    min_iou: float = 0.5,
    ignored: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return the index of the true box of each detection, -1 for none.

    Ignored true boxes are matched only if no other fits.
    """
    matched = np.full(len(detections), -1, np.int64)
    n_ground_truth = len(ground_truth)
    if not n_ground_truth or not len(detections):
        return matched
    ignored = np.zeros(n_ground_truth, np.bool_) if ignored is None else ignored
    ious = iou_matrix(detections.boxes, ground_truth)
    unmatched = np.ones(n_ground_truth, np.bool_)
    # Equal scores are ordered by IoU.
    for row in np.lexsort((-ious.max(axis=1), -detections.scores)):
        for candidates in (unmatched & ~ignored, unmatched & ignored):
            candidate_ious = np.where(candidates, ious[row], -1.0)
            best = int(candidate_ious.argmax())
            if candidate_ious[best] >= min_iou:
                matched[row] = best
                unmatched[best] = False
                break
    return matched
