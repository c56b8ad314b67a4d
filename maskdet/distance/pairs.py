"""Pairs of people in a stream: how far apart they are, and for how long close."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.distance.geometry import (
    CameraGeometry,
    Points3D,
    compute_pairwise_distances,
    get_geometry,
    make_geometry_key,
)
from maskdet.settings import Settings
from maskdet.types import UNTRACKED, Label, PersonPair, Scene

IdPair = tuple[int, int]
"""Two track IDs, the smaller one first."""

HYSTERESIS: Final = 1.15
"""A contact ends at the contact distance times this, to avoid flicker at the limit."""

MAX_PAIR_RATIO: Final = 2.0
"""Pairs further apart than the contact distance times this are not reported."""

MAX_GAP_S: Final = 1.0
"""Gaps without a detection up to this long do not end a contact, in seconds."""

SMOOTHING_S: Final = 0.4
"""Time constant of position smoothing, in seconds. Boxes vary by a few percent, which
is decimetres in depth, and people walk about a metre per second."""

_UNMASKED_WEIGHTS: Final = {
    Label.NO_MASK: 1.0,
    Label.INCORRECT: 0.5,
    Label.MASK: 0.0,
    Label.UNKNOWN: 0.0,
}


@dataclass(frozen=True, eq=False)
class _LastPositions:
    """Last known positions: track IDs, `(m, 3)` positions and `(m,)` times."""

    ids: list[int]
    positions: Points3D
    times_s: NDArray[np.float64]


_NO_POSITIONS: Final = _LastPositions([], np.zeros((0, 3)), np.zeros(0))


@dataclass
class _OpenContact:
    """A current contact: its start, and when it was last confirmed."""

    start_s: float
    last_seen_s: float


class ContactTracker:
    """Tracks the current contacts of a camera or video; call `update` with each frame.

    `maskdet.people.PersonLog` adds up the contacts.
    """

    def __init__(self) -> None:
        """Start without people."""
        self._geometry: CameraGeometry | None = None
        self._geometry_key: object = None
        self._time_s = -math.inf
        self._last_positions = _NO_POSITIONS
        self._open_contacts: dict[IdPair, _OpenContact] = {}

    def update(
        self,
        boxes: Boxes,
        ids: NDArray[np.int64],
        time_s: float,
        size_wh: tuple[int, int],
        settings: Settings,
    ) -> tuple[tuple[PersonPair, ...], NDArray[np.float64]]:
        """Measure the distances in the next frame.

        Args:
            boxes: `(n, 4)` heads in pixels.
            ids: `(n,)` track IDs; `UNTRACKED` rows get distances but no times.
            time_s: time of the frame; not earlier than the last one.
            size_wh: width and height of the frame in pixels.
            settings: `distance`, the limits and the fields of the method; may change.

        Returns:
            The pairs up to twice the contact distance apart, closest first, and the
            smoothed `(n, 2)` x and z of each row; none of both if `distance` is off.

        Raises:
            ValueError: `ground_points` is impossible.
        """
        previous_s, self._time_s = self._time_s, time_s
        if settings.distance == "off":
            self._reset(None, None)
            return (), np.zeros((0, 2))
        camera_geometry = self._update_geometry(settings, size_wh)
        track_ids = [int(track_id) for track_id in ids]
        positions = self._smooth_positions(
            camera_geometry.to_world(boxes), track_ids, settings.memory_s
        )
        distance_matrix = compute_pairwise_distances(positions)
        limit = settings.contact_distance_m * camera_geometry.units_per_m
        self._update_contacts(distance_matrix, track_ids, previous_s, limit)
        pairs = self._select_pairs(
            distance_matrix,
            track_ids,
            (limit, camera_geometry.unit),
            settings.contact_duration_s,
        )
        return pairs, positions[:, [0, 2]]

    def _update_geometry(
        self, settings: Settings, size_wh: tuple[int, int]
    ) -> CameraGeometry:
        """Return the current geometry; a change resets the positions and contacts."""
        # Stored here too, because many streams use the same cache.
        key = make_geometry_key(settings, size_wh)
        camera_geometry = self._geometry
        if camera_geometry is None or key != self._geometry_key:
            camera_geometry = get_geometry(settings, size_wh)
            self._reset(camera_geometry, key)
        return camera_geometry

    def _reset(self, camera_geometry: CameraGeometry | None, key: object) -> None:
        """Delete positions and current contacts, which depend on the geometry."""
        self._geometry, self._geometry_key = camera_geometry, key
        self._open_contacts.clear()
        self._last_positions = _NO_POSITIONS

    def _smooth_positions(
        self, positions: Points3D, track_ids: list[int], memory_s: float
    ) -> Points3D:
        """Smooth positions exponentially with the last ones of the same people."""
        last = self._last_positions
        last_rows = {track_id: row for row, track_id in enumerate(last.ids)}
        rows = np.array(
            [last_rows.get(track_id, -1) for track_id in track_ids], np.int64
        )
        has_last = rows >= 0
        elapsed_s = self._time_s - last.times_s[rows[has_last]]
        weight = np.exp(-elapsed_s / SMOOTHING_S)[:, None]
        positions[has_last] += weight * (
            last.positions[rows[has_last]] - positions[has_last]
        )
        lost = [
            row
            for track_id, row in last_rows.items()
            if track_id not in track_ids
            and self._time_s - last.times_s[row] <= memory_s
        ]
        tracked_rows = [
            row for row, track_id in enumerate(track_ids) if track_id != UNTRACKED
        ]
        self._last_positions = _LastPositions(
            [track_ids[row] for row in tracked_rows] + [last.ids[row] for row in lost],
            np.concatenate([positions[tracked_rows], last.positions[lost]]),
            np.concatenate(
                [np.full(len(tracked_rows), self._time_s), last.times_s[lost]]
            ),
        )
        return positions

    def _update_contacts(
        self,
        distance_matrix: NDArray[np.float64],
        track_ids: list[int],
        previous_s: float,
        limit: float,
    ) -> None:
        """Start, continue and end contacts.

        Args:
            distance_matrix: `(n, n)` distances.
            track_ids: track ID of each row.
            previous_s: time of the previous frame.
            limit: contact distance, in the unit of `distance_matrix`.
        """
        now_s, rows = self._time_s, distance_matrix.tolist()
        row_by_id = {
            track_id: row
            for row, track_id in enumerate(track_ids)
            if track_id != UNTRACKED
        }
        for pair, contact in list(self._open_contacts.items()):
            first, second = row_by_id.get(pair[0]), row_by_id.get(pair[1])
            unseen_s = now_s - contact.last_seen_s
            # Consecutive frames bridge any gap, however low the frame rate.
            is_bridged = unseen_s <= MAX_GAP_S or contact.last_seen_s == previous_s
            if first is None or second is None:
                if unseen_s > MAX_GAP_S:
                    del self._open_contacts[pair]
            elif not is_bridged or rows[first][second] > HYSTERESIS * limit:
                del self._open_contacts[pair]
            else:
                contact.last_seen_s = now_s
        for row, other in np.argwhere(np.triu(distance_matrix < limit, 1)).tolist():
            pair = _sort_ids(track_ids[row], track_ids[other])
            if UNTRACKED not in pair and pair not in self._open_contacts:
                self._open_contacts[pair] = _OpenContact(now_s, now_s)

    def _select_pairs(
        self,
        distance_matrix: NDArray[np.float64],
        track_ids: list[int],
        limit_and_unit: tuple[float, str],
        min_contact_s: float,
    ) -> tuple[PersonPair, ...]:
        """Return the pairs within the reported distance, closest first."""
        limit, unit = limit_and_unit
        rows, others = np.nonzero(np.triu(distance_matrix <= MAX_PAIR_RATIO * limit, 1))
        pair_distances = distance_matrix[rows, others]
        order = np.argsort(pair_distances, kind="stable")
        columns = (column[order].tolist() for column in (rows, others, pair_distances))
        pairs = []
        for row, other, distance in zip(*columns, strict=True):
            contact = self._open_contacts.get(
                _sort_ids(track_ids[row], track_ids[other])
            )
            in_contact = distance < limit or contact is not None
            contact_s = self._time_s - contact.start_s if contact else 0.0
            pairs.append(
                PersonPair(
                    row,
                    other,
                    distance,
                    unit,
                    in_contact,
                    contact_s,
                    in_contact and contact_s >= min_contact_s,
                )
            )
        return tuple(pairs)


def _sort_ids(first: int, second: int) -> IdPair:
    """Return two track IDs, the smaller one first."""
    return (first, second) if first < second else (second, first)


def find_highest_risk_pair(scene: Scene) -> PersonPair | None:
    """Return the pair in contact with the highest risk, or None.

    At least one of them must have the class no mask or incorrect. Contacts that exceed
    the limit come first, then two unmasked people before one, then the closest pair.
    An incorrectly worn mask counts half; `UNKNOWN` does not count.
    """
    labels = scene.labels

    def compute_risk(pair: PersonPair) -> tuple[float, float, float]:
        unmasked_weight = (
            _UNMASKED_WEIGHTS[labels[pair.first]]
            + _UNMASKED_WEIGHTS[labels[pair.second]]
        )
        return pair.exceeds_limit, unmasked_weight, -pair.distance

    risky_pairs = [
        pair for pair in scene.pairs if pair.in_contact and compute_risk(pair)[1] > 0
    ]
    return max(risky_pairs, key=compute_risk, default=None)
