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
    Field,
    Rng,
    as_photographed,
    ellipse,
    line,
    moved,
)
from maskdet.suites.round_things import RADII_PX
from maskdet.suites.walls import background
from maskdet.synthetic.fabric import any_colour
from maskdet.types import Image

Cartoon: TypeAlias = Literal["smileys", "line drawings", "cartoons"]
CARTOONS: Final[tuple[Cartoon, ...]] = get_args(Cartoon)

_SKINS: Final = ((170, 200, 240), (130, 170, 225), (90, 130, 190), (50, 80, 120))
_WHITE: Final = (245, 245, 245)
_INK: Final = (25, 25, 25)


def cartoon(kind: Cartoon, rng: Rng) -> Image:
    """Return a wall or a sheet with one drawn face of this kind upon it."""
    image = background(rng)
    if kind == "line drawings":
        image[:] = rng.integers(215, 256, 3)
    radius = float(np.exp(rng.uniform(*np.log(RADII_PX)))) * 1.4
    centre = rng.uniform(1.3 * radius, np.array(SIZE_WH) - 1.3 * radius)
    _PAINTERS[kind](image, centre, radius, rng)
    return as_photographed(image, rng)


def _smiley(image: Image, centre: Field, radius: float, rng: Rng) -> None:
    thick = max(1, round(radius / 14))
    yellow = rng.uniform((0, 170, 210), (90, 230, 256))
    ellipse(image, centre, (radius, radius), _INK)
    ellipse(image, centre, (radius - thick, radius - thick), yellow)
    for side in (-1, 1):
        eye = centre + np.array([side * 0.35, -0.25]) * radius
        ellipse(image, eye, (radius * 0.1, radius * 0.16), _INK)
    arc = (20.0, 160.0) if rng.random() < 0.7 else (200.0, 340.0)
    mouth = centre + np.array([0, 0.15 if arc[0] < 90 else 0.65]) * radius
    ellipse(image, mouth, (radius * 0.55, radius * 0.42), _INK, arc=arc, thick=thick)


def _line_drawing(image: Image, centre: Field, radius: float, rng: Rng) -> None:
    """Draw outline, eyes, brows, nose and mouth in one thin pen, as on paper."""
    pen = max(1, round(radius / 30))
    width = radius * rng.uniform(0.7, 0.85)
    ellipse(image, centre, (width, radius), _INK, thick=pen)
    for side in (-1, 1):
        eye = moved(centre, side * 0.36 * width, -0.15 * radius)
        ellipse(image, eye, (0.18 * width, 0.08 * radius), _INK, thick=pen)
        ellipse(image, eye, (0.06 * width, 0.06 * radius), _INK)
        brow = moved(eye, 0, -0.1 * radius)
        axes = (0.22 * width, 0.1 * radius)
        ellipse(image, brow, axes, _INK, arc=(200, 340), thick=2 * pen)
        ear = moved(centre, side * width, 0)
        ellipse(image, ear, (0.1 * width, 0.18 * radius), _INK, thick=pen)
    nose = [(0.0, -0.1), (-0.1, 0.22), (0.06, 0.24)]
    line(image, [centre + np.array(one) * radius for one in nose], _INK, thick=pen)
    mouth = moved(centre, 0, rng.uniform(0.4, 0.5) * radius)
    bow = (0.32 * width, rng.uniform(0.03, 0.14) * radius)
    ellipse(image, mouth, bow, _INK, arc=(0, 180), thick=pen)
    for start in np.linspace(-0.9, 0.9, 14):  # hair
        root = moved(centre, start * width, -np.sqrt(1 - start**2) * radius)
        tip = root + rng.uniform((-0.1, -0.25), (0.1, -0.05)) * radius
        line(image, [root, tip], _INK, thick=pen)


def _cartoon(image: Image, centre: Field, radius: float, rng: Rng) -> None:
    """Draw a flat coloured head with large eyes, every third with a mask before it."""
    skin = np.array(_SKINS[rng.integers(len(_SKINS))], float)
    hair = np.array(any_colour(rng)) * 0.5
    width = radius * 0.85
    ellipse(image, moved(centre, 0, -0.2 * radius), (1.08 * width, radius), hair)
    ellipse(image, centre, (width, radius * 0.95), skin)
    fringe = (width, 0.85 * radius)
    ellipse(image, moved(centre, 0, -0.1 * radius), fringe, hair, arc=(205, 335))
    for side in (-1, 1):
        eye = moved(centre, side * 0.38 * width, -0.05 * radius)
        ellipse(image, eye, (0.22 * width, 0.2 * radius), _WHITE)
        ellipse(image, moved(eye, 0.03 * radius, 0), (0.1 * width, 0.11 * radius), _INK)
    if rng.random() < 1 / 3:
        mask = np.array(any_colour(rng), float)
        lower = moved(centre, 0, 0.48 * radius)
        ellipse(image, lower, (0.72 * width, 0.34 * radius), mask)
        return
    ellipse(image, moved(centre, 0, 0.25 * radius), (0.09 * width,) * 2, skin * 0.8)
    mouth = moved(centre, 0, 0.5 * radius)
    ellipse(image, mouth, (0.3 * width, 0.16 * radius), (60, 50, 180), arc=(0, 180))


_PAINTERS: Final[dict[Cartoon, Callable[[Image, Field, float, Rng], None]]] = {
    "smileys": _smiley,
    "line drawings": _line_drawing,
    "cartoons": _cartoon,
}
