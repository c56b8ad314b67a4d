"""Compositing on a face: a fine grid over the head, lighting and shadows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.synthetic.head import Head, Surface
from maskdet.types import Image

_DETAIL_PX: Final = 96.0
"""Eye distance in pixels above which the detail does not increase."""

_SKIN: Final = 150.0
_PAPER: Final = 215.0
"""Grey levels of lit skin and of the brightest tenth of a well exposed image: rendered
objects are darkened by as much as a face and its image are below these."""

BGR: TypeAlias = tuple[int, int, int]

FloatArray = NDArray[np.float64]

PixelWindow = tuple[int, int, int, int]


def _compute_window(head: Head, image: Image, reach: float) -> PixelWindow:
    """Return the part of the image that may change, `x1, y1, x2, y2`.

    Args:
        head: the head.
        image: its image.
        reach: radius around the mouth, in eye distances.
    """
    centre = head.project(np.array([[0.0, 1.0, 0.0]]))[0]
    height, width = image.shape[:2]
    radius_px = reach * head.eyes_px
    x1, y1 = (int(max(value, 0)) for value in centre - radius_px)
    x2, y2 = (int(value) for value in np.minimum(centre + radius_px, (width, height)))
    return x1, y1, x2, y2


def _estimate_light(
    skin: FloatArray, cover: FloatArray, image: Image, head: Head
) -> FloatArray:
    """Return the `(h, w, 3)` light on a rendered object, 1 = bright, even and white.

    Args:
        skin: `(h, w, 3)` the face below it, 0 to 255.
        cover: `(h, w)` coverage of each pixel.
        image: the whole image, for the colour of the light.
        head: the head.
    """
    grey = cv2.cvtColor(skin.astype(np.float32), cv2.COLOR_BGR2GRAY)
    # Wide enough to remove lips and nostrils, narrow enough to keep the shading.
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.3 * head.eyes_px).astype(np.float64)
    level = float((smooth * cover).sum() / max(cover.sum(), 1e-6))
    # Use the colour cast weakly: most of an image's colour is not due to the light.
    means = _sample_pixels(image).mean(axis=0) + 1
    tint = np.clip((means / means.mean()) ** 0.25, 0.85, 1.15)
    shade = np.clip(smooth / max(level, 1.0), 0.35, 1.5)
    light: FloatArray = estimate_exposure(level, image) * shade[..., None] * tint
    return light


def estimate_exposure(level: float, image: Image) -> float:
    """Return the brightness of the light on a face, 1 = well exposed.

    Args:
        level: mean grey level of the face, 0 to 255.
        image: the whole image, for its brightest parts.
    """
    brightest = float(np.percentile(_sample_pixels(image).mean(axis=1), 90))
    bright = 0.5 * level / _SKIN + 0.5 * brightest / _PAPER
    return float(np.clip(bright, 0.3, 1.1))


def _sample_pixels(image: Image) -> NDArray[np.float64]:
    """Return a subsample of the pixels, `(n, 3)`."""
    step = max(1, max(image.shape) // 200)
    return image[::step, ::step].reshape(-1, 3).astype(np.float64)


def _cast_shadow(cover: FloatArray, head: Head) -> FloatArray:
    """Return the `(h, w)` shadow below an object, 0 to 1."""
    fall_px = 0.06 * head.eyes_px
    shifted = cv2.warpAffine(
        cover.astype(np.float32),
        np.array([[1, 0, 0], [0, 1, fall_px]], np.float32),
        cover.shape[::-1],
    )
    blurred = cv2.GaussianBlur(shifted, (0, 0), max(0.5, 0.07 * head.eyes_px))
    return blurred.astype(np.float64) * (1 - cover)


@dataclass(frozen=True, eq=False)
class Canvas:
    """A fine grid over a face on which objects are painted in layers.

    Attributes:
        head: the head.
        window: the part of the image it covers.
        zoom: cells of the grid per pixel.
        surface: the head surface at each cell.
        cover: `(rows, columns)` opacity of each cell, 0 to 1.
        colour: `(rows, columns, 3)` colour in even light, times `cover`.
    """

    head: Head
    window: PixelWindow
    zoom: float
    surface: Surface
    cover: FloatArray = field(repr=False)
    colour: FloatArray = field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.cover.shape
        return rows, columns

    @property
    def eyes_px(self) -> float:
        """One eye distance, in pixels of the image."""
        return self.head.eyes_px

    @cached_property
    def plane(self) -> tuple[FloatArray, FloatArray]:
        """`(rows, columns)` x and y of each cell in a plane in front of the face.

        In eye distances from the point between the eyes, upright with the head.
        """
        head, (x1, y1, x2, y2), shape = self.head, self.window, self.shape
        rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
        dx = (x1 + columns / shape[1] * (x2 - x1) - head.origin[0]) / head.eyes_px
        dy = (y1 + rows / shape[0] * (y2 - y1) - head.origin[1]) / head.eyes_px
        eyes = head.landmarks[1] - head.landmarks[0]
        tilt = np.arctan2(eyes[1], eyes[0])
        # Centre the plane on the mouth for any rotation of the head.
        mouth = (head.landmarks[3] + head.landmarks[4]) / 2 - head.origin
        drift = mouth / head.eyes_px
        x = dx * np.cos(tilt) + dy * np.sin(tilt)
        y = dy * np.cos(tilt) - dx * np.sin(tilt)
        return x - (drift[0] * np.cos(tilt) + drift[1] * np.sin(tilt)), y

    def add(self, cover: FloatArray, colour: FloatArray) -> None:
        """Paint a layer over the existing ones.

        Args:
            cover: `(rows, columns)` opacity of the layer, 0 to 1.
            colour: `(rows, columns, 3)` BGR in even light, 0 to 255.
        """
        self.cover[:] = cover + self.cover * (1 - cover)
        self.colour[:] = (
            colour * cover[..., None] + self.colour * (1 - cover)[..., None]
        )

    def resample_to_pixels(self, values: FloatArray) -> FloatArray:
        """Resample values of the cells to the pixels of the window."""
        x1, y1, x2, y2 = self.window
        resampling = cv2.INTER_AREA if self.zoom > 1 else cv2.INTER_LINEAR
        size = (x2 - x1, y2 - y1)
        return np.asarray(cv2.resize(values, size, interpolation=resampling), float)


def create_canvas(image: Image, head: Head, reach: float) -> Canvas | None:
    """Return an empty canvas over a face, or None if it is outside the image.

    Small faces are rendered larger and scaled down, so that thin lines stay smooth;
    large ones are rendered smaller and scaled up, to limit the time.

    Args:
        image: the image.
        head: a head in it.
        reach: radius around the mouth that is covered, in eye distances.
    """
    window = x1, y1, x2, y2 = _compute_window(head, image, reach)
    if x2 <= x1 or y2 <= y1:
        return None
    zoom = min(2.0, _DETAIL_PX / head.eyes_px)
    shape = max(1, round((y2 - y1) * zoom)), max(1, round((x2 - x1) * zoom))
    surface = head.raycast_surface(window, shape)
    return Canvas(head, window, zoom, surface, np.zeros(shape), np.zeros((*shape, 3)))


def composite(
    image: Image,
    canvas: Canvas,
    *,
    behind: tuple[FloatArray, BGR] | None = None,
) -> Image:
    """Return the image with the canvas painted on it in the light of the face.

    Args:
        image: the image of `create_canvas`.
        canvas: what was painted.
        behind: opacity of each pixel of the window, and colour, of a thing between the
            face and the paint, such as ear loops.
    """
    x1, y1, x2, y2 = canvas.window
    cover = canvas.resample_to_pixels(canvas.cover)
    paint = canvas.resample_to_pixels(canvas.colour)
    skin = image[y1:y2, x1:x2].astype(np.float64)
    light = _estimate_light(skin, cover, image, canvas.head)
    skin *= 1 - 0.3 * _cast_shadow(cover, canvas.head)[..., None]
    if behind is not None:
        opacity, colour = behind
        skin += opacity[..., None] * (np.array(colour) * light - skin)
    painted = skin * (1 - cover[..., None]) + paint * light
    result = image.copy()
    result[y1:y2, x1:x2] = np.rint(np.clip(painted, 0, 255)).astype(np.uint8)
    return result


def generate_smooth_noise(
    shape: tuple[int, int],
    grain: float,
    rng: np.random.Generator,
    *,
    stretch: float = 1.0,
) -> NDArray[np.float64]:
    """Return `(rows, columns)` smooth noise of mean 0 and deviation about 1.

    Args:
        shape: rows and columns.
        grain: size of a grain, in cells.
        rng: the source of chance.
        stretch: how much longer than wide the grains are, downwards.
    """
    noise = rng.normal(size=shape)
    grain = max(grain, 0.4)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigmaX=grain, sigmaY=grain * stretch)
    smooth = np.asarray(blurred, np.float64)
    return smooth / max(float(smooth.std()), 1e-6)
