"""Tests of `EventStore` for every database, as a base class."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from maskdet.events.database import EventFilter
from maskdet.events.event import EVENT_COLUMNS, Event, EventCsvWriter
from maskdet.types import Label

NOON = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
ALL = EventFilter()
MASK, NO_MASK, UNKNOWN = Label.MASK, Label.NO_MASK, Label.UNKNOWN


def make_event(minute: float, person: int, label: Label = MASK, **fields) -> Event:
    occurred_at = NOON + timedelta(minutes=minute)
    values = {"kind": "classified", "camera": "Door", "session": "run", **fields}
    return Event(at=occurred_at, person=person, label=label, confidence=0.9, **values)


DAY_EVENTS = (
    make_event(0, 1, UNKNOWN, kind="entered"),
    make_event(1, 1, NO_MASK),
    make_event(2, 1, MASK, kind="changed", before=NO_MASK),
    make_event(3, 2, NO_MASK, camera="Hall"),
    make_event(4, 2, NO_MASK, kind="alert", rule="no_mask", camera="Hall", for_s=3.5),
    make_event(61, 1, MASK, kind="left", for_s=3660.0),
    make_event(62, 1, MASK, session="later"),
    make_event(63, 3, UNKNOWN, kind="close", other=1, distance=1.25, unit="m"),
    make_event(64, -1, NO_MASK, kind="alert", rule="crowd", count=5),
)


class StoreContract:
    """Needs the fixtures `store`, which is empty, and `full`, with `DAY_EVENTS`."""

    def test_empty_store(self, store) -> None:
        assert not store.exists()
        assert store.read(ALL) == []
        assert store.count_by_kind(ALL) == store.count_people(ALL) == Counter()
        assert store.count_people_over_time(ALL, 3_600_000) == {}
        assert store.get_time_range_ms(ALL) is None
        assert (store.count_unique_people(ALL), store.list_cameras()) == (0, [])
        assert store.delete() == 0
        assert list(store.iterate(ALL)) == []
        assert not store.exists()

    def test_read_newest_first(self, full) -> None:
        assert full.read(ALL) == list(reversed(DAY_EVENTS))
        assert full.read(ALL, 2) == [DAY_EVENTS[8], DAY_EVENTS[7]]

    @pytest.mark.parametrize(
        ("event_filter", "rows"),
        [
            (EventFilter(kinds=("alert", "left")), [8, 5, 4]),
            (EventFilter(labels=("mask",)), [6, 5, 2]),
            (EventFilter(cameras=("Hall",)), [4, 3]),
            (EventFilter(cameras=("Hall",), kinds=("alert",)), [4]),
            (EventFilter(since_ms=DAY_EVENTS[7].at_ms), [8, 7]),
            (EventFilter(before_ms=DAY_EVENTS[1].at_ms), [0]),
            (EventFilter(kinds=("nothing",)), []),
        ],
    )
    def test_filter_selects_events(self, full, event_filter, rows) -> None:
        assert full.read(event_filter) == [DAY_EVENTS[row] for row in rows]

    def test_people_are_counted_once_with_their_last_label(self, full) -> None:
        assert full.count_people(ALL) == {MASK: 2, NO_MASK: 1}
        assert full.count_unique_people(ALL) == 4, "person 3 has no label yet"
        assert full.count_people(EventFilter(before_ms=DAY_EVENTS[2].at_ms)) == {
            NO_MASK: 1
        }
        assert full.count_by_kind(ALL)["alert"] == 2
        assert full.list_cameras() == ["Door", "Hall"]

    def test_the_time_range_has_the_first_and_the_last_event(self, full) -> None:
        times_ms = [event.at_ms for event in DAY_EVENTS]
        assert full.get_time_range_ms(ALL) == (min(times_ms), max(times_ms))
        hall = EventFilter(cameras=("Hall",), kinds=("alert",))
        assert full.get_time_range_ms(hall) == (times_ms[4], times_ms[4])
        assert full.get_time_range_ms(EventFilter(kinds=("nothing",))) is None

    def test_each_person_counts_once_per_interval(self, full) -> None:
        noon_ms = DAY_EVENTS[0].at_ms
        hour_ms = 3_600_000
        assert full.count_people_over_time(ALL, hour_ms) == {
            noon_ms: {MASK: 1, NO_MASK: 1},
            noon_ms + hour_ms: {MASK: 2},
        }
        # An offset of half an hour shifts the hours.
        shifted = full.count_people_over_time(ALL, hour_ms, hour_ms // 2)
        assert shifted == {
            noon_ms - hour_ms // 2: {MASK: 1, NO_MASK: 1},
            noon_ms + hour_ms // 2: {MASK: 2},
        }
        by_minute = full.count_people_over_time(ALL, 60_000)
        assert min(by_minute) >= noon_ms
        assert {start_ms % 60_000 for start_ms in by_minute} == {0}
        assert len(by_minute) > 2

    def test_csv_has_all_columns_oldest_first(self, full) -> None:
        file, changes = io.StringIO(), EventFilter(kinds=("changed", "close"))
        assert EventCsvWriter(file).add(full.iterate(changes)) == 2
        head, changed, close = file.getvalue().splitlines()
        assert head == ",".join(EVENT_COLUMNS)
        assert changed == (
            "changed,2025-03-01T12:02:00.000Z,Door,run,1,mask,0.9,no_mask,,,,0.0,,"
        )
        assert close.endswith(",3,unknown,0.9,,1,1.25,m,0.0,,")

    def test_csv_escapes_formulas(self, store) -> None:
        store.add([make_event(n, n, camera='=HYPERLINK("x")') for n in range(2500)])
        file = io.StringIO()
        assert EventCsvWriter(file).add(store.iterate(ALL)) == 2500
        assert len(file.getvalue().splitlines()) == 2501
        assert ",=HYP" not in file.getvalue()
        assert "'=HYP" in file.getvalue()

    def test_delete_old_events(self, full) -> None:
        assert full.delete(DAY_EVENTS[5].at) == 5
        assert full.read(ALL) == list(reversed(DAY_EVENTS[5:]))
        assert full.delete() == 4
        assert full.read(ALL) == []
