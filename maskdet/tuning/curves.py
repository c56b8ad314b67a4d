"""Threshold curves with the current operating point, and rates by threshold."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from maskdet.evaluation.operating_point import NO_FACE, EvaluationResult
from maskdet.metrics.classification import (
    BinaryTask,
    find_threshold_ends,
    threshold_curves,
)
from maskdet.metrics.detection import (
    DetectionMatches,
    cumulate_counts,
    mean_average_precision,
    precision_recall_curve,
)
from maskdet.metrics.intervals import (
    Estimate,
    draw_bootstrap_weights,
    percentile_estimate,
    safe_divide,
)
from maskdet.metrics.matching import IntArray
from maskdet.metrics.summary import FaceWeights, Floats, resampled_areas
from maskdet.types import CLASSES, Label

CURVE_RESAMPLES: Final = 300
"""Bootstrap resamples for an area: few enough to follow a slider; the ends of the
interval move by a tenth of its width with the seed."""

_RESAMPLE_CHUNK = 50
"""Resamples held at once, which then fit the processor cache."""

CurveKind: TypeAlias = Literal["precision_recall", "roc"]
"""See `compute_curve`."""


@dataclass(frozen=True, eq=False)
class TuningCurve:
    """A curve over all thresholds on a score.

    Attributes:
        label: the class, None for faces of any class.
        x: `(k,)` recall (precision-recall), false-positive rate (ROC), or false
            positives per image (FROC).
        y: `(k,)` precision (precision-recall) or recall (ROC, FROC).
        thresholds: `(k,)` descending; scores at or above them are positive.
        area: area under the curve, with a bootstrap interval over images.
        start: x and y above all thresholds; NaN if undefined.
        point: x and y at the current settings; NaN if undefined.
    """

    label: Label | None
    x: Floats
    y: Floats
    thresholds: Floats
    area: Estimate
    start: tuple[float, float] = (math.nan, math.nan)
    point: tuple[float, float] = (math.nan, math.nan)

    def move_point(self, threshold: float) -> TuningCurve:
        """Return the curve with the point at another value of its threshold."""
        # Scores are float32, so the threshold is compared as float32.
        n_above = int(np.count_nonzero(self.thresholds >= np.float32(threshold)))
        if not n_above:
            return dataclasses.replace(self, point=self.start)
        point = (float(self.x[n_above - 1]), float(self.y[n_above - 1]))
        return dataclasses.replace(self, point=point)


def compute_curve(
    result: EvaluationResult,
    kind: CurveKind,
    label: Label | None = None,
    *,
    resamples: int = CURVE_RESAMPLES,
    seed: int = 0,
) -> TuningCurve:
    """Compute a curve with the point of the settings of a result.

    `precision_recall` is precision (y) against recall (x) over the detection threshold.
    All other settings are fixed, so each point equals the metrics with that
    `min_score`, and the current point lies on the curve. For a class, only faces at or
    above the confidence threshold are predicted as it; a true face of the class that is
    missed, predicted as another class or unsure lowers the recall. The area is average
    precision with all-point interpolation, which COCO approximates with 101 samples;
    see `metrics.detection`.

    `roc` is recall (y) against false positives (x). For a class, the threshold is on
    its probability, x is the false-positive rate, and the area is the probability that
    a face of the class has a higher score than another face. For faces of any class,
    the threshold is on the detection score, x is the number of false positives per
    image (FROC), and the area is the mean recall from 0 to 1 of them.

    Args:
        result: result of the current settings on a set.
        kind: `precision_recall` or `roc`.
        label: the class, None for faces of any class.
        resamples: bootstrap resamples of the images for the interval of the area.
        seed: random seed of the bootstrap.

    Raises:
        ValueError: the label is `UNKNOWN`.
    """
    if label is not None and label not in CLASSES:
        keys = ", ".join(class_label.key for class_label in CLASSES)
        raise ValueError(f"label must be one of {keys} or None, not {label.key!r}")
    weights = draw_bootstrap_weights(result.n_images, resamples=resamples, seed=seed)
    if kind == "roc" and label is not None:
        return _class_roc_curve(result, label, weights)
    matches = _rank_detections(result.change_settings(min_score=0), label)
    if kind == "roc":
        curve = _froc_curve(matches, weights)
    else:
        ranked = precision_recall_curve(matches)
        area = mean_average_precision([matches], resamples=resamples, seed=seed)
        thresholds = ranked.scores.astype(np.float64)
        curve = TuningCurve(label, ranked.recalls, ranked.precisions, thresholds, area)
    return curve.move_point(result.settings.min_score)


def _rank_detections(result: EvaluationResult, label: Label | None) -> DetectionMatches:
    """Return the shown faces and whether they are correct, by descending score."""
    counted, is_correct, _ = result.select_class(label)
    return DetectionMatches.from_rows(
        result.scores[counted],
        is_correct[counted],
        result.image_indices[counted],
        result.count_per_image(label).actual,
    )


def _froc_curve(matches: DetectionMatches, weights: FaceWeights) -> TuningCurve:
    """Return the FROC curve of faces of any class over the detection threshold.

    The number of true negatives is undefined in detection, so x is the number of false
    positives per image instead of a rate.
    """
    n, n_images = int(matches.n_ground_truth.sum()), len(matches.n_ground_truth)
    ends = find_threshold_ends(matches.scores)
    x, y = _froc_rates(matches, np.ones((1, n_images), np.float32), ends)
    resampled = [
        _mean_recall(
            *_froc_rates(matches, weights[first : first + _RESAMPLE_CHUNK], ends)
        )
        for first in range(0, len(weights), _RESAMPLE_CHUNK)
    ]
    value = float(_mean_recall(x, y)[0]) if n else math.nan
    area = percentile_estimate(value, np.concatenate(resampled), n)
    thresholds = matches.scores[ends].astype(np.float64)
    start = (0.0, 0.0) if n else (math.nan, math.nan)
    return TuningCurve(None, x[0], y[0], thresholds, area, start)


def _froc_rates(
    matches: DetectionMatches, weights: FaceWeights, ends: IntArray
) -> tuple[Floats, Floats]:
    """Return false positives per image and recalls, `(resamples, k)` each."""
    true_positives, n_predicted = cumulate_counts(matches, weights, ends)
    n_faces = (weights @ matches.n_ground_truth).astype(np.float64)[:, None]
    n_images = weights.sum(axis=1).astype(np.float64)[:, None]
    recalls = safe_divide(true_positives, n_faces)
    return safe_divide(n_predicted - true_positives, n_images), recalls


def _mean_recall(x: Floats, y: Floats) -> Floats:
    """Return the `(resamples,)` mean recall from 0 to 1 false positives per image.

    Recall is constant between two thresholds and after the last one.
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
    """Return the ROC curve of a class over the shown faces of known class.

    The threshold is on the probability of the class; y is the true-positive rate, x the
    false-positive rate. The current point is on the curve if `min_confidence` is above
    0.5. Otherwise it may be below, because the class must also be the likeliest.
    """
    counted_faces = (result.actual >= 0) & (result.actual != NO_FACE)
    true = result.actual[counted_faces] == label
    predicted = result.predicted[counted_faces] == label
    scores = result.probs[counted_faces, label].astype(np.float64)
    image_indices = result.image_indices[counted_faces]
    task = BinaryTask(true, scores, predicted)
    roc_curve = threshold_curves(true, scores)
    resampled, _ = resampled_areas(weights[:, image_indices], task)
    # Without a face the curve is empty and its area would be 0.
    value = roc_curve.roc_area if len(true) else math.nan
    area = percentile_estimate(value, resampled, len(true))
    x, y = (
        float(predicted[side].mean()) if side.any() else math.nan
        for side in (~true, true)
    )
    sides = (roc_curve.false_positive_rates, roc_curve.recalls, roc_curve.thresholds)
    return TuningCurve(label, *sides, area, point=(x, y))


