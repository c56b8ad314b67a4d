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
from maskdet.types import Image

_SKIN: Final = 150.0
_PAPER: Final = 215.0
"""Grey level of lit skin and of the brightest tenth of a well exposed picture: what
a face and its picture fall short of these, a mask in them must fall short of too."""

_STRAP: Final = (235, 235, 235)

_DETAIL_PX: Final = 96.0
"""Eye distance, in pixels, beyond which a mask gets no finer detail."""

_WINDOW: Final = 1.8
"""How far around the face is painted, in eye distances."""

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
    window = _window(head, image)
    x1, y1, x2, y2 = window
    result = image.copy()
    if x2 <= x1 or y2 <= y1:
        return result
    skin = image[y1:y2, x1:x2].astype(np.float64)
    cover, fabric = _fabric(mask, head, window, rng)
    light = _light(skin, cover, image, head)
    skin *= 1 - 0.3 * _shadow(cover, head)[..., None]
    strap = mask.colour if mask.kind in ("cloth", "black") else _STRAP
    loops = _loops(mask, head, window)[..., None]
    skin += loops * (np.array(strap) * light - skin)
    painted = skin * (1 - cover[..., None]) + fabric * light
    result[y1:y2, x1:x2] = np.rint(np.clip(painted, 0, 255)).astype(np.uint8)
    return result


def _window(head: Head, image: Image) -> tuple[int, int, int, int]:
    """Return the part of the picture that may change, `x1, y1, x2, y2`."""
    centre = head.project(np.array([[0.0, 1.0, 0.0]]))[0]
    reach = _WINDOW * head.eyes_px
    height, width = image.shape[:2]
    x1, y1 = (int(max(value, 0)) for value in centre - reach)
    x2, y2 = (int(value) for value in np.minimum(centre + reach, (width, height)))
    return x1, y1, x2, y2


def _fabric(
    mask: Mask,
    head: Head,
    window: tuple[int, int, int, int],
    rng: np.random.Generator,
) -> tuple[Field, Field]:
    """Return how much of each pixel is mask, and that much of its colour.

    Small faces are painted larger and averaged down, so that thin lines stay even;
    large ones smaller and enlarged, so that no face takes long.
    """
    zoom = min(2.0, _DETAIL_PX / head.eyes_px)
    wh = (window[2] - window[0], window[3] - window[1])
    shape = (max(1, round(wh[1] * zoom)), max(1, round(wh[0] * zoom)))
    surface = head.surface(window, shape)
    depth, down = coverage(mask, surface, head.chin_y)
    cover = np.clip(0.5 + depth * head.eyes_px * zoom, 0, 1)
    colour = paint(mask, surface, down, rng)
    colour *= (cover * (0.72 + 0.28 * surface.facing))[..., None]
    how = cv2.INTER_AREA if zoom > 1 else cv2.INTER_LINEAR
    pixels_cover: Field = np.asarray(cv2.resize(cover, wh, interpolation=how), float)
    pixels_colour: Field = np.asarray(cv2.resize(colour, wh, interpolation=how), float)
    return pixels_cover, pixels_colour


def _light(skin: Field, cover: Field, image: Image, head: Head) -> Field:
    """Return the `(h, w, 3)` light on the mask, 1 = bright, even and white."""
    grey = cv2.cvtColor(skin.astype(np.float32), cv2.COLOR_BGR2GRAY)
    # Wide enough to lose lips and nostrils, narrow enough to keep light and shade.
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.3 * head.eyes_px).astype(np.float64)
    level = float((smooth * cover).sum() / max(cover.sum(), 1e-6))
    step = max(1, max(image.shape) // 200)
    sample = image[::step, ::step].reshape(-1, 3).astype(np.float64)
    brightest = float(np.percentile(sample.mean(axis=1), 90))
    exposure = np.clip(0.5 * level / _SKIN + 0.5 * brightest / _PAPER, 0.3, 1.1)
    # The colour of the light, weakly: most of a picture's colour is not its light.
    means = sample.mean(axis=0) + 1
    tint = np.clip((means / means.mean()) ** 0.25, 0.85, 1.15)
    shade = np.clip(smooth / max(level, 1.0), 0.35, 1.5)
    light: Field = exposure * shade[..., None] * tint
    return light


def _shadow(cover: Field, head: Head) -> Field:
    """Return the `(h, w)` shadow that the mask throws below itself, 0 to 1."""
    fall_px = 0.06 * head.eyes_px
    moved = cv2.warpAffine(
        cover.astype(np.float32),
        np.array([[1, 0, 0], [0, 1, fall_px]], np.float32),
        cover.shape[::-1],
    )
    blurred = cv2.GaussianBlur(moved, (0, 0), max(0.5, 0.07 * head.eyes_px))
    return blurred.astype(np.float64) * (1 - cover)


def _loops(mask: Mask, head: Head, window: tuple[int, int, int, int]) -> Field:
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
