"""Promises: kept, open or broken, and how many faces it takes."""

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
    ("hits", "n", "state"),
    [(100, 100, "kept"), (97, 100, "open"), (94, 100, "open"), (80, 100, "broken")],
)
def test_a_recall_is_promised_only_if_its_whole_interval_is_above(hits, n, state):
    promise = guarantee_recall(proportion(hits, n), 0.95)
    assert promise.state == state
    assert (promise.needed == 0) == (state == "kept")


def test_the_faces_needed_are_just_enough():
    promise = guarantee_recall(proportion(97, 100), 0.95)
    assert promise.needed is not None
    assert wilson_interval(0.97, promise.needed).low >= 0.95
    assert wilson_interval(0.97, promise.needed - 1).low < 0.95


def test_no_number_of_faces_promises_more_than_was_measured():
    promise = guarantee_recall(proportion(94, 100), 0.95)
    assert promise.needed is None
    assert "94 % of 100 faces of the class were found" in promise.text


def test_too_few_for_any_promise_is_said():
    assert min_faces_for_recall(0.95) == 73
    assert proportion(73, 73).low >= 0.95 > proportion(72, 72).low
    promise = guarantee_recall(proportion(18, 20), 0.95)
    assert promise.state == "open"
    assert "Too few faces to promise 95 %" in promise.text
    assert "20 faces could not promise it: that takes at least 73" in promise.text


def test_faces_that_go_together_count_for_fewer():
    alone = proportion(97, 100)
    together = Estimate(0.97, 0.9, 0.995, 100)
    few, many = (guarantee_recall(one, 0.95).needed for one in (alone, together))
    assert few is not None
    assert many is not None
    assert many > 1.5 * few


def test_a_gain_is_promised_only_above_nothing():
    kept = guarantee_gain(Estimate(0.1, 0.02, 0.2, 50), "F1", "")
    assert (kept.state, kept.needed) == ("kept", 0)
    open_ = guarantee_gain(Estimate(0.1, -0.1, 0.3, 50), "F1", "")
    assert (open_.state, open_.needed) == ("open", 200)
    assert "it takes about 200 faces" in open_.text
    broken = guarantee_gain(Estimate(-0.1, -0.2, -0.01, 50), "F1", "")
    assert (broken.state, broken.needed) == ("broken", None)
    same = guarantee_gain(Estimate(0.0, 0.0, 0.0, 50), "F1", "")
    assert (same.state, same.needed) == ("open", None)
    assert same.text.startswith("As good as now")
    nothing = guarantee_gain(Estimate(math.nan, math.nan, math.nan, 0), "F1", "")
    assert (nothing.state, nothing.needed) == ("open", None)


def test_shares_are_written_for_people():
    assert [format_rate(one) for one in (0.95, 0.975, 1, 0.0312)] == [
        "95 %",
        "97.5 %",
        "100 %",
        "3.12 %",
    ]


def test_one_face_a_picture_is_as_wilson_has_it():
    hits = np.array([1] * 60 + [0] * 40)
    alone, plain = (
        clustered_proportion(hits, np.ones(100, np.int64)),
        proportion(60, 100),
    )
    assert alone.value == plain.value
    assert alone.n == 100
    assert (alone.low, alone.high) == pytest.approx((plain.low, plain.high), abs=2e-3)
    none = np.zeros(5, np.int64)
    assert math.isnan(clustered_proportion(none, none).value)
    assert clustered_proportion(np.full(5, 4), np.full(5, 4)) == proportion(20, 20)


def test_ten_faces_that_always_agree_count_as_one():
    hits = np.array([10] * 60 + [0] * 40)
    both = clustered_proportion(hits, np.full(100, 10)), proportion(60, 100)
    ends = [(one.low, one.high) for one in both]
    assert ends[0] == pytest.approx(ends[1], abs=2e-3)


def test_the_interval_holds_the_truth_where_wilsons_does_not():
    rng = np.random.default_rng(0)
    held = np.zeros((300, 2))
    for row in held:
        faces = rng.integers(1, 9, 60)
        # Each image has a recall of its own, 0.8 in the mean.
        hits = rng.binomial(faces, rng.beta(1.6, 0.4, 60))
        own = clustered_proportion(hits, faces)
        plain = proportion(int(hits.sum()), int(faces.sum()))
        row[:] = [one.low <= 0.8 <= one.high for one in (own, plain)]
    assert held[:, 0].mean() >= 0.92
    assert held[:, 1].mean() < 0.88
