"""The people that a tracker knows: number, when they were seen, where their head is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskdet.assignment import NOBODY
from maskdet.boxes import Boxes
from maskdet.tracking.motion import Motion
from maskdet.tracking.rules import TrackRules
from maskdet.types import UNTRACKED

SAME_S = 1e-6
"""Times that differ by less are equal: seconds made of frame numbers are rounded."""

_DOUBTFUL_JITTER = 2.0
"""Boxes of doubtful faces lie so much farther off: by a guess, not by measurement."""


_DIP_S = 1.0
"""Doubtful faces continue nobody for longer: who raises the lowest score means it."""

_SLOWEST_S = 1.0
"""Slow cameras, too, ask once more after whoever was there in the image before; after
a longer pause nobody knows what became of them."""


class People:
    """The people of one scene, in the order in which they came.

    Attributes:
        motion: their heads.
        ids: `(n,)` int64; `UNTRACKED` for who was not seen long enough yet.
        born_s: `(n,)` when each was first seen.
        seen_s: `(n,)` when each was last seen.
        sure_s: `(n,)` when each last had a sure face.
        followed_s: `(n,)` when it was last known where each head is.
        places: `(n, 4)` where each was at that time.
        keys: `(n,)` int64 tell people apart, also those without a number.
        behind: `(n,)` key of whose face hid it when it was last to be seen, `NOBODY`
            if none did.
    """

    def __init__(self, rules: TrackRules) -> None:
        """Start with nobody."""
        self.motion = Motion(rules)
        self.ids = np.zeros(0, np.int64)
        self.born_s = np.zeros(0)
        self.seen_s = np.zeros(0)
        self.sure_s = np.zeros(0)
        self.followed_s = np.zeros(0)
        self.places: Boxes = np.zeros((0, 4), np.float32)
        self.keys = np.zeros(0, np.int64)
        self.behind = np.zeros(0, np.int64)
        self._next_key = 0
        self._rules = rules
        self._time_s = 0.0
        self._step_s = 0.0

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.ids)

    @property
    def known(self) -> NDArray[np.bool_]:
        """`(n,)` who has a number."""
        result: NDArray[np.bool_] = self.ids != UNTRACKED
        return result

    @property
    def lately_sure(self) -> NDArray[np.bool_]:
        """`(n,)` who has a number and had a sure face a moment ago."""
        return self.known & (self._time_s - self.sure_s <= _DIP_S)

    @property
    def followed(self) -> NDArray[np.bool_]:
        """`(n,)` who has a number and a head that is where its box is."""
        lost_s = self._time_s - self.followed_s
        # However slow the camera is, who was followed in the image before still is.
        patience_s = max(self._rules.doubt_s, min(self._step_s, _SLOWEST_S)) + SAME_S
        # What looked like a face for a moment only may not have been one.
        trust_s = self._rules.trust * (self.seen_s - self.born_s)
        result: NDArray[np.bool_] = (
            self.known & (lost_s <= patience_s) & (self.unseen_s <= trust_s)
        )
        return result

    @property
    def covered(self) -> NDArray[np.bool_]:
        """`(n,)` who is known to be behind somebody."""
        result: NDArray[np.bool_] = self.behind != NOBODY
        return result

    @property
    def unseen_s(self) -> NDArray[np.float64]:
        """`(n,)` seconds since each was last seen."""
        result: NDArray[np.float64] = self._time_s - self.seen_s
        return result

    def advance(self, time_s: float) -> None:
        """Move every head on to the time of the next image."""
        if len(self):
            self.motion.advance(time_s - self._time_s)
        self._step_s, self._time_s = time_s - self._time_s, time_s

    def see(self, face_of: NDArray[np.int64], boxes: Boxes, sure: int) -> None:
        """Note whose face was seen in this image.

        Args:
            face_of: `(n,)` the face of each, `NOBODY` for none.
            boxes: `(m, 4)` the faces, best first.
            sure: how many of them are sure.
        """
        rows = np.flatnonzero(face_of != NOBODY)
        is_sure = face_of[rows] < sure
        for some, factor in ((rows[is_sure], 1.0), (rows[~is_sure], _DOUBTFUL_JITTER)):
            jitter = factor * self._rules.jitter
            self.motion.correct(some, boxes[face_of[some]], jitter)
        self.seen_s[rows] = self._time_s
        self.sure_s[rows[is_sure]] = self._time_s
        self.followed_s[rows] = self._time_s
        self.places[rows] = boxes[face_of[rows]]
        self.behind[rows] = NOBODY

    def cover(self, rows: NDArray[np.int64], fronts: NDArray[np.int64]) -> None:
        """Note that some heads are behind others; both `(k,)` rows."""
        self.behind[rows] = self.keys[fronts]
        # What was seen of them last got smaller with each image; they did not.
        self.motion.rest(rows)

    def fronts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of whoever each is behind, `NOBODY` if they left."""
        same = self.behind[rows][:, None] == self.keys
        result: NDArray[np.int64] = np.where(same.any(1), same.argmax(1), NOBODY)
        return result

    def follow(self, rows: NDArray[np.int64], boxes: Boxes) -> None:
        """Note where some heads went that showed no face: `(k,)` and `(k, 4)`."""
        self.motion.correct(rows, boxes, self._rules.flow_jitter)
        self.followed_s[rows] = self._time_s
        self.places[rows] = boxes

    def rescale(self, x: float, y: float) -> None:
        """Follow pictures that from now on come `x` times as wide, `y` as high."""
        self.motion.rescale(x, y)
        self.places *= np.array([x, y, x, y], np.float32)

    def lose(self, rows: NDArray[np.int64] | slice = slice(None)) -> None:
        """Note that nobody knows where some heads are, until they are seen again."""
        self.followed_s[rows] = -np.inf

    def name(self, face_of: NDArray[np.int64], first_id: int) -> int:
        """Give a number to whoever was seen long enough; return the next free one."""
        age_s = self._time_s - self.born_s
        ripe = ~self.known & (face_of != NOBODY)
        ripe &= age_s >= self._rules.confirm_s - SAME_S
        count = int(np.count_nonzero(ripe))
        self.ids[ripe] = np.arange(first_id, first_id + count)
        return first_id + count

    def add(self, boxes: Boxes) -> None:
        """Add people seen for the first time."""
        n = len(boxes)
        now = np.full(n, self._time_s)
        self.motion.add(boxes)
        self.ids = np.concatenate([self.ids, np.full(n, UNTRACKED, np.int64)])
        self.born_s = np.concatenate([self.born_s, now])
        self.seen_s = np.concatenate([self.seen_s, now])
        self.sure_s = np.concatenate([self.sure_s, now])
        self.followed_s = np.concatenate([self.followed_s, now])
        self.places = np.concatenate([self.places, boxes])
        keys = np.arange(self._next_key, self._next_key + n)
        self.keys = np.concatenate([self.keys, keys])
        self.behind = np.concatenate([self.behind, np.full(n, NOBODY, np.int64)])
        self._next_key += n

    def forget(self, time_s: float, memory_s: float) -> tuple[int, ...]:
        """Forget whoever was not seen for too long; return their numbers."""
        doubt_s = min(memory_s, self._rules.doubt_s)
        limits_s = np.where(self.known, memory_s, doubt_s) + SAME_S
        # Whoever was there a moment ago is looked for once more, however slow the
        # camera is and however short the memory.
        lately = self.seen_s >= self._time_s - SAME_S
        step_s = min(time_s - self._time_s, _SLOWEST_S)
        limits_s[lately] = max(memory_s, step_s) + SAME_S
        keep = time_s - self.seen_s <= limits_s
        if keep.all():
            return ()
        left = self.ids[~keep & self.known]
        self.motion.keep(keep)
        self.ids, self.born_s = self.ids[keep], self.born_s[keep]
        self.seen_s, self.followed_s = self.seen_s[keep], self.followed_s[keep]
        self.sure_s, self.places = self.sure_s[keep], self.places[keep]
        self.keys, self.behind = self.keys[keep], self.behind[keep]
        return tuple(int(number) for number in left)
