"""Lines between people, and how far apart they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, intersection_areas
from maskdet.drawing.captions import compute_plate_wh, compute_text_sizes_px
from maskdet.drawing.outlines import compute_default_line_px, split_into_dashes
from maskdet.placement import Caption
from maskdet.style import BGR, BLACK, LineStyle, Style, format_pair_caption
from maskdet.types import Image, Label, PersonPair

Point = tuple[float, float]
"""x and y in pixels. Two numbers are added a hundred times before NumPy has begun."""

_MAX_PEOPLE_FOR_ALL_PAIRS: Final = 5
"""Among more people only those who are near get a line: the rest is a cobweb."""

_MAX_LINES: Final = 4
"""Lines at most, those of near pairs first; a plan from above can show them all."""

_LABEL_FRACTIONS: Final = (0.5, 0.35, 0.65, 0.2, 0.8)
"""Where on its line a distance may be written, best first."""

_LABEL_SHIFTS: Final = np.array([[[0.0, down]] for down in (0.0, 1.2, -1.2, 2.4, -2.4)])
"""How far beside it, in sizes of what is written."""


_PAIR_DASHES: Final[dict[LineStyle, tuple[float, float]]] = {
    "dashed": (6, 5),
    "dotted": (1.5, 6),
}
"""Mark and gap in line widths; round ends make marks longer than on outlines."""


def draw_pair_lines(
    canvas: Image, pairs: Sequence[PersonPair], outline_boxes: Boxes, style: Style
) -> None:
    """Draw a line from face to face for each pair, on dark so that it shows.

    Args:
        canvas: drawn on.
        pairs: the pairs, by rows of `outline_boxes`.
        outline_boxes: `(n, 4)` the outlines of the faces.
        style: colours and widths.
    """
    size_wh = canvas.shape[1], canvas.shape[0]
    usual_px = compute_default_line_px(style, size_wh)
    for pair in reversed(
        _select_drawn_pairs(pairs, len(outline_boxes))
    ):  # the nearest come on top
        ends = _clip_line_to_boxes(
            outline_boxes[pair.first], outline_boxes[pair.second]
        )
        if ends is None:
            continue
        dash_style, colour = _get_pair_style(pair, style)
        line_px = max(2, round(usual_px * (0.75 if pair.in_contact else 0.5)))
        dark_px = line_px + 2 * max(1, line_px // 2)
        dashes = list(_compute_dashes(*ends, line_px, dash_style))
        for width_px, line_colour in ((dark_px, BLACK), (line_px, colour)):
            cv2.polylines(canvas, dashes, False, line_colour, width_px, cv2.LINE_AA)


def place_distance_labels(
    pairs: Sequence[PersonPair],
    outline_boxes: Boxes,
    plates: Sequence[tuple[int, int, int, int]],
    style: Style,
    image_wh: tuple[int, int],
) -> list[tuple[Caption, tuple[int, int, int, int], BGR]]:
    """Return what is written at each line, where, and on which colour.

    A distance takes the first spot on its line that covers no face and no plate,
    else the one that covers least.

    Args:
        pairs: the pairs, by rows of `outline_boxes`.
        outline_boxes: `(n, 4)` the outlines of the faces.
        plates: what is written already.
        style: colours and sizes.
        image_wh: width and height of the picture.
    """
    _, medium_px, small = compute_text_sizes_px(style, image_wh)
    occupied = [*plates]
    labels = []
    for pair in _select_drawn_pairs(pairs, len(outline_boxes)):
        text, text_px = (
            format_pair_caption(pair),
            medium_px if pair.in_contact else small,
        )
        caption = Caption(text, text_px, compute_plate_wh(text, text_px))
        candidates = _list_label_boxes(
            outline_boxes[pair.first], outline_boxes[pair.second], caption, image_wh
        )
        if not len(candidates):
            continue
        occupied_boxes = np.concatenate(
            [outline_boxes, np.array(occupied, np.float32).reshape(-1, 4)]
        )
        overlaps = intersection_areas(
            candidates.astype(np.float32), occupied_boxes
        ).sum(axis=1)
        x1, y1, x2, y2 = candidates[int(overlaps.argmin())].tolist()
        box = (x1, y1, x2, y2)
        occupied.append(box)
        labels.append((caption, box, _get_pair_style(pair, style)[1]))
    return labels


def _select_drawn_pairs(pairs: Sequence[PersonPair], n: int) -> list[PersonPair]:
    """Return the pairs that are drawn, the nearest of those who are near first."""
    selected = [
        pair for pair in pairs if pair.in_contact or n <= _MAX_PEOPLE_FOR_ALL_PAIRS
    ]
    return sorted(selected, key=lambda pair: not pair.in_contact)[:_MAX_LINES]


def _get_pair_style(pair: PersonPair, style: Style) -> tuple[LineStyle, BGR]:
    """Return line and colour: grey dots, orange dashes, or a red line."""
    # Own colours of classes say nothing about pairs, where red is a warning.
    palette = Style(palette=style.palette)
    if pair.exceeds_limit:
        return "solid", palette.colour_bgr(Label.NO_MASK)
    if pair.in_contact:
        return "dashed", palette.colour_bgr(Label.INCORRECT)
    return "dotted", palette.colour_bgr(Label.UNKNOWN)


def _clip_line_to_boxes(
    a: NDArray[np.float32], b: NDArray[np.float32]
) -> tuple[Point, Point] | None:
    """Return where the line between two centres leaves the boxes, if they are apart."""
    (x, y), (x_end, y_end) = _box_centre(a), _box_centre(b)
    direction = (x_end - x, y_end - y)
    first, last = _exit_fraction(a, direction), 1 - _exit_fraction(b, direction)
    if first >= last:
        return None
    return _interpolate((x, y), direction, first), _interpolate((x, y), direction, last)


def _box_centre(box: NDArray[np.float32]) -> Point:
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2


def _interpolate(start: Point, direction: Point, fraction: float) -> Point:
    return start[0] + fraction * direction[0], start[1] + fraction * direction[1]


def _exit_fraction(box: NDArray[np.float32], direction: Point) -> float:
    """Return the share of `direction` from the centre at which the box ends."""
    x1, y1, x2, y2 = box.tolist()
    across = (x2 - x1) / 2 / abs(direction[0]) if direction[0] else math.inf
    down = (y2 - y1) / 2 / abs(direction[1]) if direction[1] else math.inf
    return min(across, down)


def _compute_dashes(
    start: Point, stop: Point, line_px: int, dash_style: LineStyle
) -> NDArray[np.int32]:
    """Return the `(n, 2, 2)` two ends of each dash of a line, in whole pixels."""
    direction = (stop[0] - start[0], stop[1] - start[1])
    length_px = max(1, round(math.hypot(*direction)))
    dashes = split_into_dashes(0, length_px, line_px, _PAIR_DASHES.get(dash_style))
    ends = [
        [_interpolate(start, direction, position / length_px) for position in dash]
        for dash in dashes
    ]
    return np.rint(ends).astype(np.int32)


def _list_label_boxes(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    caption: Caption,
    image_wh: tuple[int, int],
) -> NDArray[np.int64]:
    """Return `(n, 4)` plates inside the picture: on the line, then beside it."""
    size, image = np.array(caption.size_wh), np.array(image_wh)
    if (size > image).any():
        return np.zeros((0, 4), np.int64)
    ends = _clip_line_to_boxes(a, b) or (_box_centre(a), _box_centre(b))
    start, stop = np.array(ends)
    middles = start + np.array(_LABEL_FRACTIONS)[:, None] * (stop - start)
    corners = np.clip(middles - size / 2 + _LABEL_SHIFTS * size, 0, image - size)
    low = np.rint(corners.reshape(-1, 2)).astype(np.int64)
    return np.concatenate([low, low + size], axis=1)
