"""Which face is whose: overlap, distance and size against where heads should be."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from maskdet.assignment import assign
from maskdet.boxes import Boxes, areas, iou_matrix, shared_areas

Array = NDArray[np.float64]

_RIM = 0.5
"""Somebody who comes out from behind a head is at most so far beside it at first, in
face sizes: then half of the face is still hidden, or just no longer."""


def costs(
    heads: Boxes, faces: Boxes, reaches: Array, max_growth: float
) -> NDArray[np.float64]:
    """Return what it costs to take each face for each head; infinite if never.

    Half is what the boxes do not overlap, half the distance of their centres as a
    share of the head's reach, and half the change in size as a share of the largest
    allowed. Boxes of fast heads at a low frame rate do not overlap at all: then
    distance and size still tell.

    Args:
        heads: `(n, 4)` where the heads should be.
        faces: `(m, 4)` what was seen.
        reaches: `(n,)` how far from there each may be, in face sizes.
        max_growth: the largest allowed ratio of their sizes.

    Returns:
        `(n, m)` from 0 for the same box to 1.5.
    """
    distances, growths = _apart(heads, faces)
    far = distances / reaches[:, None]
    grown = growths / math.log(max_growth)
    total = (1 - iou_matrix(heads, faces) + far + grown) / 2
    result: Array = np.where((far <= 1) & (grown <= 1), total, np.inf)
    return result


def pair(costs: NDArray[np.float64], worst: float) -> NDArray[np.int64]:
    """Pair heads with faces at the least cost, none that costs `worst` or more.

    Returns:
        `(n,)` the face of each head, `NOBODY` for none.
    """
    return assign(np.maximum(worst - costs, 0.0))


def reappearing(
    heads: Boxes, faces: Boxes, fronts: Boxes, max_growth: float
) -> NDArray[np.float64]:
    """Return what it costs to take each face for each hidden head; infinite if never.

    Somebody comes out on any side of whoever they are behind, at first in part: not
    where they went in, but how near a face is to whom it came from behind tells, and
    its size.

    Args:
        heads: `(n, 4)` as they were last seen.
        faces: `(m, 4)` what was seen.
        fronts: `(n, 4)` the head that each is behind.
        max_growth: as for `costs`.

    Returns:
        `(n, m)` from 0 to 1.
    """
    _, growths = _apart(heads, faces)
    grown = growths / math.log(max_growth)
    far = _outside(fronts, faces) / _RIM
    result: Array = np.where((far <= 1) & (grown <= 1), (far + grown) / 2, np.inf)
    return result


def covered(heads: Boxes, faces: Boxes) -> NDArray[np.float32]:
    """Return the `(n, m)` share of each head that each face covers."""
    whole = np.maximum(areas(heads), 1)[:, None]
    result: NDArray[np.float32] = np.divide(shared_areas(heads, faces), whole)
    return result


def _outside(fronts: Boxes, faces: Boxes) -> Array:
    """Return how far outside each box the centres of faces are, in face sizes."""
    boxes, others = fronts.astype(np.float64)[:, None], faces.astype(np.float64)
    centres = (others[:, :2] + others[:, 2:]) / 2
    ways = np.maximum(boxes[..., :2] - centres, centres - boxes[..., 2:]).clip(0)
    result: Array = np.hypot(ways[..., 0], ways[..., 1]) / _sizes(faces)[None]
    return result


def _sizes(boxes: Boxes) -> Array:
    sides = np.clip(boxes[:, 2:].astype(np.float64) - boxes[:, :2], 1e-3, None)
    result: Array = np.sqrt(sides[:, 0] * sides[:, 1])
    return result


def _apart(heads: Boxes, faces: Boxes) -> tuple[Array, Array]:
    """Return distances of centres in face sizes, and log ratios of sizes, `(n, m)`."""
    a, b = heads.astype(np.float64), faces.astype(np.float64)
    head_sizes, face_sizes = _sizes(heads)[:, None], _sizes(faces)[None]
    across, down = (
        (a[:, None, axis] + a[:, None, axis + 2] - b[:, axis] - b[:, axis + 2]) / 2
        for axis in (0, 1)
    )
    distances: Array = np.hypot(across, down) / np.sqrt(head_sizes * face_sizes)
    growths: Array = np.abs(np.log(head_sizes / face_sizes))
    return distances, growths
