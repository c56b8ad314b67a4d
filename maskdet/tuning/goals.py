"""Goals for the settings of one class, and whether the data can guarantee them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from maskdet.metrics.intervals import Z_95, Estimate, wilson_interval
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

GuaranteeState: TypeAlias = Literal["met", "inconclusive", "missed"]

GoalKind: TypeAlias = Literal["f1", "recall", "cost", "equal"]

GOAL_KINDS: Final[dict[GoalKind, str]] = {
    "f1": "best balance: the highest F1",
    "recall": "at least this recall, with as few false positives as possible",
    "cost": "lowest cost; a false negative costs this many times a false positive",
    "equal": "equal errors: as many false negatives as false positives",
}
"""Kinds of goals, each with a description in one line."""


@dataclass(frozen=True)
class Guarantee:
    """Test of a goal on the holdout images.

    Attributes:
        state: `met`: the whole 95 % interval is at or above the target; `missed`: the
            whole interval is below it; `inconclusive`: the interval contains the
            target, so there are too few faces.
        measured: the recall, or the gain over the current settings.
        target: lowest value that meets the goal.
        needed: estimated number of faces of the class in the holdout half for a
            guarantee at the measured value; 0 if the goal is met, None if no number
            of faces is enough.
        text: the result in one or two sentences.
    """

    state: GuaranteeState
    measured: Estimate
    target: float
    needed: int | None
    text: str


def format_rate(value: float) -> str:
    """Format a rate in percent: 95 %, 97.5 %."""
    return f"{100 * value:.3g} %"


def guarantee_recall(recall: Estimate, target: float) -> Guarantee:
    """Test whether a measured recall guarantees the target.

    Args:
        recall: recall on the holdout half, of at least one face.
        target: lowest acceptable recall.
    """
    state = _guarantee_state(recall, target)
    needed = 0 if state == "met" else _faces_needed_for_recall(recall, target)
    measurement = (
        f"recall is {format_rate(recall.value)} on {format_count(recall.n, 'face')} of "
        "the class in the holdout half (95 % interval "
        f"{format_rate(recall.low)} to {format_rate(recall.high)})"
    )
    summary = {
        "met": f"Goal met: {measurement}.",
        "inconclusive": f"Too few faces to guarantee {format_rate(target)}: "
        f"{measurement}.",
        "missed": f"Goal of {format_rate(target)} missed: {measurement}.",
    }[state]
    text = f"{summary}{_format_needed(recall, target, needed)}"
    return Guarantee(state, recall, target, needed, text)


def guarantee_gain(gain: Estimate, metric: str, unit: str) -> Guarantee:
    """Test whether settings are better than the current ones.

    Args:
        gain: improvement with its interval; above 0 is better.
        metric: name of the metric, as in "F1".
        unit: unit after the numbers, with a leading space; may be empty.
    """
    if math.isnan(gain.value) or math.isnan(gain.low):
        text = f"Too few faces to estimate a change of {metric}."
        return Guarantee("inconclusive", gain, 0.0, None, text)
    is_unchanged = gain.low == gain.high == 0
    state: GuaranteeState = (
        "inconclusive" if is_unchanged else _guarantee_state(gain, 0.0)
    )
    needed = 0 if state == "met" else _faces_needed_for_gain(gain)
    numbers = (
        f"{gain.value:+.3g}{unit} (95 % interval {gain.low:+.3g} to {gain.high:+.3g})"
    )
    summary = {
        "met": f"Better than the current settings: {metric} {numbers}",
        "inconclusive": f"Too few faces to guarantee a gain: {metric} {numbers}",
        "missed": f"Not better than the current settings: {metric} {numbers}",
    }[state]
    if is_unchanged:
        summary = f"As good as the current settings: {metric} does not change"
    needed_text = ""
    if needed:
        needed_text = (
            f" At this gain, a guarantee needs about {_format_about(needed)} faces of "
            "the class."
        )
    text = f"{summary}, in the holdout half.{needed_text}"
    return Guarantee(state, gain, 0.0, needed, text)


def _guarantee_state(measured: Estimate, target: float) -> GuaranteeState:
    if measured.low >= target and measured.value > 0:
        return "met"
    return "missed" if measured.high < target else "inconclusive"


def min_faces_for_recall(target: float) -> int:
    """Return how many faces, all of them detected, guarantee a recall of `target`."""
    return math.ceil(Z_95**2 * target / (1 - target))


def _faces_needed_for_recall(measured: Estimate, target: float) -> int | None:
    """Return the n at which the lower end of the Wilson interval reaches the target.

    There the distance is Z_95 standard errors of the target (score test). Correlated
    faces count for fewer.
    """
    gap = measured.value - target
    if gap <= 0:
        return None
    independent = Z_95**2 * target * (1 - target) / gap**2
    wilson = wilson_interval(measured.value, measured.n)
    width_ratio = (measured.high - measured.low) / (wilson.high - wilson.low)
    return math.ceil(independent * max(1.0, width_ratio**2))


def _faces_needed_for_gain(gain: Estimate) -> int | None:
    """Return the n at which the interval is above 0; its width falls with sqrt(n)."""
    if gain.value <= 0:
        return None
    return math.ceil(gain.n * ((gain.value - gain.low) / gain.value) ** 2)


def _format_about(n: int) -> str:
    """Format an estimated number, rounded up to two digits."""
    digits = max(0, len(str(n)) - 2)
    return f"{math.ceil(n / 10**digits) * 10**digits:,}"


def _format_needed(recall: Estimate, target: float, needed: int | None) -> str:
    if needed == 0:
        return ""
    if needed is not None:
        return (
            f" At this recall, a guarantee needs about {_format_about(needed)} such "
            f"faces in that half; these guarantee {format_rate(recall.low)}."
        )
    min_faces = min_faces_for_recall(target)
    if recall.n < min_faces:
        return (
            f" Even without a false negative, {format_count(recall.n, 'face')} cannot "
            f"guarantee it; at least {min_faces} are needed."
        )
    return ""


@dataclass(frozen=True)
class Goal:
    """A goal for the settings, for one class.

    A false negative is a true face of the class that is missed, predicted as another
    class, or unsure. A false positive is a face predicted as the class that is of
    another class or not a face.

    Attributes:
        kind: one of `GOAL_KINDS`.
        recall: for `recall`: the recall target, above 0 and below 1.
        cost: for `cost`: cost of a false negative; a false positive costs 1.
        label: the class; by default the one that alerts are about.

    Raises:
        ValueError: a value is out of range; the message names it.
    """

    kind: GoalKind = "f1"
    recall: float = 0.95
    cost: float = 5.0
    label: Label = Label.NO_MASK

    def __post_init__(self) -> None:
        """Check the values."""
        if self.kind not in get_args(GoalKind):
            kinds = ", ".join(GOAL_KINDS)
            raise ValueError(f"a goal must be one of {kinds}, not {self.kind!r}")
        if not 0 < self.recall < 1:
            raise ValueError(
                f"the recall target must be above 0 and below 1, not {self.recall!r}"
            )
        if not (self.cost > 0 and math.isfinite(self.cost)):
            raise ValueError(
                "the cost of a false negative must be above 0 and finite, not "
                f"{self.cost!r}"
            )
        if self.label not in CLASSES:
            raise ValueError(
                "the class of a goal must be mask, no_mask or incorrect, not "
                f"{self.label.key!r}"
            )

    def title(self, style: Style = DEFAULT_STYLE) -> str:
        """Return the goal in words, as in "recall of “No mask” at least 95 %"."""
        name = f"“{style.title(self.label)}”"
        return {
            "f1": f"best F1 of {name}",
            "recall": f"recall of {name} at least {100 * self.recall:.4g} %, then the "
            "fewest false positives",
            "cost": f"lowest cost for {name}; a false negative costs {self.cost:g} "
            "times a false positive",
            "equal": f"as many false negatives as false positives of {name}",
        }[self.kind]
