"""Which face is whose: overlap, distance and size against where heads should be."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from maskdet.assignment import max_weight_assignment
from maskdet.boxes import Boxes, box_areas, intersection_areas, iou_matrix

Array = NDArray[np.float64]

_MAX_EXIT_DISTANCE = 0.5
"""Somebody who comes out from behind a head is at most so far beside it at first, in
face sizes: then half of the face is still hidden, or just no longer."""


def compute_costs(
    heads: Boxes, faces: Boxes, gates: Array, max_growth: float
) -> NDArray[np.float64]:
    """Return what it costs to take each face for each head; infinite if never.

    Half is what the boxes do not overlap, half the distance of their centres as a
    share of the head's reach, and half the change in size as a share of the largest
    allowed. Boxes of fast heads at a low frame rate do not overlap at all: then
    distance and size still tell.

    Args:
        heads: `(n, 4)` where the heads should be.
        faces: `(m, 4)` what was seen.
        gates: `(n,)` how far from there each may be, in face sizes.
        max_growth: the largest allowed ratio of their sizes.

    Returns:
        `(n, m)` from 0 for the same box to 1.5.
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
    """Pair heads with faces at the least cost, none that costs `max_cost` or more.

    Returns:
        `(n,)` the face of each head, `NOBODY` for none.
    """
    return max_weight_assignment(np.maximum(max_cost - costs, 0.0))


def compute_reappearance_costs(
    heads: Boxes, faces: Boxes, occluders: Boxes, max_growth: float
) -> NDArray[np.float64]:
    """Return what it costs to take each face for each hidden head; infinite if never.

    Somebody comes out on any side of whoever they are behind, at first in part: not
    where they went in, but how near a face is to whom it came from behind tells, and
    its size.

    Args:
        heads: `(n, 4)` as they were last seen.
        faces: `(m, 4)` what was seen.
        occluders: `(n, 4)` the head that each is behind.
        max_growth: as for `compute_costs`.

    Returns:
        `(n, m)` from 0 to 1.
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
    """Return the `(n, m)` share of each head that each face covers."""
    head_areas = np.maximum(box_areas(heads), 1)[:, None]
    result: NDArray[np.float32] = np.divide(
        intersection_areas(heads, faces), head_areas
    )
    return result


def _distances_outside(occluders: Boxes, faces: Boxes) -> Array:
    """Return how far outside each box the centres of faces are, in face sizes."""
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
    """Return distances of centres in face sizes, and log ratios of sizes, `(n, m)`."""
    a, b = heads.astype(np.float64), faces.astype(np.float64)
    head_sizes, face_sizes = _box_sizes(heads)[:, None], _box_sizes(faces)[None]
    across, down = (
        (a[:, None, axis] + a[:, None, axis + 2] - b[:, axis] - b[:, axis + 2]) / 2
        for axis in (0, 1)
    )
    distances: Array = np.hypot(across, down) / np.sqrt(head_sizes * face_sizes)
    growths: Array = np.abs(np.log(head_sizes / face_sizes))
    return distances, growths
