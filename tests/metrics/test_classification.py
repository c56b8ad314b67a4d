from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from maskdet.metrics.classification import (
    ClassificationResult,
    ConfusionMatrix,
    threshold_curves,
)
from maskdet.metrics.intervals import (
    Estimate,
    draw_bootstrap_weights,
    percentile_estimate,
    proportion,
)


def random_labels(seed, n=300):
    rng = np.random.default_rng(seed)
    truths = rng.choice(3, n, p=[0.7, 0.25, 0.05])
    labels = np.where(rng.random(n) < 0.8, truths, rng.choice(3, n))
    return truths, labels


def test_rows_are_true_classes_and_missing_predictions_are_wrong():
    confusion = ConfusionMatrix.from_labels([0, 0, 1, 2, 2], [0, 1, 1, -1, 0], 3)
    assert confusion.counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]]
    assert confusion.n == 5
    assert confusion.accuracy.value == pytest.approx(2 / 5)
    assert [recall.value for recall in confusion.recalls] == [0.5, 1.0, 0.0]
    assert [precision.value for precision in confusion.precisions[:2]] == [0.5, 0.5]
    assert math.isnan(confusion.precisions[2].value)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_match_scikit_learn(seed):
    truths, labels = random_labels(seed)
    ours = ConfusionMatrix.from_labels(truths, labels, 3)
    matrix = metrics.confusion_matrix(truths, labels, labels=[0, 1, 2])
    assert ours.counts[:, :3].tolist() == matrix.tolist()
    assert ours.accuracy.value == pytest.approx(metrics.accuracy_score(truths, labels))
    table = metrics.precision_recall_fscore_support(
        truths, labels, labels=[0, 1, 2], zero_division=np.nan
    )
    assert [e.value for e in ours.precisions] == pytest.approx(table[0])
    assert [e.value for e in ours.recalls] == pytest.approx(table[1])
    assert [e.n for e in ours.recalls] == table[3].tolist()
    balanced = metrics.balanced_accuracy_score(truths, labels)
    assert ours.balanced_accuracy().value == pytest.approx(balanced)


def test_balanced_accuracy_ignores_missing_classes():
    balanced = ConfusionMatrix.from_labels(
        [0, 0, 0, 1], [0, 0, 1, 1], 3
    ).balanced_accuracy()
    assert balanced.value == pytest.approx((2 / 3 + 1) / 2)
    assert balanced.low < balanced.value <= balanced.high == 1.0


def test_unsure_faces_have_no_prediction():
    probs = np.array([[0.9, 0.1, 0], [0.6, 0.3, 0.1], [0.5, 0.3, 0.2]], np.float32)
    result = ClassificationResult(np.array([0, 1, 0]), probs)
    assert result.confusion_from(0).counts.tolist() == (
        result.class_confusion.counts.tolist()
    )
    # A face exactly at the threshold has a class, as in `Settings.min_confidence`.
    at_limit = result.confusion_from(float(probs[1, 0]))
    assert at_limit.counts.tolist() == [[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert at_limit.abstention_rate.value == pytest.approx(1 / 3)
    assert at_limit.predicted_accuracy.value == pytest.approx(1 / 2)
    assert at_limit.predicted_accuracy.n == 2
    assert math.isnan(result.confusion_from(1).predicted_accuracy.value)


def test_no_items_give_nan():
    empty = ConfusionMatrix.from_labels([], [], 3)
    assert empty.n == 0
    assert math.isnan(empty.accuracy.value)
    assert math.isnan(empty.balanced_accuracy().value)
    assert empty.accuracy.to_json() == {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
    }


@pytest.mark.parametrize(
    ("truths", "labels", "message"),
    [
        ([0, 1], [0], "same length"),
        ([0, 3], [0, 0], "below 3"),
        ([0, 0], [0, 3], "below 3"),
        ([-1, 0], [0, 0], "below 3"),
        ([0, 0], [-2, 0], "below 3"),
    ],
)
def test_invalid_labels_are_rejected(truths, labels, message):
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix.from_labels(truths, labels, 3)


@pytest.mark.parametrize("decimals", [1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_curves_match_scikit_learn_also_with_equal_scores(seed, decimals):
    rng = np.random.default_rng(seed)
    truths = rng.random(200) < 0.3
    scores = np.round(rng.random(200) * 0.5 + truths * rng.random(200), decimals)
    ours = threshold_curves(truths, scores)
    false_positive_rates, recalls, thresholds = metrics.roc_curve(
        truths, scores, drop_intermediate=False
    )
    assert ours.thresholds == pytest.approx(thresholds[1:])
    assert ours.recalls == pytest.approx(recalls[1:])
    assert ours.false_positive_rates == pytest.approx(false_positive_rates[1:])
    precisions, _, _ = metrics.precision_recall_curve(truths, scores)
    assert ours.precisions[::-1] == pytest.approx(precisions[:-1])
    assert ours.roc_area == pytest.approx(metrics.roc_auc_score(truths, scores))
    expected = metrics.average_precision_score(truths, scores)
    assert ours.average_precision == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scores", "area"),
    [([0.1, 0.2, 0.8, 0.9], 1.0), ([0.9, 0.8, 0.2, 0.1], 0.0), ([0.5] * 4, 0.5)],
)
def test_area_of_perfect_reversed_and_constant_scores(scores, area):
    truths = np.array([False, False, True, True])
    assert threshold_curves(truths, np.array(scores)).roc_area == pytest.approx(area)


def test_a_single_true_class_has_no_area():
    curves = threshold_curves(np.array([True, True]), np.array([0.2, 0.4]))
    assert math.isnan(curves.roc_area)
    assert curves.average_precision == 1.0
    none = threshold_curves(np.array([False, False]), np.array([0.2, 0.4]))
    assert math.isnan(none.average_precision)


def test_invalid_scores_are_rejected():
    with pytest.raises(ValueError, match="same length"):
        threshold_curves(np.array([True]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="must not be NaN"):
        threshold_curves(np.array([True]), np.array([np.nan]))


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion",
        # Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_as_published(hits, n, low, high):
    estimate = proportion(hits, n)
    assert estimate.value == pytest.approx(hits / n)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)
    mirrored = proportion(n - hits, n)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_invalid_proportions_are_rejected():
    with pytest.raises(ValueError, match="from 0 to n = 3, got 4"):
        proportion(4, 3)


def test_images_are_resampled_with_replacement():
    weights = draw_bootstrap_weights(50, resamples=200)
    assert weights.shape == (200, 50)
    assert (weights.sum(axis=1) == 50).all()
    # 1/e of the images is missing from a resample, on average
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)
    assert draw_bootstrap_weights(0).shape[1] == 0


def test_percentiles_ignore_nan():
    resampled = np.array([*np.linspace(0, 1, 41), np.nan])
    assert percentile_estimate(0.4, resampled, 9) == Estimate(
        0.4, pytest.approx(0.025), pytest.approx(0.975), 9
    )
    assert math.isnan(percentile_estimate(0.4, np.array([np.nan]), 9).low)
