"""Boxes, captions and distances on a picture, told apart by more than colour."""

from maskdet.drawing.blurring import blurred, coarse, hidden
from maskdet.drawing.picture import draw
from maskdet.style import Style, describe, line_style

__all__ = [
    "Style",
    "blurred",
    "coarse",
    "describe",
    "draw",
    "hidden",
    "line_style",
]
