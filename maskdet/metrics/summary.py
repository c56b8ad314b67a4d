"""Summary of the predictions on a data set: metrics with 95 % intervals.

Proportions have Wilson intervals, other metrics percentile bootstraps over faces with a
fixed seed (B. Efron, R. Tibshirani, "An introduction to the bootstrap", 1993). Metrics
are computed on many resamples at once, as sums over weighted faces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.calibration import N_BINS, bin_indices, correct_and_confidence
from maskdet.metrics.classification import (
    BINARY_TASKS,
    CLASS_TASKS,
    BinaryTask,
    ClassificationResult,
    Json,
    binarize,
    find_threshold_ends,
)
from maskdet.metrics.intervals import (
    NO_ESTIMATE,
    RESAMPLES,
    Estimate,
    MetricsReport,
    draw_bootstrap_weights,
    percentile_estimate,
    proportion,
    safe_divide,
)
from maskdet.types import CLASSES

Floats = NDArray[np.float64]
FaceWeights = NDArray[np.float32]
"""`(resamples, n)`: how often each face or image is drawn; integers."""

_RESAMPLES_PER_CHUNK = 50
"""Resamples per chunk, so that their sorted copies fit into the processor's cache."""


def resampled_areas(weights: FaceWeights, task: BinaryTask) -> tuple[Floats, Floats]:
    """Return ROC area and average precision of each resample, `(resamples,)` each.

    The ROC area is the fraction of pairs of a positive and a negative face in which the
    positive one has the higher score; ties count half. NaN without such pairs.
    """
    order = np.argsort(-task.scores, kind="stable")
    scores, true = task.scores[order], task.ground_truth[order].astype(np.float32)
    ends = find_threshold_ends(scores)
    roc, precision = np.full((2, len(weights)), np.nan)
    if not len(ends):
        return roc, precision
    for first in range(0, len(weights), _RESAMPLES_PER_CHUNK):
        part = slice(first, first + _RESAMPLES_PER_CHUNK)
        draws = weights[part][:, order]
        # Counts stay exact in float32, which is twice as fast; sums of many do not.
        true_positives = np.cumsum(draws * true, axis=1)[:, ends]
        n_predicted = np.cumsum(draws, axis=1)[:, ends]
        positives = np.diff(true_positives, axis=1, prepend=np.float32(0))
        negatives = np.diff(n_predicted, axis=1, prepend=np.float32(0)) - positives
        n_positives = true_positives[:, -1].astype(np.float64)
        n_negatives = n_predicted[:, -1] - n_positives
        pairs = _row_sums(negatives * (true_positives - positives / 2))
        roc[part] = safe_divide(pairs, n_positives * n_negatives)
        precision[part] = safe_divide(
            _row_sums(positives * true_positives / np.maximum(n_predicted, 1)),
            n_positives,
        )
    return roc, precision


def _row_sums(values: NDArray[np.floating]) -> Floats:
    sums: Floats = values.sum(axis=1, dtype=np.float64)
    return sums


@dataclass(frozen=True)
class OneVsRest(MetricsReport):
    """Metrics of one class against the rest.

    Attributes:
        precision: precision of the class.
        recall: recall of the class.
        f1: harmonic mean of precision and recall.
        roc_area: area under the ROC curve.
        average_precision: average precision as defined by scikit-learn.
    """

    precision: Estimate
    recall: Estimate
    f1: Estimate
    roc_area: Estimate
    average_precision: Estimate


@dataclass(frozen=True)
class ClassificationSummary:
    """Metrics of `summarize_classification` on one data set.

    Attributes:
        n: number of faces.
        accuracy: accuracy of the three classes.
        balanced_accuracy: mean recall over the classes that occur.
        classes: each class against the rest, by `Label.key`.
        binary_accuracy: accuracy of mask against no mask.
        masked: mask, correctly worn or not, as the positive class.
        unmasked: no mask as the positive class, with the same decisions.
        ece: expected calibration error of the predicted class.
        binary_ece: the same for mask against no mask.
        brier: squared error summed over the classes, 0 to 2.
        binary_brier: the same for mask against no mask, 0 to 1.
    """

    n: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    classes: Mapping[str, OneVsRest]
    binary_accuracy: Estimate
    masked: OneVsRest
    unmasked: OneVsRest
    ece: Estimate
    binary_ece: Estimate
    brier: Estimate
    binary_brier: Estimate

    def to_json(self) -> Json:
        """Return all metrics with their intervals."""
        return {
            "n": self.n,
            "binary": {
                "accuracy": self.binary_accuracy.to_json(),
                "masked": self.masked.to_json(),
                "unmasked": self.unmasked.to_json(),
                "ece": self.binary_ece.to_json(),
                "brier": self.binary_brier.to_json(),
            },
            "three_class": {
                "accuracy": self.accuracy.to_json(),
                "balanced_accuracy": self.balanced_accuracy.to_json(),
                "classes": {
                    key: summary.to_json() for key, summary in self.classes.items()
                },
                "ece": self.ece.to_json(),
                "brier": self.brier.to_json(),
            },
        }


