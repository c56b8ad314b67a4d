"""Draw the bird's-eye view: people on a floor with a metre grid, and their contacts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.distance import find_highest_risk_pair
from maskdet.drawing.text import draw_text
from maskdet.style import BGR, DEFAULT_STYLE, Style
from maskdet.types import UNTRACKED, Image, Label, PersonPair, Scene

_Floats = NDArray[np.float64]

_BACKGROUND_COLOUR: Final[BGR] = (250, 250, 250)
_GROUND_COLOUR: Final[BGR] = (238, 232, 226)
_GRID_COLOUR: Final[BGR] = (222, 222, 222)
_DARK_COLOUR: Final[BGR] = (60, 60, 60)
_FAINT_COLOUR: Final[BGR] = (150, 150, 150)
_WARNING_COLOUR: Final[BGR] = (0, 0, 200)

_MIN_DEPTH_M: Final = 4.0
_DEPTH_STEP_M: Final = 2.0
_BEHIND_CAMERA_M: Final = 0.6
"""The view starts a little behind the camera, shows at least 4 m ahead, and grows in
steps of 2 m, so that its scale does not change with every step of a person."""

_FIXED_POINT_BITS: Final = 4
"""Fractional bits of OpenCV's drawing coordinates: a sixteenth of a pixel."""

_MARKER_OUTLINES: Final[dict[Label, tuple[tuple[float, float], ...]]] = {
    Label.NO_MASK: ((-0.95, -0.95), (0.95, -0.95), (0.95, 0.95), (-0.95, 0.95)),
    Label.INCORRECT: ((0, -1.25), (1.2, 0.9), (-1.2, 0.9)),
    Label.UNKNOWN: (
        *((-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4)),
        *((1.1, 0.4), (0.4, 0.4), (0.4, 1.1), (-0.4, 1.1)),
        *((-0.4, 0.4), (-1.1, 0.4), (-1.1, -0.4), (-0.4, -0.4)),
    ),
}
"""Marker outlines in units of the radius, y down; the class mask is a circle."""


@dataclass(frozen=True)
class _Projection:
    """Conversion of metres to pixels.

    Attributes:
        size_wh: width and height in pixels.
        px_per_m: pixels per metre.
    """

    size_wh: tuple[int, int]
    px_per_m: float

    def to_pixel(self, x_m: float, z_m: float) -> tuple[float, float]:
        """Return the pixel of a position; the camera is at the bottom centre."""
        width, height = self.size_wh
        return (
            width / 2 + x_m * self.px_per_m,
            height - (z_m + _BEHIND_CAMERA_M) * self.px_per_m,
        )


def draw_birds_eye(
    scene: Scene,
    positions: _Floats,
    *,
    size_wh: tuple[int, int] = (480, 480),
    style: Style = DEFAULT_STYLE,
    corners_m: _Floats | None = None,
) -> Image:
    """Draw people from above on a grid with one square per metre.

    Classes have a colour and a shape (mask: circle, no mask: square, incorrectly worn:
    triangle, unsure: cross). The marker of a person without a current detection is
    hollow. A line joins each pair in contact; it is thick and red if the contact
    exceeds the limit. The pair with the highest risk, else the closest one, has its
    distance.

    Args:
        scene: the people and their pairs.
        positions: `(n, 2)` x to the right and z away from the camera, in metres; row
            i is row i of the scene.
        size_wh: width and height of the drawing in pixels.
        style: names and colours of the classes.
        corners_m: `(4, 2)` the rectangle on the floor, see `GroundPlaneCamera`.

    Raises:
        ValueError: `positions` does not have one row per face.
    """
    if positions.shape != (len(scene), 2):
        raise ValueError(
            f"positions must have shape ({len(scene)}, 2), got {positions.shape}"
        )
    projection = _fit_projection(positions, corners_m, size_wh)
    canvas = np.full((*size_wh[::-1], 3), _BACKGROUND_COLOUR, np.uint8)
    if corners_m is not None:
        corners = [projection.to_pixel(float(x), float(z)) for x, z in corners_m]
        _fill_polygon(canvas, corners, _GROUND_COLOUR)
    _draw_grid(canvas, projection)
    _draw_camera(canvas, projection)
    points = [projection.to_pixel(float(x), float(z)) for x, z in positions]
    pairs = [pair for pair in reversed(scene.pairs) if pair.in_contact]
    for pair in pairs:
        colour, px = (_WARNING_COLOUR, 3) if pair.exceeds_limit else (_DARK_COLOUR, 1)
        _draw_line(canvas, points[pair.first], points[pair.second], colour, px)
    _draw_people(canvas, scene, points, style)
    if pairs:
        highest = find_highest_risk_pair(scene) or pairs[-1]
        _draw_distance(canvas, points, highest)
    return canvas


def _draw_people(
    canvas: Image,
    scene: Scene,
    points: list[tuple[float, float]],
    style: Style,
) -> None:
    """Draw a marker for each person, then the track IDs on top."""
    radius = max(5.0, min(canvas.shape[:2]) / 55)
    people = list(zip(scene, points, strict=True))
    for face, point in reversed(people):
        colour, is_hollow = style.colour_bgr(face.label), face.unseen_s > 0
        _draw_marker(canvas, point, face.label, colour, radius, is_hollow=is_hollow)
    for face, (x, y) in people:
        if face.track_id != UNTRACKED:
            text, place = str(face.track_id), (x + 1.5 * radius, y + 1.2 * radius)
            _draw_text(canvas, text, place, _DARK_COLOUR)


