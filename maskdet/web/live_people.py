"""The people of the live picture, each counted once: who is in it, and who ever was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from maskdet.types import UNTRACKED, Label, Scene


def _make_zero_counts() -> Mapping[Label, int]:
    return MappingProxyType(dict.fromkeys(Label, 0))


@dataclass(frozen=True)
class PeopleCount:
    """How many people there are; who walks through the picture is one, not hundreds.

    Attributes:
        current: how many in the picture carry each label; every label has an entry.
        total: how many since Start, by the last sure label that each had.
        turned_away: how many of those in the picture do not show their face.
    """

    current: Mapping[Label, int] = field(default_factory=_make_zero_counts)
    total: Mapping[Label, int] = field(default_factory=_make_zero_counts)
    turned_away: int = 0


class PeopleCounter:
    """Calls the roll of a stream: everybody with a number, and what they wore."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._labels: dict[int, Label] = {}
        # Those who left are only counted, so that a long stream fills no memory.
        self._removed_counts: Counter[Label] = Counter()

    def update(self, scene: Scene) -> PeopleCount:
        """Return the count after the next scene.

        Faces without a number do not count yet: they may be none.

        Args:
            scene: the next one, with track ids.
        """
        ids, unseen_s = np.asarray(scene.track_ids), np.asarray(scene.unseen_s)
        current: Counter[Label] = Counter()
        for track_id, label in zip(ids.tolist(), scene.labels, strict=True):
            if track_id == UNTRACKED:
                continue
            current[label] += 1
            previous = self._labels.get(track_id, Label.UNKNOWN)
            self._labels[track_id] = previous if label is Label.UNKNOWN else label
        for track_id in scene.removed_ids:
            if track_id in self._labels:
                self._removed_counts[self._labels.pop(track_id)] += 1
        total = self._removed_counts + Counter(self._labels.values())
        turned_away = int(((ids != UNTRACKED) & (unseen_s > 0)).sum())
        return PeopleCount(_freeze_counts(current), _freeze_counts(total), turned_away)


def _freeze_counts(counts: Counter[Label]) -> Mapping[Label, int]:
    return MappingProxyType({label: counts[label] for label in Label})
