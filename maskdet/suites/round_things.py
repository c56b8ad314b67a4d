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
    FloatArray,
    Rng,
    draw_ellipse,
    draw_line,
    offset_point,
    simulate_camera,
)
from maskdet.suites.walls import draw_background
from maskdet.synthetic.fabric import sample_colour
from maskdet.types import Image

RoundObjectKind: TypeAlias = Literal["clocks", "plates", "lamps", "balls", "sockets"]
ROUND_OBJECT_KINDS: Final[tuple[RoundObjectKind, ...]] = get_args(RoundObjectKind)

RADIUS_RANGE_PX: Final = (14.0, 90.0)


def draw_round_objects(kind: RoundObjectKind, rng: Rng) -> Image:
    """Return a quiet or patterned wall with 1 to 6 round things of one kind upon it."""
    image = draw_background(rng)
    for _ in range(rng.integers(1, 7)):
        radius = float(np.exp(rng.uniform(*np.log(RADIUS_RANGE_PX))))
        centre = rng.uniform(radius, np.array(SIZE_WH) - radius)
        _ROUND_OBJECT_DRAWERS[kind](image, centre, radius, rng)
    return simulate_camera(image, rng)


def _draw_shaded_disc(
    image: Image, centre: FloatArray, radius: float, colour: FloatArray, depth: float
) -> None:
    """Draw a disc as a ball lit from above left; a depth of 0 makes it flat."""
    for step in np.linspace(0, 1, 12):
        inner_centre = centre - 0.35 * radius * step * np.array([0.7, 0.7])
        tone = np.clip(colour * (1 - depth * (1 - step)), 0, 255)
        draw_ellipse(image, inner_centre, (radius * (1 - 0.6 * step),) * 2, tone)


def _draw_clock(image: Image, centre: FloatArray, radius: float, rng: Rng) -> None:
    face, ink = (
        np.array(sample_colour(rng)) * 0.3 + 170,
        np.array(sample_colour(rng)) * 0.4,
    )
    thickness_px = max(1, round(radius / 18))
    draw_ellipse(image, centre, (radius, radius), ink)
    draw_ellipse(image, centre, (radius * 0.9, radius * 0.9), face)
    for hour in range(12):
        outward = _direction(hour * 30)
        ends = [
            centre + outward * radius * radius_fraction
            for radius_fraction in (0.72, 0.82)
        ]
        draw_line(image, ends, ink, thickness=thickness_px)
    for length in (0.45, 0.68):
        tip = centre + _direction(rng.uniform(0, 360)) * radius * length
        draw_line(image, [centre, tip], ink, thickness=2 * thickness_px)


def _draw_plate(image: Image, centre: FloatArray, radius: float, rng: Rng) -> None:
    colour = np.array(sample_colour(rng)) * 0.4 + 140
    height_ratio = rng.uniform(0.6, 1)
    for radius_fraction, tone in ((1, 0.9), (0.96, 1), (0.68, 0.86), (0.65, 0.96)):
        draw_ellipse(
            image,
            centre,
            (radius * radius_fraction, radius * radius_fraction * height_ratio),
            colour * tone,
        )
    for _ in range(rng.integers(0, 4)):  # what is left of a meal
        spot_centre = centre + rng.uniform(-0.35, 0.35, 2) * radius
        spot_radius = radius * rng.uniform(0.08, 0.25)
        draw_ellipse(
            image, spot_centre, (spot_radius, spot_radius * 0.8), sample_colour(rng)
        )


def _draw_lamp(image: Image, centre: FloatArray, radius: float, rng: Rng) -> None:
    colour = np.array([190, 230, 250.0])
    draw_line(image, [centre * np.array([1, 0]), centre], (40, 40, 40), thickness=2)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    distance = np.hypot(x - centre[0], y - centre[1]) / radius
    glow = np.exp(-((distance / rng.uniform(1.2, 2)) ** 2))[..., None] * 0.7
    image[:] = np.rint(image * (1 - glow) + colour * glow).astype(np.uint8)
    _draw_shaded_disc(image, centre, radius * 0.7, colour, 0.15)


def _draw_ball(image: Image, centre: FloatArray, radius: float, rng: Rng) -> None:
    """Draw a ball with two dots where eyes would be, every other with a third."""
    _draw_shaded_disc(image, centre, radius, np.array(sample_colour(rng), float), 0.5)
    ink = np.array(sample_colour(rng)) * 0.3
    dot_radius = radius * rng.uniform(0.08, 0.16)
    dot_dx, dot_dy = rng.uniform(0.25, 0.45) * radius, rng.uniform(-0.35, 0.05) * radius
    for side in (-1, 1):
        draw_ellipse(
            image,
            offset_point(centre, side * dot_dx, dot_dy),
            (dot_radius, dot_radius),
            ink,
        )
    if rng.random() < 0.5:
        draw_ellipse(
            image, offset_point(centre, 0, 0.3 * radius), (dot_radius, dot_radius), ink
        )


def _draw_socket(image: Image, centre: FloatArray, radius: float, rng: Rng) -> None:
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
    draw_ellipse(image, centre, (radius * 0.75, radius * 0.75), tone * 0.85)
    draw_ellipse(image, centre, (radius * 0.68, radius * 0.68), tone)
    hole_radius = radius * 0.1
    hole_height = hole_radius * rng.choice([1.0, 2.2])
    for side in (-1, 1):
        hole_centre = offset_point(centre, side * 0.3 * radius, -0.1 * radius)
        draw_ellipse(image, hole_centre, (hole_radius, hole_height), tone * 0.2)
    draw_ellipse(
        image,
        offset_point(centre, 0, 0.35 * radius),
        (hole_radius, hole_radius),
        tone * 0.3,
    )


def _direction(degrees: float) -> FloatArray:
    angle = np.deg2rad(degrees)
    return np.array([np.sin(angle), -np.cos(angle)])


_DrawFunction: TypeAlias = Callable[[Image, FloatArray, float, Rng], None]

_ROUND_OBJECT_DRAWERS: Final[dict[RoundObjectKind, _DrawFunction]] = {
    "clocks": _draw_clock,
    "plates": _draw_plate,
    "lamps": _draw_lamp,
    "balls": _draw_ball,
    "sockets": _draw_socket,
}
