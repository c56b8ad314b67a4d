"""Detection metrics: precision-recall curves and average precision.

The rules are those of COCO (see `metrics.matching`), with all-point interpolation (the
exact area under the curve) instead of 101 samples. Where true boxes below a size are
ignored, an unmatched detection below that size counts neither as correct nor as wrong.

Detections with equal scores enter the curve together, because no threshold separates
them. Therefore the result does not depend on the order of faces or images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, sizes_px
from maskdet.metrics.classification import find_threshold_ends
from maskdet.metrics.intervals import (
    RESAMPLES,
    Estimate,
    draw_bootstrap_weights,
    percentile_estimate,
    safe_divide,
)
from maskdet.metrics.matching import MIN_IOU, BoxRows, MatchCandidates
from maskdet.types import Faces

_CHUNK_SIZE = 200_000
"""Values per bootstrap chunk, so that they fit into the processor's cache."""

_NO_BOXES: Boxes = np.zeros((0, 4), np.float32)

# Lists start with an empty array, so that they can always be concatenated.
_NO_SCORES: NDArray[np.float32] = np.zeros(0, np.float32)
_NO_FLAGS: NDArray[np.bool_] = np.zeros(0, np.bool_)


@dataclass(frozen=True, eq=False)
class DetectionMatches:
    """The counted detections of all images by falling score.

    Attributes:
        scores: `(k,)` float32, falling.
        correct: `(k,)` bool, whether the detection matches a counted true box.
        image_indices: `(k,)` int64, index of the image.
        n_ground_truth: `(images,)` int64, number of counted true boxes per image.
    """

    scores: NDArray[np.float32]
    correct: NDArray[np.bool_]
    image_indices: NDArray[np.int64]
    n_ground_truth: NDArray[np.int64]

    @classmethod
    def from_rows(
        cls,
        scores: NDArray[np.float32],
        correct: NDArray[np.bool_],
        image_indices: NDArray[np.int64],
        n_ground_truth: NDArray[np.int64],
    ) -> DetectionMatches:
        """Sort counted detections, which may be in any order, by falling score."""
        order = np.argsort(-scores, kind="stable")
        return cls(scores[order], correct[order], image_indices[order], n_ground_truth)

    @classmethod
    def from_matched(
        cls,
        detections: BoxRows,
        scores: NDArray[np.float32],
        matched: NDArray[np.int64],
        ground_truth: BoxRows,
        counted: NDArray[np.bool_],
        n_images: int,
        *,
        min_px: float = 0.0,
    ) -> DetectionMatches:
        """Count matched detections.

        Args:
            detections: the detected faces.
            scores: `(n,)` their scores.
            matched: `(n,)` row of the matching true face, -1 for none.
            ground_truth: the true faces.
            counted: `(t,)` mask of the true faces that are not ignored.
            n_images: number of images.
            min_px: unmatched detections with a smaller shorter side do not count.
        """
        correct = matched >= 0
        is_scored = correct | (sizes_px(detections.boxes) >= min_px)
        is_scored[correct] = correct[correct] = counted[matched[correct]]
        return cls.from_rows(
            scores[is_scored],
            correct[is_scored],
            detections.image_indices[is_scored],
            np.bincount(ground_truth.image_indices[counted], minlength=n_images),
        )


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall at every threshold.

    Attributes:
        scores: `(k,)` distinct scores, falling: the threshold of each point.
        precisions: `(k,)` precision at each threshold.
        recalls: `(k,)` recall at each threshold; NaN without true boxes.
    """

    scores: NDArray[np.float32]
    precisions: NDArray[np.float64]
    recalls: NDArray[np.float64]


def match_detections_in_image(
    detections: Faces, ground_truth: Boxes, *, min_iou: float = MIN_IOU
) -> NDArray[np.int64]:
    """Match the detections of an image to its true boxes, highest score first.

    Args:
        detections: detected faces of the image.
        ground_truth: `(m, 4)` true boxes.
        min_iou: smallest IoU of a match, in (0, 1].

    Returns:
        `(n,)` index of the true box of each detection, -1 for none.
    """
    candidates = MatchCandidates.from_boxes(
        BoxRows.concat([detections.boxes]),
        detections.scores,
        BoxRows.concat([ground_truth]),
        is_ignored=np.zeros(len(ground_truth), np.bool_),
    )
    return candidates.match(np.ones(len(detections), np.bool_), min_iou)


def match_detections(
    detections: Sequence[Faces],
    ground_truth: Sequence[Boxes],
    *,
    min_iou: float = MIN_IOU,
    min_px: float = 0.0,
    ignored: Sequence[Boxes] | None = None,
) -> DetectionMatches:
    """Match the detections of several images to the true boxes.

    Args:
        detections: one `Faces` per image; for one class, with its scores.
        ground_truth: the `(m, 4)` true boxes of the same images, of that class.
        min_iou: smallest IoU of a match.
        min_px: true boxes with a smaller shorter side are ignored, in pixels.
        ignored: further `(k, 4)` boxes of each image that are ignored, such as faces
            of unknown class.

    Raises:
        ValueError: the numbers of images differ.
    """
    ignored_boxes = [_NO_BOXES] * len(detections) if ignored is None else ignored
    for name, items in (("detections", detections), ("ignored boxes", ignored_boxes)):
        if len(items) != len(ground_truth):
            raise ValueError(
                f"{name} and ground truth must have the same number of images, got "
                f"{len(items)} and {len(ground_truth)}"
            )
    found = BoxRows.concat([faces.boxes for faces in detections])
    true_faces = BoxRows.concat(
        [
            np.concatenate(boxes)
            for boxes in zip(ground_truth, ignored_boxes, strict=True)
        ]
    )
    is_true = [
        np.arange(len(boxes) + len(others)) < len(boxes)
        for boxes, others in zip(ground_truth, ignored_boxes, strict=True)
    ]
    counted = np.concatenate([_NO_FLAGS, *is_true])
    counted &= sizes_px(true_faces.boxes) >= min_px
    scores = np.concatenate([_NO_SCORES, *(faces.scores for faces in detections)])
    candidates = MatchCandidates.from_boxes(
        found, scores, true_faces, is_ignored=~counted
    )
    matched = candidates.match(np.ones(len(scores), np.bool_), min_iou)
    return DetectionMatches.from_matched(
        found, scores, matched, true_faces, counted, len(detections), min_px=min_px
    )


def cumulate_counts(
    matches: DetectionMatches, weights: NDArray[np.float32], ends: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return correct and all detections up to each of `ends`.

    Args:
        matches: the matched detections.
        weights: `(b, images)` weight of each image, one row per resample.
        ends: `(k,)` rising indices of detections.

    Returns:
        Two arrays `(b, k)`.
    """
    if not len(ends):
        empty = np.zeros((len(weights), 0))
        return empty, empty
    used = slice(0, int(ends[-1]) + 1)
    # Counts stay exact in float32, which is twice as fast.
    weighted = weights[:, matches.image_indices[used]]
    n_predicted = np.cumsum(weighted, axis=1)[:, ends].astype(np.float64)
    weighted *= matches.correct[used]
    return np.cumsum(weighted, axis=1)[:, ends].astype(np.float64), n_predicted


