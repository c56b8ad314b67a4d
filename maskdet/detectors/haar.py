"""OpenCV's Haar cascades, for frontal faces without a mask.

Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features",
2001; cascades by Lienhart, bundled with OpenCV 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import cv2
import cv2.data
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, nms, sizes_px
from maskdet.media import resize_image
from maskdet.types import Faces, Image, check_image

# A cascade's square extends beyond the face at the sides and above. Median shift of
# the same boxes to the ground truth, as fractions of the side.
_BOX_SHIFT = np.array([0.09, 0.135, -0.12, 0.03], np.float32)

_NMS_IOU = 0.4


@dataclass(frozen=True)
class HaarPreset:
    """Search parameters of the cascades.

    Attributes:
        width_px: width to which the image is resized first.
        scale_factor: ratio between successive face sizes.
        min_neighbours: number of raw detections that a face needs.
        cascades: names in `CASCADES`; their detections are merged.
        min_face_px: smallest face, in pixels of the resized image.
    """

    width_px: int
    scale_factor: float
    min_neighbours: int
    cascades: tuple[str, ...]
    min_face_px: int = 40


HAAR_PRESETS: dict[str, HaarPreset] = {
    "image": HaarPreset(600, 1.05, 4, ("alt2", "default")),
    "live": HaarPreset(500, 1.1, 5, ("alt2",)),
}
"""The values of Parise, "How I made a mask detection algorithm", 2020: one preset for
images, and a faster one for video."""


@dataclass(frozen=True)
class _Cascade:
    """A cascade file, and the calibration of its level weights to scores.

    Attributes:
        file_name: name in OpenCV's folder of cascades.
        midpoint: level weight at which half of the boxes are faces.
        slope_width: increase of the level weight that multiplies the odds by e.
    """

    file_name: str
    midpoint: float
    slope_width: float

    def compute_scores(self, level_weights: NDArray[np.float64]) -> NDArray[np.float32]:
        log_odds = np.clip((level_weights - self.midpoint) / self.slope_width, -30, 30)
        result: NDArray[np.float32] = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
        return result


# Level weights are unbounded. The two parameters of each cascade are a logistic
# regression of "is a face" on the level weights of 300 and 383 boxes in 220 images of
# the training scenes, so that scores of both cascades are comparable.
CASCADES: dict[str, _Cascade] = {
    "alt2": _Cascade("haarcascade_frontalface_alt2.xml", 55.0, 0.48),
    "default": _Cascade("haarcascade_frontalface_default.xml", 3.6, 2.25),
}


class Haar:
    """A detector of frontal faces; thread-safe."""

    def __init__(self, preset: HaarPreset = HAAR_PRESETS["image"]) -> None:
        """Load the cascades and run them once.

        Args:
            preset: cascades and search parameters.

        Raises:
            FileNotFoundError: OpenCV does not include its cascades, as in version 5.
        """
        self._preset = preset
        self._cascades = [
            (CASCADES[name], _load_cascade(CASCADES[name])) for name in preset.cascades
        ]
        self._lock = Lock()
        self.detect(np.zeros((48, 64, 3), np.uint8))

    def detect(self, image: Image) -> Faces:
        """Return the faces in `image`; see `Detector.detect`."""
        image = check_image(image)
        height, width = image.shape[:2]
        scale = self._preset.width_px / width
        # Limit the height, so that a tall narrow image does not become very large.
        scale = min(scale, 2 * self._preset.width_px / height)
        small = resize_image(image, scale)
        if min(small.shape[:2]) < self._preset.min_face_px:
            return Faces.empty()
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        with self._lock:
            detections = [
                self._run_cascade(grey, *cascade) for cascade in self._cascades
            ]
        boxes = np.concatenate([boxes for boxes, _ in detections])
        scores = np.concatenate([scores for _, scores in detections])
        boxes = clip_boxes((boxes / scale).astype(np.float32), width, height)
        rows = nms(boxes, scores, _NMS_IOU)
        rows = rows[sizes_px(boxes[rows]) > 0]
        return Faces(boxes[rows], scores[rows])

    def _run_cascade(
        self,
        grey: NDArray[np.uint8],
        cascade: _Cascade,
        classifier: cv2.CascadeClassifier,
    ) -> tuple[Boxes, NDArray[np.float32]]:
        raw_boxes, _, level_weights = classifier.detectMultiScale3(
            grey,
            scaleFactor=self._preset.scale_factor,
            minNeighbors=self._preset.min_neighbours,
            flags=cv2.CASCADE_SCALE_IMAGE,
            minSize=(self._preset.min_face_px, self._preset.min_face_px),
            outputRejectLevels=True,
        )
        boxes = np.array(raw_boxes, np.float32).reshape(-1, 4)
        sides = boxes[:, 2:].copy()
        boxes[:, 2:] += boxes[:, :2]
        boxes += np.tile(sides, 2) * _BOX_SHIFT
        return boxes, cascade.compute_scores(
            np.array(level_weights, np.float64).reshape(-1)
        )


def haar_live() -> Haar:
    """Return a detector with the published preset for video."""
    return Haar(HAAR_PRESETS["live"])


def _load_cascade(cascade: _Cascade) -> cv2.CascadeClassifier:
    path = Path(cv2.data.haarcascades) / cascade.file_name
    if not path.is_file():
        raise FileNotFoundError(
            f"this OpenCV does not include {cascade.file_name}; install "
            "opencv-python-headless>=4.12,<5"
        )
    return cv2.CascadeClassifier(str(path))
