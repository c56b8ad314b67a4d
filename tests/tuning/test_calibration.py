from __future__ import annotations

import numpy as np
import pytest

from maskdet.metrics.calibration import apply_temperature, fit_temperature
from maskdet.settings import Settings
from maskdet.tuning.calibration import fit_calibration
from maskdet.tuning.operating_point import Evaluator
from maskdet.types import Label
from tests.tuning.counting_fakes import (
    A,
    B,
    DetectedFace,
    TrueFace,
    make_counted_predictions,
    make_probs,
)

SETTINGS = Settings(min_score=0.5, min_confidence=0)


def too_sure(faces: int = 600, by: float = 2.5):
    """Return faces whose probabilities were right before they were sharpened."""
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(3), faces).astype(np.float32)
    labels = [Label(int(rng.choice(3, p=row / row.sum()))) for row in honest]
    said = apply_temperature(honest, 1 / by)
    return make_counted_predictions(
        [TrueFace(at, A, label) for at, label in enumerate(labels)],
        [DetectedFace(at, A, 0.9, tuple(row)) for at, row in enumerate(said.tolist())],
        n_images=faces,
    )


def test_the_temperature_that_was_taken_away_is_found_again():
    one = too_sure()
    fitted = fit_calibration(Evaluator(one)(SETTINGS))
    assert fitted.temperature == pytest.approx(2.5, rel=0.15)
    assert fitted.temperature == fit_temperature(one.ground_truth.labels, one.probs)
    assert fitted.n == 600
    assert fitted.ece_after.high < fitted.ece_before.low
    assert fitted.ece_before.value == pytest.approx(fitted.before.ece, abs=1e-6)
    assert fitted.ece_after.value == pytest.approx(fitted.after.ece, abs=1e-6)
    assert not fitted.is_degenerate


def test_it_does_not_matter_which_temperature_the_outcome_has():
    judge = Evaluator(too_sure(200))
    one, other = (fit_calibration(judge(SETTINGS, temperature=t)) for t in (1.0, 3.0))
    assert one.temperature == other.temperature
    assert one.ece_before == other.ece_before


def test_after_is_told_of_pictures_that_the_temperature_was_not_fitted_on():
    one = too_sure(40)
    fitted = fit_calibration(Evaluator(one)(SETTINGS))
    tempered = apply_temperature(one.probs, fitted.temperature)
    assert not np.isclose(fitted.after.scores.max(), tempered.max(axis=1).max())


def test_where_no_face_is_called_wrong_there_is_nothing_to_learn():
    found = [DetectedFace(at, A, 0.9, make_probs(Label.MASK, 0.8)) for at in range(20)]
    truths = [TrueFace(at, A, Label.MASK) for at in range(20)]
    assert fit_calibration(
        Evaluator(make_counted_predictions(truths, found, n_images=20))(SETTINGS)
    ).is_degenerate


def test_faces_that_are_none_or_of_unknown_class_teach_nothing():
    found = [
        DetectedFace(0, A, 0.9, make_probs(Label.MASK)),
        DetectedFace(0, B, 0.9, make_probs(Label.MASK)),
    ]
    judge = Evaluator(make_counted_predictions([TrueFace(0, B, Label.UNKNOWN)], found))
    with pytest.raises(ValueError, match="nothing to calibrate"):
        fit_calibration(judge(SETTINGS))
