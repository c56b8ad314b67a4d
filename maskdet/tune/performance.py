"""What settings do for one class, on some of the pictures of a set."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.estimate import Estimate, grouped_share, rate
from maskdet.metrics.labelling import Json
from maskdet.tune.drawn import Tally, drawn_shares
from maskdet.tune.judging import NO_FACE, UNSURE, Outcome
from maskdet.tune.scored import Rows
from maskdet.types import CLASSES, Label

Chosen = NDArray[np.bool_]
"""`(p,)` which pictures of a set count."""


@dataclass(frozen=True, eq=False)
class Counts:
    """What happened in each picture for one class.

    Attributes:
        hits: `(p,)` true faces of the class that are said to be of it.
        misses: `(p,)` true faces of the class that are not.
        alarms: `(p,)` faces said to be of the class that are none.
    """

    hits: Rows
    misses: Rows
    alarms: Rows

    @classmethod
    def of(cls, outcome: Outcome, label: Label) -> Counts:
        """Count in every picture of a set."""
        n, truth = outcome.pictures, outcome.scored.truth
        hit, alarm = hit_truths(outcome, label), alarm_rows(outcome, label)
        true = truth.labels == label
        return cls(
            np.bincount(truth.faces.pictures[hit], minlength=n),
            np.bincount(truth.faces.pictures[true & ~hit], minlength=n),
            np.bincount(outcome.scored.faces.pictures[alarm], minlength=n),
        )

    def only(self, chosen: Chosen) -> Counts:
        """Return the counts of the chosen pictures."""
        return Counts(self.hits[chosen], self.misses[chosen], self.alarms[chosen])


def hit_truths(outcome: Outcome, label: Label) -> Chosen:
    """Return `(t,)` which true faces are of the class and said to be of it."""
    hit: Chosen = (outcome.scored.truth.labels == label) & (outcome.answers == label)
    return hit


def alarm_rows(outcome: Outcome, label: Label) -> Rows:
    """Return the rows of faces found that are said to be of the class and are none."""
    wrong = (outcome.actual >= 0) & (outcome.actual != label)
    rows: Rows = outcome.shown[wrong & (outcome.said == label)]
    return rows


@dataclass(frozen=True)
class Performance:
    """What settings do for one class on some pictures.

    Shares have Wilson's interval, widened where the faces of a picture go together;
    F1 is resampled by pictures; see `metrics.estimate`.

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
        no_faces: boxes in a picture, in the mean, that show no face, whatever is said.
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
    no_faces: Estimate

    @classmethod
    def of(cls, outcome: Outcome, label: Label, chosen: Chosen) -> Performance:
        """Measure on the chosen pictures of a set."""
        counts = Counts.of(outcome, label).only(chosen)
        hits, misses, alarms = counts.hits, counts.misses, counts.alarms
        true: Rows = hits + misses
        said: Rows = hits + alarms
        truth, pictures = outcome.scored.truth, outcome.scored.faces.pictures
        shown_in = pictures[outcome.shown]

        def per_picture(places: Rows) -> Rows:
            counted: Rows = np.bincount(places, minlength=outcome.pictures)[chosen]
            return counted

        faces = per_picture(truth.faces.pictures[truth.labels >= 0])
        known = (outcome.actual >= 0) & (outcome.actual < len(CLASSES))
        found = per_picture(shown_in[known])
        unsure = per_picture(shown_in[known & (outcome.called == UNSURE)])
        return cls(
            label,
            len(hits),
            int(hits.sum()),
            int(misses.sum()),
            int(alarms.sum()),
            recall=grouped_share(hits, true),
            precision=grouped_share(hits, said),
            f1=drawn_shares(Tally(hits, said, true))[0].f1,
            alarms_per_picture=rate(alarms.tolist()),
            found=grouped_share(found, faces),
            unsure=grouped_share(unsure, found),
            no_faces=rate(per_picture(shown_in[outcome.actual == NO_FACE]).tolist()),
        )

    def to_json(self) -> Json:
        """Return every number with its interval."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: value.rounded() if isinstance(value, Estimate) else value
            for name, value in {**values, "label": self.label.key}.items()
        }


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

    @classmethod
    def of(
        cls, before: Outcome, after: Outcome, label: Label, chosen: Chosen
    ) -> Change:
        """Compare two outcomes of the same faces on the chosen pictures."""
        here = chosen[before.scored.truth.faces.pictures]
        was, now = (hit_truths(one, label) & here for one in (before, after))
        pictures = before.scored.faces.pictures
        alarms = []
        for one in (before, after):
            rows = alarm_rows(one, label)
            alarms.append(set(rows[chosen[pictures[rows]]].tolist()))
        return cls(
            int((now & ~was).sum()),
            int((was & ~now).sum()),
            len(alarms[0] - alarms[1]),
            len(alarms[1] - alarms[0]),
        )

    def lines(self) -> tuple[str, ...]:
        """Return what is won and what it costs, one sentence each."""
        if self == Change(0, 0, 0, 0):
            return ("Against the settings of now, nothing changes for the class.",)
        found = _both(self.gained, "more found", self.lost, "lost")
        alarms = _both(self.alarms_gone, "fewer", self.alarms_new, "more")
        return (
            f"Against the settings of now: {found} of the true faces of the class.",
            f"False alarms of the class: {alarms}.",
        )


def _both(first: int, gain: str, second: int, loss: str) -> str:
    return f"{first} {gain}, {second} {loss}"
