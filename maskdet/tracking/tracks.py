"""The people that a tracker knows: number, when they were seen, where their head is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.tracking.association import UNMATCHED
from maskdet.tracking.config import TrackerConfig
from maskdet.tracking.kalman import KalmanFilter
from maskdet.types import UNTRACKED

TIME_EPSILON_S = 1e-6
"""Times that differ by less are equal: seconds made of frame numbers are rounded."""

_LOW_SCORE_NOISE_FACTOR = 2.0
"""Boxes of doubtful faces lie so much farther off: by a guess, not by measurement."""


_MAX_LOW_SCORE_S = 1.0
"""Doubtful faces continue nobody for longer: who raises the lowest score means it."""

_MAX_FRAME_INTERVAL_S = 1.0
"""Slow cameras, too, ask once more after whoever was there in the image before; after
a longer pause nobody knows what became of them."""


class TrackTable:
    """The people of one scene, in the order in which they came.

    Attributes:
        kalman: their heads.
        ids: `(n,)` int64; `UNTRACKED` for who was not seen long enough yet.
        first_seen_s: `(n,)` when each was first seen.
        last_seen_s: `(n,)` when each was last seen.
        last_high_score_s: `(n,)` when each last had a sure face.
        last_located_s: `(n,)` when it was last known where each head is.
        last_boxes: `(n, 4)` where each was at that time.
        keys: `(n,)` int64 tell people apart, also those without a number.
        occluder_keys: `(n,)` key of whose face hid it when it was last to be seen,
            `UNMATCHED` if none did.
    """

    def __init__(self, config: TrackerConfig) -> None:
        """Start with nobody."""
        self.kalman = KalmanFilter(config)
        self.ids = np.zeros(0, np.int64)
        self.first_seen_s = np.zeros(0)
        self.last_seen_s = np.zeros(0)
        self.last_high_score_s = np.zeros(0)
        self.last_located_s = np.zeros(0)
        self.last_boxes: Boxes = np.zeros((0, 4), np.float32)
        self.keys = np.zeros(0, np.int64)
        self.occluder_keys = np.zeros(0, np.int64)
        self._next_key = 0
        self._config = config
        self._time_s = 0.0
        self._step_s = 0.0

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.ids)

    @property
    def has_id(self) -> NDArray[np.bool_]:
        """`(n,)` who has a number."""
        result: NDArray[np.bool_] = self.ids != UNTRACKED
        return result

    @property
    def has_recent_high_score(self) -> NDArray[np.bool_]:
        """`(n,)` who has a number and had a sure face a moment ago."""
        return self.has_id & (self._time_s - self.last_high_score_s <= _MAX_LOW_SCORE_S)

    @property
    def is_located(self) -> NDArray[np.bool_]:
        """`(n,)` who has a number and a head that is where its box is."""
        unlocated_s = self._time_s - self.last_located_s
        # However slow the camera is, who was followed in the image before still is.
        max_unlocated_s = (
            max(self._config.tentative_s, min(self._step_s, _MAX_FRAME_INTERVAL_S))
            + TIME_EPSILON_S
        )
        # What looked like a face for a moment only may not have been one.
        max_coast_s = self._config.max_coast_ratio * (
            self.last_seen_s - self.first_seen_s
        )
        result: NDArray[np.bool_] = (
            self.has_id
            & (unlocated_s <= max_unlocated_s)
            & (self.unseen_s <= max_coast_s)
        )
        return result

    @property
    def is_occluded(self) -> NDArray[np.bool_]:
        """`(n,)` who is known to be behind somebody."""
        result: NDArray[np.bool_] = self.occluder_keys != UNMATCHED
        return result

    @property
    def unseen_s(self) -> NDArray[np.float64]:
        """`(n,)` seconds since each was last seen."""
        result: NDArray[np.float64] = self._time_s - self.last_seen_s
        return result

    def predict(self, time_s: float) -> None:
        """Move every head on to the time of the next image."""
        if len(self):
            self.kalman.predict(time_s - self._time_s)
        self._step_s, self._time_s = time_s - self._time_s, time_s

    def update(
        self, face_index: NDArray[np.int64], boxes: Boxes, n_high_score: int
    ) -> None:
        """Note whose face was seen in this image.

        Args:
            face_index: `(n,)` the face of each, `UNMATCHED` for none.
            boxes: `(m, 4)` the faces, best first.
            n_high_score: how many of them are sure.
        """
        rows = np.flatnonzero(face_index != UNMATCHED)
        is_high_score = face_index[rows] < n_high_score
        for subset, factor in (
            (rows[is_high_score], 1.0),
            (rows[~is_high_score], _LOW_SCORE_NOISE_FACTOR),
        ):
            measurement_std = factor * self._config.measurement_noise
            self.kalman.update(subset, boxes[face_index[subset]], measurement_std)
        self.last_seen_s[rows] = self._time_s
        self.last_high_score_s[rows[is_high_score]] = self._time_s
        self.last_located_s[rows] = self._time_s
        self.last_boxes[rows] = boxes[face_index[rows]]
        self.occluder_keys[rows] = UNMATCHED

    def mark_occluded(
        self, rows: NDArray[np.int64], occluders: NDArray[np.int64]
    ) -> None:
        """Note that some heads are behind others; both `(k,)` rows."""
        self.occluder_keys[rows] = self.keys[occluders]
        # What was seen of them last got smaller with each image; they did not.
        self.kalman.zero_scale_velocity(rows)

    def find_occluders(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of whoever each is behind, `UNMATCHED` if they left."""
        same = self.occluder_keys[rows][:, None] == self.keys
        result: NDArray[np.int64] = np.where(same.any(1), same.argmax(1), UNMATCHED)
        return result

    def update_coasting(self, rows: NDArray[np.int64], boxes: Boxes) -> None:
        """Note where some heads went that showed no face: `(k,)` and `(k, 4)`."""
        self.kalman.update(rows, boxes, self._config.flow_noise)
        self.last_located_s[rows] = self._time_s
        self.last_boxes[rows] = boxes

    def rescale(self, x: float, y: float) -> None:
        """Follow images that from now on come `x` times as wide, `y` as high."""
        self.kalman.rescale(x, y)
        self.last_boxes *= np.array([x, y, x, y], np.float32)

    def mark_lost(self, rows: NDArray[np.int64] | slice = slice(None)) -> None:
        """Note that nobody knows where some heads are, until they are seen again."""
        self.last_located_s[rows] = -np.inf

    def assign_ids(self, face_index: NDArray[np.int64], first_id: int) -> int:
        """Give a number to whoever was seen long enough; return the next free one."""
        age_s = self._time_s - self.first_seen_s
        is_confirmed = ~self.has_id & (face_index != UNMATCHED)
        is_confirmed &= age_s >= self._config.confirm_s - TIME_EPSILON_S
        count = int(np.count_nonzero(is_confirmed))
        self.ids[is_confirmed] = np.arange(first_id, first_id + count)
        return first_id + count

    def add(self, boxes: Boxes) -> None:
        """Add people seen for the first time."""
        n = len(boxes)
        now = np.full(n, self._time_s)
        self.kalman.add(boxes)
        self.ids = np.concatenate([self.ids, np.full(n, UNTRACKED, np.int64)])
        self.first_seen_s = np.concatenate([self.first_seen_s, now])
        self.last_seen_s = np.concatenate([self.last_seen_s, now])
        self.last_high_score_s = np.concatenate([self.last_high_score_s, now])
        self.last_located_s = np.concatenate([self.last_located_s, now])
        self.last_boxes = np.concatenate([self.last_boxes, boxes])
        keys = np.arange(self._next_key, self._next_key + n)
        self.keys = np.concatenate([self.keys, keys])
        self.occluder_keys = np.concatenate(
            [self.occluder_keys, np.full(n, UNMATCHED, np.int64)]
        )
        self._next_key += n

    def remove_expired(self, time_s: float, memory_s: float) -> tuple[int, ...]:
        """Forget whoever was not seen for too long; return their numbers."""
        tentative_s = min(memory_s, self._config.tentative_s)
        limits_s = np.where(self.has_id, memory_s, tentative_s) + TIME_EPSILON_S
        # Whoever was there a moment ago is looked for once more, however slow the
        # camera is and however short the memory.
        seen_last_frame = self.last_seen_s >= self._time_s - TIME_EPSILON_S
        step_s = min(time_s - self._time_s, _MAX_FRAME_INTERVAL_S)
        limits_s[seen_last_frame] = max(memory_s, step_s) + TIME_EPSILON_S
        keep = time_s - self.last_seen_s <= limits_s
        if keep.all():
            return ()
        removed = self.ids[~keep & self.has_id]
        self.kalman.select(keep)
        self.ids, self.first_seen_s = self.ids[keep], self.first_seen_s[keep]
        self.last_seen_s, self.last_located_s = (
            self.last_seen_s[keep],
            self.last_located_s[keep],
        )
        self.last_high_score_s, self.last_boxes = (
            self.last_high_score_s[keep],
            self.last_boxes[keep],
        )
        self.keys, self.occluder_keys = self.keys[keep], self.occluder_keys[keep]
        return tuple(int(track_id) for track_id in removed)
