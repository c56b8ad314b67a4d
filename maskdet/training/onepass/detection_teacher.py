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

from maskdet.boxes import Boxes, areas, iou_matrix, nms, shared_areas
from maskdet.onepass import Network, OnePass, Scaling
from maskdet.training.onepass.scenes import NO_LABEL, Place
from maskdet.training.samples import Progress
from maskdet.training.workers import map_parallel
from maskdet.types import CLASSES, Faces, Image, Settings

_LOOKS: Final = ((Scaling(640, 2.0), 1.0), (Scaling(320, 1.0), 0.7))
"""How large the network sees a picture, and how much that look counts."""

_LEAST_SCORE: Final = 0.4
"""On the audited validation scenes, of the detections that no label covers, half to
nine tenths are real faces from here on, a third just below, one in fifteen at 0.15."""

_SAME_IOU: Final = 0.5
_SEEN_IOU: Final = 0.4
"""Lower: a face whose box is a bit off was seen."""

_COVERED: Final = 0.5
"""A detection that shares so much of its area with a known face is not another one."""


def fused(looks: Sequence[Faces], weights: Sequence[float]) -> Faces:
    """Return what several looks at one picture see, each face once.

    The score is the weighted mean over the looks, 0 where one does not see the face;
    the box is that of the best look.
    """
    boxes = np.concatenate([one.boxes for one in looks])
    parts = [
        one.scores * (weight / sum(weights))
        for one, weight in zip(looks, weights, strict=True)
    ]
    order = np.argsort(-np.concatenate(parts), kind="stable")
    scores = np.concatenate(parts)
    kept = order[nms(boxes[order], scores[order], _SAME_IOU)]
    same = iou_matrix(boxes[kept], boxes) >= _SAME_IOU
    total = np.zeros(len(kept), np.float32)
    first = 0
    for part in parts:
        rows = slice(first, first + len(part))
        total += (same[:, rows] * part).max(axis=1, initial=0)
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
        network = Network(path)
        self._looks = [(OnePass(network, scaling), share) for scaling, share in _LOOKS]

    def faces(self, image: Image) -> Faces:
        """Return the faces in a picture, with their fused scores."""
        settings = Settings.permissive()
        looks = [one.analyze(image, settings).faces for one, _ in self._looks]
        return fused(looks, [share for _, share in self._looks])


def looked_at(
    places: Sequence[Place],
    detection_teacher: DetectionTeacher,
    progress: Progress = iter,
) -> list[Place]:
    """Return scenes with how well each face is seen, and unlabelled ones ignored."""
    look = partial(_looked_at, detection_teacher)
    return list(map_parallel(look, places, progress))


def _looked_at(detection_teacher: DetectionTeacher, place: Place) -> Place:
    found = detection_teacher.faces(place.image)
    more = _uncovered(found.boxes[found.scores >= _LEAST_SCORE], place.boxes)
    nothing = np.full((len(more), len(CLASSES)), np.nan, np.float32)
    return dataclasses.replace(
        place,
        boxes=np.concatenate([place.boxes, more]),
        labels=np.append(place.labels, np.full(len(more), NO_LABEL)).astype(np.int64),
        taught=np.concatenate([place.taught, nothing]),
        seen=np.append(_scores(place.boxes, found), np.ones(len(more), np.float32)),
    )


def _scores(boxes: Boxes, found: Faces) -> NDArray[np.float32]:
    """Return the best score of a detection on each known face, 0 for none."""
    same = iou_matrix(boxes, found.boxes) >= _SEEN_IOU
    result: NDArray[np.float32] = (same * found.scores).max(axis=1, initial=0)
    return result


def _uncovered(boxes: Boxes, known: Boxes) -> Boxes:
    shared = shared_areas(boxes, known).max(axis=1, initial=0)
    result: Boxes = boxes[shared < _COVERED * np.maximum(areas(boxes), 1e-6)]
    return result
