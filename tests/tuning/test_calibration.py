from __future__ import annotations

import numpy as np
import pytest

from maskdet.evaluation.operating_point import Evaluator
from maskdet.metrics.calibration import apply_temperature, fit_temperature
from maskdet.metrics.intervals import NO_ESTIMATE
from maskdet.settings import Settings
from maskdet.tuning.calibration import fit_calibration
from maskdet.tuning.charts import calibration_comparison_chart
from maskdet.types import Label
from tests.helpers.counting_fakes import (
    A,
    B,
    DetectedFace,
    TrueFace,
    make_counted_predictions,
    make_probs,
)

SETTINGS = Settings(min_score=0.5, min_confidence=0)


def overconfident_predictions(faces: int = 600, by: float = 2.5):
    """Return faces whose calibrated probabilities were sharpened."""
    rng = np.random.default_rng(0)
    calibrated = rng.dirichlet(np.ones(3), faces).astype(np.float32)
    labels = [Label(int(rng.choice(3, p=row / row.sum()))) for row in calibrated]
    sharpened = apply_temperature(calibrated, 1 / by)
    return make_counted_predictions(
        [TrueFace(index, A, label) for index, label in enumerate(labels)],
        [
            DetectedFace(index, A, 0.9, tuple(row))
            for index, row in enumerate(sharpened.tolist())
        ],
        n_images=faces,
    )


def test_a_known_temperature_is_recovered():
    predictions = overconfident_predictions()
    fitted = fit_calibration(Evaluator(predictions)(SETTINGS))
    assert fitted.temperature == pytest.approx(2.5, rel=0.15)
    assert fitted.temperature == fit_temperature(
        predictions.ground_truth.labels, predictions.probs
    )
    assert fitted.n == 600
    assert fitted.ece_after.high < fitted.ece_before.low
    assert fitted.ece_before.value == pytest.approx(fitted.before.ece, abs=1e-6)
    assert fitted.ece_after.value == pytest.approx(fitted.after.ece, abs=1e-6)
    assert not fitted.is_degenerate


def test_the_fit_ignores_the_temperature_of_the_result():
    evaluator = Evaluator(overconfident_predictions(200))
    first, second = (
        fit_calibration(evaluator(SETTINGS, temperature=t)) for t in (1.0, 3.0)
    )
    assert first.temperature == second.temperature
    assert first.ece_before == second.ece_before


def test_the_calibrated_curve_is_cross_fitted():
    predictions = overconfident_predictions(40)
    fitted = fit_calibration(Evaluator(predictions)(SETTINGS))
    tempered = apply_temperature(predictions.probs, fitted.temperature)
    assert not np.isclose(fitted.after.scores.max(), tempered.max(axis=1).max())


@pytest.mark.parametrize("detected", [Label.MASK, Label.NO_MASK])
def test_the_fit_on_one_class_is_degenerate(detected):
    # All predictions are correct, or all are wrong.
    detections = [
        DetectedFace(index, A, 0.9, make_probs(detected, 0.8)) for index in range(20)
    ]
    true_faces = [TrueFace(index, A, Label.MASK) for index in range(20)]
    predictions = make_counted_predictions(true_faces, detections, n_images=20)
    fitted = fit_calibration(Evaluator(predictions)(SETTINGS))
    assert (fitted.is_degenerate, fitted.temperature, fitted.n) == (True, 1, 20)
    assert fitted.ece_after == fitted.ece_before


@pytest.mark.parametrize("true_faces", [[], [TrueFace(0, B, Label.UNKNOWN)]])
def test_the_fit_without_faces_of_known_class_is_degenerate(true_faces):
    detections = [
        DetectedFace(0, A, 0.9, make_probs(Label.MASK)),
        DetectedFace(0, B, 0.9, make_probs(Label.MASK)),
    ]
    evaluator = Evaluator(make_counted_predictions(true_faces, detections))
    fitted = fit_calibration(evaluator(SETTINGS))
    assert (fitted.is_degenerate, fitted.temperature, fitted.n) == (True, 1, 0)
    assert not len(fitted.before.counts)
    assert fitted.ece_before == NO_ESTIMATE
    assert calibration_comparison_chart(fitted)["layer"]
