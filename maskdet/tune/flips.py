"""Which faces a move of a slider changed, and which are next to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from maskdet.tune.judging import Hit, Outcome

Change: TypeAlias = Literal["appeared", "vanished", "label", "verdict"]
"""A face is shown now, is shown no more, is called otherwise, or is shown and called
as before but matches another true face."""


@dataclass(frozen=True)
class Flip:
    """One found face that a change of the settings changed.

    Attributes:
        hit: the face; its true face is that of the state in which it matches one.
        change: what became of it.
        before: column of `judging.SAID`, `MISSED` where it was not shown.
        after: the same now.
        better: whether that is better (True) or worse (False); None for neither.
        distance: how far it lies from the threshold that it crossed, as a share of
            the slider's range (for sizes of the threshold); 1 if none was crossed but
            overlaps decided.
    """

    hit: Hit
    change: Change
    before: int
    after: int
    better: bool | None
    distance: float


@dataclass(frozen=True)
class Near:
    """One mistake that a small move of a slider would mend.

    Attributes:
        hit: the face.
        setting: the field of `Settings` that would have to move.
        value: where the face lies on that slider.
        threshold: where the slider stands.
        distance: between the two, as in `Flip`.
    """

    hit: Hit
    setting: str
    value: float
    threshold: float
    distance: float


def flips(before: Outcome, after: Outcome) -> tuple[Flip, ...]:
    """Return the found faces that changed, nearest to the threshold first."""
    raise NotImplementedError


def nearest(outcome: Outcome) -> tuple[Near, ...]:
    """Return the mistakes that a small move would mend, nearest first."""
    raise NotImplementedError
