"""Whether a goal can be promised for images that nobody has seen yet.

What somebody wants of the settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from maskdet.metrics.intervals import Z_95, Estimate, wilson_interval
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count, pluralize

GuaranteeState: TypeAlias = Literal["kept", "open", "broken"]


@dataclass(frozen=True)
class Guarantee:
    """What was measured for a goal on images that nothing was chosen on.

    Attributes:
        state: `kept`: the whole 95 % interval is on the good side; `open`: the
            interval holds both sides, so too few faces say which; `broken`: the whole
            interval is on the bad side.
        measured: the number that the goal is about: the recall, or how much better
            than now the settings do.
        target: what it should be at least.
        needed: about how many faces of the class, on the reporting half, it would take
            to promise it if the number stays as measured; 0 where it is kept, None
            where no number would do.
        text: all this in a sentence or two.
    """

    state: GuaranteeState
    measured: Estimate
    target: float
    needed: int | None
    text: str


def format_rate(value: float) -> str:
    """Return a share as people write it: 95 %, 97.5 %."""
    return f"{100 * value:.3g} %"


def guarantee_recall(recall: Estimate, target: float) -> Guarantee:
    """Return whether `target` of the faces of a class will be found.

    Args:
        recall: as measured on the reporting half, at least one face.
        target: the share wanted.
    """
    state = _guarantee_state(recall, target)
    needed = 0 if state == "kept" else _faces_needed_for_recall(recall, target)
    measurement = (
        f"{format_rate(recall.value)} of {format_count(recall.n, 'face')} of the class "
        f"{pluralize(recall.n, 'was', 'were')} found on the half that nothing was "
        "chosen "
        f"on (95 % sure: {format_rate(recall.low)} to {format_rate(recall.high)})"
    )
    summary = {
        "kept": f"Kept: {measurement}.",
        "open": f"Too few faces to promise {format_rate(target)}: {measurement}.",
        "broken": f"Not kept, {format_rate(target)} was wanted: {measurement}.",
    }[state]
    text = f"{summary}{_format_needed(recall, target, needed)}"
    return Guarantee(state, recall, target, needed, text)


def guarantee_gain(gain: Estimate, metric: str, unit: str) -> Guarantee:
    """Return whether the settings do better than those of now.

    Args:
        gain: how much better, above 0 is better, with its interval.
        metric: that is better, as in "F1".
        unit: that follows the numbers, with its space; may be empty.
    """
    if math.isnan(gain.value) or math.isnan(gain.low):
        text = f"Too few faces to promise anything about {metric}."
        return Guarantee("open", gain, 0.0, None, text)
    is_unchanged = gain.low == gain.high == 0
    state: GuaranteeState = "open" if is_unchanged else _guarantee_state(gain, 0.0)
    needed = 0 if state == "kept" else _faces_needed_for_gain(gain)
    numbers = (
        f"{gain.value:+.3g}{unit} (95 % sure: {gain.low:+.3g} to {gain.high:+.3g})"
    )
    summary = {
        "kept": f"Better than now: {metric} {numbers}",
        "open": f"Too few faces to promise more than now: {metric} {numbers}",
        "broken": f"No better than now: {metric} {numbers}",
    }[state]
    if is_unchanged:
        summary = f"As good as now: {metric} stays as it is"
    needed_text = ""
    if needed:
        needed_text = f" If it stays so, it takes about {_format_about(needed)} faces of the class."
    text = f"{summary}, on the half that nothing was chosen on.{needed_text}"
    return Guarantee(state, gain, 0.0, needed, text)


def _guarantee_state(measured: Estimate, target: float) -> GuaranteeState:
    if measured.low >= target and measured.value > 0:
        return "kept"
    return "broken" if measured.high < target else "open"


def min_faces_for_recall(target: float) -> int:
    """Return how many faces, none of them missed, can promise a share of `target`."""
    return math.ceil(Z_95**2 * target / (1 - target))


def _faces_needed_for_recall(measured: Estimate, target: float) -> int | None:
    """Return from which n the lower end of Wilson's interval is at the target.

    That is where the score test no longer rejects it: the distance is then Z_95
    standard errors of the target. Faces that go together count for fewer.
    """
    gap = measured.value - target
    if gap <= 0:
        return None
    independent = Z_95**2 * target * (1 - target) / gap**2
    alone = wilson_interval(measured.value, measured.n)
    wider = (measured.high - measured.low) / (alone.high - alone.low)
    return math.ceil(independent * max(1.0, wider**2))


def _faces_needed_for_gain(gain: Estimate) -> int | None:
    """Return how many faces it takes: an interval narrows as the root of n."""
    if gain.value <= 0:
        return None
    return math.ceil(gain.n * ((gain.value - gain.low) / gain.value) ** 2)


def _format_about(n: int) -> str:
    """Return a number that is an estimate, to two digits."""
    digits = max(0, len(str(n)) - 2)
    return f"{math.ceil(n / 10**digits) * 10**digits:,}"


def _format_needed(recall: Estimate, target: float, needed: int | None) -> str:
    if needed == 0:
        return ""
    if needed is not None:
        return (
            f" If it stays so, it takes about {_format_about(needed)} such faces on "
            "that "
            f"half; with these, {format_rate(recall.low)} can be promised."
        )
    fewest = min_faces_for_recall(target)
    if recall.n < fewest:
        return (
            f" Even without a miss, {format_count(recall.n, 'face')} could not promise "
            "it: "
            "that takes "
            f"at least {fewest}."
        )
    return ""


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
    something else, or called unsure. A false positive is a face said to be of the class
    that is none: of another class, or no face at all.

    Attributes:
        kind: one of `GOAL_KINDS`.
        recall: for `recall`: the share to find at least, above 0 and below 1.
        cost: for `cost`: of a miss, where a false positive costs 1.
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
            "then the fewest false positives",
            "cost": f"a missed {name} costs {self.cost:g} times a false one",
            "equal": f"as many missed as false {name}",
        }[self.kind]
