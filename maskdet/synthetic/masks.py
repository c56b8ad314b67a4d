"""Render masks on unmasked faces: shape, fabric, patterns, ear loops and light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.synthetic.compositing import (
    BGR,
    FloatArray,
    PixelWindow,
    composite,
    create_canvas,
)
from maskdet.synthetic.head import EAR_X, EAR_Z, MOUTH_Y, Head, Surface
from maskdet.types import Image

MaskKind: TypeAlias = Literal["surgical", "cloth", "ffp2", "black"]
FabricPattern: TypeAlias = Literal["plain", "stripes", "dots", "checks"]
MaskPosition: TypeAlias = Literal["worn", "below_nose", "chin"]

MASK_KINDS: Final[tuple[MaskKind, ...]] = get_args(MaskKind)
FABRIC_PATTERNS: Final[tuple[FabricPattern, ...]] = get_args(FabricPattern)
MASK_POSITIONS: Final[tuple[MaskPosition, ...]] = get_args(MaskPosition)

# Common colours of masks; cloth can have any colour.
_MASK_COLOURS: Final[dict[MaskKind, tuple[BGR, ...]]] = {
    "surgical": (
        (226, 203, 165),
        (238, 236, 232),
        (205, 214, 170),
        (216, 190, 232),
        (52, 48, 46),
    ),
    "ffp2": ((238, 238, 236), (238, 238, 236), (60, 58, 58)),
    "black": ((34, 32, 32), (52, 48, 46)),
    "cloth": (),
}

# Height of the upper edge in the middle and at the sides, in eye distances below the
# eyes: on the bridge of the nose; on the upper lip, below the nostrils; under the lip.
_TOP_Y: Final[dict[MaskPosition, tuple[float, float]]] = {
    "worn": (0.30, 0.60),
    "below_nose": (0.86, 0.92),
    "chin": (MOUTH_Y + 0.24, MOUTH_Y + 0.10),
}

_SIDE_ANGLE: Final = 1.13
"""How far around the head a mask reaches, in radians."""

_STRAP_COLOUR: Final = (235, 235, 235)

_WINDOW_REACH: Final = 1.8
"""Radius around the mouth that is painted, in eye distances."""

_MIN_VISIBLE_EAR_SINE: Final = -0.2
"""Sine of the head's yaw beyond which an ear is not visible."""

_EAR_Y: Final = (0.2, 0.65)

_LOOP_STEPS: Final = np.linspace(0, 1, 9)[:, None]


@dataclass(frozen=True)
class Mask:
    """A mask and its position.

    Attributes:
        kind: `surgical`, `cloth`, `ffp2` or `black`.
        position: `worn`, or incorrect: `below_nose` or `chin`.
        colour: BGR in even light.
        pattern: printed pattern; usually `plain` except for cloth.
        print_colour: BGR of the pattern.
        has_valve: whether it has a round valve, as some `ffp2`.
    """

    kind: MaskKind = "surgical"
    position: MaskPosition = "worn"
    colour: BGR = (226, 203, 165)
    pattern: FabricPattern = "plain"
    print_colour: BGR = (240, 240, 240)
    has_valve: bool = False

    def __post_init__(self) -> None:
        """Check the names."""
        for name, allowed in (
            ("kind", MASK_KINDS),
            ("position", MASK_POSITIONS),
            ("pattern", FABRIC_PATTERNS),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, got {value!r}"
                )

    @classmethod
    def random(cls, rng: np.random.Generator, position: MaskPosition = "worn") -> Mask:
        """Return a mask of random kind, colour and pattern."""
        kind = MASK_KINDS[rng.choice(len(MASK_KINDS), p=[0.45, 0.3, 0.15, 0.1])]
        if kind != "cloth":
            colours = _MASK_COLOURS[kind]
            colour = colours[rng.integers(len(colours))]
            valve = kind == "ffp2" and bool(rng.random() < 0.3)
            return cls(kind, position, colour, has_valve=valve)
        pattern = FABRIC_PATTERNS[
            rng.choice(len(FABRIC_PATTERNS), p=[0.4, 0.2, 0.2, 0.2])
        ]
        return cls(kind, position, sample_colour(rng), pattern, sample_colour(rng))


