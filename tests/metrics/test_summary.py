from __future__ import annotations

import json
import math
from time import process_time

import numpy as np
import pytest
from sklearn import metrics

from maskdet.metrics.classification import BINARY_TASKS, ClassificationResult, binarize
from maskdet.metrics.intervals import draw_bootstrap_weights
from maskdet.metrics.summary import (
    resampled_areas,
    summarize_classification,
)
from maskdet.types import CLASSES
from tests.helpers.predictions import random_predictions


def test_incorrect_masks_are_positives_of_wearing():
    probs = np.array([[0.3, 0.45, 0.25], [0.2, 0.6, 0.2], [0, 0.5, 0.5]], np.float32)
    labels = ClassificationResult(np.array([2, 1, 0]), probs)
    wearing = binarize(labels, "wearing")
    assert wearing.ground_truth.tolist() == [True, False, True]
    assert wearing.scores == pytest.approx([0.55, 0.4, 0.5])
    assert wearing.predicted.tolist() == [True, False, True]
    unmasked = binarize(labels, "no_mask")
    assert unmasked.ground_truth.tolist() == [False, True, False]
    assert unmasked.predicted.tolist() == [True, True, True]


def test_decisions_match_the_confusion_matrix():
    labels = random_predictions().classification
    wearing = binarize(labels, "wearing")
    assert (
        wearing.ground_truth & wearing.predicted
    ).sum() == labels.binary_confusion.counts[0, 0]
    assert (
        ~wearing.ground_truth & wearing.predicted
    ).sum() == labels.binary_confusion.counts[1, 0]


def test_an_unknown_task_is_rejected():
    with pytest.raises(ValueError, match="must be one of wearing, mask"):
        binarize(random_predictions(3).classification, "hat")


@pytest.mark.parametrize("seed", range(3))
def test_metrics_match_scikit_learn(seed):
    predictions = random_predictions(seed=seed)
    truths, probs = predictions.ground_truth, predictions.probs.astype(np.float64)
    probs /= probs.sum(axis=1, keepdims=True)  # else scikit-learn warns
    ours, predicted = (
        summarize_classification(predictions.classification, resamples=20),
        probs.argmax(axis=1),
    )
    assert ours.n == 200
    assert ours.accuracy.value == pytest.approx(
        metrics.accuracy_score(truths, predicted)
    )
    balanced = metrics.balanced_accuracy_score(truths, predicted)
    assert ours.balanced_accuracy.value == pytest.approx(balanced)
    table = metrics.precision_recall_fscore_support(truths, predicted, labels=[0, 1, 2])
    for label, precision, recall, f1, n in zip(CLASSES, *table, strict=True):
        one = ours.classes[label.key]
        assert one.precision.value == pytest.approx(precision)
        assert (one.recall.value, one.recall.n) == (pytest.approx(recall), n)
        assert one.f1.value == pytest.approx(f1)
        area = metrics.roc_auc_score(truths == label, probs[:, label])
        assert one.roc_area.value == pytest.approx(area)
        area = metrics.average_precision_score(truths == label, probs[:, label])
        assert one.average_precision.value == pytest.approx(area, rel=1e-5)
    mask, score = truths != 1, 1 - probs[:, 1]
    assert ours.masked.roc_area.value == pytest.approx(
        metrics.roc_auc_score(mask, score)
    )
    assert ours.unmasked.f1.value == pytest.approx(metrics.f1_score(~mask, score < 0.5))
    assert ours.binary_brier.value == pytest.approx(
        metrics.brier_score_loss(mask, score)
    )
    several = metrics.brier_score_loss(truths, probs, labels=[0, 1, 2])
    assert ours.brier.value == pytest.approx(several, rel=1e-5)


@pytest.mark.parametrize("decimals", [1, 6])
def test_resampled_areas_match_resampled_faces(decimals):
    labels = random_predictions(80).classification
    rounded = np.round(labels.probs, decimals)
    asked = binarize(ClassificationResult(labels.ground_truth, rounded), "mask")
    weights = draw_bootstrap_weights(80, resamples=120, seed=3)
    assert (weights.sum(axis=1) == 80).all()
    roc, precision = resampled_areas(weights, asked)
    for row in (0, 60, 119):
        times = weights[row].astype(int)
        truths, scores = (
            np.repeat(asked.ground_truth, times),
            np.repeat(asked.scores, times),
        )
        assert roc[row] == pytest.approx(metrics.roc_auc_score(truths, scores))
        expected = metrics.average_precision_score(truths, scores)
        assert precision[row] == pytest.approx(expected, rel=1e-5)


