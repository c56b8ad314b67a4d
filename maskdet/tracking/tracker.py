"""The tracker: keeps track IDs through missed detections, crossings, turns and cuts.

High-score faces are matched first. Low-score faces can then continue a track, but never
start one (the two thresholds of ByteTrack, Zhang et al., ECCV 2022). Heads without a
detection coast on optical flow until `memory_s` has passed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, box_areas, clip_boxes
from maskdet.tracking import config
from maskdet.tracking.association import (
    UNMATCHED,
    compute_costs,
    compute_occlusion,
    compute_reappearance_costs,
    match_min_cost,
)
from maskdet.tracking.optical_flow import track_boxes
from maskdet.tracking.shots import FrameThumbnail, ShotMemory
from maskdet.tracking.tracks import TIME_EPSILON_S
from maskdet.types import UNTRACKED, Faces, Image

_LOW_THRESHOLD_RATIO = 0.4
"""Lowest score that can continue a track, as a fraction of the detection threshold."""

_AGE_COST = 0.3
"""Extra cost of a track that is about to expire, over one that was just seen."""

_OCCLUSION_COST = 0.15
"""Extra cost of an occluded track, so that it does not take its occluder's face."""

_GATE_STDS = 3.0
"""Standard deviations that a face can be away from the prediction."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """The tracks in one frame.

    Attributes:
        ids: `(n,)` int64 track ID of each face, in the given order; `UNTRACKED` for
            tracks that are not confirmed yet and for unmatched low-score faces.
        is_visible: `(n,)` bool, False for unmatched low-score faces.
        coasting_ids: `(k,)` int64 IDs of the tracks that coast without a detection.
        coasting_boxes: `(k, 4)` float32 their heads, in pixels of the frame.
        coasting_unseen_s: `(k,)` float32 seconds since each was last detected.
        lost_boxes: `(m, 4)` float32 last and predicted boxes of all other tracks in
            memory: occluded, lost or not confirmed.
        removed_ids: IDs that were removed in this step; they are not used again.
    """

    ids: NDArray[np.int64]
    is_visible: NDArray[np.bool_]
    coasting_ids: NDArray[np.int64]
    coasting_boxes: Boxes
    coasting_unseen_s: NDArray[np.float32]
    lost_boxes: Boxes
    removed_ids: tuple[int, ...]


class Tracker:
    """Assigns track IDs, from 1 up, to the people of one camera or video.

    Attributes:
        memory_s: a track is removed after so long without a detection, in seconds;
            can be changed at any time.
    """

    def __init__(self, memory_s: float = 3.0) -> None:
        """Start without tracks; see the attribute."""
        # Loading SciPy takes as long as ten frames: now, not during the first one.
        import scipy.optimize  # noqa: F401

        self.memory_s = memory_s
        self._shots = ShotMemory()
        self._time_s = -math.inf
        self._next_id = 1

    @staticmethod
    def low_threshold(min_score: float) -> float:
        """Return the lowest score with which a face can continue a track.

        Let the analyzer return faces down to this score.
        """
        return _LOW_THRESHOLD_RATIO * min_score

    def update(
        self,
        faces: Faces,
        time_s: float,
        image: Image | None = None,
        *,
        min_score: float = 0.5,
    ) -> Tracks:
        """Track the faces of the next frame.

        Args:
            faces: its detections, down to `low_threshold(min_score)`.
            time_s: its time in seconds; not earlier than the last one.
            image: `(h, w, 3)` uint8, BGR; not changed. Without it, heads coast on
                their last velocity only, and cuts are not detected.
            min_score: the detection threshold; faces below it are low-score faces. If
                it is raised, tracks below it end at once.
        """
        self._time_s = time_s
        previous_frame = self._shots.frame
        removed_ids = self._shots.update(
            None if image is None else FrameThumbnail.from_image(image)
        )
        removed_ids += self._shots.remove_expired(time_s, self.memory_s, min_score)
        # Faces are sorted by score: high-score, then low-score, then unused ones.
        n_high_score = int(np.count_nonzero(faces.scores >= min_score))
        n_usable = int(np.count_nonzero(faces.scores >= self.low_threshold(min_score)))
        face_index = self._associate(
            faces.boxes, n_high_score, n_usable, previous_frame
        )
        table = self._shots.tracks
        table.update(face_index, faces, n_high_score)
        self._next_id = table.assign_ids(face_index, self._next_id)
        tracks = self._build_tracks(face_index, len(faces), n_high_score, removed_ids)
        # New tracks start from left to right.
        new = _find_unassigned(0, n_high_score, face_index)
        if len(new):
            new = new[np.argsort(faces.boxes[new, 0], kind="stable")]
            table.add(faces.boxes[new], faces.scores[new])
        return tracks

    def _associate(
        self,
        boxes: Boxes,
        n_high_score: int,
        n_usable: int,
        previous_frame: FrameThumbnail | None,
    ) -> NDArray[np.int64]:
        """Return the `(n_tracks,)` face of each track; `UNMATCHED` for none."""
        table = self._shots.tracks
        previous_boxes = table.kalman.boxes
        table.predict(self._time_s)
        face_index = np.full(len(table), UNMATCHED, np.int64)
        is_any = np.ones(len(table), np.bool_)
        self._match_stage(face_index, is_any, boxes[:n_high_score], 0, config.MAX_GATE)
        low_score_boxes = boxes[n_high_score:n_usable]
        self._match_stage(
            face_index,
            table.has_recent_high_score,
            low_score_boxes,
            n_high_score,
            config.LOW_SCORE_GATE,
        )
        self._coast(face_index, previous_boxes, boxes, previous_frame)
        # After optical flow, a face may be inside the gate of a track.
        self._match_stage(
            face_index, table.is_located, boxes[:n_high_score], 0, config.MAX_GATE
        )
        self._recover_occluded(face_index, boxes[:n_high_score])
        return face_index

    def _match_stage(
        self,
        face_index: NDArray[np.int64],
        is_allowed: NDArray[np.bool_],
        boxes: Boxes,
        first: int,
        max_gate: float,
    ) -> None:
        """Match faces to unmatched tracks in place; `boxes` start at face `first`."""
        table = self._shots.tracks
        rows = np.flatnonzero(is_allowed & (face_index == UNMATCHED))
        free = _find_unassigned(first, first + len(boxes), face_index)
        if not len(rows) or not len(free):
            return
        stds = table.kalman.std[rows, 0]
        gates = np.minimum(config.MIN_GATE + _GATE_STDS * stds, max_gate)
        heads = table.kalman.boxes[rows]
        costs_matrix = compute_costs(
            heads, boxes[free - first], gates, config.MAX_GROWTH
        )
        self._assign_faces(face_index, rows, free, costs_matrix)

    def _recover_occluded(self, face_index: NDArray[np.int64], boxes: Boxes) -> None:
        """Match faces to occluded tracks in place, on any side of the occluder."""
        table = self._shots.tracks
        rows = np.flatnonzero(
            table.is_occluded & table.has_id & (face_index == UNMATCHED)
        )
        if not len(rows):
            return
        free = _find_unassigned(0, len(boxes), face_index)
        occluders = table.find_occluders(rows)
        is_known = occluders != UNMATCHED
        rows, occluders = rows[is_known], occluders[is_known]
        if not len(rows) or not len(free):
            return
        heads = table.kalman.boxes
        costs_matrix = compute_reappearance_costs(
            heads[rows], boxes[free], heads[occluders], config.MAX_GROWTH
        )
        self._assign_faces(face_index, rows, free, costs_matrix)

    def _assign_faces(
        self,
        face_index: NDArray[np.int64],
        rows: NDArray[np.int64],
        free: NDArray[np.int64],
        costs_matrix: NDArray[np.float64],
    ) -> None:
        """Match `free` faces to the tracks `rows` in place, at the minimum cost."""
        table = self._shots.tracks
        penalties = _AGE_COST * np.minimum(table.unseen_s[rows] / self.memory_s, 1)
        # An occluded track must not take the face of its occluder.
        penalties += _OCCLUSION_COST * table.is_occluded[rows]
        costs_matrix = costs_matrix + penalties[:, None]
        matches = match_min_cost(costs_matrix, config.MAX_COST)
        is_matched = matches != UNMATCHED
        face_index[rows[is_matched]] = free[matches[is_matched]]

    def _coast(
        self,
        face_index: NDArray[np.int64],
        previous_boxes: Boxes,
        boxes: Boxes,
        previous_frame: FrameThumbnail | None,
    ) -> None:
        """Move unmatched heads by optical flow, or by their velocity without frames.

        Args:
            face_index: `(n_tracks,)` the face of each track.
            previous_boxes: `(n_tracks, 4)` the heads in the previous frame.
            boxes: `(n, 4)` the faces, which can occlude heads.
            previous_frame: the previous frame.
        """
        table, frame = self._shots.tracks, self._shots.frame
        rows = np.flatnonzero(table.is_located & (face_index == UNMATCHED))
        if not len(rows):
            return
        unoccluded = rows[~self._mark_occluded(rows, face_index, boxes)]
        if frame is None:
            table.update_coasting(unoccluded, table.kalman.boxes[unoccluded])
        elif previous_frame is not None:
            flow = track_boxes(
                previous_frame.grey, frame.grey, previous_boxes[unoccluded], frame.scale
            )
            table.update_coasting(
                unoccluded[flow.is_tracked], flow.boxes[flow.is_tracked]
            )
            # Not tried again in the next frame: flow would track the background.
            table.mark_lost(unoccluded[~flow.is_tracked])
            heads = table.kalman.boxes[rows]
            visible = clip_boxes(heads, *frame.size_wh)
            visible_fractions = box_areas(visible) / box_areas(heads)
            table.mark_lost(rows[visible_fractions < config.MIN_VISIBLE])

    def _mark_occluded(
        self, rows: NDArray[np.int64], face_index: NDArray[np.int64], boxes: Boxes
    ) -> NDArray[np.bool_]:
        """Update which heads are occluded, and by whom.

        Returns:
            `(rows,)` whether each is occluded or was in the previous frame: points of
            the optical flow would move with the occluder.
        """
        table = self._shots.tracks
        was_occluded = table.is_occluded[rows]
        occluders = np.flatnonzero(face_index != UNMATCHED)
        is_occluded = np.zeros(len(rows), np.bool_)
        if len(occluders):
            fractions = compute_occlusion(
                table.kalman.boxes[rows], boxes[face_index[occluders]]
            )
            is_occluded = fractions.max(axis=1) > config.MIN_OCCLUSION
            table.mark_occluded(
                rows[is_occluded], occluders[fractions[is_occluded].argmax(axis=1)]
            )
        # An occluder that is not detected in this frame still occludes.
        previous_occluders = table.find_occluders(rows)
        is_gone = (previous_occluders == UNMATCHED) | (
            face_index[previous_occluders] != UNMATCHED
        )
        table.occluder_keys[rows[~is_occluded & is_gone]] = UNMATCHED
        result: NDArray[np.bool_] = is_occluded | was_occluded
        return result

    def _build_tracks(
        self,
        face_index: NDArray[np.int64],
        n: int,
        n_high_score: int,
        removed_ids: tuple[int, ...],
    ) -> Tracks:
        table = self._shots.tracks
        is_seen = face_index != UNMATCHED
        ids = np.full(n, UNTRACKED, np.int64)
        ids[face_index[is_seen]] = table.ids[is_seen]
        is_coasting = table.is_located & ~is_seen & ~table.is_occluded
        is_coasting &= table.unseen_s <= self.memory_s + TIME_EPSILON_S
        boxes, is_lost = table.kalman.boxes, ~is_seen & ~is_coasting
        return Tracks(
            ids=ids,
            is_visible=(np.arange(n) < n_high_score) | (ids != UNTRACKED),
            coasting_ids=table.ids[is_coasting],
            coasting_boxes=boxes[is_coasting],
            coasting_unseen_s=table.unseen_s[is_coasting].astype(np.float32),
            lost_boxes=np.concatenate([table.last_boxes[is_lost], boxes[is_lost]]),
            removed_ids=removed_ids,
        )


def _find_unassigned(
    first: int, stop: int, face_index: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the unmatched faces from `first` to before `stop`."""
    is_taken = np.zeros(stop, np.bool_)
    is_taken[face_index[(face_index >= 0) & (face_index < stop)]] = True
    free: NDArray[np.int64] = np.flatnonzero(~is_taken[first:]) + first
    return free