def sample_colour(rng: np.random.Generator) -> BGR:
    """Return a random colour of cloth, from pale to saturated."""
    hue, saturation, value = rng.integers((0, 0, 30), (180, 200, 245))
    pixel = cv2.cvtColor(
        np.array([[[hue, saturation, value]]], np.uint8), cv2.COLOR_HSV2BGR
    )
    blue, green, red = (int(channel) for channel in pixel[0, 0])
    return blue, green, red


def _compute_edges_y(
    mask: Mask, across: FloatArray, chin_y: float
) -> tuple[FloatArray, FloatArray]:
    """Return the heights of the upper and the lower edge.

    Args:
        mask: the mask.
        across: -1 at the image's left edge of the mask, 1 at its right.
        chin_y: height of the chin, in eye distances below the eyes.
    """
    middle, side = _TOP_Y[mask.position]
    # Narrow on the nose, flat on the cheeks.
    width = 0.42 if mask.position == "worn" else 0.8
    top = middle + (side - middle) * (1 - np.exp(-((across / width) ** 2)))
    lowest = chin_y + (0.14 if mask.position == "chin" else 0.02)
    rise = {"worn": 0.48, "below_nose": 0.4, "chin": 0.3}[mask.position]
    bottom = lowest - rise * np.abs(across) ** 2.4
    return top, bottom


def _compute_coverage(
    mask: Mask, surface: Surface, chin_y: float
) -> tuple[FloatArray, FloatArray]:
    """Return the distance of each pixel from the edge of the mask, and its height.

    Returns:
        `(h, w)` depth in eye distances, negative outside; and `(h, w)` 0 at the
        upper edge to 1 at the lower.
    """
    across = surface.angle / _SIDE_ANGLE
    top, bottom = _compute_edges_y(mask, across, chin_y)
    sides = (1 - np.abs(across)) * _SIDE_ANGLE
    depth = np.minimum.reduce([surface.y - top, bottom - surface.y, sides])
    down = np.clip((surface.y - top) / np.maximum(bottom - top, 1e-3), 0, 1)
    return np.minimum(depth, surface.depth), down


