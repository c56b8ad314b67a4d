from __future__ import annotations

import pytest

from maskdet.metrics.intervals import proportion
from maskdet.settings import Settings
from maskdet.tuning.abstention import evaluate_band
from maskdet.tuning.operating_point import Evaluator
from maskdet.types import Label
from tests.tuning.counting_fakes import (
    A,
    DetectedFace,
    TrueFace,
    make_counted_predictions,
    make_random_predictions,
)

SETTINGS = Settings(min_score=0.5, min_confidence=0.99)


def bare(picture: int, p: float) -> DetectedFace:
    """Return a face that wears no mask with the probability `p`."""
    return DetectedFace(picture, A, 0.9, (1 - p, p, 0.0))


def test_what_lies_between_is_not_told():
    labels = [Label.NO_MASK, Label.NO_MASK, Label.MASK, Label.INCORRECT, Label.MASK]
    judge = Evaluator(
        make_counted_predictions(
            [TrueFace(picture, A, label) for picture, label in enumerate(labels)],
            [bare(at, p) for at, p in enumerate([0.9, 0.2, 0.4, 0.8, 0.1, 0.75])],
            n_images=6,
        )
    )
    one = evaluate_band(judge, SETTINGS, 0.3, 0.7)
    assert (one.abstention_rate.value, one.abstention_rate.n) == (0.2, 5)
    # Outside lie a bare face called masked, one incorrect called bare, two right.
    assert (one.error_rate.value, one.error_rate.n) == (0.5, 4)
    assert (one.error_rate_without_band.value, one.error_rate_without_band.n) == (
        0.4,
        5,
    )
    assert (one.missed_no_mask_rate.value, one.missed_no_mask_rate.n) == (0.5, 2)
    assert one.false_no_mask_rate.n == 3
    assert one.false_no_mask_rate.value == pytest.approx(2 / 3)
    assert one.error_rate.low <= one.error_rate.value <= one.error_rate.high


def test_the_upper_end_is_told_and_so_is_everything_without_a_band():
    judge = Evaluator(
        make_counted_predictions([TrueFace(0, A, Label.NO_MASK)], [bare(0, 0.5)])
    )
    assert evaluate_band(judge, SETTINGS, 0.25, 0.5).abstention_rate == proportion(0, 1)
    assert evaluate_band(judge, SETTINGS, 0.5, 0.75).abstention_rate == proportion(1, 1)
    assert evaluate_band(judge, SETTINGS, 0.5, 0.5).error_rate == proportion(0, 1)


def test_a_wider_band_tells_less_and_errs_less():
    judge = Evaluator(make_random_predictions(3, 60))
    narrow, wide = (
        evaluate_band(judge, SETTINGS, 0.5 - w, 0.5 + w) for w in (0.1, 0.3)
    )
    assert wide.abstention_rate.value > narrow.abstention_rate.value
    assert wide.error_rate.value < narrow.error_rate.value


@pytest.mark.parametrize("ends", [(0.7, 0.3), (-0.1, 0.5), (0.5, 1.1)])
def test_a_band_rises_within_0_to_1(ends):
    with pytest.raises(ValueError, match="the band must rise"):
        evaluate_band(Evaluator(make_counted_predictions([], [])), SETTINGS, *ends)
