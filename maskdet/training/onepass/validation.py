"""How well a network finds and labels, measured while it is being trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip, nms, sizes_px
from maskdet.metrics.detection import average_precision, match, match_faces
from maskdet.onepass.decode import STRIDES_PX, decode
from maskdet.training.onepass.negatives import Mined, highest_scores
from maskdet.training.onepass.scenes import NO_LABEL, Place
from maskdet.types import CLASSES, Faces, Image

LARGE_PX = 20.0
"""Faces from this size on also have numbers of their own."""

_MINING_PX = 480
"""Between the sizes at which the two analyzers see a picture."""

_NMS_IOU = 0.45
_MOST = 600


@dataclass(frozen=True)
class Precision:
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
class Found:
    """What was found in one picture: faces by falling score, and their `(n, 3)`."""

    faces: Faces
    probs: NDArray[np.float32]


def measured(
    model: keras.Model, places: Iterable[Place], long_side_px: int
) -> Precision:
    """Return how the network does on scenes.

    Args:
        model: what `build_onepass` gave.
        places: the scenes.
        long_side_px: pictures are scaled, up or down, to this.
    """
    known = list(places)
    return precision_of(known, [look(model, one.image, long_side_px) for one in known])


def look(model: keras.Model, image: Image, long_side_px: int) -> Found:
    """Return what the network finds in one picture.

    The picture is filled up to a square in black, so that all have one size: other
    sizes would cost a new graph each.
    """
    scale = long_side_px / max(image.shape[:2])
    size_wh = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, size_wh, interpolation=how)
    cell = STRIDES_PX[-1]
    side = -(-long_side_px // cell) * cell
    # Two shapes of input, lying and square, hold most pictures at little waste.
    height = side if size_wh[1] > 0.75 * side else -(-side * 3 // 4 // cell) * cell
    filled = np.zeros((1, height, side, 3), np.float32)
    filled[0, : size_wh[1], : size_wh[0]] = small
    maps = [np.asarray(one)[0] for one in model.predict_on_batch(filled)]
    boxes, scores, probs = decode(maps)
    best = np.argsort(-scores, kind="stable")[:_MOST]
    boxes, scores, probs = boxes[best] / scale, scores[best], probs[best]
    boxes = clip(boxes, image.shape[1], image.shape[0])
    kept = nms(boxes, scores, _NMS_IOU)
    return Found(Faces(boxes[kept], scores[kept]), probs[kept])


def mine(
    model: keras.Model, places: Iterable[Place], long_side_px: int = _MINING_PX
) -> Mined:
    """Return where the network sees faces in pictures that have none."""
    found = [look(model, place.image, long_side_px).faces for place in places]
    boxes = [one.boxes[0] if len(one) else np.zeros(4) for one in found]
    return Mined(highest_scores(found), np.array(boxes, np.float32).reshape(-1, 4))


def precision_of(places: Sequence[Place], found: Sequence[Found]) -> Precision:
    """Return the numbers for what was found in some scenes.

    Finding a face of unknown class is neither right nor wrong, as in `maskdet evaluate
    scenes`.
    """
    faces = [one.faces for one in found]
    known = [place.labels != NO_LABEL for place in places]
    truths: list[Boxes] = [
        place.boxes[rows] for place, rows in zip(places, known, strict=True)
    ]
    others = [place.boxes[~rows] for place, rows in zip(places, known, strict=True)]
    judge = partial(match, ignored=others)
    classes = {}
    for label in CLASSES:
        scored = [
            Faces(one.faces.boxes, one.faces.scores * one.probs[:, label])
            for one in found
        ]
        of_class = [place.boxes[place.labels == label] for place in places]
        classes[label.key] = average_precision(judge(scored, of_class))
    occurring = [value for value in classes.values() if not np.isnan(value)]
    return Precision(
        faces=average_precision(judge(faces, truths)),
        large=average_precision(judge(faces, truths, min_px=LARGE_PX)),
        mean=float(np.mean(occurring)) if occurring else float("nan"),
        right=_right(places, found),
        **classes,
    )


def _right(places: Sequence[Place], found: Sequence[Found]) -> float:
    verdicts: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
    for place, one in zip(places, found, strict=True):
        sure = one.faces.scores >= 0.5
        matched = match_faces(one.faces[sure], place.boxes)
        rows = np.flatnonzero(matched >= 0)
        rows = rows[sizes_px(place.boxes)[matched[rows]] >= LARGE_PX]
        rows = rows[place.labels[matched[rows]] != NO_LABEL]
        said = one.probs[sure][rows].argmax(axis=1)
        verdicts.append(said == place.labels[matched[rows]])
    every = np.concatenate(verdicts)
    return float(every.mean()) if len(every) else float("nan")
