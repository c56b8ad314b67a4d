"""Guarantees: met, inconclusive or missed, and the number of needed faces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskdet.metrics.intervals import (
    Estimate,
    clustered_proportion,
    proportion,
    wilson_interval,
)
from maskdet.tuning.goals import (
    format_rate,
    guarantee_gain,
    guarantee_recall,
    min_faces_for_recall,
)


@pytest.mark.parametrize(
    ("true_positives", "n", "state"),
    [
        (100, 100, "met"),
        (97, 100, "inconclusive"),
        (94, 100, "inconclusive"),
        (80, 100, "missed"),
    ],
)
def test_a_recall_is_guaranteed_only_if_its_whole_interval_is_above(
    true_positives, n, state
):
    guarantee = guarantee_recall(proportion(true_positives, n), 0.95)
    assert guarantee.state == state
    assert (guarantee.needed == 0) == (state == "met")


def test_the_number_of_needed_faces_is_minimal():
    guarantee = guarantee_recall(proportion(97, 100), 0.95)
    assert guarantee.needed is not None
    assert wilson_interval(0.97, guarantee.needed).low >= 0.95
    assert wilson_interval(0.97, guarantee.needed - 1).low < 0.95


def test_no_number_of_faces_guarantees_more_than_was_measured():
    guarantee = guarantee_recall(proportion(94, 100), 0.95)
    assert guarantee.needed is None
    assert "recall is 94 % on 100 faces of the class" in guarantee.text


def test_too_few_faces_for_any_guarantee_are_reported():
    assert min_faces_for_recall(0.95) == 73
    assert proportion(73, 73).low >= 0.95 > proportion(72, 72).low
    guarantee = guarantee_recall(proportion(18, 20), 0.95)
    assert guarantee.state == "inconclusive"
    assert "Too few faces to guarantee 95 %" in guarantee.text
    assert "20 faces cannot guarantee it; at least 73 are needed" in guarantee.text


def test_correlated_faces_count_for_fewer():
    alone = proportion(97, 100)
    together = Estimate(0.97, 0.9, 0.995, 100)
    few, many = (guarantee_recall(recall, 0.95).needed for recall in (alone, together))
    assert few is not None
    assert many is not None
    assert many > 1.5 * few


def test_a_gain_is_guaranteed_only_above_zero():
    met = guarantee_gain(Estimate(0.1, 0.02, 0.2, 50), "F1", "")
    assert (met.state, met.needed) == ("met", 0)
    inconclusive = guarantee_gain(Estimate(0.1, -0.1, 0.3, 50), "F1", "")
    assert (inconclusive.state, inconclusive.needed) == ("inconclusive", 200)
    assert "needs about 200 faces" in inconclusive.text
    missed = guarantee_gain(Estimate(-0.1, -0.2, -0.01, 50), "F1", "")
    assert (missed.state, missed.needed) == ("missed", None)
    same = guarantee_gain(Estimate(0.0, 0.0, 0.0, 50), "F1", "")
    assert (same.state, same.needed) == ("inconclusive", None)
    assert same.text.startswith("As good as the current settings")
    nothing = guarantee_gain(Estimate(math.nan, math.nan, math.nan, 0), "F1", "")
    assert (nothing.state, nothing.needed) == ("inconclusive", None)


def test_rates_are_formatted_in_percent():
    assert [format_rate(rate) for rate in (0.95, 0.975, 1, 0.0312)] == [
        "95 %",
        "97.5 %",
        "100 %",
        "3.12 %",
    ]


def test_one_face_per_image_gives_the_wilson_interval():
    true_positives = np.array([1] * 60 + [0] * 40)
    alone, plain = (
        clustered_proportion(true_positives, np.ones(100, np.int64)),
        proportion(60, 100),
    )
    assert alone.value == plain.value
    assert alone.n == 100
    assert (alone.low, alone.high) == pytest.approx((plain.low, plain.high), abs=2e-3)
    none = np.zeros(5, np.int64)
    assert math.isnan(clustered_proportion(none, none).value)
    assert clustered_proportion(np.full(5, 4), np.full(5, 4)) == proportion(20, 20)


def test_ten_fully_correlated_faces_count_as_one():
    true_positives = np.array([10] * 60 + [0] * 40)
    intervals = (
        clustered_proportion(true_positives, np.full(100, 10)),
        proportion(60, 100),
    )
    ends = [(interval.low, interval.high) for interval in intervals]
    assert ends[0] == pytest.approx(ends[1], abs=2e-3)


def test_the_clustered_interval_covers_the_true_rate_where_wilson_does_not():
    rng = np.random.default_rng(0)
    covered = np.zeros((300, 2))
    for row in covered:
        faces = rng.integers(1, 9, 60)
        # Each image has its own recall; the mean is 0.8.
        true_positives = rng.binomial(faces, rng.beta(1.6, 0.4, 60))
        own = clustered_proportion(true_positives, faces)
        plain = proportion(int(true_positives.sum()), int(faces.sum()))
        row[:] = [interval.low <= 0.8 <= interval.high for interval in (own, plain)]
    assert covered[:, 0].mean() >= 0.92
    assert covered[:, 1].mean() < 0.88
