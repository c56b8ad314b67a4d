"""Estimates with 95 % confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""The normal quantile that leaves 2.5 % in each tail."""

RESAMPLES = 1000
"""Bootstrap resamples; the error of the interval is then well below its width."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval.

    Attributes:
        value: the value; NaN if there are no items.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        n: number of items.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Return the value with its interval, as in `0.927 [0.905, 0.944] n=915`."""
        if self.n == 0 or math.isnan(self.value):
            return "nothing to measure"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"

    def to_json(self) -> dict[str, float | int | None]:
        """Return the fields for JSON with four decimals and None instead of NaN."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        values = {
            name: None if math.isnan(number) else round(number, 4)
            for name, number in ends.items()
        }
        return {**values, "n": self.n}


NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan, 0)
"""The estimate of no items."""


@dataclass(frozen=True)
class MetricsReport:
    """Base class of reports whose JSON has all fields, by their names."""

    def to_json(self) -> dict[str, object]:
        """Return all metrics with their intervals."""
        return estimates_to_json(
            {field.name: getattr(self, field.name) for field in fields(self)}
        )


def estimates_to_json(values: Mapping[Any, Any]) -> dict[str, object]:
    """Return named estimates for JSON; nested ones too, other values unchanged."""
    return {str(name): _to_json(value) for name, value in values.items()}


def _to_json(value: object) -> object:
    if isinstance(value, Mapping):
        return estimates_to_json(value)
    return value.to_json() if isinstance(value, Estimate) else value


def proportion(hits: int, n: int) -> Estimate:
    """Return the proportion `hits / n` with its Wilson interval.

    The interval is also valid at 0 % and 100 %. The items must be independent. Source:
    E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927).

    Raises:
        ValueError: `hits` is not between 0 and `n`.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"hits must be from 0 to n = {n}, got {hits}")
    if n == 0:
        return NO_ESTIMATE
    return wilson_interval(hits / n, n)


def proportion_of(flags: Sequence[bool] | NDArray[np.bool_]) -> Estimate:
    """Return the proportion of the items that are True; see `proportion`."""
    return proportion(int(np.count_nonzero(flags)), len(flags))


def wilson_interval(value: float, n: float) -> Estimate:
    """Return a proportion with its Wilson interval.

    Args:
        value: the proportion, in [0, 1].
        n: number of independent items, above 0; may be fractional.
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
    """Return the proportion `sum(hits) / sum(totals)` of items clustered by image.

    Recall, precision and abstention rates in scenes have this interval; class accuracy
    and rates of a slice count faces (`proportion`). The Wilson interval uses an
    effective number of items: as many independent items as would vary as much as these
    do between images, at most their number. Source:
    E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data", Survey Methodology
    24 (1998), with the Wilson instead of the Clopper-Pearson interval.

    Args:
        hits: `(p,)` hits of each image.
        totals: `(p,)` items of each image.
    """
    hit_counts, counts = np.asarray(hits, np.float64), np.asarray(totals, np.float64)
    n = int(counts.sum())
    if not n:
        return NO_ESTIMATE
    value, used = float(hit_counts.sum()) / n, int((counts > 0).sum())
    excess = 1.0
    if 0 < value < 1 and used > 1:
        gaps = hit_counts - value * counts
        spread = used / (used - 1) * float(gaps @ gaps) / n
        excess = max(1.0, spread / (value * (1 - value)))
    interval = wilson_interval(value, n / excess)
    return Estimate(value, interval.low, interval.high, n)


def poisson_rate(counts: Sequence[int]) -> Estimate:
    """Return the mean count per image.

    The interval is Byar's approximation of the exact Poisson interval (Breslow and
    Day, "Statistical methods in cancer research" II, 1987), which is also valid for
    zero events. For overdispersed counts, as when one wall gives ten false positives,
    the numbers of events and images are reduced by the dispersion.

    Args:
        counts: events of each image, at least 0.
    """
    n, total = len(counts), sum(counts)
    if not n:
        return NO_ESTIMATE
    mean = total / n
    excess = sum((count - mean) ** 2 for count in counts) / max(n - 1, 1)
    spread = max(1.0, excess / mean) if total else 1.0
    events, n_images = total / spread, n / spread
    low = _byar_bound(events, -Z_95) if total else 0.0
    return Estimate(mean, low / n_images, _byar_bound(events + 1, Z_95) / n_images, n)


def _byar_bound(events: float, z: float) -> float:
    root = 1 - 1 / (9 * events) + z / (3 * math.sqrt(events))
    return events * max(0.0, root) ** 3


@lru_cache(maxsize=4)
def draw_bootstrap_weights(
    n: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float32]:
    """Return `(resamples, n)` bootstrap weights: how often each item is drawn.

    In scenes the items are images, not faces: the faces of an image have the same light
    and camera, so they are not independent, and the intervals would be too narrow.

    The weights are read only and cached, because drawing them takes longer than all
    sums. They are integers, stored as floats, which multiply far faster and are exact.
    """
    weights = np.zeros((resamples, n), np.float32)
    if n:
        draws = np.random.default_rng(seed).multinomial(
            n, np.full(n, 1 / n), size=resamples
        )
        weights[:] = draws
    weights.flags.writeable = False
    return weights


def safe_divide(
    numerators: NDArray[Any],
    denominators: NDArray[Any] | int,
    fallback: float = math.nan,
) -> NDArray[np.float64]:
    """Return the quotients; `fallback` where the denominator is 0."""
    result: NDArray[np.float64] = np.divide(
        numerators,
        denominators,
        out=np.full(np.shape(numerators), fallback, np.float64),
        where=np.asarray(denominators) > 0,
    )
    return result


def bootstrap_ratio(
    numerators: NDArray[np.int64], denominators: NDArray[np.int64], n: int
) -> Estimate:
    """Return a ratio of sums over images, with a bootstrap interval over images.

    Args:
        numerators: `(p,)` of each image.
        denominators: `(p,)` of each image.
        n: number of items.
    """
    total = int(denominators.sum())
    if not total:
        return Estimate(math.nan, math.nan, math.nan, n)
    table = np.stack([numerators, denominators], axis=1).astype(np.float32)
    resampled = (draw_bootstrap_weights(len(table)) @ table).T.astype(np.float64)
    value = int(numerators.sum()) / total
    return percentile_estimate(value, safe_divide(*resampled), n)


def percentile_estimate(
    value: float, resampled: NDArray[np.float64], n: int
) -> Estimate:
    """Return `value` with its percentile bootstrap interval.

    Args:
        value: estimate on the data.
        resampled: `(resamples,)` estimates on resampled data; NaN is ignored.
        n: number of items.
    """
    valid = resampled[~np.isnan(resampled)]
    if math.isnan(value) or not len(valid):
        return Estimate(value, math.nan, math.nan, n)
    low, high = np.percentile(valid, [2.5, 97.5])
    return Estimate(value, float(low), float(high), n)
