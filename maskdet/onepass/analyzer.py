"""The analyzer around the one-pass network: scale, run, decode, look again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, iou_matrix, nms, sizes_px
from maskdet.classifier import Classifier, Verifier
from maskdet.onepass.decode import MIN_CANDIDATE_SCORE, FeatureMap, decode_maps
from maskdet.onepass.network import MAX_STRIDE_PX, SingleStageNetwork
from maskdet.types import (
    BLUR_MIN_SCORE,
    Faces,
    Image,
    Scene,
    Settings,
    check_image,
    rejected_boxes,
    select_rows,
)

_NMS_IOU = 0.5
"""Candidates that overlap more are one face; `Settings.nms_iou` may join more."""

_MAX_CANDIDATES = 500
"""Candidates looked at, the best first; no picture shows so many faces."""

_MIN_VOTER_RATIO = 0.3
"""A candidate votes for a box when its score has at least this share of the box's.
Weaker ones weigh little, and whoever wants sure faces only need not decode them."""

Probs = NDArray[np.float32]


@dataclass(frozen=True)
class Resize:
    """How large the network sees a picture.

    Attributes:
        long_side_px: the longer side of what it sees, at most.
        max_upscale: a small picture grows by this factor at most; 1 for never.

    Raises:
        ValueError: a number is too small.
    """

    long_side_px: int = 640
    max_upscale: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what no picture could be scaled to."""
        if self.long_side_px < MAX_STRIDE_PX:
            raise ValueError(
                f"long_side_px must be at least {MAX_STRIDE_PX}, not "
                f"{self.long_side_px!r}"
            )
        if not (math.isfinite(self.max_upscale) and self.max_upscale >= 1):
            raise ValueError(f"enlarge must be at least 1, not {self.max_upscale!r}")

    def apply(self, image: Image) -> Image:
        """Return the picture as the network shall see it; never a changed one."""
        height, width = image.shape[:2]
        factor = min(self.long_side_px / max(height, width), self.max_upscale)
        size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
        if size_wh == (width, height):
            return image
        resampling = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        return np.asarray(
            cv2.resize(image, size_wh, interpolation=resampling), np.uint8
        )


