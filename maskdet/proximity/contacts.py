"""Who was near whom for how long: a stream's contacts, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

Pair = tuple[int, int]
"""Two track ids, the smaller one first."""

_Key = TypeVar("_Key")

_MAX_KEPT: Final = 10_000
"""Pairs and people that are remembered; who was near longest ago goes first, so that a
camera that never stops does not fill the memory."""


@dataclass(frozen=True)
class Contact:
    """Two people who were near each other.

    Attributes:
        first: track id of one of them.
        second: track id of the other; larger than `first`.
        seconds: how long they were near, all times together.
        longest_s: the longest time without a break.
    """

    first: int
    second: int
    seconds: float
    longest_s: float

    @property
    def minutes(self) -> float:
        """Return `seconds` in minutes."""
        return self.seconds / 60


class ContactLog:
    """Adds up the time that pairs and people spend near each other."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._pairs: dict[Pair, tuple[float, float]] = {}
        self._people: dict[int, tuple[float, float]] = {}

    def add(self, pair: Pair, from_s: float, to_s: float, *, since_s: float) -> None:
        """Add the time from one look at a pair to the next.

        A person near two others at once is near for that time once, not twice.

        Args:
            pair: their track ids.
            from_s: when they were last seen near.
            to_s: now, still near.
            since_s: when they came near.
        """
        # Taken out and put back at the end: who is near now is never the oldest.
        total_s, longest_s = self._pairs.pop(pair, (0.0, 0.0))
        self._pairs[pair] = (total_s + to_s - from_s, max(longest_s, to_s - since_s))
        for person in pair:
            so_far_s, until_s = self._people.pop(person, (0.0, from_s))
            new_s = max(0.0, to_s - max(from_s, until_s))
            self._people[person] = (so_far_s + new_s, to_s)
        if max(len(self._pairs), len(self._people)) > _MAX_KEPT:
            _bound(self._pairs)
            _bound(self._people)

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Return every pair that was near, longest together first."""
        found = [Contact(*pair, *times) for pair, times in self._pairs.items()]
        return tuple(sorted(found, key=lambda one: -one.seconds))

    @property
    def seconds(self) -> Mapping[int, float]:
        """Return how long each person was near anybody, by track id."""
        return {person: seconds for person, (seconds, _) in self._people.items()}


def _bound(kept: dict[_Key, tuple[float, float]]) -> None:
    """Drop those who were near longest ago from a memory that is full."""
    while len(kept) > _MAX_KEPT:
        del kept[next(iter(kept))]
