"""Render look-alikes of a face without a mask: clear shields and printed mouths.

A mouth is visible, but the face is covered. They are not used in training.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.synthetic.compositing import (
    Canvas,
    FloatArray,
    composite,
    create_canvas,
    generate_smooth_noise,
)
from maskdet.synthetic.head import MOUTH_Y, Head
from maskdet.synthetic.masks import Mask, render_mask, sample_colour
from maskdet.types import Image, Rng

Lookalike: TypeAlias = Literal["clear shield", "printed lips", "printed face"]
LOOKALIKES: Final[tuple[Lookalike, ...]] = get_args(Lookalike)


_HEADBAND_Y: Final = (-0.95, -0.62)
"""Height of the headband of a shield, in eye distances below the eyes."""

_LIP_COLOUR: Final = (70.0, 60.0, 185.0)
_TEETH_COLOUR: Final = (232.0, 238.0, 242.0)


def render_lookalike(
    image: Image,
    landmarks: NDArray[np.floating],
    kind: Lookalike,
    *,
    box: NDArray[np.floating] | None = None,
    rng: Rng,
) -> Image:
    """Render a look-alike on an unmasked face.

    Args:
        image: `(h, w, 3)` uint8 BGR; not changed.
        landmarks: `(5, 2)` as in `render_mask`.
        kind: `clear shield`: a transparent visor; `printed lips`: a mask with a drawn
            mouth; `printed face`: a mask with a photograph of the lower face of its
            wearer.
        box: `(4,)` `x1, y1, x2, y2` of the face, which gives the position of the chin.
        rng: random generator of colours, reflections and sizes.

    Raises:
        ValueError: the landmarks do not form a face, or the kind is unknown.
    """
    if kind not in LOOKALIKES:
        raise ValueError(f"kind must be one of {', '.join(LOOKALIKES)}, got {kind!r}")
    head = Head.fit(landmarks, box)
    if kind == "printed face":
        return _render_printed_face(image, landmarks, head, box, rng)
    base_image = image
    if kind == "printed lips":
        cloth = Mask("cloth", colour=sample_colour(rng))
        base_image = render_mask(image, landmarks, cloth, box=box, rng=rng)
    canvas = create_canvas(base_image, head, reach=2.2)
    if canvas is None:
        return base_image.copy()
    if kind == "clear shield":
        _paint_shield(canvas, rng)
    else:
        _paint_lips(canvas, rng)
    return composite(base_image, canvas)


def _paint_shield(canvas: Canvas, rng: Rng) -> None:
    """Paint a visor from forehead to chin: haze, reflections, rim, headband."""
    x, y = canvas.plane
    half = rng.uniform(1.05, 1.3)
    top, bottom = _HEADBAND_Y[0], canvas.head.chin_y + rng.uniform(0.25, 0.6)
    corner = 0.35
    away_x = np.clip(np.abs(x) - half + corner, 0, None)
    away_y = np.clip(y - bottom + corner, 0, None)
    depth = np.minimum(corner - np.hypot(away_x, away_y), y - top)
    inside = np.clip(0.5 + depth * canvas.eyes_px * canvas.zoom, 0, 1)
    white = np.full((*canvas.shape, 3), 245.0)
    canvas.add(inside * rng.uniform(0.04, 0.14), white)
    for _ in range(rng.integers(1, 4)):
        lean, centre_x = rng.uniform(-0.6, 0.6), rng.uniform(-0.9, 0.9)
        width = rng.uniform(0.04, 0.22)
        streak = np.exp(-(((x - centre_x + lean * (y - 0.6)) / width) ** 2))
        fade = np.clip(1 - np.abs(y - rng.uniform(-0.3, 1.4)) / 1.3, 0, 1)
        canvas.add(inside * streak * fade * rng.uniform(0.2, 0.6), white)
    rim = np.exp(-((depth / 0.025) ** 2)) * (depth > -0.05)
    canvas.add(rim * rng.uniform(0.4, 0.8), white * rng.uniform(0.5, 1.0))
    band = np.minimum(np.minimum(y - top, _HEADBAND_Y[1] - y), half - np.abs(x))
    cover = np.clip(0.5 + band * canvas.eyes_px * canvas.zoom, 0, 1)
    colour = (236.0, 238.0, 240.0) if rng.random() < 0.6 else sample_colour(rng)
    foam = 1 + 0.02 * generate_smooth_noise(canvas.shape, canvas.eyes_px * 0.02, rng)
    canvas.add(cover * 0.95, np.array(colour, float) * foam[..., None])


def _paint_lips(canvas: Canvas, rng: Rng) -> None:
    """Paint a mouth over the real one: closed, or a smile with teeth."""
    x, y = canvas.plane
    y = y - MOUTH_Y - rng.uniform(-0.05, 0.1)
    half, half_height = rng.uniform(0.38, 0.55), rng.uniform(0.1, 0.2)
    bend = rng.uniform(0.0, 0.3) * (x / half) ** 2 * half_height
    across = np.clip(1 - (x / half) ** 2, 0, None)
    bow = 1 - 0.25 * np.exp(-((x / 0.12) ** 2))
    edge = np.where(y + bend < 0, half_height * bow, 1.25 * half_height) * np.sqrt(
        across
    )
    depth = edge - np.abs(y + bend)
    cover = np.clip(0.5 + depth * canvas.eyes_px * canvas.zoom, 0, 1) * (across > 0)
    colour = (
        np.array(_LIP_COLOUR) * rng.uniform(0.8, 1.15) * np.ones((*canvas.shape, 3))
    )
    is_open = rng.random() < 0.5
    middle = np.abs(y + bend) < (0.45 * edge if is_open else 0.06 * half_height + 0.01)
    inner = np.array(_TEETH_COLOUR if is_open else (40.0, 30.0, 90.0))
    canvas.add(cover, np.where(middle[..., None], inner, colour))


def _render_printed_face(
    image: Image,
    landmarks: NDArray[np.floating],
    head: Head,
    box: NDArray[np.floating] | None,
    rng: Rng,
) -> Image:
    """Render a mask with the lower face printed on it, up to a plain rim."""
    masked = render_mask(
        image, landmarks, Mask(colour=sample_colour(rng)), box=box, rng=rng
    )
    changed = np.abs(masked.astype(int) - image).max(axis=2) > 6
    cover = cv2.morphologyEx(
        changed.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    rim_px = max(1, round(head.eyes_px * rng.uniform(0.06, 0.16)))
    kernel = np.ones((2 * rim_px + 1, 2 * rim_px + 1), np.uint8)
    printed: FloatArray = cv2.erode(cover, kernel).astype(np.float64)
    soft = cv2.GaussianBlur(printed, (0, 0), max(0.5, 0.02 * head.eyes_px))
    # A print has less contrast and slightly different colours.
    tone = np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.08, 0.08, 3)
    flat = 128 + (image.astype(np.float64) - 128) * rng.uniform(0.75, 0.95)
    opacity = soft[..., None] * rng.uniform(0.8, 0.97)
    mixed = masked * (1 - opacity) + np.clip(flat * tone, 0, 255) * opacity
    result: Image = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    return result
