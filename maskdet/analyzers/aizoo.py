"""AIZOO's single-stage mask detector, for comparison.

The network, its anchors and its constants are those of AIZOOTech/FaceMaskDetection
(MIT), an SSD (Liu et al., "SSD: Single Shot MultiBox Detector", 2016) with a million
parameters at 260 px. It has the classes mask and no mask, but not incorrect.
"""

from __future__ import annotations

from threading import Lock
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, nms, select_candidates
from maskdet.model_files.model_zoo import model_path
from maskdet.settings import Settings
from maskdet.types import (
    BLUR_MIN_SCORE,
    CLASSES,
    Faces,
    Image,
    Label,
    Scene,
    check_image,
)

_INPUT_WH = (260, 260)
_OUTPUT_NAMES = ("loc_branch_concat", "cls_branch_concat")
_GRID_SIZES = (33, 17, 9, 5, 3)
_ANCHOR_SIZES = ((0.04, 0.056), (0.08, 0.11), (0.16, 0.22), (0.32, 0.45), (0.64, 0.72))
_ASPECT_RATIOS = (1.0, 0.62, 0.42)
_VARIANCES = np.array([0.1, 0.1, 0.2, 0.2], np.float32)

_CLASS_COLUMNS = (Label.MASK, Label.NO_MASK)
"""Classes of the two columns of the network's output."""

_MIN_SCORE = 0.02
_NMS_IOU = 0.5


class Aizoo:
    """Detects and classifies with OpenCV's DNN module; thread-safe, serialized."""

    def __init__(self) -> None:
        """Load the network and run it once.

        Raises:
            FileNotFoundError: a file is missing; the message says how to get it.
            RuntimeError: a file does not have the published checksum.
        """
        weights, graph = model_path("aizoo"), model_path("aizoo-graph")
        self._net = cv2.dnn.readNet(str(weights), str(graph))
        self.pipeline = "Aizoo detects and classifies"
        self._anchors = build_anchors()
        self._lock = Lock()
        self.analyze(np.zeros((48, 64, 3), np.uint8))

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Detect and classify; see `Analyzer.analyze`."""
        image = check_image(image)
        settings = Settings() if settings is None else settings
        times = [perf_counter()]
        # The image is resized to a square without keeping its aspect ratio, as in
        # training.
        blob = cv2.dnn.blobFromImage(image, 1 / 255, _INPUT_WH, swapRB=True)
        times.append(perf_counter())
        with self._lock:
            self._net.setInput(blob)
            shifts, class_scores = (
                np.array(output[0]) for output in self._net.forward(_OUTPUT_NAMES)
            )
        times.append(perf_counter())
        height, width = image.shape[:2]
        relative_boxes = decode_boxes(self._anchors, shifts)
        boxes = clip_boxes(
            relative_boxes * np.array([width, height] * 2, np.float32), width, height
        )
        min_score = max(_MIN_SCORE, min(BLUR_MIN_SCORE, settings.min_score))
        faces, probs = _select_faces(boxes, class_scores, min_score)
        times.append(perf_counter())
        names = ("resize", "detect", "decode")
        stage_ms = dict(zip(names, np.diff(times) * 1e3, strict=True))
        return Scene(faces, probs, stage_ms=stage_ms).filter(settings)


def build_anchors() -> Boxes:
    """Return the `(5972, 4)` anchors, `x1, y1, x2, y2` as fractions of the image size.

    Each grid cell has four: two squares, and two upright ones of the first size.
    """
    levels = []
    for cells, (first, second) in zip(_GRID_SIZES, _ANCHOR_SIZES, strict=True):
        centres = (np.mgrid[:cells, :cells][::-1].transpose(1, 2, 0) + 0.5) / cells
        scales = [first, second, *[first] * len(_ASPECT_RATIOS[1:])]
        ratios = np.sqrt([_ASPECT_RATIOS[0], *_ASPECT_RATIOS])
        halves = np.stack([scales * ratios, scales / ratios], axis=1) / 2
        corners = np.concatenate(
            np.broadcast_arrays(centres[:, :, None], halves), axis=-1
        ).reshape(-1, 4)
        levels.append(
            np.concatenate(
                [corners[:, :2] - corners[:, 2:], corners[:, :2] + corners[:, 2:]], 1
            )
        )
    return np.concatenate(levels).astype(np.float32)


def decode_boxes(anchors: Boxes, shifts: NDArray[np.float32]) -> Boxes:
    """Apply the network's box regression to the anchors (SSD, section 2.2).

    Args:
        anchors: `(n, 4)` `x1, y1, x2, y2`.
        shifts: `(n, 4)` offsets of the centre, in sides of the anchor, and of the
            logarithms of the sides, before scaling by the variances.
    """
    sides = anchors[:, 2:] - anchors[:, :2]
    scaled = shifts * _VARIANCES
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2 + scaled[:, :2] * sides
    halves = np.exp(scaled[:, 2:]) * sides / 2
    result: Boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    return result


def _select_faces(
    boxes: Boxes, class_scores: NDArray[np.float32], min_score: float
) -> tuple[Faces, NDArray[np.float32]]:
    """Return the faces after NMS, and their probabilities.

    The score of a face is that of its likelier class.
    """
    scores = np.clip(class_scores.max(axis=1), 0, 1)
    order = select_candidates(boxes, scores, min_score)
    order = order[nms(boxes[order], scores[order], _NMS_IOU)]
    probs = np.zeros((len(order), len(CLASSES)), np.float32)
    selected_scores = np.clip(class_scores[order], 0, 1)
    probs[:, _CLASS_COLUMNS] = selected_scores / selected_scores.sum(
        axis=1, keepdims=True
    )
    return Faces(boxes[order], scores[order]), probs
