"""Fewer points for a line, without changing its shape."""

from __future__ import annotations

import heapq
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 400
"""In one curve: more would be heavier to send and look the same."""

_Floats: TypeAlias = NDArray[np.float64]


def thinned(x: _Floats, y: _Floats, most: int = MOST_POINTS) -> NDArray[np.int64]:
    """Return which points of a line to keep so that its shape stays, rising.

    The ends stay; then, as in Douglas and Peucker's way to simplify a line (1973), the
    point farthest from what is drawn so far is added, until `most` are kept or none
    is off by more than a millionth.
    """
    last = len(x) - 1
    kept = {0, last} if last > 0 else set(range(len(x)))
    open_parts: list[tuple[float, int, int, int]] = []
    _open(open_parts, x, y, 0, last)
    while open_parts and len(kept) < most:
        _, start, far, end = heapq.heappop(open_parts)
        kept.add(far)
        _open(open_parts, x, y, start, far)
        _open(open_parts, x, y, far, end)
    return np.array(sorted(kept), np.int64)


def _open(
    parts: list[tuple[float, int, int, int]],
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
        off = np.abs(along_x * off_y - along_y * off_x) / length
    else:
        off = np.hypot(off_x, off_y)
    far = int(off.argmax())
    if off[far] > 1e-6:
        heapq.heappush(parts, (-float(off[far]), start, start + 1 + far, end))
