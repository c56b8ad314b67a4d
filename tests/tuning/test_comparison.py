from __future__ import annotations

import dataclasses

import pytest
from scipy.stats import binomtest

from maskdet.evaluation.operating_point import Evaluator
from maskdet.metrics.intervals import poisson_rate
from maskdet.settings import Settings
from maskdet.tuning.comparison import compare_results, mcnemar_p_value
from maskdet.types import Label
from tests.helpers.counting_fakes import (
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

MASK, NO_MASK = Label.MASK, Label.NO_MASK
TRUE_FACES = [
    TrueFace(0, A, MASK),
    TrueFace(0, B, NO_MASK),
    TrueFace(1, A, MASK),
    TrueFace(1, C, MASK),
]


@pytest.mark.parametrize(
    ("a", "b"), [(0, 0), (1, 0), (3, 3), (2, 9), (40, 12), (700, 800), (5, 1500)]
)
def test_mcnemar_agrees_with_the_binomial_test(a, b):
    expected = binomtest(a, a + b).pvalue if a + b else 1.0
    assert mcnemar_p_value(a, b) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_p_value(a, b) == mcnemar_p_value(b, a)


def test_a_comparison_counts_faces_correct_in_one_result():
    one = [
        DetectedFace(0, A, 0.9, make_probs(MASK)),
        DetectedFace(0, B, 0.9, make_probs(MASK)),
        DetectedFace(1, C, 0.9, make_probs(MASK)),
        DetectedFace(1, ELSEWHERE, 0.9, make_probs(MASK)),
    ]
    other = [
        DetectedFace(0, A, 0.9, make_probs(MASK)),
        DetectedFace(0, B, 0.9, make_probs(NO_MASK)),
        DetectedFace(1, A, 0.9, make_probs(MASK, 0.5)),
    ]
    a, b = (
        Evaluator(make_counted_predictions(TRUE_FACES, detections, n_images=2))(
            Settings()
        )
        for detections in (one, other)
    )
    comparison = compare_results(a, b)
    assert comparison.only_a.tolist() == [3]
    assert comparison.only_b.tolist() == [1]
    assert (comparison.both, comparison.neither, comparison.p_value) == (1, 1, 1)
    assert comparison.correct_rate_a.value == comparison.correct_rate_b.value == 0.5
    assert comparison.correct_rate_a.n == comparison.difference.n == 4
    assert comparison.difference.value == 0
    # The first is better in one image, the second in the other.
    assert (comparison.difference.low, comparison.difference.high) == (-0.5, 0.5)
    assert comparison.false_positives_per_image_a == poisson_rate([0, 1])
    assert comparison.false_positives_per_image_b == poisson_rate([0, 0])


def test_a_result_equals_itself():
    result = Evaluator(make_random_predictions(1))(Settings(min_score=0.3))
    comparison = compare_results(result, result)
    n_known = (result.predictions.ground_truth.labels != Label.UNKNOWN).sum()
    assert len(comparison.only_a) == len(comparison.only_b) == 0
    assert comparison.both + comparison.neither == n_known
    assert (
        comparison.p_value,
        comparison.difference.low,
        comparison.difference.high,
    ) == (1, 0, 0)


def test_results_on_different_sets_are_rejected():
    one = make_counted_predictions(TRUE_FACES, [], n_images=2)
    changed = dataclasses.replace(
        one.ground_truth, labels=one.ground_truth.labels[::-1].copy()
    )
    other = dataclasses.replace(one, ground_truth=changed)
    with pytest.raises(ValueError, match="the results must be on the same set"):
        compare_results(Evaluator(one)(Settings()), Evaluator(other)(Settings()))
