"""Pictures without a face, drawn: round things that finders take for one.

Clocks, plates and lamps have a face's outline; balls and sockets also have two dots
where the eyes would be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

import cv2
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
from maskdet.suites.walls import background
from maskdet.synthetic.fabric import any_colour
from maskdet.types import Image

Round: TypeAlias = Literal["clocks", "plates", "lamps", "balls", "sockets"]
ROUND_THINGS: Final[tuple[Round, ...]] = get_args(Round)

RADII_PX: Final = (14.0, 90.0)


def round_things(kind: Round, rng: Rng) -> Image:
    """Return a quiet or patterned wall with 1 to 6 round things of one kind upon it."""
    image = background(rng)
    for _ in range(rng.integers(1, 7)):
        radius = float(np.exp(rng.uniform(*np.log(RADII_PX))))
        centre = rng.uniform(radius, np.array(SIZE_WH) - radius)
        _ROUND[kind](image, centre, radius, rng)
    return as_photographed(image, rng)


def _shaded(
    image: Image, centre: Field, radius: float, colour: Field, depth: float
) -> None:
    """Draw a disc as a ball lit from above left; a depth of 0 makes it flat."""
    for step in np.linspace(0, 1, 12):
        inner = centre - 0.35 * radius * step * np.array([0.7, 0.7])
        tone = np.clip(colour * (1 - depth * (1 - step)), 0, 255)
        ellipse(image, inner, (radius * (1 - 0.6 * step),) * 2, tone)


def _clock(image: Image, centre: Field, radius: float, rng: Rng) -> None:
    face, ink = np.array(any_colour(rng)) * 0.3 + 170, np.array(any_colour(rng)) * 0.4
    thick = max(1, round(radius / 18))
    ellipse(image, centre, (radius, radius), ink)
    ellipse(image, centre, (radius * 0.9, radius * 0.9), face)
    for hour in range(12):
        out = _direction(hour * 30)
        ends = [centre + out * radius * far for far in (0.72, 0.82)]
        line(image, ends, ink, thick=thick)
    for length in (0.45, 0.68):
        tip = centre + _direction(rng.uniform(0, 360)) * radius * length
        line(image, [centre, tip], ink, thick=2 * thick)


def _plate(image: Image, centre: Field, radius: float, rng: Rng) -> None:
    colour = np.array(any_colour(rng)) * 0.4 + 140
    flat = rng.uniform(0.6, 1)
    for share, tone in ((1, 0.9), (0.96, 1), (0.68, 0.86), (0.65, 0.96)):
        ellipse(image, centre, (radius * share, radius * share * flat), colour * tone)
    for _ in range(rng.integers(0, 4)):  # what is left of a meal
        place = centre + rng.uniform(-0.35, 0.35, 2) * radius
        spot = radius * rng.uniform(0.08, 0.25)
        ellipse(image, place, (spot, spot * 0.8), any_colour(rng))


def _lamp(image: Image, centre: Field, radius: float, rng: Rng) -> None:
    colour = np.array([190, 230, 250.0])
    line(image, [centre * np.array([1, 0]), centre], (40, 40, 40), thick=2)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    far = np.hypot(x - centre[0], y - centre[1]) / radius
    glow = np.exp(-((far / rng.uniform(1.2, 2)) ** 2))[..., None] * 0.7
    image[:] = np.rint(image * (1 - glow) + colour * glow).astype(np.uint8)
    _shaded(image, centre, radius * 0.7, colour, 0.15)


def _ball(image: Image, centre: Field, radius: float, rng: Rng) -> None:
    """Draw a ball with two dots where eyes would be, every other with a third."""
    _shaded(image, centre, radius, np.array(any_colour(rng), float), 0.5)
    ink = np.array(any_colour(rng)) * 0.3
    dot = radius * rng.uniform(0.08, 0.16)
    apart, up = rng.uniform(0.25, 0.45) * radius, rng.uniform(-0.35, 0.05) * radius
    for side in (-1, 1):
        ellipse(image, moved(centre, side * apart, up), (dot, dot), ink)
    if rng.random() < 0.5:
        ellipse(image, moved(centre, 0, 0.3 * radius), (dot, dot), ink)


def _socket(image: Image, centre: Field, radius: float, rng: Rng) -> None:
    """Draw a wall socket: two holes, and a slot or a pin below."""
    tone = rng.uniform(150, 245, 3).mean() * np.ones(3)
    x, y = centre
    cv2.rectangle(
        image,
        (round(x - radius), round(y - radius)),
        (round(x + radius), round(y + radius)),
        [float(value) for value in tone * 0.95],
        cv2.FILLED,
    )
    ellipse(image, centre, (radius * 0.75, radius * 0.75), tone * 0.85)
    ellipse(image, centre, (radius * 0.68, radius * 0.68), tone)
    hole = radius * 0.1
    tall = hole * rng.choice([1.0, 2.2])
    for side in (-1, 1):
        place = moved(centre, side * 0.3 * radius, -0.1 * radius)
        ellipse(image, place, (hole, tall), tone * 0.2)
    ellipse(image, moved(centre, 0, 0.35 * radius), (hole, hole), tone * 0.3)


def _direction(degrees: float) -> Field:
    angle = np.deg2rad(degrees)
    return np.array([np.sin(angle), -np.cos(angle)])


_Painter: TypeAlias = Callable[[Image, Field, float, Rng], None]

_ROUND: Final[dict[Round, _Painter]] = {
    "clocks": _clock,
    "plates": _plate,
    "lamps": _lamp,
    "balls": _ball,
    "sockets": _socket,
}
