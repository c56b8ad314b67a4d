from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from maskdet.metrics.calibration import (
    apply_temperature,
    correct_and_confidence,
    fit_temperature,
    reliability_curve,
)
from maskdet.metrics.classification import ClassificationResult


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def drawn_from(probs, rng):
    """Return true classes drawn with these probabilities: perfectly calibrated."""
    return (probs.cumsum(axis=1) < rng.random(len(probs))[:, None]).sum(axis=1)


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_the_curve_matches_scikit_learn(seed, bins):
    rng = np.random.default_rng(seed)
    scores = rng.random(400)
    truths = rng.random(400) < scores**2
    ours = reliability_curve(truths, scores, bins=bins)
    fractions, means = calibration_curve(truths, scores, n_bins=bins)
    assert ours.positive_fractions == pytest.approx(fractions)
    assert ours.scores == pytest.approx(means)
    assert ours.counts.sum() == 400


def test_ece_of_a_worked_example():
    # [0, .5]: two scores of 0.25, none positive; (.5, 1]: .75 and 1, one positive
    curve = reliability_curve(
        np.array([False, False, True, False]), np.array([0.25, 0.25, 0.75, 1.0]), bins=2
    )
    assert curve.counts.tolist() == [2, 2]
    assert curve.scores.tolist() == [0.25, 0.875]
    assert curve.positive_fractions.tolist() == [0, 0.5]
    assert curve.ece == pytest.approx((2 * 0.25 + 2 * 0.375) / 4)


def test_both_ends_of_the_scale_have_a_bin():
    curve = reliability_curve(np.array([False, True]), np.array([0.0, 1.0]))
    assert curve.counts.tolist() == [1, 1]
    assert curve.ece == 0


def test_no_predictions_have_no_error():
    nothing = reliability_curve(np.zeros(0, bool), np.zeros(0))
    assert len(nothing.counts) == 0
    assert math.isnan(nothing.ece)


@pytest.mark.parametrize(
    ("scores", "message"), [([0.5, 0.5], "same length"), ([1.5], r"in \[0, 1\]")]
)
def test_invalid_scores_are_rejected(scores, message):
    with pytest.raises(ValueError, match=message):
        reliability_curve(np.array([True]), np.array(scores))


def test_top_label_is_the_most_probable_class():
    probs = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]], np.float32)
    right, scores = correct_and_confidence(
        ClassificationResult(np.array([0, 1]), probs)
    )
    assert right.tolist() == [True, False]
    assert scores == pytest.approx([0.6, 0.5])


def likelihood_loss(truths, probs):
    """Return scikit-learn's mean of -log p(true class)."""
    sums_to_one = probs.astype(np.float64)
    sums_to_one /= sums_to_one.sum(axis=1, keepdims=True)  # else scikit-learn warns
    return metrics.log_loss(truths, sums_to_one, labels=[0, 1, 2])


@pytest.mark.parametrize("made_harder", [0.5, 1.0, 2.5])
def test_the_applied_temperature_is_recovered(made_harder):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20_000, 3)) * 2
    truths = drawn_from(softmax(logits), rng)
    probs = softmax(logits * made_harder).astype(np.float32)
    found = fit_temperature(truths, probs)
    assert found == pytest.approx(made_harder, rel=0.05)
    softened = apply_temperature(probs, found)
    before, after = (likelihood_loss(truths, p) for p in (probs, softened))
    assert after <= before
    for other in (found * 0.9, found * 1.1):
        worse = likelihood_loss(truths, apply_temperature(probs, other))
        assert worse > after
    assert (softened.argmax(axis=1) == probs.argmax(axis=1)).mean() > 0.999


def test_temperature_one_changes_nothing_and_two_takes_roots():
    probs = np.array([[0.64, 0.32, 0.04], [1, 0, 0]], np.float32)
    assert apply_temperature(probs, 1) == pytest.approx(probs, abs=1e-6)
    softer = apply_temperature(probs, 2)[0]
    assert softer == pytest.approx(np.sqrt(probs[0]) / np.sqrt(probs[0]).sum())
    assert np.isfinite(apply_temperature(probs, 0.05)).all()


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf])
def test_invalid_temperatures_are_rejected(temperature):
    with pytest.raises(ValueError, match="must be above 0"):
        apply_temperature(np.ones((1, 3), np.float32) / 3, temperature)


def test_a_temperature_needs_predictions():
    with pytest.raises(ValueError, match="got 0 labels"):
        fit_temperature(np.zeros(0, np.int64), np.zeros((0, 3), np.float32))
