"""Drawing a mask on a bare face, in the light that lies on it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.synthetic.fabric import (
    SIDE_ANGLE,
    FloatArray,
    Mask,
    compute_coverage,
    compute_edges_y,
    render_fabric,
)
from maskdet.synthetic.head import EAR_X, EAR_Z, Head
from maskdet.synthetic.layers import (
    PixelWindow,
    cast_shadow,
    compute_grid_resolution,
    compute_window,
    estimate_light,
    resample_to_pixels,
)
from maskdet.types import Image

_STRAP_COLOUR: Final = (235, 235, 235)

_WINDOW_REACH: Final = 1.8
"""How far around the mouth is painted, in eye distances."""

_MIN_VISIBLE_EAR_SINE: Final = -0.2
"""An ear turned further away than this (sine of the head's turn) is not seen."""

_EAR_Y: Final = (0.2, 0.65)
_LOOP_STEPS: Final = np.linspace(0, 1, 9)[:, None]


def render_mask(
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
    window = compute_window(head, image, _WINDOW_REACH)
    x1, y1, x2, y2 = window
    result = image.copy()
    if x2 <= x1 or y2 <= y1:
        return result
    result[y1:y2, x1:x2] = _render_window(image, mask, head, window, rng)
    return result


def _render_window(
    image: Image, mask: Mask, head: Head, window: PixelWindow, rng: np.random.Generator
) -> Image:
    """Return the part of the picture in the window, with the mask on it."""
    x1, y1, x2, y2 = window
    skin = image[y1:y2, x1:x2].astype(np.float64)
    cover, fabric = _render_mask_layer(mask, head, window, rng)
    light = estimate_light(skin, cover, image, head)
    skin *= 1 - 0.3 * cast_shadow(cover, head)[..., None]
    strap = mask.colour if mask.kind in ("cloth", "black") else _STRAP_COLOUR
    loops = _render_ear_loops(mask, head, window)[..., None]
    skin += loops * (np.array(strap) * light - skin)
    painted = skin * (1 - cover[..., None]) + fabric * light
    return np.rint(np.clip(painted, 0, 255)).astype(np.uint8)


def _render_mask_layer(
    mask: Mask,
    head: Head,
    window: PixelWindow,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return how much of each pixel is mask, and that much of its colour."""
    zoom, shape = compute_grid_resolution(head, window)
    surface = head.raycast_surface(window, shape)
    depth, down = compute_coverage(mask, surface, head.chin_y)
    cover = np.clip(0.5 + depth * head.eyes_px * zoom, 0, 1)
    colour = render_fabric(mask, surface, down, rng)
    colour *= (cover * (0.72 + 0.28 * surface.facing))[..., None]
    return resample_to_pixels(cover, window, zoom), resample_to_pixels(
        colour, window, zoom
    )


def _render_ear_loops(mask: Mask, head: Head, window: PixelWindow) -> FloatArray:
    """Return how much of the ear loops each pixel of the window shows, 0 to 1."""
    canvas = np.zeros((window[3] - window[1], window[2] - window[0]), np.uint8)
    width_px = 0.032 * head.eyes_px
    heights = compute_edges_y(mask, np.array([0.97]), head.chin_y)
    for side in (-1, 1):
        if side * head.rotation[2, 0] < _MIN_VISIBLE_EAR_SINE:
            continue
        for height, ear_y in zip(heights, _EAR_Y, strict=True):
            corner = head.point_at(side * 0.97 * SIDE_ANGLE, float(height[0]))
            ear = np.array([side * EAR_X, ear_y, EAR_Z])
            curve = head.project(corner + _LOOP_STEPS * (ear - corner)) - window[:2]
            fixed = np.rint(curve * 16).astype(np.int32)
            thick = max(1, round(width_px))
            cv2.polylines(canvas, [fixed], False, 255, thick, cv2.LINE_AA, shift=4)
    return canvas / 255 * min(1.0, width_px)
