"""Median optical flow with a forward-backward check, for heads without a detection.

A grid of points in each box is tracked to the next frame and back (pyramidal
Lucas-Kanade, Bouguet 2000). Points with a large forward-backward error are discarded;
the medians of the others give the motion and the growth of the box (Kalal,
Mikolajczyk & Matas, "Forward-Backward Error", ICPR 2010).
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

GreyImage = NDArray[np.uint8]
"""`(h, w)` uint8, a downscaled grey frame."""

_MAX_FLOW_SIDE_PX = 320
"""Longer side of the downscaled frames: heads of 30 px keep enough points."""

_GRID_SIZE = 6
_GRID_INSET = 0.15
"""Fraction of each side of a box left out: its corners show the background."""

_WINDOW_PX = 11
_PYRAMID_LEVELS = 3
_TERM_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 8, 0.03)

_MAX_ERROR_PX = 1.0
"""Points with a larger forward-backward error are discarded, and always the worse half
(Kalal)."""

_MIN_INLIER_RATIO = 0.25
"""The head is lost with a smaller fraction of inliers."""

_PATCH_PX = 16
_MIN_PATCH_CORRELATION = 0.6
"""Minimum correlation of a head with itself in the next frame; background gives 0 on
average."""

_MAX_GROWTH = 1.15
"""Largest growth from one frame to the next; larger estimates are clipped."""

_MIN_POINT_DISTANCE_PX = 8.0
"""Pairs of points closer to each other are not used to estimate the growth."""


@dataclass(frozen=True, eq=False)
class FlowResult:
    """Result of `track_boxes`.

    Attributes:
        boxes: `(n, 4)` in pixels of the frame; unchanged where lost.
        is_tracked: `(n,)` bool, whether enough points agree.
    """

    boxes: Boxes
    is_tracked: NDArray[np.bool_]


def downscale_to_grey(image: Image) -> GreyImage:
    """Return a grey copy with a longer side of at most `_MAX_FLOW_SIDE_PX`."""
    height, width = image.shape[:2]
    factor = _MAX_FLOW_SIDE_PX / max(height, width)
    if factor < 1:
        size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
        image = np.asarray(small, np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def track_boxes(
    previous: GreyImage, current: GreyImage, boxes: Boxes, scale: float
) -> FlowResult:
    """Track boxes from one downscaled frame to the next.

    Args:
        previous: the frame of the boxes.
        current: the next frame, of the same size.
        boxes: `(n, 4)` in pixels of the original frame.
        scale: pixels of the downscaled frame per pixel of the original.
    """
    n = len(boxes)
    if not n or previous.shape != current.shape:
        return FlowResult(boxes, np.zeros(n, np.bool_))
    starts = _make_grid(boxes * scale)
    ends, errors = _track_points(previous, current, starts.reshape(-1, 1, 2))
    ends, errors = ends.reshape(n, -1, 2), errors.reshape(n, -1)
    new_boxes = boxes.copy()
    is_tracked = np.zeros(n, np.bool_)
    for row in range(n):
        limit = min(_MAX_ERROR_PX, float(np.median(errors[row])))
        is_inlier = errors[row] <= limit
        if np.count_nonzero(is_inlier) < _MIN_INLIER_RATIO * len(is_inlier):
            continue
        shift, growth = _estimate_motion(starts[row][is_inlier], ends[row][is_inlier])
        new_boxes[row] = _move_box(boxes[row], shift / scale, growth)
        is_tracked[row] = _is_same_patch(
            previous, boxes[row] * scale, current, new_boxes[row] * scale
        )
    return FlowResult(new_boxes, is_tracked)


def _make_grid(boxes: Boxes) -> NDArray[np.float32]:
    """Return `(n, _GRID_SIZE**2, 2)` points on a regular grid inside each box."""
    ticks = np.linspace(_GRID_INSET, 1 - _GRID_INSET, _GRID_SIZE, dtype=np.float32)
    fractions = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(1, -1, 2)
    sides = boxes[:, None, 2:] - boxes[:, None, :2]
    points: NDArray[np.float32] = (boxes[:, None, :2] + fractions * sides).astype(
        np.float32
    )
    return points


def _track_points(
    previous: GreyImage, current: GreyImage, starts: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the new points and their forward-backward errors; infinite if lost."""
    options: dict[str, Any] = {
        "winSize": (_WINDOW_PX, _WINDOW_PX),
        "maxLevel": _PYRAMID_LEVELS,
        "criteria": _TERM_CRITERIA,
    }
    # OpenCV allocates the output when given None, which its type stubs do not allow.
    no_points: Any = None
    ends, forward_status, _ = cv2.calcOpticalFlowPyrLK(
        previous, current, starts, no_points, **options
    )
    returned, backward_status, _ = cv2.calcOpticalFlowPyrLK(
        current, previous, ends, no_points, **options
    )
    errors = np.linalg.norm((returned - starts).reshape(-1, 2), axis=1)
    lost = (
        (forward_status.ravel() == 0)
        | (backward_status.ravel() == 0)
        | ~np.isfinite(errors)
    )
    errors[lost] = np.inf
    return np.asarray(ends, np.float32).reshape(-1, 2), errors.astype(np.float32)


def _estimate_motion(
    starts: NDArray[np.float32], ends: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Return the median shift, and the median growth of the pairwise distances."""
    shift: NDArray[np.float32] = np.median(ends - starts, axis=0)
    first, second = _index_pairs(len(starts))
    old, new = (
        np.hypot(*(points[first] - points[second]).T) for points in (starts, ends)
    )
    is_distant = old > min(_MIN_POINT_DISTANCE_PX, float(old.max(initial=0.0)) / 2)
    if not is_distant.any():
        return shift, 1.0
    growth = float(np.median(new[is_distant] / old[is_distant]))
    return shift, min(max(growth, 1 / _MAX_GROWTH), _MAX_GROWTH)


def _is_same_patch(
    previous: GreyImage,
    old_box: NDArray[np.float32],
    current: GreyImage,
    new_box: NDArray[np.float32],
) -> bool:
    """Return whether the content of a box is the same in both frames."""
    a, b = (
        _crop_patch(grey, box)
        for grey, box in ((previous, old_box), (current, new_box))
    )
    norm = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) >= _MIN_PATCH_CORRELATION * norm


def _crop_patch(grey: GreyImage, box: NDArray[np.float32]) -> NDArray[np.float32]:
    x, y = (box[2:] - box[:2]) / _PATCH_PX
    matrix = np.array([[x, 0, box[0]], [0, y, box[1]]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(
        grey,
        matrix,
        (_PATCH_PX, _PATCH_PX),
        flags=flags,
        borderMode=cv2.BORDER_REPLICATE,
    )
    result: NDArray[np.float32] = patch.astype(np.float32)
    result -= result.mean()
    return result


@lru_cache(maxsize=_GRID_SIZE**2)
def _index_pairs(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the index pairs of `n` points."""
    first, second = np.triu_indices(n, 1)
    return first, second


def _move_box(
    box: NDArray[np.float32], shift: NDArray[np.float32], growth: float
) -> NDArray[np.float32]:
    centre = (box[:2] + box[2:]) / 2 + shift
    half = (box[2:] - box[:2]) * (growth / 2)
    return np.concatenate([centre - half, centre + half])
