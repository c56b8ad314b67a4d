"""A finished network looks at training scenes first.

Who has no label but is likely a face is not taught as background, and the faces that it
hardly sees are known, so that they can be shown more often.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, box_areas, intersection_areas, iou_matrix, nms
from maskdet.onepass import Resize, SingleStage, SingleStageNetwork
from maskdet.training.onepass.scenes import NO_LABEL, TrainingImage
from maskdet.training.samples import ProgressWrapper
from maskdet.training.workers import map_parallel
from maskdet.types import CLASSES, Faces, Image, Settings

_WEIGHTED_SCALINGS: Final = ((Resize(640, 2.0), 1.0), (Resize(320, 1.0), 0.7))
"""How large the network sees a picture, and how much that look counts."""

_MIN_UNLABELLED_SCORE: Final = 0.4
"""On the audited validation scenes, of the detections that no label covers, half to
nine tenths are real faces from here on, a third just below, one in fifteen at 0.15."""

_SAME_IOU: Final = 0.5
_DETECTED_IOU: Final = 0.4
"""Lower: a face whose box is a bit off was seen."""

_MAX_COVERED_FRACTION: Final = 0.5
"""A detection that shares so much of its area with a known face is not another one."""


def fuse_detections(detections: Sequence[Faces], weights: Sequence[float]) -> Faces:
    """Return what several looks at one picture see, each face once.

    The score is the weighted mean over the looks, 0 where one does not see the face;
    the box is that of the best look.
    """
    boxes = np.concatenate([faces.boxes for faces in detections])
    parts = [
        faces.scores * (weight / sum(weights))
        for faces, weight in zip(detections, weights, strict=True)
    ]
    order = np.argsort(-np.concatenate(parts), kind="stable")
    scores = np.concatenate(parts)
    kept = order[nms(boxes[order], scores[order], _SAME_IOU)]
    overlaps = iou_matrix(boxes[kept], boxes) >= _SAME_IOU
    total = np.zeros(len(kept), np.float32)
    first = 0
    for part in parts:
        rows = slice(first, first + len(part))
        total += (overlaps[:, rows] * part).max(axis=1, initial=0)
        first += len(part)
    best = np.argsort(-total, kind="stable")
    return Faces(boxes[kept][best], total[best])


class DetectionTeacher:
    """The one-pass network at two sizes, fused."""

    def __init__(self, path: str | Path) -> None:
        """Load the file of the network.

        Raises:
            FileNotFoundError: there is no such file.
            RuntimeError: it is not a one-pass network.
        """
        network = SingleStageNetwork(path)
        self._weighted_analyzers = [
            (SingleStage(network, scaling), weight)
            for scaling, weight in _WEIGHTED_SCALINGS
        ]

    def detect(self, image: Image) -> Faces:
        """Return the faces in a picture, with their fused scores."""
        settings = Settings.permissive()
        detections = [
            analyzer.analyze(image, settings).faces
            for analyzer, _ in self._weighted_analyzers
        ]
        return fuse_detections(
            detections, [weight for _, weight in self._weighted_analyzers]
        )


def apply_detection_teacher(
    images: Sequence[TrainingImage],
    detection_teacher: DetectionTeacher,
    progress: ProgressWrapper = iter,
) -> list[TrainingImage]:
    """Return scenes with how well each face is seen, and unlabelled ones ignored."""
    apply = partial(_apply_to_image, detection_teacher)
    return list(map_parallel(apply, images, progress))


def _apply_to_image(
    detection_teacher: DetectionTeacher, image: TrainingImage
) -> TrainingImage:
    detected = detection_teacher.detect(image.image)
    unlabelled = _select_unlabelled(
        detected.boxes[detected.scores >= _MIN_UNLABELLED_SCORE], image.boxes
    )
    no_probs = np.full((len(unlabelled), len(CLASSES)), np.nan, np.float32)
    return dataclasses.replace(
        image,
        boxes=np.concatenate([image.boxes, unlabelled]),
        labels=np.append(image.labels, np.full(len(unlabelled), NO_LABEL)).astype(
            np.int64
        ),
        teacher_probs=np.concatenate([image.teacher_probs, no_probs]),
        detector_scores=np.append(
            _best_scores(image.boxes, detected), np.ones(len(unlabelled), np.float32)
        ),
    )


def _best_scores(boxes: Boxes, detected: Faces) -> NDArray[np.float32]:
    """Return the best score of a detection on each known face, 0 for none."""
    matches = iou_matrix(boxes, detected.boxes) >= _DETECTED_IOU
    result: NDArray[np.float32] = (matches * detected.scores).max(axis=1, initial=0)
    return result


def _select_unlabelled(boxes: Boxes, labelled: Boxes) -> Boxes:
    covered = intersection_areas(boxes, labelled).max(axis=1, initial=0)
    result: Boxes = boxes[
        covered < _MAX_COVERED_FRACTION * np.maximum(box_areas(boxes), 1e-6)
    ]
    return result
