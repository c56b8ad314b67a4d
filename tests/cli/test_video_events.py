"""`maskdet video`: recording, alerts and their receivers."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from maskdet.alerts.webhook import SIGNATURE_HEADER, TIME_HEADER, compute_signature
from maskdet.cli import video_events
from maskdet.events import EVENT_COLUMNS
from maskdet.events.config import sqlite_url
from maskdet.events.store import EventStore
from maskdet.types import Label
from maskdet.video import analysis
from tests.alerts.receivers import run_mqtt_broker, run_web_receiver
from tests.cli.test_video_disk_full import fill_up
from tests.cli.video_events import (
    error_lines,
    fake_unmasked_person,
    read_events,
    run_video,
)
from tests.media.test_cameras import FakeCamera
from tests.media.video_files import write_video
from tests.video.scenes import ScriptedStream, make_people_scene

ALERT_OPTIONS = ("--alert", "no_mask", "--alert-for", 0.5)
LONG_MS = tuple(range(0, 2500, 100))


@pytest.fixture(autouse=True)
def unmasked_person(monkeypatch, tmp_path):
    """Let every video show one person without a mask, and use temporary databases."""
    fake_unmasked_person(monkeypatch, tmp_path)


def test_nothing_is_recorded_or_sent_by_default(tmp_path, capsys) -> None:
    assert run_video(write_video(tmp_path / "a.mp4", times_ms=LONG_MS)) == 0
    shown = capsys.readouterr()
    assert "alert" not in shown.out
    assert shown.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_events_are_recorded_at_the_start_time_of_the_video(tmp_path, capsys) -> None:
    path, place = (
        write_video(tmp_path / "a.mp4", times_ms=LONG_MS),
        tmp_path / "e.sqlite3",
    )
    start_time = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    words = ("--start-time", start_time.isoformat(), "--camera", "Front\tdoor")
    assert run_video(path, "--record", place, *words) == 0
    events = read_events(place)
    assert [event.kind for event in events] == ["entered", "classified", "left"]
    assert {event.camera for event in events} == {"Front door"}
    after_s = [(event.at - start_time).total_seconds() for event in events]
    assert after_s == pytest.approx([0.2, 1.2, 2.4], abs=0.15)
    assert f"recorded 3 events in {place}" in capsys.readouterr().err


def test_the_start_time_is_read_from_the_file(tmp_path, capsys) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for name, days in (("a.mp4", 2), ("b.mp4", 4)):
        write_video(
            tmp_path / name, creation_time=(now - timedelta(days=days)).isoformat()
        )
    place = tmp_path / "e.sqlite3"
    assert run_video(tmp_path, "--record", place) == 0
    found = {event.camera: (now - event.at).days for event in read_events(place)}
    assert found == {"a.mp4": 1, "b.mp4": 3}
    assert len({event.session for event in read_events(place)}) == 2


def test_events_are_recorded_in_the_database_of_the_dashboard(
    tmp_path, monkeypatch, capsys
) -> None:
    path = write_video(tmp_path / "a.mp4")
    assert run_video(path, "--record") == 0
    assert len(read_events(tmp_path / "usual.sqlite3")) == 2
    monkeypatch.setenv("MASKDET_EVENTS_URL", "off")
    assert run_video(path, "--record") == 1
    assert "switched off" in capsys.readouterr().err
    assert run_video(path, "--record", sqlite_url(tmp_path / "other.sqlite3")) == 0
    assert len(read_events(tmp_path / "other.sqlite3")) == 2


def test_events_past_the_retention_period_are_rejected(tmp_path, capsys) -> None:
    path, place = write_video(tmp_path / "a.mp4"), tmp_path / "e.sqlite3"
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    assert run_video(path, "--record", place, "--start-time", old) == 1
    (line,) = error_lines(capsys.readouterr().err)
    assert "deleted after 30 days; set --keep-days" in line
    assert read_events(place) == []
    kept = ("--start-time", old, "--keep-days", 50)
    assert run_video(path, "--record", place, *kept) == 0
    assert len(read_events(place)) == 2


def test_events_as_a_file(tmp_path, capsys) -> None:
    path, target = write_video(tmp_path / "a.mp4", times_ms=LONG_MS), tmp_path / "e.csv"
    assert run_video(path, "--events", target, *ALERT_OPTIONS) == 0
    shown = capsys.readouterr()
    assert f"wrote {target}" in shown.err
    rows = list(csv.DictReader(target.open(newline="")))
    assert tuple(rows[0]) == EVENT_COLUMNS
    kinds = ["entered", "alert", "classified", "left"]
    assert [row["kind"] for row in rows] == kinds
    assert run_video(path, "--events", "-", *ALERT_OPTIONS) == 0
    shown = capsys.readouterr()
    lines = list(csv.DictReader(io.StringIO(shown.out)))
    assert [row["kind"] for row in lines] == kinds
    assert "alert at" in shown.err
    assert run_video(path, "--events", "-", "--json", "-") == 1
    assert "cannot both" in capsys.readouterr().err


def test_the_summary_has_the_events(tmp_path, capsys) -> None:
    path = write_video(tmp_path / "a.mp4", times_ms=LONG_MS)
    assert (
        run_video(
            path, "--json", "-", *ALERT_OPTIONS, "--start-time", "2026-03-01T12:00Z"
        )
        == 0
    )
    (found,) = json.loads(capsys.readouterr().out)["videos"]
    assert found["started_at"] == "2026-03-01T12:00:00.000Z"
    assert [event["kind"] for event in found["events"]][1:3] == ["alert", "classified"]
    assert found["events"][1]["rule"] == "no_mask"


def test_a_person_is_reported_once_in_one_line(tmp_path, capsys) -> None:
    path = write_video(tmp_path / "a.mp4", times_ms=LONG_MS)
    assert run_video(path, *ALERT_OPTIONS) == 0
    alert_lines = [
        line for line in capsys.readouterr().out.splitlines() if "alert" in line
    ]
    (line,) = alert_lines
    assert line.startswith("alert at 0.")
    assert line.endswith("s: Person 1: No mask (a.mp4)")
    assert run_video(path, *ALERT_OPTIONS, "--alert-for", 2.4) == 0
    assert run_video(path, *ALERT_OPTIONS, "--alert-min-confidence", 1) == 0
    assert run_video(path, "--alert", "crowd", "--alert-for", 0) == 0
    assert "alert" not in capsys.readouterr().out


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_webhook_gets_a_signed_alert(tmp_path, capsys, monkeypatch, where) -> None:
    path, file = write_video(tmp_path / "a.mp4", times_ms=LONG_MS), tmp_path / "secret"
    file.write_text("s3cret\n")
    monkeypatch.setenv("MASKDET_WEBHOOK_SECRET", "s3cret" if where[0] == "e" else "no")
    more = ("--webhook-secret", file) if where == "file" else ()
    with run_web_receiver() as receiver:
        assert run_video(path, *ALERT_OPTIONS, "--webhook", receiver.url, *more) == 0
    ((_, headers, body),) = receiver.requests
    assert json.loads(body)["rule"] == "no_mask"
    assert headers[SIGNATURE_HEADER] == compute_signature(
        "s3cret", headers[TIME_HEADER], body
    )
    shown = capsys.readouterr()
    assert "webhook: 1 of 1 alerts were delivered" in shown.err
    assert "s3cret" not in shown.out + shown.err


def test_a_failing_webhook_prints_one_line_per_reason(tmp_path, capsys) -> None:
    """Two videos, an alert each: the status is 1 only if none arrived."""
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, times_ms=LONG_MS)
    with run_web_receiver((404, {})) as receiver:
        assert run_video(tmp_path, *ALERT_OPTIONS, "--webhook", receiver.url) == 0
    lines = error_lines(capsys.readouterr().err)
    assert lines[-1].startswith("maskdet: webhook: 1 of 2 alerts were delivered")
    assert len(lines) == 2
    with run_web_receiver((404, {}), (404, {})) as receiver:
        assert run_video(tmp_path, *ALERT_OPTIONS, "--webhook", receiver.url) == 1
    lines = error_lines(capsys.readouterr().err)
    assert lines[-1].startswith("maskdet: webhook: 0 of 2 alerts were delivered: the")
    assert len(lines) == 2, "a repeated line is printed once"


def test_an_unreachable_receiver_is_waited_for_only_for_a_limited_time(
    tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(video_events, "FLUSH_TIMEOUT_S", 0.3)
    path = write_video(tmp_path / "a.mp4", times_ms=LONG_MS)
    assert run_video(path, *ALERT_OPTIONS, "--webhook", "http://127.0.0.1:9/") == 1
    (line,) = error_lines(capsys.readouterr().err)
    assert "0 of 1 alerts were delivered: cannot reach the webhook" in line


def test_a_broker_gets_alerts_and_the_password_of_the_environment(
    tmp_path, capsys, monkeypatch
) -> None:
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    monkeypatch.setenv("MASKDET_MQTT_PASSWORD", "p/w")
    path = write_video(tmp_path / "a.mp4", times_ms=LONG_MS)
    with run_mqtt_broker() as (port, packets):
        assert (
            run_video(
                path, *ALERT_OPTIONS, "--mqtt", f"mqtt://me@127.0.0.1:{port}/door"
            )
            == 0
        )
    (packet,) = packets
    assert b"door" in packet
    assert b'"rule": "no_mask"' in packet
    shown = capsys.readouterr()
    assert "mqtt: 1 of 1 alerts were delivered" in shown.err
    assert "p/w" not in shown.out + shown.err


def test_a_camera_records_while_it_runs_and_ctrl_c_ends_it_cleanly(
    tmp_path, capsys, monkeypatch
) -> None:
    camera = FakeCamera(1, forever=True, size_wh=(96, 64))
    monkeypatch.setattr("maskdet.media.cameras.Webcam", lambda *how: camera)
    place = tmp_path / "e.sqlite3"

    monkeypatch.setattr("maskdet.people.log.MIN_PRESENCE_S", 0.0)

    def script(time_s: float):
        os.kill(os.getpid(), signal.SIGINT)
        return make_people_scene(time_s, [(1, Label.NO_MASK)])

    monkeypatch.setattr(ScriptedStream, "script", staticmethod(script))
    monkeypatch.setattr(analysis, "Stream", ScriptedStream)
    before = datetime.now(UTC)
    with run_web_receiver() as receiver:
        words = ("--alert", "no_mask", "--alert-for", 0, "--webhook", receiver.url)
        assert run_video(0, "--record", place, *words) == 0
    assert len(receiver.requests) == 1
    events = read_events(place)
    assert sorted(event.kind for event in events) == ["alert", "entered", "left"]
    assert {event.camera for event in events} == {"Camera 0"}
    assert all(before <= event.at <= datetime.now(UTC) for event in events)
    assert "alert at " in capsys.readouterr().out


def test_a_write_error_of_events_ends_the_video_with_one_line(
    tmp_path, capsys, monkeypatch
) -> None:
    fill_up(monkeypatch, "e.csv", after=1)
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(folder / name, times_ms=LONG_MS)
    assert run_video(folder, "--events", tmp_path / "e.csv") == 1
    shown = capsys.readouterr()
    target = tmp_path / "e.csv"
    assert error_lines(shown.err) == [f"maskdet: {target}: no space left on device"]
    assert "b.mp4" not in shown.out
    assert not target.exists()


def test_a_database_that_fails_during_the_run_gives_status_1(
    tmp_path, capsys, monkeypatch
) -> None:
    from maskdet.events.database import StoreError

    def broken(store, events):
        raise StoreError("the database is gone")

    monkeypatch.setattr(EventStore, "add", broken)
    monkeypatch.setattr(video_events, "FLUSH_TIMEOUT_S", 0.3)
    place = tmp_path / "e.sqlite3"
    assert run_video(write_video(tmp_path / "a.mp4"), "--record", place) == 1
    lines = error_lines(capsys.readouterr().err)
    assert lines[-1].startswith(f"maskdet: recorded only 0 of 2 events in {place}")
