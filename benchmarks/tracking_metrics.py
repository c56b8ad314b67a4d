"""Tracking metrics: CLEAR MOT and IDF1.

CLEAR MOT (Bernardin & Stiefelhagen, EURASIP JIVP 2008) is computed frame by frame: a
person keeps the track of the previous frame while their IoU is high enough; the others
are matched at the best total IoU. Unmatched people are false negatives, unmatched
tracks false positives, and a person with another track than before is an ID switch.
MOTA is 1 minus the sum of all three divided by the number of people; it can be below 0.
A person who has a track again after frames without one is a fragmentation.

IDF1 (Ristani et al., ECCV workshops 2016) is computed over the whole video: people and
tracks are matched one to one, so that they agree in as many frames as possible; it is
the F1 score of these frames. If the ID of a person changes halfway, this is one ID
switch, but half of the frames are wrong.
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
    """Ground truth and tracks of one frame.

    Attributes:
        person_ids: `(m,)` unique true IDs.
        person_boxes: `(m, 4)` their boxes.
        track_ids: `(n,)` unique track IDs.
        track_boxes: `(n, 4)` their boxes.
    """

    person_ids: NDArray[np.int64]
    person_boxes: Boxes
    track_ids: NDArray[np.int64]
    track_boxes: Boxes

    def __post_init__(self) -> None:
        """Check that IDs are unique and match the boxes."""
        for name in ("person_ids", "track_ids"):
            ids = getattr(self, name)
            boxes = self.person_boxes if name == "person_ids" else self.track_boxes
            if ids.ndim != 1 or boxes.shape != (len(ids), 4):
                raise ValueError(
                    f"{name} must have one box each, got {ids.shape} and {boxes.shape}"
                )
            if len(np.unique(ids)) != len(ids):
                raise ValueError(f"{name} must be unique in a frame, got {ids}")


@dataclass(frozen=True)
class TrackingScore:
    """Counts over a video and the metrics computed from them.

    Attributes:
        n_ground_truth: people in all frames.
        n_predicted: tracks in all frames.
        false_negatives: people without a track (CLEAR MOT).
        false_positives: tracks without a person.
        id_switches: how often the track of a person changed.
        fragmentations: how often a person lost the track and had one again.
        motp: mean IoU of people and their tracks in [0, 1]; NaN without a match.
        id_true_positives: frames of people with the track that is matched to them over
            the video.
    """

    n_ground_truth: int
    n_predicted: int
    false_negatives: int
    false_positives: int
    id_switches: int
    fragmentations: int
    motp: float
    id_true_positives: int

    @property
    def mota(self) -> float:
        """1 minus the error rate; NaN without people."""
        if not self.n_ground_truth:
            return math.nan
        return (
            1
            - (self.false_negatives + self.false_positives + self.id_switches)
            / self.n_ground_truth
        )

    @property
    def id_precision(self) -> float:
        """Fraction of track frames with the correct person; NaN without tracks."""
        return (
            self.id_true_positives / self.n_predicted if self.n_predicted else math.nan
        )

    @property
    def id_recall(self) -> float:
        """Fraction of person frames with the correct track; NaN without people."""
        return (
            self.id_true_positives / self.n_ground_truth
            if self.n_ground_truth
            else math.nan
        )

    @property
    def idf1(self) -> float:
        """F1 score of the two; NaN without people and tracks."""
        total = self.n_ground_truth + self.n_predicted
        return 2 * self.id_true_positives / total if total else math.nan


def evaluate_tracking(
    frames: Iterable[TrackingFrame], *, min_iou: float = 0.5
) -> TrackingScore:
    """Evaluate a tracker on one video.

    Args:
        frames: its frames in order.
        min_iou: smallest IoU of a track and a person that match, in (0, 1].
    """
    n_ground_truth = n_predicted = n_matched = id_switches = fragmentations = 0
    iou_sum = 0.0
    last_track: dict[int, int] = {}
    previous_track: dict[int, int] = {}
    lost_ids: set[int] = set()
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
        fragmentations += len(lost_ids & previous_track.keys())
        lost_ids -= previous_track.keys()
        present_ids = {int(person_id) for person_id in frame.person_ids}
        lost_ids |= (present_ids & last_track.keys()) - previous_track.keys()
        last_track |= previous_track
        n_matched += len(rows)
        iou_sum += float(ious[rows, pairs[rows]].sum())
    return TrackingScore(
        n_ground_truth=n_ground_truth,
        n_predicted=n_predicted,
        false_negatives=n_ground_truth - n_matched,
        false_positives=n_predicted - n_matched,
        id_switches=id_switches,
        fragmentations=fragmentations,
        motp=iou_sum / n_matched if n_matched else math.nan,
        id_true_positives=_count_id_true_positives(overlap_counts),
    )


def combine_tracking_scores(scores: Iterable[TrackingScore]) -> TrackingScore:
    """Return the score over several videos; all frames have the same weight."""
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
        fragmentations=sum(score.fragmentations for score in all_scores),
        motp=iou_sum / n_matched if n_matched else math.nan,
        id_true_positives=sum(score.id_true_positives for score in all_scores),
    )


def _match_frame(
    frame: TrackingFrame,
    ious: NDArray[np.float64],
    previous_track: dict[int, int],
    min_iou: float,
) -> NDArray[np.int64]:
    """Return `(m,)` the index of each person's track, `UNMATCHED` for none."""
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
    """Return the largest number of frames that a one-to-one matching can agree in."""
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
