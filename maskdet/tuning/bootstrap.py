"""Bootstrap intervals over images: per-image counts, summed in each resample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from maskdet.evaluation.operating_point import PerImageCounts
from maskdet.metrics.intervals import (
    RESAMPLES,
    Estimate,
    draw_image_weights,
    percentile_estimate,
    proportion,
)
from maskdet.metrics.matching import IntArray
from maskdet.metrics.summary import FaceWeights, Floats, divide_or_nan


@lru_cache(maxsize=4)
def bootstrap_weights(
    n_images: int, resamples: int = RESAMPLES, seed: int = 0
) -> FaceWeights:
    """Return how often each image is drawn, `(resamples, images)`, read only.

    Cached, because drawing takes longer than all sums together. The integers are
    stored as floats, which multiply far faster and are exact here.
    """
    weights = draw_image_weights(n_images, resamples=resamples, seed=seed)
    floats = weights.astype(np.float32)
    floats.flags.writeable = False
    return floats


def bootstrap_sums(*columns: IntArray) -> Floats:
    """Return the sums of `(p,)` per-image counts, `(columns, resamples)`."""
    table = np.stack(columns, axis=1).astype(np.float32)
    sums: Floats = (bootstrap_weights(len(table)) @ table).T.astype(np.float64)
    return sums


@dataclass(frozen=True)
class PrecisionRecallF1:
    """Precision, recall and F1 with intervals; n of F1 is that of recall."""

    precision: Estimate
    recall: Estimate
    f1: Estimate


def bootstrap_precision_recall(
    *tallies: PerImageCounts,
) -> tuple[PrecisionRecallF1, ...]:
    """Return precision, recall and F1 of each tally, with bootstrap intervals.

    A proportion of 0 or 1 is the same in every resample and gets the Wilson interval
    instead. All tallies are resampled at once, which takes no longer than one.
    """
    columns = [
        column
        for tally in tallies
        for column in (tally.true_positives, tally.predicted, tally.actual)
    ]
    sums = bootstrap_sums(*columns).reshape(len(tallies), 3, -1)
    return tuple(map(_precision_recall_f1, tallies, sums))


def bootstrap_proportion(successes: IntArray, totals: IntArray) -> Estimate:
    """Return a proportion with an interval as in `bootstrap_precision_recall`.

    Args:
        successes: `(p,)` count of each image.
        totals: `(p,)` count of each image, at least `successes`.
    """
    numerators, denominators = bootstrap_sums(successes, totals)
    return _proportion(
        int(successes.sum()), int(totals.sum()), numerators, denominators
    )


def _precision_recall_f1(tally: PerImageCounts, sums: Floats) -> PrecisionRecallF1:
    true_positives, predicted, actual = (
        int(counts.sum())
        for counts in (tally.true_positives, tally.predicted, tally.actual)
    )
    f1 = Estimate(math.nan, math.nan, math.nan, actual)
    if predicted + actual:
        f1_resampled = divide_or_nan(2 * sums[0], sums[1] + sums[2])
        f1 = percentile_estimate(
            2 * true_positives / (predicted + actual), f1_resampled, actual
        )
    return PrecisionRecallF1(
        _proportion(true_positives, predicted, sums[0], sums[1]),
        _proportion(true_positives, actual, sums[0], sums[2]),
        f1,
    )


def _proportion(
    successes: int, total: int, numerators: Floats, denominators: Floats
) -> Estimate:
    interval = proportion(successes, total)
    if interval.n == 0 or interval.value in (0, 1):
        return interval
    return percentile_estimate(
        interval.value, divide_or_nan(numerators, denominators), interval.n
    )
