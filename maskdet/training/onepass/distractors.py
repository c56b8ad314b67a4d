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

from maskdet.boxes import box_areas, intersection_areas
from maskdet.types import Image

Rng = np.random.Generator
AlphaMask: TypeAlias = NDArray[np.uint8]
"""`(s, s)` uint8, 255 where a thing is."""

_MAX_DISTRACTORS: Final = 4
_DISTRACTOR_SIDES_PX: Final = (9.0, 160.0)
"""A thing's longer side, log-uniformly: those of the faces to be found."""

_PLACEMENT_TRIES: Final = 6
_MAX_OVERLAP_FRACTION: Final = 0.02
"""Share of a thing, and of a face, that they may have in common."""

_LETTERS: Final = "ABCEHKMNOPRSTUX0123456789&+"


def paste_distractors(
    image: Image, faces: NDArray[np.float32], background_patch: Image | None, rng: Rng
) -> Image:
    """Return the view with 1 to 4 things in it that are no face.

    Args:
        image: `(h, w, 3)` BGR; not changed.
        faces: `(n, 4)` boxes that must stay as they are.
        background_patch: a piece of a picture without a face, of which some things are
            made.
        rng: the only source of chance.
    """
    canvas = image.copy()
    for _ in range(int(rng.integers(1, _MAX_DISTRACTORS + 1))):
        side = round(math.exp(rng.uniform(*np.log(_DISTRACTOR_SIDES_PX))))
        corner = _find_distractor_corner(image, faces, side, rng)
        if corner is not None:
            _blend_distractor(
                canvas, corner, *_make_distractor(side, background_patch, rng), rng
            )
    return canvas


def _find_distractor_corner(
    image: Image, faces: NDArray[np.float32], side: int, rng: Rng
) -> tuple[int, int] | None:
    """Return where a thing covers no face, or None."""
    height, width = image.shape[:2]
    if side >= min(height, width):
        return None
    for _ in range(_PLACEMENT_TRIES):
        x, y = int(rng.integers(width - side)), int(rng.integers(height - side))
        box = np.array([[x, y, x + side, y + side]], np.float32)
        shared = intersection_areas(box, faces)[0]
        smaller_area = np.minimum(box_areas(faces), np.float32(side * side))
        if (shared <= _MAX_OVERLAP_FRACTION * smaller_area).all():
            return x, y
    return None


def _blend_distractor(
    canvas: Image, corner: tuple[int, int], distractor: Image, mask: AlphaMask, rng: Rng
) -> None:
    """Lay a thing into the picture, with an edge that is sharp or soft."""
    side = len(mask)
    blur_px = rng.uniform(0, 0.04) * side
    if blur_px > 0.3:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), blur_px), np.uint8)
        if rng.random() < 0.5:
            distractor = np.asarray(
                cv2.GaussianBlur(distractor, (0, 0), blur_px), np.uint8
            )
    x, y = corner
    background = canvas[y : y + side, x : x + side]
    opacity = (mask.astype(np.float32) / 255)[..., None]
    mixed = background + opacity * (distractor.astype(np.float32) - background)
    canvas[y : y + side, x : x + side] = np.rint(mixed).astype(np.uint8)


def _make_distractor(
    side: int, background_patch: Image | None, rng: Rng
) -> tuple[Image, AlphaMask]:
    """Return a thing and where it is in its square."""
    mask = _draw_outline(side, rng)
    distractor: Image = np.full(
        (side, side, 3), _sample_distractor_colour(rng), np.uint8
    )
    if background_patch is not None and rng.random() < 0.35:
        rotated = np.rot90(background_patch, int(rng.choice([0, 0, 0, 1, 2, 3])))
        cv2.resize(rotated, (side, side), distractor, interpolation=cv2.INTER_AREA)
    for _ in range(int(rng.integers(0, 4))):
        _PATTERNS[int(rng.integers(len(_PATTERNS)))](distractor, rng)
    if rng.random() < 0.4:
        _shade_distractor(distractor, rng)
    return distractor, mask


