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


@dataclass(frozen=True)
class _Colours:
    """Colours of everything but the people.

    Attributes:
        background: behind everything, and around letters.
        ground: the rectangle on the floor.
        grid: the lines of the grid.
        ink: the camera, IDs, edges of markers, and lines of pairs.
        faint: distances along the grid.
        warning: a contact that exceeds the limit.
    """

    background: BGR
    ground: BGR
    grid: BGR
    ink: BGR
    faint: BGR
    warning: BGR


_LIGHT: Final = _Colours(
    background=(250, 250, 250),
    ground=(238, 232, 226),
    grid=(222, 222, 222),
    ink=(60, 60, 60),
    faint=(110, 110, 110),
    warning=(0, 0, 200),
)
_DARK: Final = _Colours(
    background=(48, 33, 27),
    ground=(70, 52, 44),
    grid=(84, 68, 60),
    ink=(235, 230, 226),
    faint=(180, 170, 164),
    warning=(110, 110, 255),
)

_MIN_EXTENT_M: Final = 3.0
_MARGIN_M: Final = 0.6
_MAX_EXTENT_M: Final = 200.0
_BEHIND_CAMERA_M: Final = 0.4
_MAX_CAMERA_GAP_M: Final = 2.0
"""The view shows the people and a margin, rounded up to whole metres, so that it does
not change with every step of a person. It includes the camera unless everybody is
farther away from it than the gap."""