def _fit_projection(
    positions: _Floats, corners_m: _Floats | None, size_wh: tuple[int, int]
) -> _Projection:
    """Choose a scale that shows all people and most of the clicked rectangle."""
    width, height = size_wh
    shown_positions = positions[np.isfinite(positions).all(axis=1)]
    if corners_m is not None:
        shown_positions = np.concatenate([shown_positions, corners_m])
    sideways_m = (
        float(np.abs(shown_positions[:, 0]).max(initial=0)) * 2 * height / width
    )
    depth_m = max(float(shown_positions[:, 1].max(initial=0)), sideways_m) + 0.4
    steps = math.ceil(min(max(depth_m, _MIN_DEPTH_M), 200) / _DEPTH_STEP_M)
    return _Projection(size_wh, height / (steps * _DEPTH_STEP_M + _BEHIND_CAMERA_M))


def _to_fixed_point(point: tuple[float, float]) -> tuple[int, int]:
    """Return a pixel as OpenCV fixed-point coordinates."""
    scale = 1 << _FIXED_POINT_BITS
    return round(point[0] * scale), round(point[1] * scale)


def _draw_line(
    canvas: Image,
    first: tuple[float, float],
    second: tuple[float, float],
    colour: BGR,
    px: int,
) -> None:
    cv2.line(
        canvas,
        _to_fixed_point(first),
        _to_fixed_point(second),
        colour,
        px,
        cv2.LINE_AA,
        _FIXED_POINT_BITS,
    )


def _fill_polygon(
    canvas: Image, corners: list[tuple[float, float]], colour: BGR
) -> None:
    points = np.array([_to_fixed_point(corner) for corner in corners], np.int32)
    cv2.fillPoly(canvas, [points], colour, cv2.LINE_AA, _FIXED_POINT_BITS)


def _draw_text(
    canvas: Image, text: str, position: tuple[float, float], colour: BGR
) -> None:
    """Draw text with a light edge, readable on lines and markers."""
    cap_px = round(max(8, min(canvas.shape[:2]) / 50))
    draw_text(canvas, text, position, cap_px, colour, edge_colour=_BACKGROUND_COLOUR)


def _draw_grid(canvas: Image, projection: _Projection) -> None:
    """Draw a line every metre, or every 2, 5 or 10 m if they would be too dense."""
    width, height = projection.size_wh
    step = next((m for m in (1, 2, 5, 10) if m * projection.px_per_m >= 28), 20)
    for z in range(0, math.ceil(height / projection.px_per_m), step):
        y = projection.to_pixel(0, z)[1]
        _draw_line(canvas, (0, y), (width, y), _GRID_COLOUR, 1)
        _draw_text(canvas, f"{z} m", (4, y - 3), _FAINT_COLOUR)
    sides = math.ceil(width / 2 / projection.px_per_m / step)
    for x in range(-sides * step, sides * step + 1, step):
        x_px = projection.to_pixel(x, 0)[0]
        _draw_line(canvas, (x_px, 0), (x_px, height), _GRID_COLOUR, 1)


def _draw_camera(canvas: Image, projection: _Projection) -> None:
    """Draw the camera as a wedge that opens in the viewing direction."""
    x, y = projection.to_pixel(0, 0)
    side = max(6.0, min(projection.size_wh) / 40)
    _fill_polygon(
        canvas,
        [(x, y + side / 2), (x - side, y - side), (x + side, y - side)],
        _DARK_COLOUR,
    )


def _draw_distance(
    canvas: Image, points: list[tuple[float, float]], pair: PersonPair
) -> None:
    """Draw the distance beside the middle of the line."""
    (x1, y1), (x2, y2) = points[pair.first], points[pair.second]
    # To the right of the line, below it if it rises and above it otherwise.
    rises = (x2 - x1) * (y2 - y1) < 0
    text_position = ((x1 + x2) / 2 + 8, (y1 + y2) / 2 + (14 if rises else -6))
    colour = _WARNING_COLOUR if pair.exceeds_limit else _DARK_COLOUR
    _draw_text(canvas, f"{pair.distance:.1f} {pair.unit}", text_position, colour)


def _draw_marker(
    canvas: Image,
    position: tuple[float, float],
    label: Label,
    colour: BGR,
    radius: float,
    *,
    is_hollow: bool,
) -> None:
    """Draw a person's marker with a dark edge; hollow without a current detection."""
    outline = _MARKER_OUTLINES.get(label)
    if outline is None:
        angles = np.linspace(0, 2 * math.pi, 32, endpoint=False)
        outline = tuple(zip(np.cos(angles), np.sin(angles), strict=True))
    inner = _BACKGROUND_COLOUR if is_hollow else colour
    for scale, fill in (
        (1.35, _DARK_COLOUR),
        (1.1, colour),
        (0.65 if is_hollow else 1.1, inner),
    ):
        size = scale * radius
        shape = [(position[0] + size * x, position[1] + size * y) for x, y in outline]
        _fill_polygon(canvas, shape, fill)
