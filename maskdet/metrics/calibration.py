"""Calibration: reliability curve, ECE, temperature scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.classification import ClassificationResult, check_same_length

N_BINS = 15
"""As in Guo et al., "On calibration of modern neural networks", ICML 2017."""

_MIN_PROBABILITY = 1e-7
"""Smaller probabilities are raised to this: an 8-bit network can return exactly 0."""

TEMPERATURE_RANGE = (0.05, 20.0)
"""Search range of `fit_temperature`."""

_LOG_TOLERANCE = 1e-9
"""Absolute tolerance of log T in the search."""


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Fraction of positives by score, in the bins that are not empty.

    Attributes:
        scores: `(k,)` mean score in each bin, rising.
        positives: `(k,)` number of positives in each bin.
        counts: `(k,)` number of items in each bin, at least 1.
    """

    scores: NDArray[np.float64]
    positives: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def positive_fractions(self) -> NDArray[np.float64]:
        """Fraction of positives in each bin; equals `scores` if calibrated."""
        return self.positives / self.counts

    @property
    def ece(self) -> float:
        """Expected calibration error of Guo et al.; NaN without items."""
        n = int(self.counts.sum())
        gaps = np.abs(self.scores - self.positive_fractions) * self.counts
        return float(gaps.sum()) / n if n else math.nan


def bin_indices(scores: NDArray[np.floating], bins: int = N_BINS) -> NDArray[np.int64]:
    """Return the bin of each score; bins include their upper end, the first also 0."""
    indices = np.ceil(np.asarray(scores, np.float64) * bins).astype(np.int64) - 1
    return np.clip(indices, 0, bins - 1)


def reliability_curve(
    ground_truth: NDArray[np.bool_], scores: NDArray[np.floating], *, bins: int = N_BINS
) -> ReliabilityCurve:
    """Return the fraction of positives by score in bins of equal width.

    Args:
        ground_truth: `(n,)` whether the item is positive.
        scores: `(n,)` probabilities of the positive class.
        bins: number of bins over [0, 1].

    Raises:
        ValueError: the lengths differ, or a score is outside [0, 1].
    """
    true, score = np.asarray(ground_truth, np.bool_), np.asarray(scores, np.float64)
    check_same_length(true, score, "scores")
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError("scores must be in [0, 1]")
    indices = bin_indices(score, bins)
    counts = np.bincount(indices, minlength=bins)
    sums = np.bincount(indices, score, minlength=bins)
    positives = np.bincount(indices[true], minlength=bins)
    used = counts > 0
    return ReliabilityCurve(sums[used] / counts[used], positives[used], counts[used])


def correct_and_confidence(
    result: ClassificationResult,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return `(n,)` whether the most probable class is correct, and its probability."""
    predicted = result.probs.argmax(axis=1)
    scores = np.clip(result.probs.max(axis=1, initial=0).astype(np.float64), 0, 1)
    return predicted == result.ground_truth, scores


def apply_temperature(
    probs: NDArray[np.float32], temperature: float
) -> NDArray[np.float32]:
    """Soften (above 1) or sharpen (below 1) `(n, k)` probabilities.

    This is equivalent to dividing the logits by the temperature; the order is kept.

    Raises:
        ValueError: the temperature is not a positive number.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"the temperature must be above 0, got {temperature}")
    logits = (
        np.log(np.maximum(probs.astype(np.float64), _MIN_PROBABILITY)) / temperature
    )
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    softened: NDArray[np.float64] = exponentials / exponentials.sum(
        axis=1, keepdims=True
    )
    return softened.astype(np.float32)


def fit_temperature(
    ground_truth: NDArray[np.int64], probs: NDArray[np.float32]
) -> float:
    """Return the temperature with the smallest negative log-likelihood.

    See Guo et al. 2017; fit it on validation data, never on test data. The loss is
    convex in 1 / T, so a bounded search over log T within `TEMPERATURE_RANGE` finds
    the minimum.

    Args:
        ground_truth: `(n,)` true classes, columns of `probs`.
        probs: `(n, k)` outputs of the network.

    Raises:
        ValueError: there are no faces, or the lengths differ.
    """
    if not len(ground_truth) or len(ground_truth) != len(probs):
        raise ValueError(
            "a temperature needs one label and one prediction per face, got "
            f"{len(ground_truth)} labels and {len(probs)} predictions"
        )
    logits = np.log(np.maximum(probs.astype(np.float64), _MIN_PROBABILITY))
    true_logits = logits[np.arange(len(ground_truth)), ground_truth]

    def loss(log_t: float) -> float:
        scaled = logits / math.exp(log_t)
        max_logits = scaled.max(axis=1)
        norms = max_logits + np.log(np.exp(scaled - max_logits[:, None]).sum(axis=1))
        return float((norms - true_logits / math.exp(log_t)).mean())

    # SciPy takes long to import; only fitting needs it.
    from scipy.optimize import minimize_scalar

    bounds = tuple(map(math.log, TEMPERATURE_RANGE))
    fit = minimize_scalar(loss, bounds=bounds, options={"xatol": _LOG_TOLERANCE})
    return math.exp(fit.x)