_GRID_STEPS_M: Final = (0.5, 1, 2, 5, 10, 20, 50)
_MIN_GRID_PX: Final = 40

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
        middle_m: x in the middle of the width.
        near_m: z at the lower edge.
    """

    size_wh: tuple[int, int]
    px_per_m: float
    middle_m: float
    near_m: float

    def to_pixel(self, x_m: float, z_m: float) -> tuple[float, float]:
        """Return the pixel of a position; away from the camera is up."""
        width, height = self.size_wh
        return (
            width / 2 + (x_m - self.middle_m) * self.px_per_m,
            height - (z_m - self.near_m) * self.px_per_m,
        )


def draw_birds_eye(
    scene: Scene,
    positions: _Floats,
    *,
    size_wh: tuple[int, int] = (480, 360),
    style: Style = DEFAULT_STYLE,
    corners_m: _Floats | None = None,
    dark: bool = False,
) -> Image:
    """Draw people from above on a grid in metres, whose size fits the people.

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
        dark: whether the drawing is for a dark page.

    Raises:
        ValueError: `positions` does not have one row per face.
    """
    if positions.shape != (len(scene), 2):
        raise ValueError(
            f"positions must have shape ({len(scene)}, 2), got {positions.shape}"
        )
    positions = np.clip(positions, -_MAX_EXTENT_M, _MAX_EXTENT_M)
    projection = _fit_projection(positions, corners_m, size_wh)
    colours = _DARK if dark else _LIGHT
    canvas = np.full((*size_wh[::-1], 3), colours.background, np.uint8)
    if corners_m is not None:
        corners = [projection.to_pixel(float(x), float(z)) for x, z in corners_m]
        _fill_polygon(canvas, corners, colours.ground)
    _draw_grid(canvas, projection, colours)
    _draw_camera(canvas, projection, colours)
    points = [projection.to_pixel(float(x), float(z)) for x, z in positions]
    pairs = [pair for pair in reversed(scene.pairs) if pair.in_contact]
    for pair in pairs:
        colour, px = (colours.warning, 3) if pair.exceeds_limit else (colours.ink, 1)
        _draw_line(canvas, points[pair.first], points[pair.second], colour, px)
    _draw_people(canvas, scene, points, style, colours)
    if pairs:
        highest = find_highest_risk_pair(scene) or pairs[-1]
        _draw_distance(canvas, points, highest, colours)
    return canvas


def _draw_people(
    canvas: Image,
    scene: Scene,
    points: list[tuple[float, float]],
    style: Style,
    colours: _Colours,
) -> None:
    """Draw a marker for each person, then the track IDs on top."""
    radius = max(5.0, min(canvas.shape[:2]) / 55)
    people = list(zip(scene, points, strict=True))
    for face, point in reversed(people):
        colour, is_hollow = style.colour_bgr(face.label), face.unseen_s > 0
        fill = colours.background if is_hollow else colour
        _draw_marker(canvas, point, face.label, (colours.ink, colour, fill), radius)
    for face, (x, y) in people:
        if face.track_id != UNTRACKED:
            text, place = str(face.track_id), (x + 1.5 * radius, y + 1.2 * radius)
            _draw_text(canvas, text, place, colours.ink, colours)


def _fit_projection(
    positions: _Floats, corners_m: _Floats | None, size_wh: tuple[int, int]
) -> _Projection:
    """Choose a view that shows all people, and the rectangle on the floor."""
    shown = positions if corners_m is None else np.concatenate([positions, corners_m])
    if not len(shown):
        shown = np.zeros((1, 2))
    low, high = shown.min(axis=0) - _MARGIN_M, shown.max(axis=0) + _MARGIN_M
    left, right = math.floor(low[0]), math.ceil(high[0])
    near, far = float(math.floor(low[1])), math.ceil(high[1])
    if near <= _MAX_CAMERA_GAP_M:
        near = min(near, -_BEHIND_CAMERA_M)
        left, right = min(left, 0), max(right, 0)
    width_m = max(right - left, _MIN_EXTENT_M)
    depth_m = max(far - near, _MIN_EXTENT_M)
    scale = min(size_wh[0] / width_m, size_wh[1] / depth_m)
    return _Projection(size_wh, scale, (left + right) / 2, near)


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
    canvas: Image,
    text: str,
    position: tuple[float, float],
    colour: BGR,
    colours: _Colours,
) -> None:
    """Draw text with an edge, readable on lines and markers."""
    cap_px = round(max(9, min(canvas.shape[:2]) / 40))
    draw_text(canvas, text, position, cap_px, colour, edge_colour=colours.background)


def _draw_grid(canvas: Image, projection: _Projection, colours: _Colours) -> None:
    """Draw a grid that is not too dense, with the distance from the camera."""
    width, height = projection.size_wh
    step = next(
        (m for m in _GRID_STEPS_M if m * projection.px_per_m >= _MIN_GRID_PX),
        _GRID_STEPS_M[-1],
    )
    half_m = width / 2 / projection.px_per_m
    first, last = projection.middle_m - half_m, projection.middle_m + half_m
    for x in np.arange(math.ceil(first / step), last / step):
        x_px = projection.to_pixel(x * step, 0)[0]
        _draw_line(canvas, (x_px, 0), (x_px, height), colours.grid, 1)
    far_m = projection.near_m + height / projection.px_per_m
    rows = [
        (z * step, projection.to_pixel(0, z * step)[1])
        for z in np.arange(math.ceil(projection.near_m / step), far_m / step)
    ]
    for _, y in rows:
        _draw_line(canvas, (0, y), (width, y), colours.grid, 1)
    for z_m, y in rows:
        _draw_text(canvas, f"{z_m:g} m", (4, y - 3), colours.faint, colours)


def _draw_camera(canvas: Image, projection: _Projection, colours: _Colours) -> None:
    """Draw the camera as a wedge that opens in the viewing direction."""
    x, y = projection.to_pixel(0, 0)
    side = max(6.0, min(projection.size_wh) / 40)
    _fill_polygon(
        canvas,
        [(x, y + side / 2), (x - side, y - side), (x + side, y - side)],
        colours.ink,
    )


def _draw_distance(
    canvas: Image,
    points: list[tuple[float, float]],
    pair: PersonPair,
    colours: _Colours,
) -> None:
    """Draw the distance beside the middle of the line."""
    (x1, y1), (x2, y2) = points[pair.first], points[pair.second]
    # To the right of the line, below it if it rises and above it otherwise.
    rises = (x2 - x1) * (y2 - y1) < 0
    text_position = ((x1 + x2) / 2 + 8, (y1 + y2) / 2 + (14 if rises else -6))
    colour = colours.warning if pair.exceeds_limit else colours.ink
    text = f"{pair.distance:.1f} {pair.unit}"
    _draw_text(canvas, text, text_position, colour, colours)


def _draw_marker(
    canvas: Image,
    position: tuple[float, float],
    label: Label,
    layers: tuple[BGR, BGR, BGR],
    radius: float,
) -> None:
    """Draw a person's marker: its edge, its colour, and what is inside of it."""
    outline = _MARKER_OUTLINES.get(label)
    if outline is None:
        angles = np.linspace(0, 2 * math.pi, 32, endpoint=False)
        outline = tuple(zip(np.cos(angles), np.sin(angles), strict=True))
    for scale, fill in zip((1.35, 1.1, 0.65), layers, strict=True):
        size = scale * radius
        shape = [(position[0] + size * x, position[1] + size * y) for x, y in outline]
        _fill_polygon(canvas, shape, fill)
