"""Boxes and captions on a picture, told apart by colour, text and line style."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, areas, clip, sizes_px
from maskdet.placement import Caption, Placed, place
from maskdet.style import (
    BGR,
    BLACK,
    DEFAULT_STYLE,
    LineStyle,
    Style,
    colour_bgr,
    describe,
    ink_bgr,
    line_style,
)
from maskdet.types import Image, Label, Scene

__all__ = ["Style", "colour_bgr", "describe", "draw", "line_style"]

# Dash and gap, in line widths.
_DASHES: Final[dict[LineStyle, tuple[float, float]]] = {
    "dashed": (6, 3),
    "dotted": (1.5, 2),
}

_FONT: Final = cv2.FONT_HERSHEY_DUPLEX
_FONT_CAP_PX: Final = 22
"""Height of a capital letter at scale 1, measured with `cv2.getTextSize`."""

_OVERSAMPLING: Final = 4
"""Letters are drawn so much larger and averaged down: Hershey fonts are thin and
uneven when drawn at 10 px directly."""

_STROKE: Final = 0.14
_PADDING: Final = 0.45
"""Stroke of the letters and the plate's margin, in heights of a capital."""

_TEXT_SHARES: Final = (0.020, 0.014, 0.010)
_TEXT_MIN_PX: Final = (12, 10, 8)
"""Capitals of large, usual and small captions, as a share of the picture's longer
side and at least in pixels; under 8 px Hershey letters run together (by eye)."""

_MAX_LARGE_WIDTH: Final = 1.3
"""Captions wider than this many faces are written small, so that faces prevail."""

_LINE_PX_AT_640: Final = 3.0
_LINE_POWER: Final = 0.75
_LINES_PER_FACE: Final = 16
"""Lines grow slower than the picture, and stay thin on small faces (by eye)."""


def draw(image: Image, scene: Scene, style: Style = DEFAULT_STYLE) -> Image:
    """Return a copy of the picture with every face outlined and captioned.

    Captions stay inside the picture and off other faces; where a crowd leaves no
    room they get shorter, then go: the line style still tells the label.

    Args:
        image: `(h, w, 3)` uint8 BGR; not changed.
        scene: its faces; boxes may reach out of the picture.
        style: what to draw; by default everything, in the classic colours.
    """
    canvas = image.copy()
    height, width = image.shape[:2]
    shown = scene.keep(np.flatnonzero(areas(clip(scene.faces.boxes, width, height))))
    labels = shown.labels
    line_px = _lines_px(shown.faces.boxes, style, (width, height))
    frames = _frames(shown.faces.boxes, line_px, (width, height))
    if style.boxes:
        # The surest face comes last, so that its outline lies on top.
        for row in reversed(range(len(shown))):
            colour = colour_bgr(labels[row], style.palette)
            _outline(canvas, frames[row], labels[row], colour, int(line_px[row]))
    side_px = max(width, height)
    faces_px = frames[:, 2] - frames[:, 0]
    captions = [
        _captions(label, float(certainty), style, face_px=face_px, side_px=side_px)
        for label, certainty, face_px in zip(
            labels, shown.certainties, faces_px, strict=True
        )
    ]
    for placed in place(frames, captions, image_wh=(width, height)):
        _write(canvas, placed, colour_bgr(labels[placed.face], style.palette))
    return canvas


