"""Boxes for pictures of one face: a finder draws them, and says where it is unsure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, areas, clip, nms, sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.datasets.examples import no_boxes
from maskdet.detectors import Detector
from maskdet.media import read_image
from maskdet.types import Faces, Image

UNREADABLE = "cannot be read"
"""The doubt about a picture of which nothing can be seen."""

_SAME_IOU = 0.4
"""Boxes of two looks at one picture that overlap more are the same face."""

_PART = 0.5
"""A box that lies to this share in the labelled face's is a part of that face."""


@dataclass(frozen=True)
class Rules:
    """When a box is sure enough to be taught without anybody looking at it.

    Attributes:
        min_score: of the finder, in [0, 1].
        min_px: shorter side of the face, in pixels.
        near_best: boxes whose score is lower than the best by more than this are not
            considered as the labelled face, however large they are.
        rival_share: another sure face of at least this share of the area makes it
            unclear which one the label means.
        min_agreement: probability that the classifier must give the label, in [0, 1].
        floor_score: other faces from this score on are kept as unknown; what is
            ignored needlessly costs little, a face taught as background costs much.
    """

    min_score: float = 0.6
    min_px: float = 12.0
    near_best: float = 0.15
    rival_share: float = 0.4
    min_agreement: float = 0.1
    floor_score: float = 0.2


@dataclass(frozen=True, eq=False)
class Boxed:
    """One picture with the box of its labelled face.

    Attributes:
        example: the picture with its label, and no box.
        image_wh: width and height of the picture; 0, 0 where it cannot be read.
        boxes: `(1, 4)` the labelled face; `(0, 4)` where none was found.
        others: `(m, 4)` faces of unknown class.
        score: of the finder, 0 where nothing was found.
        agreement: probability that the classifier gives the label; 1 without one.
        doubt: why somebody should look at it; empty where it is sure.
    """

    example: Example
    image_wh: tuple[int, int]
    boxes: Boxes
    others: Boxes
    score: float
    agreement: float
    doubt: str


def box_faces(
    examples: Iterable[Example],
    finder: Detector,
    classifier: Classifier | None,
    rules: Rules,
) -> Iterator[Boxed]:
    """Box the labelled face of each picture.

    Args:
        examples: whole pictures, each with one label.
        finder: draws the boxes.
        classifier: is asked for its opinion of the label; None for nobody.
        rules: say what is sure.

    Raises:
        ValueError: a picture has boxes already.
    """
    for example in examples:
        if not example.whole:
            raise ValueError(f"{example.path}: has boxes already, wanted one label")
        try:
            image = read_image(example.path)
        except (ValueError, OSError):
            yield Boxed(example, (0, 0), no_boxes(), no_boxes(), 0.0, 1.0, UNREADABLE)
            continue
        yield _boxed(example, image, finder, classifier, rules)


def _boxed(
    example: Example,
    image: Image,
    finder: Detector,
    classifier: Classifier | None,
    rules: Rules,
) -> Boxed:
    faces = look(finder, image)
    height, width = image.shape[:2]
    rows, others = labelled_face(faces, rules)
    boxes = faces.boxes[rows]
    score = float(faces.scores[rows[0]]) if len(rows) else 0.0
    agreement = 1.0
    if classifier is not None and len(rows):
        agreement = float(classifier.predict(image, boxes)[0, example.labels[0]])
    doubt = _doubt(faces, rows, others, agreement, rules)
    return Boxed(
        example,
        (width, height),
        boxes,
        faces.boxes[others],
        score,
        agreement,
        doubt,
    )


def look(finder: Detector, image: Image) -> Faces:
    """Return the faces of a picture as it is and of it with a wide border.

    A face that fills its picture is often missed or cut in two, and found at once
    where there is room around it.
    """
    height, width = image.shape[:2]
    top, left = height // 2, width // 2
    roomy = cv2.copyMakeBorder(image, top, top, left, left, cv2.BORDER_CONSTANT)
    first, second = finder.detect(image), finder.detect(np.asarray(roomy, np.uint8))
    moved = second.boxes - np.array([left, top, left, top], np.float32)
    boxes = clip(np.concatenate([first.boxes, moved]), width, height)
    scores = np.concatenate([first.scores, second.scores])
    there = np.flatnonzero(sizes_px(boxes) > 0)
    kept = there[nms(boxes[there], scores[there], _SAME_IOU)]
    return Faces(boxes[kept], scores[kept])


def labelled_face(
    faces: Faces, rules: Rules
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row of the face that the label means, and the rows of other faces.

    It is the largest of those nearly as sure as the best.
    """
    if not len(faces):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing
    sizes = areas(faces.boxes)
    near = faces.scores >= max(rules.min_score, faces.scores[0] - rules.near_best)
    chosen = int(np.where(near, sizes, -1).argmax()) if near.any() else 0
    others = (faces.scores >= rules.floor_score) & (
        _shares_inside(faces.boxes, faces.boxes[chosen]) < _PART
    )
    return np.array([chosen], np.int64), np.flatnonzero(others).astype(np.int64)


def _shares_inside(boxes: Boxes, whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `(n,)`: which share of each box lies in the box `whole`."""
    shared = np.concatenate(
        [np.maximum(boxes[:, :2], whole[:2]), np.minimum(boxes[:, 2:], whole[2:])],
        axis=1,
    )
    sizes = np.maximum(areas(boxes), np.float32(1e-9))
    result: NDArray[np.float32] = (areas(shared) / sizes).astype(np.float32)
    return result


def _doubt(
    faces: Faces,
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
    agreement: float,
    rules: Rules,
) -> str:
    """Return why a box is not sure, or nothing."""
    if not len(rows):
        return "no face"
    if faces.scores[rows[0]] < rules.min_score:
        return "low score"
    if sizes_px(faces.boxes[rows])[0] < rules.min_px:
        return "too small"
    rivals = areas(faces.boxes[others])[faces.scores[others] >= rules.min_score]
    if (rivals >= rules.rival_share * areas(faces.boxes[rows])[0]).any():
        return "several faces"
    return "classifier disagrees" if agreement < rules.min_agreement else ""


def settled(boxed: Boxed) -> Example:
    """Return the picture as a scene: its face with the label, the others ignored."""
    return dataclasses.replace(boxed.example, boxes=boxed.boxes, ignored=boxed.others)
