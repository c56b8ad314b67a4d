"""Who was near whom in a film, how close and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.types import UNTRACKED, Contact, Label, Scene

MOST_CONTACTS: Final = 10_000
"""Of pairs beyond so many, only sums are kept, so that a camera that never stops does
not fill memory."""

_SLACK: Final = 1.1
"""Sums are made of many pairs at once, as sorting them takes time."""

_OVER_S: Final = 60.0
"""Who was not near for so long is not near any more; who is goes on being counted."""


@dataclass(frozen=True)
class OtherContacts:
    """Pairs of whom only sums are kept, because there are too many of them.

    Attributes:
        n_contacts: how many they were.
        n_too_long: how many were near for longer than is allowed.
        near_s: for how long they were near, added up.
        bare_s: for how much of it at least one was known to wear no mask, or wrongly.
    """

    n_contacts: int = 0
    n_too_long: int = 0
    near_s: float = 0.0
    bare_s: float = 0.0


@dataclass(slots=True)
class _Known:
    first_s: float
    last_s: float
    unit: str
    near_s: float = 0.0
    bare_s: float = 0.0
    longest_s: float = 0.0
    closest: float = math.inf
    too_long: bool = False


class Contacts:
    """Collects the pairs of people who were near each other."""

    def __init__(self, most: int = MOST_CONTACTS) -> None:
        """Start with none.

        Args:
            most: so many pairs are kept: those who are near, then those who were near
                for too long, without a mask, and for longest.
        """
        self._most = most
        self._known: dict[tuple[int, int], _Known] = {}
        self._others = OtherContacts()

    def add(self, scene: Scene, lasts_s: float) -> None:
        """Count a scene that is shown for so long, in seconds."""
        labels, numbers = scene.labels, np.asarray(scene.track_ids)
        for pair in scene.pairs:
            rows = (pair.first, pair.second)
            ids = sorted(int(numbers[row]) for row in rows)
            if not pair.in_contact or UNTRACKED in ids:
                continue
            key = (ids[0], ids[1])
            new = _Known(scene.time_s, scene.time_s, pair.unit)
            one = self._known.setdefault(key, new)
            one.last_s = scene.time_s
            one.near_s += lasts_s
            bare = any(labels[row] in (Label.NO_MASK, Label.INCORRECT) for row in rows)
            one.bare_s += lasts_s if bare else 0.0
            one.longest_s = max(one.longest_s, pair.contact_s)
            one.closest = min(one.closest, pair.distance)
            one.too_long |= pair.exceeds_limit
        if len(self._known) > _SLACK * self._most:
            self._sum_up(scene.time_s)

    @property
    def others(self) -> OtherContacts:
        """Those of whom only sums are kept by now."""
        return self._others

    def contacts(self) -> tuple[Contact, ...]:
        """Return those that are kept: near without a mask for longest, then nearness.

        From now on those are `most` at most; of the rest there are `others`.
        """
        self._sum_up(math.inf)
        found = [
            Contact(
                *ids,
                one.first_s,
                one.near_s,
                one.longest_s,
                one.bare_s,
                one.closest,
                one.unit,
                one.too_long,
            )
            for ids, one in self._known.items()
        ]
        return tuple(sorted(found, key=lambda one: (-one.unmasked_s, -one.total_s)))

    def _sum_up(self, now_s: float) -> None:
        """Keep only sums of those who matter least, where there are too many."""
        n_over = len(self._known) - self._most
        if n_over <= 0:
            return

        def weight(pair: tuple[int, int]) -> tuple[bool, bool, float, float]:
            one = self._known[pair]
            is_near = now_s - one.last_s <= _OVER_S
            return is_near, one.too_long, one.bare_s, one.near_s

        for pair in sorted(self._known, key=weight)[:n_over]:
            one, so_far = self._known.pop(pair), self._others
            self._others = OtherContacts(
                so_far.n_contacts + 1,
                so_far.n_too_long + one.too_long,
                so_far.near_s + one.near_s,
                so_far.bare_s + one.bare_s,
            )