def _lines_px(
    boxes: Boxes, style: Style, image_wh: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the `(n,)` line widths: thin on small pictures and on small faces."""
    by_image = style.scale * _LINE_PX_AT_640 * (max(image_wh) / 640) ** _LINE_POWER
    by_face = sizes_px(boxes) / _LINES_PER_FACE
    lines: NDArray[np.int64] = np.maximum(
        1, np.rint(np.minimum(by_image, by_face))
    ).astype(np.int64)
    return lines


def _frames(
    boxes: Boxes, line_px: NDArray[np.int64], image_wh: tuple[int, int]
) -> Boxes:
    """Return the `(n, 4)` outer edges of the outlines, whole pixels, inside."""
    inside = clip(boxes, *image_wh)
    out = line_px[:, None]
    whole = np.concatenate(
        [np.floor(inside[:, :2]) - out, np.ceil(inside[:, 2:]) + out], axis=1
    )
    return clip(whole.astype(np.float32), *image_wh)


def _outline(
    canvas: Image,
    frame: NDArray[np.float32],
    label: Label,
    colour: BGR,
    line_px: int,
) -> None:
    """Draw one outline, inwards from `frame`, on dark so that it shows anywhere.

    Edges lie on whole pixels, so there is nothing to smooth.
    """
    style = line_style(label)
    lines = 2 if style == "double" else 1
    if lines == 2:  # together not much wider than a single one
        line_px = max(min(line_px, 2), round(0.6 * line_px))
    edge_px = max(1, line_px // 3)
    x1, y1, x2, y2 = (int(value) for value in frame)
    dark_px = lines * (line_px + edge_px) + edge_px
    _ring(canvas, (x1, y1, x2, y2), dark_px, BLACK)
    for line in range(lines):
        inset = edge_px + line * (line_px + edge_px)
        ring = (x1 + inset, y1 + inset, x2 - inset, y2 - inset)
        _ring(canvas, ring, line_px, colour, _DASHES.get(style))


def _ring(
    canvas: Image,
    box: tuple[int, int, int, int],
    line_px: int,
    colour: BGR,
    dash: tuple[float, float] | None = None,
) -> None:
    """Fill a band of `line_px` along the inner edge of `box`, whole or in dashes."""
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return
    t = line_px
    for start, stop in _pieces(x1, x2, t, dash):
        canvas[y1 : min(y1 + t, y2), start:stop] = colour
        canvas[max(y2 - t, y1) : y2, start:stop] = colour
    for start, stop in _pieces(y1, y2, t, dash):
        canvas[start:stop, x1 : min(x1 + t, x2)] = colour
        canvas[start:stop, max(x2 - t, x1) : x2] = colour


def _pieces(
    start: int, stop: int, line_px: int, dash: tuple[float, float] | None
) -> list[tuple[int, int]]:
    """Cut a side into dashes that begin and end with one, so that corners show."""
    if dash is None:
        return [(start, stop)]
    mark, gap = dash[0] * line_px, dash[1] * line_px
    gaps = max(1, round((stop - start - mark) / (mark + gap)))
    # Dash and gap shrink or grow together until they fill the side exactly.
    fit = (stop - start) / (gaps * (mark + gap) + mark)
    starts = [start + step * (mark + gap) * fit for step in range(gaps + 1)]
    return [(round(at), max(round(at + mark * fit), round(at) + 1)) for at in starts]


def _captions(
    label: Label, certainty: float, style: Style, *, face_px: float, side_px: int
) -> list[Caption]:
    """Return the ways to write about a face: large to small, then shorter."""
    full = describe(label, certainty, style)
    short = describe(label, certainty, replace(style, labels=False))
    large, usual, small = (
        round(style.scale * max(least, share * side_px))
        for least, share in zip(_TEXT_MIN_PX, _TEXT_SHARES, strict=True)
    )
    ways = dict.fromkeys([(full, large), (full, usual), (full, small), (short, small)])
    captions = [Caption(*way, _plate_wh(*way)) for way in ways if way[0]]
    return [
        one
        for one in captions
        if one.text_px == small or one.size_wh[0] <= _MAX_LARGE_WIDTH * face_px
    ]


@lru_cache(maxsize=2048)
def _plate_wh(text: str, text_px: int) -> tuple[int, int]:
    """Return width and height of a caption's plate, in pixels."""
    (width, _), _ = cv2.getTextSize(text, _FONT, *_pen(text_px))
    margins_px = 2 * _PADDING * text_px
    return round(width / _OVERSAMPLING + margins_px), round(text_px + margins_px)


def _pen(text_px: int) -> tuple[float, int]:
    """Return scale and stroke of the oversampled letters."""
    cap_px = text_px * _OVERSAMPLING
    return cap_px / _FONT_CAP_PX, max(1, round(cap_px * _STROKE))


@lru_cache(maxsize=512)
def _letters(text: str, text_px: int) -> NDArray[np.float32]:
    """Return how much ink, 0 to 1, each pixel of a caption's plate gets."""
    width, height = _plate_wh(text, text_px)
    scale, stroke_px = _pen(text_px)
    plate = np.zeros((height * _OVERSAMPLING, width * _OVERSAMPLING), np.uint8)
    left = round(_PADDING * text_px * _OVERSAMPLING)
    base = (plate.shape[0] + text_px * _OVERSAMPLING) // 2
    cv2.putText(plate, text, (left, base), _FONT, scale, 255, stroke_px, cv2.LINE_AA)
    averaged = cv2.resize(plate, (width, height), interpolation=cv2.INTER_AREA)
    ink: NDArray[np.float32] = np.divide(averaged, 255, dtype=np.float32)
    ink.flags.writeable = False  # one array serves every later picture
    return ink


def _write(canvas: Image, placed: Placed, colour: BGR) -> None:
    """Draw a caption on its plate."""
    x1, y1, x2, y2 = placed.box
    ink = _letters(placed.caption.text, placed.caption.text_px)[..., None]
    paper = np.array(colour, np.float32)
    plate = paper + ink * (np.array(ink_bgr(colour), np.float32) - paper)
    canvas[y1:y2, x1:x2] = np.rint(plate).astype(np.uint8)
