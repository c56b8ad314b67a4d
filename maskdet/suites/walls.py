"""Pictures without a face, drawn: patterned walls in many scales and colours."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import cv2
import numpy as np

from maskdet.suites.pen import (
    SIZE_WH,
    FloatArray,
    Rng,
    draw_ellipse,
    draw_line,
    simulate_camera,
)
from maskdet.synthetic.fabric import sample_colour
from maskdet.types import Image

WallPattern: TypeAlias = Literal[
    "bricks", "stripes", "checks", "dots", "leaves", "noise"
]

WALL_PATTERNS: Final[tuple[WallPattern, ...]] = get_args(WallPattern)

_PATTERN_SCALES_PX: Final = (10.0, 120.0)
"""The finest and the coarsest repeat of a pattern."""


def draw_wall(kind: WallPattern, rng: Rng) -> Image:
    """Return a wall of one kind, its repeat 10 to 120 px wide."""
    return simulate_camera(_draw_pattern(kind, rng), rng)


def draw_background(rng: Rng) -> Image:
    """Return something to draw upon: every other time plain, else a patterned wall."""
    if rng.random() < 0.5:
        return np.full((*SIZE_WH[::-1], 3), sample_colour(rng), np.uint8)
    return _draw_pattern(WALL_PATTERNS[rng.integers(len(WALL_PATTERNS))], rng)


def _draw_pattern(kind: WallPattern, rng: Rng) -> Image:
    scale = float(np.exp(rng.uniform(*np.log(_PATTERN_SCALES_PX))))
    if kind == "leaves":
        return _leaves(scale, rng)
    blend = (
        _noise(scale, rng)
        if kind == "noise"
        else _PATTERNS[kind](*_pattern_coordinates(scale, rng))
    )
    first, second = np.array(sample_colour(rng)), np.array(sample_colour(rng))
    blended = first * (1 - blend[..., None]) + second * blend[..., None]
    return np.clip(np.rint(blended), 0, 255).astype(np.uint8)


def _pattern_coordinates(scale: float, rng: Rng) -> tuple[FloatArray, FloatArray, Rng]:
    """Return x and y of each pixel in repeats of a pattern that leans a little."""
    y, x = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]] / scale
    angle_rad = rng.uniform(-0.6, 0.6) if rng.random() < 0.5 else 0.0
    x, y = x + rng.random(), y + rng.random()
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return x * cos + y * sin + 99, y * cos - x * sin + 99, rng


def _bricks(x: FloatArray, y: FloatArray, rng: Rng) -> FloatArray:
    row = np.floor(2 * y)
    along = x + 0.5 * (row % 2)
    joint = rng.uniform(0.04, 0.14)
    inside = (along % 1 > joint) & (2 * y % 1 > 2 * joint)
    shades = rng.uniform(0.55, 1, (61, 67))
    shade = shades[row.astype(int) % 61, np.floor(along).astype(int) % 67]
    mixed: FloatArray = inside * shade
    return mixed


def _stripes(x: FloatArray, y: FloatArray, rng: Rng) -> FloatArray:
    part: FloatArray = (x % 1 > rng.uniform(0.2, 0.8)).astype(float)
    return part


def _checks(x: FloatArray, y: FloatArray, rng: Rng) -> FloatArray:
    columns, rows = _stripes(x, y, rng), _stripes(y, x, rng)
    mixed: FloatArray = (
        (columns + rows) / 2 if rng.random() < 0.5 else np.abs(columns - rows)
    )
    return mixed


def _dots(x: FloatArray, y: FloatArray, rng: Rng) -> FloatArray:
    distance = np.hypot(x % 1 - 0.5, y % 1 - 0.5)
    dots: FloatArray = (distance < rng.uniform(0.12, 0.45)).astype(float)
    return dots


_PATTERNS: Final = {
    "bricks": _bricks,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
}


def _noise(scale: float, rng: Rng) -> FloatArray:
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
        centre, angle_deg = rng.uniform((0, 0), SIZE_WH), rng.uniform(0, 360)
        tip = np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))])
        half_length = scale * rng.uniform(0.35, 0.7)
        tone = np.clip(green * rng.uniform(0.4, 1.5), 0, 255)
        axes = half_length, half_length * rng.uniform(0.3, 0.6)
        draw_ellipse(image, centre, axes, tone, angle_deg=angle_deg)
        draw_line(
            image, [centre - tip * half_length, centre + tip * half_length], tone * 0.7
        )
    return image