def _draw_outline(side: int, rng: Rng) -> AlphaMask:
    """Return an ellipse, mostly, a rounded box, or a polygon."""
    mask = np.zeros((side, side), np.uint8)
    middle, half = (side / 2, side / 2), side / 2 - 0.5
    flat = rng.uniform(0.55, 1.0)
    axes = (half * flat, half) if rng.random() < 0.7 else (half, half * flat)
    angle = rng.uniform(-30, 30)
    kind = rng.random()
    if kind < 0.65:
        cv2.ellipse(mask, (middle, (2 * axes[0], 2 * axes[1]), angle), 255, cv2.FILLED)
        return mask
    if kind < 0.85:
        corners = cv2.boxPoints((middle, (1.7 * axes[0], 1.7 * axes[1]), angle))
    else:
        turns = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 8))))
        ring = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        corners = np.array(middle) + ring * half * rng.uniform(0.6, 1, (len(turns), 1))
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255, cv2.LINE_AA)
    return mask


def _sample_distractor_colour(rng: Rng) -> tuple[int, int, int]:
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


def _draw_spots(distractor: Image, rng: Rng) -> None:
    """Draw two to five dots, often in a row as eyes are."""
    side = len(distractor)
    radius = max(1, round(side * rng.uniform(0.04, 0.13)))
    colour, level = _sample_distractor_colour(rng), rng.uniform(0.25, 0.6)
    row = rng.random() < 0.6
    for x in np.linspace(0.3, 0.7, int(rng.integers(2, 6))):
        y = level if row else rng.uniform(0.2, 0.8)
        spot = (round(float(x) * side), round(float(y) * side))
        cv2.circle(distractor, spot, radius, colour, cv2.FILLED, cv2.LINE_AA)


def _draw_rings(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    thick = max(1, round(side * rng.uniform(0.02, 0.1)))
    middle = (side // 2, side // 2)
    for fraction in rng.uniform(0.1, 0.5, int(rng.integers(1, 4))):
        radius = max(1, round(float(fraction) * side))
        cv2.circle(
            distractor,
            middle,
            radius,
            _sample_distractor_colour(rng),
            thick,
            cv2.LINE_AA,
        )


def _draw_strokes(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    for _ in range(int(rng.integers(1, 7))):
        ends = rng.integers(0, side, (2, 2)).tolist()
        thick = max(1, round(side * rng.uniform(0.02, 0.12)))
        cv2.line(
            distractor,
            ends[0],
            ends[1],
            _sample_distractor_colour(rng),
            thick,
            cv2.LINE_AA,
        )


def _paint_band(distractor: Image, rng: Rng) -> None:
    """Paint a part above or below a line, as a cap, a shadow or cloth would be."""
    side = len(distractor)
    edge = round(side * rng.uniform(0.25, 0.75))
    part = distractor[:edge] if rng.random() < 0.5 else distractor[edge:]
    part[:] = _sample_distractor_colour(rng)


def _draw_text(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    text = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 5))))
    scale, thick = side / 22 / max(1, len(text)), max(1, side // 30)
    start = (round(side * 0.15), round(side * rng.uniform(0.4, 0.8)))
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(
        distractor,
        text,
        start,
        font,
        scale,
        _sample_distractor_colour(rng),
        thick,
        cv2.LINE_AA,
    )


def _draw_checks(distractor: Image, rng: Rng) -> None:
    side = len(distractor)
    cells = rng.integers(0, 2, (int(rng.integers(2, 7)),) * 2).astype(np.uint8)
    large = cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST)
    distractor[large > 0] = _sample_distractor_colour(rng)


def _shade_distractor(distractor: Image, rng: Rng) -> None:
    """Light the thing from one side, as a ball is."""
    side = len(distractor)
    y, x = np.mgrid[:side, :side] / max(side - 1, 1)
    angle = rng.uniform(0, 2 * math.pi)
    light = 1 + rng.uniform(0.2, 0.8) * (
        math.cos(angle) * (x - 0.5) + math.sin(angle) * (y - 0.5)
    )
    distractor[:] = np.clip(distractor * light[..., None], 0, 255).astype(np.uint8)


_PATTERNS: Final[tuple[Callable[[Image, Rng], None], ...]] = (
    _draw_spots,
    _draw_rings,
    _draw_strokes,
    _paint_band,
    _draw_text,
    _draw_checks,
)
