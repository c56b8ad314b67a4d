"""Procedural images without faces: walls, round objects and cartoon faces.

Walls have patterns of many scales and colours. Clocks, plates and lamps have the
outline of a face; balls and sockets also have two dots at the place of the eyes.
Detections on cartoon faces are reported apart from false positives. A camera simulation
adds light, blur, noise and JPEG compression.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.synthetic.masks import sample_colour
from maskdet.types import Image, Rng

FloatArray: TypeAlias = NDArray[np.float64]
Colour: TypeAlias = FloatArray | tuple[float, ...]

SIZE_WH: Final = (640, 480)
"""Size of the images in pixels, as of a common camera."""

_SUBPIXEL_BITS: Final = 3
"""Fractional bits of the fixed-point coordinates for OpenCV."""

WallPattern: TypeAlias = Literal[
    "bricks", "stripes", "checks", "dots", "leaves", "noise"
]

WALL_PATTERNS: Final[tuple[WallPattern, ...]] = get_args(WallPattern)

_PATTERN_SCALES_PX: Final = (10.0, 120.0)
"""Smallest and largest period of a pattern."""

RoundObjectKind: TypeAlias = Literal["clocks", "plates", "lamps", "balls", "sockets"]

ROUND_OBJECT_KINDS: Final[tuple[RoundObjectKind, ...]] = get_args(RoundObjectKind)

_RADIUS_RANGE_PX: Final = (14.0, 90.0)


CartoonKind: TypeAlias = Literal["smileys", "line drawings", "cartoons"]

CARTOON_KINDS: Final[tuple[CartoonKind, ...]] = get_args(CartoonKind)

_CARTOON_SKINS: Final = (
    (170, 200, 240),
    (130, 170, 225),
    (90, 130, 190),
    (50, 80, 120),
)

_WHITE: Final = (245, 245, 245)

_CARTOON_INK: Final = (25, 25, 25)


def simulate_camera(image: Image, rng: Rng) -> Image:
    """Simulate a camera: light, blur, noise and JPEG compression."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width] / max(height, width)
    slope = rng.uniform(-0.5, 0.5, 2)
    light = rng.uniform(0.7, 1.1) + slope[0] * (x - 0.5) + slope[1] * (y - 0.4)
    captured = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6)) * light[..., None]
    captured += rng.standard_normal(image.shape, np.float32) * rng.uniform(1, 7)
    captured_uint8 = np.clip(np.rint(captured), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    _, data = cv2.imencode(".jpg", captured_uint8, quality)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


@dataclass(frozen=True, eq=False)
class _Sketch:
    """A drawing on an image, whose coordinates count from its centre.

    Attributes:
        image: is drawn on.
        centre: x and y in pixels.
        unit_px: pixels of one unit, in x and y.
    """

    image: Image
    centre: FloatArray
    unit_px: tuple[float, float]

    def draw_ellipse(
        self,
        x: float,
        y: float,
        axes: tuple[float, float],
        colour: Colour,
        *,
        angle_deg: float = 0.0,
        arc: tuple[float, float] = (0.0, 360.0),
        thickness: int = cv2.FILLED,
    ) -> None:
        """Draw an ellipse, or an arc of it; angles in degrees."""
        centre = self.centre + np.multiply((x, y), self.unit_px)
        axes_px = np.multiply(axes, self.unit_px)
        cv2.ellipse(
            self.image,
            [round(float(value) * 2**_SUBPIXEL_BITS) for value in centre],
            [max(1, round(float(value) * 2**_SUBPIXEL_BITS)) for value in axes_px],
            angle_deg,
            *arc,
            [float(value) for value in colour],
            thickness,
            cv2.LINE_AA,
            _SUBPIXEL_BITS,
        )

    def draw_line(
        self,
        points: Sequence[Sequence[float] | FloatArray],
        colour: Colour,
        *,
        thickness: int = 1,
    ) -> None:
        """Draw a line through points."""
        points_px = self.centre + np.array(points) * self.unit_px
        corners = np.rint(points_px * 2**_SUBPIXEL_BITS).astype(np.int32)
        bgr = [float(value) for value in colour]
        cv2.polylines(
            self.image, [corners], False, bgr, thickness, cv2.LINE_AA, _SUBPIXEL_BITS
        )


_DrawFunction: TypeAlias = Callable[[_Sketch, Rng], None]


def draw_wall(kind: WallPattern, rng: Rng) -> Image:
    """Return a wall with a pattern; its period is 10 to 120 px."""
    return simulate_camera(_draw_pattern(kind, rng), rng)


def draw_background(rng: Rng) -> Image:
    """Return a background: plain or patterned with equal probability."""
    if rng.random() < 0.5:
        return np.full((*SIZE_WH[::-1], 3), sample_colour(rng), np.uint8)
    return _draw_pattern(WALL_PATTERNS[rng.integers(len(WALL_PATTERNS))], rng)


def _draw_pattern(kind: WallPattern, rng: Rng) -> Image:
    scale = float(np.exp(rng.uniform(*np.log(_PATTERN_SCALES_PX))))
    if kind == "leaves":
        return _leaves(scale, rng)
    if kind == "noise":
        blend = _noise(scale, rng)
    else:
        x, y = _pattern_coordinates(scale, rng)
        blend = _PATTERNS[kind](x, y, rng)
    first, second = np.array(sample_colour(rng)), np.array(sample_colour(rng))
    blended = first * (1 - blend[..., None]) + second * blend[..., None]
    return np.clip(np.rint(blended), 0, 255).astype(np.uint8)


def _pattern_coordinates(scale: float, rng: Rng) -> tuple[FloatArray, FloatArray]:
    """Return x and y of each pixel in periods of a pattern that may be tilted."""
    y, x = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]] / scale
    angle_rad = rng.uniform(-0.6, 0.6) if rng.random() < 0.5 else 0.0
    x, y = x + rng.random(), y + rng.random()
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return x * cos + y * sin + 99, y * cos - x * sin + 99


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
    return (x % 1 > rng.uniform(0.2, 0.8)).astype(float)


