"""Numbers on many resamples of a set at once, as sums over weighted faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.estimate import RESAMPLES
from maskdet.metrics.questions import BinaryTask

Floats = NDArray[np.float64]
FaceWeights = NDArray[np.float32]
"""`(resamples, n)`: how often each face was drawn; whole numbers, exact in float32."""

_RESAMPLES_PER_CHUNK = 50
"""Resamples: their sorted copies then stay in the processor's cache."""


def draw_face_weights(
    n: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> FaceWeights:
    """Return how often each of `n` faces is drawn in each resample of `n` faces."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((resamples, n), np.float32)
    if n:
        for row in weights:
            row[:] = np.bincount(rng.integers(0, n, n), minlength=n)
    return weights


def divide_or_nan(numerators: Floats, denominators: Floats) -> Floats:
    """Return the quotients; NaN where there is nothing to divide by."""
    result: Floats = np.divide(
        numerators,
        denominators,
        out=np.full(np.shape(numerators), np.nan),
        where=denominators > 0,
    )
    return result


def resampled_areas(weights: FaceWeights, task: BinaryTask) -> tuple[Floats, Floats]:
    """Return ROC area and average precision of each resample, `(resamples,)` each.

    The area is the share of pairs of a true and an untrue face in which the true one
    scores higher, equal scores counting half; NaN where one side is missing.
    """
    order = np.argsort(-task.scores, kind="stable")
    scores, true = task.scores[order], task.ground_truth[order].astype(np.float32)
    ends = np.flatnonzero(np.diff(scores, append=-np.inf) != 0)
    roc, precision = np.full((2, len(weights)), np.nan)
    if not len(ends):
        return roc, precision
    for first in range(0, len(weights), _RESAMPLES_PER_CHUNK):
        part = slice(first, first + _RESAMPLES_PER_CHUNK)
        draws = weights[part][:, order]
        # Counts stay exact in float32, which is twice as fast; sums of many do not.
        true_positives = np.cumsum(draws * true, axis=1)[:, ends]
        n_predicted = np.cumsum(draws, axis=1)[:, ends]
        positives = np.diff(true_positives, axis=1, prepend=np.float32(0))
        negatives = np.diff(n_predicted, axis=1, prepend=np.float32(0)) - positives
        n_positives = true_positives[:, -1].astype(np.float64)
        n_negatives = n_predicted[:, -1] - n_positives
        pairs = _row_sums(negatives * (true_positives - positives / 2))
        roc[part] = divide_or_nan(pairs, n_positives * n_negatives)
        precision[part] = divide_or_nan(
            _row_sums(positives * true_positives / np.maximum(n_predicted, 1)),
            n_positives,
        )
    return roc, precision


def _row_sums(values: NDArray[np.floating]) -> Floats:
    sums: Floats = values.sum(axis=1, dtype=np.float64)
    return sums
