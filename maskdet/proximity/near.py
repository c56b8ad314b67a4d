"""Who is near whom in a stream, and for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.proximity.contacts import ContactLog, Pair
from maskdet.proximity.geometry import (
    Geometry,
    Places,
    distances,
    geometry,
    what_counts,
)
from maskdet.settings import Settings
from maskdet.types import UNTRACKED, Contact, Label, PersonPair, Scene

APART: Final = 1.15
"""Who is near stays so up to the limit times this, or a pair at the limit flickers."""

SHOWN: Final = 2.0
"""Pairs further apart than the limit times this are not worth a line."""

BRIDGE_S: Final = 1.0
"""A pair that is not seen for so long and then is near again never parted."""

SMOOTH_S: Final = 0.4
"""Places follow what is seen with this time constant, at any frame rate: boxes shake
by a few percent, which is decimetres in depth, and people walk a metre a second."""


_RENEW_S = 1.0
"""How old the list of contacts may be, in seconds."""

_FEW = 200
"""As long as there are fewer contacts, a new one is listed at once."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """Where people last were: track ids, `(m, 3)` places and `(m,)` times."""

    names: list[int]
    places: Places
    seen_s: NDArray[np.float64]


_NOBODY: Final = _Seen([], np.zeros((0, 3)), np.zeros(0))


@dataclass
class _Meeting:
    """A pair that is near: since when, and when it was last seen so."""

    since_s: float
    seen_s: float


class Proximity:
    """Who is near whom in one camera or film; `update` it with each picture."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._geometry: Geometry | None = None
        self._asked: object = None
        self._time_s = -math.inf
        self._places = _NOBODY
        self._meetings: dict[Pair, _Meeting] = {}
        self._log = ContactLog()
        self._contacts: tuple[Contact, ...] = ()
        self._contacts_s = -math.inf
        self._positions = _NOBODY.places[:, :2]

    @property
    def positions(self) -> NDArray[np.float64]:
        """Return `(n, 2)` x and z of the last update's rows, smoothed, for a plan."""
        return self._positions

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Return the contacts so far, longest first; renewed once a second.

        Sorting thousands of pairs in every frame would take longer than the frame.
        """
        due = self._time_s - self._contacts_s >= _RENEW_S
        if due or (len(self._contacts) < len(self._log) < _FEW):
            self._contacts, self._contacts_s = self._log.contacts, self._time_s
        return self._contacts

    @property
    def contact_s(self) -> Mapping[int, float]:
        """Return for how many seconds each person was near anybody, by track id."""
        return self._log.seconds

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
            time_s: when the picture was taken; never earlier than the last one.
            size_wh: width and height of the picture in pixels.
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
        before_s, self._time_s = self._time_s, time_s
        if settings.distance == "off":
            self._restart(None, None)
            return ()
        shape = self._shape(settings, size_wh)
        names = [int(one) for one in ids]
        places = self._smoothed(shape.places(boxes), names, settings.memory_s)
        self._positions = places[:, [0, 2]]
        apart = distances(places)
        limit = settings.contact_distance_m * shape.metre
        bare = np.zeros(len(names), bool) if unmasked is None else unmasked
        self._meet(apart, names, before_s, (limit, settings.contact_duration_s), bare)
        return self._shown(
            apart, names, (limit, shape.unit), settings.contact_duration_s
        )

    def _shape(self, settings: Settings, size_wh: tuple[int, int]) -> Geometry:
        """Return how to measure; another way than before starts anew."""
        # Kept here, not only in the cache, which many streams share.
        asked = what_counts(settings, size_wh)
        shape = self._geometry
        if shape is None or asked != self._asked:
            shape = geometry(settings, size_wh)
            self._restart(shape, asked)
        return shape

    def _restart(self, shape: Geometry | None, asked: object) -> None:
        """Forget places and meetings: they were measured in another way."""
        self._geometry, self._asked = shape, asked
        self._meetings.clear()
        self._places = _NOBODY
        self._positions = _NOBODY.places[:, :2]

    def _smoothed(self, places: Places, names: list[int], memory_s: float) -> Places:
        """Return the places drawn towards where the same people just were."""
        old = self._places
        before = {name: row for row, name in enumerate(old.names)}
        rows = np.array([before.get(name, -1) for name in names], np.int64)
        known = rows >= 0
        waited_s = self._time_s - old.seen_s[rows[known]]
        stay = np.exp(-waited_s / SMOOTH_S)[:, None]
        places[known] += stay * (old.places[rows[known]] - places[known])
        lost = [
            row
            for name, row in before.items()
            if name not in names and self._time_s - old.seen_s[row] <= memory_s
        ]
        kept = [row for row, name in enumerate(names) if name != UNTRACKED]
        self._places = _Seen(
            [names[row] for row in kept] + [old.names[row] for row in lost],
            np.concatenate([places[kept], old.places[lost]]),
            np.concatenate([np.full(len(kept), self._time_s), old.seen_s[lost]]),
        )
        return places

    def _meet(
        self,
        apart: NDArray[np.float64],
        names: list[int],
        before_s: float,
        limits: tuple[float, float],
        unmasked: NDArray[np.bool_],
    ) -> None:
        """Begin, continue and end contacts, and add up their time.

        Args:
            apart: `(n, n)` distances.
            names: track ID of each row.
            before_s: when the frame before was taken.
            limits: contact distance, in the unit of `apart`, and duration in seconds.
            unmasked: `(n,)`, as in `update`.
        """
        (limit, limit_s), now_s, rows = limits, self._time_s, apart.tolist()
        unit = "m" if self._geometry is None else self._geometry.unit
        where = {name: row for row, name in enumerate(names) if name != UNTRACKED}
        for pair, meeting in list(self._meetings.items()):
            first, second = where.get(pair[0]), where.get(pair[1])
            unseen_s = now_s - meeting.seen_s
            # Between two pictures that follow each other nothing was missed.
            bridged = unseen_s <= BRIDGE_S or meeting.seen_s == before_s
            if first is None or second is None:
                if unseen_s > BRIDGE_S:
                    del self._meetings[pair]
            elif not bridged or rows[first][second] > APART * limit:
                del self._meetings[pair]
            else:
                self._log.add(
                    pair,
                    meeting.seen_s,
                    now_s,
                    since_s=meeting.since_s,
                    distance=rows[first][second],
                    unit=unit,
                    unmasked=bool(unmasked[first] or unmasked[second]),
                    limit_s=limit_s,
                )
                meeting.seen_s = now_s
        for row, other in np.argwhere(np.triu(apart < limit, 1)).tolist():
            pair = _pair(names[row], names[other])
            if UNTRACKED not in pair and pair not in self._meetings:
                self._meetings[pair] = _Meeting(now_s, now_s)

    def _shown(
        self,
        apart: NDArray[np.float64],
        names: list[int],
        limit_in: tuple[float, str],
        for_s: float,
    ) -> tuple[PersonPair, ...]:
        """Return the pairs worth showing, nearest first."""
        limit, unit = limit_in
        rows, others = np.nonzero(np.triu(apart <= SHOWN * limit, 1))
        ways = apart[rows, others]
        order = np.argsort(ways, kind="stable")
        columns = (one[order].tolist() for one in (rows, others, ways))
        shown = []
        for row, other, distance in zip(*columns, strict=True):
            meeting = self._meetings.get(_pair(names[row], names[other]))
            near = distance < limit or meeting is not None
            near_s = self._time_s - meeting.since_s if meeting else 0.0
            shown.append(
                PersonPair(
                    row, other, distance, unit, near, near_s, near and near_s >= for_s
                )
            )
        return tuple(shown)


def _pair(first: int, second: int) -> Pair:
    """Return two track ids, the smaller one first."""
    return (first, second) if first < second else (second, first)


def most_pressing(scene: Scene) -> PersonPair | None:
    """Return the pair that matters most: near, and somebody without a mask.

    Who is near for too long comes before who only passes by, then two uncovered faces
    before one, then the nearest. An incorrectly worn mask counts half; `UNKNOWN` does
    not.
    """
    labels = scene.labels

    def weight(pair: PersonPair) -> tuple[float, float, float]:
        bare = _BARE[labels[pair.first]] + _BARE[labels[pair.second]]
        return pair.exceeds_limit, bare, -pair.distance

    pressing = [pair for pair in scene.pairs if pair.in_contact and weight(pair)[1] > 0]
    return max(pressing, key=weight, default=None)


_BARE: Final = {
    Label.NO_MASK: 1.0,
    Label.INCORRECT: 0.5,
    Label.MASK: 0.0,
    Label.UNKNOWN: 0.0,
}
