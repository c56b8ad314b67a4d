"""Who is near whom in a stream, and for how long.

The contacts of a stream: which people were close to each other, and how long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

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
from maskdet.types import UNTRACKED, Contact, Label, PersonPair, Scene

IdPair = tuple[int, int]
"""Two track ids, the smaller one first."""

_Key = TypeVar("_Key")

_MAX_LOGGED: Final = 10_000
"""Pairs and people that are remembered; who was near longest ago goes first, so that a
camera that never stops does not fill the memory."""


@dataclass(slots=True)
class _ContactSum:
    """What is known of one pair so far; fields as in `maskdet.types.Contact`."""

    start_s: float
    unit: str
    total_s: float = 0.0
    longest_s: float = 0.0
    unmasked_s: float = 0.0
    min_distance: float = math.inf
    exceeds_limit: bool = False


class ContactLog:
    """Adds up the time that pairs and people spend in contact."""

    def __init__(self) -> None:
        """Start without a contact."""
        self._pairs: dict[IdPair, _ContactSum] = {}
        self._people: dict[int, tuple[float, float]] = {}

    def add(
        self,
        pair: IdPair,
        from_s: float,
        to_s: float,
        *,
        since_s: float,
        distance: float = math.inf,
        unit: str = "m",
        unmasked: bool = False,
        limit_s: float = math.inf,
    ) -> None:
        """Add the time from one frame to the next in which a pair was in contact.

        A person in contact with two others at once is in contact for that time once,
        not twice.

        Args:
            pair: their track IDs.
            from_s: when they were last in contact.
            to_s: now, still in contact.
            since_s: when this contact began.
            distance: between them now, in `unit`.
            unit: `m` or `heads`.
            unmasked: whether at least one of them is known to wear no mask, or to
                wear it incorrectly.
            limit_s: a longer contact exceeds the limit.
        """
        # Taken out and put back at the end: a pair in contact is never the oldest.
        contact_sum = self._pairs.pop(pair, None) or _ContactSum(since_s, unit)
        self._pairs[pair] = contact_sum
        contact_sum.total_s += to_s - from_s
        contact_sum.longest_s = max(contact_sum.longest_s, to_s - since_s)
        contact_sum.unmasked_s += (to_s - from_s) if unmasked else 0.0
        contact_sum.min_distance = min(contact_sum.min_distance, distance)
        contact_sum.exceeds_limit |= to_s - since_s >= limit_s
        for person in pair:
            person_total_s, until_s = self._people.pop(person, (0.0, from_s))
            new_s = max(0.0, to_s - max(from_s, until_s))
            self._people[person] = (person_total_s + new_s, to_s)
        if max(len(self._pairs), len(self._people)) > _MAX_LOGGED:
            _drop_oldest(self._pairs)
            _drop_oldest(self._people)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._pairs)

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Return every pair that was in contact, longest in all first."""
        rows = [
            Contact(
                *pair,
                start_s=contact_sum.start_s,
                total_s=contact_sum.total_s,
                longest_s=contact_sum.longest_s,
                unmasked_s=contact_sum.unmasked_s,
                min_distance=contact_sum.min_distance,
                unit=contact_sum.unit,
                exceeds_limit=contact_sum.exceeds_limit,
            )
            for pair, contact_sum in self._pairs.items()
        ]
        return tuple(sorted(rows, key=lambda contact: -contact.total_s))

    @property
    def contact_s(self) -> Mapping[int, float]:
        """Return how long each person was near anybody, by track id."""
        return {person: seconds for person, (seconds, _) in self._people.items()}


def _drop_oldest(entries: dict[_Key, Any]) -> None:
    """Drop those who were near longest ago from a memory that is full."""
    while len(entries) > _MAX_LOGGED:
        del entries[next(iter(entries))]


HYSTERESIS: Final = 1.15
"""Who is near stays so up to the limit times this, or a pair at the limit flickers."""

MAX_PAIR_RATIO: Final = 2.0
"""Pairs further apart than the limit times this are not worth a line."""

MAX_GAP_S: Final = 1.0
"""A pair that is not seen for so long and then is near again never parted."""

SMOOTHING_S: Final = 0.4
"""Places follow what is seen with this time constant, at any frame rate: boxes shake
by a few percent, which is decimetres in depth, and people walk a metre a second."""


_REFRESH_S = 1.0
"""How old the list of contacts may be, in seconds."""

_FEW_CONTACTS = 200
"""As long as there are fewer contacts, a new one is listed at once."""


@dataclass(frozen=True, eq=False)
class _LastPositions:
    """Where people last were: track ids, `(m, 3)` places and `(m,)` times."""

    ids: list[int]
    positions: Points3D
    times_s: NDArray[np.float64]


_NO_POSITIONS: Final = _LastPositions([], np.zeros((0, 3)), np.zeros(0))


@dataclass
class _OpenContact:
    """A pair that is near: since when, and when it was last seen so."""

    start_s: float
    last_seen_s: float


