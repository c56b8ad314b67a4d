"""Outlines of faces, whose line style tells the label without any colour."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, sizes_px
from maskdet.style import BGR, BLACK, LineStyle, Style, line_style
from maskdet.types import Image, Label

# Dash and gap, in line widths.
_OUTLINE_DASHES: Final[dict[LineStyle, tuple[float, float]]] = {
    "dashed": (6, 3),
    "dotted": (1.5, 2),
}

_LINE_PX_AT_640: Final = 3.0
_LINE_POWER: Final = 0.75
_FACE_WIDTHS_PER_LINE: Final = 16
"""Lines grow slower than the picture, and stay thin on small faces (by eye)."""

_CORNER_ARM_RATIO: Final = 0.28
"""Length of a corner's two arms, as a share of the side."""


class _LinePattern(NamedTuple):
    """How a band is drawn.

    Attributes:
        line_px: its width.
        colour: of what.
        dash: mark and gap in line widths, or None for a whole line.
        arm_px: if above 0, only so much of it beside each corner.
    """

    line_px: int
    colour: BGR
    dash: tuple[float, float] | None = None
    arm_px: int = 0


def compute_default_line_px(style: Style, image_wh: tuple[int, int]) -> float:
    """Return how wide a line is on a picture of that size."""
    grown: float = (max(image_wh) / 640) ** _LINE_POWER
    return style.scale * _LINE_PX_AT_640 * grown


def compute_line_px(
    boxes: Boxes, style: Style, image_wh: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the `(n,)` line widths: thin on small pictures and on small faces."""
    by_image = compute_default_line_px(style, image_wh)
    by_face = sizes_px(boxes) / _FACE_WIDTHS_PER_LINE
    lines: NDArray[np.int64] = np.maximum(
        1, np.rint(np.minimum(by_image, by_face))
    ).astype(np.int64)
    return lines


def compute_outline_boxes(
    boxes: Boxes, line_px: NDArray[np.int64], image_wh: tuple[int, int]
) -> Boxes:
    """Return the `(n, 4)` outer edges of the outlines, whole pixels, inside."""
    inside = clip_boxes(boxes, *image_wh)
    out = line_px[:, None]
    integer_boxes = np.concatenate(
        [np.floor(inside[:, :2]) - out, np.ceil(inside[:, 2:]) + out], axis=1
    )
    return clip_boxes(integer_boxes.astype(np.float32), *image_wh)


def draw_outline(
    canvas: Image,
    outline_box: NDArray[np.float32],
    label: Label,
    colour: BGR,
    line_px: int,
    *,
    corners_only: bool = False,
) -> None:
    """Draw one outline, inwards from `outline_box`, on dark so that it shows anywhere.

    Edges lie on whole pixels, so there is nothing to smooth.

    Args:
        canvas: drawn on.
        outline_box: `(4,)` the outer edge.
        label: its line style is used.
        colour: of the line.
        line_px: its width.
        corners_only: draw thin corners, as for a head that shows no face.
    """
    style = line_style(label)
    lines = 2 if style == "double" else 1
    if corners_only:
        line_px = max(1, line_px // 2)
    if lines == 2:  # together not much wider than a single one
        line_px = max(min(line_px, 2), round(0.6 * line_px))
    border_px = max(1, line_px // 3)
    x1, y1, x2, y2 = (int(value) for value in outline_box)
    arm_px = (
        max(4, round(_CORNER_ARM_RATIO * min(x2 - x1, y2 - y1))) if corners_only else 0
    )
    dark_px = lines * (line_px + border_px) + border_px
    _draw_ring(canvas, (x1, y1, x2, y2), _LinePattern(dark_px, BLACK, arm_px=arm_px))
    for line in range(lines):
        inset = border_px + line * (line_px + border_px)
        ring = (x1 + inset, y1 + inset, x2 - inset, y2 - inset)
        # The dark edge shows at the ends of the arms too.
        arm = max(1, arm_px - inset - border_px) if corners_only else 0
        _draw_ring(
            canvas, ring, _LinePattern(line_px, colour, _OUTLINE_DASHES.get(style), arm)
        )


def _draw_ring(
    canvas: Image, box: tuple[int, int, int, int], pattern: _LinePattern
) -> None:
    """Fill a band along the inner edge of `box`: whole, in dashes, or at corners."""
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return
    t = pattern.line_px
    for start, stop in _split_side(x1, x2, pattern):
        canvas[y1 : min(y1 + t, y2), start:stop] = pattern.colour
        canvas[max(y2 - t, y1) : y2, start:stop] = pattern.colour
    for start, stop in _split_side(y1, y2, pattern):
        canvas[start:stop, x1 : min(x1 + t, x2)] = pattern.colour
        canvas[start:stop, max(x2 - t, x1) : x2] = pattern.colour


def _split_side(start: int, stop: int, pattern: _LinePattern) -> list[tuple[int, int]]:
    """Return the pieces of a side that are drawn."""
    dashes = split_into_dashes(start, stop, pattern.line_px, pattern.dash)
    if not pattern.arm_px or 2 * pattern.arm_px >= stop - start:
        return dashes
    arms = [(start, start + pattern.arm_px), (stop - pattern.arm_px, stop)]
    return [
        (max(a, first), min(b, last))
        for a, b in dashes
        for first, last in arms
        if max(a, first) < min(b, last)
    ]


def split_into_dashes(
    start: int, stop: int, line_px: float, dash: tuple[float, float] | None
) -> list[tuple[int, int]]:
    """Cut a line into dashes that begin and end with one, so that corners show."""
    if dash is None:
        return [(start, stop)]
    mark, gap = dash[0] * line_px, dash[1] * line_px
    gaps = max(1, round((stop - start - mark) / (mark + gap)))
    # Dash and gap shrink or grow together until they fill the side exactly.
    scale = (stop - start) / (gaps * (mark + gap) + mark)
    starts = [start + step * (mark + gap) * scale for step in range(gaps + 1)]
    return [
        (round(position), max(round(position + mark * scale), round(position) + 1))
        for position in starts
    ]
