"""A goal, such as 95 % of the bare faces: which settings reach it, and at what cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from maskdet.tune.performance import Change, Performance
from maskdet.tune.promise import Promise
from maskdet.types import CLASSES, Label, Settings

if TYPE_CHECKING:
    from maskdet.tune.judging import Judge

GoalKind: TypeAlias = Literal["f1", "recall", "cost", "equal"]

GOALS: Final[dict[GoalKind, str]] = {
    "f1": "best balance: the highest F1",
    "recall": "find at least a share, then as few false alarms as possible",
    "cost": "lowest cost, where a miss costs some times as much as a false alarm",
    "equal": "equal errors: as many misses as false alarms",
}
"""Kinds of goals, each with one line that says what it does."""


@dataclass(frozen=True)
class Goal:
    """What somebody wants of the settings, for one class.

    A miss is a true face of the class that is not said to be of it: not found, called
    something else, or called unsure. A false alarm is a face said to be of the class
    that is none: of another class, or no face at all.

    Attributes:
        kind: one of `GOALS`.
        recall: for `recall`: the share to find at least, above 0 and below 1.
        cost: for `cost`: of a miss, where a false alarm costs 1.
        label: the class; by default the one that alarms are about.

    Raises:
        ValueError: a value is out of its range; the message says which.
    """

    kind: GoalKind = "f1"
    recall: float = 0.95
    cost: float = 5.0
    label: Label = Label.NO_MASK

    def __post_init__(self) -> None:
        """Refuse what cannot be wanted."""
        if self.kind not in get_args(GoalKind):
            known = ", ".join(GOALS)
            raise ValueError(f"a goal must be one of {known}, not {self.kind!r}")
        if not 0 < self.recall < 1:
            raise ValueError(
                f"the share to find must be above 0 and below 1, not {self.recall!r}"
            )
        if not (self.cost > 0 and math.isfinite(self.cost)):
            raise ValueError(f"the cost of a miss must be above 0, not {self.cost!r}")
        if self.label not in CLASSES:
            raise ValueError("a goal needs a class: mask, no_mask or incorrect")

    @property
    def title(self) -> str:
        """The goal in words, as in "at least 95 % of “No mask” found"."""
        name = f"“{self.label.title}”"
        return {
            "f1": f"best F1 of {name}",
            "recall": f"at least {self.recall:.4g} of {name} found, "
            "then the fewest false alarms",
            "cost": f"a missed {name} costs {self.cost:g} times a false one",
            "equal": f"as many missed as false {name}",
        }[self.kind]


@dataclass(frozen=True, eq=False)
class Proposal:
    """Settings for a goal, and what they do on pictures that they were not chosen on.

    Attributes:
        goal: what was wanted.
        before: the settings of now.
        after: the proposed ones; only face score, certainty and, where it surely
            helps, the smallest face differ.
        chosen_on: `(p,)` the pictures they were chosen on; all else is reported on
            the others.
        reached: whether any settings reached the goal where they were chosen; always
            true for goals other than `recall`.
        choosing: what `after` does where it was chosen, which flatters it.
        now: what `before` does on the other half.
        then: what `after` does on the other half.
        change: the faces that change sides there, in both directions.
        promise: whether the goal can be promised.
        cautions: what else should be known, a sentence each; often none.
    """

    goal: Goal
    before: Settings
    after: Settings
    chosen_on: NDArray[np.bool_]
    reached: bool
    choosing: Performance
    now: Performance
    then: Performance
    change: Change
    promise: Promise
    cautions: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What to tell a person: the promise, the cost both ways, the cautions."""
        return (self.promise.text, *self.change.lines(self.goal.label), *self.cautions)


def propose(
    judge: Judge,
    settings: Settings,
    goal: Goal,
    *,
    seed: int = 0,
    min_iou: float = 0.5,
    temperature: float = 1.0,
) -> Proposal:
    """Return settings for a goal: chosen on one half, reported on the other.

    Args:
        judge: of the set and what an analyzer said about it.
        settings: those of now; all but three fields are kept.
        goal: what is wanted.
        seed: of the halves; see `halves`.
        min_iou: from which overlap on a face counts as found.
        temperature: of the probabilities; see `metrics.calibration`.

    Raises:
        ValueError: fewer than two pictures have a face of the class, so that none
            would be left to check on.
    """
    raise NotImplementedError