def _render_fabric(
    mask: Mask, surface: Surface, down: FloatArray, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the `(h, w, 3)` colour of the fabric in even light, 0 to 255."""
    across = surface.angle / _SIDE_ANGLE
    printed = _render_print(mask.pattern, surface)[..., None]
    colour = (
        np.array(mask.colour) * (1 - printed) + np.array(mask.print_colour) * printed
    )
    relief = {
        "surgical": _render_pleats,
        "cloth": _render_seam,
        "ffp2": _render_fold,
        "black": _render_seam,
    }[mask.kind](across, down)
    relief = relief * _render_creases(across, down, rng) * _render_nose(mask, surface)
    hem = np.minimum(down, 1 - down) < 0.045
    relief = np.where(hem & (mask.kind != "black"), relief * 0.93, relief)
    if mask.has_valve:
        from_valve = np.hypot((across - 0.3) * _SIDE_ANGLE, surface.y - 1.2)
        ring = np.exp(-(((from_valve - 0.17) / 0.03) ** 2))
        relief = relief * np.where(from_valve < 0.17, 0.9, 1) * (1 - 0.3 * ring)
    return colour * relief[..., None]


def _render_pleats(across: FloatArray, down: FloatArray) -> FloatArray:
    """Return the relief of three folds that flatten to the sides, with shadows."""
    relief = np.ones_like(down)
    for fold in (0.30, 0.48, 0.66):
        below = down - fold
        shadow = np.exp(-np.clip(below, 0, None) / 0.05) * (below > -0.008)
        light = np.exp(-((below + 0.03) ** 2) / (2 * 0.015**2))
        relief += (0.05 * light - 0.17 * shadow) * (1 - 0.5 * across**2)
    return relief


def _render_seam(across: FloatArray, down: FloatArray) -> FloatArray:
    """Return the relief of a vertical seam in the middle with both sides sloping."""
    return (
        1 - 0.16 * np.exp(-((across / 0.018) ** 2)) - 0.05 * np.abs(across) + 0 * down
    )


def _render_fold(across: FloatArray, down: FloatArray) -> FloatArray:
    """Return the relief of a sharp vertical fold, with welded edges and shaded side."""
    fold = 0.14 * np.exp(-((across / 0.02) ** 2))
    weld = 0.12 * np.exp(-(((np.abs(across) - 0.88) / 0.02) ** 2))
    return 1 - fold - weld + 0.05 * np.tanh(across / 0.08) + 0 * down


def _render_creases(
    across: FloatArray, down: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return the relief of a few weak creases."""
    relief = np.ones_like(down)
    for _ in range(5):
        waves = rng.uniform((-7, -9, 0), (7, 9, 2 * np.pi))
        strength = rng.uniform(0.008, 0.025)
        relief += strength * np.sin(waves[0] * across + waves[1] * down + waves[2])
    return relief


def _render_nose(mask: Mask, surface: Surface) -> FloatArray:
    """Return the relief of the nose under the fabric: a ridge and darker flanks."""
    if mask.position != "worn":
        return np.ones_like(surface.y)
    beside = surface.angle / 0.26
    height = np.exp(-(((surface.y - 0.5) / 0.3) ** 2))
    ridge = 0.05 * np.exp(-((beside / 0.6) ** 2))
    flanks = 0.18 * np.abs(beside) * np.exp(-(beside**2))
    return 1 + height * (ridge - flanks)


def _render_print(pattern: FabricPattern, surface: Surface) -> FloatArray:
    """Return the opacity of the print at each pixel, 0 to 1."""
    x, y = surface.angle / 0.2, surface.y / 0.2
    if pattern == "stripes":
        wave = np.sin(2 * np.pi * y)
    elif pattern == "dots":
        wave = 0.35 - np.hypot((x + 0.5 * (np.floor(y) % 2)) % 1 - 0.5, y % 1 - 0.5)
    elif pattern == "checks":
        wave = np.sin(np.pi * x) * np.sin(np.pi * y)
    else:
        return np.zeros_like(x)
    return np.clip(0.5 + 6 * wave, 0, 1)


def render_mask(
    image: Image,
    landmarks: NDArray[np.floating],
    mask: Mask = Mask(),
    *,
    box: NDArray[np.floating] | None = None,
    rng: np.random.Generator | None = None,
) -> Image:
    """Render a mask on an unmasked face.

    The mask follows the rotation of the head, is lit like the face, casts a weak shadow
    and has loops around the ears. The same arguments and generator state give the same
    image.

    Args:
        image: `(h, w, 3)` uint8 BGR; not changed.
        landmarks: `(5, 2)` right eye, left eye, nose, right and left corner of the
            mouth in pixels; the person's right is the image's left (as YuNet).
        mask: the mask and its position.
        box: `(4,)` `x1, y1, x2, y2` of the face, which gives the position of the chin.
        rng: random generator of the creases; default: a fixed seed.

    Raises:
        ValueError: the landmarks do not form a face.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    head = Head.fit(landmarks, box)
    canvas = create_canvas(image, head, _WINDOW_REACH)
    if canvas is None:
        return image.copy()
    depth, down = _compute_coverage(mask, canvas.surface, head.chin_y)
    cover = np.clip(0.5 + depth * head.eyes_px * canvas.zoom, 0, 1)
    canvas.cover[:] = cover
    canvas.colour[:] = _render_fabric(mask, canvas.surface, down, rng)
    canvas.colour[:] *= (cover * (0.72 + 0.28 * canvas.surface.facing))[..., None]
    strap = mask.colour if mask.kind in ("cloth", "black") else _STRAP_COLOUR
    loops = _render_ear_loops(mask, head, canvas.window)
    return composite(image, canvas, behind=(loops, strap))


def _render_ear_loops(mask: Mask, head: Head, window: PixelWindow) -> FloatArray:
    """Return the opacity of the ear loops in the window, 0 to 1."""
    canvas = np.zeros((window[3] - window[1], window[2] - window[0]), np.uint8)
    width_px = 0.032 * head.eyes_px
    heights = _compute_edges_y(mask, np.array([0.97]), head.chin_y)
    for side in (-1, 1):
        if side * head.rotation[2, 0] < _MIN_VISIBLE_EAR_SINE:
            continue
        for height, ear_y in zip(heights, _EAR_Y, strict=True):
            corner = head.point_at(side * 0.97 * _SIDE_ANGLE, float(height[0]))
            ear = np.array([side * EAR_X, ear_y, EAR_Z])
            curve = head.project(corner + _LOOP_STEPS * (ear - corner)) - window[:2]
            fixed = np.rint(curve * 16).astype(np.int32)
            thick = max(1, round(width_px))
            cv2.polylines(canvas, [fixed], False, 255, thick, cv2.LINE_AA, shift=4)
    return canvas / 255 * min(1.0, width_px)
