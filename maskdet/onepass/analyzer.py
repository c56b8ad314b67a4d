"""The analyzer around the one-pass network: scale, run, decode, look again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip, iou_matrix, nms, sizes_px
from maskdet.classifier import Classifier, Verifier
from maskdet.onepass.decode import FLOOR, Map, decode
from maskdet.onepass.network import CELL_PX, Network
from maskdet.types import (
    BLUR_MIN_SCORE,
    Faces,
    Image,
    Scene,
    Settings,
    accepted,
    check_image,
    refused,
)

_SAME_IOU = 0.5
"""Candidates that overlap more are one face; `Settings.nms_iou` may join more."""

_MOST = 500
"""Candidates looked at, the best first; no picture shows so many faces."""

_VOTER_SHARE = 0.3
"""A candidate votes for a box when its score has at least this share of the box's.
Weaker ones weigh little, and whoever wants sure faces only need not decode them."""

Probs = NDArray[np.float32]


@dataclass(frozen=True)
class Scaling:
    """How large the network sees a picture.

    Attributes:
        long_side_px: the longer side of what it sees, at most.
        enlarge: a small picture grows by this factor at most; 1 for never.

    Raises:
        ValueError: a number is too small.
    """

    long_side_px: int = 640
    enlarge: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what no picture could be scaled to."""
        if self.long_side_px < CELL_PX:
            raise ValueError(
                f"long_side_px must be at least {CELL_PX}, not {self.long_side_px!r}"
            )
        if not (math.isfinite(self.enlarge) and self.enlarge >= 1):
            raise ValueError(f"enlarge must be at least 1, not {self.enlarge!r}")

    def scaled(self, image: Image) -> Image:
        """Return the picture as the network shall see it; never a changed one."""
        height, width = image.shape[:2]
        factor = min(self.long_side_px / max(height, width), self.enlarge)
        size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
        if size_wh == (width, height):
            return image
        rule = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, size_wh, interpolation=rule), np.uint8)


