"""Which faces a move of a slider changed, and which are next to change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.tune.judging import FALSE_ALARM, MISSED, NEITHER, UNSURE, Hit, Outcome
from maskdet.tune.scored import Numbers, Rows
from maskdet.types import Label, Settings

Change: TypeAlias = Literal["appeared", "vanished", "label", "verdict"]
"""A face is shown now, is shown no more, is called otherwise, or is shown and called
as before but matches another true face."""

Slider: TypeAlias = Literal["min_score", "min_face_px", "min_confidence"]
"""The fields of `Settings` that a face lies on one side of."""


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


OVERLAP_DECIDED: Final = 1.0
"""The distance of a face that crossed no threshold."""


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
    setting: Slider
    value: float
    threshold: float
    distance: float


def flips(before: Outcome, after: Outcome) -> tuple[Flip, ...]:
    """Return the found faces that changed, nearest to the threshold first.

    For a true face right is better than unsure, and that better than missed or called
    wrong, which weigh the same; a false alarm is worse than none.

    Args:
        before: under the settings that were.
        after: of the same found faces, under those that are.

    Raises:
        ValueError: they are of different found faces.
    """
    scored = after.scored
    other = before.scored
    if scored is not other and not np.array_equal(scored.scores, other.scores):
        raise ValueError("flips need two outcomes on the same found faces")
    (said_b, truth_b), (said_a, truth_a) = _spread(before), _spread(after)
    both = (said_b != MISSED) & (said_a != MISSED)
    changed = np.flatnonzero((said_b != said_a) | (both & (truth_b != truth_a)))
    distances = _crossed(before, after)
    order = np.lexsort((-scored.scores[changed], distances[changed]))
    rows = changed[order]
    truths = np.where(truth_a >= 0, truth_a, truth_b)
    gains = _worth(after, truths, truth_a) - _worth(before, truths, truth_b)
    return tuple(
        Flip(
            Hit(int(scored.faces.pictures[row]), int(row), max(int(truths[row]), -1)),
            _change(int(said_b[row]), int(said_a[row])),
            int(said_b[row]),
            int(said_a[row]),
            None if gains[row] == 0 else bool(gains[row] > 0),
            float(distances[row]),
        )
        for row in rows
    )


def nearest(outcome: Outcome, most: int = 200) -> tuple[Near, ...]:
    """Return the mistakes that a small move would mend, nearest first.

    Those are true faces missed for their score or their size alone, false alarms,
    faces called right but unsure, and faces called wrong, which more confidence would
    make unsure.

    Args:
        outcome: the present one.
        most: how many to return.
    """
    found = [
        *_would_appear(outcome, "min_score"),
        *_would_appear(outcome, "min_face_px"),
        *_would_go(outcome),
        *_would_be_told(outcome),
    ]
    return tuple(sorted(found, key=lambda near: near.distance)[:most])


def _would_appear(outcome: Outcome, slider: Slider) -> Iterator[Near]:
    """Yield the missed faces that this slider alone would show."""
    if slider == "min_score":
        lax = dataclasses.replace(outcome.settings, min_score=0)
    else:
        lax = dataclasses.replace(outcome.settings, min_face_px=1)
    floor = outcome.judge(lax, min_iou=outcome.min_iou, temperature=outcome.temperature)
    labels = outcome.scored.truth.labels
    gained = (outcome.found < 0) & (floor.found >= 0) & (labels != Label.UNKNOWN)
    values = _values(floor, slider)
    for place in floor.found[gained].tolist():
        # One that gave way to a stronger box that this slider now shows stays out.
        if values[place] < getattr(outcome.settings, slider):
            yield _near(floor.hit(place), slider, values[place], outcome.settings)


def _would_go(outcome: Outcome) -> Iterator[Near]:
    """Yield the false alarms, by the slider that would drop them first."""
    scores, sizes = _values(outcome, "min_score"), _values(outcome, "min_face_px")
    for place in np.flatnonzero(outcome.truths == FALSE_ALARM).tolist():
        hit, stand = outcome.hit(place), outcome.settings
        by_score = _near(hit, "min_score", scores[place], stand)
        by_size = _near(hit, "min_face_px", sizes[place], stand)
        yield min(by_score, by_size, key=lambda near: near.distance)


def _would_be_told(outcome: Outcome) -> Iterator[Near]:
    """Yield the faces called right but unsure, and those called wrong."""
    right = outcome.probs.argmax(axis=1) == outcome.actual
    unsure = outcome.called == UNSURE
    values = _values(outcome, "min_confidence")
    for place in np.flatnonzero((outcome.truths >= 0) & (right == unsure)).tolist():
        hit, value = outcome.hit(place), values[place]
        yield _near(hit, "min_confidence", value, outcome.settings)


def _values(outcome: Outcome, slider: Slider) -> Numbers:
    """Return where each face shown lies on a slider."""
    if slider == "min_score":
        return outcome.scores
    if slider == "min_confidence":
        return outcome.confidences
    return sizes_px(outcome.scored.faces.boxes[outcome.shown])


def _near(hit: Hit, slider: Slider, value: float, settings: Settings) -> Near:
    threshold = float(getattr(settings, slider))
    gap = abs(float(value) - threshold) / _range(slider, threshold)
    return Near(hit, slider, float(value), threshold, gap)


def _spread(outcome: Outcome) -> tuple[Rows, Rows]:
    """Return what is said of each found face and the true face that it matches."""
    n = len(outcome.scored.faces)
    said, truths = np.full(n, MISSED, np.int64), np.full(n, NEITHER, np.int64)
    said[outcome.shown], truths[outcome.shown] = outcome.called, outcome.truths
    return said, truths


def _worth(outcome: Outcome, truths: Rows, matched: Rows) -> Rows:
    """Return how good it is that each found face is treated so.

    Args:
        outcome: that treats it so.
        truths: `(n,)` the true face that counts for each found one, below 0 for none.
        matched: `(n,)` what each found face matches in this outcome.
    """
    labels = outcome.scored.truth.labels
    right = (outcome.answers == labels) & (labels != Label.UNKNOWN)
    unsure = (outcome.answers == UNSURE) & (labels != Label.UNKNOWN)
    # The last one is for no true face, which the index -1 finds.
    levels = np.append(2 * right.astype(np.int64) + unsure, 0)
    worth: Rows = levels[np.maximum(truths, -1)] - (matched == FALSE_ALARM)
    return worth


def _crossed(before: Outcome, after: Outcome) -> Numbers:
    """Return the distance of each found face to the nearest threshold it crossed."""
    n, sliders = len(after.scored.faces), get_args(Slider)
    distances = np.full(n, OVERLAP_DECIDED, np.float32)
    for slider in sliders:
        was, now = (float(getattr(one.settings, slider)) for one in (before, after))
        old, new = (_everywhere(one, slider) for one in (before, after))
        crossed = ((old >= was) != (new >= now)) & ~np.isnan(old) & ~np.isnan(new)
        gaps = np.abs(new - now) / _range(slider, now)
        distances[crossed] = np.minimum(distances, gaps)[crossed]
    return distances


def _everywhere(outcome: Outcome, slider: Slider) -> Numbers:
    """Return where each found face lies on a slider, NaN where that is not known."""
    if slider == "min_score":
        return outcome.scored.scores
    if slider == "min_face_px":
        return sizes_px(outcome.scored.faces.boxes)
    values = np.full(len(outcome.scored.faces), np.nan, np.float32)
    values[outcome.shown] = outcome.confidences
    return values


def _range(slider: Slider, threshold: float) -> float:
    return threshold if slider == "min_face_px" else 1.0


def _change(before: int, after: int) -> Change:
    if before == MISSED:
        return "appeared"
    if after == MISSED:
        return "vanished"
    return "label" if before != after else "verdict"
