"""What is lost if the program is killed, or if the disk is full while it records."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maskdet.events import Event, writer
from maskdet.events.config import sqlite_url
from maskdet.events.database import EventFilter
from maskdet.events.store import EventStore
from maskdet.events.writer import EventWriter
from tests.helpers.waiting import wait_until, wait_until_empty

ROOT = Path(__file__).resolve().parents[2]
ALL = EventFilter()

# Prints the number of each event and the time at which it was queued.
RECORDING_PROGRAM = """
import sys, time
from datetime import UTC, datetime
from maskdet.events import Event
from maskdet.events.store import EventStore
from maskdet.events.writer import EventWriter

writer = EventWriter(EventStore(sys.argv[1]), retention_days=30)
for number in range(10**9):
    print(number, time.monotonic(), flush=True)
    writer.put([Event("entered", datetime.now(UTC), "Door", "run", number)])
    time.sleep(0.002)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_program_loses_at_most_the_last_second(tmp_path: Path) -> None:
    file = tmp_path / "events.sqlite3"
    with subprocess.Popen(
        [sys.executable, "-c", RECORDING_PROGRAM, sqlite_url(file)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as program:
        assert program.stdout is not None
        # Enough for some transactions and for the file of the log to be copied back.
        lines = [program.stdout.readline() for _ in range(700)]
        killed_s = time.monotonic()
        program.send_signal(signal.SIGKILL)
        lines += program.stdout.readlines()
    queued_s = [float(line.split()[1]) for line in lines if line.endswith("\n")]
    store = EventStore(sqlite_url(file))
    people = [event.person for event in reversed(store.read(ALL))]
    assert people == list(range(len(people))), "none is missing in between"
    assert all(time_s > killed_s - 1 for time_s in queued_s[len(people) :])
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.add([make_event(len(people))])
    assert len(store.read(ALL)) == len(people) + 1
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file sizes")
def test_no_event_is_lost_while_the_disk_is_full(tmp_path: Path, monkeypatch) -> None:
    import resource

    monkeypatch.setattr(writer, "RETRY_S", 0.02)
    store = EventStore(sqlite_url(tmp_path / "events.sqlite3"))
    recorder = EventWriter(store, retention_days=30)
    recorder.put([make_event(0)])
    wait_until_empty(recorder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        recorder.put(make_event(number) for number in range(1, 1_500))
        wait_until(lambda: recorder.status().problem, "the problem")
        status = recorder.status()
        assert "\n" not in status.problem
        assert (status.n_written + status.n_waiting, status.n_dropped) == (1_500, 0)
        assert len(store.read(ALL)) == status.n_written, "what is written can be read"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    wait_until_empty(recorder)
    assert (recorder.status().n_written, recorder.status().problem) == (1_500, "")
    people = [event.person for event in reversed(store.read(ALL))]
    assert people == list(range(1_500))
    recorder.close()
    store.close()


def make_event(number: int) -> Event:
    return Event("entered", datetime.now(UTC), "Door", "run", number)
