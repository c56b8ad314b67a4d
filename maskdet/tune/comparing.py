"""Two settings or two analyzers, face by face: what only one gets right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maskdet.metrics.estimate import Estimate, percentile_estimate, rate
from maskdet.metrics.resampled import ratios
from maskdet.tune.drawn import drawn_share, drawn_sums
from maskdet.tune.judging import FALSE_ALARM, Outcome
from maskdet.tune.overlaps import Chosen
from maskdet.tune.scored import LabelledSet, Rows
from maskdet.types import Label


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two outcomes on the same true faces; right is found and called right.

    Attributes:
        only_a: rows of the true faces that only the first gets right.
        only_b: rows of those that only the second gets right.
        both: how many both get right.
        neither: how many neither gets right.
        p: McNemar's exact p: how often chance alone would part two equally good ones
            at least so far. Faces are taken as independent of each other.
        right_a: share of the true faces that the first gets right.
        right_b: the same for the second.
        difference: `right_a` minus `right_b`, with a bootstrap interval over pictures.
        false_alarms_a: faces shown by the first that are none, a picture.
        false_alarms_b: the same for the second.
    """

    only_a: Rows
    only_b: Rows
    both: int
    neither: int
    p: float
    right_a: Estimate
    right_b: Estimate
    difference: Estimate
    false_alarms_a: Estimate
    false_alarms_b: Estimate


def compare(a: Outcome, b: Outcome) -> Comparison:
    """Return what each outcome gets right that the other does not.

    Args:
        a: one outcome.
        b: another on the same set: of other settings, or of another analyzer.

    Raises:
        ValueError: they are of two sets.
    """
    truth = a.scored.truth
    if not same_truth(truth, b.scored.truth):
        other = b.scored.truth.name
        raise ValueError(
            f"only outcomes on the same set can be compared, not {truth.name!r} and "
            f"{other!r} with other pictures or other true faces"
        )
    known = truth.labels != Label.UNKNOWN
    right_a, right_b = ((one.answers == truth.labels) & known for one in (a, b))
    only_a, only_b = right_a & ~right_b, right_b & ~right_a
    each_a, each_b, each = (
        np.bincount(truth.faces.pictures[rows], minlength=a.pictures)
        for rows in (right_a, right_b, known)
    )
    return Comparison(
        only_a=np.flatnonzero(only_a),
        only_b=np.flatnonzero(only_b),
        both=int((right_a & right_b).sum()),
        neither=int((known & ~right_a & ~right_b).sum()),
        p=mcnemar(int(only_a.sum()), int(only_b.sum())),
        right_a=drawn_share(each_a, each),
        right_b=drawn_share(each_b, each),
        difference=_difference(each_a, each_b, each),
        false_alarms_a=_false_alarms(a),
        false_alarms_b=_false_alarms(b),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p of McNemar's test; 1 where the two never differ.

    Source: Q. McNemar, "Note on the sampling error of the difference between
    correlated proportions or percentages", Psychometrika 12 (1947), with the binomial
    distribution itself instead of its approximation.

    Args:
        only_a: how many only one gets right.
        only_b: how many only the other gets right.
    """
    n, term, total = only_a + only_b, 1, 0
    for k in range(min(only_a, only_b) + 1):
        total += term
        term = term * (n - k) // (k + 1)
    # Python divides whole numbers of any length; floats end near 2**1024.
    return min(1.0, 2 * total / (1 << n))


def same_truth(a: LabelledSet, b: LabelledSet) -> bool:
    """Tell whether two sets are the same pictures with the same true faces."""
    if a is b:
        return True
    pairs = (
        (a.sizes_wh, b.sizes_wh),
        (a.labels, b.labels),
        (a.faces.pictures, b.faces.pictures),
        (a.faces.boxes, b.faces.boxes),
    )
    same = a.names == b.names and a.boxed == b.boxed
    return same and all(np.array_equal(one, other) for one, other in pairs)


def _difference(a: Rows, b: Rows, each: Rows) -> Estimate:
    n = int(each.sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0)
    tops, bottoms = drawn_sums(a - b, each)
    value = int((a - b).sum()) / n
    return percentile_estimate(value, ratios(tops, bottoms), n)


def _false_alarms(outcome: Outcome) -> Estimate:
    wrong: Chosen = outcome.truths == FALSE_ALARM
    pictures = outcome.scored.faces.pictures[outcome.shown[wrong]]
    return rate(np.bincount(pictures, minlength=outcome.pictures).tolist())
