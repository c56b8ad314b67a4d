"""What settings would show of a set, and what of that is right: counted at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.metrics.calibration import with_temperature
from maskdet.tune.overlaps import Chosen, Overlaps
from maskdet.tune.scored import Numbers, Rows, Scored
from maskdet.types import CLASSES, Label, Settings

MIN_IOU: Final = 0.5
"""A face counts as found when its box overlaps the true one so much, as is usual."""

FALSE_ALARM: Final = -1
"""In `Outcome.truths`: a face is shown where there is none."""

NEITHER: Final = -2
"""In `Outcome.truths`: neither right nor wrong, see `Outcome`."""

ACTUAL: Final = (*(label.key for label in CLASSES), "no_face")
"""The rows of `Outcome.confusion`: what is true."""

SAID: Final = (*(label.key for label in CLASSES), "unsure", "missed")
"""The columns of `Outcome.confusion`: what was said."""

NO_FACE: Final = ACTUAL.index("no_face")
UNSURE: Final = SAID.index("unsure")
MISSED: Final = SAID.index("missed")


@dataclass(frozen=True)
class Hit:
    """One face to look at.

    Attributes:
        picture: which picture of the set it is in.
        found_row: its row in `Scored.faces`, -1 where nothing was found.
        truth_row: its row in `LabelledSet.faces`, -1 where there is no such face.
    """

    picture: int
    found_row: int
    truth_row: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What settings show of a set, and what of that is right.

    A face that matches a true one of unknown class is neither right nor wrong; nor is,
    in a set without boxes, a further face in a picture that has been answered for.
    A true face that is too small for the settings counts as missed.

    Attributes:
        scored: what was found.
        settings: what is shown of it.
        min_iou: smallest overlap that counts as found.
        temperature: that the probabilities were divided by, as logits; 1 as they were.
        shown: `(k,)` int64 rows of `scored.faces` that are shown, rising.
        probs: `(k, 3)` float32 after the temperature.
        said: `(k,)` int64 values of `Label`, `UNKNOWN` below the confidence.
        truths: `(k,)` int64 rows of `scored.truth.faces` that the faces shown match,
            `FALSE_ALARM` or `NEITHER`.
        found: `(t,)` int64 place in `shown` of the face that matches each true one,
            also those of unknown class; -1 where it is not found.
        confusion: `(4, 5)` int64, rows as in `ACTUAL`, columns as in `SAID`; what is
            neither right nor wrong is left out.
        judge: who judged, to ask for other settings.
    """

    scored: Scored
    settings: Settings
    min_iou: float
    temperature: float
    shown: Rows
    probs: Numbers
    said: Rows
    truths: Rows
    found: Rows
    confusion: Rows
    judge: Judge = field(repr=False)

    @property
    def pictures(self) -> int:
        """How many pictures the set has."""
        return len(self.scored.truth.names)

    @cached_property
    def actual(self) -> Rows:
        """`(k,)` row of `confusion` that each face shown counts in; -1 for neither."""
        return _actual(self.truths, self.scored.truth.labels)

    @cached_property
    def called(self) -> Rows:
        """`(k,)` column of `confusion` that each face shown counts in."""
        return np.where(self.said == Label.UNKNOWN, UNSURE, self.said)

    @cached_property
    def answers(self) -> Rows:
        """`(t,)` column of `confusion` that each true face counts in."""
        answers = np.full(len(self.found), MISSED, np.int64)
        known = self.found >= 0
        answers[known] = self.called[self.found[known]]
        return answers

    @property
    def scores(self) -> Numbers:
        """`(k,)` score of each face shown."""
        return self.scored.scores[self.shown]

    @property
    def confidences(self) -> Numbers:
        """`(k,)` probability of the likeliest class of each face shown."""
        best: Numbers = self.probs.max(axis=1, initial=0)
        return best

    def cell(self, actual: int, said: int) -> tuple[Hit, ...]:
        """Return the faces that one cell of `confusion` counts.

        Faces found come by falling confidence, missed ones by falling size.

        Args:
            actual: row, as in `ACTUAL`.
            said: column, as in `SAID`.

        Raises:
            ValueError: there is no such cell.
        """
        if not (0 <= actual < len(ACTUAL) and 0 <= said < len(SAID)):
            raise ValueError(f"there is no cell {actual}, {said} in 4 rows, 5 columns")
        truth = self.scored.truth
        if said == MISSED:
            lost = (self.found < 0) & (truth.labels == actual)
            rows = np.flatnonzero(lost & (actual != NO_FACE))
            order = np.argsort(-sizes_px(truth.faces.boxes[rows]), kind="stable")
            return tuple(self.missed(int(row)) for row in rows[order])
        places = np.flatnonzero((self.actual == actual) & (self.called == said))
        order = np.argsort(-self.confidences[places], kind="stable")
        return tuple(self.hit(int(place)) for place in places[order])

    def hit(self, place: int) -> Hit:
        """Return the face at a place of `shown`."""
        row = int(self.shown[place])
        picture = int(self.scored.faces.pictures[row])
        return Hit(picture, row, max(int(self.truths[place]), -1))

    def missed(self, truth_row: int) -> Hit:
        """Return a true face, as one that was not found."""
        return Hit(int(self.scored.truth.faces.pictures[truth_row]), -1, truth_row)


