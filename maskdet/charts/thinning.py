"""Fewer points for a line, without changing its shape."""

from __future__ import annotations

import heapq
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MAX_CURVE_POINTS = 400
"""In one curve: more would be heavier to send and look the same."""

_Floats: TypeAlias = NDArray[np.float64]


def simplify_line(
    x: _Floats, y: _Floats, max_points: int = MAX_CURVE_POINTS
) -> NDArray[np.int64]:
    """Return which points of a line to keep so that its shape stays, rising.

    The ends stay; then, as in Douglas and Peucker's way to simplify a line (1973), the
    point farthest from what is drawn so far is added, until `max_points` are kept or
    none is off by more than a millionth.
    """
    last = len(x) - 1
    kept_points = {0, last} if last > 0 else set(range(len(x)))
    segments: list[tuple[float, int, int, int]] = []
    _push_segment(segments, x, y, 0, last)
    while segments and len(kept_points) < max_points:
        _, start, farthest, end = heapq.heappop(segments)
        kept_points.add(farthest)
        _push_segment(segments, x, y, start, farthest)
        _push_segment(segments, x, y, farthest, end)
    return np.array(sorted(kept_points), np.int64)


def _push_segment(
    segments: list[tuple[float, int, int, int]],
    x: _Floats,
    y: _Floats,
    start: int,
    end: int,
) -> None:
    """Add the part between two kept points, if some point of it is off the line."""
    if end - start < 2:
        return
    along_x, along_y = x[end] - x[start], y[end] - y[start]
    length = float(np.hypot(along_x, along_y))
    off_x, off_y = x[start + 1 : end] - x[start], y[start + 1 : end] - y[start]
    if length:
        distances = np.abs(along_x * off_y - along_y * off_x) / length
    else:
        distances = np.hypot(off_x, off_y)
    farthest = int(distances.argmax())
    if distances[farthest] > 1e-6:
        heapq.heappush(
            segments, (-float(distances[farthest]), start, start + 1 + farthest, end)
        )
