"""How well people were told apart over a video: CLEAR MOT and IDF1.

CLEAR MOT (Bernardin & Stiefelhagen, EURASIP JIVP 2008) judges image by image: a truth
keeps the track that it had in the image before while both still overlap enough; the
others are paired at the best total overlap. What is left over is missed or a false
alarm, and a truth whose track is not the last one it had is a switch. MOTA is 1 less
all three over the number of truths; it may be negative.

IDF1 (Ristani et al., ECCV workshops 2016) judges the video as a whole: every person is
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

from maskdet.boxes import Boxes, iou_matrix
from maskdet.tracking.association import UNMATCHED, max_weight_assignment


@dataclass(frozen=True, eq=False)
class TrackingFrame:
    """One image: who was there, and whom the tracker says it saw.

    Attributes:
        person_ids: `(m,)` true numbers, each at most once.
        person_boxes: `(m, 4)` where they were.
        track_ids: `(n,)` the tracker's numbers, each at most once.
        track_boxes: `(n, 4)` where it says they were.
    """

    person_ids: NDArray[np.int64]
    person_boxes: Boxes
    track_ids: NDArray[np.int64]
    track_boxes: Boxes

    def __post_init__(self) -> None:
        """Check that numbers fit the boxes and are given once."""
        for name in ("person_ids", "track_ids"):
            ids = getattr(self, name)
            boxes = self.person_boxes if name == "person_ids" else self.track_boxes
            if ids.ndim != 1 or boxes.shape != (len(ids), 4):
                raise ValueError(
                    f"{name} must have one box each, got {ids.shape} and {boxes.shape}"
                )
            if len(np.unique(ids)) != len(ids):
                raise ValueError(f"{name} must be given once an image, got {ids}")


@dataclass(frozen=True)
class TrackingScore:
    """Counts over a video, and what follows from them.

    Attributes:
        n_ground_truth: people in all images.
        n_predicted: tracks in all images.
        false_negatives: truths without a track (CLEAR MOT).
        false_positives: tracks without a truth.
        id_switches: how often a person's track was not the last one it had.
        motp: mean overlap of truths and their tracks in [0, 1], called MOTP; NaN
            without a match.
        id_true_positives: images of people with the one track that is theirs over the
            video.
    """

    n_ground_truth: int
    n_predicted: int
    false_negatives: int
    false_positives: int
    id_switches: int
    motp: float
    id_true_positives: int

    @property
    def mota(self) -> float:
        """1 less the share of mistakes; NaN without a truth."""
        if not self.n_ground_truth:
            return math.nan
        return (
            1
            - (self.false_negatives + self.false_positives + self.id_switches)
            / self.n_ground_truth
        )

    @property
    def id_precision(self) -> float:
        """Share of the tracks' images with the right person; NaN without a track."""
        return (
            self.id_true_positives / self.n_predicted if self.n_predicted else math.nan
        )

    @property
    def id_recall(self) -> float:
        """Share of the people's images with the right track; NaN without a truth."""
        return (
            self.id_true_positives / self.n_ground_truth
            if self.n_ground_truth
            else math.nan
        )

    @property
    def idf1(self) -> float:
        """F1 of the two; NaN where nobody was there and nobody was found."""
        total = self.n_ground_truth + self.n_predicted
        return 2 * self.id_true_positives / total if total else math.nan


