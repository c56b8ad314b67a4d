"""Intervals by drawing pictures anew: counts a picture, summed over each draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from maskdet.metrics.estimate import (
    RESAMPLES,
    Estimate,
    image_weights,
    percentile_estimate,
    share,
)
from maskdet.metrics.resampled import Floats, Weights, ratios
from maskdet.tune.scored import Rows


@lru_cache(maxsize=4)
def picture_weights(
    pictures: int, resamples: int = RESAMPLES, seed: int = 0
) -> Weights:
    """Return how often each picture is drawn, `(resamples, pictures)`, read only.

    Kept, because drawing takes longer than all that is counted with it. Whole numbers
    as floats, which multiply far faster and stay exact here.
    """
    weights = image_weights(pictures, resamples=resamples, seed=seed)
    floats = weights.astype(np.float32)
    floats.flags.writeable = False
    return floats


def drawn_sums(*columns: Rows) -> Floats:
    """Return the sums of `(p,)` counts a picture in each draw, `(columns, draws)`."""
    table = np.stack(columns, axis=1).astype(np.float32)
    sums: Floats = (picture_weights(len(table)) @ table).T.astype(np.float64)
    return sums


@dataclass(frozen=True, eq=False)
class Tally:
    """Something counted in each picture.

    Attributes:
        hits: `(p,)` called so and so.
        said: `(p,)` called so.
        true: `(p,)` so.
    """

    hits: Rows
    said: Rows
    true: Rows


@dataclass(frozen=True)
class Shares:
    """Precision, recall and their harmonic mean, whose n is that of recall."""

    precision: Estimate
    recall: Estimate
    f1: Estimate


def drawn_shares(*tallies: Tally) -> tuple[Shares, ...]:
    """Return the shares of each tally, with intervals from drawing pictures.

    Where all or none is a hit each draw would say the same, so there Wilson's interval
    stands instead. All are drawn at once, which takes no longer than one.
    """
    columns = [column for one in tallies for column in (one.hits, one.said, one.true)]
    sums = drawn_sums(*columns).reshape(len(tallies), 3, -1)
    return tuple(map(_shares, tallies, sums))


def drawn_share(hits: Rows, totals: Rows) -> Estimate:
    """Return the share of hits, with an interval as in `drawn_shares`.

    Args:
        hits: `(p,)` of each picture.
        totals: `(p,)` of each picture, at least as many.
    """
    tops, bottoms = drawn_sums(hits, totals)
    return _share(int(hits.sum()), int(totals.sum()), tops, bottoms)


def _shares(tally: Tally, sums: Floats) -> Shares:
    hits, said, true = (int(one.sum()) for one in (tally.hits, tally.said, tally.true))
    f1 = Estimate(math.nan, math.nan, math.nan, true)
    if said + true:
        drawn = ratios(2 * sums[0], sums[1] + sums[2])
        f1 = percentile_estimate(2 * hits / (said + true), drawn, true)
    return Shares(
        _share(hits, said, sums[0], sums[1]), _share(hits, true, sums[0], sums[2]), f1
    )


def _share(hits: int, total: int, tops: Floats, bottoms: Floats) -> Estimate:
    known = share(hits, total)
    if known.n == 0 or known.value in (0, 1):
        return known
    return percentile_estimate(known.value, ratios(tops, bottoms), known.n)
