"""How many people there were at each moment of a film, by what they wore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.types import CLASSES, UNTRACKED, Label, Scene

LABELS: Final = (*CLASSES, Label.UNKNOWN)
"""The order in which people are counted."""

_MAX_BINS: Final = 1200
"""A line chart shows no more; where a film is longer, its bins grow."""


@dataclass(frozen=True)
class TimelineBin:
    """A short part of a video.

    Examples:
        >>> first = maskdet.analyze_video("lobby.mp4", every=5).timeline[0]
        >>> first.start_s, first.length_s, sum(first.counts.values()) > 0
        (0.0, 1.0, True)

    Attributes:
        start_s: when it begins, in seconds.
        length_s: how long it is, in seconds.
        counts: mean number of people with each label.
        n_contacts: the most pairs in contact at once.
        n_over_limit: the most pairs at once whose contact exceeds the limit.
    """

    start_s: float
    length_s: float
    counts: dict[Label, float]
    n_contacts: int
    n_over_limit: int

    @property
    def mask_rate(self) -> float | None:
        """People with a mask divided by people with a known class; 0 to 1.

        None where no class is known: no rate is not a rate of 0.
        """
        known = sum(self.counts[label] for label in CLASSES)
        return self.counts[Label.MASK] / known if known > 0 else None


@dataclass
class _Bin:
    seen_s: float
    people_s: dict[Label, float]
    near: int = 0
    too_long: int = 0


class Timeline:
    """Counts people over time, in memory that does not grow with the film."""

    def __init__(self, max_bins: int = _MAX_BINS) -> None:
        """Start with bins of one second; they double where there get too many."""
        self._max_bins = max_bins
        self._length_s = 1.0
        self._bins: dict[int, _Bin] = {}

    def add(self, scene: Scene, lasts_s: float) -> None:
        """Count a scene that is shown for so long, in seconds."""
        number = int(scene.time_s // self._length_s)
        one = self._bins.get(number)
        if one is None:
            one = self._bins[number] = _Bin(0.0, dict.fromkeys(LABELS, 0.0))
        # Two pictures at one time: both count, the second hardly.
        lasts_s = max(lasts_s, 1e-6)
        one.seen_s += lasts_s
        for label, track_id in zip(
            scene.labels, np.asarray(scene.track_ids), strict=True
        ):
            if track_id != UNTRACKED:
                one.people_s[label] += lasts_s
        one.near = max(one.near, sum(pair.in_contact for pair in scene.pairs))
        one.too_long = max(
            one.too_long, sum(pair.exceeds_limit for pair in scene.pairs)
        )
        if len(self._bins) > self._max_bins:
            self._double()

    def moments(self) -> tuple[TimelineBin, ...]:
        """Return what was counted so far; times without a picture are left out."""
        return tuple(
            TimelineBin(
                number * self._length_s,
                self._length_s,
                {label: s / one.seen_s for label, s in one.people_s.items()},
                one.near,
                one.too_long,
            )
            for number, one in sorted(self._bins.items())
        )

    def _double(self) -> None:
        old, self._bins = self._bins, {}
        self._length_s *= 2
        for number, one in old.items():
            same = self._bins.setdefault(number // 2, one)
            if same is not one:
                same.seen_s += one.seen_s
                for label in LABELS:
                    same.people_s[label] += one.people_s[label]
                same.near = max(same.near, one.near)
                same.too_long = max(same.too_long, one.too_long)
