from __future__ import annotations

import dataclasses

import pytest
from scipy.stats import binomtest

from maskdet.metrics.intervals import poisson_rate
from maskdet.settings import Settings
from maskdet.tuning.comparison import compare_results, mcnemar_p_value
from maskdet.tuning.operating_point import Evaluator
from maskdet.types import Label
from tests.tuning.counting_fakes import (
    ELSEWHERE,
    A,
    B,
    C,
    DetectedFace,
    TrueFace,
    make_counted_predictions,
    make_probs,
    make_random_predictions,
)

MASK, BARE = Label.MASK, Label.NO_MASK
TRUTHS = [
    TrueFace(0, A, MASK),
    TrueFace(0, B, BARE),
    TrueFace(1, A, MASK),
    TrueFace(1, C, MASK),
]


@pytest.mark.parametrize(
    ("a", "b"), [(0, 0), (1, 0), (3, 3), (2, 9), (40, 12), (700, 800), (5, 1500)]
)
def test_mcnemar_is_the_binomial_test(a, b):
    wanted = binomtest(a, a + b).pvalue if a + b else 1.0
    assert mcnemar_p_value(a, b) == pytest.approx(wanted, rel=1e-9)
    assert mcnemar_p_value(a, b) == mcnemar_p_value(b, a)


def test_what_only_one_gets_right():
    one = [
        DetectedFace(0, A, 0.9, make_probs(MASK)),
        DetectedFace(0, B, 0.9, make_probs(MASK)),
        DetectedFace(1, C, 0.9, make_probs(MASK)),
        DetectedFace(1, ELSEWHERE, 0.9, make_probs(MASK)),
    ]
    other = [
        DetectedFace(0, A, 0.9, make_probs(MASK)),
        DetectedFace(0, B, 0.9, make_probs(BARE)),
        DetectedFace(1, A, 0.9, make_probs(MASK, 0.5)),
    ]
    a, b = (
        Evaluator(make_counted_predictions(TRUTHS, found, n_images=2))(Settings())
        for found in (one, other)
    )
    seen = compare_results(a, b)
    assert seen.only_a.tolist() == [3]
    assert seen.only_b.tolist() == [1]
    assert (seen.both, seen.neither, seen.p_value) == (1, 1, 1)
    assert seen.correct_rate_a.value == seen.correct_rate_b.value == 0.5
    assert seen.correct_rate_a.n == seen.difference.n == 4
    assert seen.difference.value == 0
    # One image speaks for the first, the other for the second.
    assert (seen.difference.low, seen.difference.high) == (-0.5, 0.5)
    assert seen.false_positives_per_image_a == poisson_rate([0, 1])
    assert seen.false_positives_per_image_b == poisson_rate([0, 0])


def test_an_outcome_is_no_better_than_itself():
    outcome = Evaluator(make_random_predictions(1))(Settings(min_score=0.3))
    seen = compare_results(outcome, outcome)
    known = (outcome.predictions.ground_truth.labels != Label.UNKNOWN).sum()
    assert len(seen.only_a) == len(seen.only_b) == 0
    assert seen.both + seen.neither == known
    assert (seen.p_value, seen.difference.low, seen.difference.high) == (1, 0, 0)


def test_other_true_faces_cannot_be_compared():
    one = make_counted_predictions(TRUTHS, [], n_images=2)
    changed = dataclasses.replace(
        one.ground_truth, labels=one.ground_truth.labels[::-1].copy()
    )
    other = dataclasses.replace(one, ground_truth=changed)
    with pytest.raises(ValueError, match="only outcomes on the same set"):
        compare_results(Evaluator(one)(Settings()), Evaluator(other)(Settings()))
