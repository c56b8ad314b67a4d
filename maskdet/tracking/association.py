"""Data association: costs of track-face pairs, and the optimal assignment."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, box_areas, intersection_areas, iou_matrix

UNMATCHED = -1
"""Marks a row without a partner."""

Array = NDArray[np.float64]

_MAX_EXIT_DISTANCE = 0.5
"""Maximum distance from the occluder at which an occluded person reappears, in face
sizes: about half of the face is hidden at that distance."""


def max_weight_assignment(gains: NDArray[np.float64]) -> NDArray[np.int64]:
    """Assign rows to columns so that the sum of the gains is maximal.

    Only pairs with a gain above 0 are made, so rows and columns may stay unassigned.

    Args:
        gains: `(n, m)` finite, the gain of pairing each row with each column.

    Returns:
        `(n,)` the column of each row; `UNMATCHED` for none.
    """
    # Slow to load; `Tracker` has loaded it before its first frame.
    from scipy.optimize import linear_sum_assignment

    is_possible = np.asarray(gains) > 0
    rows, columns = linear_sum_assignment(np.where(is_possible, gains, 0), True)
    is_pair = is_possible[rows, columns]
    pairs = np.full(len(gains), UNMATCHED, np.int64)
    pairs[rows[is_pair]] = columns[is_pair]
    return pairs


def compute_costs(
    heads: Boxes, faces: Boxes, gates: Array, max_growth: float
) -> NDArray[np.float64]:
    """Return the cost of matching each face to each head; infinite outside the gate.

    The cost is half the sum of 1 - IoU, the distance of the centres divided by the
    gate, and the log size ratio divided by the largest allowed one. Boxes of fast heads
    at a low frame rate have an IoU of 0; distance and size still separate them.

    Args:
        heads: `(n, 4)` predicted boxes of the heads.
        faces: `(m, 4)` detected boxes.
        gates: `(n,)` largest allowed distance of the centres, in face sizes.
        max_growth: largest allowed size ratio.

    Returns:
        `(n, m)` from 0 (identical boxes) to 1.5.
    """
    distances, growths = _distances_and_growths(heads, faces)
    distance_ratios = distances / gates[:, None]
    growth_ratios = growths / math.log(max_growth)
    total = (1 - iou_matrix(heads, faces) + distance_ratios + growth_ratios) / 2
    result: Array = np.where(
        (distance_ratios <= 1) & (growth_ratios <= 1), total, np.inf
    )
    return result


def match_min_cost(costs: NDArray[np.float64], max_cost: float) -> NDArray[np.int64]:
    """Match heads to faces at the minimum cost; pairs cost less than `max_cost`.

    Returns:
        `(n,)` the face of each head; `UNMATCHED` for none.
    """
    return max_weight_assignment(np.maximum(max_cost - costs, 0.0))


def compute_reappearance_costs(
    heads: Boxes, faces: Boxes, occluders: Boxes, max_growth: float
) -> NDArray[np.float64]:
    """Return the cost of matching each face to each occluded head.

    An occluded person can reappear on any side of the occluder, partly visible at
    first. So the cost depends on the distance of the face to the occluder and on its
    size, not on where the person disappeared.

    Args:
        heads: `(n, 4)` last boxes of the occluded heads.
        faces: `(m, 4)` detected boxes.
        occluders: `(n, 4)` box of the head that occludes each.
        max_growth: largest allowed size ratio.

    Returns:
        `(n, m)` from 0 to 1; infinite outside the gate.
    """
    _, growths = _distances_and_growths(heads, faces)
    growth_ratios = growths / math.log(max_growth)
    distance_ratios = _distances_outside(occluders, faces) / _MAX_EXIT_DISTANCE
    result: Array = np.where(
        (distance_ratios <= 1) & (growth_ratios <= 1),
        (distance_ratios + growth_ratios) / 2,
        np.inf,
    )
    return result


def compute_occlusion(heads: Boxes, faces: Boxes) -> NDArray[np.float32]:
    """Return the `(n, m)` fraction of each head's area that each face covers."""
    head_areas = np.maximum(box_areas(heads), 1)[:, None]
    result: NDArray[np.float32] = np.divide(
        intersection_areas(heads, faces), head_areas
    )
    return result


def _distances_outside(occluders: Boxes, faces: Boxes) -> Array:
    """Return the distance of each face centre outside each box, in face sizes."""
    boxes, face_boxes = occluders.astype(np.float64)[:, None], faces.astype(np.float64)
    centres = (face_boxes[:, :2] + face_boxes[:, 2:]) / 2
    offsets = np.maximum(boxes[..., :2] - centres, centres - boxes[..., 2:]).clip(0)
    result: Array = np.hypot(offsets[..., 0], offsets[..., 1]) / _box_sizes(faces)[None]
    return result


def _box_sizes(boxes: Boxes) -> Array:
    sides = np.clip(boxes[:, 2:].astype(np.float64) - boxes[:, :2], 1e-3, None)
    result: Array = np.sqrt(sides[:, 0] * sides[:, 1])
    return result


def _distances_and_growths(heads: Boxes, faces: Boxes) -> tuple[Array, Array]:
    """Return `(n, m)` distances of centres in face sizes, and log size ratios."""
    a, b = heads.astype(np.float64), faces.astype(np.float64)
    head_sizes, face_sizes = _box_sizes(heads)[:, None], _box_sizes(faces)[None]
    across, down = (
        (a[:, None, axis] + a[:, None, axis + 2] - b[:, axis] - b[:, axis + 2]) / 2
        for axis in (0, 1)
    )
    distances: Array = np.hypot(across, down) / np.sqrt(head_sizes * face_sizes)
    growths: Array = np.abs(np.log(head_sizes / face_sizes))
    return distances, growths
