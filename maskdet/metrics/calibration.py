"""Whether a probability can be believed: reliability, ECE, Brier, temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.labelling import Labelling

BINS = 15
"""As in Guo et al., "On calibration of modern neural networks", ICML 2017."""

_SMALLEST = 1e-7
"""Probabilities below are taken for this: an 8-bit network says exactly 0."""

TEMPERATURES = (0.05, 20.0)
"""The range that `fit_temperature` searches."""

_STEPS = 60
"""Golden sections: the range of log T then shrinks below 1e-11."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often "yes" was right, by how sure it was said; the bins that hold any.

    Attributes:
        scores: `(k,)` mean score in each bin, rising.
        hits: `(k,)` how many in each bin were true.
        counts: `(k,)` how many there are in each bin, at least 1.
    """

    scores: NDArray[np.float64]
    hits: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of true ones in each bin; equal to `scores` at best."""
        shares: NDArray[np.float64] = self.hits / self.counts
        return shares

    @property
    def ece(self) -> float:
        """The expected calibration error, as Guo et al. define it; NaN for nothing."""
        n = int(self.counts.sum())
        gaps = np.abs(self.scores - self.shares) * self.counts
        return float(gaps.sum()) / n if n else math.nan


def bin_numbers(scores: NDArray[np.floating], bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin of each score; a bin holds its upper end, the first also 0."""
    numbers = np.ceil(np.asarray(scores, np.float64) * bins).astype(np.int64) - 1
    result: NDArray[np.int64] = np.clip(numbers, 0, bins - 1)
    return result


def reliability(
    truths: NDArray[np.bool_], scores: NDArray[np.floating], *, bins: int = BINS
) -> Reliability:
    """Return how often "yes" is right, by score, in `bins` bins of equal width.

    Args:
        truths: `(n,)` whether "yes" is right.
        scores: `(n,)` in [0, 1], how surely "yes" is said.
        bins: over [0, 1].

    Raises:
        ValueError: different lengths, or a score outside [0, 1].
    """
    true, score = np.asarray(truths, np.bool_), np.asarray(scores, np.float64)
    if true.shape != score.shape or true.ndim != 1:
        raise ValueError(f"{true.shape} truths do not fit {score.shape} scores")
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError("scores must lie in [0, 1]")
    places = bin_numbers(score, bins)
    counts = np.bincount(places, minlength=bins)
    sums = np.bincount(places, score, minlength=bins)
    hits = np.bincount(places[true], minlength=bins)
    used = counts > 0
    return Reliability(sums[used] / counts[used], hits[used], counts[used])


def top_label(
    labelling: Labelling,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return `(n,)` whether the most probable class is right, and its probability."""
    tops = labelling.probs.argmax(axis=1)
    scores = np.clip(labelling.probs.max(axis=1, initial=0).astype(np.float64), 0, 1)
    return tops == labelling.truths, scores


def brier(truths: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Return the mean squared distance of score and truth; NaN for nothing.

    Source: G. W. Brier, "Verification of forecasts expressed in terms of
    probability", Monthly Weather Review 78 (1950), halved for two classes as usual.
    """
    if not len(truths):
        return math.nan
    return float(np.mean((np.asarray(scores, np.float64) - truths) ** 2))


def with_temperature(
    probs: NDArray[np.float32], temperature: float
) -> NDArray[np.float32]:
    """Return `(n, k)` probabilities made softer (above 1) or harder (below 1).

    The same as dividing the logits by the temperature: the order stays.

    Raises:
        ValueError: the temperature is not a positive number.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"the temperature must be above 0, not {temperature}")
    logits = np.log(np.maximum(probs.astype(np.float64), _SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    softened: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return softened.astype(np.float32)


def negative_log_likelihood(
    truths: NDArray[np.int64], probs: NDArray[np.float32]
) -> float:
    """Return the mean of -log p(truth): what training and `fit_temperature` lower."""
    said = probs[np.arange(len(truths)), truths].astype(np.float64)
    return float(-np.log(np.maximum(said, _SMALLEST)).mean())


def fit_temperature(truths: NDArray[np.int64], probs: NDArray[np.float32]) -> float:
    """Return the temperature that makes the probabilities most believable.

    It has the smallest negative log-likelihood (Guo et al. 2017); fit it on
    validation, never on test. As that is convex in 1 / T, it falls to one valley and
    rises: a golden-section search over log T finds it, within `TEMPERATURES`.

    Args:
        truths: `(n,)` true classes, columns of `probs`.
        probs: `(n, k)` as the network gives them.

    Raises:
        ValueError: there is no face, or the lengths differ.
    """
    if not len(truths) or len(truths) != len(probs):
        raise ValueError(
            f"a temperature needs a truth and an answer a face, got "
            f"{len(truths)} truths and {len(probs)} answers"
        )
    logits = np.log(np.maximum(probs.astype(np.float64), _SMALLEST))
    right = logits[np.arange(len(truths)), truths]

    def loss(log_t: float) -> float:
        scaled = logits / math.exp(log_t)
        top = scaled.max(axis=1)
        norms = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((norms - right / math.exp(log_t)).mean())

    ratio = (math.sqrt(5) - 1) / 2
    low, high = map(math.log, TEMPERATURES)
    for _ in range(_STEPS):
        left, right_end = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right_end):
            high = right_end
        else:
            low = left
    return math.exp((low + high) / 2)
