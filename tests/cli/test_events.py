"""`maskdet events`: lists, summaries, CSV and deletion."""

from __future__ import annotations

import csv
import io
import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from maskdet.cli import main
from maskdet.cli.events import format_event_line, summarize_events
from maskdet.cli.options import parse_time
from maskdet.events.config import sqlite_url, to_store_url
from maskdet.events.database import EventFilter
from maskdet.events.event import EVENT_COLUMNS, EventCsvWriter
from maskdet.events.store import EventStore
from tests.events.store_contract import DAY_EVENTS

ALL = EventFilter()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of the events database, which does not exist yet."""
    file = tmp_path / "events.sqlite3"
    monkeypatch.setenv("MASKDET_EVENTS_URL", sqlite_url(file))
    return file


@pytest.fixture
def store(file: Path) -> EventStore:
    store = EventStore(sqlite_url(file))
    store.add(DAY_EVENTS)
    return store


@pytest.fixture
def terminal_input(monkeypatch: pytest.MonkeyPatch):
    """Return a function that sets the input of a terminal."""

    def type_input(text: str) -> None:
        terminal = io.StringIO(text)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdin", terminal)

    return type_input


def lines(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_the_newest_are_listed_oldest_first(store, capsys) -> None:
    assert main(["events", "--limit", "2"]) == 0
    out, err = capsys.readouterr()
    close, crowd = out.splitlines()
    assert close.endswith("Door: Person 3 and person 1, 1.2 m apart: too close")
    assert "Alert" in crowd
    assert crowd.endswith("Door: 5 people without a mask (90 %)")
    assert err == "the newest 2 of 9 events; --limit N or --csv FILE for more\n"


def test_a_line_has_time_session_kind_camera_and_description() -> None:
    assert format_event_line(DAY_EVENTS[2], UTC) == (
        "2025-03-01 12:02:00  run   Class changed  Door: "
        "Person 1: No mask, now Mask (90 %)"
    )
    india = timezone(timedelta(hours=5, minutes=30))
    assert format_event_line(DAY_EVENTS[0], india).startswith(
        "2025-03-01 17:30:00  run "
    )
    assert format_event_line(DAY_EVENTS[0], UTC).endswith("Door: Person 1 entered")


@pytest.mark.parametrize(
    ("words", "n"),
    [
        ("--kind alert", 2),
        ("--kind alert --kind left", 3),
        ("--kind alert --camera Hall", 1),
        ("--label mask", 3),
        ("--from 2025-03-01T13:02Z", 3),
        ("--from 2025-03-01T13:02+00:00 --to 2025-03-01T13:04Z", 2),
        ("--to 2025-02-27", 0),
        ("--camera Attic", 0),
        ("--from 1h", 0),
    ],
)
def test_only_matching_events_are_listed(store, capsys, words, n) -> None:
    assert main(["events", *words.split()]) == 0
    out = lines(capsys)
    assert out == ["no matching events"] if n == 0 else len(out) == n


def test_a_summary_counts_people_once_and_hours(store) -> None:
    assert summarize_events(store, ALL, UTC) == [
        "4 people: 2 Mask, 1 No mask; 67 % masked",
        "9 events, including 1 too close and 2 alerts",
        "",
        "hour              people  masked  mask  no mask  incorrect",
        "2025-03-01 12:00       2    50 %     1        1          0",
        "2025-03-01 13:00       2   100 %     2        0          0",
    ]
    nobody = EventFilter(kinds=("entered",))
    assert summarize_events(store, nobody, UTC) == [
        "1 person: no classes known",
        "1 event, including 0 too close and 0 alerts",
    ]


def test_the_summary_respects_the_filters(store, capsys) -> None:
    assert main(["events", "--summary", "--camera", "Hall"]) == 0
    assert lines(capsys)[0] == "1 person: 1 No mask; 0 % masked"


def test_the_csv_equals_that_of_the_page(store, tmp_path, capsys) -> None:
    page = io.StringIO()
    EventCsvWriter(page).add(store.iterate(EventFilter(cameras=("Door",))))
    assert main(["events", "--csv", "-", "--camera", "Door"]) == 0
    assert capsys.readouterr().out == page.getvalue()
    target = tmp_path / "out.csv"
    assert main(["events", "--csv", str(target), "--camera", "Door"]) == 0
    assert target.read_text("utf-8") == page.getvalue()
    assert capsys.readouterr() == ("", f"wrote {target}: 7 events\n")
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_the_csv_without_events_has_only_the_header(file, capsys) -> None:
    assert main(["events", "--csv", "-"]) == 0
    out, err = capsys.readouterr()
    assert next(csv.reader([out])) == list(EVENT_COLUMNS)
    assert err == f"no events recorded in {file}\n"
    assert not file.exists()


def test_a_database_can_be_given_as_a_file_or_a_url(store, file, capsys) -> None:
    other = file.with_name("other.sqlite3")
    EventStore(to_store_url(str(other))).add(DAY_EVENTS[:1])
    for name in (str(other), sqlite_url(other)):
        assert main(["events", name]) == 0
        assert len(lines(capsys)) == 1
    missing = file.with_name("missing.sqlite3")
    assert main(["events", str(missing)]) == 1
    assert capsys.readouterr().err == f"maskdet: {missing}: there is no such file\n"
    assert not missing.exists()


def test_a_tilde_is_expanded(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert to_store_url("~/e.sqlite3") == sqlite_url(tmp_path / "e.sqlite3")
    assert to_store_url("postgresql://host/name") == "postgresql://host/name"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--csv nowhere/at/all.csv", "there is no folder nowhere/at"),
        ("postgresql://u:geheim@127.0.0.1:1/n?connect_timeout=1", "cannot be used"),
        ("nonsense://u:geheim@host/n", "are not supported"),
    ],
)
def test_what_cannot_be_done_is_one_line(store, capsys, words, line) -> None:
    assert main(["events", *words.split()]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1
    assert "geheim" not in err
    assert len(store.read(ALL)) == len(DAY_EVENTS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a.db b.db", "unrecognized arguments: b.db"),
        ("--all", "unrecognized arguments: --all"),
        ("delete", "one of the arguments --before --all is required"),
        ("delete --all --before 7d", "not allowed with argument --all"),
        ("delete --all --camera Door", "unrecognized arguments: --camera"),
        ("delete --all --csv -", "unrecognized arguments: --csv"),
        ("delete --all --summary", "unrecognized arguments: --summary"),
        ("--yes delete --all", "unrecognized arguments"),
        ("delet --all", "unrecognized arguments: --all"),
    ],
)
def test_arguments_of_another_subcommand_are_a_usage_error(
    store, words, message, capsys
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["events", *words.split()])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert len(store.read(ALL)) == len(DAY_EVENTS)


def test_a_database_may_be_named_like_a_subcommand(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    EventStore(to_store_url("delete")).add(DAY_EVENTS[:1])
    for words in ("list delete", "./delete"):
        assert main(["events", *words.split()]) == 0
        assert len(lines(capsys)) == 1
    assert main(["events", "delete", "delete", "--all", "--yes"]) == 0
    assert lines(capsys) == ["1 event was deleted"]


def test_a_foreign_database_is_rejected_and_not_changed(tmp_path, capsys) -> None:
    file = tmp_path / "songs.db"
    with sqlite3.connect(file) as direct:
        direct.execute("CREATE TABLE songs (name TEXT)")
    before = file.read_bytes()
    for words in ("list", "list --csv -", "list --summary", "delete --all --yes"):
        action, *more = words.split()
        assert main(["events", action, str(file), *more]) == 1
        line = f"maskdet: {file} is not an events database\n"
        assert capsys.readouterr() == ("", line)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_database_must_be_given_if_recording_is_off(monkeypatch, capsys) -> None:
    monkeypatch.setenv("MASKDET_EVENTS_URL", "off")
    assert main(["events"]) == 1
    assert "switched off" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["--from soon", "--limit 0", "--kind x", "--label y"])
def test_an_invalid_value_is_a_usage_error(words, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["events", *words.split()])
    assert stopped.value.code == 2


def test_deleting_asks_and_needs_a_yes(store, terminal_input, capsys) -> None:
    for no in ("", "\n", "n\n", "nonsense\n"):
        terminal_input(no)
        assert main(["events", "delete", "--all"]) == 0
        out, err = capsys.readouterr()
        assert out == "nothing was deleted\n"
        assert f"Delete 9 events in {store.location} for good? [y/N]" in err
    assert len(store.read(ALL)) == len(DAY_EVENTS)
    terminal_input("y\n")
    assert main(["events", "delete", "--all"]) == 0
    assert lines(capsys) == ["9 events were deleted"]
    assert store.read(ALL) == []


def test_without_a_terminal_deleting_needs_the_option_yes(
    store, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["events", "delete", "--all"]) == 1
    assert (
        "there is no terminal for the confirmation; use --yes"
        in capsys.readouterr().err
    )
    assert len(store.read(ALL)) == len(DAY_EVENTS)


def test_only_older_events_are_deleted(store, file, capsys) -> None:
    words = ["delete", str(file), "--before", "2025-03-01T13:01:00Z", "--yes"]
    assert main(["events", *words]) == 0
    assert lines(capsys) == ["5 events were deleted"]
    assert store.read(ALL) == list(reversed(DAY_EVENTS[5:]))
    assert main(["events", *words]) == 0
    assert lines(capsys)[0].startswith("there are no events from before 2025-03-01")


def test_times_are_parsed() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert parse_time("36h", clock=lambda: now) == now - timedelta(hours=36)
    assert parse_time(" 7d ", clock=lambda: now) == now - timedelta(days=7)
    assert parse_time("2026-11-21T10:30Z") == datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
    local = datetime(2026, 11, 21).astimezone()
    assert parse_time("2026-11-21") == local
    assert parse_time("2026-11-21", whole_day=True) == local + timedelta(days=1)
    assert parse_time("2026-11-21T00:00", whole_day=True) == local
    for text in ("", "yesterday", "2026-13-01", "7", "-7d", "9999999d"):
        with pytest.raises(ValueError, match="must be a time such as"):
            parse_time(text)
