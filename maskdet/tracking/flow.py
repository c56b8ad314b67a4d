"""Following heads that show no face: median optical flow, checked backwards.

A grid of points in each head goes with the picture (pyramidal Lucas-Kanade, Bouguet
2000) and back again. Points that do not come back to where they started, are thrown
away; the medians of the others say how the head moved and grew (Kalal, Mikolajczyk &
Matas, "Forward-Backward Error", ICPR 2010).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.types import Image

Grey = NDArray[np.uint8]
"""`(h, w)` uint8, a small grey picture."""

LONGEST_PX = 320
"""Longer side of the small pictures: heads of 30 px keep enough points."""

_GRID = 6
_INSET = 0.15
"""Share of each side of a box left out: corners show what is behind the head."""

_WINDOW_PX = 11
_LEVELS = 3
_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 8, 0.03)

_MAX_ERROR_PX = 1.0
"""Points that come back farther off are lost; half of them always are (Kalal)."""

_LEAST_SHARE = 0.25
"""With fewer good points the head is lost."""

_PATCH_PX = 16
_LEAST_LIKENESS = 0.6
"""Correlation of a head with itself an image later; without the head, 0 on average."""

_MOST_GROWTH = 1.15
"""From one image to the next; more is a mistake."""

_NEAR_PX = 8.0
"""Points nearer than a share of the head say little about its size."""


@dataclass(frozen=True, eq=False)
class Followed:
    """Where heads went.

    Attributes:
        boxes: `(n, 4)` in pixels of the image; unchanged where lost.
        found: `(n,)` bool, whether enough points agree.
    """

    boxes: Boxes
    found: NDArray[np.bool_]


def small_grey(image: Image) -> Grey:
    """Return the picture in grey, its longer side at most `LONGEST_PX`."""
    height, width = image.shape[:2]
    factor = LONGEST_PX / max(height, width)
    if factor < 1:
        size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
        image = np.asarray(small, np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def follow(before: Grey, now: Grey, boxes: Boxes, scale: float) -> Followed:
    """Follow heads from one small picture to the next.

    Args:
        before: the picture that the boxes were in.
        now: the next one, of the same size.
        boxes: `(n, 4)` in pixels of the image.
        scale: pixels of the small pictures per pixel of the image.
    """
    n = len(boxes)
    if not n or before.shape != now.shape:
        return Followed(boxes, np.zeros(n, np.bool_))
    starts = _grid(boxes * scale)
    ends, errors = _there_and_back(before, now, starts.reshape(-1, 1, 2))
    ends, errors = ends.reshape(n, -1, 2), errors.reshape(n, -1)
    moved = boxes.copy()
    found = np.zeros(n, np.bool_)
    for row in range(n):
        limit = min(_MAX_ERROR_PX, float(np.median(errors[row])))
        good = errors[row] <= limit
        if np.count_nonzero(good) < _LEAST_SHARE * len(good):
            continue
        shift, growth = _motion(starts[row][good], ends[row][good])
        moved[row] = _moved(boxes[row], shift / scale, growth)
        found[row] = _alike(before, boxes[row] * scale, now, moved[row] * scale)
    return Followed(moved, found)


def _grid(boxes: Boxes) -> NDArray[np.float32]:
    """Return `(n, _GRID**2, 2)` points evenly spread inside each box."""
    ticks = np.linspace(_INSET, 1 - _INSET, _GRID, dtype=np.float32)
    shares = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(1, -1, 2)
    sides = boxes[:, None, 2:] - boxes[:, None, :2]
    points: NDArray[np.float32] = (boxes[:, None, :2] + shares * sides).astype(
        np.float32
    )
    return points


def _there_and_back(
    before: Grey, now: Grey, starts: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return where points went, and how far off each came back; infinite if lost."""
    options: dict[str, Any] = {
        "winSize": (_WINDOW_PX, _WINDOW_PX),
        "maxLevel": _LEVELS,
        "criteria": _STEPS,
    }
    # OpenCV makes the array of the ends itself when given none; its types forbid that.
    nowhere: Any = None
    ends, there, _ = cv2.calcOpticalFlowPyrLK(before, now, starts, nowhere, **options)
    again, back, _ = cv2.calcOpticalFlowPyrLK(now, before, ends, nowhere, **options)
    errors = np.linalg.norm((again - starts).reshape(-1, 2), axis=1)
    lost = (there.ravel() == 0) | (back.ravel() == 0) | ~np.isfinite(errors)
    errors[lost] = np.inf
    return np.asarray(ends, np.float32).reshape(-1, 2), errors.astype(np.float32)


def _motion(
    starts: NDArray[np.float32], ends: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Return the median shift and the median growth of the distances of points."""
    shift: NDArray[np.float32] = np.median(ends - starts, axis=0)
    first, second = _couples(len(starts))
    old, new = (
        np.hypot(*(points[first] - points[second]).T) for points in (starts, ends)
    )
    far = old > min(_NEAR_PX, float(old.max(initial=0.0)) / 2)
    if not far.any():
        return shift, 1.0
    growth = float(np.median(new[far] / old[far]))
    return shift, min(max(growth, 1 / _MOST_GROWTH), _MOST_GROWTH)


def _alike(
    before: Grey, old: NDArray[np.float32], now: Grey, new: NDArray[np.float32]
) -> bool:
    """Return whether a head looks like itself; the wall behind it does not."""
    a, b = (_patch(grey, box) for grey, box in ((before, old), (now, new)))
    spread = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) >= _LEAST_LIKENESS * spread


def _patch(grey: Grey, box: NDArray[np.float32]) -> NDArray[np.float32]:
    x, y = (box[2:] - box[:2]) / _PATCH_PX
    move = np.array([[x, 0, box[0]], [0, y, box[1]]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(
        grey, move, (_PATCH_PX, _PATCH_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    result: NDArray[np.float32] = patch.astype(np.float32)
    result -= result.mean()
    return result


@lru_cache(maxsize=_GRID**2)
def _couples(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return every two of `n` points."""
    first, second = np.triu_indices(n, 1)
    return first, second


def _moved(
    box: NDArray[np.float32], shift: NDArray[np.float32], growth: float
) -> NDArray[np.float32]:
    centre = (box[:2] + box[2:]) / 2 + shift
    half = (box[2:] - box[:2]) * (growth / 2)
    return np.concatenate([centre - half, centre + half])
