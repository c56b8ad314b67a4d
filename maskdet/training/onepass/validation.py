"""How well a network finds and labels, measured while it is being trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.onepass import STRIDES_PX, decode_maps
from maskdet.boxes import Boxes, clip_boxes, nms, sizes_px
from maskdet.metrics.detection import (
    average_precision,
    match_detections,
    match_detections_in_image,
)
from maskdet.training.onepass.data import (
    NO_LABEL,
    MinedNegatives,
    TrainingImage,
    highest_scores,
)
from maskdet.types import CLASSES, Faces, Image

LARGE_PX = 20.0
"""Faces from this size on also have numbers of their own."""

_MINING_PX = 480
"""Between the sizes at which the two analyzers see an image."""

_NMS_IOU = 0.45
_MAX_DETECTIONS = 600


@dataclass(frozen=True)
class OnePassMetrics:
    """Average precision at IoU 0.5 on some scenes, and how many labels are right.

    Attributes:
        faces: of faces of any size and class.
        large: of faces of at least `LARGE_PX`.
        mask: of one class, with the face score times its probability as the score.
        no_mask: the same.
        incorrect: the same; NaN where there is none.
        mean: of the classes that occur.
        right: share of the large faces found whose class is right.
    """

    faces: float
    large: float
    mask: float
    no_mask: float
    incorrect: float
    mean: float
    right: float

    def __str__(self) -> str:
        """Return the numbers in one line."""
        return ", ".join(f"{name} {value:.3f}" for name, value in vars(self).items())


@dataclass(frozen=True, eq=False)
class OnePassDetections:
    """What was found in one image: faces by falling score, and their `(n, 3)`."""

    faces: Faces
    probs: NDArray[np.float32]


def evaluate_onepass(
    model: keras.Model, images: Iterable[TrainingImage], long_side_px: int
) -> OnePassMetrics:
    """Return how the network does on scenes.

    Args:
        model: what `build_onepass` gave.
        images: the scenes.
        long_side_px: images are scaled, up or down, to this.
    """
    image_list = list(images)
    return compute_onepass_metrics(
        image_list,
        [detect_with_keras(model, image.image, long_side_px) for image in image_list],
    )


def detect_with_keras(
    model: keras.Model, image: Image, long_side_px: int
) -> OnePassDetections:
    """Return what the network finds in one image.

    The image is filled up to a square in black, so that all have one size: other
    sizes would cost a new graph each.
    """
    scale = long_side_px / max(image.shape[:2])
    size_wh = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    resampling = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image, size_wh, interpolation=resampling)
    cell = STRIDES_PX[-1]
    side = -(-long_side_px // cell) * cell
    # Two shapes of input, lying and square, hold most images at little waste.
    height = side if size_wh[1] > 0.75 * side else -(-side * 3 // 4 // cell) * cell
    padded = np.zeros((1, height, side, 3), np.float32)
    padded[0, : size_wh[1], : size_wh[0]] = resized
    maps = [
        np.asarray(feature_map)[0] for feature_map in model.predict_on_batch(padded)
    ]
    boxes, scores, probs = decode_maps(maps)
    best = np.argsort(-scores, kind="stable")[:_MAX_DETECTIONS]
    boxes, scores, probs = boxes[best] / scale, scores[best], probs[best]
    boxes = clip_boxes(boxes, image.shape[1], image.shape[0])
    kept = nms(boxes, scores, _NMS_IOU)
    return OnePassDetections(Faces(boxes[kept], scores[kept]), probs[kept])


def mine_false_positives(
    model: keras.Model,
    negatives: Iterable[TrainingImage],
    long_side_px: int = _MINING_PX,
) -> MinedNegatives:
    """Return where the network sees faces in images that have none."""
    detections = [
        detect_with_keras(model, negative.image, long_side_px).faces
        for negative in negatives
    ]
    boxes = [faces.boxes[0] if len(faces) else np.zeros(4) for faces in detections]
    return MinedNegatives(
        highest_scores(detections), np.array(boxes, np.float32).reshape(-1, 4)
    )


def compute_onepass_metrics(
    images: Sequence[TrainingImage], detections: Sequence[OnePassDetections]
) -> OnePassMetrics:
    """Return the numbers for what was found in some scenes.

    Finding a face of unknown class is neither right nor wrong, as in `maskdet evaluate
    scenes`.
    """
    faces = [image_detections.faces for image_detections in detections]
    is_labelled = [image.labels != NO_LABEL for image in images]
    labelled_boxes: list[Boxes] = [
        image.boxes[rows] for image, rows in zip(images, is_labelled, strict=True)
    ]
    ignored_boxes = [
        image.boxes[~rows] for image, rows in zip(images, is_labelled, strict=True)
    ]
    match_labelled = partial(match_detections, ignored=ignored_boxes)
    classes = {}
    for label in CLASSES:
        class_detections = [
            Faces(
                image_detections.faces.boxes,
                image_detections.faces.scores * image_detections.probs[:, label],
            )
            for image_detections in detections
        ]
        of_class = [image.boxes[image.labels == label] for image in images]
        classes[label.key] = average_precision(
            match_labelled(class_detections, of_class)
        )
    occurring = [value for value in classes.values() if not np.isnan(value)]
    return OnePassMetrics(
        faces=average_precision(match_labelled(faces, labelled_boxes)),
        large=average_precision(match_labelled(faces, labelled_boxes, min_px=LARGE_PX)),
        mean=float(np.mean(occurring)) if occurring else float("nan"),
        right=_compute_class_accuracy(images, detections),
        **classes,
    )


def _compute_class_accuracy(
    images: Sequence[TrainingImage], detections: Sequence[OnePassDetections]
) -> float:
    correct: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
    for image, image_detections in zip(images, detections, strict=True):
        is_confident = image_detections.faces.scores >= 0.5
        matched = match_detections_in_image(
            image_detections.faces[is_confident], image.boxes
        )
        rows = np.flatnonzero(matched >= 0)
        rows = rows[sizes_px(image.boxes)[matched[rows]] >= LARGE_PX]
        rows = rows[image.labels[matched[rows]] != NO_LABEL]
        predicted = image_detections.probs[is_confident][rows].argmax(axis=1)
        correct.append(predicted == image.labels[matched[rows]])
    all_correct = np.concatenate(correct)
    return float(all_correct.mean()) if len(all_correct) else float("nan")