def all_estimates(content):
    """Return all values with an interval in nested dictionaries."""
    if "value" in content:
        yield content
        return
    for inner in content.values():
        if isinstance(inner, dict):
            yield from all_estimates(inner)


def test_every_value_is_in_its_interval_and_has_n():
    content = summarize_classification(random_predictions(300).classification).to_json()
    found = list(all_estimates(content))
    # 7 overall metrics, 5 for each of the three classes and the two binary classes
    assert len(found) == 7 + 5 * 5
    for one in found:
        assert one["low"] <= one["value"] <= one["high"]
        assert one["low"] < one["high"]
        assert one["n"] > 0


def test_intervals_have_the_expected_width_and_are_reproducible():
    labels = random_predictions(1000).classification
    first, again = summarize_classification(labels), summarize_classification(labels)
    assert first == again
    accuracy = first.accuracy.value
    error = math.sqrt(accuracy * (1 - accuracy) / 1000)
    width = first.accuracy.high - first.accuracy.low
    assert width == pytest.approx(2 * 1.96 * error, rel=0.1)
    other = summarize_classification(labels, seed=1)
    assert other.accuracy == first.accuracy
    assert other.masked.f1 != first.masked.f1
    assert other.accuracy.low == pytest.approx(first.accuracy.low, abs=0.005)


def test_perfect_accuracy_has_an_interval():
    truths = np.array([0, 0, 1, 1])
    ours = summarize_classification(
        ClassificationResult(truths, np.eye(3, dtype=np.float32)[truths])
    )
    assert ours.accuracy.value == 1
    assert 0.3 < ours.accuracy.low < 0.6
    assert ours.masked.recall.low < 0.5


def test_a_missing_class_has_no_metrics():
    truths = np.array([0, 1, 0])
    ours = summarize_classification(
        ClassificationResult(truths, np.eye(3, dtype=np.float32)[truths])
    )
    absent = ours.classes["incorrect"]
    assert absent.precision.n == absent.recall.n == 0
    assert math.isnan(absent.f1.value)
    assert math.isnan(absent.roc_area.value)
    assert ours.balanced_accuracy.value == 1
    assert json.loads(json.dumps(ours.to_json(), allow_nan=False))["n"] == 3


def test_an_empty_set_has_nan_metrics():
    empty = summarize_classification(
        ClassificationResult(np.zeros(0, np.int64), np.zeros((0, 3), np.float32))
    )
    assert empty.n == 0
    assert all(one["value"] is None for one in all_estimates(empty.to_json()))


def test_ece_detects_overconfidence_and_not_chance():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1, 1, 1], 4000).astype(np.float32)
    truths = (probs.cumsum(axis=1) < rng.random(4000)[:, None]).sum(axis=1)
    honest = summarize_classification(
        ClassificationResult(truths.clip(0, 2), probs), resamples=200
    )
    assert honest.ece.value < 0.03
    harder = probs**3 / (probs**3).sum(axis=1, keepdims=True)
    boasting = summarize_classification(
        ClassificationResult(truths.clip(0, 2), harder), resamples=200
    )
    assert boasting.ece.low > honest.ece.high
    assert boasting.brier.low > honest.brier.high


def test_five_thousand_faces_take_seconds():
    labels = random_predictions(5000).classification
    started_s = process_time()
    summarize_classification(labels)
    # CPU time is below one second, independent of the load.
    assert process_time() - started_s < 8


def test_there_is_a_task_for_every_class():
    assert set(BINARY_TASKS) == {"wearing", *(label.key for label in CLASSES)}


def test_rates_have_the_intervals_of_the_confusion_matrix():
    labels = random_predictions(200).classification
    summary, confusion = summarize_classification(labels), labels.class_confusion
    assert summary.accuracy == confusion.accuracy
    assert summary.binary_accuracy == labels.binary_confusion.accuracy
    assert summary.balanced_accuracy == confusion.balanced_accuracy()
    rows = summary.classes.values()
    assert tuple(row.precision for row in rows) == confusion.precisions
    assert tuple(row.recall for row in rows) == confusion.recalls
