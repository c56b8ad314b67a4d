"""Lines between people, and how far apart they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, shared_areas
from maskdet.drawing.captions import plate_wh, text_sizes_px
from maskdet.drawing.outlines import pieces, usual_line_px
from maskdet.placement import Caption
from maskdet.style import BGR, BLACK, LineStyle, Style, describe_pair
from maskdet.types import Image, Label, PersonPair

Point = tuple[float, float]
"""x and y in pixels. Two numbers are added a hundred times before NumPy has begun."""

_CROWD: Final = 5
"""Among more people only those who are near get a line: the rest is a cobweb."""

_MOST: Final = 4
"""Lines at most, those of near pairs first; a plan from above can show them all."""

_ALONG: Final = (0.5, 0.35, 0.65, 0.2, 0.8)
"""Where on its line a distance may be written, best first."""

_SHIFTS: Final = np.array([[[0.0, down]] for down in (0.0, 1.2, -1.2, 2.4, -2.4)])
"""How far beside it, in sizes of what is written."""


_DASHES: Final[dict[LineStyle, tuple[float, float]]] = {
    "dashed": (6, 5),
    "dotted": (1.5, 6),
}
"""Mark and gap in line widths; round ends make marks longer than on outlines."""


def draw_lines(
    canvas: Image, near: Sequence[PersonPair], frames: Boxes, style: Style
) -> None:
    """Draw a line from face to face for each pair, on dark so that it shows.

    Args:
        canvas: drawn on.
        near: the pairs, by rows of `frames`.
        frames: `(n, 4)` the outlines of the faces.
        style: colours and widths.
    """
    size_wh = canvas.shape[1], canvas.shape[0]
    usual_px = usual_line_px(style, size_wh)
    for pair in reversed(_worth(near, len(frames))):  # the nearest come on top
        ends = _ends(frames[pair.first], frames[pair.second])
        if ends is None:
            continue
        line, colour = _look(pair, style)
        line_px = max(2, round(usual_px * (0.75 if pair.in_contact else 0.5)))
        dark_px = line_px + 2 * max(1, line_px // 2)
        dashes = list(_dashes(*ends, line_px, line))
        for width_px, ink in ((dark_px, BLACK), (line_px, colour)):
            cv2.polylines(canvas, dashes, False, ink, width_px, cv2.LINE_AA)


def place_distances(
    near: Sequence[PersonPair],
    frames: Boxes,
    plates: Sequence[tuple[int, int, int, int]],
    style: Style,
    image_wh: tuple[int, int],
) -> list[tuple[Caption, tuple[int, int, int, int], BGR]]:
    """Return what is written at each line, where, and on which colour.

    A distance takes the first spot on its line that covers no face and no plate,
    else the one that covers least.

    Args:
        near: the pairs, by rows of `frames`.
        frames: `(n, 4)` the outlines of the faces.
        plates: what is written already.
        style: colours and sizes.
        image_wh: width and height of the picture.
    """
    _, usual, small = text_sizes_px(style, image_wh)
    taken = [*plates]
    written = []
    for pair in _worth(near, len(frames)):
        text, text_px = describe_pair(pair), usual if pair.in_contact else small
        caption = Caption(text, text_px, plate_wh(text, text_px))
        spots = _spots(frames[pair.first], frames[pair.second], caption, image_wh)
        if not len(spots):
            continue
        busy = np.concatenate([frames, np.array(taken, np.float32).reshape(-1, 4)])
        covered = shared_areas(spots.astype(np.float32), busy).sum(axis=1)
        x1, y1, x2, y2 = spots[int(covered.argmin())].tolist()
        box = (x1, y1, x2, y2)
        taken.append(box)
        written.append((caption, box, _look(pair, style)[1]))
    return written


def _worth(near: Sequence[PersonPair], n: int) -> list[PersonPair]:
    """Return the pairs that are drawn, the nearest of those who are near first."""
    worth = [pair for pair in near if pair.in_contact or n <= _CROWD]
    return sorted(worth, key=lambda pair: not pair.in_contact)[:_MOST]


def _look(pair: PersonPair, style: Style) -> tuple[LineStyle, BGR]:
    """Return line and colour: grey dots, orange dashes, or a red line."""
    # Own colours of classes say nothing about pairs, where red is a warning.
    palette = Style(palette=style.palette)
    if pair.exceeds_limit:
        return "solid", palette.colour_bgr(Label.NO_MASK)
    if pair.in_contact:
        return "dashed", palette.colour_bgr(Label.INCORRECT)
    return "dotted", palette.colour_bgr(Label.UNKNOWN)


def _ends(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[Point, Point] | None:
    """Return where the line between two centres leaves the boxes, if they are apart."""
    (x, y), (x_end, y_end) = _centre(a), _centre(b)
    way = (x_end - x, y_end - y)
    first, last = _leaves(a, way), 1 - _leaves(b, way)
    if first >= last:
        return None
    return _along((x, y), way, first), _along((x, y), way, last)


def _centre(box: NDArray[np.float32]) -> Point:
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2


def _along(start: Point, way: Point, share: float) -> Point:
    return start[0] + share * way[0], start[1] + share * way[1]


def _leaves(box: NDArray[np.float32], way: Point) -> float:
    """Return the share of `way` from the centre at which the box ends."""
    x1, y1, x2, y2 = box.tolist()
    across = (x2 - x1) / 2 / abs(way[0]) if way[0] else math.inf
    down = (y2 - y1) / 2 / abs(way[1]) if way[1] else math.inf
    return min(across, down)


def _dashes(
    start: Point, stop: Point, line_px: int, line: LineStyle
) -> NDArray[np.int32]:
    """Return the `(n, 2, 2)` two ends of each dash of a line, in whole pixels."""
    way = (stop[0] - start[0], stop[1] - start[1])
    length_px = max(1, round(math.hypot(*way)))
    marks = pieces(0, length_px, line_px, _DASHES.get(line))
    ends = [[_along(start, way, at / length_px) for at in mark] for mark in marks]
    return np.rint(ends).astype(np.int32)


def _spots(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    caption: Caption,
    image_wh: tuple[int, int],
) -> NDArray[np.int64]:
    """Return `(n, 4)` plates inside the picture: on the line, then beside it."""
    size, image = np.array(caption.size_wh), np.array(image_wh)
    if (size > image).any():
        return np.zeros((0, 4), np.int64)
    ends = _ends(a, b) or (_centre(a), _centre(b))
    start, stop = np.array(ends)
    middles = start + np.array(_ALONG)[:, None] * (stop - start)
    corners = np.clip(middles - size / 2 + _SHIFTS * size, 0, image - size)
    low = np.rint(corners.reshape(-1, 2)).astype(np.int64)
    return np.concatenate([low, low + size], axis=1)
