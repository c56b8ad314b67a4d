"""The pen that the empty pictures are drawn with, and the camera that sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.types import Image

Rng: TypeAlias = np.random.Generator
Field: TypeAlias = NDArray[np.float64]
Colour: TypeAlias = Field | tuple[float, ...]

SIZE_WH: Final = (640, 480)
"""Of the pictures, in pixels, as a camera gives them."""

_FINE: Final = 3
"""Bits behind the point, with which OpenCV draws more finely than in whole pixels."""


def as_photographed(image: Image, rng: Rng) -> Image:
    """Return a drawing as if a camera had seen it."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width] / max(height, width)
    slope = rng.uniform(-0.5, 0.5, 2)
    light = rng.uniform(0.7, 1.1) + slope[0] * (x - 0.5) + slope[1] * (y - 0.4)
    seen = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6)) * light[..., None]
    seen += rng.standard_normal(image.shape, np.float32) * rng.uniform(1, 7)
    seen8 = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    _, data = cv2.imencode(".jpg", seen8, quality)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def moved(place: Field, right: float, down: float) -> Field:
    """Return another place, so many pixels from this one."""
    result: Field = place + np.array([right, down])
    return result


def ellipse(
    image: Image,
    centre: Field,
    axes: tuple[float, float],
    colour: Colour,
    *,
    turn: float = 0.0,
    arc: tuple[float, float] = (0.0, 360.0),
    thick: int = cv2.FILLED,
) -> None:
    """Draw an ellipse, or an arc of it, upon the image; angles in degrees."""
    middle = [round(float(value) * 2**_FINE) for value in centre]
    halves = [max(1, round(float(value) * 2**_FINE)) for value in axes]
    bgr = [float(value) for value in colour]
    edge = cv2.LINE_AA
    cv2.ellipse(image, middle, halves, turn, *arc, bgr, thick, edge, _FINE)


def line(
    image: Image,
    points: Sequence[Field],
    colour: Colour,
    *,
    thick: int = 1,
) -> None:
    """Draw a line through points upon the image."""
    corners = np.rint(np.array(points) * 2**_FINE).astype(np.int32)
    bgr = [float(value) for value in colour]
    cv2.polylines(image, [corners], False, bgr, thick, cv2.LINE_AA, _FINE)
