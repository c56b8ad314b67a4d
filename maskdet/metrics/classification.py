"""How often the right label is given: confusion matrix, shares, ROC and PR curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.estimate import (
    RESAMPLES,
    Estimate,
    percentile_estimate,
    proportion,
)

Labels = Sequence[int] | NDArray[np.int64]
"""`(n,)` class numbers from 0; -1, as in `Label.UNKNOWN`, where none was given."""


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """How often each truth was given each label.

    Attributes:
        counts: `(k, k + 1)` int64; row = truth, column = label given, and the last
            column counts the items that were given none.
    """

    counts: NDArray[np.int64]

    @classmethod
    def from_labels(
        cls, ground_truth: Labels, predicted: Labels, n_classes: int
    ) -> ConfusionMatrix:
        """Count the pairs of truth and label.

        Args:
            ground_truth: `(n,)` true classes, 0 to `n_classes` - 1.
            predicted: `(n,)` labels given; -1 where none was, which is never right.
            n_classes: how many classes there are.

        Raises:
            ValueError: different lengths, or a number that is no class.
        """
        true_labels, predicted_labels = (
            np.asarray(ground_truth, np.int64),
            np.asarray(predicted, np.int64),
        )
        if true_labels.shape != predicted_labels.shape or true_labels.ndim != 1:
            raise ValueError(
                f"{true_labels.shape} truths do not fit {predicted_labels.shape} labels"
            )
        if len(true_labels) and not (
            true_labels.min() >= 0
            and predicted_labels.min() >= -1
            and max(true_labels.max(), predicted_labels.max()) < n_classes
        ):
            raise ValueError(f"truths and labels must be classes below {n_classes}")
        counts = np.zeros((n_classes, n_classes + 1), np.int64)
        np.add.at(counts, (true_labels, predicted_labels), 1)
        return cls(counts)

    @property
    def n(self) -> int:
        """How many items were judged."""
        return int(self.counts.sum())

    @property
    def _hits(self) -> NDArray[np.int64]:
        hits: NDArray[np.int64] = np.diagonal(self.counts)
        return hits

    @property
    def accuracy(self) -> Estimate:
        """The share of items that got their true label."""
        return proportion(int(self._hits.sum()), self.n)

    @property
    def recalls(self) -> tuple[Estimate, ...]:
        """For each class, the share of its items that were labelled so."""
        return _proportions(self._hits, self.counts.sum(axis=1))

    @property
    def precisions(self) -> tuple[Estimate, ...]:
        """For each label, the share of the items given it that deserve it."""
        return _proportions(self._hits, self.counts.sum(axis=0)[:-1])

    @property
    def f1s(self) -> tuple[float, ...]:
        """For each class, the harmonic mean of precision and recall; NaN if absent."""
        size = self.counts.sum(axis=1) + self.counts.sum(axis=0)[:-1]
        return tuple(
            2 * int(hits) / int(total) if total else math.nan
            for hits, total in zip(self._hits, size, strict=True)
        )

    def balanced_accuracy(
        self, *, resamples: int = RESAMPLES, seed: int = 0
    ) -> Estimate:
        """Return the mean recall over the classes that occur: each weighs the same.

        The interval is a bootstrap over items; drawing items anew is the same as
        drawing the cells of the matrix by their shares, which takes no time.
        """
        if not self.n:
            return Estimate(math.nan, math.nan, math.nan, 0)
        cell_fractions = self.counts.ravel() / self.n
        resampled = np.random.default_rng(seed).multinomial(
            self.n, cell_fractions, size=resamples
        )
        means = _mean_recalls(resampled.reshape(resamples, *self.counts.shape))
        value = float(_mean_recalls(self.counts[None])[0])
        return percentile_estimate(value, means, self.n)


def _proportions(
    hits: NDArray[np.int64], totals: NDArray[np.int64]
) -> tuple[Estimate, ...]:
    return tuple(proportion(int(h), int(n)) for h, n in zip(hits, totals, strict=True))


def _mean_recalls(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return `(b,)` mean recalls of `(b, k, k + 1)` matrices."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    totals = counts.sum(axis=2)
    recalls = np.divide(hits, totals, out=np.zeros(hits.shape), where=totals > 0)
    result: NDArray[np.float64] = recalls.sum(axis=1) / (totals > 0).sum(axis=1)
    return result


@dataclass(frozen=True, eq=False)
class ThresholdCurves:
    """What every threshold on a score would give, for a yes-or-no question.

    Attributes:
        thresholds: `(k,)` distinct scores, falling; "yes" is said at or above.
        recalls: `(k,)` share of the true ones said yes to (true positive rate).
        false_positive_rates: `(k,)` share of the untrue ones said yes to.
        precisions: `(k,)` share of the yes that is right.
    """

    thresholds: NDArray[np.float64]
    recalls: NDArray[np.float64]
    false_positive_rates: NDArray[np.float64]
    precisions: NDArray[np.float64]

    @property
    def roc_area(self) -> float:
        """The chance that a true one scores above an untrue one; NaN if one lacks."""
        x = np.concatenate([[0.0], self.false_positive_rates])
        y = np.concatenate([[0.0], self.recalls])
        return float(np.trapezoid(y, x))

    @property
    def average_precision(self) -> float:
        """The mean precision over the recall steps, as scikit-learn defines it."""
        if np.isnan(self.recalls).any():
            return math.nan
        gains = np.diff(self.recalls, prepend=0.0)
        return float((gains * self.precisions).sum())


def threshold_curves(
    ground_truth: NDArray[np.bool_], scores: NDArray[np.floating]
) -> ThresholdCurves:
    """Return recall, false alarms and precision at every threshold.

    Args:
        ground_truth: `(n,)` whether "yes" is right.
        scores: `(n,)` how strongly "yes" is said.

    Raises:
        ValueError: different lengths, or a score that is not a number.
    """
    true, score = np.asarray(ground_truth, np.bool_), np.asarray(scores, np.float64)
    if true.shape != score.shape or true.ndim != 1:
        raise ValueError(f"{true.shape} truths do not fit {score.shape} scores")
    if np.isnan(score).any():
        raise ValueError("scores must be numbers")
    order = np.argsort(-score, kind="stable")
    score, true = score[order], true[order]
    ends = np.flatnonzero(np.diff(score, append=-np.inf) != 0)
    true_positives = np.cumsum(true.astype(np.int64))[ends]
    false_positives = ends + 1 - true_positives
    return ThresholdCurves(
        score[ends],
        _rates(true_positives, int(true.sum())),
        _rates(false_positives, int((~true).sum())),
        true_positives / (ends + 1),
    )


def _rates(counts: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    if not total:
        return np.full(counts.shape, math.nan)
    rates: NDArray[np.float64] = counts / total
    return rates