class Judge:
    """Judges any settings on one set without looking at a picture again.

    Args:
        scored: what was found; overlaps are worked out once, here.
    """

    def __init__(self, scored: Scored, *, overlaps: Overlaps | None = None) -> None:
        """Work out which boxes overlap, unless that is known."""
        self.scored = scored
        self._overlaps = Overlaps.of(scored) if overlaps is None else overlaps
        self._sizes_px = sizes_px(scored.faces.boxes)

    def __call__(
        self,
        settings: Settings,
        *,
        min_iou: float = MIN_IOU,
        temperature: float = 1.0,
    ) -> Outcome:
        """Return what the settings show, as `Scene.select` does, and what is right.

        Faces take true ones by falling score, as in `metrics.detection.match_faces`.

        Args:
            settings: `min_score`, `min_face_px`, `nms_iou` and `min_confidence` count.
            min_iou: smallest overlap that counts as found, above 0 and at most 1.
            temperature: see `metrics.calibration.with_temperature`.

        Raises:
            ValueError: the overlap or the temperature is out of its range.
        """
        _check(min_iou, temperature)
        scored, labels = self.scored, self.scored.truth.labels
        passes = scored.scores >= settings.min_score
        passes &= self._sizes_px >= settings.min_face_px
        alive = self._overlaps.settle(passes, settings.nms_iou)
        shown = np.flatnonzero(alive)
        matched = self._overlaps.match(alive, min_iou, len(labels))[shown]
        probs = self._probs(shown, temperature)
        said = _said(probs, settings.min_confidence)
        truths = self._verdicts(shown, matched)
        found = _inverse(matched, len(labels))
        counts = _count(_actual(truths, labels), said, labels[found < 0])
        how = settings, min_iou, temperature
        return Outcome(scored, *how, shown, probs, said, truths, found, counts, self)

    def only(self, pictures: Chosen) -> Judge:
        """Return the judge of some pictures of the set, which are counted anew.

        Args:
            pictures: `(p,)` whether each picture takes part.
        """
        scored, truth = self.scored, self.scored.truth
        wanted = np.asarray(pictures, np.bool_)
        if wanted.shape != (len(truth.names),):
            names = len(truth.names)
            raise ValueError(f"{wanted.shape} choices do not fit {names} pictures")
        found, true = wanted[scored.faces.pictures], wanted[truth.faces.pictures]
        overlaps = self._overlaps.only(found, true)
        return Judge(scored.only(wanted), overlaps=overlaps)

    def _probs(self, shown: Rows, temperature: float) -> Numbers:
        probs = self.scored.probs[shown]
        return probs if temperature == 1 else with_temperature(probs, temperature)

    def _verdicts(self, shown: Rows, matched: Rows) -> Rows:
        truth = self.scored.truth
        verdicts = matched.copy()
        taken = matched >= 0
        unknown = truth.labels[matched[taken]] == Label.UNKNOWN
        verdicts[np.flatnonzero(taken)[unknown]] = NEITHER
        if not truth.boxed:
            answered = np.zeros(len(truth.names), np.bool_)
            answered[truth.faces.pictures] = True
            further = ~taken & answered[self.scored.faces.pictures[shown]]
            verdicts[further] = NEITHER
        return verdicts


def _check(min_iou: float, temperature: float) -> None:
    if not 0 < min_iou <= 1:
        raise ValueError(f"min_iou must be above 0 and at most 1, not {min_iou}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"the temperature must be above 0, not {temperature}")


def _said(probs: Numbers, min_confidence: float) -> Rows:
    sure = probs.max(axis=1, initial=0) >= min_confidence
    return np.where(sure, probs.argmax(axis=1), Label.UNKNOWN)


def _inverse(matched: Rows, truths: int) -> Rows:
    found = np.full(truths, -1, np.int64)
    taken = np.flatnonzero(matched >= 0)
    found[matched[taken]] = taken
    return found


def _actual(truths: Rows, labels: Rows) -> Rows:
    actual = np.where(truths == NEITHER, -1, NO_FACE)
    known = truths >= 0
    actual[known] = labels[truths[known]]
    return actual


def _count(actual: Rows, said: Rows, missed: Rows) -> Rows:
    counts = np.zeros((len(ACTUAL), len(SAID)), np.int64)
    judged = actual >= 0
    called = np.where(said == Label.UNKNOWN, UNSURE, said)
    np.add.at(counts, (actual[judged], called[judged]), 1)
    np.add.at(counts[:, MISSED], missed[missed != Label.UNKNOWN], 1)
    return counts
