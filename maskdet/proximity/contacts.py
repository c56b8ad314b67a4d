"""The contacts of a stream: which people were close to each other, and how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from maskdet.types import Contact

Pair = tuple[int, int]
"""Two track ids, the smaller one first."""

_Key = TypeVar("_Key")

_MAX_KEPT: Final = 10_000
"""Pairs and people that are remembered; who was near longest ago goes first, so that a
camera that never stops does not fill the memory."""


@dataclass(slots=True)
class _Sum:
    """What is known of one pair so far; fields as in `maskdet.types.Contact`."""

    start_s: float
    unit: str
    total_s: float = 0.0
    longest_s: float = 0.0
    unmasked_s: float = 0.0
    min_distance: float = math.inf
    exceeds_limit: bool = False


class ContactLog:
    """Adds up the time that pairs and people spend in contact."""

    def __init__(self) -> None:
        """Start without a contact."""
        self._pairs: dict[Pair, _Sum] = {}
        self._people: dict[int, tuple[float, float]] = {}

    def add(
        self,
        pair: Pair,
        from_s: float,
        to_s: float,
        *,
        since_s: float,
        distance: float = math.inf,
        unit: str = "m",
        unmasked: bool = False,
        limit_s: float = math.inf,
    ) -> None:
        """Add the time from one frame to the next in which a pair was in contact.

        A person in contact with two others at once is in contact for that time once,
        not twice.

        Args:
            pair: their track IDs.
            from_s: when they were last in contact.
            to_s: now, still in contact.
            since_s: when this contact began.
            distance: between them now, in `unit`.
            unit: `m` or `heads`.
            unmasked: whether at least one of them is known to wear no mask, or to
                wear it incorrectly.
            limit_s: a longer contact exceeds the limit.
        """
        # Taken out and put back at the end: a pair in contact is never the oldest.
        known = self._pairs.pop(pair, None) or _Sum(since_s, unit)
        self._pairs[pair] = known
        known.total_s += to_s - from_s
        known.longest_s = max(known.longest_s, to_s - since_s)
        known.unmasked_s += (to_s - from_s) if unmasked else 0.0
        known.min_distance = min(known.min_distance, distance)
        known.exceeds_limit |= to_s - since_s >= limit_s
        for person in pair:
            so_far_s, until_s = self._people.pop(person, (0.0, from_s))
            new_s = max(0.0, to_s - max(from_s, until_s))
            self._people[person] = (so_far_s + new_s, to_s)
        if max(len(self._pairs), len(self._people)) > _MAX_KEPT:
            _bound(self._pairs)
            _bound(self._people)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._pairs)

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Return every pair that was in contact, longest in all first."""
        rows = [
            Contact(
                *pair,
                start_s=known.start_s,
                total_s=known.total_s,
                longest_s=known.longest_s,
                unmasked_s=known.unmasked_s,
                min_distance=known.min_distance,
                unit=known.unit,
                exceeds_limit=known.exceeds_limit,
            )
            for pair, known in self._pairs.items()
        ]
        return tuple(sorted(rows, key=lambda contact: -contact.total_s))

    @property
    def seconds(self) -> Mapping[int, float]:
        """Return how long each person was near anybody, by track id."""
        return {person: seconds for person, (seconds, _) in self._people.items()}


def _bound(kept: dict[_Key, Any]) -> None:
    """Drop those who were near longest ago from a memory that is full."""
    while len(kept) > _MAX_KEPT:
        del kept[next(iter(kept))]
