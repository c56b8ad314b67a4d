"""`Timeline`: the number of people by class and of contacts over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.types import CLASSES, UNTRACKED, Label, Scene

_MAX_BINS: Final = 1200
"""More bins are not visible in a line chart; the bins of longer videos are longer."""


@dataclass(frozen=True)
class TimelineBin:
    """A short part of a video.

    Examples:
        >>> first = maskdet.analyze_video("lobby.mp4", every=5).timeline[0]
        >>> first.start_s, first.length_s, sum(first.counts.values()) > 0
        (0.0, 1.0, True)

    Attributes:
        start_s: start time, in seconds.
        length_s: duration, in seconds.
        counts: mean number of people with each label.
        n_contacts: maximum number of pairs in contact at once.
        n_over_limit: maximum number of pairs at once whose contact exceeds the limit.
    """

    start_s: float
    length_s: float
    counts: dict[Label, float]
    n_contacts: int
    n_over_limit: int

    @property
    def mask_rate(self) -> float | None:
        """People with a mask divided by people with a known class; None without."""
        n_known = sum(self.counts[label] for label in CLASSES)
        return self.counts[Label.MASK] / n_known if n_known > 0 else None


@dataclass
class _Bin:
    observed_s: float
    people_s: dict[Label, float]
    n_contacts: int = 0
    n_over_limit: int = 0


class Timeline:
    """Counts people over time."""

    def __init__(self, max_bins: int = _MAX_BINS) -> None:
        """Start with bins of one second; they are doubled when there are too many.

        Args:
            max_bins: maximum number of bins.
        """
        self._max_bins = max_bins
        self._length_s = 1.0
        self._bins: dict[int, _Bin] = {}

    def add(self, scene: Scene, weight_s: float) -> None:
        """Add a scene.

        Args:
            scene: the people and their pairs.
            weight_s: for how long it is shown, in seconds; more than 0.
        """
        index = int(scene.time_s // self._length_s)
        time_bin = self._bins.get(index)
        if time_bin is None:
            time_bin = self._bins[index] = _Bin(0.0, dict.fromkeys(Label, 0.0))
        time_bin.observed_s += weight_s
        for label, track_id in zip(
            scene.labels, np.asarray(scene.track_ids), strict=True
        ):
            if track_id != UNTRACKED:
                time_bin.people_s[label] += weight_s
        time_bin.n_contacts = max(
            time_bin.n_contacts, sum(pair.in_contact for pair in scene.pairs)
        )
        time_bin.n_over_limit = max(
            time_bin.n_over_limit, sum(pair.exceeds_limit for pair in scene.pairs)
        )
        if len(self._bins) > self._max_bins:
            self._double_bin_length()

    def get_bins(self) -> tuple[TimelineBin, ...]:
        """Return the bins so far; those without a frame are left out."""
        return tuple(
            TimelineBin(
                index * self._length_s,
                self._length_s,
                {
                    label: label_s / time_bin.observed_s
                    for label, label_s in time_bin.people_s.items()
                },
                time_bin.n_contacts,
                time_bin.n_over_limit,
            )
            for index, time_bin in sorted(self._bins.items())
        )

    def _double_bin_length(self) -> None:
        old, self._bins = self._bins, {}
        self._length_s *= 2
        for index, old_bin in old.items():
            merged = self._bins.setdefault(index // 2, old_bin)
            if merged is not old_bin:
                merged.observed_s += old_bin.observed_s
                for label in Label:
                    merged.people_s[label] += old_bin.people_s[label]
                merged.n_contacts = max(merged.n_contacts, old_bin.n_contacts)
                merged.n_over_limit = max(merged.n_over_limit, old_bin.n_over_limit)
