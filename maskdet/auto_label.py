"""Automatic annotation: box the labelled face of images that have only a label."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import (
    Boxes,
    box_areas,
    clip_boxes,
    intersection_areas,
    nms,
    sizes_px,
)
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.datasets.example import empty_boxes
from maskdet.detectors import Detector
from maskdet.media import read_image
from maskdet.types import Faces, Image

REASON_UNREADABLE = "cannot be read"
"""Review reason of an image that cannot be decoded."""

_NMS_IOU = 0.4
"""NMS threshold of the detections in the image and in its padded copy."""

_MAX_OVERLAP = 0.5
"""A box with at least this fraction inside the labelled face is part of that face."""


@dataclass(frozen=True)
class AutoLabelRules:
    """Thresholds for boxes that need no manual review.

    Attributes:
        min_score: lowest detection score, in [0, 1].
        min_px: smallest shorter side of the face, in pixels.
        max_score_gap: a box whose score is lower than the best by more than this is
            not a candidate for the labelled face, however large it is.
        rival_area_ratio: the label is ambiguous if another face above `min_score` has
            at least this fraction of the area.
        min_agreement: lowest probability that the classifier gives the label, in
            [0, 1].
        min_other_score: other faces with at least this score are kept as ignored
            boxes: training on a face as background costs more than ignoring too much.
    """

    min_score: float = 0.6
    min_px: float = 12.0
    max_score_gap: float = 0.15
    rival_area_ratio: float = 0.4
    min_agreement: float = 0.1
    min_other_score: float = 0.2


@dataclass(frozen=True, eq=False)
class AutoLabel:
    """One image with the box of its labelled face.

    Attributes:
        example: the image with its label, without a box.
        image_wh: width and height of the image; 0, 0 if it cannot be read.
        boxes: `(1, 4)` the labelled face; `(0, 4)` if none was detected.
        other_boxes: `(m, 4)` faces of unknown class.
        score: detection score; 0 if no face was detected.
        agreement: probability that the classifier gives the label; 1 without a
            classifier.
        review_reason: why the box needs manual review; empty if it does not.
    """

    example: Example
    image_wh: tuple[int, int]
    boxes: Boxes
    other_boxes: Boxes
    score: float
    agreement: float
    review_reason: str


def auto_label_faces(
    examples: Iterable[Example],
    detector: Detector,
    classifier: Classifier | None,
    rules: AutoLabelRules,
) -> Iterator[AutoLabel]:
    """Box the labelled face of each image.

    Args:
        examples: whole images, each with one label.
        detector: detects the faces.
        classifier: checks the label; None for no check.
        rules: thresholds for manual review.

    Raises:
        ValueError: an image already has boxes.
    """
    for example in examples:
        if not example.is_crop:
            raise ValueError(
                f"{example.path}: already has boxes; expected an image with one label"
            )
        try:
            image = read_image(example.path)
        except (ValueError, OSError):
            yield AutoLabel(
                example,
                (0, 0),
                empty_boxes(),
                empty_boxes(),
                0.0,
                1.0,
                REASON_UNREADABLE,
            )
            continue
        yield _auto_label_face(example, image, detector, classifier, rules)


def _auto_label_face(
    example: Example,
    image: Image,
    detector: Detector,
    classifier: Classifier | None,
    rules: AutoLabelRules,
) -> AutoLabel:
    faces = detect_with_border(detector, image)
    height, width = image.shape[:2]
    rows, other_rows = select_labelled_face(faces, rules)
    boxes = faces.boxes[rows]
    score = float(faces.scores[rows[0]]) if len(rows) else 0.0
    agreement = 1.0
    if classifier is not None and len(rows):
        agreement = float(classifier.predict(image, boxes)[0, example.labels[0]])
    review_reason = _find_review_reason(faces, rows, other_rows, agreement, rules)
    return AutoLabel(
        example,
        (width, height),
        boxes,
        faces.boxes[other_rows],
        score,
        agreement,
        review_reason,
    )


def detect_with_border(detector: Detector, image: Image) -> Faces:
    """Return the faces detected in an image and in a copy of it with a wide border.

    Detectors often miss or split a face that fills the image, but detect it when
    there is a margin around it.
    """
    height, width = image.shape[:2]
    border_y, border_x = height // 2, width // 2
    padded = cv2.copyMakeBorder(
        image, border_y, border_y, border_x, border_x, cv2.BORDER_CONSTANT
    )
    faces = detector.detect(image)
    padded_faces = detector.detect(np.asarray(padded, np.uint8))
    offset = np.array([border_x, border_y, border_x, border_y], np.float32)
    boxes = clip_boxes(
        np.concatenate([faces.boxes, padded_faces.boxes - offset]), width, height
    )
    scores = np.concatenate([faces.scores, padded_faces.scores])
    valid_rows = np.flatnonzero(sizes_px(boxes) > 0)
    kept = valid_rows[nms(boxes[valid_rows], scores[valid_rows], _NMS_IOU)]
    return Faces(boxes[kept], scores[kept])


def select_labelled_face(
    faces: Faces, rules: AutoLabelRules
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row of the labelled face, and the rows of other faces.

    The labelled face is the largest of those whose score is close to the best.
    """
    if not len(faces):
        no_rows = np.zeros(0, np.int64)
        return no_rows, no_rows
    face_areas = box_areas(faces.boxes)
    is_candidate = faces.scores >= max(
        rules.min_score, faces.scores[0] - rules.max_score_gap
    )
    labelled_row = (
        int(np.where(is_candidate, face_areas, -1).argmax())
        if is_candidate.any()
        else 0
    )
    is_other = (faces.scores >= rules.min_other_score) & (
        _fractions_inside(faces.boxes, faces.boxes[labelled_row]) < _MAX_OVERLAP
    )
    return np.array([labelled_row], np.int64), np.flatnonzero(is_other).astype(np.int64)


def _fractions_inside(
    boxes: Boxes, outer_box: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the `(n,)` fractions of the boxes' areas that lie inside `outer_box`."""
    inside = intersection_areas(boxes, outer_box[None])[:, 0]
    inner_areas = np.maximum(box_areas(boxes), np.float32(1e-9))
    result: NDArray[np.float32] = (inside / inner_areas).astype(np.float32)
    return result


def _find_review_reason(
    faces: Faces,
    rows: NDArray[np.int64],
    other_rows: NDArray[np.int64],
    agreement: float,
    rules: AutoLabelRules,
) -> str:
    """Return why a box needs manual review, or an empty string."""
    if not len(rows):
        return "no face"
    if faces.scores[rows[0]] < rules.min_score:
        return "low score"
    if sizes_px(faces.boxes[rows])[0] < rules.min_px:
        return "too small"
    rival_areas = box_areas(faces.boxes[other_rows])[
        faces.scores[other_rows] >= rules.min_score
    ]
    if (rival_areas >= rules.rival_area_ratio * box_areas(faces.boxes[rows])[0]).any():
        return "several faces"
    return "classifier disagrees" if agreement < rules.min_agreement else ""


def to_example(label: AutoLabel) -> Example:
    """Return the image as an annotated scene: one labelled face, the others ignored."""
    return dataclasses.replace(
        label.example, boxes=label.boxes, ignore_boxes=label.other_boxes
    )
