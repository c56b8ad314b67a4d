"""How well people were told apart over a film: CLEAR MOT and IDF1.

CLEAR MOT (Bernardin & Stiefelhagen, EURASIP JIVP 2008) judges image by image: a truth
keeps the track that it had in the image before while both still overlap enough; the
others are paired at the best total overlap. What is left over is missed or a false
alarm, and a truth whose track is not the last one it had is a switch. MOTA is 1 less
all three over the number of truths; it may be negative.

IDF1 (Ristani et al., ECCV workshops 2016) judges the film as a whole: every person is
given at most one track, and every track one person, so that they agree in as many
images as possible; it is the F1 score of those images. A person whose number changes
halfway costs one switch, but half of the images.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.assignment import NOBODY, assign
from maskdet.boxes import Boxes, iou_matrix


@dataclass(frozen=True, eq=False)
class Sighting:
    """One image: who was there, and whom the tracker says it saw.

    Attributes:
        people: `(m,)` true numbers, each at most once.
        people_boxes: `(m, 4)` where they were.
        tracks: `(n,)` the tracker's numbers, each at most once.
        track_boxes: `(n, 4)` where it says they were.
    """

    people: NDArray[np.int64]
    people_boxes: Boxes
    tracks: NDArray[np.int64]
    track_boxes: Boxes

    def __post_init__(self) -> None:
        """Check that numbers fit the boxes and are given once."""
        for name in ("people", "tracks"):
            ids = getattr(self, name)
            boxes = self.people_boxes if name == "people" else self.track_boxes
            if ids.ndim != 1 or boxes.shape != (len(ids), 4):
                raise ValueError(
                    f"{name} must have one box each, got {ids.shape} and {boxes.shape}"
                )
            if len(np.unique(ids)) != len(ids):
                raise ValueError(f"{name} must be given once an image, got {ids}")


@dataclass(frozen=True)
class TrackingScore:
    """Counts over a film, and what follows from them.

    Attributes:
        truths: people in all images.
        found: tracks in all images.
        missed: truths without a track (CLEAR MOT).
        false_alarms: tracks without a truth.
        switches: how often a person's track was not the last one it had.
        overlap: mean overlap of truths and their tracks in [0, 1], called MOTP; NaN
            without a match.
        agreed: images of people with the one track that is theirs over the film.
    """

    truths: int
    found: int
    missed: int
    false_alarms: int
    switches: int
    overlap: float
    agreed: int

    @property
    def mota(self) -> float:
        """1 less the share of mistakes; NaN without a truth."""
        if not self.truths:
            return math.nan
        return 1 - (self.missed + self.false_alarms + self.switches) / self.truths

    @property
    def id_precision(self) -> float:
        """Share of the tracks' images with the right person; NaN without a track."""
        return self.agreed / self.found if self.found else math.nan

    @property
    def id_recall(self) -> float:
        """Share of the people's images with the right track; NaN without a truth."""
        return self.agreed / self.truths if self.truths else math.nan

    @property
    def idf1(self) -> float:
        """F1 of the two; NaN where nobody was there and nobody was found."""
        total = self.truths + self.found
        return 2 * self.agreed / total if total else math.nan


def tracking_score(film: Iterable[Sighting], *, min_iou: float = 0.5) -> TrackingScore:
    """Return how well a tracker did over one film.

    Args:
        film: its images in order.
        min_iou: smallest overlap of a track with a person that counts, in (0, 1].
    """
    truths = found = matched = switches = 0
    overlap = 0.0
    last: dict[int, int] = {}
    before: dict[int, int] = {}
    together: Counter[tuple[int, int]] = Counter()
    for image in film:
        truths += len(image.people)
        found += len(image.tracks)
        overlaps = iou_matrix(image.people_boxes, image.track_boxes).astype(np.float64)
        for row, column in np.argwhere(overlaps >= min_iou):
            together[int(image.people[row]), int(image.tracks[column])] += 1
        pairs = _pairs(image, overlaps, before, min_iou)
        rows = np.flatnonzero(pairs != NOBODY)
        before = {int(image.people[row]): int(image.tracks[pairs[row]]) for row in rows}
        switches += sum(last.get(who, track) != track for who, track in before.items())
        last |= before
        matched += len(rows)
        overlap += float(overlaps[rows, pairs[rows]].sum())
    return TrackingScore(
        truths=truths,
        found=found,
        missed=truths - matched,
        false_alarms=found - matched,
        switches=switches,
        overlap=overlap / matched if matched else math.nan,
        agreed=_agreed(together),
    )


def total_score(scores: Iterable[TrackingScore]) -> TrackingScore:
    """Return the score over several films, each image of all counting the same."""
    films = list(scores)
    matches = [film.truths - film.missed for film in films]
    matched = sum(matches)
    shared = sum(
        film.overlap * count
        for film, count in zip(films, matches, strict=True)
        if count
    )
    return TrackingScore(
        truths=sum(film.truths for film in films),
        found=sum(film.found for film in films),
        missed=sum(film.missed for film in films),
        false_alarms=sum(film.false_alarms for film in films),
        switches=sum(film.switches for film in films),
        overlap=shared / matched if matched else math.nan,
        agreed=sum(film.agreed for film in films),
    )


def _pairs(
    image: Sighting,
    overlaps: NDArray[np.float64],
    before: dict[int, int],
    min_iou: float,
) -> NDArray[np.int64]:
    """Return `(m,)` the row of each person's track, `NOBODY` for none."""
    column_of = {int(track): column for column, track in enumerate(image.tracks)}
    pairs = np.full(len(image.people), NOBODY, np.int64)
    gains = np.where(overlaps >= min_iou, 1 + overlaps, 0.0)
    for row, who in enumerate(image.people):
        column = column_of.get(before.get(int(who), NOBODY), NOBODY)
        if column != NOBODY and overlaps[row, column] >= min_iou:
            pairs[row] = column
    kept = pairs != NOBODY
    gains[kept] = 0.0
    gains[:, pairs[kept]] = 0.0
    others = assign(gains)
    result: NDArray[np.int64] = np.where(kept, pairs, others)
    return result


def _agreed(together: Counter[tuple[int, int]]) -> int:
    """Return the most images in which people and tracks, paired for good, agree."""
    people = sorted({who for who, _ in together})
    tracks = sorted({track for _, track in together})
    row_of = {who: row for row, who in enumerate(people)}
    column_of = {track: column for column, track in enumerate(tracks)}
    counts = np.zeros((len(people), len(tracks)))
    for (who, track), images in together.items():
        counts[row_of[who], column_of[track]] = images
    pairs = assign(counts)
    rows = np.flatnonzero(pairs != NOBODY)
    return int(counts[rows, pairs[rows]].sum())
