"""Light, lens, sensor and compression: what a camera does to a whole training view.

The scene's counterpart of `training.augment`, cheap enough for large views: all changes
of single pixels become one table of 256 values a channel.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.training.augment import blurred
from maskdet.types import Image

Rng = np.random.Generator


def weathered(image: Image, rng: Rng) -> Image:
    """Return the view as a worse camera, or worse light, would show it.

    Args:
        image: `(h, w, 3)` BGR; not changed.
        rng: the only source of chance.
    """
    if rng.random() < 0.25:  # many cameras and lamps are good
        return image
    night = rng.random() < 0.12
    image = _through(image, _night(image, rng) if night else _light(rng))
    if rng.random() < 0.08:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        image = _image(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    if rng.random() < 0.15:
        image = blurred(image, rng, (0.4, 1.6), (3, 8))
    small = rng.random() < 0.2
    size = (image.shape[1], image.shape[0])
    if small:
        zoom = rng.uniform(0.4, 0.9)
        area = cv2.INTER_AREA
        image = _image(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=area))
    if night or rng.random() < 0.25:
        image = _noisy(image, rng.uniform(2, 12), rng)
    if rng.random() < 0.35:
        quality = int(rng.integers(20, 91))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = _image(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return _image(cv2.resize(image, size)) if small else image


def _light(rng: Rng) -> NDArray[np.float64]:
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


def _night(image: Image, rng: Rng) -> NDArray[np.float64]:
    """Return a `(256, 3)` table that leaves a mean of 8 to 50 of 255."""
    wanted = math.exp(rng.uniform(math.log(8), math.log(50)))
    gain = min(1.0, wanted / max(float(image.mean()), 1.0))
    return np.arange(256)[:, None] * gain * rng.uniform(0.75, 1.15, 3)


def _through(image: Image, table: NDArray[np.float64]) -> Image:
    rounded = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    return _image(cv2.LUT(image, rounded[None]))


def _noisy(image: Image, deviation: float, rng: Rng) -> Image:
    # OpenCV is many times faster at this, but has a chance of its own, one a thread.
    cv2.setRNGSeed(int(rng.integers(2**31)))
    noise = np.empty(image.shape, np.int16)
    cv2.randn(noise, np.zeros(1), np.full(1, deviation))
    return _image(cv2.add(image, noise, dtype=cv2.CV_8U))


def _image(pixels: object) -> Image:
    """Tell the type checker what OpenCV gave back; nothing is copied."""
    return np.asarray(pixels, np.uint8)