@dataclass(frozen=True, eq=False)
class SecondLook:
    """A classifier that reads again what is large and in doubt, at its full size.

    One that `verifies` also lowers the score of detections that hold no face.

    Attributes:
        classifier: gives its own probabilities.
        min_px: it reads faces whose shorter side has at least so many pixels.
        share: how much its word counts, in [0, 1]; with 1 it replaces the first.
        sure: whom the first reading gives a label at least so likely is not read
            again, in [0, 1]; with 1 nearly everybody is.
        most: so many faces are read again at most, those with the best face scores,
            so that a crowd does not take longer and longer; without it, all are. As
            many detections are verified at most.
        min_score: weaker detections are not checked at all, in [0, 1].
        doubted: detections with a lower score are verified, in [0, 1]; 0 for none.
        power: the score of those is multiplied by the probability that there is a
            face, to this power, but not lowered below `BLUR_MIN_SCORE`.

    Raises:
        ValueError: `share`, `sure`, `min_score` or `doubted` is out of its range.
    """

    classifier: Classifier
    min_px: float = 48.0
    share: float = 0.5
    sure: float = 1.0
    most: int | None = None
    min_score: float = 0.0
    doubted: float = 0.0
    power: float = 0.5

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        for name in ("share", "sure", "min_score", "doubted"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {value!r}")

    def again(
        self, image: Image, faces: Faces, probs: Probs, min_score: float
    ) -> tuple[Faces, Probs]:
        """Return the detections with what the classifier knows better.

        What it does to one of them does not depend on `min_score`, as only scores
        fall, and the best are read first.

        Args:
            image: `(h, w, 3)` BGR.
            faces: all detections.
            probs: `(n, 3)` their probabilities.
            min_score: detections below are not wanted, so nothing is done to them.
        """
        wanted = faces.scores >= max(min_score, self.min_score)
        unclear = self._first(
            wanted
            & (sizes_px(faces.boxes) >= self.min_px)
            & (probs.max(axis=1, initial=0) < self.sure)
        )
        doubtful = np.zeros_like(unclear)
        verifier = self.classifier
        if isinstance(verifier, Verifier) and verifier.verifies:
            doubtful = self._first(wanted & (faces.scores < self.doubted))
        rows = np.flatnonzero(unclear | doubtful)
        if not len(rows):
            return faces, probs
        scores = faces.scores.copy()
        if isinstance(verifier, Verifier):
            read, there = verifier.verify(image, faces.boxes[rows])
            lowered = scores[rows] * there**self.power
            # Who is blurred for privacy stays so, whatever the classifier thinks.
            lowered = np.maximum(lowered, np.minimum(scores[rows], BLUR_MIN_SCORE))
            scores[rows] = np.where(doubtful[rows], lowered, scores[rows])
        else:
            read = verifier.predict(image, faces.boxes[rows])
        probs = probs.copy()
        mixed = (1 - self.share) * probs[rows] + self.share * read
        probs[rows] = np.where(unclear[rows, None], mixed, probs[rows])
        order = np.argsort(-scores, kind="stable")
        return Faces(faces.boxes[order], scores[order]), probs[order]

    def _first(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the rows that are looked at: the first, which have the best scores."""
        return rows if self.most is None else rows & (np.cumsum(rows) <= self.most)


class OnePass:
    """Finds and labels in one pass of one network; threads may share it."""

    def __init__(
        self,
        network: Network,
        scaling: Scaling | None = None,
        *,
        second_look: SecondLook | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            network: gives the raw maps.
            scaling: how large it sees a picture; `Scaling()` unless given.
            second_look: reads large faces again; nobody does unless given.
        """
        self.scaling = Scaling() if scaling is None else scaling
        self.second_look = second_look
        self.pipeline = "OnePass detects and classifies"
        self._network = network

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Find and label, then read again what was chosen; see `Analyzer.analyze`."""
        image = check_image(image)
        settings = Settings() if settings is None else settings
        times = [perf_counter()]
        seen = self.scaling.scaled(image)
        times.append(perf_counter())
        maps = self._network.run(seen)
        times.append(perf_counter())
        lowest = min(BLUR_MIN_SCORE, settings.min_score)
        faces, probs = _faces(maps, seen, image, max(FLOOR, _VOTER_SHARE * lowest))
        times.append(perf_counter())
        if self.second_look is not None:
            least = settings.min_score
            faces, probs = self.second_look.again(image, faces, probs, least)
        rows = accepted(faces, settings)
        blur_boxes = refused(faces, rows, settings)
        faces, probs = faces[rows], probs[rows]
        times.append(perf_counter())
        names = ("resize", "find", "decode", "label")
        return Scene(
            faces,
            probs,
            min_confidence=settings.min_confidence,
            stage_ms=dict(zip(names, np.diff(times) * 1e3, strict=True)),
            blur_boxes=blur_boxes,
        )


def _faces(
    maps: Sequence[Map], seen: Image, image: Image, floor: float
) -> tuple[Faces, Probs]:
    """Return the faces in pixels of `image`, each once, and their probabilities.

    A floor of `_VOTER_SHARE` times the lowest score that is wanted changes nothing for
    the wanted faces: all who vote for them, or could displace them, are above it.
    """
    boxes, scores, probs = decode(maps, floor)
    height, width = image.shape[:2]
    across, down = width / seen.shape[1], height / seen.shape[0]
    factors = np.array([across, down, across, down], np.float32)
    boxes = clip(boxes * factors, width, height)
    order = np.argsort(-scores, kind="stable")
    order = order[sizes_px(boxes[order]) > 0][:_MOST]
    boxes, scores, probs = boxes[order], scores[order], probs[order]
    kept = nms(boxes, scores, _SAME_IOU)
    return Faces(_voted(boxes, scores, kept), scores[kept]), probs[kept]


def _voted(boxes: Boxes, scores: NDArray[np.float32], kept: NDArray[np.int64]) -> Boxes:
    """Return the kept boxes, each the mean of all that overlap it, by score squared.

    Neighbouring cells guess the borders of a face independently (box voting: Gidaris
    and Komodakis, "Object Detection via a Multi-region & Semantic Segmentation-aware
    CNN Model", 2015). On val it gave up to 0.013 AP at no cost.
    """
    overlaps = iou_matrix(boxes[kept], boxes)
    votes = (overlaps >= _SAME_IOU) & (scores >= _VOTER_SHARE * scores[kept, None])
    weights = votes * np.square(scores)
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(weights @ boxes / total, np.float32)
