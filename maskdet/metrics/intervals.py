"""A measured number with its 95 % interval, and the ways to get one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""The normal quantile that leaves 2.5 % in each tail."""

RESAMPLES = 1000
"""Bootstrap draws: the ends of the interval then move by well under its width."""


@dataclass(frozen=True)
class Estimate:
    """A measured number and how far to trust it.

    Attributes:
        value: the number; NaN where there was nothing to measure.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        n: how many items it was measured on.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Return the number with its interval, as in `0.927 [0.905, 0.944] n=915`."""
        if self.n == 0:
            return "nothing to measure"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"

    def to_json(self) -> dict[str, float | int | None]:
        """Return the fields for JSON, four decimals, None instead of NaN."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        values = {
            name: None if math.isnan(number) else round(number, 4)
            for name, number in ends.items()
        }
        return {**values, "n": self.n}


def proportion(hits: int, n: int) -> Estimate:
    """Return `hits` of `n` with Wilson's interval, which is sane at 0 % and 100 %.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927). The items are taken as independent of each other.

    Raises:
        ValueError: `hits` is not between 0 and `n`.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"hits must be from 0 to n = {n}, not {hits}")
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    return wilson_interval(hits / n, n)


def wilson_interval(value: float, n: float) -> Estimate:
    """Return a share with Wilson's interval for `n` items, which may be no whole one.

    Args:
        value: the share, in [0, 1].
        n: how many independent items it was measured on, above 0.
    """
    z2 = Z_95**2
    middle = (value + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(value * (1 - value) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if value == 0 else max(0.0, middle - half)
    high = 1.0 if value == 1 else min(1.0, middle + half)
    return Estimate(value, low, high, round(n))


def clustered_proportion(
    hits: NDArray[np.int64], totals: NDArray[np.int64]
) -> Estimate:
    """Return `sum(hits)` of `sum(totals)`, where items of one image go together.

    Wilson's interval for as many independent items as would vary as much as these do
    from image to image, never more than there are. Source: E. L. Korn and B. I.
    Graubard, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", Survey Methodology 24 (1998), with
    Wilson's interval instead of Clopper's.

    Args:
        hits: `(p,)` of each image.
        totals: `(p,)` of each image, at least as many.
    """
    hit_counts, counts = np.asarray(hits, np.float64), np.asarray(totals, np.float64)
    n = int(counts.sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0)
    value, used = float(hit_counts.sum()) / n, int((counts > 0).sum())
    excess = 1.0
    if 0 < value < 1 and used > 1:
        gaps = hit_counts - value * counts
        spread = used / (used - 1) * float(gaps @ gaps) / n
        excess = max(1.0, spread / (value * (1 - value)))
    interval = wilson_interval(value, n / excess)
    return Estimate(value, interval.low, interval.high, n)


def poisson_rate(counts: Sequence[int]) -> Estimate:
    """Return how many of something there are in an image, in the mean.

    The interval is Byar's approximation to the exact one of a Poisson count (Breslow
    and Day, "Statistical methods in cancer research" II, 1987), which is sane for no
    event at all. Where images differ more than chance lets them, as where one wall
    gives ten alarms, it is that of as many fewer events and images.

    Args:
        counts: of each image, at least 0.
    """
    n, total = len(counts), sum(counts)
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = total / n
    excess = sum((count - mean) ** 2 for count in counts) / max(n - 1, 1)
    spread = max(1.0, excess / mean) if total else 1.0
    events, n_images = total / spread, n / spread
    low = _byar_bound(events, -Z_95) if total else 0.0
    return Estimate(mean, low / n_images, _byar_bound(events + 1, Z_95) / n_images, n)


def _byar_bound(events: float, z: float) -> float:
    root = 1 - 1 / (9 * events) + z / (3 * math.sqrt(events))
    return events * max(0.0, root) ** 3


def draw_image_weights(
    n: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.int64]:
    """Return how often each of `n` images is drawn in each resample, `(resamples, n)`.

    Whole images are drawn, not faces: the faces of one image share its light, its
    camera and its crowd, so taking them as independent would promise too much.
    """
    if n == 0:
        return np.zeros((resamples, 0), np.int64)
    draws = np.random.default_rng(seed).multinomial(
        n, np.full(n, 1 / n), size=resamples
    )
    weights: NDArray[np.int64] = draws.astype(np.int64)
    return weights


def percentile_estimate(
    value: float, resampled: NDArray[np.float64], n: int
) -> Estimate:
    """Return `value` with the middle 95 % of its `resampled` values as interval.

    Args:
        value: measured on the data as they are.
        resampled: `(resamples,)` the same on resampled data; NaN ones are left out.
        n: how many items `value` was measured on.
    """
    valid = resampled[~np.isnan(resampled)]
    if math.isnan(value) or not len(valid):
        return Estimate(value, math.nan, math.nan, n)
    low, high = np.percentile(valid, [2.5, 97.5])
    return Estimate(value, float(low), float(high), n)
