"""OpenCV's SSD face detector with a ResNet-10 backbone, used in most mask demos.

Liu et al., "SSD: Single Shot MultiBox Detector", 2016; network and constants from
OpenCV's `samples/dnn/face_detector`.
"""

from __future__ import annotations

from threading import Lock

import cv2
import numpy as np

from maskdet.boxes import clip_boxes, sizes_px
from maskdet.model_files.model_zoo import model_path
from maskdet.types import Faces, Image, check_image

_INPUT_WH = (300, 300)
_MEAN_BGR = (104.0, 177.0, 123.0)
_MIN_SCORE = 0.05  # nearly all of the network's 200 boxes have a lower score


class SSD:
    """A face detector on OpenCV's DNN module; thread-safe."""

    def __init__(self) -> None:
        """Load the network and run it once.

        Raises:
            FileNotFoundError: a file is missing; the message says how to get it.
            RuntimeError: a file does not have the published checksum.
        """
        self._net = cv2.dnn.readNet(
            str(model_path("ssd")), str(model_path("ssd-graph"))
        )
        self._lock = Lock()
        self.detect(np.zeros((48, 64, 3), np.uint8))

    def detect(self, image: Image) -> Faces:
        """Return the faces in `image`; see `Detector.detect`."""
        image = check_image(image)
        height, width = image.shape[:2]
        # The image is resized to a square without keeping its aspect ratio, as in
        # training.
        blob = cv2.dnn.blobFromImage(image, 1.0, _INPUT_WH, _MEAN_BGR)
        with self._lock:
            self._net.setInput(blob)
            rows = np.asarray(self._net.forward(), np.float32).reshape(-1, 7)
        scores = np.clip(rows[:, 2], 0, 1)
        sides = np.array([width, height, width, height], np.float32)
        boxes = clip_boxes(rows[:, 3:7] * sides, width, height)
        is_kept = (scores >= _MIN_SCORE) & (sizes_px(boxes) > 0)
        return Faces(boxes[is_kept], scores[is_kept])
