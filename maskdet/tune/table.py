"""The table of an outcome: each class, and parts of the set, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.metrics.estimate import Estimate, rate, share
from maskdet.metrics.slices import LEAST_COMPARED, difference, face_parts, thirds
from maskdet.tune.drawn import Tally, drawn_shares
from maskdet.tune.judging import FALSE_ALARM, Outcome
from maskdet.tune.overlaps import Chosen
from maskdet.tune.scored import FaceRows, Numbers, Rows
from maskdet.types import CLASSES, Label


@dataclass(frozen=True)
class ClassRow:
    """How well one class, or faces whatever their class, are told.

    Attributes:
        label: the class, None for faces whatever their class.
        precision: share of the faces called so that are; n is how many were.
        recall: share of the true ones called so; n is how many there are.
        f1: harmonic mean of the two; n as for recall.
        false_alarms: faces called so that are not, a picture; n is pictures.
    """

    label: Label | None
    precision: Estimate
    recall: Estimate
    f1: Estimate
    false_alarms: Estimate


@dataclass(frozen=True)
class Part:
    """How well a part of the true faces does, and whether worse than the rest.

    Attributes:
        name: what the set was cut by: `face size`, `light`, `sharpness`.
        part: which part of it, in words.
        found: share of its true faces that are found.
        right: share of its true faces that are found and called right.
        precision: share of the faces shown in this part that are faces.
        difference: `right` minus that of all other faces, with its interval.
        worse: whether it does worse than the rest by more than the interval allows.
    """

    name: str
    part: str
    found: Estimate
    right: Estimate
    precision: Estimate
    difference: Estimate
    worse: bool


def class_rows(outcome: Outcome) -> tuple[ClassRow, ...]:
    """Return the rows: faces whatever their class first, then each class.

    Faces count as found whatever they are called, also unsure; a class counts what is
    called so, surely enough. A false alarm of a class is also a face of another class.
    Intervals of shares come from drawing pictures.
    """
    labels = (None, *CLASSES)
    tallies = [tally(outcome, label) for label in labels]
    return tuple(
        ClassRow(
            label,
            shares.precision,
            shares.recall,
            shares.f1,
            false_alarms=rate((one.said - one.hits).tolist()),
        )
        for label, one, shares in zip(
            labels, tallies, drawn_shares(*tallies), strict=True
        )
    )


def parts(outcome: Outcome) -> tuple[Part, ...]:
    """Cut the set by size, light and sharpness of the faces; empty parts go.

    A true face lies in the part of its true box; a false alarm in that of its own.
    For sharpness the true faces are cut in three equal parts.
    """
    truth, scored = outcome.scored.truth, outcome.scored
    known = np.flatnonzero(truth.labels != Label.UNKNOWN)
    wrong = outcome.shown[outcome.truths == FALSE_ALARM]
    found = outcome.found[known] >= 0
    right = outcome.answers[known] == truth.labels[known]
    sizes, lights, sharpness = (
        np.concatenate([true, false])
        for true, false in zip(
            _looks(truth.faces, known), _looks(scored.faces, wrong), strict=True
        )
    )
    cut = thirds(sharpness[: len(known)])
    result = []
    for name, part, chosen in face_parts(sizes, lights, sharpness, cut):
        here, false = chosen[: len(known)], int(chosen[len(known) :].sum())
        if here.any():
            result.append(Part(name, part, *_numbers(here, false, found, right)))
    return tuple(result)


def tally(outcome: Outcome, label: Label | None) -> Tally:
    """Count in each picture what is shown, true and right of a class, None for faces.

    What is neither right nor wrong is left out.
    """
    truth = outcome.scored.truth
    if label is None:
        said, hits = outcome.actual >= 0, outcome.truths >= 0
        true = truth.labels != Label.UNKNOWN
    else:
        said = (outcome.actual >= 0) & (outcome.said == label)
        hits = said & (outcome.actual == label)
        true = truth.labels == label
    pictures = outcome.scored.faces.pictures[outcome.shown]
    return Tally(
        *(
            np.bincount(rows, minlength=outcome.pictures)
            for rows in (pictures[hits], pictures[said], truth.faces.pictures[true])
        )
    )


def _looks(faces: FaceRows, rows: Rows) -> tuple[Numbers, Numbers, Numbers]:
    sizes = sizes_px(faces.boxes[rows])
    return sizes, faces.lights[rows], faces.sharpness[rows]


def _numbers(
    here: Chosen, false: int, found: Chosen, right: Chosen
) -> tuple[Estimate, Estimate, Estimate, Estimate, bool]:
    """Return all that `Part` tells of the true faces `here`."""
    n, others = int(here.sum()), int((~here).sum())
    hits = int(found[here].sum())
    mine = share(int(right[here].sum()), n)
    gap = difference(mine, share(int(right[~here].sum()), others))
    worse = min(n, others) >= LEAST_COMPARED and gap.high < 0
    return share(hits, n), mine, share(hits, hits + false), gap, worse
