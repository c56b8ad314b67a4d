from __future__ import annotations

import dataclasses

import pytest
from scipy.stats import binomtest

from maskdet.metrics.estimate import rate
from maskdet.tune.comparing import compare, mcnemar
from maskdet.tune.judging import Judge
from maskdet.types import Label, Settings
from tests.tune.counting_fakes import (
    ELSEWHERE,
    A,
    B,
    C,
    Found,
    Real,
    by_chance,
    probs,
    scored,
)

MASK, BARE = Label.MASK, Label.NO_MASK
TRUTHS = [Real(0, A, MASK), Real(0, B, BARE), Real(1, A, MASK), Real(1, C, MASK)]


@pytest.mark.parametrize(
    ("a", "b"), [(0, 0), (1, 0), (3, 3), (2, 9), (40, 12), (700, 800), (5, 1500)]
)
def test_mcnemar_is_the_binomial_test(a, b):
    wanted = binomtest(a, a + b).pvalue if a + b else 1.0
    assert mcnemar(a, b) == pytest.approx(wanted, rel=1e-9)
    assert mcnemar(a, b) == mcnemar(b, a)


def test_what_only_one_gets_right():
    one = [
        Found(0, A, 0.9, probs(MASK)),
        Found(0, B, 0.9, probs(MASK)),
        Found(1, C, 0.9, probs(MASK)),
        Found(1, ELSEWHERE, 0.9, probs(MASK)),
    ]
    other = [
        Found(0, A, 0.9, probs(MASK)),
        Found(0, B, 0.9, probs(BARE)),
        Found(1, A, 0.9, probs(MASK, 0.5)),
    ]
    a, b = (
        Judge(scored(TRUTHS, found, pictures=2))(Settings()) for found in (one, other)
    )
    seen = compare(a, b)
    assert seen.only_a.tolist() == [3]
    assert seen.only_b.tolist() == [1]
    assert (seen.both, seen.neither, seen.p) == (1, 1, 1)
    assert seen.right_a.value == seen.right_b.value == 0.5
    assert seen.right_a.n == seen.difference.n == 4
    assert seen.difference.value == 0
    # One picture speaks for the first, the other for the second.
    assert (seen.difference.low, seen.difference.high) == (-0.5, 0.5)
    assert seen.false_alarms_a == rate([0, 1])
    assert seen.false_alarms_b == rate([0, 0])


def test_an_outcome_is_no_better_than_itself():
    outcome = Judge(by_chance(1))(Settings(min_score=0.3))
    seen = compare(outcome, outcome)
    known = (outcome.scored.truth.labels != Label.UNKNOWN).sum()
    assert len(seen.only_a) == len(seen.only_b) == 0
    assert seen.both + seen.neither == known
    assert (seen.p, seen.difference.low, seen.difference.high) == (1, 0, 0)


def test_other_true_faces_cannot_be_compared():
    one = scored(TRUTHS, [], pictures=2)
    changed = dataclasses.replace(one.truth, labels=one.truth.labels[::-1].copy())
    other = dataclasses.replace(one, truth=changed)
    with pytest.raises(ValueError, match="only outcomes on the same set"):
        compare(Judge(one)(Settings()), Judge(other)(Settings()))
