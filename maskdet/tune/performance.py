"""What settings do for one class, on some of the pictures of a set."""

from __future__ import annotations

from dataclasses import dataclass

from maskdet.metrics.estimate import Estimate
from maskdet.types import Label


@dataclass(frozen=True)
class Performance:
    """What settings do for one class on some pictures.

    Attributes:
        label: the class.
        pictures: how many pictures these are.
        hits: true faces of the class that are said to be of it.
        misses: true faces of the class that are not.
        alarms: faces said to be of the class that are none: of another class, or no
            face at all.
        recall: share of the true ones that are hits.
        precision: share of those said to be of the class that are.
        f1: the harmonic mean of both.
        alarms_per_picture: false alarms in a picture, in the mean.
        found: share of all true faces of known class that are shown, whatever is said.
        unsure: share of these shown faces that are called unsure.
    """

    label: Label
    pictures: int
    hits: int
    misses: int
    alarms: int
    recall: Estimate
    precision: Estimate
    f1: Estimate
    alarms_per_picture: Estimate
    found: Estimate
    unsure: Estimate


@dataclass(frozen=True)
class Change:
    """Which faces change sides between two settings.

    Attributes:
        gained: true faces of the class that are hit only after.
        lost: true faces of the class that were hit only before.
        alarms_gone: false alarms that are there only before.
        alarms_new: false alarms that are there only after.
    """

    gained: int
    lost: int
    alarms_gone: int
    alarms_new: int

    def lines(self, label: Label) -> tuple[str, ...]:
        """Return what is won and what it costs, one sentence each."""
        raise NotImplementedError
