"""The people of the live picture, each counted once: who is in it, and who ever was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from maskdet.types import UNTRACKED, Label, Scene


def _nobody() -> Mapping[Label, int]:
    return MappingProxyType(dict.fromkeys(Label, 0))


@dataclass(frozen=True)
class People:
    """How many people there are; who walks through the picture is one, not hundreds.

    Attributes:
        now: how many in the picture carry each label; every label has an entry.
        so_far: how many since Start, by the last sure label that each had.
        turned: how many of those in the picture do not show their face.
    """

    now: Mapping[Label, int] = field(default_factory=_nobody)
    so_far: Mapping[Label, int] = field(default_factory=_nobody)
    turned: int = 0


class Roll:
    """Calls the roll of a stream: everybody with a number, and what they wore."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._here: dict[int, Label] = {}
        # Those who left are only counted, so that a long stream fills no memory.
        self._gone: Counter[Label] = Counter()

    def update(self, scene: Scene) -> People:
        """Return the count after the next scene.

        Faces without a number do not count yet: they may be none.

        Args:
            scene: the next one, with track ids.
        """
        ids, unseen_s = np.asarray(scene.track_ids), np.asarray(scene.unseen_s)
        now: Counter[Label] = Counter()
        for track_id, label in zip(ids.tolist(), scene.labels, strict=True):
            if track_id == UNTRACKED:
                continue
            now[label] += 1
            known = self._here.get(track_id, Label.UNKNOWN)
            self._here[track_id] = known if label is Label.UNKNOWN else label
        for track_id in scene.removed_ids:
            if track_id in self._here:
                self._gone[self._here.pop(track_id)] += 1
        so_far = self._gone + Counter(self._here.values())
        turned = int(((ids != UNTRACKED) & (unseen_s > 0)).sum())
        return People(_every(now), _every(so_far), turned)


def _every(counts: Counter[Label]) -> Mapping[Label, int]:
    return MappingProxyType({label: counts[label] for label in Label})
