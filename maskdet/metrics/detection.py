"""Average precision: how well boxes were found, whatever the threshold.

The rules are COCO's, with all-point interpolation (the exact area under the curve)
instead of 101 samples:

- the faces of all images are taken by falling score;
- each goes to the best truth of its image that is still FREE and overlaps enough
  (VOC's older rule takes the best truth even if taken, and calls that a mistake);
- each truth is matched once, so a second box on the same face is a false positive;
- truths may be ignored, all below a size or each by name: a face matched to one is
  neither right nor wrong, and so is an unmatched face below that size.

Faces with equal scores enter the curve together, as no threshold can part them; so
the order in which faces or images come never changes the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, iou_matrix, sizes_px
from maskdet.metrics.intervals import (
    RESAMPLES,
    Estimate,
    draw_image_weights,
    percentile_estimate,
)
from maskdet.types import Faces

_CHUNK_SIZE = 200_000
"""Numbers a bootstrap step holds at once: they then stay in the processor's cache."""

ImageWeights = NDArray[np.int64] | NDArray[np.float32]
"""`(b, images)` how often each image counts, whole numbers of either kind."""

_NO_BOXES: Boxes = np.zeros((0, 4), np.float32)

# A list that begins with nothing can be joined whatever follows.
_NO_SCORES: NDArray[np.float32] = np.zeros(0, np.float32)
_NO_FLAGS: NDArray[np.bool_] = np.zeros(0, np.bool_)
_NO_ROWS: NDArray[np.int64] = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class DetectionMatches:
    """The verdict on every face that counts, over all images, by falling score.

    Attributes:
        scores: `(k,)` float32, falling.
        correct: `(k,)` bool, whether the face was matched to a truth that counts.
        image_indices: `(k,)` int64, the index of the image that the face is in.
        n_ground_truth: `(images,)` int64, how many truths that count each image has.
    """

    scores: NDArray[np.float32]
    correct: NDArray[np.bool_]
    image_indices: NDArray[np.int64]
    n_ground_truth: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall at every score that a threshold can take.

    Attributes:
        scores: `(k,)` distinct scores, falling: the threshold of each point.
        precisions: `(k,)` share of the faces at or above it that are right.
        recalls: `(k,)` share of the truths found; NaN where there is no truth.
    """

    scores: NDArray[np.float32]
    precisions: NDArray[np.float64]
    recalls: NDArray[np.float64]


def match_detections_in_image(
    detections: Faces,
    ground_truth: Boxes,
    *,
    min_iou: float = 0.5,
    ignored: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Match the faces found in one image to its true boxes, best score first.

    Args:
        detections: the faces of the image.
        ground_truth: `(m, 4)` true boxes.
        min_iou: smallest overlap that counts as a match, in (0, 1].
        ignored: `(m,)` truths that do not count; taken only when no other fits.

    Returns:
        `(n,)` row of the truth that each face got, -1 for none.
    """
    n_ground_truth = len(ground_truth)
    matched = np.full(len(detections), -1, np.int64)
    if not n_ground_truth or not len(detections):
        return matched
    ignored = np.zeros(n_ground_truth, np.bool_) if ignored is None else ignored
    ious = iou_matrix(detections.boxes, ground_truth)
    unmatched = np.ones(n_ground_truth, np.bool_)
    # Among equal scores the better fitting box comes first, whatever their order.
    for row in np.lexsort((-ious.max(axis=1), -detections.scores)):
        for candidates in (unmatched & ~ignored, unmatched & ignored):
            candidate_ious = np.where(candidates, ious[row], -1.0)
            best = int(candidate_ious.argmax())
            if candidate_ious[best] >= min_iou:
                matched[row] = best
                unmatched[best] = False
                break
    return matched


def match_detections(
    detections: Sequence[Faces],
    ground_truth: Sequence[Boxes],
    *,
    min_iou: float = 0.5,
    min_px: float = 0.0,
    ignored: Sequence[Boxes] | None = None,
) -> DetectionMatches:
    """Match the faces found in many images to the true boxes.

    Args:
        detections: one `Faces` an image; for one class, with that class's scores.
        ground_truth: the `(m, 4)` true boxes of the same images, of that class.
        min_iou: smallest overlap that counts as a match.
        min_px: truths whose shorter side is smaller are ignored, in pixels.
        ignored: further `(k,)` true boxes of each image that count neither as found
            nor as missed, such as faces of unknown class.

    Raises:
        ValueError: not the same number of images on all sides.
    """
    if len(detections) != len(ground_truth):
        raise ValueError(
            f"{len(detections)} images of faces but {len(ground_truth)} of truths"
        )
    ignored_boxes = _check_ignored(ignored, len(ground_truth))
    scores, correct, images = [_NO_SCORES], [_NO_FLAGS], [_NO_ROWS]
    counts = np.zeros(len(ground_truth), np.int64)
    for index, faces in enumerate(detections):
        boxes = np.concatenate([ground_truth[index], ignored_boxes[index]])
        counted = sizes_px(boxes) >= min_px
        counted[len(ground_truth[index]) :] = False
        counts[index] = np.count_nonzero(counted)
        is_correct, is_scored = _score_faces(faces, boxes, counted, min_iou, min_px)
        scores.append(faces.scores[is_scored])
        correct.append(is_correct[is_scored])
        images.append(np.full(np.count_nonzero(is_scored), index, np.int64))
    all_scores = np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")
    all_correct = np.concatenate(correct)[order]
    return DetectionMatches(
        all_scores[order], all_correct, np.concatenate(images)[order], counts
    )


