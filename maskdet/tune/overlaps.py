"""Which boxes of a set touch each other: worked out once, asked at every slider."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, iou_matrix
from maskdet.tune.scored import LabelledSet, Numbers, Rows, Scored
from maskdet.types import Label

Chosen = NDArray[np.bool_]
"""One yes or no a row."""

_Pairs = tuple[Rows, Rows, Numbers]
"""Row, row and overlap of each pair."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of boxes of one picture that overlap at all.

    Attributes:
        stronger: `(a,)` the found face of each pair that has the better score; of
            equal ones that of the lower row.
        weaker: `(a,)` the other one.
        shared: `(a,)` float32 intersection over union of the two.
        faces: `(b,)` found face of each pair with a true one, rising; those of one
            face begin with the true face that it would take first.
        truths: `(b,)` the true face of that pair.
        fits: `(b,)` float32 intersection over union of the two.
        ranks: `(n,)` when each found face may choose its true face, 0 first.
    """

    stronger: Rows
    weaker: Rows
    shared: Numbers
    faces: Rows
    truths: Rows
    fits: Numbers
    ranks: Rows

    @classmethod
    def of(cls, scored: Scored) -> Overlaps:
        """Find the pairs of a set, picture by picture."""
        pictures = _by_picture(scored)
        rivals = _joined([_rivals(scored, found) for found, _ in pictures])
        faces, truths, fits = _joined([_fitting(scored, *rows) for rows in pictures])
        best = np.zeros(len(scored.faces), np.float32)
        np.maximum.at(best, faces, fits)
        order = _preferred(scored.truth, faces, truths, fits)
        ranks = _ranks(scored.scores, best)
        return cls(*rivals, faces[order], truths[order], fits[order], ranks)

    def only(self, found: Chosen, true: Chosen) -> Overlaps:
        """Return the pairs of the chosen rows, counted anew: whole pictures only."""
        new_found, new_true = np.cumsum(found) - 1, np.cumsum(true) - 1
        near, fitting = found[self.stronger], found[self.faces]
        order = np.argsort(self.ranks[found], kind="stable")
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return dataclasses.replace(
            self,
            stronger=new_found[self.stronger[near]],
            weaker=new_found[self.weaker[near]],
            shared=self.shared[near],
            faces=new_found[self.faces[fitting]],
            truths=new_true[self.truths[fitting]],
            fits=self.fits[fitting],
            ranks=ranks,
        )

    def settle(self, alive: Chosen, max_iou: float) -> Chosen:
        """Return which faces remain where of two that overlap too much one goes.

        The same as `boxes.nms` in each picture, for all at once: in each round, who has
        no stronger rival stays for good and its weaker ones go.

        Args:
            alive: `(n,)` the faces that take part.
            max_iou: a face overlapping a better one by more than this goes.
        """
        alive = alive.copy()
        meet = alive[self.stronger] & alive[self.weaker] & (self.shared > max_iou)
        stronger, weaker = self.stronger[meet], self.weaker[meet]
        while len(stronger):
            rivalled = np.zeros(len(alive), np.bool_)
            rivalled[weaker] = True
            alive[weaker[~rivalled[stronger]]] = False
            left = alive[stronger] & alive[weaker]
            stronger, weaker = stronger[left], weaker[left]
        return alive

    def match(self, alive: Chosen, min_iou: float, truths: int) -> Rows:
        """Return the true face of each found one, -1 for none.

        The same as `metrics.detection.match_faces` in each picture, for all at once:
        every face asks for the true face that it likes best among those left to it,
        and loses those that a face of better rank asks for, until nobody loses.

        Args:
            alive: `(n,)` the faces that take part.
            min_iou: smallest overlap that counts as a match.
            truths: how many true faces there are.
        """
        fits = alive[self.faces] & (self.fits >= min_iou)
        faces, wanted = self.faces[fits], self.truths[fits]
        matched = np.full(len(alive), -1, np.int64)
        while True:
            asks = np.diff(faces, prepend=-1) != 0
            holders = np.full(truths, len(alive), np.int64)
            np.minimum.at(holders, wanted[asks], self.ranks[faces[asks]])
            left = self.ranks[faces] <= holders[wanted]
            if left.all():
                matched[faces[asks]] = wanted[asks]
                return matched
            faces, wanted = faces[left], wanted[left]


def _by_picture(scored: Scored) -> list[tuple[Rows, Rows]]:
    """Return the rows of found and of true faces of each picture."""
    pictures = np.arange(len(scored.truth.names) + 1)
    found = np.searchsorted(scored.faces.pictures, pictures)
    true = np.searchsorted(scored.truth.faces.pictures, pictures)
    return [
        (np.arange(*found[at : at + 2]), np.arange(*true[at : at + 2]))
        for at in range(len(pictures) - 1)
        if found[at] < found[at + 1]
    ]


def _rivals(scored: Scored, found: Rows) -> _Pairs:
    """Return the pairs of found faces of one picture, the stronger one first."""
    boxes = scored.faces.boxes[found]
    first, second, shared = _pairs(boxes, boxes)
    order = np.argsort(-scored.scores[found], kind="stable")
    place = np.empty(len(found), np.int64)
    place[order] = np.arange(len(found))
    once = place[first] < place[second]
    return found[first[once]], found[second[once]], shared[once]


def _fitting(scored: Scored, found: Rows, true: Rows) -> _Pairs:
    """Return the pairs of a found and a true face of one picture."""
    if scored.truth.boxed:
        boxes, true_boxes = scored.faces.boxes[found], scored.truth.faces.boxes[true]
        face, truth, fits = _pairs(boxes, true_boxes)
        return found[face], true[truth], fits
    # The whole picture is the box, so any face answers for it.
    face, truth = (side.ravel() for side in np.meshgrid(found, true, indexing="ij"))
    return face, truth, np.ones(len(face), np.float32)


def _pairs(boxes: Boxes, others: Boxes) -> _Pairs:
    overlaps = iou_matrix(boxes, others)
    first, second = np.nonzero(overlaps)
    return first, second, overlaps[first, second]


def _joined(parts: list[_Pairs]) -> _Pairs:
    nothing = np.zeros(0, np.int64)
    first, second, shares = zip(
        (nothing, nothing, np.zeros(0, np.float32)), *parts, strict=True
    )
    return np.concatenate(first), np.concatenate(second), np.concatenate(shares)


def _preferred(truth: LabelledSet, faces: Rows, truths: Rows, fits: Numbers) -> Rows:
    """Return the order of pairs: by face, known classes first, best fit first."""
    ignored = truth.labels[truths] == Label.UNKNOWN
    return np.lexsort((truths, -fits, ignored, faces))


def _ranks(scores: Numbers, best: Numbers) -> Rows:
    """Rank by falling score; of equal scores the better fitting one comes first."""
    order = np.lexsort((-best, -scores))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks
