"""Things that are no face, laid into training views: badges, balls, buttons, scraps.

A network that saw faces and the walls behind them takes whatever is round and has a
pattern for a face. So each view may get a few things with a face's outline and size, in
colours, patterns and pieces of other pictures drawn by chance, beside its faces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import areas, shared_areas
from maskdet.types import Image

Rng = np.random.Generator
Mark: TypeAlias = NDArray[np.uint8]
"""`(s, s)` uint8, 255 where a thing is."""

_MOST: Final = 4
_SIDES_PX: Final = (9.0, 160.0)
"""A thing's longer side, log-uniformly: those of the faces to be found."""

_TRIES: Final = 6
_CLEAR: Final = 0.02
"""Share of a thing, and of a face, that they may have in common."""

_LETTERS: Final = "ABCEHKMNOPRSTUX0123456789&+"


def with_distractors(
    image: Image, faces: NDArray[np.float32], scrap: Image | None, rng: Rng
) -> Image:
    """Return the view with 1 to 4 things in it that are no face.

    Args:
        image: `(h, w, 3)` BGR; not changed.
        faces: `(n, 4)` boxes that must stay as they are.
        scrap: a piece of a picture without a face, of which some things are made.
        rng: the only source of chance.
    """
    canvas = image.copy()
    for _ in range(int(rng.integers(1, _MOST + 1))):
        side = round(math.exp(rng.uniform(*np.log(_SIDES_PX))))
        corner = _place(image, faces, side, rng)
        if corner is not None:
            _lay(canvas, corner, *_thing(side, scrap, rng), rng)
    return canvas


def _place(
    image: Image, faces: NDArray[np.float32], side: int, rng: Rng
) -> tuple[int, int] | None:
    """Return where a thing covers no face, or None."""
    height, width = image.shape[:2]
    if side >= min(height, width):
        return None
    for _ in range(_TRIES):
        x, y = int(rng.integers(width - side)), int(rng.integers(height - side))
        box = np.array([[x, y, x + side, y + side]], np.float32)
        shared = shared_areas(box, faces)[0]
        least = np.minimum(areas(faces), np.float32(side * side))
        if (shared <= _CLEAR * least).all():
            return x, y
    return None


def _lay(
    canvas: Image, corner: tuple[int, int], thing: Image, mark: Mark, rng: Rng
) -> None:
    """Lay a thing into the picture, with an edge that is sharp or soft."""
    side = len(mark)
    soft = rng.uniform(0, 0.04) * side
    if soft > 0.3:
        mark = np.asarray(cv2.GaussianBlur(mark, (0, 0), soft), np.uint8)
        if rng.random() < 0.5:
            thing = np.asarray(cv2.GaussianBlur(thing, (0, 0), soft), np.uint8)
    x, y = corner
    under = canvas[y : y + side, x : x + side]
    share = (mark.astype(np.float32) / 255)[..., None]
    mixed = under + share * (thing.astype(np.float32) - under)
    canvas[y : y + side, x : x + side] = np.rint(mixed).astype(np.uint8)


def _thing(side: int, scrap: Image | None, rng: Rng) -> tuple[Image, Mark]:
    """Return a thing and where it is in its square."""
    mark = _outline(side, rng)
    thing: Image = np.full((side, side, 3), _colour(rng), np.uint8)
    if scrap is not None and rng.random() < 0.35:
        turned = np.rot90(scrap, int(rng.choice([0, 0, 0, 1, 2, 3])))
        cv2.resize(turned, (side, side), thing, interpolation=cv2.INTER_AREA)
    for _ in range(int(rng.integers(0, 4))):
        _PATTERNS[int(rng.integers(len(_PATTERNS)))](thing, rng)
    if rng.random() < 0.4:
        _shade(thing, rng)
    return thing, mark


def _outline(side: int, rng: Rng) -> Mark:
    """Return an ellipse, mostly, a rounded box, or a polygon."""
    mark = np.zeros((side, side), np.uint8)
    middle, half = (side / 2, side / 2), side / 2 - 0.5
    flat = rng.uniform(0.55, 1.0)
    axes = (half * flat, half) if rng.random() < 0.7 else (half, half * flat)
    angle = rng.uniform(-30, 30)
    kind = rng.random()
    if kind < 0.65:
        cv2.ellipse(mark, (middle, (2 * axes[0], 2 * axes[1]), angle), 255, cv2.FILLED)
        return mark
    if kind < 0.85:
        corners = cv2.boxPoints((middle, (1.7 * axes[0], 1.7 * axes[1]), angle))
    else:
        turns = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 8))))
        ring = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        corners = np.array(middle) + ring * half * rng.uniform(0.6, 1, (len(turns), 1))
    cv2.fillPoly(mark, [np.rint(corners).astype(np.int32)], 255, cv2.LINE_AA)
    return mark


def _colour(rng: Rng) -> tuple[int, int, int]:
    """Return any colour; one in four is a skin's, of any lightness."""
    if rng.random() < 0.25:
        light = rng.uniform(0.25, 1.0)
        skin = np.array([150, 180, 225]) + rng.uniform(-20, 20, 3)
        colour = skin * light
    else:
        colour = rng.uniform(0, 255, 3)
        if rng.random() < 0.3:
            colour = np.full(3, colour.mean())
    blue, green, red = (int(value) for value in np.clip(colour, 0, 255))
    return blue, green, red


def _spots(thing: Image, rng: Rng) -> None:
    """Draw two to five dots, often in a row as eyes are."""
    side = len(thing)
    radius = max(1, round(side * rng.uniform(0.04, 0.13)))
    colour, level = _colour(rng), rng.uniform(0.25, 0.6)
    row = rng.random() < 0.6
    for x in np.linspace(0.3, 0.7, int(rng.integers(2, 6))):
        y = level if row else rng.uniform(0.2, 0.8)
        spot = (round(float(x) * side), round(float(y) * side))
        cv2.circle(thing, spot, radius, colour, cv2.FILLED, cv2.LINE_AA)


def _rings(thing: Image, rng: Rng) -> None:
    side = len(thing)
    thick = max(1, round(side * rng.uniform(0.02, 0.1)))
    middle = (side // 2, side // 2)
    for share in rng.uniform(0.1, 0.5, int(rng.integers(1, 4))):
        radius = max(1, round(float(share) * side))
        cv2.circle(thing, middle, radius, _colour(rng), thick, cv2.LINE_AA)


def _strokes(thing: Image, rng: Rng) -> None:
    side = len(thing)
    for _ in range(int(rng.integers(1, 7))):
        ends = rng.integers(0, side, (2, 2)).tolist()
        thick = max(1, round(side * rng.uniform(0.02, 0.12)))
        cv2.line(thing, ends[0], ends[1], _colour(rng), thick, cv2.LINE_AA)


def _bands(thing: Image, rng: Rng) -> None:
    """Paint a part above or below a line, as a cap, a shadow or cloth would be."""
    side = len(thing)
    edge = round(side * rng.uniform(0.25, 0.75))
    part = thing[:edge] if rng.random() < 0.5 else thing[edge:]
    part[:] = _colour(rng)


def _words(thing: Image, rng: Rng) -> None:
    side = len(thing)
    text = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 5))))
    scale, thick = side / 22 / max(1, len(text)), max(1, side // 30)
    start = (round(side * 0.15), round(side * rng.uniform(0.4, 0.8)))
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(thing, text, start, font, scale, _colour(rng), thick, cv2.LINE_AA)


def _checks(thing: Image, rng: Rng) -> None:
    side = len(thing)
    cells = rng.integers(0, 2, (int(rng.integers(2, 7)),) * 2).astype(np.uint8)
    large = cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST)
    thing[large > 0] = _colour(rng)


def _shade(thing: Image, rng: Rng) -> None:
    """Light the thing from one side, as a ball is."""
    side = len(thing)
    y, x = np.mgrid[:side, :side] / max(side - 1, 1)
    angle = rng.uniform(0, 2 * math.pi)
    light = 1 + rng.uniform(0.2, 0.8) * (
        math.cos(angle) * (x - 0.5) + math.sin(angle) * (y - 0.5)
    )
    thing[:] = np.clip(thing * light[..., None], 0, 255).astype(np.uint8)


_PATTERNS: Final[tuple[Callable[[Image, Rng], None], ...]] = (
    _spots,
    _rings,
    _strokes,
    _bands,
    _words,
    _checks,
)
