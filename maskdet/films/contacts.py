"""Who was near whom in a film, how close and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.types import UNTRACKED, Contact, Label, Scene

MAX_CONTACTS: Final = 10_000
"""Of pairs beyond so many, only sums are kept, so that a camera that never stops does
not fill memory."""

_CONTACT_SLACK: Final = 1.1
"""Sums are made of many pairs at once, as sorting them takes time."""

_CONTACT_END_S: Final = 60.0
"""Who was not near for so long is not near any more; who is goes on being counted."""


@dataclass(frozen=True)
class EvictedContacts:
    """Pairs of whom only sums are kept, because there are too many of them.

    Attributes:
        n_contacts: how many they were.
        n_over_limit: how many were near for longer than is allowed.
        total_s: for how long they were near, added up.
        unmasked_s: for how much of it at least one was known to wear no mask, or
            wrongly.
    """

    n_contacts: int = 0
    n_over_limit: int = 0
    total_s: float = 0.0
    unmasked_s: float = 0.0


@dataclass(slots=True)
class _ContactTotals:
    start_s: float
    last_s: float
    unit: str
    total_s: float = 0.0
    unmasked_s: float = 0.0
    longest_s: float = 0.0
    min_distance: float = math.inf
    exceeds_limit: bool = False


class ContactAggregator:
    """Collects the pairs of people who were near each other."""

    def __init__(self, max_contacts: int = MAX_CONTACTS) -> None:
        """Start with none.

        Args:
            max_contacts: so many pairs are kept: those who are near, then those who
                were near for too long, without a mask, and for longest.
        """
        self._max_contacts = max_contacts
        self._totals: dict[tuple[int, int], _ContactTotals] = {}
        self._evicted = EvictedContacts()

    def add(self, scene: Scene, duration_s: float) -> None:
        """Count a scene that is shown for so long, in seconds."""
        labels, track_ids = scene.labels, np.asarray(scene.track_ids)
        for pair in scene.pairs:
            rows = (pair.first, pair.second)
            ids = sorted(int(track_ids[row]) for row in rows)
            if not pair.in_contact or UNTRACKED in ids:
                continue
            key = (ids[0], ids[1])
            initial = _ContactTotals(scene.time_s, scene.time_s, pair.unit)
            totals = self._totals.setdefault(key, initial)
            totals.last_s = scene.time_s
            totals.total_s += duration_s
            is_unmasked = any(
                labels[row] in (Label.NO_MASK, Label.INCORRECT) for row in rows
            )
            totals.unmasked_s += duration_s if is_unmasked else 0.0
            totals.longest_s = max(totals.longest_s, pair.contact_s)
            totals.min_distance = min(totals.min_distance, pair.distance)
            totals.exceeds_limit |= pair.exceeds_limit
        if len(self._totals) > _CONTACT_SLACK * self._max_contacts:
            self._evict(scene.time_s)

    @property
    def evicted(self) -> EvictedContacts:
        """Those of whom only sums are kept by now."""
        return self._evicted

    def get_contacts(self) -> tuple[Contact, ...]:
        """Return those that are kept: near without a mask for longest, then nearness.

        From now on those are `max_contacts` at most; of the rest there are `evicted`.
        """
        self._evict(math.inf)
        kept_contacts = [
            Contact(
                *ids,
                entry.start_s,
                entry.total_s,
                entry.longest_s,
                entry.unmasked_s,
                entry.min_distance,
                entry.unit,
                entry.exceeds_limit,
            )
            for ids, entry in self._totals.items()
        ]
        return tuple(
            sorted(kept_contacts, key=lambda entry: (-entry.unmasked_s, -entry.total_s))
        )

    def _evict(self, now_s: float) -> None:
        """Keep only sums of those who matter least, where there are too many."""
        n_over = len(self._totals) - self._max_contacts
        if n_over <= 0:
            return

        def priority(pair: tuple[int, int]) -> tuple[bool, bool, float, float]:
            totals = self._totals[pair]
            is_recent = now_s - totals.last_s <= _CONTACT_END_S
            return is_recent, totals.exceeds_limit, totals.unmasked_s, totals.total_s

        for pair in sorted(self._totals, key=priority)[:n_over]:
            totals, evicted = self._totals.pop(pair), self._evicted
            self._evicted = EvictedContacts(
                evicted.n_contacts + 1,
                evicted.n_over_limit + totals.exceeds_limit,
                evicted.total_s + totals.total_s,
                evicted.unmasked_s + totals.unmasked_s,
            )