def summarize_classification(
    result: ClassificationResult, *, resamples: int = RESAMPLES, seed: int = 0
) -> ClassificationSummary:
    """Compute all classification metrics.

    Args:
        result: ground truth and predictions.
        resamples: number of bootstrap resamples.
        seed: random seed of the bootstrap.
    """
    n = len(result.ground_truth)
    weights = draw_bootstrap_weights(n, resamples=resamples, seed=seed)
    tasks = {task_name: binarize(result, task_name) for task_name in BINARY_TASKS}
    score_areas = {
        task_name: _score_areas(weights, task) for task_name, task in tasks.items()
    }
    masked_task = tasks["wearing"]
    unmasked_task = BinaryTask(
        ~masked_task.ground_truth, 1 - masked_task.scores, ~masked_task.predicted
    )
    correct, confidence = correct_and_confidence(result)
    confusion = result.class_confusion
    one_hot = np.eye(len(CLASSES))[result.ground_truth]
    return ClassificationSummary(
        n=n,
        accuracy=confusion.accuracy,
        balanced_accuracy=confusion.balanced_accuracy(resamples=resamples, seed=seed),
        classes={
            label.key: _one_vs_rest(weights, tasks[task_name], score_areas[task_name])
            for label, task_name in zip(CLASSES, CLASS_TASKS, strict=True)
        },
        binary_accuracy=result.binary_confusion.accuracy,
        masked=_one_vs_rest(weights, masked_task, score_areas["wearing"]),
        # Its scores are the probabilities of `no_mask`.
        unmasked=_one_vs_rest(weights, unmasked_task, score_areas["no_mask"]),
        ece=calibration_error(weights, correct, confidence),
        binary_ece=calibration_error(
            weights, masked_task.ground_truth, masked_task.scores
        ),
        brier=bootstrap_mean(weights, ((result.probs - one_hot) ** 2).sum(axis=1)),
        binary_brier=bootstrap_mean(
            weights, (masked_task.scores - masked_task.ground_truth) ** 2
        ),
    )


def _weighted_sums(weights: FaceWeights, *columns: NDArray[np.generic]) -> Floats:
    """Return the weighted sums of the columns, `(columns, resamples)`."""
    matrix = np.stack([np.asarray(column, np.float32) for column in columns], axis=1)
    sums: Floats = (weights @ matrix).T.astype(np.float64)
    return sums


def bootstrap_mean(weights: FaceWeights, values: Floats) -> Estimate:
    """Return the mean of `(n,)` values of faces."""
    n = len(values)
    if not n:
        return NO_ESTIMATE
    return percentile_estimate(
        float(values.mean()), _weighted_sums(weights, values)[0] / n, n
    )


def _score_areas(weights: FaceWeights, task: BinaryTask) -> tuple[Estimate, Estimate]:
    """Return ROC area and average precision."""
    n = len(task.ground_truth)
    values = resampled_areas(np.ones((1, n), np.float32), task)
    value_pairs = zip(values, resampled_areas(weights, task), strict=True)
    roc, precision = (
        percentile_estimate(float(x[0]), resampled, n) for x, resampled in value_pairs
    )
    return roc, precision


def _one_vs_rest(
    weights: FaceWeights, task: BinaryTask, score_areas: tuple[Estimate, Estimate]
) -> OneVsRest:
    n = len(task.ground_truth)
    columns = (task.ground_truth & task.predicted, task.ground_truth, task.predicted)
    hits, true, predicted = (float(column.sum()) for column in columns)
    resampled_hits, resampled_true, resampled_predicted = _weighted_sums(
        weights, *columns
    )
    f1 = 2 * hits / (true + predicted) if true + predicted else math.nan
    resampled_f1 = safe_divide(2 * resampled_hits, resampled_true + resampled_predicted)
    roc_area, average_precision = score_areas
    return OneVsRest(
        precision=proportion(int(hits), int(predicted)),
        recall=proportion(int(hits), int(true)),
        f1=percentile_estimate(f1, resampled_f1, n),
        roc_area=roc_area,
        average_precision=average_precision,
    )


def calibration_error(
    weights: FaceWeights, ground_truth: NDArray[np.bool_], scores: Floats
) -> Estimate:
    """Return the error of `ReliabilityCurve.ece` with its interval.

    Noise increases each absolute gap, so the error is larger on resamples than on the
    original data; the resampled values are shifted down by this bias.
    """
    n = len(ground_truth)
    if not n:
        return NO_ESTIMATE
    gaps = np.zeros((n, N_BINS), np.float32)
    gaps[np.arange(n), bin_indices(scores)] = scores - ground_truth
    value = float(np.abs(gaps.sum(axis=0, dtype=np.float64)).sum()) / n
    resampled = np.abs(weights @ gaps).sum(axis=1).astype(np.float64)
    resampled /= np.maximum(weights.sum(axis=1), 1)
    centred = np.maximum(resampled - (resampled.mean() - value), 0)
    return percentile_estimate(value, centred, n)
