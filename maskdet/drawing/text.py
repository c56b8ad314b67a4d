"""Text in images, set in Source Sans Pro Semibold, the typeface of the dashboard."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskdet.style import BGR
from maskdet.types import Image

if TYPE_CHECKING:
    from PIL import ImageFont

_CAP_RATIO = 0.66
"""Height of a capital letter of this font, in font sizes (its OS/2 table)."""

_DESCENT_RATIO = 0.32
"""Depth of "g" below the baseline, in heights of a capital letter."""


def measure_text(text: str, cap_px: float) -> float:
    """Return the width of a line of text, in pixels.

    Args:
        text: one line, in the characters of `maskdet.style.is_drawable`.
        cap_px: height of capital letters, in pixels.
    """
    return float(_load_font(cap_px).getlength(text))


def draw_text(
    canvas: Image,
    text: str,
    origin: tuple[float, float],
    cap_px: float,
    colour: BGR,
    *,
    edge_colour: BGR | None = None,
) -> None:
    """Draw a line of text on an image; what is outside the image is cut off.

    Args:
        canvas: `(h, w, 3)` uint8 image to draw on.
        text: one line.
        origin: x of the left end and y of the baseline, in pixels.
        cap_px: height of capital letters, in pixels.
        colour: colour of the text.
        edge_colour: colour of an edge around the letters, which makes them readable on
            any background; None for no edge.
    """
    edge_px = 0 if edge_colour is None else max(1, round(cap_px / 5))
    margin = edge_px + 1
    above, below = margin + 1.3 * cap_px, margin + _DESCENT_RATIO * cap_px
    x1, y1 = int(origin[0] - margin), int(origin[1] - above)
    x2 = int(origin[0] + measure_text(text, cap_px) + margin) + 1
    y2 = int(origin[1] + below) + 1
    left, top = max(x1, 0), max(y1, 0)
    right, bottom = min(x2, canvas.shape[1]), min(y2, canvas.shape[0])
    if left >= right or top >= bottom:
        return
    area = canvas[top:bottom, left:right]
    start = origin[0] - left, origin[1] - top
    size_wh = right - left, bottom - top
    for ink, stroke_px in ((edge_colour, edge_px), (colour, 0)):
        if ink is not None:
            opacity = render_text([(text, cap_px)], start, size_wh, stroke_px=stroke_px)
            blend(area, np.array(ink, np.float32), opacity[..., None])


def render_text(
    runs: list[tuple[str, float]],
    origin: tuple[float, float],
    size_wh: tuple[int, int],
    *,
    stroke_px: float = 0,
) -> NDArray[np.float32]:
    """Return the `(height, width)` opacity of text, 0 to 1.

    Args:
        runs: texts with the height of their capital letters, set one after another.
        origin: x of the left end and y of the baseline, in pixels.
        size_wh: width and height of the result, in pixels.
        stroke_px: width of an outline by which the letters are thickened.
    """
    from PIL import Image as PillowImage
    from PIL import ImageDraw

    plate = PillowImage.new("L", size_wh)
    pen = ImageDraw.Draw(plate)
    x = origin[0]
    for text, cap_px in runs:
        font = _load_font(cap_px)
        position = x, origin[1]
        pen.text(position, text, 255, font, anchor="ls", stroke_width=stroke_px)
        x += font.getlength(text)
    opacity: NDArray[np.float32] = np.divide(np.asarray(plate), 255, dtype=np.float32)
    return opacity


def blend(
    area: Image | NDArray[np.float32],
    ink: NDArray[np.float32],
    opacity: NDArray[np.float32],
) -> None:
    """Lay a colour, or an image of the same size, over a part of an image, in place.

    Args:
        area: `(h, w, 3)`, a view into the image.
        ink: `(3,)` or `(h, w, 3)`.
        opacity: `(h, w, 1)`, from 0 to 1.
    """
    area[:] = np.rint(area + opacity * (ink - area))


@lru_cache(maxsize=64)
def _load_font(cap_px: float) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    # The basic layout needs no library besides Pillow and is the same on each system.
    path = files("font_source_sans_pro") / "files" / "SourceSansPro-Semibold.ttf"
    size_px = max(1.0, cap_px / _CAP_RATIO)  # FreeType refuses smaller ones
    return ImageFont.truetype(str(path), size_px, layout_engine=ImageFont.Layout.BASIC)