def _checks(x: FloatArray, y: FloatArray, rng: Rng) -> FloatArray:
    columns, rows = _stripes(x, y, rng), _stripes(y, x, rng)
    return (columns + rows) / 2 if rng.random() < 0.5 else np.abs(columns - rows)


def _dots(x: FloatArray, y: FloatArray, rng: Rng) -> FloatArray:
    distance = np.hypot(x % 1 - 0.5, y % 1 - 0.5)
    return (distance < rng.uniform(0.12, 0.45)).astype(float)


_PATTERNS: Final = {
    "bricks": _bricks,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
}


def _noise(scale: float, rng: Rng) -> FloatArray:
    """Return fractal noise of four octaves."""
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
        leaf = _Sketch(image, centre, (half_length, half_length))
        tone = np.clip(green * rng.uniform(0.4, 1.5), 0, 255)
        axes = 1, rng.uniform(0.3, 0.6)
        leaf.draw_ellipse(0, 0, axes, tone, angle_deg=angle_deg)
        leaf.draw_line([-tip, tip], tone * 0.7)
    return image


def draw_round_objects(kind: RoundObjectKind, rng: Rng) -> Image:
    """Return a background with 1 to 6 round objects of one kind."""
    image = draw_background(rng)
    for _ in range(rng.integers(1, 7)):
        radius = float(np.exp(rng.uniform(*np.log(_RADIUS_RANGE_PX))))
        centre = rng.uniform(radius, np.array(SIZE_WH) - radius)
        _ROUND_OBJECT_DRAWERS[kind](_Sketch(image, centre, (radius, radius)), rng)
    return simulate_camera(image, rng)


def _draw_shaded_disc(
    disc: _Sketch, radius: float, colour: FloatArray, depth: float
) -> None:
    """Draw a ball lit from above left; a depth of 0 gives a flat disc."""
    for step in np.linspace(0, 1, 12):
        shift = -0.35 * radius * step * 0.7
        tone = np.clip(colour * (1 - depth * (1 - step)), 0, 255)
        disc.draw_ellipse(shift, shift, (radius * (1 - 0.6 * step),) * 2, tone)


def _draw_clock(clock: _Sketch, rng: Rng) -> None:
    face = np.array(sample_colour(rng)) * 0.3 + 170
    ink = np.array(sample_colour(rng)) * 0.4
    thickness_px = max(1, round(clock.unit_px[0] / 18))
    clock.draw_ellipse(0, 0, (1, 1), ink)
    clock.draw_ellipse(0, 0, (0.9, 0.9), face)
    for hour in range(12):
        outward = _direction(hour * 30)
        ends = [outward * 0.72, outward * 0.82]
        clock.draw_line(ends, ink, thickness=thickness_px)
    for length in (0.45, 0.68):
        tip = _direction(rng.uniform(0, 360)) * length
        clock.draw_line([(0, 0), tip], ink, thickness=2 * thickness_px)


