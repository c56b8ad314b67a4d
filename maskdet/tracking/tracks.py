"""The table of tracks: IDs, times and Kalman states."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.tracking import config
from maskdet.tracking.association import UNMATCHED
from maskdet.tracking.kalman import KalmanFilter
from maskdet.types import UNTRACKED, Faces

TIME_EPSILON_S = 1e-6
"""Times that differ by less are equal: seconds from frame numbers are rounded."""

_LOW_SCORE_NOISE_FACTOR = 2.0
"""Noise factor of boxes of low-score faces; an assumption, not measured."""

_MAX_LOW_SCORE_S = 1.0
"""Low-score faces continue a track for at most so long after a high-score one."""

_MAX_FRAME_INTERVAL_S = 1.0
"""Tracks of the previous frame are matched at least once more, whatever the frame rate,
if the interval is not longer than this."""


_TIME_COLUMNS = ("first_seen_s", "last_seen_s", "last_high_score_s", "last_located_s")
"""Columns of the table that are the current time for a new track."""

_COLUMNS = (
    *_TIME_COLUMNS,
    *("high_scores", "last_boxes", "ids", "keys", "occluder_keys"),
)


class TrackTable:
    """The tracks of one shot, in order of their first detection.

    Attributes:
        kalman: the Kalman filter of their heads.
        ids: `(n,)` int64 track IDs; `UNTRACKED` before the track is confirmed.
        first_seen_s: `(n,)` time of the first detection.
        last_seen_s: `(n,)` time of the last detection.
        last_high_score_s: `(n,)` time of the last high-score detection.
        high_scores: `(n,)` float32 its score.
        last_located_s: `(n,)` time of the last detection or optical-flow position.
        last_boxes: `(n, 4)` box at that time.
        keys: `(n,)` int64 unique keys, also of tracks without an ID.
        occluder_keys: `(n,)` key of the track that occludes each; `UNMATCHED` for none.
    """

    def __init__(self) -> None:
        """Start without tracks."""
        self.kalman = KalmanFilter()
        self.ids = np.zeros(0, np.int64)
        self.first_seen_s = np.zeros(0)
        self.last_seen_s = np.zeros(0)
        self.last_high_score_s = np.zeros(0)
        self.high_scores = np.zeros(0, np.float32)
        self.last_located_s = np.zeros(0)
        self.last_boxes: Boxes = np.zeros((0, 4), np.float32)
        self.keys = np.zeros(0, np.int64)
        self.occluder_keys = np.zeros(0, np.int64)
        self._next_key = 0
        self._time_s = 0.0
        self._step_s = 0.0

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.ids)

    @property
    def has_id(self) -> NDArray[np.bool_]:
        """`(n,)` whether each track has an ID."""
        result: NDArray[np.bool_] = self.ids != UNTRACKED
        return result

    @property
    def has_recent_high_score(self) -> NDArray[np.bool_]:
        """`(n,)` whether each has an ID and a recent high-score detection."""
        return self.has_id & (self._time_s - self.last_high_score_s <= _MAX_LOW_SCORE_S)

    @property
    def is_located(self) -> NDArray[np.bool_]:
        """`(n,)` whether each has an ID and a known position."""
        unlocated_s = self._time_s - self.last_located_s
        # A track located in the previous frame still is, whatever the frame rate.
        max_unlocated_s = (
            max(config.TENTATIVE_S, min(self._step_s, _MAX_FRAME_INTERVAL_S))
            + TIME_EPSILON_S
        )
        # A track with few detections may be a false positive.
        max_coast_s = config.MAX_COAST_RATIO * (self.last_seen_s - self.first_seen_s)
        result: NDArray[np.bool_] = (
            self.has_id
            & (unlocated_s <= max_unlocated_s)
            & (self.unseen_s <= max_coast_s)
        )
        return result

    @property
    def is_occluded(self) -> NDArray[np.bool_]:
        """`(n,)` whether each is occluded by another."""
        result: NDArray[np.bool_] = self.occluder_keys != UNMATCHED
        return result

    @property
    def unseen_s(self) -> NDArray[np.float64]:
        """`(n,)` seconds since the last detection of each."""
        result: NDArray[np.float64] = self._time_s - self.last_seen_s
        return result

    def predict(self, time_s: float) -> None:
        """Predict every head at the time of the next frame."""
        if len(self):
            self.kalman.predict(time_s - self._time_s)
        self._step_s, self._time_s = time_s - self._time_s, time_s

    def update(
        self, face_index: NDArray[np.int64], faces: Faces, n_high_score: int
    ) -> None:
        """Update the tracks that have a face in this frame.

        Args:
            face_index: `(n,)` the face of each; `UNMATCHED` for none.
            faces: the faces.
            n_high_score: the number of high-score faces.
        """
        boxes = faces.boxes
        rows = np.flatnonzero(face_index != UNMATCHED)
        is_high_score = face_index[rows] < n_high_score
        for subset, factor in (
            (rows[is_high_score], 1.0),
            (rows[~is_high_score], _LOW_SCORE_NOISE_FACTOR),
        ):
            measurement_std = factor * config.MEASUREMENT_NOISE
            self.kalman.update(subset, boxes[face_index[subset]], measurement_std)
        self.last_seen_s[rows] = self._time_s
        high_rows = rows[is_high_score]
        self.last_high_score_s[high_rows] = self._time_s
        self.high_scores[high_rows] = faces.scores[face_index[high_rows]]
        self.last_located_s[rows] = self._time_s
        self.last_boxes[rows] = boxes[face_index[rows]]
        self.occluder_keys[rows] = UNMATCHED

    def mark_occluded(
        self, rows: NDArray[np.int64], occluders: NDArray[np.int64]
    ) -> None:
        """Mark tracks as occluded by others; both are `(k,)` rows."""
        self.occluder_keys[rows] = self.keys[occluders]
        # The last boxes shrank because part of the head was hidden.
        self.kalman.zero_scale_velocity(rows)

    def find_occluders(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of each track's occluder; `UNMATCHED` if it was removed."""
        same = self.occluder_keys[rows][:, None] == self.keys
        result: NDArray[np.int64] = np.where(same.any(1), same.argmax(1), UNMATCHED)
        return result

    def update_coasting(self, rows: NDArray[np.int64], boxes: Boxes) -> None:
        """Update coasting tracks: `(k,)` rows and `(k, 4)` boxes."""
        self.kalman.update(rows, boxes, config.FLOW_NOISE)
        self.last_located_s[rows] = self._time_s
        self.last_boxes[rows] = boxes

    def rescale(self, x: float, y: float) -> None:
        """Rescale the tracks after the frame size changed by the factors `x`, `y`."""
        self.kalman.rescale(x, y)
        self.last_boxes *= np.array([x, y, x, y], np.float32)

    def mark_lost(self, rows: NDArray[np.int64] | slice = slice(None)) -> None:
        """Mark tracks as lost until they are detected again."""
        self.last_located_s[rows] = -np.inf

    def assign_ids(self, face_index: NDArray[np.int64], first_id: int) -> int:
        """Assign IDs to tracks that are confirmed now; return the next free ID."""
        age_s = self._time_s - self.first_seen_s
        is_confirmed = ~self.has_id & (face_index != UNMATCHED)
        is_confirmed &= age_s >= config.CONFIRM_S - TIME_EPSILON_S
        count = int(np.count_nonzero(is_confirmed))
        self.ids[is_confirmed] = np.arange(first_id, first_id + count)
        return first_id + count

    def add(self, boxes: Boxes, scores: NDArray[np.float32]) -> None:
        """Add new tracks of high-score faces."""
        n = len(boxes)
        self.kalman.add(boxes)
        new = {
            **dict.fromkeys(_TIME_COLUMNS, np.full(n, self._time_s)),
            "high_scores": scores,
            "last_boxes": boxes,
            "ids": np.full(n, UNTRACKED, np.int64),
            "keys": np.arange(self._next_key, self._next_key + n),
            "occluder_keys": np.full(n, UNMATCHED, np.int64),
        }
        for name, values in new.items():
            setattr(self, name, np.concatenate([getattr(self, name), values]))
        self._next_key += n

    def remove_expired(
        self, time_s: float, memory_s: float, min_score: float
    ) -> tuple[int, ...]:
        """Remove tracks that were not seen for too long; return their IDs.

        Those below a detection threshold that was raised since are removed as well.
        """
        tentative_s = min(memory_s, config.TENTATIVE_S)
        limits_s = np.where(self.has_id, memory_s, tentative_s) + TIME_EPSILON_S
        # Tracks of the previous frame are matched once more, whatever the frame rate
        # and `memory_s`.
        seen_last_frame = self.last_seen_s >= self._time_s - TIME_EPSILON_S
        step_s = min(time_s - self._time_s, _MAX_FRAME_INTERVAL_S)
        limits_s[seen_last_frame] = max(memory_s, step_s) + TIME_EPSILON_S
        keep = (time_s - self.last_seen_s <= limits_s) & (self.high_scores >= min_score)
        if keep.all():
            return ()
        removed = self.ids[~keep & self.has_id]
        self.kalman.select(keep)
        for name in _COLUMNS:
            setattr(self, name, getattr(self, name)[keep])
        return tuple(int(track_id) for track_id in removed)
