"""The database of events in PostgreSQL, on a server that the tests start."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest

from maskdet.cli import main
from maskdet.events import writer
from maskdet.events.database import EventFilter, StoreError
from maskdet.events.store import EventStore
from maskdet.events.writer import EventWriter
from tests.events.postgres import PostgresServer, find_programs, run_server
from tests.events.store_contract import ALL, DAY_EVENTS, StoreContract, make_event
from tests.helpers.waiting import wait_until, wait_until_empty

find_programs()  # skips all of them at once where there is no PostgreSQL
psycopg = pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def running() -> Iterator[PostgresServer]:
    with run_server() as one:
        yield one


@pytest.fixture
def name(running) -> str:
    """Return the name of a database that nobody has used."""
    name = f"events_{uuid.uuid4().hex}"
    command(running, f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def store(running, name) -> Iterator[EventStore]:
    one = EventStore(running.url(name))
    yield one
    one.close()


@pytest.fixture
def full(store) -> EventStore:
    store.add(DAY_EVENTS)
    return store


def command(where: PostgresServer, line: str, name: str = "postgres") -> None:
    address = where.url(name).replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(line)


class TestPostgresql(StoreContract):
    """What is true of every store, of a server."""


def test_several_programs_can_create_the_tables_at_once(running, name) -> None:
    stores = [EventStore(running.url(name)) for _ in range(8)]
    line, failures = threading.Barrier(len(stores)), []

    def record(number: int) -> None:
        line.wait()
        try:
            stores[number].add([make_event(number, number)])
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=record, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert stores[0].count_unique_people(ALL) == 8
    for store in stores:
        store.close()


def test_a_database_without_an_encoding_keeps_text_as_text(running, name) -> None:
    plain = f"{name}_plain"
    like = "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
    command(running, f"CREATE DATABASE {plain} {like}")
    store = EventStore(running.url(plain))
    store.add([make_event(0, 1, camera="Tür")])
    assert store.read(EventFilter(cameras=("Tür",))) == [make_event(0, 1, camera="Tür")]
    assert store.list_cameras() == ["Tür"]
    store.close()


@pytest.mark.parametrize("start", ["postgresql://", "postgres://"])
def test_a_url_needs_no_driver(running, name, full, start) -> None:
    store = EventStore(running.url(name).replace("postgresql+psycopg://", start))
    assert len(store.read(ALL)) == len(DAY_EVENTS)
    store.close()


@pytest.mark.parametrize(
    "values", [{"camera": "a\0b"}, {"session": "x" * 41}, {"person": 2**63}]
)
def test_invalid_values_are_rejected(store, values) -> None:
    with pytest.raises(StoreError) as raised:
        store.add([make_event(0, 1), make_event(1, **{"person": 1, **values})])
    assert raised.value.rejected
    assert store.read(ALL) == [], "all or none"


def test_a_wrong_password_is_reported_without_the_password(running) -> None:
    store = EventStore(running.url(password="geheim"))
    with pytest.raises(StoreError, match="password authentication failed") as raised:
        store.read(ALL)
    assert "geheim" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_database_is_reported_in_one_line(running) -> None:
    with pytest.raises(StoreError, match='database "nowhere" does not exist') as raised:
        EventStore(running.url("nowhere")).add(DAY_EVENTS)
    assert "\n" not in str(raised.value)


def test_a_read_only_user_can_read(running, name, full) -> None:
    command(running, f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    command(running, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}", name)
    address = running.url(name, password="x").replace("maskdet:", f"{name}:")
    guest = EventStore(address)
    assert len(guest.read(ALL)) == len(DAY_EVENTS)
    with pytest.raises(StoreError, match="permission denied") as raised:
        guest.add(DAY_EVENTS)
    assert not raised.value.rejected, "somebody may grant it"
    guest.close()


def test_a_locked_table_is_one_line(running, name, full, monkeypatch) -> None:
    monkeypatch.setattr("maskdet.events.database._LOCK_TIMEOUT_S", 0.05)
    address = running.url(name).replace("+psycopg", "")
    with psycopg.connect(address) as other:
        other.execute("LOCK TABLE maskdet_events")
        with pytest.raises(StoreError, match="is locked by another program"):
            full.read(ALL)
    assert len(full.read(ALL)) == len(DAY_EVENTS)


def test_events_are_queued_while_the_server_is_down(running, name, monkeypatch) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.05)
    store = EventStore(running.url(name))
    recorder = EventWriter(store, retention_days=3650)
    recorder.put(DAY_EVENTS[:1])
    wait_until_empty(recorder)
    running.stop()
    recorder.put(DAY_EVENTS[1:])
    wait_until(lambda: recorder.status().problem, "the problem")
    assert "Connection refused" in recorder.status().problem
    assert "\n" not in recorder.status().problem
    running.start()
    wait_until_empty(recorder)
    recorder.close()
    status = recorder.status()
    assert (status.n_written, status.n_dropped, status.problem) == (
        len(DAY_EVENTS),
        0,
        "",
    )
    assert sorted(store.read(ALL), key=DAY_EVENTS.index) == list(DAY_EVENTS)
    store.close()


def test_the_command_reads_and_deletes_there(running, name, full, capsys) -> None:
    address = running.url(name)
    assert main(["events", address, "--summary", "--kind", "alert"]) == 0
    assert capsys.readouterr().out.startswith("1 person: 1 No mask; 0 % masked\n")
    assert main(["events", "delete", address, "--all", "--yes"]) == 0
    assert full.read(ALL) == []
    assert main(["events", "delete", address, "--all", "--yes"]) == 0
    assert "p%40ss" not in capsys.readouterr().out
