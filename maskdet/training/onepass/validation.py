"""Validation of the single-stage Keras network during training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.onepass import STRIDES_PX, decode_maps
from maskdet.boxes import Boxes, clip_boxes, nms, sizes_px
from maskdet.evaluation import LARGE_PX
from maskdet.media import resize_image
from maskdet.metrics.detection import (
    average_precision,
    match_detections,
    match_detections_in_image,
)
from maskdet.training.onepass.data import (
    FALSE_POSITIVE_COST,
    FALSE_POSITIVE_SCORES,
    NO_LABEL,
    MinedNegatives,
    TrainingImage,
    highest_scores,
)
from maskdet.types import CLASSES, Faces, Image

_MINING_PX = 480
"""Longer side for mining, between the input sizes of the two analyzers."""

_NMS_IOU = 0.45
_MAX_DETECTIONS = 600


@dataclass(frozen=True)
class OnePassMetrics:
    """Average precision (AP) at IoU 0.5, and class accuracy.

    The field names are written to the log.

    Attributes:
        faces: AP of all faces, regardless of class.
        large: AP of faces of at least `LARGE_PX`.
        mask: AP of the class, with detection score times class probability as score;
            NaN if the class does not occur.
        no_mask: as `mask`.
        incorrect: as `mask`.
        mean: mean AP of the classes that occur.
        right: fraction of detected large faces with the correct class.
    """

    faces: float
    large: float
    mask: float
    no_mask: float
    incorrect: float
    mean: float
    right: float

    def __str__(self) -> str:
        """Return the metrics in one line."""
        return ", ".join(f"{name} {value:.3f}" for name, value in vars(self).items())


@dataclass(frozen=True, eq=False)
class OnePassDetections:
    """Detections in one image: faces by falling score, and `(n, 3)` probabilities."""

    faces: Faces
    probs: NDArray[np.float32]


def evaluate_onepass(
    model: keras.Model, images: Iterable[TrainingImage], long_side_px: int
) -> OnePassMetrics:
    """Evaluate the network on scenes.

    Args:
        model: result of `build_onepass_network`.
        images: the scenes.
        long_side_px: longer side that images are scaled to, up or down.
    """
    image_list = list(images)
    return compute_onepass_metrics(
        image_list,
        [detect_with_keras(model, image.image, long_side_px) for image in image_list],
    )


def evaluate_by_source(
    images: Sequence[TrainingImage],
    long_sides_px: Iterable[int],
    detect: Callable[[Image, int], OnePassDetections],
) -> dict[str, OnePassMetrics]:
    """Return metrics by source and longer side: `kaggle 640`, `kaggle 320`, ...

    Args:
        images: the scenes.
        long_sides_px: longer sides of the input.
        detect: detects the faces of an image at a longer side.
    """
    results = {}
    for source in dict.fromkeys(image.source for image in images):
        source_images = [image for image in images if image.source == source]
        for side in long_sides_px:
            results[f"{source} {side}"] = compute_onepass_metrics(
                source_images, [detect(image.image, side) for image in source_images]
            )
    return results


def detect_with_keras(
    model: keras.Model, image: Image, long_side_px: int
) -> OnePassDetections:
    """Detect and classify the faces in one image.

    The image is padded with black to one of two input shapes, because each new shape
    costs a new graph.
    """
    scale = long_side_px / max(image.shape[:2])
    resized = resize_image(image, scale)
    cell = STRIDES_PX[-1]
    side = -(-long_side_px // cell) * cell
    # Two input shapes, landscape and square, fit most images with little padding.
    height = (
        side if resized.shape[0] > 0.75 * side else -(-side * 3 // 4 // cell) * cell
    )
    padded = np.zeros((1, height, side, 3), np.float32)
    padded[0, : resized.shape[0], : resized.shape[1]] = resized
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
    """Return the highest-scoring false positive of each image without a face."""
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
    """Compute the metrics of detections on scenes.

    Detecting a face of unknown class is neither correct nor wrong, as in `maskdet
    evaluate scenes`.
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


def compute_selection_score(row: Mapping[str, float]) -> float:
    """Return the selection score of an epoch from its row in the log."""
    rate = row.get(f"val_false_positives_{FALSE_POSITIVE_SCORES[0]:g}", 0.0)
    return (row["val_faces"] + row["val_mean"]) / 2 - FALSE_POSITIVE_COST * rate


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
