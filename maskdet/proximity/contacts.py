"""The contacts of a stream: which people were close to each other, and how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from maskdet.types import Contact

IdPair = tuple[int, int]
"""Two track ids, the smaller one first."""

_Key = TypeVar("_Key")

_MAX_LOGGED: Final = 10_000
"""Pairs and people that are remembered; who was near longest ago goes first, so that a
camera that never stops does not fill the memory."""


@dataclass(slots=True)
class _ContactSum:
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
        self._pairs: dict[IdPair, _ContactSum] = {}
        self._people: dict[int, tuple[float, float]] = {}

    def add(
        self,
        pair: IdPair,
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
        contact_sum = self._pairs.pop(pair, None) or _ContactSum(since_s, unit)
        self._pairs[pair] = contact_sum
        contact_sum.total_s += to_s - from_s
        contact_sum.longest_s = max(contact_sum.longest_s, to_s - since_s)
        contact_sum.unmasked_s += (to_s - from_s) if unmasked else 0.0
        contact_sum.min_distance = min(contact_sum.min_distance, distance)
        contact_sum.exceeds_limit |= to_s - since_s >= limit_s
        for person in pair:
            person_total_s, until_s = self._people.pop(person, (0.0, from_s))
            new_s = max(0.0, to_s - max(from_s, until_s))
            self._people[person] = (person_total_s + new_s, to_s)
        if max(len(self._pairs), len(self._people)) > _MAX_LOGGED:
            _drop_oldest(self._pairs)
            _drop_oldest(self._people)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._pairs)

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Return every pair that was in contact, longest in all first."""
        rows = [
            Contact(
                *pair,
                start_s=contact_sum.start_s,
                total_s=contact_sum.total_s,
                longest_s=contact_sum.longest_s,
                unmasked_s=contact_sum.unmasked_s,
                min_distance=contact_sum.min_distance,
                unit=contact_sum.unit,
                exceeds_limit=contact_sum.exceeds_limit,
            )
            for pair, contact_sum in self._pairs.items()
        ]
        return tuple(sorted(rows, key=lambda contact: -contact.total_s))

    @property
    def contact_s(self) -> Mapping[int, float]:
        """Return how long each person was near anybody, by track id."""
        return {person: seconds for person, (seconds, _) in self._people.items()}


def _drop_oldest(entries: dict[_Key, Any]) -> None:
    """Drop those who were near longest ago from a memory that is full."""
    while len(entries) > _MAX_LOGGED:
        del entries[next(iter(entries))]
