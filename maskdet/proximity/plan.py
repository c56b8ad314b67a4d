"""People seen from above: a floor with a metre grid, dots and who is near whom."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.style import BGR, DEFAULT_STYLE, Style
from maskdet.types import UNTRACKED, Image, Label, PersonPair, Scene

_Floats = NDArray[np.float64]

_PAPER: Final[BGR] = (250, 250, 250)
_FLOOR: Final[BGR] = (238, 232, 226)
_GRID: Final[BGR] = (222, 222, 222)
_INK: Final[BGR] = (60, 60, 60)
_FAINT: Final[BGR] = (150, 150, 150)
_ALARM: Final[BGR] = (0, 0, 200)

_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_LEAST_REACH_M: Final = 4.0
_REACH_STEP_M: Final = 2.0
_BACK_M: Final = 0.6
"""The plan shows at least 4 m ahead, grows in steps of 2 m so that it does not breathe
with every step somebody takes, and starts a little behind the camera."""

_FIXED_POINT: Final = 4
"""Bits after the point with which OpenCV draws: a sixteenth of a pixel."""


@dataclass(frozen=True)
class _Plan:
    """How metres become pixels.

    Attributes:
        size_wh: width and height in pixels.
        px_per_m: pixels a metre.
    """

    size_wh: tuple[int, int]
    px_per_m: float

    def at(self, x_m: float, z_m: float) -> tuple[float, float]:
        """Return the pixel of a place; the camera is in the middle at the bottom."""
        width, height = self.size_wh
        return (
            width / 2 + x_m * self.px_per_m,
            height - (z_m + _BACK_M) * self.px_per_m,
        )


def birds_eye(
    scene: Scene,
    positions: _Floats,
    *,
    size_wh: tuple[int, int] = (480, 480),
    style: Style = DEFAULT_STYLE,
    corners_m: _Floats | None = None,
) -> Image:
    """Draw where people stand, seen from above: one square of the grid is a metre.

    Labels have a colour and a shape (mask: circle, no mask: square, incorrectly worn:
    triangle, unsure: cross); who is not seen right now is hollow. Pairs that are near
    are joined by a line with metres, a thick red one after too long.

    Args:
        scene: who they are and who is near whom.
        positions: `(n, 2)` x to the right and z away from the camera, in metres; row
            i is row i of the scene.
        size_wh: width and height of the drawing in pixels.
        style: names and colours of the classes.
        corners_m: `(4, 2)` the clicked rectangle of the floor, as in `FloorCamera`.

    Raises:
        ValueError: there is not one position a row.
    """
    if positions.shape != (len(scene), 2):
        raise ValueError(
            f"positions must have shape ({len(scene)}, 2), got {positions.shape}"
        )
    plan = _planned(positions, corners_m, size_wh)
    canvas = _empty(plan, corners_m)
    places = [plan.at(float(x), float(z)) for x, z in positions]
    pairs = [pair for pair in reversed(scene.pairs) if pair.in_contact]
    for pair in pairs:
        _join(canvas, places, pair)
    _people(canvas, scene, places, style)
    for pair in pairs:
        _measure(canvas, places, pair)
    return canvas


def _empty(plan: _Plan, corners_m: _Floats | None) -> Image:
    """Return the floor with nobody on it."""
    width, height = plan.size_wh
    canvas = np.full((height, width, 3), _PAPER, np.uint8)
    if corners_m is not None:
        _polygon(canvas, [plan.at(*map(float, one)) for one in corners_m], _FLOOR)
    _grid(canvas, plan)
    _camera(canvas, plan)
    return canvas


def _people(
    canvas: Image,
    scene: Scene,
    places: list[tuple[float, float]],
    style: Style,
) -> None:
    """Draw a dot for each of them, then their names upon all dots."""
    radius = max(5.0, min(canvas.shape[:2]) / 55)
    for row in reversed(range(len(scene))):
        label = scene.labels[row]
        colour = style.colour_bgr(label)
        _dot(canvas, places[row], label, colour, radius, hollow=_unseen(scene, row))
    for row, name in enumerate(_names(scene)):
        x, y = places[row]
        _write(canvas, name, (x + 1.5 * radius, y + 1.2 * radius), _INK)


def _unseen(scene: Scene, row: int) -> bool:
    return bool(scene.unseen_s is not None and scene.unseen_s[row] > 0)


def _names(scene: Scene) -> list[str]:
    ids = [] if scene.track_ids is None else scene.track_ids.tolist()
    return ["" if one == UNTRACKED else str(one) for one in ids]


def _planned(
    positions: _Floats, corners_m: _Floats | None, size_wh: tuple[int, int]
) -> _Plan:
    """Choose a scale that shows everybody, and most of the clicked floor."""
    width, height = size_wh
    shown = positions[np.isfinite(positions).all(axis=1)]
    if corners_m is not None:
        shown = np.concatenate([shown, corners_m])
    aside_m = float(np.abs(shown[:, 0]).max(initial=0)) * 2 * height / width
    reach_m = max(float(shown[:, 1].max(initial=0)), aside_m) + 0.4
    steps = math.ceil(min(max(reach_m, _LEAST_REACH_M), 200) / _REACH_STEP_M)
    return _Plan(size_wh, height / (steps * _REACH_STEP_M + _BACK_M))


def _fixed(point: tuple[float, float]) -> tuple[int, int]:
    """Return a pixel in the fixed point numbers of OpenCV's drawing."""
    scale = 1 << _FIXED_POINT
    return round(point[0] * scale), round(point[1] * scale)


