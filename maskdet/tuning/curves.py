"""Curves over every threshold, with the present one as a point on them.

How many faces have which score, beside the threshold that parts them.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.classification import BinaryTask, threshold_curves
from maskdet.metrics.detection import (
    DetectionMatches,
    average_precision,
    average_precisions,
    precision_recall_curve,
)
from maskdet.metrics.intervals import Estimate, percentile_estimate
from maskdet.metrics.summary import FaceWeights, Floats, divide_or_nan, resampled_areas
from maskdet.settings import Settings
from maskdet.tuning.bootstrap import bootstrap_weights
from maskdet.tuning.operating_point import (
    ACTUAL_KEYS,
    MIN_IOU,
    NO_FACE,
    EvaluationResult,
    Evaluator,
)
from maskdet.tuning.predictions import IntArray
from maskdet.types import CLASSES, Label

CURVE_RESAMPLES: Final = 300
"""Bootstrap draws for an area: few enough to follow a slider; the ends of the interval
move by a tenth of its width with the seed."""

_RESAMPLE_CHUNK = 50
"""Draws held at once: they then stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class TuningCurve:
    """What every threshold on a score would give.

    Attributes:
        label: the class, None for faces whatever their class.
        x: `(k,)` recall (precision-recall), share of the others (ROC), or false
            positives an image (ROC of faces).
        y: `(k,)` precision (precision-recall) or recall (ROC).
        thresholds: `(k,)` falling: what is at or above counts.
        area: under the curve, with a bootstrap interval over images.
        point: x and y at the present settings; NaN where there is none.
    """

    label: Label | None
    x: Floats
    y: Floats
    thresholds: Floats
    area: Estimate
    point: tuple[float, float]


def compute_precision_recall(
    evaluator: Evaluator,
    settings: Settings,
    label: Label | None = None,
    *,
    min_iou: float = MIN_IOU,
    temperature: float = 1.0,
    resamples: int = CURVE_RESAMPLES,
    seed: int = 0,
) -> TuningCurve:
    """Return precision (y) against recall (x), sweeping the score of the face.

    All else is held where the settings have it, so each point is what the table would
    say with `min_score` there, and the present point lies on the curve. A class counts
    the faces that are called so, surely enough; a true face of the class that is not
    found, called otherwise or unsure lowers its recall.

    Args:
        evaluator: of the set.
        settings: the present ones.
        label: the class, None for faces whatever their class.
        min_iou: smallest overlap that counts as found.
        temperature: of the probabilities.
        resamples: draws of images for the interval of the area.
        seed: of these draws.

    Raises:
        ValueError: the label is `UNKNOWN`.

    Returns:
        The area is average precision with all-point interpolation, as COCO defines it
        but for its 101 samples; see `metrics.detection`.
    """
    _check_label(label)
    unfiltered = dataclasses.replace(settings, min_score=0)
    result = evaluator(unfiltered, min_iou=min_iou, temperature=temperature)
    weights = bootstrap_weights(result.n_images, resamples, seed)
    return _precision_recall_curve(result, label, settings.min_score, weights)


def compute_roc(
    evaluator: Evaluator,
    settings: Settings,
    label: Label | None = None,
    *,
    min_iou: float = MIN_IOU,
    temperature: float = 1.0,
    resamples: int = CURVE_RESAMPLES,
    seed: int = 0,
) -> TuningCurve:
    """Return recall (y) against false positives (x).

    For a class it sweeps its probability, and x is a share of the others; for faces
    whatever their class it sweeps their score, and x is false positives an image.

    Args:
        evaluator: of the set.
        settings: the present ones.
        label: the class, None for faces whatever their class.
        min_iou: smallest overlap that counts as found.
        temperature: of the probabilities.
        resamples: draws of images for the interval of the area.
        seed: of these draws.

    Raises:
        ValueError: the label is `UNKNOWN`.

    Returns:
        The area is, for a class, the chance that one of it has a higher probability
        than another; for faces, the mean recall from 0 to 1 false positive an image.
    """
    _check_label(label)
    weights = bootstrap_weights(
        len(evaluator.predictions.ground_truth.names), resamples, seed
    )
    if label is None:
        unfiltered = dataclasses.replace(settings, min_score=0)
        result = evaluator(unfiltered, min_iou=min_iou, temperature=temperature)
        return _froc_curve(result, settings.min_score, weights)
    result = evaluator(settings, min_iou=min_iou, temperature=temperature)
    return _class_roc_curve(result, label, weights)


