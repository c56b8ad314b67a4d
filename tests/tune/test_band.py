from __future__ import annotations

import pytest

from maskdet.metrics.estimate import share
from maskdet.tune.band import band
from maskdet.tune.judging import Judge
from maskdet.types import Label, Settings
from tests.tune.counting_fakes import A, Found, Real, by_chance, scored

SETTINGS = Settings(min_score=0.5, min_confidence=0.99)


def bare(picture: int, p: float) -> Found:
    """Return a face that wears no mask with the probability `p`."""
    return Found(picture, A, 0.9, (1 - p, p, 0.0))


def test_what_lies_between_is_not_told():
    labels = [Label.NO_MASK, Label.NO_MASK, Label.MASK, Label.INCORRECT, Label.MASK]
    judge = Judge(
        scored(
            [Real(picture, A, label) for picture, label in enumerate(labels)],
            [bare(at, p) for at, p in enumerate([0.9, 0.2, 0.4, 0.8, 0.1, 0.75])],
            pictures=6,
        )
    )
    one = band(judge, SETTINGS, 0.3, 0.7)
    assert (one.between.value, one.between.n) == (0.2, 5)
    # Outside lie a bare face called masked, one incorrect called bare, two right.
    assert (one.errors.value, one.errors.n) == (0.5, 4)
    assert (one.errors_without.value, one.errors_without.n) == (0.4, 5)
    assert (one.missed_bare.value, one.missed_bare.n) == (0.5, 2)
    assert one.false_bare.n == 3
    assert one.false_bare.value == pytest.approx(2 / 3)
    assert one.errors.low <= one.errors.value <= one.errors.high


def test_the_upper_end_is_told_and_so_is_everything_without_a_band():
    judge = Judge(scored([Real(0, A, Label.NO_MASK)], [bare(0, 0.5)]))
    assert band(judge, SETTINGS, 0.25, 0.5).between == share(0, 1)
    assert band(judge, SETTINGS, 0.5, 0.75).between == share(1, 1)
    assert band(judge, SETTINGS, 0.5, 0.5).errors == share(0, 1)


def test_a_wider_band_tells_less_and_errs_less():
    judge = Judge(by_chance(3, 60))
    narrow, wide = (band(judge, SETTINGS, 0.5 - w, 0.5 + w) for w in (0.1, 0.3))
    assert wide.between.value > narrow.between.value
    assert wide.errors.value < narrow.errors.value


@pytest.mark.parametrize("ends", [(0.7, 0.3), (-0.1, 0.5), (0.5, 1.1)])
def test_a_band_rises_within_0_to_1(ends):
    with pytest.raises(ValueError, match="the band must rise"):
        band(Judge(scored([], [])), SETTINGS, *ends)