def _line(
    canvas: Image,
    first: tuple[float, float],
    second: tuple[float, float],
    colour: BGR,
    px: int,
) -> None:
    cv2.line(
        canvas, _fixed(first), _fixed(second), colour, px, cv2.LINE_AA, _FIXED_POINT
    )


def _polygon(canvas: Image, corners: list[tuple[float, float]], colour: BGR) -> None:
    points = np.array([_fixed(one) for one in corners], np.int32)
    cv2.fillPoly(canvas, [points], colour, cv2.LINE_AA, _FIXED_POINT)


def _write(canvas: Image, text: str, at: tuple[float, float], colour: BGR) -> None:
    """Write dark letters with a light edge, readable on lines and dots."""
    scale = max(0.4, min(canvas.shape[:2]) / 1100)
    place = (round(at[0]), round(at[1]))
    cv2.putText(canvas, text, place, _FONT, scale, _PAPER, 4, cv2.LINE_AA)
    cv2.putText(canvas, text, place, _FONT, scale, colour, 1, cv2.LINE_AA)


def _grid(canvas: Image, plan: _Plan) -> None:
    """Draw a line every metre; over many metres only every second, fifth or tenth."""
    width, height = plan.size_wh
    step = next((m for m in (1, 2, 5, 10) if m * plan.px_per_m >= 28), 20)
    for z in range(0, math.ceil(height / plan.px_per_m), step):
        y = plan.at(0, z)[1]
        _line(canvas, (0, y), (width, y), _GRID, 1)
        _write(canvas, f"{z} m", (4, y - 3), _FAINT)
    sides = math.ceil(width / 2 / plan.px_per_m / step)
    for x in range(-sides * step, sides * step + 1, step):
        at = plan.at(x, 0)[0]
        _line(canvas, (at, 0), (at, height), _GRID, 1)


def _camera(canvas: Image, plan: _Plan) -> None:
    """Draw the camera as a wedge that opens the way it looks."""
    x, y = plan.at(0, 0)
    side = max(6.0, min(plan.size_wh) / 40)
    _polygon(
        canvas, [(x, y + side / 2), (x - side, y - side), (x + side, y - side)], _INK
    )


def _join(canvas: Image, places: list[tuple[float, float]], pair: PersonPair) -> None:
    colour, px = (_ALARM, 3) if pair.exceeds_limit else (_INK, 1)
    _line(canvas, places[pair.first], places[pair.second], colour, px)


def _measure(
    canvas: Image, places: list[tuple[float, float]], pair: PersonPair
) -> None:
    """Write the metres beside the middle of the line."""
    (x1, y1), (x2, y2) = places[pair.first], places[pair.second]
    # Right of the line, on the side from which it leads away.
    rises = (x2 - x1) * (y2 - y1) < 0
    at = ((x1 + x2) / 2 + 8, (y1 + y2) / 2 + (14 if rises else -6))
    colour = _ALARM if pair.exceeds_limit else _INK
    _write(canvas, f"{pair.distance:.1f} {pair.unit}", at, colour)


_CORNERS: Final[dict[Label, tuple[tuple[float, float], ...]]] = {
    Label.NO_MASK: ((-0.95, -0.95), (0.95, -0.95), (0.95, 0.95), (-0.95, 0.95)),
    Label.INCORRECT: ((0, -1.25), (1.2, 0.9), (-1.2, 0.9)),
    Label.UNKNOWN: (
        *((-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4)),
        *((1.1, 0.4), (0.4, 0.4), (0.4, 1.1), (-0.4, 1.1)),
        *((-0.4, 0.4), (-1.1, 0.4), (-1.1, -0.4), (-0.4, -0.4)),
    ),
}
"""Outlines in radii of a dot, y down; a mask is a circle."""


def _dot(
    canvas: Image,
    at: tuple[float, float],
    label: Label,
    colour: BGR,
    radius: float,
    *,
    hollow: bool,
) -> None:
    """Draw a person on a dark edge; hollow shapes are of people not seen right now."""
    outline = _CORNERS.get(label)
    if outline is None:
        angles = np.linspace(0, 2 * math.pi, 32, endpoint=False)
        outline = tuple(zip(np.cos(angles), np.sin(angles), strict=True))
    inner = _PAPER if hollow else colour
    for grown, ink in ((1.35, _INK), (1.1, colour), (0.65 if hollow else 1.1, inner)):
        size = grown * radius
        shape = [(at[0] + size * x, at[1] + size * y) for x, y in outline]
        _polygon(canvas, shape, ink)
