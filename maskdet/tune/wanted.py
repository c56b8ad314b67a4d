"""What somebody wants of the settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES, Label

GoalKind: TypeAlias = Literal["f1", "recall", "cost", "equal"]

GOAL_KINDS: Final[dict[GoalKind, str]] = {
    "f1": "best balance: the highest F1",
    "recall": "at least this recall, with as few false positives as possible",
    "cost": "lowest cost; a false negative costs this many times a false positive",
    "equal": "equal errors: as many false negatives as false positives",
}
"""Kinds of goals, each with one line that says what it does."""


@dataclass(frozen=True)
class Goal:
    """What somebody wants of the settings, for one class.

    A miss is a true face of the class that is not said to be of it: not found, called
    something else, or called unsure. A false alarm is a face said to be of the class
    that is none: of another class, or no face at all.

    Attributes:
        kind: one of `GOAL_KINDS`.
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
            kinds = ", ".join(GOAL_KINDS)
            raise ValueError(f"a goal must be one of {kinds}, not {self.kind!r}")
        if not 0 < self.recall < 1:
            raise ValueError(
                f"the share to find must be above 0 and below 1, not {self.recall!r}"
            )
        if not (self.cost > 0 and math.isfinite(self.cost)):
            raise ValueError(f"the cost of a miss must be above 0, not {self.cost!r}")
        if self.label not in CLASSES:
            raise ValueError("a goal needs a class: mask, no_mask or incorrect")

    def title(self, style: Style = DEFAULT_STYLE) -> str:
        """Return the goal in words, as in "at least 95 % of “No mask” found"."""
        name = f"“{style.title(self.label)}”"
        return {
            "f1": f"best F1 of {name}",
            "recall": f"at least {100 * self.recall:.4g} % of {name} found, "
            "then the fewest false alarms",
            "cost": f"a missed {name} costs {self.cost:g} times a false one",
            "equal": f"as many missed as false {name}",
        }[self.kind]
