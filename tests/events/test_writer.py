"""The thread that writes events down, and what it does when it cannot."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maskdet.events import Event, writer
from maskdet.events.config import sqlite_url
from maskdet.events.database import EventFilter, StoreError
from maskdet.events.store import EventStore
from maskdet.events.writer import EventWriter
from tests.helpers.waiting import WAIT_S, wait_until, wait_until_empty

ALL = EventFilter()


def events(n: int, *, days_ago: float = 0) -> list[Event]:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    return [Event("entered", at, "Door", "run", person) for person in range(n)]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Trouble:
    """A store that fails while it is told to, and can be made to wait."""

    place = "nowhere"

    def __init__(self, line: str = "nowhere is locked by another program") -> None:
        self.line = line
        self.error: Exception | None = StoreError(line)
        self.open = threading.Event()
        self.open.set()
        self.taken: list[Event] = []
        self.n_asked = 0

    def add(self, batch: list[Event]) -> None:
        self.n_asked += bool(batch)
        self.open.wait(WAIT_S)
        if self.error is not None and batch:
            raise self.error
        self.taken += batch

    def delete(self, before: datetime | None = None) -> int:
        return 0


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.02)


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    return EventStore(sqlite_url(tmp_path / "events.sqlite3"))


def test_events_are_in_the_database_soon(store) -> None:
    writing = EventWriter(store, retention_days=30)
    writing.put(events(500))
    wait_until_empty(writing)
    assert len(store.read(ALL)) == 500
    assert (writing.status().n_written, writing.status().problem) == (500, "")
    writing.close()


def test_closing_writes_the_queue(store) -> None:
    writing = EventWriter(store, retention_days=30)
    writing.put(events(300))
    writing.close(WAIT_S)
    assert len(store.read(ALL)) == 300


def test_old_events_are_deleted_at_the_start_and_once_a_day(store, monkeypatch) -> None:
    store.add(events(3, days_ago=40) + events(2, days_ago=1))
    clock = Clock()
    monkeypatch.setattr(writer, "monotonic", clock)
    writing = EventWriter(store, retention_days=30)
    wait_until(lambda: len(store.read(ALL)) == 2)
    writing.put(events(1, days_ago=35))
    wait_until_empty(writing)
    assert len(store.read(ALL)) == 3, "the day is not over"
    clock.now_s += 86_400
    wait_until(lambda: len(store.read(ALL)) == 2)
    writing.close()


def test_without_events_no_file_is_made(store, tmp_path) -> None:
    EventWriter(store, retention_days=30).close(WAIT_S)
    assert not list(tmp_path.iterdir())


def test_a_database_error_is_reported_and_no_event_is_lost(quick) -> None:
    trouble = Trouble()
    writing = EventWriter(trouble, retention_days=30)
    writing.put(events(3))
    wait_until(lambda: writing.status().problem == trouble.line)
    writing.put(events(2))
    trouble.error = None
    wait_until_empty(writing)
    assert len(trouble.taken) == 5
    assert (writing.status().problem, writing.status().n_dropped) == ("", 0)
    writing.close()


def test_a_repeated_error_is_logged_once(quick, caplog) -> None:
    trouble = Trouble()
    writing = EventWriter(trouble, retention_days=30)
    writing.put(events(1))
    wait_until(lambda: trouble.n_asked >= 5)
    writing.close()
    assert caplog.text.count("is locked by another program") == 1


def test_a_slow_disk_does_not_block_and_drops_are_counted(monkeypatch) -> None:
    monkeypatch.setattr(writer, "CAPACITY", 10)
    slow = Trouble()
    slow.error = None
    slow.open.clear()
    writing = EventWriter(slow, retention_days=30)
    writing.put(events(1))
    wait_until(lambda: writing._queue.empty())
    writing.put(events(25))
    status = writing.status()
    assert (status.n_waiting, status.n_dropped) == (11, 15)
    slow.open.set()
    wait_until_empty(writing)
    assert writing.status().n_written == 11
    writing.close()


class Picky(Trouble):
    """A store that never takes certain people, as long as it can be reached."""

    def __init__(self, refused: Exception, people: set[int]) -> None:
        super().__init__()
        self.error, self._refused, self._people = None, refused, people

    def add(self, batch: list[Event]) -> None:
        if any(event.person in self._people for event in batch):
            raise self._refused
        super().add(batch)


@pytest.mark.parametrize(
    "refused", [StoreError("too long", rejected=True), OverflowError("too large")]
)
def test_a_rejected_event_is_dropped_and_blocks_no_other(quick, refused) -> None:
    picky = Picky(refused, {2, 4})
    writing = EventWriter(picky, retention_days=30)
    writing.put(events(6))
    wait_until_empty(writing)
    writing.put(events(2))
    wait_until_empty(writing)
    assert [event.person for event in picky.taken] == [0, 1, 3, 5, 0, 1]
    status = writing.status()
    assert (status.n_written, status.n_dropped, status.n_waiting) == (6, 2, 0)
    writing.close()


def test_a_number_that_sqlite_cannot_hold_blocks_nothing_else(quick, store) -> None:
    writing = EventWriter(store, retention_days=30)
    good = events(3)
    writing.put([good[0], replace(good[1], person=2**70), good[2]])
    wait_until_empty(writing)
    assert [event.person for event in store.read(ALL)] == [2, 0]
    assert writing.status().n_dropped == 1
    writing.close()


def test_an_unreachable_database_does_not_count_as_rejection(quick) -> None:
    trouble = Trouble()
    writing = EventWriter(trouble, retention_days=30)
    writing.put(events(2))
    wait_until(lambda: trouble.n_asked >= 5)
    assert (writing.status().n_waiting, writing.status().n_dropped) == (2, 0)
    writing.close()


def test_a_bug_does_not_end_the_writer_thread(quick) -> None:
    trouble = Trouble()
    trouble.error = KeyError("secret detail")
    writing = EventWriter(trouble, retention_days=30)
    writing.put(events(1))
    wait_until(lambda: writing.status().problem)
    assert writing.status().problem == "events were not written: KeyError"
    trouble.error = None
    wait_until_empty(writing)
    writing.close()