def _draw_plate(plate: _Sketch, rng: Rng) -> None:
    colour = np.array(sample_colour(rng)) * 0.4 + 140
    height_ratio = rng.uniform(0.6, 1)
    for radius, tone in ((1, 0.9), (0.96, 1), (0.68, 0.86), (0.65, 0.96)):
        plate.draw_ellipse(0, 0, (radius, radius * height_ratio), colour * tone)
    for _ in range(rng.integers(0, 4)):  # leftovers
        x, y = rng.uniform(-0.35, 0.35, 2)
        radius = rng.uniform(0.08, 0.25)
        plate.draw_ellipse(x, y, (radius, radius * 0.8), sample_colour(rng))


def _draw_lamp(lamp: _Sketch, rng: Rng) -> None:
    image, centre, radius_px = lamp.image, lamp.centre, lamp.unit_px[0]
    colour = np.array([190, 230, 250.0])
    lamp.draw_line([(0, -centre[1] / radius_px), (0, 0)], (40, 40, 40), thickness=2)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    distance = np.hypot(x - centre[0], y - centre[1]) / radius_px
    glow = np.exp(-((distance / rng.uniform(1.2, 2)) ** 2))[..., None] * 0.7
    image[:] = np.rint(image * (1 - glow) + colour * glow).astype(np.uint8)
    _draw_shaded_disc(lamp, 0.7, colour, 0.15)


def _draw_ball(ball: _Sketch, rng: Rng) -> None:
    """Draw a ball with two dots like eyes, half of them with a third dot."""
    _draw_shaded_disc(ball, 1, np.array(sample_colour(rng), float), 0.5)
    ink = np.array(sample_colour(rng)) * 0.3
    radius = rng.uniform(0.08, 0.16)
    dx, dy = rng.uniform(0.25, 0.45), rng.uniform(-0.35, 0.05)
    for side in (-1, 1):
        ball.draw_ellipse(side * dx, dy, (radius, radius), ink)
    if rng.random() < 0.5:
        ball.draw_ellipse(0, 0.3, (radius, radius), ink)


def _draw_socket(socket: _Sketch, rng: Rng) -> None:
    """Draw a wall socket: two holes, and a slot or a pin below."""
    tone = rng.uniform(150, 245, 3).mean() * np.ones(3)
    (x, y), radius_px = socket.centre, socket.unit_px[0]
    cv2.rectangle(
        socket.image,
        (round(x - radius_px), round(y - radius_px)),
        (round(x + radius_px), round(y + radius_px)),
        [float(value) for value in tone * 0.95],
        cv2.FILLED,
    )
    socket.draw_ellipse(0, 0, (0.75, 0.75), tone * 0.85)
    socket.draw_ellipse(0, 0, (0.68, 0.68), tone)
    hole_height = 0.1 * rng.choice([1.0, 2.2])
    for side in (-1, 1):
        socket.draw_ellipse(side * 0.3, -0.1, (0.1, hole_height), tone * 0.2)
    socket.draw_ellipse(0, 0.35, (0.1, 0.1), tone * 0.3)


def _direction(degrees: float) -> FloatArray:
    angle = np.deg2rad(degrees)
    return np.array([np.sin(angle), -np.cos(angle)])


_ROUND_OBJECT_DRAWERS: Final[dict[RoundObjectKind, _DrawFunction]] = {
    "clocks": _draw_clock,
    "plates": _draw_plate,
    "lamps": _draw_lamp,
    "balls": _draw_ball,
    "sockets": _draw_socket,
}


def draw_cartoon(kind: CartoonKind, rng: Rng) -> Image:
    """Return a wall or a sheet of paper with one cartoon face."""
    image = draw_background(rng)
    if kind == "line drawings":
        image[:] = rng.integers(215, 256, 3)
    radius = float(np.exp(rng.uniform(*np.log(_RADIUS_RANGE_PX)))) * 1.4
    centre = rng.uniform(1.3 * radius, np.array(SIZE_WH) - 1.3 * radius)
    _CARTOON_DRAWERS[kind](_Sketch(image, centre, (radius, radius)), rng)
    return simulate_camera(image, rng)


