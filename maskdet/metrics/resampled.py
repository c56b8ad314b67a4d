"""Numbers on many resamples of a set at once, as sums over weighted faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.estimate import RESAMPLES
from maskdet.metrics.questions import Asked

Floats = NDArray[np.float64]
Weights = NDArray[np.float32]
"""`(resamples, n)`: how often each face was drawn; whole numbers, exact in float32."""

_AT_ONCE = 50
"""Resamples: their sorted copies then stay in the processor's cache."""


def face_weights(n: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Weights:
    """Return how often each of `n` faces is drawn in each resample of `n` faces."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((resamples, n), np.float32)
    if n:
        for row in weights:
            row[:] = np.bincount(rng.integers(0, n, n), minlength=n)
    return weights


def ratios(tops: Floats, bottoms: Floats) -> Floats:
    """Return the quotients; NaN where there is nothing to divide by."""
    result: Floats = np.divide(
        tops, bottoms, out=np.full(np.shape(tops), np.nan), where=bottoms > 0
    )
    return result


def areas(weights: Weights, asked: Asked) -> tuple[Floats, Floats]:
    """Return ROC area and average precision of each resample, `(resamples,)` each.

    The area is the share of pairs of a true and an untrue face in which the true one
    scores higher, equal scores counting half; NaN where one side is missing.
    """
    order = np.argsort(-asked.scores, kind="stable")
    scores, true = asked.scores[order], asked.truths[order].astype(np.float32)
    ends = np.flatnonzero(np.diff(scores, append=-np.inf) != 0)
    roc, precision = np.full((2, len(weights)), np.nan)
    if not len(ends):
        return roc, precision
    for first in range(0, len(weights), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        drawn = weights[part][:, order]
        # Counts stay exact in float32, which is twice as fast; sums of many do not.
        above = np.cumsum(drawn * true, axis=1)[:, ends]
        called = np.cumsum(drawn, axis=1)[:, ends]
        right = np.diff(above, axis=1, prepend=np.float32(0))
        wrong = np.diff(called, axis=1, prepend=np.float32(0)) - right
        n_right = above[:, -1].astype(np.float64)
        n_wrong = called[:, -1] - n_right
        pairs = _row_sums(wrong * (above - right / 2))
        roc[part] = ratios(pairs, n_right * n_wrong)
        precision[part] = ratios(
            _row_sums(right * above / np.maximum(called, 1)), n_right
        )
    return roc, precision


def _row_sums(values: NDArray[np.floating]) -> Floats:
    sums: Floats = values.sum(axis=1, dtype=np.float64)
    return sums
