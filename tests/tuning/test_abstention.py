from __future__ import annotations

import pytest

from maskdet.evaluation.operating_point import Evaluator
from maskdet.metrics.intervals import proportion
from maskdet.settings import Settings
from maskdet.tuning.abstention import evaluate_band
from maskdet.types import Label
from tests.helpers.counting_fakes import (
    A,
    DetectedFace,
    TrueFace,
    make_counted_predictions,
    make_random_predictions,
)

SETTINGS = Settings(min_score=0.5, min_confidence=0.99)


def no_mask_face(image_index: int, p: float) -> DetectedFace:
    """Return a detection with probability `p` of no mask."""
    return DetectedFace(image_index, A, 0.9, (1 - p, p, 0.0))


def test_faces_inside_the_band_are_undecided():
    labels = [Label.NO_MASK, Label.NO_MASK, Label.MASK, Label.INCORRECT, Label.MASK]
    evaluator = Evaluator(
        make_counted_predictions(
            [
                TrueFace(image_index, A, label)
                for image_index, label in enumerate(labels)
            ],
            [
                no_mask_face(index, p)
                for index, p in enumerate([0.9, 0.2, 0.4, 0.8, 0.1, 0.75])
            ],
            n_images=6,
        )
    )
    band = evaluate_band(evaluator(SETTINGS), 0.3, 0.7)
    assert (band.abstention_rate.value, band.abstention_rate.n) == (0.2, 5)
    # Decided: an unmasked face as masked, an incorrect one as unmasked, two correct.
    assert (band.error_rate.value, band.error_rate.n) == (0.5, 4)
    assert (band.error_rate_without_band.value, band.error_rate_without_band.n) == (
        0.4,
        5,
    )
    assert (band.missed_no_mask_rate.value, band.missed_no_mask_rate.n) == (0.5, 2)
    assert band.false_no_mask_rate.n == 3
    assert band.false_no_mask_rate.value == pytest.approx(2 / 3)
    assert band.error_rate.low <= band.error_rate.value <= band.error_rate.high


def test_the_upper_threshold_is_decided():
    evaluator = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, Label.NO_MASK)], [no_mask_face(0, 0.5)]
        )
    )
    assert evaluate_band(evaluator(SETTINGS), 0.25, 0.5).abstention_rate == proportion(
        0, 1
    )
    assert evaluate_band(evaluator(SETTINGS), 0.5, 0.75).abstention_rate == proportion(
        1, 1
    )
    assert evaluate_band(evaluator(SETTINGS), 0.5, 0.5).error_rate == proportion(0, 1)


def test_a_wider_band_abstains_more_and_has_fewer_errors():
    evaluator = Evaluator(make_random_predictions(3, 60))
    narrow, wide = (
        evaluate_band(evaluator(SETTINGS), 0.5 - w, 0.5 + w) for w in (0.1, 0.3)
    )
    assert wide.abstention_rate.value > narrow.abstention_rate.value
    assert wide.error_rate.value < narrow.error_rate.value


@pytest.mark.parametrize("ends", [(0.7, 0.3), (-0.1, 0.5), (0.5, 1.1)])
def test_an_invalid_band_is_rejected(ends):
    with pytest.raises(ValueError, match="the band must satisfy"):
        evaluate_band(Evaluator(make_counted_predictions([], []))(SETTINGS), *ends)
