"""Which face is whose: overlap, distance and size against where heads should be."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from maskdet.assignment import assign
from maskdet.boxes import Boxes, iou_matrix

Array = NDArray[np.float64]


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


def covered(heads: Boxes, faces: Boxes) -> NDArray[np.float32]:
    """Return the largest share of each head, `(n,)`, that one of the faces covers."""
    if not len(faces) or not len(heads):
        return np.zeros(len(heads), np.float32)
    low = np.maximum(heads[:, None, :2], faces[None, :, :2])
    high = np.minimum(heads[:, None, 2:], faces[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = (heads[:, 2:] - heads[:, :2]).prod(axis=1)
    result: NDArray[np.float32] = (shared / areas[:, None]).max(axis=1)
    return result


def _apart(heads: Boxes, faces: Boxes) -> tuple[Array, Array]:
    """Return distances of centres in face sizes, and log ratios of sizes, `(n, m)`."""
    a, b = heads.astype(np.float64), faces.astype(np.float64)
    sizes = [
        np.sqrt(np.clip(boxes[:, 2:] - boxes[:, :2], 1e-3, None).prod(axis=1))
        for boxes in (a, b)
    ]
    ways = ((a[:, None, :2] + a[:, None, 2:]) - (b[None, :, :2] + b[None, :, 2:])) / 2
    mean = np.sqrt(sizes[0][:, None] * sizes[1][None])
    distances: Array = np.hypot(ways[..., 0], ways[..., 1]) / mean
    growths: Array = np.abs(np.log(sizes[0][:, None] / sizes[1][None]))
    return distances, growths
