"""Random augmentation of classifier crops: geometry, light, occlusion, compression."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.classifier import DEFAULT_CONTEXT
from maskdet.types import Image, Rng

PACKED_CONTEXT = 2.2
"""Side of a packed crop in face sides: room for the loosest crop, rotated by 20 deg."""


_SCALES = (0.8, 1.3)
"""Smallest and largest side of the crop, relative to the run-time crop."""

_MAX_SHIFT = 0.12
"""Largest shift of the centre, in sides of the face box."""

_MAX_ANGLE_DEG = 20.0

_DOWNSCALE_PX = (16, 64)
"""Shortest and longest side that a crop is downscaled to before it is enlarged again;
16 corresponds to a face of 12 px."""


def augment_crop(packed: Image, size_px: int, rng: Rng) -> Image:
    """Return a random view of a packed crop.

    Args:
        packed: square BGR crop, `PACKED_CONTEXT` face sides wide.
        size_px: side of the result, the input size of the network.
        rng: source of all random choices; the same state gives the same image.

    Returns:
        `(size_px, size_px, 3)` uint8 BGR.
    """
    image = _crop_randomly(packed, size_px, rng)
    if rng.random() < 0.12:
        image = _replicate_border(image, rng)
    if rng.random() < 0.12:
        image = _paint_upper_patch(image, rng)
    if rng.random() < 0.2:  # many cameras and lights are good
        return image
    image = (
        _simulate_night(image, rng) if rng.random() < 0.18 else _vary_light(image, rng)
    )
    return _degrade_image(image, rng)


def _crop_randomly(packed: Image, size_px: int, rng: Rng) -> Image:
    """Cut a window as a face detector might place it: loose, tight, off or rotated."""
    side = packed.shape[0]
    face = side / PACKED_CONTEXT
    low, high = np.log(_SCALES)
    window = face * DEFAULT_CONTEXT * math.exp(rng.uniform(low, high))
    dx, dy = rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, 2) * face
    angle = rng.uniform(-_MAX_ANGLE_DEG, _MAX_ANGLE_DEG)
    if rng.random() < 0.4:
        angle = 0.0
    zoom = size_px / window
    centre = (side / 2 + dx, side / 2 + dy)
    matrix = np.array(cv2.getRotationMatrix2D(centre, angle, zoom), np.float64)
    matrix[:, 2] += size_px / 2 - np.array(centre)
    if rng.random() < 0.5:
        matrix[0] *= -1
        matrix[0, 2] += size_px - 1
    # warpAffine samples single pixels: without this blur, strong downscaling would
    # alias, unlike the area average used at run time.
    if zoom < 0.6:
        packed = as_image(cv2.GaussianBlur(packed, (0, 0), 0.35 / zoom))
    size = (size_px, size_px)
    return as_image(
        cv2.warpAffine(packed, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    )


def _replicate_border(image: Image, rng: Rng) -> Image:
    """Replicate one side, as `crop_face` does at the border of an image.

    The lower side is cut least, because the mouth determines the label.
    """
    side = int(rng.integers(4))
    rotated = np.rot90(image, side)
    max_fraction = 0.10 if side == 2 else 0.38
    rows = int(image.shape[0] * rng.uniform(0.02, max_fraction))
    replicated = rotated.copy()
    replicated[:rows] = rotated[rows : rows + 1]
    return np.ascontiguousarray(np.rot90(replicated, -side))


def _paint_upper_patch(image: Image, rng: Rng) -> Image:
    """Cover a part of the upper face, where it cannot change the label."""
    side = image.shape[0]
    result = image.copy()
    colour = tuple(int(v) for v in rng.integers(0, 256, 3))
    centre = (int(side * rng.uniform(0.1, 0.9)), int(side * rng.uniform(0.0, 0.38)))
    axes = (int(side * rng.uniform(0.05, 0.3)), int(side * rng.uniform(0.03, 0.12)))
    if rng.random() < 0.5:
        angle_deg = float(rng.uniform(0, 30))
        cv2.ellipse(result, centre, axes, angle_deg, 0, 360, colour, -1, cv2.LINE_AA)
    else:
        corners = np.array([centre, centre]) + np.array([[-1, -1], [1, 1]]) * axes
        low, high = (tuple(int(v) for v in corner) for corner in corners)
        cv2.rectangle(result, low, high, colour, -1)
    return result


def _vary_light(image: Image, rng: Rng) -> Image:
    """Change gamma, gain, colour and light direction; sometimes remove the colour."""
    values = image.astype(np.float32) / 255
    if rng.random() < 0.5:
        values = values ** math.exp(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.12:  # low light
        values = values * rng.uniform(0.18, 0.55)
    if rng.random() < 0.15:
        values = values * _sample_light_ramp(image.shape[0], rng)[..., None]
    if rng.random() < 0.4:  # colour cast of a lamp
        values = values * rng.uniform(0.78, 1.22, 3).astype(np.float32)
    if rng.random() < 0.4:
        middle = values.mean()
        values = (values - middle) * rng.uniform(0.6, 1.35) + middle
        values = values + rng.uniform(-0.12, 0.12)
    if rng.random() < 0.08:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    return _to_bytes(values * 255)


def _simulate_night(image: Image, rng: Rng) -> Image:
    """Darken to a mean of 6 to 45 (of 255) and add sensor noise.

    Shot noise grows with the square root of the light, read noise does not (Healey and
    Kondepudy, "Radiometric CCD camera calibration and noise estimation", 1994).
    """
    target_mean = math.exp(rng.uniform(math.log(6), math.log(45)))
    light = image.astype(np.float32) * min(
        1.0, target_mean / max(float(image.mean()), 1.0)
    )
    if rng.random() < 0.5:  # the colour of street lamps and screens
        light = light * rng.uniform(0.7, 1.2, 3).astype(np.float32)
    shot, read = rng.uniform(0.0, 0.4), rng.uniform(0.0, 5.0)
    noise = rng.standard_normal(light.shape, np.float32) * np.sqrt(shot * light + read)
    return _to_bytes(light + noise)


def _sample_light_ramp(side: int, rng: Rng) -> NDArray[np.float32]:
    """Return a `(side, side)` linear ramp of light, as next to a window."""
    angle = rng.uniform(0, 2 * math.pi)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    ramp = columns * math.cos(angle) + rows * math.sin(angle)
    result: NDArray[np.float32] = (1 + rng.uniform(0.2, 0.7) * ramp).astype(np.float32)
    return result


def _degrade_image(image: Image, rng: Rng) -> Image:
    """Blur, downscale, add noise and compress, in the order of a camera."""
    size = (image.shape[1], image.shape[0])
    if rng.random() < 0.2:
        image = blur_randomly(image, rng)
    is_downscaled = rng.random() < 0.4
    if is_downscaled:
        low, high = np.log(_DOWNSCALE_PX)
        side = round(math.exp(rng.uniform(low, high)))
        image = as_image(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(2, 14), image.shape)
        image = _to_bytes(image + noise)
    if rng.random() < 0.4:
        image = compress_randomly(image, rng)
    if is_downscaled:
        image = as_image(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
    return image


def blur_randomly(
    image: Image,
    rng: Rng,
    sigma_px: tuple[float, float] = (0.5, 2.0),
    length_px: tuple[int, int] = (3, 10),
) -> Image:
    """Apply defocus blur or motion blur.

    Args:
        image: `(h, w, 3)` uint8.
        rng: chooses the kind and the amount.
        sigma_px: smallest and largest sigma of the defocus blur.
        length_px: shortest motion, and one more than the longest.
    """
    if rng.random() < 0.5:
        return as_image(cv2.GaussianBlur(image, (0, 0), rng.uniform(*sigma_px)))
    length = int(rng.integers(*length_px))
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    middle = (length - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), rng.uniform(0, 180), 1)
    kernel = np.asarray(cv2.warpAffine(line, turn, (length, length)), np.float32)
    kernel /= max(float(kernel.sum()), 1e-6)
    return as_image(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE))


def compress_randomly(image: Image, rng: Rng) -> Image:
    """Compress an image as JPEG, of a quality from 20 to 90."""
    quality = int(rng.integers(20, 91))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return as_image(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _to_bytes(values: NDArray[np.floating]) -> Image:
    result: Image = np.clip(values, 0, 255).astype(np.uint8)
    return result


def as_image(pixels: object) -> Image:
    """Narrow the type of an OpenCV result; nothing is copied."""
    return np.asarray(pixels, np.uint8)
