"""Boxes for images of one face: a detector draws them, and says where it is unsure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, box_areas, clip_boxes, nms, sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.datasets.example import empty_boxes
from maskdet.detectors import Detector
from maskdet.media import read_image
from maskdet.types import Faces, Image

REASON_UNREADABLE = "cannot be read"
"""The doubt about an image of which nothing can be seen."""

_NMS_IOU = 0.4
"""Boxes of two looks at one image that overlap more are the same face."""

_MAX_OVERLAP = 0.5
"""A box that lies to this share in the labelled face's is a part of that face."""


@dataclass(frozen=True)
class AutoLabelRules:
    """When a box is sure enough to be taught without anybody looking at it.

    Attributes:
        min_score: of the detector, in [0, 1].
        min_px: shorter side of the face, in pixels.
        max_score_gap: boxes whose score is lower than the best by more than this are
            not considered as the labelled face, however large they are.
        rival_area_ratio: another sure face of at least this share of the area makes it
            unclear which one the label means.
        min_agreement: probability that the classifier must give the label, in [0, 1].
        min_other_score: other faces from this score on are kept as unknown; what is
            ignored needlessly costs little, a face taught as background costs much.
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
        example: the image with its label, and no box.
        image_wh: width and height of the image; 0, 0 where it cannot be read.
        boxes: `(1, 4)` the labelled face; `(0, 4)` where none was found.
        other_boxes: `(m, 4)` faces of unknown class.
        score: of the detector, 0 where nothing was found.
        agreement: probability that the classifier gives the label; 1 without one.
        review_reason: why somebody should look at it; empty where it is sure.
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
        detector: draws the boxes.
        classifier: is asked for its opinion of the label; None for nobody.
        rules: say what is sure.

    Raises:
        ValueError: an image has boxes already.
    """
    for example in examples:
        if not example.is_crop:
            raise ValueError(f"{example.path}: has boxes already, wanted one label")
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
    """Return the faces of an image as it is and of it with a wide border.

    A face that fills its image is often missed or cut in two, and found at once
    where there is room around it.
    """
    height, width = image.shape[:2]
    border_y, border_x = height // 2, width // 2
    padded = cv2.copyMakeBorder(
        image, border_y, border_y, border_x, border_x, cv2.BORDER_CONSTANT
    )
    first, second = (
        detector.detect(image),
        detector.detect(np.asarray(padded, np.uint8)),
    )
    shifted = second.boxes - np.array(
        [border_x, border_y, border_x, border_y], np.float32
    )
    boxes = clip_boxes(np.concatenate([first.boxes, shifted]), width, height)
    scores = np.concatenate([first.scores, second.scores])
    valid_rows = np.flatnonzero(sizes_px(boxes) > 0)
    kept = valid_rows[nms(boxes[valid_rows], scores[valid_rows], _NMS_IOU)]
    return Faces(boxes[kept], scores[kept])


def select_labelled_face(
    faces: Faces, rules: AutoLabelRules
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row of the face that the label means, and the rows of other faces.

    It is the largest of those nearly as sure as the best.
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
    """Return `(n,)`: which share of each box lies in the box `outer_box`."""
    intersections = np.concatenate(
        [
            np.maximum(boxes[:, :2], outer_box[:2]),
            np.minimum(boxes[:, 2:], outer_box[2:]),
        ],
        axis=1,
    )
    inner_areas = np.maximum(box_areas(boxes), np.float32(1e-9))
    result: NDArray[np.float32] = (box_areas(intersections) / inner_areas).astype(
        np.float32
    )
    return result


def _find_review_reason(
    faces: Faces,
    rows: NDArray[np.int64],
    other_rows: NDArray[np.int64],
    agreement: float,
    rules: AutoLabelRules,
) -> str:
    """Return why a box is not sure, or nothing."""
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
    """Return the image as a scene: its face with the label, the others ignored."""
    return dataclasses.replace(
        label.example, boxes=label.boxes, ignore_boxes=label.other_boxes
    )
