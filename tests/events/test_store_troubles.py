"""The database of events when somebody meddles with it."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maskdet.events import Event, statements
from maskdet.events.place import sqlite_url
from maskdet.events.store import EventFilter, EventStore, StoreError

ALL = EventFilter()


def event(minute: int, person: int) -> Event:
    at = datetime(2025, 3, 1, 12, minute, tzinfo=UTC)
    return Event("entered", at, "Door", "run", person)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "events.sqlite3"


@pytest.fixture
def full(file: Path) -> EventStore:
    store = EventStore(sqlite_url(file))
    store.add([event(0, 1)])
    return store


def test_a_database_that_was_deleted_is_made_anew(full, file) -> None:
    for part in file.parent.iterdir():
        part.unlink()
    assert full.read(ALL) == []
    assert not full.exists()
    full.add([event(1, 7)])
    assert full.read(ALL) == [event(1, 7)]
    file.unlink()
    full.add([event(2, 8)])
    assert EventStore(sqlite_url(file)).read(ALL) == [event(2, 8)]


def test_tables_that_were_dropped_are_made_anew(full, file) -> None:
    with sqlite3.connect(file) as connection:
        for name in (statements.EVENTS.name, statements.ABOUT.name):
            connection.execute(f"DROP TABLE {name}")
    with pytest.raises(StoreError):
        full.add([event(1, 7)])
    full.add([event(1, 7)])
    assert full.read(ALL) == [event(1, 7)]


def test_only_what_can_never_be_written_counts_as_refused(full, file) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(
            f"CREATE UNIQUE INDEX once ON {statements.EVENTS.name} (person, at_ms)"
            " WHERE person > 90"
        )
    full.add([event(1, 91)])
    with pytest.raises(StoreError) as refusal:
        full.add([event(1, 91)])
    assert refusal.value.refused
    broken = file.with_name("broken.sqlite3")
    broken.write_bytes(b"no database " * 100)
    with pytest.raises(StoreError) as trouble:
        EventStore(sqlite_url(broken)).add([event(1, 92)])
    assert not trouble.value.refused
