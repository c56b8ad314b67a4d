"""Drawn faces: smileys, line drawings and cartoons.

Whether a drawing of a face is a face is a matter of taste: what finders make of these
is told apart from their false alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from maskdet.suites.pen import (
    SIZE_WH,
    FloatArray,
    Rng,
    draw_ellipse,
    draw_line,
    offset_point,
    simulate_camera,
)
from maskdet.suites.round_things import RADIUS_RANGE_PX
from maskdet.suites.walls import draw_background
from maskdet.synthetic.fabric import sample_colour
from maskdet.types import Image

CartoonKind: TypeAlias = Literal["smileys", "line drawings", "cartoons"]
CARTOON_KINDS: Final[tuple[CartoonKind, ...]] = get_args(CartoonKind)

_CARTOON_SKINS: Final = (
    (170, 200, 240),
    (130, 170, 225),
    (90, 130, 190),
    (50, 80, 120),
)
_WHITE: Final = (245, 245, 245)
_CARTOON_INK: Final = (25, 25, 25)


def draw_cartoon(kind: CartoonKind, rng: Rng) -> Image:
    """Return a wall or a sheet with one drawn face of this kind upon it."""
    image = draw_background(rng)
    if kind == "line drawings":
        image[:] = rng.integers(215, 256, 3)
    radius = float(np.exp(rng.uniform(*np.log(RADIUS_RANGE_PX)))) * 1.4
    centre = rng.uniform(1.3 * radius, np.array(SIZE_WH) - 1.3 * radius)
    _CARTOON_DRAWERS[kind](image, centre, radius, rng)
    return simulate_camera(image, rng)


def _draw_smiley(image: Image, centre: FloatArray, radius: float, rng: Rng) -> None:
    outline_px = max(1, round(radius / 14))
    yellow = rng.uniform((0, 170, 210), (90, 230, 256))
    draw_ellipse(image, centre, (radius, radius), _CARTOON_INK)
    draw_ellipse(image, centre, (radius - outline_px, radius - outline_px), yellow)
    for side in (-1, 1):
        eye = centre + np.array([side * 0.35, -0.25]) * radius
        draw_ellipse(image, eye, (radius * 0.1, radius * 0.16), _CARTOON_INK)
    arc = (20.0, 160.0) if rng.random() < 0.7 else (200.0, 340.0)
    mouth = centre + np.array([0, 0.15 if arc[0] < 90 else 0.65]) * radius
    draw_ellipse(
        image,
        mouth,
        (radius * 0.55, radius * 0.42),
        _CARTOON_INK,
        arc=arc,
        thickness=outline_px,
    )


def _draw_line_drawing(
    image: Image, centre: FloatArray, radius: float, rng: Rng
) -> None:
    """Draw outline, eyes, brows, nose and mouth in one thin pen, as on paper."""
    pen_px = max(1, round(radius / 30))
    width = radius * rng.uniform(0.7, 0.85)
    draw_ellipse(image, centre, (width, radius), _CARTOON_INK, thickness=pen_px)
    for side in (-1, 1):
        eye = offset_point(centre, side * 0.36 * width, -0.15 * radius)
        draw_ellipse(
            image, eye, (0.18 * width, 0.08 * radius), _CARTOON_INK, thickness=pen_px
        )
        draw_ellipse(image, eye, (0.06 * width, 0.06 * radius), _CARTOON_INK)
        brow = offset_point(eye, 0, -0.1 * radius)
        axes = (0.22 * width, 0.1 * radius)
        draw_ellipse(
            image, brow, axes, _CARTOON_INK, arc=(200, 340), thickness=2 * pen_px
        )
        ear = offset_point(centre, side * width, 0)
        draw_ellipse(
            image, ear, (0.1 * width, 0.18 * radius), _CARTOON_INK, thickness=pen_px
        )
    nose = [(0.0, -0.1), (-0.1, 0.22), (0.06, 0.24)]
    draw_line(
        image,
        [centre + np.array(offset) * radius for offset in nose],
        _CARTOON_INK,
        thickness=pen_px,
    )
    mouth = offset_point(centre, 0, rng.uniform(0.4, 0.5) * radius)
    mouth_axes = (0.32 * width, rng.uniform(0.03, 0.14) * radius)
    draw_ellipse(image, mouth, mouth_axes, _CARTOON_INK, arc=(0, 180), thickness=pen_px)
    for start in np.linspace(-0.9, 0.9, 14):  # hair
        root = offset_point(centre, start * width, -np.sqrt(1 - start**2) * radius)
        tip = root + rng.uniform((-0.1, -0.25), (0.1, -0.05)) * radius
        draw_line(image, [root, tip], _CARTOON_INK, thickness=pen_px)


def _draw_cartoon_head(
    image: Image, centre: FloatArray, radius: float, rng: Rng
) -> None:
    """Draw a flat coloured head with large eyes, every third with a mask before it."""
    skin = np.array(_CARTOON_SKINS[rng.integers(len(_CARTOON_SKINS))], float)
    hair = np.array(sample_colour(rng)) * 0.5
    width = radius * 0.85
    draw_ellipse(
        image, offset_point(centre, 0, -0.2 * radius), (1.08 * width, radius), hair
    )
    draw_ellipse(image, centre, (width, radius * 0.95), skin)
    fringe_axes = (width, 0.85 * radius)
    draw_ellipse(
        image, offset_point(centre, 0, -0.1 * radius), fringe_axes, hair, arc=(205, 335)
    )
    for side in (-1, 1):
        eye = offset_point(centre, side * 0.38 * width, -0.05 * radius)
        draw_ellipse(image, eye, (0.22 * width, 0.2 * radius), _WHITE)
        draw_ellipse(
            image,
            offset_point(eye, 0.03 * radius, 0),
            (0.1 * width, 0.11 * radius),
            _CARTOON_INK,
        )
    if rng.random() < 1 / 3:
        mask = np.array(sample_colour(rng), float)
        mask_centre = offset_point(centre, 0, 0.48 * radius)
        draw_ellipse(image, mask_centre, (0.72 * width, 0.34 * radius), mask)
        return
    draw_ellipse(
        image, offset_point(centre, 0, 0.25 * radius), (0.09 * width,) * 2, skin * 0.8
    )
    mouth = offset_point(centre, 0, 0.5 * radius)
    draw_ellipse(
        image, mouth, (0.3 * width, 0.16 * radius), (60, 50, 180), arc=(0, 180)
    )


_CARTOON_DRAWERS: Final[
    dict[CartoonKind, Callable[[Image, FloatArray, float, Rng], None]]
] = {
    "smileys": _draw_smiley,
    "line drawings": _draw_line_drawing,
    "cartoons": _draw_cartoon_head,
}
