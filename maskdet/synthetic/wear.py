"""Drawing a mask on a bare face, in the light that lies on it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.synthetic.fabric import (
    SIDE_ANGLE,
    Field,
    Mask,
    coverage,
    edges_y,
    paint,
)
from maskdet.synthetic.head import EAR_X, EAR_Z, Head
from maskdet.synthetic.layers import (
    Window,
    detail,
    light_on,
    shadow_of,
    to_pixels,
    window_around,
)
from maskdet.types import Image

_STRAP: Final = (235, 235, 235)

_WINDOW: Final = 1.8
"""How far around the mouth is painted, in eye distances."""

_HIDDEN_EAR: Final = -0.2
"""An ear turned further away than this (sine of the head's turn) is not seen."""

_EAR_Y: Final = (0.2, 0.65)
_ALONG: Final = np.linspace(0, 1, 9)[:, None]


def wear_mask(
    image: Image,
    landmarks: NDArray[np.floating],
    mask: Mask = Mask(),  # noqa: B008 - frozen
    *,
    box: NDArray[np.floating] | None = None,
    rng: np.random.Generator | None = None,
) -> Image:
    """Draw a mask on a bare face.

    The mask follows the head's turn and lean, lies in the light that lay on the face
    below it, throws a weak shadow and hangs on loops around the ears. The same
    arguments and generator state give the same picture.

    Args:
        image: `(h, w, 3)` uint8 BGR; not changed.
        landmarks: `(5, 2)` right eye, left eye, nose, right and left corner of the
            mouth in pixels; the person's right is the image's left (as YuNet).
        mask: what is worn and how.
        box: `(4,)` `x1, y1, x2, y2` of the face; tells where the chin is.
        rng: decides the creases; the same ones each time if it is not given.

    Raises:
        ValueError: the landmarks do not make a face.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    head = Head.fit(landmarks, bottom_px=None if box is None else float(box[3]))
    window = window_around(head, image, _WINDOW)
    x1, y1, x2, y2 = window
    result = image.copy()
    if x2 <= x1 or y2 <= y1:
        return result
    result[y1:y2, x1:x2] = _painted(image, mask, head, window, rng)
    return result


def _painted(
    image: Image, mask: Mask, head: Head, window: Window, rng: np.random.Generator
) -> Image:
    """Return the part of the picture in the window, with the mask on it."""
    x1, y1, x2, y2 = window
    skin = image[y1:y2, x1:x2].astype(np.float64)
    cover, fabric = _fabric(mask, head, window, rng)
    light = light_on(skin, cover, image, head)
    skin *= 1 - 0.3 * shadow_of(cover, head)[..., None]
    strap = mask.colour if mask.kind in ("cloth", "black") else _STRAP
    loops = _loops(mask, head, window)[..., None]
    skin += loops * (np.array(strap) * light - skin)
    painted = skin * (1 - cover[..., None]) + fabric * light
    return np.rint(np.clip(painted, 0, 255)).astype(np.uint8)


def _fabric(
    mask: Mask,
    head: Head,
    window: Window,
    rng: np.random.Generator,
) -> tuple[Field, Field]:
    """Return how much of each pixel is mask, and that much of its colour."""
    zoom, shape = detail(head, window)
    surface = head.surface(window, shape)
    depth, down = coverage(mask, surface, head.chin_y)
    cover = np.clip(0.5 + depth * head.eyes_px * zoom, 0, 1)
    colour = paint(mask, surface, down, rng)
    colour *= (cover * (0.72 + 0.28 * surface.facing))[..., None]
    return to_pixels(cover, window, zoom), to_pixels(colour, window, zoom)


def _loops(mask: Mask, head: Head, window: Window) -> Field:
    """Return how much of the ear loops each pixel of the window shows, 0 to 1."""
    canvas = np.zeros((window[3] - window[1], window[2] - window[0]), np.uint8)
    width_px = 0.032 * head.eyes_px
    heights = edges_y(mask, np.array([0.97]), head.chin_y)
    for side in (-1, 1):
        if side * head.turn[2, 0] < _HIDDEN_EAR:
            continue
        for height, ear_y in zip(heights, _EAR_Y, strict=True):
            corner = head.point(side * 0.97 * SIDE_ANGLE, float(height[0]))
            ear = np.array([side * EAR_X, ear_y, EAR_Z])
            curve = head.project(corner + _ALONG * (ear - corner)) - window[:2]
            fixed = np.rint(curve * 16).astype(np.int32)
            thick = max(1, round(width_px))
            cv2.polylines(canvas, [fixed], False, 255, thick, cv2.LINE_AA, shift=4)
    return canvas / 255 * min(1.0, width_px)
