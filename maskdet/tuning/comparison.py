"""Two settings or two analyzers, face by face: what only one gets right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maskdet.metrics.intervals import Estimate, percentile_estimate, poisson_rate
from maskdet.metrics.summary import divide_or_nan
from maskdet.tuning.bootstrap import bootstrap_proportion, bootstrap_sums
from maskdet.tuning.operating_point import FALSE_POSITIVE, BoolArray, EvaluationResult
from maskdet.tuning.predictions import IntArray, LabelledSet
from maskdet.types import Label


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two outcomes on the same true faces; right is found and called right.

    Attributes:
        only_a: rows of the true faces that only the first gets right.
        only_b: rows of those that only the second gets right.
        both: how many both get right.
        neither: how many neither gets right.
        p_value: McNemar's exact p: how often chance alone would part two equally good
            ones at least so far. Faces are taken as independent of each other.
        correct_rate_a: share of the true faces that the first gets right.
        correct_rate_b: the same for the second.
        difference: `correct_rate_a` minus `correct_rate_b`, with a bootstrap interval
            over images.
        false_positives_per_image_a: faces shown by the first that are none, an image.
        false_positives_per_image_b: the same for the second.
    """

    only_a: IntArray
    only_b: IntArray
    both: int
    neither: int
    p_value: float
    correct_rate_a: Estimate
    correct_rate_b: Estimate
    difference: Estimate
    false_positives_per_image_a: Estimate
    false_positives_per_image_b: Estimate


def compare_results(a: EvaluationResult, b: EvaluationResult) -> Comparison:
    """Return what each outcome gets right that the other does not.

    Args:
        a: one outcome.
        b: another on the same set: of other settings, or of another analyzer.

    Raises:
        ValueError: they are of two sets.
    """
    ground_truth = a.predictions.ground_truth
    if not is_same_ground_truth(ground_truth, b.predictions.ground_truth):
        other = b.predictions.ground_truth.name
        raise ValueError(
            f"only outcomes on the same set can be compared, not {ground_truth.name!r} "
            "and "
            f"{other!r} with other images or other true faces"
        )
    has_class = ground_truth.labels != Label.UNKNOWN
    right_a, right_b = (
        (result.ground_truth_columns == ground_truth.labels) & has_class
        for result in (a, b)
    )
    only_a, only_b = right_a & ~right_b, right_b & ~right_a
    each_a, each_b, each = (
        np.bincount(ground_truth.faces.image_indices[rows], minlength=a.n_images)
        for rows in (right_a, right_b, has_class)
    )
    return Comparison(
        only_a=np.flatnonzero(only_a),
        only_b=np.flatnonzero(only_b),
        both=int((right_a & right_b).sum()),
        neither=int((has_class & ~right_a & ~right_b).sum()),
        p_value=mcnemar_p_value(int(only_a.sum()), int(only_b.sum())),
        correct_rate_a=bootstrap_proportion(each_a, each),
        correct_rate_b=bootstrap_proportion(each_b, each),
        difference=_bootstrap_difference(each_a, each_b, each),
        false_positives_per_image_a=_false_positives_per_image(a),
        false_positives_per_image_b=_false_positives_per_image(b),
    )


def mcnemar_p_value(only_a: int, only_b: int) -> float:
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


def is_same_ground_truth(a: LabelledSet, b: LabelledSet) -> bool:
    """Tell whether two sets are the same images with the same true faces."""
    if a is b:
        return True
    pairs = (
        (a.sizes_wh, b.sizes_wh),
        (a.labels, b.labels),
        (a.faces.image_indices, b.faces.image_indices),
        (a.faces.boxes, b.faces.boxes),
    )
    same = a.names == b.names and a.has_boxes == b.has_boxes
    return same and all(np.array_equal(first, second) for first, second in pairs)


def _bootstrap_difference(a: IntArray, b: IntArray, each: IntArray) -> Estimate:
    n = int(each.sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0)
    numerators, denominators = bootstrap_sums(a - b, each)
    value = int((a - b).sum()) / n
    return percentile_estimate(value, divide_or_nan(numerators, denominators), n)


def _false_positives_per_image(result: EvaluationResult) -> Estimate:
    wrong: BoolArray = result.matched_ground_truth == FALSE_POSITIVE
    image_indices = result.predictions.faces.image_indices[result.shown_rows[wrong]]
    return poisson_rate(np.bincount(image_indices, minlength=result.n_images).tolist())
