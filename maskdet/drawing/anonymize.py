"""Anonymize images: pixelate faces so that they cannot be recognised."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, scale_boxes
from maskdet.types import Image, Scene

_BLUR_SCALE: Final = 1.4
"""Factor on the face box, so that hair, ears and chin are blurred too."""

_BLUR_SCALE_PER_S: Final = 0.3
_MAX_BLUR_SCALE: Final = 2.0
"""Growth and maximum of the factor while a face is not detected, because the position
of the head becomes less certain."""

_N_CELLS: Final = 6
"""Cells across the shorter side of the enlarged box, four across the face: people
recognise known faces from about 18 across (T. Bachmann, "Identification of spatially
quantised tachistoscopic images of faces", European Journal of Cognitive Psychology,
1991)."""

_BRIGHTNESS_STEP: Final = 16
"""Brightness is rounded to multiples of this, so that the frames of a video, whose
cells shift slightly, cannot be combined into a sharper image."""


def anonymize_scene(image: Image, scene: Scene) -> Image:
    """Return a copy of the image with all faces and possible faces pixelated.

    Args:
        image: `(h, w, 3)` uint8 BGR; not changed.
        scene: its faces, and `Scene.blur_boxes` of possible faces.
    """
    boxes = np.concatenate([scene.faces.boxes, scene.blur_boxes])
    unseen_s = np.zeros(len(boxes), np.float32)
    unseen_s[: len(scene)] = scene.unseen_s
    return blur_faces(image, boxes, unseen_s)


def pixelate_image(image: Image) -> Image:
    """Return a copy of the image that is pixelated as a whole."""
    height, width = image.shape[:2]
    return blur_faces(image, np.array([[0, 0, width, height]], np.float32))


def blur_faces(
    image: Image, boxes: Boxes, unseen_s: NDArray[np.float32] | None = None
) -> Image:
    """Return a copy of the image with the faces pixelated.

    Each face becomes a few coarse squares; the original pixels cannot be restored.

    Args:
        image: `(h, w, 3)` uint8 BGR; not changed.
        boxes: `(n, 4)` the faces, in pixels; may extend beyond the image.
        unseen_s: `(n,)` seconds since each face was detected; the pixelated area grows
            with it.
    """
    canvas = image.copy()
    height, width = image.shape[:2]
    ages_s = np.zeros(len(boxes)) if unseen_s is None else np.asarray(unseen_s)
    scales = np.minimum(_MAX_BLUR_SCALE, _BLUR_SCALE + _BLUR_SCALE_PER_S * ages_s)
    for box, scale in zip(boxes, scales, strict=True):
        expanded = clip_boxes(scale_boxes(box[None], float(scale)), width, height)[0]
        x1, y1 = (int(value) for value in np.floor(expanded[:2]))
        x2, y2 = (int(value) for value in np.ceil(expanded[2:]))
        if x2 > x1 and y2 > y1:
            canvas[y1:y2, x1:x2] = _pixelate(canvas[y1:y2, x1:x2])
    return canvas


def _pixelate(region: Image) -> Image:
    """Return an image region as coarse squares with few colours."""
    height, width = region.shape[:2]
    cell = max(1.0, min(height, width) / _N_CELLS)
    small_wh = max(1, round(width / cell)), max(1, round(height / cell))
    small = cv2.resize(region, small_wh, interpolation=cv2.INTER_AREA)
    rounded = np.minimum(
        255, np.rint(small / _BRIGHTNESS_STEP) * _BRIGHTNESS_STEP
    ).astype(np.uint8)
    squares: Image = cv2.resize(
        rounded, (width, height), interpolation=cv2.INTER_NEAREST
    )
    return squares
