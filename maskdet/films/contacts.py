"""Who was near whom in a film, how close and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maskdet.types import UNTRACKED, Label, Scene


@dataclass(frozen=True)
class Contact:
    """Two people who were near each other.

    Attributes:
        first_id: number of one of them.
        second_id: number of the other, the larger one.
        first_s: when they first were near, in seconds.
        near_s: for how long they were near in all.
        bare_s: for how much of it at least one was known to wear no mask, or wrongly.
        closest: their smallest distance, in `unit`.
        unit: `m` or `heads`.
        too_long: whether they were near for longer than is allowed without a break.
    """

    first_id: int
    second_id: int
    first_s: float
    near_s: float
    bare_s: float
    closest: float
    unit: str
    too_long: bool


@dataclass
class _Known:
    first_s: float
    unit: str
    near_s: float = 0.0
    bare_s: float = 0.0
    closest: float = math.inf
    too_long: bool = False


class Contacts:
    """Collects the pairs of people who were near each other."""

    def __init__(self) -> None:
        """Start with none."""
        self._known: dict[tuple[int, int], _Known] = {}

    def add(self, scene: Scene, lasts_s: float) -> None:
        """Count a scene that is shown for so long, in seconds."""
        labels, numbers = scene.labels, np.asarray(scene.track_ids)
        for pair in scene.near:
            rows = (pair.first, pair.second)
            ids = sorted(int(numbers[row]) for row in rows)
            if not pair.near or UNTRACKED in ids:
                continue
            key = (ids[0], ids[1])
            one = self._known.setdefault(key, _Known(scene.time_s, pair.unit))
            one.near_s += lasts_s
            bare = any(labels[row] in (Label.NO_MASK, Label.INCORRECT) for row in rows)
            one.bare_s += lasts_s if bare else 0.0
            one.closest = min(one.closest, pair.distance)
            one.too_long |= pair.too_long

    def contacts(self) -> tuple[Contact, ...]:
        """Return them so far: near without a mask for longest first, then nearness."""
        found = [
            Contact(
                *ids,
                one.first_s,
                one.near_s,
                one.bare_s,
                one.closest,
                one.unit,
                one.too_long,
            )
            for ids, one in self._known.items()
        ]
        return tuple(sorted(found, key=lambda one: (-one.bare_s, -one.near_s)))
