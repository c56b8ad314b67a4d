"""Render occluders other than masks: hand, scarf, beard, cup, phone, headscarf.

A classifier trained on masks only classifies all of these as masks. They are rendered
on the same head and in the same light as masks in `render_mask`, so that only the
object differs.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from maskdet.synthetic.compositing import (
    BGR,
    Canvas,
    FloatArray,
    composite,
    create_canvas,
    estimate_exposure,
    generate_smooth_noise,
)
from maskdet.synthetic.head import MOUTH_Y, Head
from maskdet.synthetic.masks import sample_colour
from maskdet.types import Image, Rng

Occluder: TypeAlias = Literal["hand", "scarf", "beard", "cup", "phone", "headscarf"]
OCCLUDERS: Final[tuple[Occluder, ...]] = get_args(Occluder)


_HAIR_COLOURS: Final[tuple[BGR, ...]] = (
    (24, 22, 22),
    (28, 34, 44),
    (36, 52, 78),
    (52, 84, 120),
    (60, 90, 150),
    (120, 122, 124),
    (196, 198, 200),
)
_PHONE_CASE_COLOURS: Final[tuple[BGR, ...]] = (
    (28, 26, 26),
    (60, 58, 56),
    (230, 230, 232),
)

# Darkening of the edge of a round object, lit from above left as in most images.
_ROUNDNESS: Final = 0.35


def render_occluder(
    image: Image,
    landmarks: NDArray[np.floating],
    occluder: Occluder,
    *,
    box: NDArray[np.floating] | None = None,
    skin: BGR | None = None,
    rng: Rng,
) -> Image:
    """Render an occluder on an unmasked face.

    Args:
        image: `(h, w, 3)` uint8 BGR; not changed.
        landmarks: `(5, 2)` as in `render_mask`.
        occluder: one of `OCCLUDERS`.
        box: `(4,)` `x1, y1, x2, y2` of the face, which gives the position of the chin.
        skin: colour of hands in even light, BGR; default: estimated from the face.
        rng: random generator of size, place, colour and texture.

    Raises:
        ValueError: the landmarks do not form a face, or the occluder is unknown.
    """
    if occluder not in OCCLUDERS:
        raise ValueError(
            f"occluder must be one of {', '.join(OCCLUDERS)}, got {occluder!r}"
        )
    head = Head.fit(landmarks, box)
    canvas = create_canvas(image, head, reach=3.0 if occluder == "headscarf" else 2.2)
    if canvas is None:
        return image.copy()
    painters = {
        "hand": _paint_hand,
        "scarf": _paint_scarf,
        "beard": _paint_beard,
        "cup": _paint_cup,
        "phone": _paint_phone,
        "headscarf": _paint_headscarf,
    }
    painters[occluder](
        canvas, _estimate_skin_colour(image, head) if skin is None else skin, rng
    )
    return composite(image, canvas)


def _estimate_skin_colour(image: Image, head: Head) -> BGR:
    """Estimate the colour of cheeks and nose in even light."""
    points = np.array([[-0.55, 0.6, 0.2], [0.55, 0.6, 0.2], [0, 0.35, 0.4]])
    height, width = image.shape[:2]
    pixels = []
    for x, y in np.rint(head.project(points)).astype(int):
        reach = max(1, round(0.08 * head.eyes_px))
        x, y = int(np.clip(x, 0, width - 1)), int(np.clip(y, 0, height - 1))
        part = image[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach]
        pixels.append(part.reshape(-1, 3))
    lit = np.median(np.concatenate(pixels), axis=0)
    even = np.clip(lit / estimate_exposure(float(lit.mean()), image), 0, 255)
    blue, green, red = (int(value) for value in even)
    return blue, green, red


def _paint_beard(canvas: Canvas, skin: BGR, rng: Rng) -> None:
    """Paint hair on jaw, chin and upper lip, without the mouth."""
    surface = canvas.surface
    lip = rng.uniform(0.84, 0.95)
    sides = rng.uniform(0.55, 0.95)
    across = np.abs(surface.angle)
    top = np.where(across < 0.42, lip, lip + 0.25 - 0.5 * np.clip(across - 0.42, 0, 1))
    top = np.where(across > 0.8, sides, top)
    beard_length = (
        rng.uniform(0.0, 0.7) if rng.random() < 0.5 else rng.uniform(0.0, 0.15)
    )
    bottom = canvas.head.chin_y + beard_length - 0.35 * across**2
    depth = np.minimum(surface.y - top, bottom - surface.y)
    x, y = canvas.plane
    hanging = np.where(y > canvas.head.chin_y - 0.25, 0.75 - np.abs(x), -1.0)
    depth = np.minimum(depth, np.maximum(surface.depth, hanging))
    mouth = np.hypot(surface.angle / 0.42, (surface.y - MOUTH_Y) / 0.13) - 1
    depth = np.minimum(depth, 0.13 * mouth)
    frayed = depth + 0.12 * generate_smooth_noise(
        canvas.shape, canvas.eyes_px * 0.03, rng
    )
    cover = np.clip(0.5 + frayed / rng.uniform(0.08, 0.2), 0, 1)
    strands = generate_smooth_noise(canvas.shape, canvas.eyes_px * 0.02, rng, stretch=6)
    grain = 1 + rng.uniform(0.15, 0.45) * strands
    colour = np.array(_HAIR_COLOURS[rng.integers(len(_HAIR_COLOURS))]) * rng.uniform(
        0.8, 1.2
    )
    canvas.add(cover * rng.uniform(0.7, 0.96), colour * grain[..., None])


def _paint_scarf(canvas: Canvas, skin: BGR, rng: Rng) -> None:
    """Paint cloth around neck and chin, up to or over the mouth."""
    x, y = canvas.plane
    top = rng.uniform(0.72, 1.08) + 0.1 * np.sin(x * rng.uniform(0.8, 2) + rng.random())
    top += rng.uniform(-0.12, 0.12) * x + rng.uniform(0.0, 0.16) * np.abs(x)
    half = rng.uniform(1.25, 1.7) + 0.35 * np.clip(y - 1.2, 0, 2)
    depth = np.minimum(y - top, half - np.abs(x - rng.uniform(-0.15, 0.15)))
    cover = np.clip(0.5 + depth * canvas.eyes_px * canvas.zoom, 0, 1)
    relief = np.ones_like(x)
    for _ in range(rng.integers(3, 7)):  # folds around the neck
        bend = rng.uniform(-0.5, 0.5) * x + rng.uniform(-0.25, 0.25) * x**2
        wave = (y - top + bend) * rng.uniform(5, 14) + rng.uniform(0, 6)
        relief += rng.uniform(0.04, 0.11) * np.sin(wave)
    knit = rng.uniform(0.02, 0.07)
    relief += knit * np.sin(x * 55 + np.sin(y * 55)) * np.sin(y * 70)
    first, second = np.array(sample_colour(rng)), np.array(sample_colour(rng))
    mix = _sample_tartan(x, y, rng)[..., None]
    canvas.add(cover, (first * (1 - mix) + second * mix) * relief[..., None])


def _paint_headscarf(canvas: Canvas, skin: BGR, rng: Rng) -> None:
    """Paint cloth around head and neck without the face: headscarf, hood or cowl.

    Its edge is on the forehead, the cheeks, and below or on the chin.
    """
    x, y = canvas.plane
    chin = canvas.head.chin_y
    hood = rng.random() < 0.25
    top = rng.uniform(-1.1, -0.45)
    bottom = chin + (rng.uniform(0.3, 0.9) if hood else rng.uniform(-0.22, 0.2))
    middle, half_height = (top + bottom) / 2, (bottom - top) / 2
    half = rng.uniform(0.84, 1.08)
    # Narrower at the chin than at the temples, like a face.
    taper = 1 - rng.uniform(0.0, 0.22) * np.clip((y - middle) / half_height, -1, 1)
    aside = x - rng.uniform(-0.08, 0.08)
    power = rng.uniform(1.9, 2.6)
    inside = (
        np.abs(aside / (half * taper)) ** power
        + np.abs((y - middle) / half_height) ** power
    )
    wide = rng.uniform(1.3, 1.65)
    crown = rng.uniform(-1.75, -1.35)
    around = np.hypot(x / wide, np.minimum(y - 0.6, 0) / (0.6 - crown))
    shoulders = wide + rng.uniform(0.0, 0.5) * np.clip(y - chin, 0, 2)
    outside = np.where(y < 0.6, 1 - around, (shoulders - np.abs(x)) / wide)
    depth = np.minimum((inside - 1) * 0.5 * half, outside)
    cover = np.clip(0.5 + depth * canvas.eyes_px * canvas.zoom, 0, 1)
    turn = np.arctan2(y - middle, x)
    relief = np.ones_like(x)
    for _ in range(rng.integers(3, 8)):  # folds around and below the face
        wave = rng.uniform(3, 9) * inside**0.5 + rng.uniform(-3, 3) * turn
        relief += rng.uniform(0.03, 0.1) * np.sin(wave + rng.uniform(0, 6))
    # Slight self-shadow at the edge of the cloth.
    relief -= rng.uniform(0.1, 0.3) * np.exp(-np.clip(inside - 1, 0, None) / 0.12)
    relief += rng.uniform(0.0, 0.04) * generate_smooth_noise(
        canvas.shape, canvas.eyes_px * 0.02, rng
    )
    colour_draw = rng.random()
    first = np.array(sample_colour(rng))
    if colour_draw < 0.4:  # black and white are the most common
        first = np.array((30, 28, 30) if colour_draw < 0.25 else (232, 232, 230))
    second = np.array(sample_colour(rng))
    mix = _sample_tartan(x, y, rng) if rng.random() < 0.3 else np.zeros_like(x)
    colour = first * (1 - mix[..., None]) + second * mix[..., None]
    canvas.add(cover, colour * relief[..., None])


def _sample_tartan(x: FloatArray, y: FloatArray, rng: Rng) -> FloatArray:
    """Return the opacity of the second colour: plain, stripes or checks."""
    kind = rng.integers(3)
    if kind == 0:
        return np.zeros_like(x)
    stripes = np.sin(y * rng.uniform(6, 16)) > rng.uniform(0.2, 0.8)
    if kind == 1:
        return stripes.astype(float)
    checks = np.sin(x * rng.uniform(6, 16)) > rng.uniform(0.2, 0.8)
    return 0.5 * stripes + 0.5 * checks


def _paint_hand(canvas: Canvas, skin: BGR, rng: Rng) -> None:
    """Paint fingers across the mouth and the palm beside or below it."""
    palm_at = rng.uniform(np.deg2rad(-20), np.deg2rad(200))  # 0 right, 90 below
    middle = np.array([rng.uniform(-0.15, 0.15), MOUTH_Y + rng.uniform(-0.15, 0.2)])
    out = np.array([np.cos(palm_at), np.sin(palm_at)])
    side = np.array([-out[1], out[0]])
    width = rng.uniform(0.24, 0.32)
    tone = np.array(skin) * rng.uniform(0.85, 1.12)
    palm = middle + out * rng.uniform(0.9, 1.3)
    _paint_finger(canvas, palm + out * 1.6, palm, width * 2.3, tone * 0.97, rng)
    lengths = rng.uniform(0.75, 1.05) * np.array([0.85, 1.0, 0.95, 0.75])
    fan = rng.uniform(-0.1, 0.18)
    for finger_offset, length in zip((-1.5, -0.5, 0.5, 1.5), lengths, strict=True):
        root = palm + side * finger_offset * width * 1.02
        tip = root - out * length * 1.6 + side * finger_offset * fan * width * 2
        _paint_finger(canvas, root, tip, width, tone * rng.uniform(0.94, 1.05), rng)
    if rng.random() < 0.5:
        thumb = palm + side * np.sign(rng.normal()) * width * 2.4
        _paint_finger(canvas, thumb, thumb - out * 0.7, width * 1.1, tone, rng)


def _paint_finger(
    canvas: Canvas,
    root: NDArray[np.float64],
    tip: NDArray[np.float64],
    width: float,
    tone: NDArray[np.float64],
    rng: Rng,
) -> None:
    """Paint a finger or the palm: a rounded bar with joints and a nail."""
    x, y = canvas.plane
    axis = tip - root
    length = float(np.hypot(*axis))
    unit = axis / max(length, 1e-6)
    along = (x - root[0]) * unit[0] + (y - root[1]) * unit[1]
    beside = (x - root[0]) * -unit[1] + (y - root[1]) * unit[0]
    beyond = along - np.clip(along, 0, length)
    away = np.hypot(beyond, beside) / (width / 2)
    cover = np.clip(0.5 + (1 - away) * width / 2 * canvas.eyes_px * canvas.zoom, 0, 1)
    relief = 1 - _ROUNDNESS * np.clip(away, 0, 1) ** 2.5
    for joint in (0.35, 0.68):
        relief -= 0.09 * np.exp(-(((along / max(length, 1e-6) - joint) / 0.03) ** 2))
    relief += 0.03 * generate_smooth_noise(canvas.shape, canvas.eyes_px * 0.04, rng)
    colour = tone * relief[..., None]
    nail = np.hypot((along - length) / (0.3 * width), beside / (0.32 * width)) < 1
    if length < 2.0 and rng.random() < 0.7:
        colour = np.where(nail[..., None], colour * 0.6 + 0.4 * 215, colour)
    canvas.add(cover, colour)


def _paint_grip(canvas: Canvas, skin: BGR, edge_x: float, y: float, rng: Rng) -> None:
    """Paint fingertips around the edge of a held object."""
    inward = -np.sign(edge_x)
    for finger in range(rng.integers(2, 5)):
        root = np.array([edge_x - inward * 0.35, y + 0.27 * finger])
        tip = np.array([edge_x + inward * rng.uniform(0.25, 0.5), root[1] - 0.06])
        _paint_finger(canvas, root, tip, 0.25, np.array(skin, float), rng)


def _paint_cup(canvas: Canvas, skin: BGR, rng: Rng) -> None:
    """Paint a mug, paper cup or glass with its rim at the lips."""
    x, y = _rotate_plane(canvas, rng.uniform(-0.3, 0.3))
    top = MOUTH_Y + rng.uniform(-0.5, -0.1)
    height = rng.uniform(0.9, 1.5)
    down = (y - top) / height
    half = rng.uniform(0.42, 0.68) * (1 - rng.uniform(0.0, 0.3) * np.clip(down, 0, 1))
    bow = 0.12 * np.sqrt(np.clip(1 - (x / half) ** 2, 0, 1))
    depth = np.minimum.reduce([y - top + bow, top + height + bow - y, half - np.abs(x)])
    cover = np.clip(0.5 + depth * canvas.eyes_px * canvas.zoom, 0, 1)
    colour = np.array(
        sample_colour(rng) if rng.random() < 0.6 else (236, 238, 240), float
    )
    relief = 1 - 0.45 * np.clip(np.abs(x / half - 0.2), 0, 1) ** 2
    rim = np.abs(y - top + bow) < 0.06
    body = colour * np.where(rim, 1.12, relief)[..., None]
    if rng.random() < 0.5:  # a sleeve or a printed band
        low = rng.uniform(0.25, 0.45)
        band = (down > low) & (down < low + rng.uniform(0.15, 0.45))
        print_colour = np.array(sample_colour(rng)) * relief[..., None]
        body = np.where(band[..., None], print_colour, body)
    side = float(rng.choice([-1, 1]))
    if rng.random() < 0.6:
        ring = np.hypot((x - side * half) / 0.34, (y - top - 0.5 * height) / 0.4)
        handle = (np.abs(ring - 0.82) < 0.18) & (np.abs(x) > half)
        canvas.add(handle.astype(float), colour * 0.85 * np.ones_like(body))
    canvas.add(cover * rng.choice([1.0, 1.0, 1.0, 0.75]), body)
    if rng.random() < 0.75:
        _paint_grip(canvas, skin, side * 0.6, top + 0.3 * height, rng)


def _paint_phone(canvas: Canvas, skin: BGR, rng: Rng) -> None:
    """Paint a phone in front of the mouth or the lower face."""
    flat = rng.random() < 0.3
    lean = rng.uniform(-0.35, 0.35) + (np.pi / 2 if flat else 0)
    x, y = _rotate_plane(canvas, lean)
    half, height = rng.uniform(0.5, 0.66), rng.uniform(1.9, 2.5)
    top = -height / 2 if flat else rng.uniform(-0.45, 0.05)
    y = y - MOUTH_Y
    corner = 0.14
    dx = np.abs(x) - half + corner
    dy = np.abs(y - top - height / 2) - height / 2 + corner
    away = np.hypot(np.clip(dx, 0, None), np.clip(dy, 0, None)) - corner
    away = np.where((dx < 0) & (dy < 0), -corner, away)
    cover = np.clip(0.5 - away * canvas.eyes_px * canvas.zoom, 0, 1)
    plain = rng.random() < 0.6
    case = np.array(
        _PHONE_CASE_COLOURS[rng.integers(len(_PHONE_CASE_COLOURS))]
        if plain
        else sample_colour(rng)
    )
    gloss = 1 + rng.uniform(0, 0.4) * np.clip(np.sin(2 * x + 1.2 * y), 0, 1) ** 3
    body = case * gloss[..., None]
    for lens in range(rng.integers(1, 4)):
        lens_distance = np.hypot(x + 0.55 * half, y - top - 0.2 - 0.24 * lens)
        body = np.where(
            (lens_distance < 0.1)[..., None], np.array([20, 18, 18.0]), body
        )
    canvas.add(cover, body)
    if not flat:
        _paint_grip(canvas, skin, float(rng.choice([-1, 1])) * 0.62, MOUTH_Y + 0.1, rng)


def _rotate_plane(canvas: Canvas, angle: float) -> tuple[FloatArray, FloatArray]:
    """Return the coordinates of the plane, rotated about the mouth."""
    x, y = canvas.plane
    y = y - MOUTH_Y
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin + MOUTH_Y