class ContactTracker:
    """Who is near whom in one camera or video; `update` it with each image."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._geometry: CameraGeometry | None = None
        self._geometry_key: object = None
        self._time_s = -math.inf
        self._last_positions = _NO_POSITIONS
        self._open_contacts: dict[IdPair, _OpenContact] = {}
        self._log = ContactLog()
        self._contacts: tuple[Contact, ...] = ()
        self._contacts_s = -math.inf
        self._positions = _NO_POSITIONS.positions[:, :2]

    @property
    def positions(self) -> NDArray[np.float64]:
        """Return `(n, 2)` x and z of the last update's rows, smoothed, for a plan."""
        return self._positions

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Return the contacts so far, longest first; renewed once a second.

        Sorting thousands of pairs in every frame would take longer than the frame.
        """
        due = self._time_s - self._contacts_s >= _REFRESH_S
        if due or (len(self._contacts) < len(self._log) < _FEW_CONTACTS):
            self._contacts, self._contacts_s = self._log.contacts, self._time_s
        return self._contacts

    @property
    def contact_s(self) -> Mapping[int, float]:
        """Return for how many seconds each person was near anybody, by track id."""
        return self._log.contact_s

    def update(
        self,
        boxes: Boxes,
        ids: NDArray[np.int64],
        time_s: float,
        size_wh: tuple[int, int],
        settings: Settings,
        unmasked: NDArray[np.bool_] | None = None,
    ) -> tuple[PersonPair, ...]:
        """Return the pairs at most twice the limit apart, nearest first.

        Args:
            boxes: `(n, 4)` heads in pixels.
            ids: `(n,)` track ids; rows that are `UNTRACKED` get distances, no times.
            time_s: when the image was taken; never earlier than the last one.
            size_wh: width and height of the image in pixels.
            settings: `distance`, the limits and what the mode needs; may change.
            unmasked: `(n,)` who is known to wear no mask, or to wear it incorrectly;
                without it, nobody is.

        Raises:
            ValueError: time went back, or the four points on the floor are impossible.
        """
        if not time_s >= self._time_s:
            raise ValueError(
                f"time must not go back: {time_s} s after {self._time_s} s"
            )
        previous_s, self._time_s = self._time_s, time_s
        if settings.distance == "off":
            self._reset(None, None)
            return ()
        camera_geometry = self._update_geometry(settings, size_wh)
        track_ids = [int(track_id) for track_id in ids]
        positions = self._smooth_positions(
            camera_geometry.to_world(boxes), track_ids, settings.memory_s
        )
        self._positions = positions[:, [0, 2]]
        distance_matrix = compute_pairwise_distances(positions)
        limit = settings.contact_distance_m * camera_geometry.units_per_m
        is_unmasked = np.zeros(len(track_ids), bool) if unmasked is None else unmasked
        self._update_contacts(
            distance_matrix,
            track_ids,
            previous_s,
            (limit, settings.contact_duration_s),
            is_unmasked,
        )
        return self._select_pairs(
            distance_matrix,
            track_ids,
            (limit, camera_geometry.unit),
            settings.contact_duration_s,
        )

    def _update_geometry(
        self, settings: Settings, size_wh: tuple[int, int]
    ) -> CameraGeometry:
        """Return how to measure; another way than before starts anew."""
        # Kept here, not only in the cache, which many streams share.
        key = make_geometry_key(settings, size_wh)
        camera_geometry = self._geometry
        if camera_geometry is None or key != self._geometry_key:
            camera_geometry = get_geometry(settings, size_wh)
            self._reset(camera_geometry, key)
        return camera_geometry

    def _reset(self, camera_geometry: CameraGeometry | None, key: object) -> None:
        """Forget places and meetings: they were measured in another way."""
        self._geometry, self._geometry_key = camera_geometry, key
        self._open_contacts.clear()
        self._last_positions = _NO_POSITIONS
        self._positions = _NO_POSITIONS.positions[:, :2]

    def _smooth_positions(
        self, positions: Points3D, track_ids: list[int], memory_s: float
    ) -> Points3D:
        """Return the places drawn towards where the same people just were."""
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
        limits: tuple[float, float],
        unmasked: NDArray[np.bool_],
    ) -> None:
        """Begin, continue and end contacts, and add up their time.

        Args:
            distance_matrix: `(n, n)` distances.
            track_ids: track ID of each row.
            previous_s: when the frame before was taken.
            limits: contact distance, in the unit of `distance_matrix`, and duration in
                seconds.
            unmasked: `(n,)`, as in `update`.
        """
        (limit, limit_s), now_s, rows = limits, self._time_s, distance_matrix.tolist()
        unit = "m" if self._geometry is None else self._geometry.unit
        row_by_id = {
            track_id: row
            for row, track_id in enumerate(track_ids)
            if track_id != UNTRACKED
        }
        for pair, contact in list(self._open_contacts.items()):
            first, second = row_by_id.get(pair[0]), row_by_id.get(pair[1])
            unseen_s = now_s - contact.last_seen_s
            # Between two images that follow each other nothing was missed.
            is_bridged = unseen_s <= MAX_GAP_S or contact.last_seen_s == previous_s
            if first is None or second is None:
                if unseen_s > MAX_GAP_S:
                    del self._open_contacts[pair]
            elif not is_bridged or rows[first][second] > HYSTERESIS * limit:
                del self._open_contacts[pair]
            else:
                self._log.add(
                    pair,
                    contact.last_seen_s,
                    now_s,
                    since_s=contact.start_s,
                    distance=rows[first][second],
                    unit=unit,
                    unmasked=bool(unmasked[first] or unmasked[second]),
                    limit_s=limit_s,
                )
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
        """Return the pairs worth showing, nearest first."""
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
    """Return two track ids, the smaller one first."""
    return (first, second) if first < second else (second, first)


def find_highest_risk_pair(scene: Scene) -> PersonPair | None:
    """Return the pair that matters most: near, and somebody without a mask.

    Who is near for too long comes before who only passes by, then two uncovered faces
    before one, then the nearest. An incorrectly worn mask counts half; `UNKNOWN` does
    not.
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


_UNMASKED_WEIGHTS: Final = {
    Label.NO_MASK: 1.0,
    Label.INCORRECT: 0.5,
    Label.MASK: 0.0,
    Label.UNKNOWN: 0.0,
}