@dataclass(frozen=True, eq=False)
class Refiner:
    """A classifier that reads again what is large and in doubt, at its full size.

    One that `verifies` also lowers the score of detections that hold no face.

    Attributes:
        classifier: gives its own probabilities.
        min_px: it reads faces whose shorter side has at least so many pixels.
        weight: how much its word counts, in [0, 1]; with 1 it replaces the first.
        skip_above: whom the first reading gives a label at least so likely is not read
            again, in [0, 1]; with 1 nearly everybody is.
        max_faces: so many faces are read again at most, those with the best face
            scores, so that a crowd does not take longer and longer; without it, all
            are. As many detections are verified at most.
        min_score: weaker detections are not checked at all, in [0, 1].
        verify_below: detections with a lower score are verified, in [0, 1]; 0 for none.
        verify_power: the score of those is multiplied by the probability that there is
            a face, to this power, but not lowered below `BLUR_MIN_SCORE`.

    Raises:
        ValueError: `weight`, `skip_above`, `min_score` or `verify_below` is out of its
            range.
    """

    classifier: Classifier
    min_px: float = 48.0
    weight: float = 0.5
    skip_above: float = 1.0
    max_faces: int | None = None
    min_score: float = 0.0
    verify_below: float = 0.0
    verify_power: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("weight", "skip_above", "min_score", "verify_below"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {value!r}")

    def refine(
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
        is_eligible = faces.scores >= max(min_score, self.min_score)
        is_uncertain = self._limit_rows(
            is_eligible
            & (sizes_px(faces.boxes) >= self.min_px)
            & (probs.max(axis=1, initial=0) < self.skip_above)
        )
        is_doubtful = np.zeros_like(is_uncertain)
        classifier = self.classifier
        if isinstance(classifier, Verifier) and classifier.verifies:
            is_doubtful = self._limit_rows(
                is_eligible & (faces.scores < self.verify_below)
            )
        rows = np.flatnonzero(is_uncertain | is_doubtful)
        if not len(rows):
            return faces, probs
        scores = faces.scores.copy()
        if isinstance(classifier, Verifier):
            refined_probs, face_probs = classifier.verify(image, faces.boxes[rows])
            lowered_scores = scores[rows] * face_probs**self.verify_power
            # Who is blurred for privacy stays so, whatever the classifier thinks.
            lowered_scores = np.maximum(
                lowered_scores, np.minimum(scores[rows], BLUR_MIN_SCORE)
            )
            scores[rows] = np.where(is_doubtful[rows], lowered_scores, scores[rows])
        else:
            refined_probs = classifier.predict(image, faces.boxes[rows])
        probs = probs.copy()
        blended = (1 - self.weight) * probs[rows] + self.weight * refined_probs
        probs[rows] = np.where(is_uncertain[rows, None], blended, probs[rows])
        order = np.argsort(-scores, kind="stable")
        return Faces(faces.boxes[order], scores[order]), probs[order]

    def _limit_rows(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the rows that are looked at: the first, which have the best scores."""
        return (
            rows
            if self.max_faces is None
            else rows & (np.cumsum(rows) <= self.max_faces)
        )


class SingleStage:
    """Finds and labels in one pass of one network; threads may share it."""

    def __init__(
        self,
        network: SingleStageNetwork,
        resize: Resize | None = None,
        *,
        refiner: Refiner | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            network: gives the raw maps.
            resize: how large it sees a picture; `Resize()` unless given.
            refiner: reads large faces again; nobody does unless given.
        """
        self.resize = Resize() if resize is None else resize
        self.refiner = refiner
        self.pipeline = "OnePass detects and classifies"
        self._network = network

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Find and label, then read again what was chosen; see `Analyzer.analyze`."""
        image = check_image(image)
        settings = Settings() if settings is None else settings
        times = [perf_counter()]
        resized = self.resize.apply(image)
        times.append(perf_counter())
        maps = self._network.forward(resized)
        times.append(perf_counter())
        min_wanted_score = min(BLUR_MIN_SCORE, settings.min_score)
        faces, probs = _decode_faces(
            maps,
            resized,
            image,
            max(MIN_CANDIDATE_SCORE, _MIN_VOTER_RATIO * min_wanted_score),
        )
        times.append(perf_counter())
        if self.refiner is not None:
            min_score = settings.min_score
            faces, probs = self.refiner.refine(image, faces, probs, min_score)
        rows = select_rows(faces, settings)
        blur_boxes = rejected_boxes(faces, rows, settings)
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


def _decode_faces(
    maps: Sequence[FeatureMap], resized: Image, image: Image, min_score: float
) -> tuple[Faces, Probs]:
    """Return the faces in pixels of `image`, each once, and their probabilities.

    A floor of `_MIN_VOTER_RATIO` times the lowest score that is wanted changes nothing
    for the wanted faces: all who vote for them, or could displace them, are above it.
    """
    boxes, scores, probs = decode_maps(maps, min_score)
    height, width = image.shape[:2]
    factor_x, factor_y = width / resized.shape[1], height / resized.shape[0]
    factors = np.array([factor_x, factor_y, factor_x, factor_y], np.float32)
    boxes = clip_boxes(boxes * factors, width, height)
    order = np.argsort(-scores, kind="stable")
    order = order[sizes_px(boxes[order]) > 0][:_MAX_CANDIDATES]
    boxes, scores, probs = boxes[order], scores[order], probs[order]
    kept = nms(boxes, scores, _NMS_IOU)
    return Faces(_vote_boxes(boxes, scores, kept), scores[kept]), probs[kept]


def _vote_boxes(
    boxes: Boxes, scores: NDArray[np.float32], kept: NDArray[np.int64]
) -> Boxes:
    """Return the kept boxes, each the mean of all that overlap it, by score squared.

    Neighbouring cells guess the borders of a face independently (box voting: Gidaris
    and Komodakis, "Object Detection via a Multi-region & Semantic Segmentation-aware
    CNN Model", 2015). On val it gave up to 0.013 AP at no cost.
    """
    overlaps = iou_matrix(boxes[kept], boxes)
    is_voter = (overlaps >= _NMS_IOU) & (
        scores >= _MIN_VOTER_RATIO * scores[kept, None]
    )
    weights = is_voter * np.square(scores)
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(weights @ boxes / total, np.float32)
