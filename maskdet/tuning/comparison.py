"""Paired comparison of two settings or two analyzers on the same true faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskdet.evaluation.operating_point import EvaluationResult
from maskdet.evaluation.predictions import LabelledSet
from maskdet.metrics.intervals import (
    Estimate,
    bootstrap_ratio,
    clustered_proportion,
    poisson_rate,
)
from maskdet.metrics.matching import IntArray
from maskdet.types import Label


@dataclass(frozen=True, eq=False)
class Comparison:
    """Comparison of two results; correct means detected with the correct class.

    Attributes:
        only_a: rows of the true faces that are correct only in the first result.
        only_b: rows of the true faces that are correct only in the second.
        both: number of true faces that are correct in both.
        neither: number of true faces that are correct in neither.
        p_value: exact p-value of McNemar's test, which takes faces as independent.
        correct_rate_a: fraction of the true faces that are correct in the first.
        correct_rate_b: fraction of the true faces that are correct in the second.
        difference: `correct_rate_a` minus `correct_rate_b`, with a bootstrap interval
            over images.
        false_positives_per_image_a: mean number of boxes of the first in an image that
            are not a face.
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
    """Compare two results face by face.

    Args:
        a: the first result.
        b: a result on the same set, with other settings or another analyzer.

    Raises:
        ValueError: the results are on different sets.
    """
    ground_truth = a.predictions.ground_truth
    if not is_same_ground_truth(ground_truth, b.predictions.ground_truth):
        other = b.predictions.ground_truth.name
        raise ValueError(
            f"the results must be on the same set, got {ground_truth.name!r} and "
            f"{other!r} with different images or true faces"
        )
    has_class = ground_truth.labels != Label.UNKNOWN
    correct_a, correct_b = a.is_correct, b.is_correct
    only_a, only_b = correct_a & ~correct_b, correct_b & ~correct_a
    counts_a, counts_b, totals = (
        np.bincount(ground_truth.faces.image_indices[rows], minlength=a.n_images)
        for rows in (correct_a, correct_b, has_class)
    )
    non_faces = [
        poisson_rate(result.count_per_image(None).false_positives.tolist())
        for result in (a, b)
    ]
    return Comparison(
        only_a=np.flatnonzero(only_a),
        only_b=np.flatnonzero(only_b),
        both=int((correct_a & correct_b).sum()),
        neither=int((has_class & ~correct_a & ~correct_b).sum()),
        p_value=mcnemar_p_value(int(only_a.sum()), int(only_b.sum())),
        correct_rate_a=clustered_proportion(counts_a, totals),
        correct_rate_b=clustered_proportion(counts_b, totals),
        difference=bootstrap_ratio(counts_a - counts_b, totals, int(totals.sum())),
        false_positives_per_image_a=non_faces[0],
        false_positives_per_image_b=non_faces[1],
    )


def mcnemar_p_value(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value of McNemar's test; 1 without a difference.

    Source: Q. McNemar, "Note on the sampling error of the difference between
    correlated proportions or percentages", Psychometrika 12 (1947), with the exact
    binomial distribution instead of its approximation.

    Args:
        only_a: number of faces that are correct only in the first.
        only_b: number of faces that are correct only in the second.
    """
    # Imported here, as few pages need it; `scipy.stats` takes five times as long.
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def is_same_ground_truth(a: LabelledSet, b: LabelledSet) -> bool:
    """Return whether two sets have the same images and the same true faces."""
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