def _check_label(label: Label | None) -> None:
    if label is not None and label not in CLASSES:
        raise ValueError(f"there is no curve of {label.key!r}: it is no class")


def _precision_recall_curve(
    result: EvaluationResult,
    label: Label | None,
    min_score: float,
    weights: FaceWeights,
) -> TuningCurve:
    """Return precision against recall from the outcome without a smallest score."""
    matches = _rank_detections(result, label)
    pr_curve = precision_recall_curve(matches)
    resampled = average_precisions(matches, weights)
    value = average_precision(matches)
    area = percentile_estimate(value, resampled, int(matches.n_ground_truth.sum()))
    above = np.count_nonzero(pr_curve.scores >= min_score)
    point = (math.nan, math.nan)
    if above:
        point = (
            float(pr_curve.recalls[above - 1]),
            float(pr_curve.precisions[above - 1]),
        )
    scores = pr_curve.scores.astype(np.float64)
    return TuningCurve(
        label, pr_curve.recalls, pr_curve.precisions, scores, area, point
    )


def _rank_detections(result: EvaluationResult, label: Label | None) -> DetectionMatches:
    """Return which of the faces shown are right, by falling score."""
    ground_truth = result.predictions.ground_truth
    if label is None:
        counted, right = result.actual >= 0, result.matched_ground_truth >= 0
        is_positive = ground_truth.labels != Label.UNKNOWN
    else:
        counted = (result.actual >= 0) & (result.predicted == label)
        right, is_positive = result.actual == label, ground_truth.labels == label
    order = np.flatnonzero(counted)
    order = order[np.argsort(-result.scores[order], kind="stable")]
    return DetectionMatches(
        result.scores[order],
        right[order],
        result.predictions.faces.image_indices[result.shown_rows[order]],
        np.bincount(
            ground_truth.faces.image_indices[is_positive], minlength=result.n_images
        ),
    )


def _froc_curve(
    result: EvaluationResult, min_score: float, weights: FaceWeights
) -> TuningCurve:
    """Sweep the score of faces whatever their class (FROC).

    Nobody can count the places without a face, so x is no share of them but false
    alarms an image. The present point lies on the curve.
    """
    matches = _rank_detections(result, None)
    n, n_images = int(matches.n_ground_truth.sum()), result.n_images
    ends = np.flatnonzero(np.diff(matches.scores, append=np.float32(-np.inf)) != 0)
    x, y = _froc_rates(matches, np.ones((1, n_images), np.float32), ends)
    resampled = [
        _mean_recall(
            *_froc_rates(matches, weights[first : first + _RESAMPLE_CHUNK], ends)
        )
        for first in range(0, len(weights), _RESAMPLE_CHUNK)
    ]
    value = float(_mean_recall(x, y)[0]) if n else math.nan
    area = percentile_estimate(value, np.concatenate(resampled), n)
    scores = matches.scores[ends].astype(np.float64)
    above = np.count_nonzero(matches.scores[ends] >= min_score)
    origin = (0.0, 0.0) if n else (math.nan, math.nan)
    point = (float(x[0, above - 1]), float(y[0, above - 1])) if above else origin
    return TuningCurve(None, x[0], y[0], scores, area, point)


def _froc_rates(
    matches: DetectionMatches, weights: FaceWeights, ends: IntArray
) -> tuple[Floats, Floats]:
    """Return false positives an image and recalls, `(draws, k)` each."""
    drawn_detections = weights[:, matches.image_indices]
    true_positives = np.cumsum(drawn_detections * matches.correct, axis=1)[
        :, ends
    ].astype(np.float64)
    false_positives = np.cumsum(drawn_detections, axis=1)[:, ends] - true_positives
    n_faces = (weights @ matches.n_ground_truth).astype(np.float64)[:, None]
    n_images = weights.sum(axis=1).astype(np.float64)[:, None]
    recalls = divide_or_nan(
        true_positives, np.broadcast_to(n_faces, true_positives.shape)
    )
    return divide_or_nan(
        false_positives, np.broadcast_to(n_images, false_positives.shape)
    ), recalls


