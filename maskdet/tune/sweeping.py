"""Every pair of face score and confidence at once, and the best of them for a goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.resampled import Floats, ratios
from maskdet.tune.judging import Outcome
from maskdet.tune.performance import Chosen
from maskdet.tune.scored import Rows
from maskdet.tune.wanted import Goal
from maskdet.types import Label, Settings

Sums = NDArray[np.int64] | NDArray[np.float32]
"""Whole numbers of faces, as integers or as sums of drawn pictures."""

# In hundredths, as on the sliders. The likeliest of three classes is never below 1/3.
_SCORES: Final = np.arange(2, 100) / 100
_CERTAINTIES: Final = np.arange(33, 100) / 100


@dataclass(frozen=True, eq=False)
class Sweep:
    """What happens to one class at every pair of face score and confidence.

    Attributes:
        scores: `(s,)` lowest face scores, rising.
        confidences: `(c,)` lowest confidences, rising.
        hits: `(s, c)` int64 true faces of the class that are said to be of it.
        alarms: `(s, c)` int64 faces said to be of the class that are none.
        n: how many true faces of the class there are.
    """

    scores: Floats
    confidences: Floats
    hits: Rows
    alarms: Rows
    n: int

    @classmethod
    def of(cls, outcome: Outcome, label: Label, chosen: Chosen) -> Sweep:
        """Count on the chosen pictures.

        Overlaps are settled and faces matched by falling score, so what is shown and
        right among the faces above a score does not depend on those below: one
        outcome tells all.

        Args:
            outcome: with the lowest face score and no confidence.
            label: the class.
            chosen: `(p,)` which pictures count.
        """
        scores, confidences = _SCORES, _CERTAINTIES
        pictures = outcome.scored.faces.pictures[outcome.shown]
        said = (outcome.probs.argmax(axis=1) == label) & chosen[pictures]
        ours = outcome.scored.scores[outcome.shown]

        def counted(which: NDArray[np.bool_]) -> Rows:
            rows = np.flatnonzero(said & which)
            # As float32, because settings are compared with scores so.
            at = np.searchsorted(scores.astype(np.float32), ours[rows], "right") - 1
            sure = confidences.astype(np.float32)
            to = np.searchsorted(sure, outcome.confidences[rows], "right") - 1
            counts = np.zeros((len(scores), len(confidences)), np.int64)
            seen = (at >= 0) & (to >= 0)
            np.add.at(counts, (at[seen], to[seen]), 1)
            total: Rows = counts[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
            return total

        truth = outcome.scored.truth
        true = (truth.labels == label) & chosen[truth.faces.pictures]
        right = outcome.actual == label
        alarm = (outcome.actual >= 0) & ~right
        return cls(scores, confidences, counted(right), counted(alarm), int(true.sum()))

    def best(self, goal: Goal, now: Settings) -> tuple[float, float]:
        """Return the best face score and confidence; of equal ones the nearest to now.

        Args:
            goal: what is wanted.
            now: the settings of now.
        """
        far = np.hypot(
            (self.scores - now.min_score)[:, None],
            (self.confidences - now.min_confidence)[None, :],
        )
        ranks = [*_ranks(goal, self.hits, self.alarms, self.n), far.round(9)]
        order = np.lexsort([rank.ravel() for rank in reversed(ranks)])
        row, column = np.unravel_index(order[0], self.hits.shape)
        return float(self.scores[row]), float(self.confidences[column])


def reaches(goal: Goal, hits: int, n: int) -> bool:
    """Return whether so many hits of `n` faces are as many as the goal wants."""
    return goal.kind != "recall" or hits >= goal.recall * n - 1e-9


def losses(goal: Goal, hits: Sums, misses: Sums, alarms: Sums) -> Floats:
    """Return what a goal other than `recall` wants little of, for each of `(b,)` sums.

    For `f1` that is what F1 lacks of 1; for `cost` the cost; for `equal` the larger
    of misses and alarms, which is smallest where both are equal.
    """
    if goal.kind == "cost":
        cost: Floats = goal.cost * misses.astype(np.float64) + alarms
        return cost
    if goal.kind == "equal":
        larger: Floats = np.maximum(misses, alarms).astype(np.float64)
        return larger
    halves = hits.astype(np.float64)
    lacking: Floats = 1 - ratios(2 * halves, 2 * halves + misses + alarms)
    return lacking


def _ranks(goal: Goal, hits: Rows, alarms: Rows, n: int) -> list[Floats]:
    """Return what is to be small, the most important first."""
    if goal.kind == "recall":
        lacking = np.maximum(goal.recall * n - 1e-9 - hits, 0)
        return [lacking, alarms.astype(np.float64), -hits.astype(np.float64)]
    misses = n - hits
    loss = losses(goal, hits, misses, alarms)
    return [loss.round(12), (misses + alarms).astype(np.float64)]