def evaluate_tracking(
    frames: Iterable[TrackingFrame], *, min_iou: float = 0.5
) -> TrackingScore:
    """Return how well a tracker did over one video.

    Args:
        frames: its images in order.
        min_iou: smallest overlap of a track with a person that counts, in (0, 1].
    """
    n_ground_truth = n_predicted = n_matched = id_switches = 0
    iou_sum = 0.0
    last_track: dict[int, int] = {}
    previous_track: dict[int, int] = {}
    overlap_counts: Counter[tuple[int, int]] = Counter()
    for frame in frames:
        n_ground_truth += len(frame.person_ids)
        n_predicted += len(frame.track_ids)
        ious = iou_matrix(frame.person_boxes, frame.track_boxes).astype(np.float64)
        for row, column in np.argwhere(ious >= min_iou):
            overlap_counts[
                int(frame.person_ids[row]), int(frame.track_ids[column])
            ] += 1
        pairs = _match_frame(frame, ious, previous_track, min_iou)
        rows = np.flatnonzero(pairs != UNMATCHED)
        previous_track = {
            int(frame.person_ids[row]): int(frame.track_ids[pairs[row]]) for row in rows
        }
        id_switches += sum(
            last_track.get(person_id, track) != track
            for person_id, track in previous_track.items()
        )
        last_track |= previous_track
        n_matched += len(rows)
        iou_sum += float(ious[rows, pairs[rows]].sum())
    return TrackingScore(
        n_ground_truth=n_ground_truth,
        n_predicted=n_predicted,
        false_negatives=n_ground_truth - n_matched,
        false_positives=n_predicted - n_matched,
        id_switches=id_switches,
        motp=iou_sum / n_matched if n_matched else math.nan,
        id_true_positives=_count_id_true_positives(overlap_counts),
    )


def combine_tracking_scores(scores: Iterable[TrackingScore]) -> TrackingScore:
    """Return the score over several videos, each image of all counting the same."""
    all_scores = list(scores)
    match_counts = [
        score.n_ground_truth - score.false_negatives for score in all_scores
    ]
    n_matched = sum(match_counts)
    iou_sum = sum(
        score.motp * count
        for score, count in zip(all_scores, match_counts, strict=True)
        if count
    )
    return TrackingScore(
        n_ground_truth=sum(score.n_ground_truth for score in all_scores),
        n_predicted=sum(score.n_predicted for score in all_scores),
        false_negatives=sum(score.false_negatives for score in all_scores),
        false_positives=sum(score.false_positives for score in all_scores),
        id_switches=sum(score.id_switches for score in all_scores),
        motp=iou_sum / n_matched if n_matched else math.nan,
        id_true_positives=sum(score.id_true_positives for score in all_scores),
    )


def _match_frame(
    frame: TrackingFrame,
    ious: NDArray[np.float64],
    previous_track: dict[int, int],
    min_iou: float,
) -> NDArray[np.int64]:
    """Return `(m,)` the row of each person's track, `UNMATCHED` for none."""
    column_of = {int(track): column for column, track in enumerate(frame.track_ids)}
    pairs = np.full(len(frame.person_ids), UNMATCHED, np.int64)
    gains = np.where(ious >= min_iou, 1 + ious, 0.0)
    for row, person_id in enumerate(frame.person_ids):
        column = column_of.get(previous_track.get(int(person_id), UNMATCHED), UNMATCHED)
        if column != UNMATCHED and ious[row, column] >= min_iou:
            pairs[row] = column
    kept = pairs != UNMATCHED
    gains[kept] = 0.0
    gains[:, pairs[kept]] = 0.0
    others = max_weight_assignment(gains)
    result: NDArray[np.int64] = np.where(kept, pairs, others)
    return result


def _count_id_true_positives(overlap_counts: Counter[tuple[int, int]]) -> int:
    """Return the most images in which people and tracks, paired for good, agree."""
    people = sorted({person_id for person_id, _ in overlap_counts})
    tracks = sorted({track for _, track in overlap_counts})
    row_of = {person_id: row for row, person_id in enumerate(people)}
    column_of = {track: column for column, track in enumerate(tracks)}
    counts = np.zeros((len(people), len(tracks)))
    for (person_id, track), n_frames in overlap_counts.items():
        counts[row_of[person_id], column_of[track]] = n_frames
    pairs = max_weight_assignment(counts)
    rows = np.flatnonzero(pairs != UNMATCHED)
    return int(counts[rows, pairs[rows]].sum())
