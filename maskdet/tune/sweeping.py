"""Every pair of face score and confidence at once, and the best of them for a goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.resampled import Floats, divide_or_nan
from maskdet.tune.judging import EvaluationResult
from maskdet.tune.performance import BoolArray
from maskdet.tune.scored import IntArray
from maskdet.tune.wanted import Goal
from maskdet.types import Label, Settings

CountArray = NDArray[np.int64] | NDArray[np.float32]
"""Whole numbers of faces, as integers or as sums of drawn pictures."""

# In hundredths, as on the sliders. The likeliest of three classes is never below 1/3.
_SCORE_GRID: Final = np.arange(2, 100) / 100
_CONFIDENCE_GRID: Final = np.arange(33, 100) / 100


@dataclass(frozen=True, eq=False)
class GridSearch:
    """What happens to one class at every pair of face score and confidence.

    Attributes:
        scores: `(s,)` lowest face scores, rising.
        confidences: `(c,)` lowest confidences, rising.
        true_positives: `(s, c)` int64 true faces of the class that are said to be of
            it.
        false_positives: `(s, c)` int64 faces said to be of the class that are none.
        n: how many true faces of the class there are.
    """

    scores: Floats
    confidences: Floats
    true_positives: IntArray
    false_positives: IntArray
    n: int

    @classmethod
    def from_result(
        cls, result: EvaluationResult, label: Label, image_mask: BoolArray
    ) -> GridSearch:
        """Count on the chosen pictures.

        Overlaps are settled and faces matched by falling score, so what is shown and
        right among the faces above a score does not depend on those below: one
        outcome tells all.

        Args:
            result: with the lowest face score and no confidence.
            label: the class.
            image_mask: `(p,)` which pictures count.
        """
        scores, confidences = _SCORE_GRID, _CONFIDENCE_GRID
        image_indices = result.predictions.faces.image_indices[result.shown_rows]
        predicted = (result.probs.argmax(axis=1) == label) & image_mask[image_indices]
        shown_scores = result.predictions.scores[result.shown_rows]

        def count_grid(face_mask: NDArray[np.bool_]) -> IntArray:
            rows = np.flatnonzero(predicted & face_mask)
            # As float32, because settings are compared with scores so.
            score_indices = (
                np.searchsorted(scores.astype(np.float32), shown_scores[rows], "right")
                - 1
            )
            confidence_edges = confidences.astype(np.float32)
            confidence_indices = (
                np.searchsorted(confidence_edges, result.confidences[rows], "right") - 1
            )
            counts = np.zeros((len(scores), len(confidences)), np.int64)
            is_in_grid = (score_indices >= 0) & (confidence_indices >= 0)
            np.add.at(
                counts, (score_indices[is_in_grid], confidence_indices[is_in_grid]), 1
            )
            total: IntArray = (
                counts[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
            )
            return total

        ground_truth = result.predictions.ground_truth
        is_actual = (ground_truth.labels == label) & image_mask[
            ground_truth.faces.image_indices
        ]
        is_correct = result.actual == label
        false_positive = (result.actual >= 0) & ~is_correct
        return cls(
            scores,
            confidences,
            count_grid(is_correct),
            count_grid(false_positive),
            int(is_actual.sum()),
        )

    def select_best(self, goal: Goal, current: Settings) -> tuple[float, float]:
        """Return the best face score and confidence; of equal ones the nearest to now.

        Args:
            goal: what is wanted.
            current: the settings of now.
        """
        distances = np.hypot(
            (self.scores - current.min_score)[:, None],
            (self.confidences - current.min_confidence)[None, :],
        )
        sort_keys = [
            *_goal_sort_keys(goal, self.true_positives, self.false_positives, self.n),
            distances.round(9),
        ]
        order = np.lexsort([sort_key.ravel() for sort_key in reversed(sort_keys)])
        row, column = np.unravel_index(order[0], self.true_positives.shape)
        return float(self.scores[row]), float(self.confidences[column])


def is_recall_reached(goal: Goal, true_positives: int, n: int) -> bool:
    """Return whether so many hits of `n` faces are as many as the goal wants."""
    return goal.kind != "recall" or true_positives >= goal.recall * n - 1e-9


def compute_goal_losses(
    goal: Goal,
    true_positives: CountArray,
    false_negatives: CountArray,
    false_positives: CountArray,
) -> Floats:
    """Return what a goal other than `recall` wants little of, for each of `(b,)` sums.

    For `f1` that is what F1 lacks of 1; for `cost` the cost; for `equal` the larger
    of misses and alarms, which is smallest where both are equal.
    """
    if goal.kind == "cost":
        cost: Floats = goal.cost * false_negatives.astype(np.float64) + false_positives
        return cost
    if goal.kind == "equal":
        larger: Floats = np.maximum(false_negatives, false_positives).astype(np.float64)
        return larger
    true_positive_counts = true_positives.astype(np.float64)
    f1_loss: Floats = 1 - divide_or_nan(
        2 * true_positive_counts,
        2 * true_positive_counts + false_negatives + false_positives,
    )
    return f1_loss


def _goal_sort_keys(
    goal: Goal, true_positives: IntArray, false_positives: IntArray, n: int
) -> list[Floats]:
    """Return what is to be small, the most important first."""
    if goal.kind == "recall":
        recall_shortfall = np.maximum(goal.recall * n - 1e-9 - true_positives, 0)
        return [
            recall_shortfall,
            false_positives.astype(np.float64),
            -true_positives.astype(np.float64),
        ]
    false_negatives = n - true_positives
    loss = compute_goal_losses(goal, true_positives, false_negatives, false_positives)
    return [loss.round(12), (false_negatives + false_positives).astype(np.float64)]