def _check_ignored(ignored: Sequence[Boxes] | None, n_images: int) -> Sequence[Boxes]:
    ignored_boxes = [_NO_BOXES] * n_images if ignored is None else ignored
    if len(ignored_boxes) != n_images:
        raise ValueError(
            f"{len(ignored_boxes)} images of ignored but {n_images} of truths"
        )
    return ignored_boxes


def _score_faces(
    faces: Faces,
    boxes: Boxes,
    counted: NDArray[np.bool_],
    min_iou: float,
    min_px: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which faces of an image are right, and which are right or wrong at all."""
    matched = match_detections_in_image(faces, boxes, min_iou=min_iou, ignored=~counted)
    unmatched = matched < 0
    correct = ~unmatched
    correct[correct] = counted[matched[correct]]
    return correct, correct | (unmatched & (sizes_px(faces.boxes) >= min_px))


def _last_index_per_score(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    ends: NDArray[np.int64] = np.flatnonzero(
        np.diff(scores, append=np.float32(-np.inf)) != 0
    )
    return ends


def _curve_points(
    matches: DetectionMatches, weights: ImageWeights, ends: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precisions and recalls after the faces up to each of `ends`.

    Args:
        matches: the verdicts.
        weights: `(b, images)` how often each image counts, one row a resample.
        ends: `(k,)` rising rows of the faces.

    Returns:
        Two arrays `(b, k)`.
    """
    if not len(ends):
        empty = np.zeros((len(weights), 0))
        return empty, empty
    used = slice(0, int(ends[-1]) + 1)
    # Counts stay exact in float32, which is twice as fast.
    weighted = weights.astype(np.float32, copy=False)[:, matches.image_indices[used]]
    n_predicted = np.cumsum(weighted, axis=1)[:, ends].astype(np.float64)
    weighted *= matches.correct[used]
    true_positives = np.cumsum(weighted, axis=1)[:, ends].astype(np.float64)
    n_ground_truth = (weights @ matches.n_ground_truth).astype(np.float64)[:, None]
    # A resample may leave out every image that has the first scores: 0 of 0 shown.
    precisions = np.divide(
        true_positives,
        n_predicted,
        out=np.ones(true_positives.shape),
        where=n_predicted > 0,
    )
    recalls = np.divide(
        true_positives,
        n_ground_truth,
        out=np.full(true_positives.shape, np.nan),
        where=n_ground_truth > 0,
    )
    return precisions, recalls


def precision_recall_curve(matches: DetectionMatches) -> PrecisionRecallCurve:
    """Return the precision and recall curve of the matches."""
    ends = _last_index_per_score(matches.scores)
    ones = np.ones((1, len(matches.n_ground_truth)), np.int64)
    precisions, recalls = _curve_points(matches, ones, ends)
    return PrecisionRecallCurve(matches.scores[ends], precisions[0], recalls[0])


def average_precisions(
    matches: DetectionMatches, weights: ImageWeights
) -> NDArray[np.float64]:
    """Return the average precision with each image counted several times.

    Args:
        matches: the verdicts.
        weights: `(b, images)` how often each image counts, one row a resample.

    Returns:
        `(b,)` in [0, 1]; 0 where nothing was found, NaN where there is no truth.
    """
    ends = _last_index_per_score(matches.scores)
    # Recall rises and precision peaks only where a right one is: the rest is skipped.
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
    result: NDArray[np.float64] = np.concatenate(parts)
    return result


def average_precision(matches: DetectionMatches) -> float:
    """Return the average precision; NaN without a truth, as nothing can be missed."""
    ones = np.ones((1, len(matches.n_ground_truth)), np.int64)
    return float(average_precisions(matches, ones)[0])


def mean_average_precision(
    classes: Sequence[DetectionMatches], *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Return the mean over the classes of their average precision, with its interval.

    A class that has truths but was never found counts 0; one without any truth is
    left out. With a single class this is its average precision.

    Args:
        classes: the matches of each class, over the same images.
        resamples: bootstrap draws of the images.
        seed: makes the interval repeatable.
    """
    images = {len(matches.n_ground_truth) for matches in classes}
    if len(images) != 1:
        raise ValueError(f"classes must share their images, got {sorted(images)}")
    ones = np.ones((1, images.pop()), np.int64)
    draws = draw_image_weights(ones.shape[1], resamples=resamples, seed=seed)
    weights = np.concatenate([ones, draws])
    class_aps = np.stack([average_precisions(matches, weights) for matches in classes])
    present = ~np.isnan(class_aps)
    total = np.where(present, class_aps, 0.0).sum(axis=0)
    count = present.sum(axis=0)
    means = np.divide(total, count, out=np.full(total.shape, math.nan), where=count > 0)
    n = sum(int(matches.n_ground_truth.sum()) for matches in classes)
    return percentile_estimate(float(means[0]), means[1:], n)