def _draw_smiley(face: _Sketch, rng: Rng) -> None:
    radius_px = face.unit_px[0]
    outline_px = max(1, round(radius_px / 14))
    yellow = rng.uniform((0, 170, 210), (90, 230, 256))
    face.draw_ellipse(0, 0, (1, 1), _CARTOON_INK)
    face.draw_ellipse(0, 0, (1 - outline_px / radius_px,) * 2, yellow)
    for side in (-1, 1):
        face.draw_ellipse(side * 0.35, -0.25, (0.1, 0.16), _CARTOON_INK)
    arc = (20.0, 160.0) if rng.random() < 0.7 else (200.0, 340.0)
    mouth_y, axes = (0.15 if arc[0] < 90 else 0.65), (0.55, 0.42)
    face.draw_ellipse(0, mouth_y, axes, _CARTOON_INK, arc=arc, thickness=outline_px)


def _draw_line_drawing(sketch: _Sketch, rng: Rng) -> None:
    """Draw outline, eyes, brows, nose and mouth with thin lines."""
    radius_px = sketch.unit_px[0]
    pen_px = max(1, round(radius_px / 30))
    width = rng.uniform(0.7, 0.85)
    face = dataclasses.replace(sketch, unit_px=(width * radius_px, radius_px))
    face.draw_ellipse(0, 0, (1, 1), _CARTOON_INK, thickness=pen_px)
    for side in (-1, 1):
        eye_x = side * 0.36
        face.draw_ellipse(eye_x, -0.15, (0.18, 0.08), _CARTOON_INK, thickness=pen_px)
        face.draw_ellipse(eye_x, -0.15, (0.06, 0.06), _CARTOON_INK)
        face.draw_ellipse(
            eye_x,
            -0.25,
            (0.22, 0.1),
            _CARTOON_INK,
            arc=(200, 340),
            thickness=2 * pen_px,
        )
        face.draw_ellipse(side, 0, (0.1, 0.18), _CARTOON_INK, thickness=pen_px)
    nose = [(0.0, -0.1), (-0.1, 0.22), (0.06, 0.24)]
    sketch.draw_line(nose, _CARTOON_INK, thickness=pen_px)
    mouth_y, axes = rng.uniform(0.4, 0.5), (0.32, rng.uniform(0.03, 0.14))
    face.draw_ellipse(0, mouth_y, axes, _CARTOON_INK, arc=(0, 180), thickness=pen_px)
    for start in np.linspace(-0.9, 0.9, 14):  # hair
        root = np.array([start * width, -np.sqrt(1 - start**2)])
        tip = root + rng.uniform((-0.1, -0.25), (0.1, -0.05))
        sketch.draw_line([root, tip], _CARTOON_INK, thickness=pen_px)


def _draw_cartoon_head(sketch: _Sketch, rng: Rng) -> None:
    """Draw a flat coloured head with large eyes, a third of them with a mask."""
    skin = np.array(_CARTOON_SKINS[rng.integers(len(_CARTOON_SKINS))], float)
    hair = np.array(sample_colour(rng)) * 0.5
    radius_px = sketch.unit_px[0]
    head = dataclasses.replace(sketch, unit_px=(0.85 * radius_px, radius_px))
    head.draw_ellipse(0, -0.2, (1.08, 1), hair)
    head.draw_ellipse(0, 0, (1, 0.95), skin)
    head.draw_ellipse(0, -0.1, (1, 0.85), hair, arc=(205, 335))
    for side in (-1, 1):
        pupil_x = side * 0.38 + 0.03 / 0.85
        head.draw_ellipse(side * 0.38, -0.05, (0.22, 0.2), _WHITE)
        head.draw_ellipse(pupil_x, -0.05, (0.1, 0.11), _CARTOON_INK)
    if rng.random() < 1 / 3:
        mask = np.array(sample_colour(rng), float)
        head.draw_ellipse(0, 0.48, (0.72, 0.34), mask)
        return
    head.draw_ellipse(0, 0.25, (0.09, 0.09 * 0.85), skin * 0.8)
    head.draw_ellipse(0, 0.5, (0.3, 0.16), (60, 50, 180), arc=(0, 180))


_CARTOON_DRAWERS: Final[dict[CartoonKind, _DrawFunction]] = {
    "smileys": _draw_smiley,
    "line drawings": _draw_line_drawing,
    "cartoons": _draw_cartoon_head,
}
