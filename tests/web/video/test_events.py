"""The events of a video on the Video page, and their recording."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.events import Event
from maskdet.events.config import sqlite_url
from maskdet.events.database import EventFilter, StoreError
from maskdet.events.store import EventStore
from maskdet.types import Label
from maskdet.video import VideoReport
from maskdet.web import session
from maskdet.web.video import events as video_events
from maskdet.web.video import recording as video_recording
from maskdet.web.video import upload as video_upload
from maskdet.web.widgets import Sample
from tests.helpers.app import open_page, run_app
from tests.helpers.events_page import (
    enter_text,
    open_events_page,
    page_texts,
    prepare_database,
    set_toggle,
)
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.helpers.waiting import WAIT_S
from tests.media.video_files import write_video
from tests.serving.test_video_job import BOX

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TOGGLE = "Record these events"


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The event database; each video shows one person with a mask."""
    path = prepare_database(tmp_path / "data" / "events.sqlite3", monkeypatch)
    fake = TwoStage(FakeDetector([BOX], [0.9]), FakeClassifier((0.9, 0.05, 0.05)))
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: fake)
    monkeypatch.setattr(session, "model_path", lambda name: path)
    st.cache_resource.clear()
    return path


@pytest.fixture
def analyzed(tmp_path: Path, monkeypatch) -> Iterator[AppTest]:
    """The page with an analyzed video while recording is on."""
    yesterday = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    times_ms = tuple(range(0, 2500, 100))
    path = write_video(
        tmp_path / "a.mp4", times_ms=times_ms, creation_time=yesterday.isoformat()
    )
    monkeypatch.setattr(video_upload, "VIDEO_SAMPLE", Sample("Video", path, "credit"))
    app = set_toggle(open_events_page(), "events.record")
    yield analyze_sample(app)
    app.session_state["maskdet.video"].close()


def analyze_sample(app: AppTest) -> AppTest:
    run_app(app.switch_page("pages/video.py"))
    next(one for one in app.main.button if one.label == "Analyze sample").click()
    run_app(app)
    assert app.session_state["maskdet.video"].join(WAIT_S)
    return run_app(app)


def stored(file: Path) -> list[Event]:
    return EventStore(sqlite_url(file)).read(EventFilter())[::-1]


def offer(app: AppTest) -> AppTest:
    """Turn the recording option on; nothing is written yet."""
    next(one for one in app.main.toggle if one.label == TOGGLE).set_value(True)
    return run_app(app)


def press(app: AppTest) -> AppTest:
    return click(app, "Record 3 events")


def click(app: AppTest, label: str) -> AppTest:
    """Click a button that records, and wait for the recording."""
    next(one for one in app.main.button if one.label == label).click()
    run_app(app)
    assert app.session_state[key(app, "recording")].join(WAIT_S)
    return run_app(app)


def key(app: AppTest, name: str) -> str:
    return f"video.{name}.{app.session_state['maskdet.video'].number}"


def test_events_are_recorded_only_after_a_click(analyzed, file) -> None:
    offer(analyzed)
    assert stored(file) == []
    press(analyzed)
    events = stored(file)
    assert [event.kind for event in events] == ["entered", "classified", "left"]
    assert {event.camera for event in events} == {"a.mp4"}
    report = analyzed.session_state["maskdet.video"].report
    assert [event.at for event in events] == [event.at for event in report.events]
    age = datetime.now(UTC) - events[0].at
    assert timedelta(hours=23) < age < timedelta(hours=25)
    assert "3 events were recorded" in page_texts(analyzed, "success")
    assert "Record 3 events" not in [one.label for one in analyzed.main.button]
    assert len(stored(file)) == 3


def test_a_double_click_records_once(monkeypatch, file) -> None:
    began = datetime.now(UTC)
    event = Event("left", began, "", "s", 3, Label.MASK)
    report = VideoReport("a.mp4", started_at=began, events=(event,))
    monkeypatch.setattr(video_events.st, "session_state", {})
    for _ in range(2):
        video_events._start_recording(SimpleNamespace(number=7, name="a.mp4"), report)
    assert video_events.st.session_state["video.recording.7"].join(WAIT_S)
    assert len(stored(file)) == 1


