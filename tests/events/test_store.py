"""The database of events in a file; a server has `test_store_postgresql`."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from maskdet.events import database
from maskdet.events.config import read_events_url, read_retention_days, sqlite_url
from maskdet.events.database import EventFilter, StoreError
from maskdet.events.store import EventStore
from tests.events.store_contract import ALL, DAY_EVENTS, StoreContract, make_event


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "events.sqlite3"


@pytest.fixture
def store(file: Path) -> EventStore:
    return EventStore(sqlite_url(file))


@pytest.fixture
def full(store: EventStore) -> EventStore:
    store.add(DAY_EVENTS)
    return store


class TestSqlite(StoreContract):
    """What is true of every store, of a file."""


def test_reading_creates_no_file(store, file) -> None:
    assert store.read(ALL) == []
    assert (store.list_cameras(), store.delete()) == ([], 0)
    assert not file.parent.exists()


def test_the_file_is_private_and_allows_concurrent_reads(full, file) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with sqlite3.connect(file) as direct:
        assert direct.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        direct.execute("BEGIN IMMEDIATE")
        assert len(full.read(ALL)) == len(DAY_EVENTS)


def test_a_file_of_version_0_1_keeps_its_column(full, file) -> None:
    """Version 0.1 called the confidence `certainty`; its files are read and go on."""
    with sqlite3.connect(file) as direct:
        names = [row[1] for row in direct.execute("PRAGMA table_info(maskdet_events)")]
        stored = direct.execute("SELECT max(certainty) FROM maskdet_events").fetchone()
    assert "certainty" in names
    assert "confidence" not in names
    assert stored == (max(one.confidence for one in full.read(ALL)),)


def test_the_kind_classified_is_stored_as_in_version_0_1(store, file) -> None:
    classified, changed = make_event(1, 1), make_event(2, 1, kind="changed")
    store.add([classified, changed])
    with sqlite3.connect(file) as direct:
        stored = direct.execute("SELECT kind FROM maskdet_events").fetchall()
    assert stored == [("verdict",), ("changed",)], "other versions can still read it"
    assert store.read(EventFilter(kinds=("classified",))) == [classified]
    assert store.read(ALL) == [changed, classified]
    assert store.count_by_kind(ALL) == {"classified": 1, "changed": 1}


def test_deleted_events_are_overwritten_in_the_file(full, file) -> None:
    assert full.delete(DAY_EVENTS[5].at) == 5
    assert full.read(ALL) == list(reversed(DAY_EVENTS[5:]))
    assert full.delete() == 4
    assert full.read(ALL) == []
    full.close()
    left = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"crowd" not in left


def test_a_time_is_the_same_in_the_store_and_in_a_file(store) -> None:
    """Half a millisecond more is another one in both, and in the export of both."""
    late = replace(DAY_EVENTS[0], at=DAY_EVENTS[0].at.replace(microsecond=999_700))
    store.add([late])
    (read,) = store.read(ALL)
    assert (
        read.to_record()["at"] == late.to_record()["at"] == "2025-03-01T12:00:01.000Z"
    )
    assert late.to_json() == read.to_json()


def test_events_outlive_the_program(full, file) -> None:
    full.close()
    assert len(EventStore(sqlite_url(file)).read(ALL)) == len(DAY_EVENTS)


def test_a_newer_schema_is_not_changed(full, file) -> None:
    with sqlite3.connect(file) as direct:
        direct.execute("UPDATE maskdet_about SET value = '99'")
    other = EventStore(sqlite_url(file))
    with pytest.raises(
        StoreError, match=r"another version .* version 99, supported is 1"
    ):
        other.add(DAY_EVENTS)


def test_a_file_that_is_not_a_database_is_reported_in_one_line(file) -> None:
    file.parent.mkdir()
    file.write_text("no database at all, but long enough to be looked at " * 20)
    with pytest.raises(
        StoreError, match=r"events\.sqlite3 is not a database"
    ) as raised:
        EventStore(sqlite_url(file)).read(ALL)
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_created_is_reported_in_one_line(tmp_path) -> None:
    (tmp_path / "file").touch()
    store = EventStore(sqlite_url(tmp_path / "file" / "events.sqlite3"))
    with pytest.raises(StoreError, match="cannot be created"):
        store.add(DAY_EVENTS)


def test_a_locked_database_is_one_line(full, file, monkeypatch) -> None:
    monkeypatch.setattr("maskdet.events.database._LOCK_TIMEOUT_S", 0.05)
    impatient = EventStore(sqlite_url(file))
    with sqlite3.connect(file) as direct:
        direct.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="is locked by another program"):
            impatient.add(DAY_EVENTS)


def test_a_full_disk_is_one_line(full, file) -> None:
    with full._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the disk is full"):
        full.add([make_event(n, n, camera="x" * 60) for n in range(3000)])
    assert len(full.read(ALL)) == len(DAY_EVENTS), "all or none"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://who:geheim@127.0.0.1:1/name?password=geheim",
        "mysql+nothing://who:geheim@host/name",
        "what:ever:geheim",
        "nonsense://who:geheim@host",
        "sqlite://",
    ],
)
def test_messages_and_locations_contain_no_password(url) -> None:
    def read() -> None:
        store = EventStore(url)
        assert "geheim" not in store.location
        store.read(ALL)

    with pytest.raises(StoreError) as raised:
        read()
    assert "geheim" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_statement_compiles_for_postgresql() -> None:
    wanted = EventFilter(1, 2, ("left",), ("mask",), ("Door",))
    queries = [
        database.select_events(wanted).limit(5),
        database.select_kind_counts(wanted),
        database.select_cameras(),
        database.select_people_over_time(wanted, 60_000, 1800),
        database.select_people(wanted),
        database.select_unique_people(wanted),
        database.select_time_range(wanted),
        insert(database.EVENTS_TABLE),
        database.delete_events(EventFilter(before_ms=7)),
        database.delete_events(ALL),
        *(CreateTable(table) for table in database.METADATA.sorted_tables),
    ]
    texts = [str(query.compile(dialect=postgresql.dialect())) for query in queries]
    assert "BIGSERIAL" in texts[-1]
    assert "row_number() OVER (PARTITION BY" in texts[3]
    assert "ON CONFLICT" not in "".join(texts)
    ours = str(queries[-1].compile(dialect=sqlite.dialect()))
    assert "id INTEGER NOT NULL" in ours


def test_the_events_url_is_read_from_the_environment() -> None:
    assert read_events_url({}).startswith("sqlite:///")
    assert read_events_url({"MASKDET_EVENTS_URL": " off "}) == ""
    assert (
        read_events_url({"MASKDET_EVENTS_URL": "postgresql://h/n"})
        == "postgresql://h/n"
    )


def test_special_characters_in_a_folder_name_work(tmp_path) -> None:
    file = tmp_path / "a b?c#d%20" / "events.sqlite3"
    EventStore(sqlite_url(file)).add(DAY_EVENTS)
    assert file.exists()


def test_the_retention_days_are_read_from_the_environment() -> None:
    assert read_retention_days({}) == 30
    assert read_retention_days({"MASKDET_EVENTS_DAYS": "7"}) == 7
    for text in ("0", "-1", "many", "1e3", "99999", "٣"):
        with pytest.raises(ValueError, match="whole number from 1 to 3650"):
            read_retention_days({"MASKDET_EVENTS_DAYS": text})


def test_rules_and_detection_import_no_database_and_no_client() -> None:
    code = (
        "import sys, maskdet.events, maskdet.alerts.monitor, maskdet.events.config; "
        "print(*[n for n in ('sqlalchemy', 'paho', 'streamlit') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
