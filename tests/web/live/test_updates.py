"""What the Live page reads between its runs, and when it has to run again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from streamlit.testing.v1 import AppTest
from streamlit_webrtc import WebRtcStreamerState

from maskdet.analyzers.pipelines import AUTO, resolve_analyzer
from maskdet.events import Event
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.cameras.config import CAMERAS_VARIABLE, Camera, read_cameras
from maskdet.web.cameras.feed import FeedStatus
from maskdet.web.cameras.feeds import get_camera_feeds
from maskdet.web.live import page as live_page
from maskdet.web.live.connection import CONNECT_TIMEOUT_S
from maskdet.web.live.sources import BROWSER_STREAMER_KEY, watch_feed
from maskdet.web.live.state import LiveSession, LiveState
from maskdet.web.live.viewers import MAX_VIEWERS_VARIABLE, ViewerSlots
from tests.helpers.app import (
    component_data,
    live_html,
    open_page,
    run_app,
    use_fake_models,
)
from tests.helpers.streams import NOISE

BOXES = [[40, 60, 100, 130], [110, 60, 170, 130]]


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_models(monkeypatch, BOXES)


def read(app: AppTest) -> dict[str, Any]:
    """Return what the browser of the page reads."""
    update: dict[str, Any] = json.loads(app.session_state["maskdet.updates"].read())
    return update


def play(app: AppTest, n_frames: int = 20) -> tuple[LiveState, LiveSession]:
    """Analyze the same frame for a while, as the video thread would."""
    state = app.session_state["maskdet.live"]
    running = state.get_or_create_session(
        resolve_analyzer(AUTO, live=True), session.load_analyzer()
    )
    now_s = state.clock()
    for number in range(n_frames):
        time_s = now_s + (number - n_frames) / 10
        view = running.step(NOISE, time_s, state.preferences.settings)
        state.record_frame(running, 1, {"detect": 1.0}, view)
    return state, running


def test_figures_change_without_a_run_of_the_page() -> None:
    app = open_page("live")
    before = read(app)
    assert "Not started" in before["parts"]["status"]
    assert before["must_run"] is False
    play(app)
    after = read(app)
    assert "2 without a mask" in after["parts"]["status"]
    assert "2 in total" in after["parts"]["people"]
    assert after["run"] == before["run"]
    assert "2 in total" not in live_html(app), "the page has not run"
    assert "2 in total" in live_html(run_app(app))


def test_the_page_runs_once_at_the_first_frame_and_once_at_the_end() -> None:
    app = open_page("live")
    state, running = play(app)
    assert read(app)["must_run"] is True
    run_app(app)
    assert read(app)["must_run"] is False
    state.end_session(running)
    assert read(app)["must_run"] is True
    assert "Last run" not in [header.value for header in app.header]
    run_app(app)
    assert "Last run" in [header.value for header in app.header]
    assert read(app)["must_run"] is False


def test_the_browser_asks_only_while_something_changes() -> None:
    app = open_page("live")
    assert component_data(app, "updates")["poll"]["url"] == ""
    state, running = play(app)
    run_app(app)
    poll = component_data(app, "updates")["poll"]
    assert poll == {
        "url": app.session_state["maskdet.updates"].url,
        "while_hidden": True,
    }
    state.end_session(running)
    assert component_data(run_app(app), "updates")["poll"]["url"] == ""
    sample = open_page("live", source="sample")
    assert component_data(sample, "updates")["poll"]["while_hidden"] is False


def test_a_network_camera_has_a_line_that_follows_it(monkeypatch) -> None:
    feed = get_camera_feeds().get(Camera("<Door>", "rtsp://127.0.0.1:9/a"))
    read_line = watch_feed(feed)
    assert "&lt;Door&gt;: its settings are those of this server" in read_line()
    monkeypatch.setattr(feed, "_viewers", [lambda: None] * 2)
    monkeypatch.setattr(feed, "_status", FeedStatus("live"))
    assert "&lt;Door&gt;: live, 2 watching, its settings" in read_line()


def test_a_network_camera_that_is_lost_makes_the_page_run(monkeypatch) -> None:
    url = "rtsp://127.0.0.1:9/b"
    monkeypatch.setenv(CAMERAS_VARIABLE, json.dumps({"Hall": url}))
    app = open_page("live", source="network")
    assert "Hall: " in read(app)["parts"]["feed"]
    assert read(app)["must_run"] is False
    feed = get_camera_feeds().get(read_cameras()[0])
    monkeypatch.setattr(feed, "_status", FeedStatus("reconnecting", "no frame"))
    assert read(app)["must_run"] is True


def test_another_page_ends_the_path() -> None:
    app = open_page("live")
    run_app(app.switch_page("pages/about.py"))
    assert "maskdet.updates" not in app.session_state


def test_distances_are_read_only_while_they_are_on() -> None:
    app = open_page("live")
    play(app)
    assert "distances" not in read(app)["parts"]
    app = open_page("live", distance="pinhole")
    assert read(app)["parts"]["distances"] == ""
    play(app)
    assert read(app)["must_run"] is True, "the section has to show its part"
    assert "#1 No mask and #2 No mask" in read(app)["parts"]["distances"]
    assert "Bird&#39;s-eye" not in live_html(app)


def test_the_page_runs_when_connecting_takes_too_long(monkeypatch) -> None:
    app = open_page("live")
    now_s = 1000.0
    app.session_state["maskdet.live"].clock = lambda: now_s
    app.session_state["maskdet.connection"].start(now_s)
    monkeypatch.setattr(live_page, "_get_last_button", lambda: "Start")
    run_app(app)
    assert component_data(app, "updates")["poll"]["url"]
    assert read(app)["must_run"] is False
    phase = app.session_state["maskdet.connection"].phase
    now_s += CONNECT_TIMEOUT_S
    assert read(app)["must_run"] is True
    assert app.session_state["maskdet.connection"].phase == phase, "only a run changes"
    assert "attempt 1 of" in run_app(app).warning[0].value
    assert read(app)["must_run"] is False


def test_the_page_runs_when_a_slot_becomes_free(monkeypatch) -> None:
    others = {"another"}
    slots = ViewerSlots(lambda name: name in others)
    assert slots.acquire("another", 1)
    monkeypatch.setattr(live_page, "_get_viewer_slots", lambda: slots)
    monkeypatch.setenv(MAX_VIEWERS_VARIABLE, "1")
    app = open_page("live")
    assert "All slots" in app.warning[0].value
    assert read(app)["must_run"] is False
    others.clear()
    assert read(app)["must_run"] is True
    assert not run_app(app).warning
    assert read(app)["must_run"] is False


def test_the_page_runs_for_a_new_alert_but_not_below_a_toast() -> None:
    app = open_page("live")
    alert = Event("alert", datetime.now(UTC), "", "run", 1, Label.NO_MASK)
    inbox = app.session_state["maskdet.recorder"].monitor.inbox
    inbox.put([alert])
    assert read(app)["must_run"] is True
    assert run_app(app).toast
    inbox.put([alert])
    assert read(app)["must_run"] is False, "the first toast is still visible"
    app.session_state["maskdet.toast"] = 0.0
    run_app(app)
    assert not len(inbox)


def test_failures_are_shown_as_text() -> None:
    app = open_page("live")
    state, running = play(app)
    assert read(app)["parts"]["failure"] == ""
    state.record_failure(running, 1, ValueError("<img src=x onerror=alert(1)>"))
    parts = read(app)["parts"]
    for name in ("failure", "performance"):
        assert "&lt;img src=x onerror=alert(1)&gt;" in parts[name]
        assert "<img" not in parts[name]


def test_names_of_classes_are_shown_as_text() -> None:
    names = json.dumps({"no_mask": "Sans 'm'"})
    app = open_page("live", class_names=names, distance="pinhole")
    play(app)
    parts = read(app)["parts"]
    for name in ("status", "people", "distances"):
        assert "ans &#39;m&#39;" in parts[name], name


def test_a_stream_continues_although_runs_are_counted_late(monkeypatch) -> None:
    visit = SimpleNamespace(script_run_count=1)
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: visit
    )
    app = open_page("live")
    context = app.session_state[BROWSER_STREAMER_KEY]
    worker = Mock(backend="aiortc", local_description=None)
    context._set_worker(worker)
    context._set_state(WebRtcStreamerState(playing=True, signalling=False))
    for count in (1, 3, 4, 7):
        visit.script_run_count = count
        run_app(app)
        worker.stop.assert_not_called()
    run_app(app.switch_page("pages/about.py"))
    visit.script_run_count = 9
    run_app(app.switch_page("pages/live.py"))
    worker.stop.assert_called_once()  # the browser shows a new streamer