@dataclass(frozen=True, eq=False)
class ThresholdRates:
    """Precision, recall and F1 at each step of the detection threshold.

    Attributes:
        thresholds: `(k,)` ascending, as on the slider.
        precisions: `(k,)`; NaN where nothing is detected.
        recalls: `(k,)`; NaN without true faces.
        f1s: `(k,)`; NaN where one of the two is.
    """

    thresholds: Floats
    precisions: Floats
    recalls: Floats
    f1s: Floats

    @property
    def best_threshold(self) -> float | None:
        """The threshold with the highest F1; None if there is no true positive.

        Of equal ones, the middle one, which is farthest from a change.
        """
        best = np.nanmax(self.f1s, initial=0.0)
        if best <= 0:
            return None
        (steps,) = np.nonzero(self.f1s >= best - 1e-9)
        return float(self.thresholds[steps[len(steps) // 2]])

    def f1_at(self, threshold: float) -> float:
        """Return F1 at the step nearest to a threshold."""
        return float(self.f1s[int(np.abs(self.thresholds - threshold).argmin())])


def compute_threshold_rates(
    result: EvaluationResult, label: Label | None = None
) -> ThresholdRates:
    """Compute the rates of a class, or of faces of any class, by detection threshold.

    All other settings are fixed, as on the precision-recall curve of `compute_curve`.
    """
    matches = _rank_detections(result.change_settings(min_score=0), label)
    curve = precision_recall_curve(matches)
    thresholds = np.arange(2, 101) / 100
    # Scores are float32, so thresholds are compared as float32.
    n_above = len(curve.scores) - np.searchsorted(
        curve.scores[::-1], thresholds.astype(np.float32)
    )
    has_any = n_above > 0
    precisions, recalls = np.full((2, len(thresholds)), math.nan)
    precisions[has_any] = curve.precisions[n_above[has_any] - 1]
    recalls[has_any] = curve.recalls[n_above[has_any] - 1]
    if len(curve.scores):
        recalls[~has_any] = 0.0
    total = precisions + recalls
    f1s = safe_divide(2 * precisions * recalls, total)
    f1s[np.isnan(total)] = math.nan
    return ThresholdRates(thresholds, precisions, recalls, f1s)