def _curve_points(
    matches: DetectionMatches, weights: NDArray[np.float32], ends: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision and recall, `(b, k)` each; see `cumulate_counts`."""
    true_positives, n_predicted = cumulate_counts(matches, weights, ends)
    n_ground_truth = (weights @ matches.n_ground_truth).astype(np.float64)[:, None]
    # A resample may contain no image with the highest scores: precision of 0 / 0 is 1.
    precisions = safe_divide(true_positives, n_predicted, 1)
    return precisions, safe_divide(true_positives, n_ground_truth)


def precision_recall_curve(matches: DetectionMatches) -> PrecisionRecallCurve:
    """Return the precision-recall curve of matched detections."""
    ends = find_threshold_ends(matches.scores)
    ones = np.ones((1, len(matches.n_ground_truth)), np.float32)
    precisions, recalls = _curve_points(matches, ones, ends)
    return PrecisionRecallCurve(matches.scores[ends], precisions[0], recalls[0])


def average_precisions(
    matches: DetectionMatches, weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the average precision for several image weights.

    Args:
        matches: the matched detections.
        weights: `(b, images)` weight of each image, one row per resample.

    Returns:
        `(b,)` in [0, 1]; 0 without detections, NaN without true boxes.
    """
    ends = find_threshold_ends(matches.scores)
    # Recall rises and precision peaks only at correct detections; skip the others.
    new_true_positives = np.diff(np.cumsum(matches.correct)[ends], prepend=0)
    ends = ends[new_true_positives > 0]
    step = max(1, _CHUNK_SIZE // max(1, len(matches.scores)))
    parts = [np.zeros(0)]
    for start in range(0, len(weights), step):
        chunk = weights[start : start + step]
        precisions, recalls = _curve_points(matches, chunk, ends)
        envelope = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
        gains = np.diff(recalls, axis=1, prepend=0.0)
        areas = (gains * envelope).sum(axis=1)
        parts.append(np.where(chunk @ matches.n_ground_truth > 0, areas, np.nan))
    return np.concatenate(parts)


def average_precision(matches: DetectionMatches) -> float:
    """Return the average precision; NaN without true boxes."""
    ones = np.ones((1, len(matches.n_ground_truth)), np.float32)
    return float(average_precisions(matches, ones)[0])


def mean_average_precision(
    classes: Sequence[DetectionMatches], *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Return the mean of the average precisions of the classes, with its interval.

    A class with true boxes but without detections counts 0; one without true boxes is
    left out. With a single class this is its average precision.

    Args:
        classes: the matched detections of each class in the same images.
        resamples: number of bootstrap resamples of the images.
        seed: random seed.
    """
    images = {len(matches.n_ground_truth) for matches in classes}
    if len(images) != 1:
        raise ValueError(f"classes must have the same images, got {sorted(images)}")
    ones = np.ones((1, images.pop()), np.float32)
    draws = draw_bootstrap_weights(ones.shape[1], resamples=resamples, seed=seed)
    weights = np.concatenate([ones, draws])
    class_aps = np.stack([average_precisions(matches, weights) for matches in classes])
    present = ~np.isnan(class_aps)
    total = np.where(present, class_aps, 0.0).sum(axis=0)
    count = present.sum(axis=0)
    means = safe_divide(total, count)
    n = sum(int(matches.n_ground_truth.sum()) for matches in classes)
    return percentile_estimate(float(means[0]), means[1:], n)
