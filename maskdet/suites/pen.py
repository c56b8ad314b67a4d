"""The pen that the empty pictures are drawn with, and the camera that sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.types import Image

Rng: TypeAlias = np.random.Generator
FloatArray: TypeAlias = NDArray[np.float64]
Colour: TypeAlias = FloatArray | tuple[float, ...]

SIZE_WH: Final = (640, 480)
"""Of the pictures, in pixels, as a camera gives them."""

_SUBPIXEL_BITS: Final = 3
"""Bits behind the point, with which OpenCV draws more finely than in whole pixels."""


def simulate_camera(image: Image, rng: Rng) -> Image:
    """Return a drawing as if a camera had seen it."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width] / max(height, width)
    slope = rng.uniform(-0.5, 0.5, 2)
    light = rng.uniform(0.7, 1.1) + slope[0] * (x - 0.5) + slope[1] * (y - 0.4)
    captured = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6)) * light[..., None]
    captured += rng.standard_normal(image.shape, np.float32) * rng.uniform(1, 7)
    captured_uint8 = np.clip(np.rint(captured), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    _, data = cv2.imencode(".jpg", captured_uint8, quality)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def offset_point(point: FloatArray, dx: float, dy: float) -> FloatArray:
    """Return another place, so many pixels from this one."""
    result: FloatArray = point + np.array([dx, dy])
    return result


def draw_ellipse(
    image: Image,
    centre: FloatArray,
    axes: tuple[float, float],
    colour: Colour,
    *,
    angle_deg: float = 0.0,
    arc: tuple[float, float] = (0.0, 360.0),
    thickness: int = cv2.FILLED,
) -> None:
    """Draw an ellipse, or an arc of it, upon the image; angles in degrees."""
    fixed_centre = [round(float(value) * 2**_SUBPIXEL_BITS) for value in centre]
    fixed_axes = [max(1, round(float(value) * 2**_SUBPIXEL_BITS)) for value in axes]
    bgr = [float(value) for value in colour]
    line_type = cv2.LINE_AA
    cv2.ellipse(
        image,
        fixed_centre,
        fixed_axes,
        angle_deg,
        *arc,
        bgr,
        thickness,
        line_type,
        _SUBPIXEL_BITS,
    )


def draw_line(
    image: Image,
    points: Sequence[FloatArray],
    colour: Colour,
    *,
    thickness: int = 1,
) -> None:
    """Draw a line through points upon the image."""
    corners = np.rint(np.array(points) * 2**_SUBPIXEL_BITS).astype(np.int32)
    bgr = [float(value) for value in colour]
    cv2.polylines(image, [corners], False, bgr, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
