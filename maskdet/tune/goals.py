"""A goal, such as 95 % of the bare faces: which settings reach it, and at what cost."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.metrics.estimate import Estimate, percentile_estimate
from maskdet.metrics.labelling import Json
from maskdet.metrics.resampled import Floats, Weights
from maskdet.tune.drawn import picture_weights
from maskdet.tune.halves import class_counts, halves
from maskdet.tune.judging import MIN_IOU, Judge, Outcome
from maskdet.tune.performance import Change, Chosen, Counts, Performance
from maskdet.tune.promise import Promise, gain_promise, percent, recall_promise
from maskdet.tune.sweeping import Sweep, losses, reaches
from maskdet.tune.wanted import GOALS as GOALS
from maskdet.tune.wanted import Goal as Goal
from maskdet.tune.wanted import GoalKind as GoalKind
from maskdet.types import Settings
from maskdet.wording import counted, noun

_FACE_PX: Final = (8.0, 12.0, 16.0, 20.0, 24.0, 32.0, 48.0)
"""Smallest faces that are tried besides that of now."""

FEW: Final = 30
"""Faces of a class below which its numbers are said to move with every face."""

SINGLE_PICTURES: Final = (
    "Counted picture by picture; Live judges people over time, so shares there differ."
)
"""What holds for every number of a set of pictures."""

_NOTABLE: Final = 0.03
"""Shares that change by less are not worth a sentence."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """Settings for a goal, and what they do on pictures that they were not chosen on.

    Attributes:
        goal: what was wanted.
        before: the settings of now.
        after: the proposed ones; only face score, confidence and, where it surely
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
        cautions: what else should be known, a sentence each.
    """

    goal: Goal
    before: Settings
    after: Settings
    chosen_on: Chosen
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
        return (self.promise.text, *self.change.lines(), *self.cautions)

    def to_json(self) -> Json:
        """Return everything but the pictures."""
        promise = dataclasses.asdict(self.promise)
        measured = self.promise.measured.rounded()
        return {
            "goal": {**dataclasses.asdict(self.goal), "label": self.goal.label.key},
            "settings": dataclasses.asdict(self.after),
            "reached": self.reached,
            "chosen_on": self.choosing.to_json(),
            "now": self.now.to_json(),
            "then": self.then.to_json(),
            "change": dataclasses.asdict(self.change),
            "promise": {**promise, "measured": measured},
            "cautions": list(self.cautions),
        }


def propose(
    judge: Judge,
    settings: Settings,
    goal: Goal,
    *,
    seed: int = 0,
    min_iou: float = MIN_IOU,
) -> Proposal:
    """Return settings for a goal: chosen on one half, reported on the other.

    Confidences are as the analyzer gives them: Live and the films know no temperature,
    and one that was fitted on this set has seen the half that is reported.

    Args:
        judge: of the set and what an analyzer said about it.
        settings: those of now; all but three fields are kept.
        goal: what is wanted.
        seed: of the halves; see `halves`.
        min_iou: from which overlap on a face counts as found.

    Raises:
        ValueError: fewer than two pictures have a face of the class, so that none
            would be left to check on.
    """
    here = halves(judge.scored.truth, seed=seed)
    _check_enough(judge, goal, here)
    look = _Look(judge, goal, here, min_iou)
    after = look.best(settings)
    return _proposal(goal, here, look(settings), look(after))


def _proposal(goal: Goal, here: Chosen, was: Outcome, now: Outcome) -> Proposal:
    """Return what changes, and what that is worth on the pictures not chosen on."""
    counts = [Counts.of(one, goal.label) for one in (was, now)]
    choosing, before, then = (
        Performance.of(one, goal.label, half)
        for one, half in ((now, here), (was, ~here), (now, ~here))
    )
    reached = reaches(goal, choosing.hits, choosing.hits + choosing.misses)
    return Proposal(
        goal,
        was.settings,
        now.settings,
        here,
        reached,
        choosing,
        before,
        then,
        Change.of(was, now, goal.label, ~here),
        _promise(goal, then, *(one.only(~here) for one in counts)),
        tuple(_cautions(goal, reached, choosing, before, then)),
    )


@dataclass(frozen=True, eq=False)
class _Look:
    """Judges settings, and looks for better ones on the chosen pictures."""

    judge: Judge
    goal: Goal
    chosen: Chosen
    min_iou: float

    def __call__(self, settings: Settings) -> Outcome:
        return self.judge(settings, min_iou=self.min_iou)

    def best(self, now: Settings) -> Settings:
        """Return the best settings; another smallest face only if it surely helps."""
        best = self._with_face_px(now, now.min_face_px)
        for px in _FACE_PX:
            if px == now.min_face_px:
                continue
            other = self._with_face_px(now, px)
            if self._surely_better(other, best):
                best = other
        return best

    def _with_face_px(self, now: Settings, px: float) -> Settings:
        lax = dataclasses.replace(
            now, min_score=0.0, min_confidence=0.0, min_face_px=px
        )
        sweep = Sweep.of(self(lax), self.goal.label, self.chosen)
        score, confidence = sweep.best(self.goal, now)
        return dataclasses.replace(lax, min_score=score, min_confidence=confidence)

    def _surely_better(self, one: Settings, other: Settings) -> bool:
        ours, theirs = (
            Counts.of(self(settings), self.goal.label).only(self.chosen)
            for settings in (one, other)
        )
        n = int((ours.hits + ours.misses).sum())
        ready = [reaches(self.goal, int(c.hits.sum()), n) for c in (ours, theirs)]
        if ready[0] != ready[1]:
            return ready[0]
        return _gain(self.goal, theirs, ours, reached=ready[0]).low > 0


def _gain(
    goal: Goal, before: Counts, after: Counts, *, reached: bool = True
) -> Estimate:
    """Return by how much less the goal has to suffer, on pictures drawn anew.

    In units of F1, of cost a picture, or of errors a face of the class; for `recall`
    the alarms a picture where it is reached, otherwise the misses.
    """
    n = len(after.hits)
    faces = int((after.hits + after.misses).sum())

    def suffered(counts: Counts, weights: Weights) -> Floats:
        sums = [
            weights @ part.astype(np.float32)
            for part in (counts.hits, counts.misses, counts.alarms)
        ]
        if goal.kind == "recall":
            return np.asarray(sums[2] if reached else sums[1], np.float64) / n
        unit = {"f1": 1, "cost": n, "equal": max(faces, 1)}[goal.kind]
        result: Floats = losses(goal, *sums) / unit
        return result

    weights = picture_weights(n)
    as_it_is = np.ones((1, n), np.float32)
    value = suffered(before, as_it_is) - suffered(after, as_it_is)
    resampled = suffered(before, weights) - suffered(after, weights)
    return percentile_estimate(float(value[0]), resampled, faces)


def _promise(goal: Goal, then: Performance, before: Counts, after: Counts) -> Promise:
    if goal.kind == "recall":
        return recall_promise(then.recall, goal.recall)
    what, unit = {
        "f1": ("F1", ""),
        "cost": ("cost saved", " a picture"),
        "equal": ("errors saved", " a face"),
    }[goal.kind]
    return gain_promise(_gain(goal, before, after), what, unit)


def _check_enough(judge: Judge, goal: Goal, here: Chosen) -> None:
    counts = class_counts(judge.scored.truth)[:, goal.label]
    if not counts[here].sum() or not counts[~here].sum():
        raise ValueError(
            "a goal needs faces of its class in at least two pictures, one to choose "
            "on and one to check on; this set has them in "
            f"{int((counts > 0).sum())}"
        )


def _cautions(
    goal: Goal,
    reached: bool,
    choosing: Performance,
    now: Performance,
    then: Performance,
) -> list[str]:
    """Return what else should be known, a sentence each."""
    lines = []
    if not reached:
        lines.append(
            f"No settings reach {percent(goal.recall)}: this is the most that can be "
            f"found, {percent(choosing.recall.value)} where it was chosen."
        )
    few = min(one.hits + one.misses for one in (choosing, then))
    if few < FEW:
        lines.append(
            f"There {noun(few, 'is', 'are')} only {counted(few, 'true face')} of the "
            "class on one half: one face more or less moves the numbers by "
            f"{percent(1 / few)}."
        )
    if then.found.value < now.found.value - _NOTABLE:
        lines.append(
            f"Fewer faces are shown at all: {percent(then.found.value)} of the true "
            f"ones of every class instead of {percent(now.found.value)}."
        )
    if then.unsure.value > now.unsure.value + _NOTABLE:
        lines.append(
            f"More faces are called unsure: {percent(then.unsure.value)} of those "
            f"shown instead of {percent(now.unsure.value)}."
        )
    more = then.no_faces.value - now.no_faces.value
    if more > _NOTABLE:
        lines.append(
            f"More boxes show no face: {then.no_faces.value:.2f} a picture instead of "
            f"{now.no_faces.value:.2f}."
        )
    return [*lines, SINGLE_PICTURES]
