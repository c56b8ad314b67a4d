"""Pictures without a face, drawn: patterned walls in many scales and colours."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import cv2
import numpy as np

from maskdet.suites.pen import SIZE_WH, Field, Rng, as_photographed, ellipse, line
from maskdet.synthetic.fabric import any_colour
from maskdet.types import Image

Wall: TypeAlias = Literal["bricks", "stripes", "checks", "dots", "leaves", "noise"]

WALLS: Final[tuple[Wall, ...]] = get_args(Wall)

_SCALES_PX: Final = (10.0, 120.0)
"""The finest and the coarsest repeat of a pattern."""


def wall(kind: Wall, rng: Rng) -> Image:
    """Return a wall of one kind, its repeat 10 to 120 px wide."""
    return as_photographed(_plain_wall(kind, rng), rng)


def background(rng: Rng) -> Image:
    """Return something to draw upon: every other time plain, else a patterned wall."""
    if rng.random() < 0.5:
        return np.full((*SIZE_WH[::-1], 3), any_colour(rng), np.uint8)
    return _plain_wall(WALLS[rng.integers(len(WALLS))], rng)


def _plain_wall(kind: Wall, rng: Rng) -> Image:
    scale = float(np.exp(rng.uniform(*np.log(_SCALES_PX))))
    if kind == "leaves":
        return _leaves(scale, rng)
    mix = _noise(scale, rng) if kind == "noise" else _PATTERNS[kind](*_grid(scale, rng))
    first, second = np.array(any_colour(rng)), np.array(any_colour(rng))
    mixed = first * (1 - mix[..., None]) + second * mix[..., None]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _grid(scale: float, rng: Rng) -> tuple[Field, Field, Rng]:
    """Return x and y of each pixel in repeats of a pattern that leans a little."""
    y, x = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]] / scale
    lean = rng.uniform(-0.6, 0.6) if rng.random() < 0.5 else 0.0
    x, y = x + rng.random(), y + rng.random()
    cos, sin = np.cos(lean), np.sin(lean)
    return x * cos + y * sin + 99, y * cos - x * sin + 99, rng


def _bricks(x: Field, y: Field, rng: Rng) -> Field:
    row = np.floor(2 * y)
    along = x + 0.5 * (row % 2)
    joint = rng.uniform(0.04, 0.14)
    inside = (along % 1 > joint) & (2 * y % 1 > 2 * joint)
    shades = rng.uniform(0.55, 1, (61, 67))
    shade = shades[row.astype(int) % 61, np.floor(along).astype(int) % 67]
    mixed: Field = inside * shade
    return mixed


def _stripes(x: Field, y: Field, rng: Rng) -> Field:
    part: Field = (x % 1 > rng.uniform(0.2, 0.8)).astype(float)
    return part


def _checks(x: Field, y: Field, rng: Rng) -> Field:
    across, down = _stripes(x, y, rng), _stripes(y, x, rng)
    mixed: Field = (across + down) / 2 if rng.random() < 0.5 else np.abs(across - down)
    return mixed


def _dots(x: Field, y: Field, rng: Rng) -> Field:
    apart = np.hypot(x % 1 - 0.5, y % 1 - 0.5)
    dots: Field = (apart < rng.uniform(0.12, 0.45)).astype(float)
    return dots


_PATTERNS: Final = {
    "bricks": _bricks,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
}


def _noise(scale: float, rng: Rng) -> Field:
    """Return clouds of several sizes over each other, each half as strong."""
    total = np.zeros(SIZE_WH[::-1])
    for octave in range(4):
        cells = [max(2, round(side / scale * 2**octave)) for side in SIZE_WH[::-1]]
        layer = cv2.resize(rng.random(cells), SIZE_WH, interpolation=cv2.INTER_CUBIC)
        total += (layer - 0.5) * 0.6**octave
    return np.clip(0.5 + total * rng.uniform(0.5, 1.5), 0, 1)


def _leaves(scale: float, rng: Rng) -> Image:
    image = np.full((*SIZE_WH[::-1], 3), rng.integers(10, 60, 3), np.uint8)
    green = rng.uniform((20, 70, 30), (70, 170, 120))
    area = SIZE_WH[0] * SIZE_WH[1] / scale**2
    for _ in range(int(np.clip(4 * area, 30, 4000))):
        centre, turn = rng.uniform((0, 0), SIZE_WH), rng.uniform(0, 360)
        tip = np.array([np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))])
        half = scale * rng.uniform(0.35, 0.7)
        tone = np.clip(green * rng.uniform(0.4, 1.5), 0, 255)
        axes = half, half * rng.uniform(0.3, 0.6)
        ellipse(image, centre, axes, tone, turn=turn)
        line(image, [centre - tip * half, centre + tip * half], tone * 0.7)
    return image
