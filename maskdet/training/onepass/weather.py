"""Light, lens, sensor and compression: what a camera does to a whole training view.

The scene's counterpart of `training.augment`, cheap enough for large views: all changes
of single pixels become one table of 256 values a channel.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.training.augment import blur_randomly
from maskdet.types import Image

Rng = np.random.Generator


def augment_photometric(image: Image, rng: Rng) -> Image:
    """Return the view as a worse camera, or worse light, would show it.

    Args:
        image: `(h, w, 3)` BGR; not changed.
        rng: the only source of chance.
    """
    if rng.random() < 0.25:  # many cameras and lamps are good
        return image
    is_night = rng.random() < 0.12
    image = _apply_table(
        image, _sample_night_table(image, rng) if is_night else _sample_light_table(rng)
    )
    if rng.random() < 0.08:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        image = _as_image(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    if rng.random() < 0.15:
        image = blur_randomly(image, rng, (0.4, 1.6), (3, 8))
    is_downscaled = rng.random() < 0.2
    size = (image.shape[1], image.shape[0])
    if is_downscaled:
        zoom = rng.uniform(0.4, 0.9)
        area = cv2.INTER_AREA
        image = _as_image(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=area))
    if is_night or rng.random() < 0.25:
        image = _add_noise(image, rng.uniform(2, 12), rng)
    if rng.random() < 0.35:
        quality = int(rng.integers(20, 91))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = _as_image(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return _as_image(cv2.resize(image, size)) if is_downscaled else image


def _sample_light_table(rng: Rng) -> NDArray[np.float64]:
    """Return a `(256, 3)` table of gamma, gain, colour cast and contrast."""
    values = np.repeat(np.arange(256)[:, None] / 255, 3, axis=1)
    if rng.random() < 0.5:
        values = values ** math.exp(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.1:  # little light
        values = values * rng.uniform(0.2, 0.6)
    if rng.random() < 0.35:  # colour cast of a lamp
        values = values * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.4:
        middle = rng.uniform(0.3, 0.6)
        values = (values - middle) * rng.uniform(0.65, 1.35) + middle
        values = values + rng.uniform(-0.1, 0.1)
    return values * 255


def _sample_night_table(image: Image, rng: Rng) -> NDArray[np.float64]:
    """Return a `(256, 3)` table that leaves a mean of 8 to 50 of 255."""
    target_mean = math.exp(rng.uniform(math.log(8), math.log(50)))
    gain = min(1.0, target_mean / max(float(image.mean()), 1.0))
    return np.arange(256)[:, None] * gain * rng.uniform(0.75, 1.15, 3)


def _apply_table(image: Image, table: NDArray[np.float64]) -> Image:
    rounded = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    return _as_image(cv2.LUT(image, rounded[None]))


def _add_noise(image: Image, deviation: float, rng: Rng) -> Image:
    # OpenCV is many times faster at this, but has a chance of its own, one a thread.
    cv2.setRNGSeed(int(rng.integers(2**31)))
    noise = np.empty(image.shape, np.int16)
    cv2.randn(noise, np.zeros(1), np.full(1, deviation))
    return _as_image(cv2.add(image, noise, dtype=cv2.CV_8U))


def _as_image(pixels: object) -> Image:
    """Tell the type checker what OpenCV gave back; nothing is copied."""
    return np.asarray(pixels, np.uint8)
