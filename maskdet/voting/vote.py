"""Votes: many views of each person, one verdict that fades while nobody sees them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.settings import SMOOTHING_METHODS
from maskdet.types import CLASSES, UNTRACKED
from maskdet.voting.statistics import AGGREGATORS, Aggregator, Observation, ProbRow

_INDEPENDENT_VIEW_S: Final = 0.2
"""After so long a view of a face is a whole new one: heads turn and nod in about that
time, and pictures that follow each other faster show nearly the same."""

_UNIFORM_PROB: Final = 1 / len(CLASSES)


@dataclass(frozen=True, eq=False)
class SmoothedLabels:
    """What is known of some people; row i is the person asked for in row i.

    Attributes:
        probs: `(n, 3)` float32, rows sum to 1; near 1/3 each where nothing is known
            any more. The largest of a row is its confidence.
        n_effective_views: `(n,)` float32, how many whole readable views it rests on.
        ages_s: `(n,)` float32, seconds since the last view that counted.
    """

    probs: NDArray[np.float32]
    n_effective_views: NDArray[np.float32]
    ages_s: NDArray[np.float32]


@dataclass
class _PersonState:
    """One person: by which method they are judged, and when last seen readably."""

    method: str
    aggregator: Aggregator
    last_view_s: float


class LabelSmoother:
    """One stream's memory of what was seen of each person.

    A verdict that no new view supports fades: of its distance from "all labels
    equally likely" the share 1 - (age / memory_s)^2 is left. That is little lost in
    the first half, lest a blink show, and all at the end. With the usual threshold
    of 60 % the surest verdict gets unsure after 77 % of `memory_s`, and one of 80 %
    after 65 %.

    Attributes:
        method: one of `SMOOTHING_METHODS`; a change keeps what is known.
        window_s: how far back views count, in seconds.
        memory_s: after so long without a view nothing is known, in seconds.
        class_weights: how much a view counts that shows each of `CLASSES`, in [0, 1]:
            its weight is multiplied by the sum of probability times class weight.
    """

    def __init__(
        self,
        method: str = "log_pool",
        window_s: float = 2.0,
        memory_s: float = 3.0,
        *,
        class_weights: tuple[float, ...] = (1.0, 1.0, 1.0),
    ) -> None:
        """Start with nobody known; the arguments are the attributes.

        Raises:
            ValueError: an argument is out of its range.
        """
        if method not in SMOOTHING_METHODS:
            raise ValueError(
                f"smoothing must be one of {', '.join(SMOOTHING_METHODS)}, not "
                f"{method!r}"
            )
        for name, seconds in (("window_s", window_s), ("memory_s", memory_s)):
            if not 0 < seconds < math.inf:
                raise ValueError(f"{name} must be above 0 seconds, not {seconds!r}")
        weights = tuple(class_weights)
        if len(weights) != len(CLASSES) or not all(
            0 <= weight <= 1 for weight in weights
        ):
            raise ValueError(
                f"class_weights must be {len(CLASSES)} numbers from 0 to 1, "
                f"not {class_weights!r}"
            )
        self.method = method
        self.window_s = window_s
        self.memory_s = memory_s
        self.class_weights = class_weights
        self._people: dict[int, _PersonState] = {}
        self._time_s = -math.inf

    def __len__(self) -> int:
        """Return how many people are known."""
        return len(self._people)

    def update(
        self,
        ids: NDArray[np.int64],
        probs: NDArray[np.float32],
        weights: NDArray[np.float32],
        time_s: float,
    ) -> SmoothedLabels:
        """Take in one picture and return what is known of the people in it.

        Args:
            ids: `(n,)` who each face is; an `UNTRACKED` face comes back as it is.
            probs: `(n, 3)` what this picture says of each, rows sum to 1.
            weights: `(n,)` how much of a whole readable view each is, as
                `view_weights` tells; 0 is no vote, and whoever had none yet comes
                back as they are, without evidence.
            time_s: when it was taken; never earlier than the last time given.

        Raises:
            ValueError: time went back or is not a number.
        """
        self._advance_time(time_s)
        frame_probs = np.asarray(probs, np.float64).reshape(len(ids), len(CLASSES))
        class_weighted = np.asarray(weights, np.float64) * (
            frame_probs @ self.class_weights
        )
        for track_id, row, weight in zip(ids, frame_probs, class_weighted, strict=True):
            if track_id != UNTRACKED and weight > 0:
                self._add_observation(int(track_id), row, float(weight))
        rows = [
            self._predict_row(int(track_id)) or (row, float(weight), 0.0)
            for track_id, row, weight in zip(
                ids, frame_probs, class_weighted, strict=True
            )
        ]
        return _stack_rows(rows)

    def predict_unseen(self, ids: Iterable[int], time_s: float) -> SmoothedLabels:
        """Return what is known of people whose face is not seen: nothing new.

        Args:
            ids: who; of strangers nothing is known.
            time_s: the time now; never earlier than the last time given.

        Raises:
            ValueError: time went back or is not a number.
        """
        self._advance_time(time_s)
        unknown_row = (np.full(len(CLASSES), _UNIFORM_PROB), 0.0, self.memory_s)
        return _stack_rows(
            [self._predict_row(int(track_id)) or unknown_row for track_id in ids]
        )

    def forget(self, ids: Iterable[int]) -> None:
        """Drop all that is known of some people; strangers are no error."""
        for track_id in ids:
            self._people.pop(int(track_id), None)

    def _advance_time(self, time_s: float) -> None:
        if not time_s >= self._time_s:
            raise ValueError(
                f"time must not go back: {time_s} s after {self._time_s} s"
            )
        self._time_s = time_s

    def _add_observation(self, track_id: int, probs: ProbRow, weight: float) -> None:
        """Add a view that counts."""
        person = self._people.get(track_id)
        novelty = 1.0
        if person is None:
            person = _PersonState(self.method, AGGREGATORS[self.method](), self._time_s)
            self._people[track_id] = person
        else:
            novelty = min(
                1.0, (self._time_s - person.last_view_s) / _INDEPENDENT_VIEW_S
            )
        if person.method != self.method:
            self._switch_method(person)
        person.aggregator.add(
            Observation(probs, weight, novelty, self._time_s), self.window_s
        )
        person.last_view_s = self._time_s

    def _switch_method(self, person: _PersonState) -> None:
        """Change the method; what was known is the first view of the new one."""
        old_aggregator, new_aggregator = person.aggregator, AGGREGATORS[self.method]()
        new_aggregator.add(
            Observation(
                old_aggregator.compute_probs(),
                old_aggregator.n_effective_views,
                1.0,
                person.last_view_s,
            ),
            1.0,
        )
        person.method, person.aggregator = self.method, new_aggregator

    def _predict_row(self, track_id: int) -> tuple[ProbRow, float, float] | None:
        """Return probabilities, evidence and age, or None for a stranger."""
        person = self._people.get(track_id)
        if person is None:
            return None
        age_s = self._time_s - person.last_view_s
        retained = max(0.0, 1 - (age_s / self.memory_s) ** 2)
        probs = (
            retained * person.aggregator.compute_probs()
            + (1 - retained) * _UNIFORM_PROB
        )
        return probs, person.aggregator.n_effective_views, age_s


def _stack_rows(rows: list[tuple[ProbRow, float, float]]) -> SmoothedLabels:
    """Return the rows as arrays."""
    probs = np.array([row[0] for row in rows], np.float32).reshape(-1, len(CLASSES))
    values = np.array([row[1:] for row in rows], np.float32).reshape(-1, 2)
    return SmoothedLabels(probs, values[:, 0], values[:, 1])
