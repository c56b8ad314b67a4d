"""Votes: many views of each person, one verdict that fades while nobody sees them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.settings import SMOOTHINGS
from maskdet.types import CLASSES, UNTRACKED
from maskdet.voting.statistics import STATISTICS, Row, Statistic, View

_VIEW_S: Final = 0.2
"""After so long a view of a face is a whole new one: heads turn and nod in about that
time, and pictures that follow each other faster show nearly the same."""

_UNIFORM: Final = 1 / len(CLASSES)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What is known of some people; row i is the person asked for in row i.

    Attributes:
        probs: `(n, 3)` float32, rows sum to 1; near 1/3 each where nothing is known
            any more. The largest of a row is its confidence.
        evidence: `(n,)` float32, how many whole readable views it rests on.
        ages_s: `(n,)` float32, seconds since the last view that counted.
    """

    probs: NDArray[np.float32]
    evidence: NDArray[np.float32]
    ages_s: NDArray[np.float32]


@dataclass
class _Person:
    """One person: by which method they are judged, and when last seen readably."""

    method: str
    statistic: Statistic
    time_s: float


class Vote:
    """One stream's memory of what was seen of each person.

    A verdict that no new view supports fades: of its distance from "all labels
    equally likely" the share 1 - (age / memory_s)^2 is left. That is little lost in
    the first half, lest a blink show, and all at the end. With the usual threshold
    of 60 % the surest verdict gets unsure after 77 % of `memory_s`, and one of 80 %
    after 65 %.

    Attributes:
        method: one of `SMOOTHINGS`; a change keeps what is known.
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
        if method not in SMOOTHINGS:
            raise ValueError(
                f"smoothing must be one of {', '.join(SMOOTHINGS)}, not {method!r}"
            )
        for name, seconds in (("window_s", window_s), ("memory_s", memory_s)):
            if not 0 < seconds < math.inf:
                raise ValueError(f"{name} must be above 0 seconds, not {seconds!r}")
        effects = tuple(class_weights)
        if len(effects) != len(CLASSES) or not all(0 <= one <= 1 for one in effects):
            raise ValueError(
                f"class_weights must be {len(CLASSES)} numbers from 0 to 1, "
                f"not {class_weights!r}"
            )
        self.method = method
        self.window_s = window_s
        self.memory_s = memory_s
        self.class_weights = class_weights
        self._people: dict[int, _Person] = {}
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
    ) -> Verdicts:
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
        self._advance(time_s)
        given = np.asarray(probs, np.float64).reshape(len(ids), len(CLASSES))
        counts = np.asarray(weights, np.float64) * (given @ self.class_weights)
        for face_id, row, count in zip(ids, given, counts, strict=True):
            if face_id != UNTRACKED and count > 0:
                self._see(int(face_id), row, float(count))
        rows = [
            self._verdict(int(face_id)) or (row, float(count), 0.0)
            for face_id, row, count in zip(ids, given, counts, strict=True)
        ]
        return _verdicts(rows)

    def recall(self, ids: Iterable[int], time_s: float) -> Verdicts:
        """Return what is known of people whose face is not seen: nothing new.

        Args:
            ids: who; of strangers nothing is known.
            time_s: the time now; never earlier than the last time given.

        Raises:
            ValueError: time went back or is not a number.
        """
        self._advance(time_s)
        unknown = (np.full(len(CLASSES), _UNIFORM), 0.0, self.memory_s)
        return _verdicts([self._verdict(int(one)) or unknown for one in ids])

    def forget(self, ids: Iterable[int]) -> None:
        """Drop all that is known of some people; strangers are no error."""
        for face_id in ids:
            self._people.pop(int(face_id), None)

    def _advance(self, time_s: float) -> None:
        if not time_s >= self._time_s:
            raise ValueError(
                f"time must not go back: {time_s} s after {self._time_s} s"
            )
        self._time_s = time_s

    def _see(self, face_id: int, probs: Row, weight: float) -> None:
        """Add a view that counts."""
        person = self._people.get(face_id)
        share = 1.0
        if person is None:
            person = _Person(self.method, STATISTICS[self.method](), self._time_s)
            self._people[face_id] = person
        else:
            share = min(1.0, (self._time_s - person.time_s) / _VIEW_S)
        if person.method != self.method:
            self._judge_anew(person)
        person.statistic.add(View(probs, weight, share, self._time_s), self.window_s)
        person.time_s = self._time_s

    def _judge_anew(self, person: _Person) -> None:
        """Change the method; what was known is the first view of the new one."""
        known, new = person.statistic, STATISTICS[self.method]()
        new.add(View(known.verdict(), known.evidence, 1.0, person.time_s), 1.0)
        person.method, person.statistic = self.method, new

    def _verdict(self, face_id: int) -> tuple[Row, float, float] | None:
        """Return probabilities, evidence and age, or None for a stranger."""
        person = self._people.get(face_id)
        if person is None:
            return None
        age_s = self._time_s - person.time_s
        left = max(0.0, 1 - (age_s / self.memory_s) ** 2)
        probs = left * person.statistic.verdict() + (1 - left) * _UNIFORM
        return probs, person.statistic.evidence, age_s


def _verdicts(rows: list[tuple[Row, float, float]]) -> Verdicts:
    """Return the rows as arrays."""
    probs = np.array([row[0] for row in rows], np.float32).reshape(-1, len(CLASSES))
    numbers = np.array([row[1:] for row in rows], np.float32).reshape(-1, 2)
    return Verdicts(probs, numbers[:, 0], numbers[:, 1])
