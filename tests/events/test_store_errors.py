"""The database of events when somebody meddles with it."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from maskdet.events import Event, database
from maskdet.events.config import sqlite_url
from maskdet.events.database import EventFilter, StoreError
from maskdet.events.store import EventStore

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


def test_a_deleted_database_is_created_again(full, file) -> None:
    for part in file.parent.iterdir():
        part.unlink()
    assert full.read(ALL) == []
    assert not full.exists()
    full.add([event(1, 7)])
    assert full.read(ALL) == [event(1, 7)]
    file.unlink()
    full.add([event(2, 8)])
    assert EventStore(sqlite_url(file)).read(ALL) == [event(2, 8)]


def test_dropped_tables_are_created_again(full, file) -> None:
    with sqlite3.connect(file) as connection:
        for name in (database.EVENTS_TABLE.name, database.INFO_TABLE.name):
            connection.execute(f"DROP TABLE {name}")
    with pytest.raises(StoreError):
        full.add([event(1, 7)])
    full.add([event(1, 7)])
    assert full.read(ALL) == [event(1, 7)]


def test_only_invalid_values_count_as_rejected(full, file) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(
            f"CREATE UNIQUE INDEX once ON {database.EVENTS_TABLE.name} (person, "
            "at_ms)"
            " WHERE person > 90"
        )
    full.add([event(1, 91)])
    with pytest.raises(StoreError) as refusal:
        full.add([event(1, 91)])
    assert refusal.value.rejected
    broken = file.with_name("broken.sqlite3")
    broken.write_bytes(b"no database " * 100)
    with pytest.raises(StoreError) as trouble:
        EventStore(sqlite_url(broken)).add([event(1, 92)])
    assert not trouble.value.rejected


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_reading_a_foreign_file_changes_nothing(tmp_path, journal) -> None:
    file = tmp_path / "other.sqlite3"
    with sqlite3.connect(file) as direct:
        direct.execute(f"PRAGMA journal_mode={journal}")
        direct.execute("CREATE TABLE songs (name TEXT)")
    direct.close()
    before = files(tmp_path)
    store = EventStore(sqlite_url(file))
    assert store.read(ALL) == []
    assert not store.exists()
    assert store.is_foreign()
    store.close()
    assert files(tmp_path) == before


def test_reading_does_not_change_a_file_and_writing_enables_wal(
    full, file, tmp_path
) -> None:
    copy = tmp_path / "copy.sqlite3"
    with sqlite3.connect(file) as direct:
        direct.execute("VACUUM INTO ?", (str(copy),))
    before = copy.read_bytes()
    store = EventStore(sqlite_url(copy))
    assert store.read(ALL) == [event(0, 1)]
    assert not store.is_foreign()
    store.close()
    assert copy.read_bytes() == before
    store.add([event(1, 2)])
    with sqlite3.connect(copy) as direct:
        assert direct.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_reading_a_read_only_database_creates_no_files(full, file, monkeypatch) -> None:
    full.close()
    # Rights do not hold for root, so SQLite itself is asked what it did.
    monkeypatch.setattr("maskdet.events.database.os.access", lambda *_: False)
    before = files(file.parent)
    made: list[str] = []
    store = EventStore(sqlite_url(file))
    found = store.read(ALL)
    with store._open_transaction(store._engine_for_reading()) as connection:
        connection.exec_driver_sql("SELECT * FROM maskdet_events").all()
        made = [path.name for path in file.parent.iterdir()]
        with pytest.raises(OperationalError, match="readonly"):
            connection.exec_driver_sql("DELETE FROM maskdet_events")
    assert found == [event(0, 1)]
    assert made == [file.name]
    assert files(file.parent) == before


def test_a_reader_sees_what_another_program_writes(full, file, monkeypatch) -> None:
    monkeypatch.setattr("maskdet.events.database.os.access", lambda *_: False)
    reading = EventStore(sqlite_url(file))
    assert reading.read(ALL) == [event(0, 1)]
    full.add([event(1, 2)])
    assert reading.read(ALL) == [event(1, 2), event(0, 1)]