def _mean_recall(x: Floats, y: Floats) -> Floats:
    """Return the `(draws,)` mean recall from 0 to 1 false positive an image.

    Recall stays until the next threshold that gives more, as no threshold lies
    between; after the last one it stays for good.
    """
    rows = len(x)
    marks = np.concatenate(
        [np.zeros((rows, 1)), np.minimum(x, 1), np.ones((rows, 1))], 1
    )
    heights = np.concatenate([np.zeros((rows, 1)), y], 1)
    areas: Floats = (np.diff(marks, axis=1) * heights).sum(axis=1)
    return areas


def _class_roc_curve(
    result: EvaluationResult, label: Label, weights: FaceWeights
) -> TuningCurve:
    """Sweep the probability of a class over the true faces of known class shown.

    y is the share of those of the class at or above, x that of the others. The present
    point is what is called so now, surely enough: it lies on the curve where
    `min_confidence` is above 0.5, and may lie below it elsewhere, as then the likeliest
    class decides too.
    """
    counted_faces = (result.actual >= 0) & (result.actual != NO_FACE)
    true = result.actual[counted_faces] == label
    predicted = result.predicted[counted_faces] == label
    scores = result.probs[counted_faces, label].astype(np.float64)
    image_indices = result.predictions.faces.image_indices[
        result.shown_rows[counted_faces]
    ]
    task = BinaryTask(true, scores, predicted)
    roc_curve = threshold_curves(true, scores)
    resampled, _ = resampled_areas(weights[:, image_indices], task)
    # Without a face there is no point, and the area under none would be 0.
    value = roc_curve.roc_area if len(true) else math.nan
    area = percentile_estimate(value, resampled, len(true))
    x, y = (
        float(predicted[side].mean()) if side.any() else math.nan
        for side in (~true, true)
    )
    sides = (roc_curve.false_positive_rates, roc_curve.recalls, roc_curve.thresholds)
    return TuningCurve(label, *sides, area, (x, y))


HistogramQuantity: TypeAlias = Literal["score", "confidence"]
"""What a histogram counts by."""


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """How many faces there are by score or confidence, split by what is true.

    Attributes:
        quantity: the score of the face, or the confidence of its label.
        edges: `(bins + 1,)` from 0 to 1; a bin holds its lower end, the last both.
        counts: `(4, bins)` int64, rows as in `judging.ACTUAL`.
        threshold: the present one.
    """

    quantity: HistogramQuantity
    edges: Floats
    counts: NDArray[np.int64]
    threshold: float


def compute_histogram(
    result: EvaluationResult, quantity: HistogramQuantity = "score", bins: int = 50
) -> ScoreHistogram:
    """Count the faces by score or confidence, split by what is true.

    By score all faces count that were found and pass the other settings, also those
    below the present threshold, which the line then parts; by confidence those shown.

    Args:
        result: the present one.
        quantity: `score` or `confidence`.
        bins: of equal width from 0 to 1.

    Raises:
        ValueError: `quantity` is neither, or there is no bin.
    """
    if quantity not in get_args(HistogramQuantity):
        raise ValueError(f"what must be score or confidence, not {quantity!r}")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    settings = result.settings
    if quantity == "score":
        unfiltered = dataclasses.replace(settings, min_score=0)
        result = result.evaluator(
            unfiltered, min_iou=result.min_iou, temperature=result.temperature
        )
        values, threshold = result.scores, settings.min_score
    else:
        values, threshold = result.confidences, settings.min_confidence
    # The threshold itself counts as above it, so a bin holds its lower end.
    edges = np.linspace(0, 1, bins + 1)
    bin_indices = np.searchsorted(edges.astype(np.float32), values, side="right") - 1
    counts = np.zeros((len(ACTUAL_KEYS), bins), np.int64)
    counted_faces = result.actual >= 0
    columns = np.clip(bin_indices[counted_faces], 0, bins - 1)
    np.add.at(counts, (result.actual[counted_faces], columns), 1)
    return ScoreHistogram(quantity, edges, counts, threshold)