def test_a_slow_database_does_not_block_the_page(analyzed, file, monkeypatch) -> None:
    resume, add = threading.Event(), EventStore.add

    def late(store, events):
        assert resume.wait(WAIT_S)
        add(store, events)

    monkeypatch.setattr(EventStore, "add", late)
    offer(analyzed)
    button = next(one for one in analyzed.main.button if one.label == "Record 3 events")
    button.click()
    run_app(analyzed)
    recording = analyzed.session_state[key(analyzed, "recording")]
    assert recording.busy
    (bar,) = analyzed.main.get("progress")
    assert bar.proto.text == "Recording: 0 of 3 events"
    assert TOGGLE not in [one.label for one in analyzed.main.toggle]
    resume.set()
    assert recording.join(WAIT_S)
    run_app(analyzed)
    assert "3 events were recorded" in page_texts(analyzed, "success")
    assert len(stored(file)) == 3


def test_an_interrupted_recording_can_be_resumed(analyzed, file, monkeypatch) -> None:
    monkeypatch.setattr(video_recording, "WRITE_BATCH_SIZE", 2)
    calls, add = [], EventStore.add

    def full_once(store, events):
        if not events:  # the server's own writer adds nothing now and then
            return
        calls.append(len(events))
        if len(calls) == 2:
            raise StoreError("the disk is full")
        add(store, events)

    monkeypatch.setattr(EventStore, "add", full_once)
    press(offer(analyzed))
    line = "Only 2 of 3 events were recorded: the disk is full."
    assert line in page_texts(analyzed, "error")
    assert len(stored(file)) == 2
    click(analyzed, "Record the rest")
    assert calls == [2, 1, 1]
    kinds = [event.kind for event in stored(file)]
    assert kinds == ["entered", "classified", "left"]
    assert "3 events were recorded" in page_texts(analyzed, "success")


def test_an_unexpected_error_is_reported_in_one_line(file, caplog) -> None:
    event = Event("left", NOON, "", "s", 3, Label.MASK)
    store = SimpleNamespace(add=lambda events: 1 / 0)
    recording = video_recording.EventRecording(store, [event])
    recording.start()
    assert recording.join(WAIT_S)
    assert (recording.n_written, recording.n_left) == (0, 1)
    assert recording.problem == "unexpected error; see the server log"
    assert "ZeroDivisionError" in caplog.text


def test_camera_name_and_start_time_can_be_changed(analyzed, file) -> None:
    offer(analyzed)
    enter_text(analyzed, key(analyzed, "camera"), "Back door")
    began = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=5)
    analyzed.main.datetime_input(key=key(analyzed, "start_time")).set_value(
        began.replace(tzinfo=None)
    )
    press(run_app(analyzed))
    events = stored(file)
    assert {event.camera for event in events} == {"Back door"}
    after_s = [(event.at - began).total_seconds() for event in events]
    assert after_s == pytest.approx([0.2, 1.2, 2.4], abs=0.15)


def test_events_beyond_the_retention_period_are_not_recorded(analyzed, file) -> None:
    offer(analyzed)
    old = datetime.now(UTC).replace(tzinfo=None, second=0) - timedelta(days=31)
    analyzed.main.datetime_input(key=key(analyzed, "start_time")).set_value(old)
    run_app(analyzed)
    assert "deletes events after 30 days" in page_texts(analyzed, "warning")
    button = next(one for one in analyzed.main.button if one.label == "Record 3 events")
    assert button.disabled


def test_a_database_error_is_reported_in_one_line_and_can_be_retried(
    analyzed, file, monkeypatch
) -> None:
    def broken(store, events):
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(EventStore, "add", broken)
        press(offer(analyzed))
    assert "Not recorded: the disk is full." in page_texts(analyzed, "error")
    press(analyzed)
    assert len(stored(file)) == 3


def test_the_option_is_hidden_while_recording_is_off(
    tmp_path, monkeypatch, file
) -> None:
    path = write_video(tmp_path / "a.mp4")
    monkeypatch.setattr(video_upload, "VIDEO_SAMPLE", Sample("Video", path, "credit"))
    app = analyze_sample(open_page("events"))
    assert TOGGLE not in [one.label for one in app.main.toggle]
    assert not file.exists()
    app.session_state["maskdet.video"].close()
