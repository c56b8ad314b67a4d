"""Render clear and printed covers of an unmasked face, for training.

A mouth is visible behind or on each of them, although the face is covered. `lookalikes`
renders other ones, which are only used to measure.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.synthetic.compositing import (
    Canvas,
    FloatArray,
    composite,
    create_canvas,
)
from maskdet.synthetic.head import MOUTH_Y, Head
from maskdet.synthetic.masks import Mask, render_mask, sample_colour
from maskdet.types import Image, Rng

Cover: TypeAlias = Literal[
    "visor", "mouth shield", "window", "printed face", "printed mouth"
]
COVERS: Final[tuple[Cover, ...]] = get_args(Cover)

_GLARE: Final = 248.0
"""Grey level of a reflection of a lamp or a window."""


def render_cover(
    image: Image,
    landmarks: NDArray[np.floating],
    cover: Cover,
    *,
    box: NDArray[np.floating] | None = None,
    rng: Rng,
) -> Image:
    """Render a cover through which, or on which, a mouth is visible.

    Args:
        image: `(h, w, 3)` uint8 BGR; not changed.
        landmarks: `(5, 2)` as in `render_mask`.
        cover: `visor`: a transparent shield from forehead to chin; `mouth shield`: a
            small one before nose and mouth; `window`: a mask with a transparent
            window; `printed face`: a mask with a photograph of its wearer's mouth;
            `printed mouth`: a mask with a drawing, such as a smile or teeth.
        box: `(4,)` `x1, y1, x2, y2` of the face, which gives the position of the chin.
        rng: random generator of shapes, colours and reflections.

    Raises:
        ValueError: the landmarks do not form a face, or the cover is unknown.
    """
    if cover not in COVERS:
        raise ValueError(f"cover must be one of {', '.join(COVERS)}, got {cover!r}")
    head = Head.fit(landmarks, box)
    canvas = create_canvas(image, head, reach=2.6)
    if canvas is None:
        return image.copy()
    if cover == "visor":
        _paint_visor(canvas, rng)
        return composite(image, canvas)
    if cover == "mouth shield":
        _paint_mouth_shield(canvas, rng)
        return composite(image, canvas)
    masked = render_mask(image, landmarks, Mask.random(rng), box=box, rng=rng)
    if cover == "printed mouth":
        _paint_drawing(canvas, rng)
        return composite(masked, canvas)
    window = _shape_window(canvas, rng)
    behind = image if cover == "window" else _print_photograph(image, head, rng)
    opened = _open_window(canvas, window * rng.uniform(0.8, 1.0), masked, behind)
    if cover == "window":
        _paint_reflections(canvas, window, 0.6, rng)
        return composite(opened, canvas)
    return opened


def _soften(canvas: Canvas, depth: FloatArray) -> FloatArray:
    """Return the coverage of each cell from its depth inside a shape."""
    return np.clip(0.5 + depth * canvas.eyes_px * canvas.zoom, 0, 1)


def _fill(canvas: Canvas, colour: FloatArray) -> FloatArray:
    return colour * np.ones((*canvas.shape, 3))


def _sample_ink(rng: Rng) -> FloatArray:
    """Return the colour of a print: red, black, white, or any."""
    inks = [(50, 40, 170), (30, 28, 28), (235, 235, 235), sample_colour(rng)]
    return np.array(inks[rng.integers(len(inks))], np.float64)


def _paint_visor(canvas: Canvas, rng: Rng) -> None:
    """Paint a bent sheet before the whole face, and what holds it."""
    x, y = canvas.plane
    half, top = rng.uniform(0.95, 1.5), rng.uniform(-1.2, -0.5)
    bottom = canvas.head.chin_y + rng.uniform(0.05, 0.9)
    sag = rng.uniform(-0.1, 0.4) * (x / half) ** 2
    depth = np.minimum.reduce([y - top, bottom - sag - y, half - np.abs(x)])
    inside = _soften(canvas, depth)
    _paint_sheet(canvas, inside, depth, np.abs(x) / half, rng)
    holder = rng.integers(4)
    band_y = top + (rng.uniform(0.15, 0.4) if holder < 2 else rng.uniform(0.05, 0.12))
    bend = rng.uniform(-0.1, 0.12) * x**2
    if holder == 2:  # held by a frame like that of glasses
        top, band_y = -0.12, rng.uniform(-0.07, 0.0)
    if holder < 3:
        reach = half * rng.uniform(0.9, 1.1)
        band = np.minimum.reduce([y - top + bend, band_y - y - bend, reach - np.abs(x)])
        shades = [(240, 240, 240), (30, 30, 32), sample_colour(rng), (190, 140, 90)]
        colour = np.array(shades[rng.integers(len(shades))], np.float64)
        opacity = rng.uniform(0.75, 1.0) if holder else rng.uniform(0.4, 0.8)
        canvas.add(_soften(canvas, band) * opacity, _fill(canvas, colour))


def _paint_mouth_shield(canvas: Canvas, rng: Rng) -> None:
    """Paint a small bent sheet before nose and mouth on a bar under the chin."""
    x, y = canvas.plane
    half, top = rng.uniform(0.55, 0.95), rng.uniform(0.05, 0.75)
    bottom = canvas.head.chin_y + rng.uniform(-0.1, 0.3)
    narrow = rng.uniform(0.0, 0.3) * np.clip((y - top) / (bottom - top), 0, 1)
    depth = np.minimum.reduce([y - top, bottom - y, half * (1 - narrow) - np.abs(x)])
    inside = _soften(canvas, depth)
    _paint_sheet(canvas, inside, depth, np.abs(x) / half, rng)
    bar = 0.5 * rng.uniform(0.08, 0.25) - np.abs(y - bottom + 0.1 * x**2)
    bar = np.minimum(bar, half * rng.uniform(0.5, 1.0) - np.abs(x))
    shades = [(240, 240, 240), (30, 30, 32), sample_colour(rng)]
    colour = np.array(shades[rng.integers(len(shades))], np.float64)
    canvas.add(
        _soften(canvas, bar) * rng.choice([0.5, 0.9, 1.0]), _fill(canvas, colour)
    )


def _paint_sheet(
    canvas: Canvas, inside: FloatArray, depth: FloatArray, side: FloatArray, rng: Rng
) -> None:
    """Paint the veil, the reflections and the edge of a transparent sheet.

    Args:
        canvas: the canvas.
        inside: coverage of each cell by the sheet.
        depth: distance of each cell from its edge, negative outside.
        side: 0 in the middle of the sheet to 1 at its left and right edge.
        rng: random numbers.
    """
    tint = np.array([235.0, 235.0, 235.0]) + rng.uniform((-5, -25, -40), (20, 15, 10))
    veil = rng.uniform(0.05, 0.16) * (
        1 + rng.uniform(0, 1.5) * np.clip(side, 0, 1) ** 2
    )
    canvas.add(inside * np.clip(veil, 0, 0.45), _fill(canvas, tint))
    _paint_reflections(canvas, inside, 1.0, rng)
    rim = np.clip(1 - np.abs(depth - 0.02) / rng.uniform(0.02, 0.06), 0, 1)
    shade = rng.choice([70.0, 160.0, 235.0, 250.0])
    canvas.add(rim * rng.uniform(0.4, 0.9), _fill(canvas, np.full(3, shade)))


def _paint_reflections(
    canvas: Canvas, inside: FloatArray, strength: float, rng: Rng
) -> None:
    """Paint windows, lamps and bands of light that a sheet reflects."""
    x, y = canvas.plane
    for _ in range(rng.integers(1, 5)):
        angle = rng.uniform(-0.7, 0.7)
        dx, dy = x - rng.uniform(-1.1, 1.1), y - rng.uniform(-0.8, 2.0)
        across = np.abs(dx * np.cos(angle) + dy * np.sin(angle))
        along = np.abs(dy * np.cos(angle) - dx * np.sin(angle))
        kind = rng.integers(3)
        if kind == 0:  # a window, perhaps with a bar
            width, height = rng.uniform(0.08, 0.45, 2)
            shape = _soften(canvas, np.minimum(width - across, height - along))
            if rng.random() < 0.5:
                shape *= 1 - _soften(canvas, 0.03 - across)
        elif kind == 1:  # a lamp
            radius = rng.uniform(0.05, 0.25)
            shape = np.exp(
                -((across**2 + (along / rng.uniform(1, 3)) ** 2) / radius**2)
            )
        else:  # a band along the bend of the sheet
            width, length = rng.uniform(0.03, 0.2), rng.uniform(0.5, 2.0)
            shape = np.clip(1 - across / width, 0, 1) * np.clip(
                1 - along / length, 0, 1
            )
        opacity = strength * rng.uniform(0.2, 0.7)
        canvas.add(inside * shape * opacity, _fill(canvas, np.full(3, _GLARE)))


def _shape_window(canvas: Canvas, rng: Rng) -> FloatArray:
    """Return the coverage of each cell by a round or square window at the mouth."""
    x, y = canvas.plane
    half_wh = rng.uniform((0.45, 0.25), (0.95, 0.62))
    power = rng.uniform(2, 6)
    distance = (
        np.abs(x / half_wh[0]) ** power
        + np.abs((y - MOUTH_Y - rng.uniform(-0.15, 0.1)) / half_wh[1]) ** power
    )
    depth = (1 - distance ** (1 / power)) * half_wh.min()
    return _soften(canvas, depth)


def _open_window(
    canvas: Canvas, window: FloatArray, masked: Image, behind: Image
) -> Image:
    """Return the masked image with `behind` in the window of the mask."""
    x1, y1, x2, y2 = canvas.window
    cover = canvas.resample_to_pixels(window)[..., None]
    outer, inner = (part[y1:y2, x1:x2].astype(np.float64) for part in (masked, behind))
    result = masked.copy()
    mixed = outer * (1 - cover) + inner * cover
    result[y1:y2, x1:x2] = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    return result


def _print_photograph(image: Image, head: Head, rng: Rng) -> Image:
    """Return the image as a print of it: moved, scaled, paler, in other colours."""
    mouth = (head.landmarks[3] + head.landmarks[4]) / 2
    matrix = cv2.getRotationMatrix2D(
        (float(mouth[0]), float(mouth[1])), rng.uniform(-8, 8), rng.uniform(0.8, 1.25)
    )
    shift = np.array([[0, 0, 1]]) * rng.uniform(-0.1, 0.1, (2, 1)) * head.eyes_px
    size_wh = (image.shape[1], image.shape[0])
    moved = cv2.warpAffine(
        image, matrix + shift, size_wh, borderMode=cv2.BORDER_REPLICATE
    )
    mean = rng.uniform(110, 150)
    pale = mean + (moved.astype(np.float64) - mean) * rng.uniform(0.65, 1.0)
    tone = 1 + rng.uniform(-0.15, 0.15, 3)
    result: Image = np.rint(np.clip(pale * tone, 0, 255)).astype(np.uint8)
    return result


def _paint_drawing(canvas: Canvas, rng: Rng) -> None:
    """Paint one or two of smile, lips, teeth and moustache."""
    painters = (_paint_smile, _paint_mouth, _paint_teeth, _paint_moustache)
    for index in rng.permutation(len(painters))[: rng.integers(1, 3)]:
        painters[index](canvas, rng)


def _paint_smile(canvas: Canvas, rng: Rng) -> None:
    """Paint a bent line."""
    x, y = canvas.plane
    half, bend = rng.uniform(0.3, 0.7), rng.uniform(-0.3, 0.5)
    line = MOUTH_Y + rng.uniform(-0.1, 0.2) - bend * (x / half) ** 2 * half
    depth = np.minimum(rng.uniform(0.02, 0.07) - np.abs(y - line), half - np.abs(x))
    canvas.add(_soften(canvas, depth), _fill(canvas, _sample_ink(rng)))


def _paint_mouth(canvas: Canvas, rng: Rng) -> None:
    """Paint two lips of ellipses, with an open mouth or a tongue between them."""
    x, y = canvas.plane
    y = y - MOUTH_Y - rng.uniform(-0.1, 0.15)
    half, height = rng.uniform(0.3, 0.65), rng.uniform(0.1, 0.32)
    lips = height * (1 - np.hypot(x / half, y / height))
    gap = height * (rng.uniform(0.3, 0.8) - np.hypot(x / half, y / height))
    canvas.add(_soften(canvas, lips), _fill(canvas, _sample_ink(rng)))
    canvas.add(_soften(canvas, gap), _fill(canvas, _sample_ink(rng) * 0.6))


def _paint_teeth(canvas: Canvas, rng: Rng) -> None:
    """Paint a row or two of teeth in a dark frame."""
    x, y = canvas.plane
    y = y - MOUTH_Y - rng.uniform(-0.1, 0.15)
    half, height = rng.uniform(0.35, 0.7), rng.uniform(0.12, 0.3)
    depth = np.minimum(half - np.abs(x), height - np.abs(y))
    width = rng.uniform(0.1, 0.2)
    gaps = np.minimum(np.abs((x / width) % 1 - 0.5) * width, np.abs(y))
    canvas.add(_soften(canvas, depth + 0.05), _fill(canvas, np.full(3, 30.0)))
    teeth = np.minimum(depth, gaps - 0.015)
    canvas.add(_soften(canvas, teeth), _fill(canvas, np.full(3, rng.uniform(190, 245))))


def _paint_moustache(canvas: Canvas, rng: Rng) -> None:
    """Paint a moustache or the nose of an animal above the mouth."""
    x, y = canvas.plane
    y = y - MOUTH_Y + rng.uniform(0.15, 0.4)
    half, height = rng.uniform(0.2, 0.6), rng.uniform(0.07, 0.2)
    drop = rng.uniform(-0.3, 0.5) * x**2
    depth = height * (1 - np.hypot(x / half, (y - drop) / height))
    canvas.add(_soften(canvas, depth), _fill(canvas, _sample_ink(rng)))
