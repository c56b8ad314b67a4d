"""Giving people numbers that stay, over misses, crossings, turned backs and cuts.

Sure faces are given to people first; then doubtful ones may continue somebody, but
never make a new person (the two thresholds of ByteTrack, Zhang et al., ECCV 2022).
Heads that show no face are followed by optical flow until the memory ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.assignment import NOBODY
from maskdet.boxes import Boxes, areas, clip
from maskdet.tracking.association import costs, covered, pair, reappearing
from maskdet.tracking.flow import follow
from maskdet.tracking.people import SAME_S
from maskdet.tracking.rules import TrackRules
from maskdet.tracking.scenes import Scenes, View
from maskdet.types import UNTRACKED, Faces, Image

_DOUBTFUL = 0.4
"""Share of the lowest sure score that may still continue a track."""

_AGE_COST = 0.3
"""What somebody nearly forgotten costs more than somebody seen a moment ago."""

_HIDDEN_COST = 0.15
"""What somebody who was behind another costs more than that other."""

_SPREADS = 3.0
"""Deviations that a face may be from where it was expected."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """Who is who in one image.

    Attributes:
        ids: `(n,)` int64 number of each given face in the given order; `UNTRACKED`
            where it was not seen long enough yet, or is doubtful and nobody's.
        shown: `(n,)` bool, False for doubtful faces that are nobody's.
        carried_ids: `(k,)` int64 people whose head was followed without a face.
        carried_boxes: `(k, 4)` float32 their heads, in pixels of the image.
        carried_s: `(k,)` float32 seconds since each was last seen.
        lost_boxes: `(m, 4)` float32 where everybody else who is remembered was last
            and where they may be by now: covered, lost, or seen too short a time.
        left: numbers that were forgotten in this step; they never come again.
    """

    ids: NDArray[np.int64]
    shown: NDArray[np.bool_]
    carried_ids: NDArray[np.int64]
    carried_boxes: Boxes
    carried_s: NDArray[np.float32]
    lost_boxes: Boxes
    left: tuple[int, ...]


class Tracker:
    """Gives the people of one camera or film numbers from 1 up.

    Attributes:
        memory_s: whoever was not seen for so long is forgotten, in seconds; may be
            replaced at any time.
    """

    def __init__(self, memory_s: float = 3.0, rules: TrackRules | None = None) -> None:
        """Start with nobody.

        Args:
            memory_s: see the attribute.
            rules: how people move and how sure a match must be.
        """
        self.memory_s = memory_s
        self._rules = TrackRules() if rules is None else rules
        self._scenes = Scenes(self._rules)
        self._time_s = -math.inf
        self._next_id = 1

    @staticmethod
    def low_score(min_score: float) -> float:
        """Return the lowest score with which a face may continue a track.

        An analyzer should be asked for faces down to this one.
        """
        return _DOUBTFUL * min_score

    def update(
        self,
        faces: Faces,
        time_s: float,
        image: Image | None = None,
        *,
        min_score: float = 0.5,
    ) -> Tracks:
        """Say who is who in the next image.

        Args:
            faces: what was found in it, down to `low_score(min_score)`.
            time_s: when it was taken, in seconds; never earlier than the last one.
            image: `(h, w, 3)` uint8, BGR; not changed. Without, heads are followed by
                their last motion alone, and cuts go unnoticed.
            min_score: faces with a lower score are doubtful.

        Raises:
            ValueError: time went back or is not a number.
        """
        if not self._time_s <= time_s < math.inf:
            raise ValueError(
                f"time must not go back: {time_s} s after {self._time_s} s"
            )
        self._time_s = time_s
        before = self._scenes.view
        left = self._scenes.look(None if image is None else View.of(image))
        left += self._scenes.forget(time_s, self.memory_s)
        # Faces are sorted by score: sure ones first, then doubtful ones, then noise.
        sure = int(np.count_nonzero(faces.scores >= min_score))
        usable = int(np.count_nonzero(faces.scores >= self.low_score(min_score)))
        face_of = self._recognise(faces.boxes, sure, usable, before)
        people = self._scenes.people
        people.see(face_of, faces.boxes, sure)
        self._next_id = people.name(face_of, self._next_id)
        tracks = self._tracks(face_of, len(faces), sure, left)
        self._welcome(face_of, faces.boxes[:sure])
        return tracks

    def _recognise(
        self, boxes: Boxes, sure: int, usable: int, before: View | None
    ) -> NDArray[np.int64]:
        """Return `(people,)` the face of each, `NOBODY` for none."""
        people, rules = self._scenes.people, self._rules
        starts = people.motion.boxes
        people.advance(self._time_s)
        face_of = np.full(len(people), NOBODY, np.int64)
        everybody = np.ones(len(people), np.bool_)
        self._pair(face_of, everybody, boxes[:sure], 0, rules.max_reach)
        doubtful = boxes[sure:usable]
        self._pair(face_of, people.lately_sure, doubtful, sure, rules.doubtful_reach)
        self._carry(face_of, starts, boxes, before)
        # Flow may have found where somebody went whose face was too far away before.
        self._pair(face_of, people.followed, boxes[:sure], 0, rules.max_reach)
        self._uncover(face_of, boxes[:sure])
        return face_of

    def _pair(
        self,
        face_of: NDArray[np.int64],
        allowed: NDArray[np.bool_],
        boxes: Boxes,
        first: int,
        max_reach: float,
    ) -> None:
        """Fill in faces of people who have none; `boxes` are those from `first` on."""
        people, rules = self._scenes.people, self._rules
        rows = np.flatnonzero(allowed & (face_of == NOBODY))
        free = _free(first, first + len(boxes), face_of)
        if not len(rows) or not len(free):
            return
        spreads = people.motion.spreads[rows, 0]
        reaches = np.minimum(rules.min_reach + _SPREADS * spreads, max_reach)
        heads = people.motion.boxes[rows]
        prices = costs(heads, boxes[free - first], reaches, rules.max_growth)
        self._give(face_of, rows, free, prices)

    def _uncover(self, face_of: NDArray[np.int64], boxes: Boxes) -> None:
        """Fill in faces of people who come out from behind somebody, anywhere."""
        people = self._scenes.people
        rows = np.flatnonzero(people.covered & people.known & (face_of == NOBODY))
        if not len(rows):
            return
        free = _free(0, len(boxes), face_of)
        fronts = people.fronts(rows)
        rows, fronts = rows[fronts != NOBODY], fronts[fronts != NOBODY]
        if not len(rows) or not len(free):
            return
        heads = people.motion.boxes
        prices = reappearing(
            heads[rows], boxes[free], heads[fronts], self._rules.max_growth
        )
        self._give(face_of, rows, free, prices)

    def _give(
        self,
        face_of: NDArray[np.int64],
        rows: NDArray[np.int64],
        free: NDArray[np.int64],
        prices: NDArray[np.float64],
    ) -> None:
        """Give free faces to people at the least cost; `prices` has a row for each."""
        people = self._scenes.people
        more = _AGE_COST * np.minimum(people.unseen_s[rows] / self.memory_s, 1)
        # Who was behind somebody must not take the face of whoever that is.
        more += _HIDDEN_COST * people.covered[rows]
        prices = prices + more[:, None]
        pairs = pair(prices, self._rules.worst_cost)
        got = pairs != NOBODY
        face_of[rows[got]] = free[pairs[got]]

    def _carry(
        self,
        face_of: NDArray[np.int64],
        starts: Boxes,
        boxes: Boxes,
        before: View | None,
    ) -> None:
        """Move heads without a face along with the picture.

        Args:
            face_of: `(people,)` the face of each.
            starts: `(people, 4)` where the heads were in the image before.
            boxes: `(n, 4)` the faces; those of others may stand in front.
            before: that image.
        """
        people, view = self._scenes.people, self._scenes.view
        rows = np.flatnonzero(people.followed & (face_of == NOBODY))
        if not len(rows):
            return
        clear = rows[~self._cover(rows, face_of, boxes)]
        if view is None:
            people.follow(clear, people.motion.boxes[clear])
        elif before is not None:
            moved = follow(before.grey, view.grey, starts[clear], view.scale)
            people.follow(clear[moved.found], moved.boxes[moved.found])
            # Flow that tried again next time would follow the wall behind.
            people.lose(clear[~moved.found])
            self._lose_outside(rows, view.size_wh)

    def _cover(
        self, rows: NDArray[np.int64], face_of: NDArray[np.int64], boxes: Boxes
    ) -> NDArray[np.bool_]:
        """Note which heads somebody stands in front of.

        Returns:
            `(rows,)` who is or was a moment ago: what stands in front would take the
            points of the flow along.
        """
        people = self._scenes.people
        was_covered = people.covered[rows]
        fronts = np.flatnonzero(face_of != NOBODY)
        now = np.zeros(len(rows), np.bool_)
        if len(fronts):
            shares = covered(people.motion.boxes[rows], boxes[face_of[fronts]])
            now = shares.max(axis=1) > self._rules.cover
            people.cover(rows[now], fronts[shares[now].argmax(axis=1)])
        # Whoever is missed for a moment still stands where they stood.
        before = people.fronts(rows)
        gone = (before == NOBODY) | (face_of[before] != NOBODY)
        people.behind[rows[~now & gone]] = NOBODY
        result: NDArray[np.bool_] = now | was_covered
        return result

    def _lose_outside(self, rows: NDArray[np.int64], size_wh: tuple[int, int]) -> None:
        people = self._scenes.people
        boxes = people.motion.boxes[rows]
        inside = areas(clip(boxes, *size_wh)) / areas(boxes)
        people.lose(rows[inside < self._rules.inside])

    def _tracks(
        self, face_of: NDArray[np.int64], n: int, sure: int, left: tuple[int, ...]
    ) -> Tracks:
        people = self._scenes.people
        seen = face_of != NOBODY
        ids = np.full(n, UNTRACKED, np.int64)
        ids[face_of[seen]] = people.ids[seen]
        carried = people.followed & ~seen & ~people.covered
        carried &= people.unseen_s <= self.memory_s + SAME_S
        boxes, lost = people.motion.boxes, ~seen & ~carried
        return Tracks(
            ids=ids,
            shown=(np.arange(n) < sure) | (ids != UNTRACKED),
            carried_ids=people.ids[carried],
            carried_boxes=boxes[carried],
            carried_s=people.unseen_s[carried].astype(np.float32),
            lost_boxes=np.concatenate([people.places[lost], boxes[lost]]),
            left=left,
        )

    def _welcome(self, face_of: NDArray[np.int64], boxes: Boxes) -> None:
        """Begin to watch sure faces that are nobody's, from left to right."""
        new = boxes[_free(0, len(boxes), face_of)]
        if len(new):
            self._scenes.people.add(new[np.argsort(new[:, 0], kind="stable")])


def _free(first: int, stop: int, face_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the faces from `first` to before `stop` that are nobody's."""
    taken = np.zeros(stop, np.bool_)
    taken[face_of[(face_of >= 0) & (face_of < stop)]] = True
    free: NDArray[np.int64] = np.flatnonzero(~taken[first:]) + first
    return free
