"""The Live page and the sidebar, run without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
import streamlit_webrtc.relay
from streamlit.testing.v1 import AppTest
from streamlit_webrtc.component import WebRtcStreamerContext, WebRtcStreamerState
from streamlit_webrtc.webrtc import SignallingTimeoutError

from maskdet.analyzers.pipelines import AUTO, TwoStage, resolve_analyzer
from maskdet.serving.preferences import Preferences
from maskdet.web import session
from maskdet.web.live import page as live_page
from maskdet.web.live.connection import ICE_SERVERS_VARIABLE
from maskdet.web.live.relay import NewestFrameRelay
from maskdet.web.live.viewers import MAX_VIEWERS_VARIABLE as VIEWERS_VARIABLE
from maskdet.web.live.viewers import ViewerSlots
from tests.helpers.app import open_sidebar
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.helpers.waiting import WAIT_S

APP = Path(__file__).resolve().parents[3] / "app.py"
FIRST = resolve_analyzer(AUTO, live=True)


@pytest.fixture(autouse=True)
def light_models(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace all models by fakes; return the requested names."""
    requested: list[str] = []

    def load(name: str, classifier: str, *, refine: bool) -> TwoStage:
        requested.append(name)
        return TwoStage(FakeDetector(), FakeClassifier())

    monkeypatch.setattr(session, "load_analyzer", load)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    # streamlit-webrtc needs a session, which AppTest does not have.
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: None
    )
    monkeypatch.delenv(ICE_SERVERS_VARIABLE, raising=False)
    monkeypatch.delenv(VIEWERS_VARIABLE, raising=False)
    st.cache_resource.clear()  # every AppTest has the same session
    return requested


def opened(**query: str) -> AppTest:
    app = open_sidebar(AppTest.from_file(str(APP), default_timeout=WAIT_S))
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def streamers(app: AppTest) -> list[object]:
    return [part for part in app.main if part.type == "component_instance"]


def slider(app: AppTest, label: str) -> float:
    return next(one for one in app.sidebar.slider if one.label == label).value


def move(app: AppTest, label: str, value: float) -> AppTest:
    next(one for one in app.sidebar.slider if one.label == label).set_value(value)
    app.run()
    assert not app.exception
    return app


def test_the_first_visit_shows_the_streamer_and_instructions(light_models) -> None:
    app = opened()
    assert app.title[0].value == "Live"
    assert "Press **Start**" in app.markdown[0].value
    assert len(streamers(app)) == 1
    assert not app.warning
    assert not app.error
    app.run()
    assert light_models == [FIRST], "loaded once, then kept"
    assert streamlit_webrtc.relay.MediaRelay is NewestFrameRelay


def test_a_missing_model_shows_one_line_and_no_streamer(monkeypatch) -> None:
    def load(name: str, classifier: str, *, refine: bool) -> TwoStage:
        raise FileNotFoundError("model x is missing; get it with: y")

    monkeypatch.setattr(session, "load_analyzer", load)
    app = opened()
    assert [error.value for error in app.error] == [
        "model x is missing; get it with: y"
    ]
    assert not streamers(app)


def test_an_analyzer_without_its_file_is_reported_and_not_offered(monkeypatch) -> None:
    def path(name: str) -> Path:
        if name == "yunet":
            raise FileNotFoundError("get it with: maskdet models fetch yunet")
        return APP

    monkeypatch.setattr(session, "model_path", path)
    app = opened(analyzer="yunet")
    assert app.sidebar.selectbox(key="choice.analyzer").value == AUTO
    assert "yunet" not in app.sidebar.selectbox(key="choice.analyzer").options
    assert "models fetch yunet" in app.warning[0].value.replace("\\", "")


def test_another_analyzer_is_loaded_before_the_streamer_is_shown(light_models) -> None:
    app = opened()
    app.sidebar.selectbox(key="choice.analyzer").select("haar").run()
    assert not app.exception
    assert light_models == [FIRST, "haar"]
    assert session_state_of(app).analyzer == "haar"


def session_state_of(app: AppTest):
    return app.session_state["maskdet.live"].preferences


def test_a_moved_slider_reaches_the_running_stream() -> None:
    app = move(opened(), "Minimum confidence", 0.9)
    assert session_state_of(app).settings.min_confidence == 0.9


def test_settings_survive_a_page_change() -> None:
    app = move(opened(), "Face detection threshold", 0.35)
    app.switch_page("pages/about.py").run()
    assert not app.exception
    assert not app.sidebar.slider
    app.switch_page("pages/live.py").run()
    assert app.title[0].value == "Live"
    assert slider(app, "Face detection threshold") == 0.35


def test_a_link_sets_the_sidebar_and_reset_restores_the_defaults() -> None:
    app = opened(min_score="0.25", camera_width="800", mirror="false")
    assert slider(app, "Face detection threshold") == 0.25
    assert app.sidebar.selectbox(key="choice.camera_wh").value == (800, 480)
    assert app.sidebar.toggle(key="choice.mirror").value is False
    assert "min_score=0.25" in app.sidebar.code[0].value
    reset = next(one for one in app.sidebar.button if one.label == "Reset to defaults")
    reset.click().run()
    assert not app.exception
    assert slider(app, "Face detection threshold") == 0.5
    assert app.sidebar.toggle(key="choice.mirror").value is True
    assert "min_score" not in app.sidebar.code[0].value


def test_an_invalid_link_is_reported_until_a_change() -> None:
    app = opened(min_score="many")
    assert "min_score must be a number" in app.warning[0].value.replace("\\", "")
    assert slider(app, "Face detection threshold") == 0.5
    app.run()
    assert app.warning
    assert not move(app, "Face detection threshold", 0.4).warning


def test_invalid_ice_servers_are_reported_beside_the_streamer(monkeypatch) -> None:
    monkeypatch.setenv(ICE_SERVERS_VARIABLE, "stun:example.org")
    app = opened()
    assert ICE_SERVERS_VARIABLE in app.warning[0].value.replace("\\", "")
    assert len(streamers(app)) == 1


def test_a_rotated_video_keeps_the_aspect_ratio_of_the_camera() -> None:
    """The iframe of the video does not grow, so a portrait video would hide Stop."""
    landscape = live_page._build_video_css(Preferences(rotate=180))
    portrait = live_page._build_video_css(
        Preferences(rotate=90, camera_width=320, camera_height=240)
    )
    assert "aspectRatio" not in landscape
    assert (portrait["aspectRatio"], portrait["objectFit"]) == ("320 / 240", "contain")


class Taken:
    """A viewer slot that is taken by another visitor."""

    def __init__(self) -> None:
        self.active = {"another"}
        self.viewers = ViewerSlots(self._is_active)
        assert self.viewers.acquire("another", 1)

    def _is_active(self, session_id: str) -> bool:
        return session_id != "another" or session_id in self.active


def test_a_viewer_above_the_limit_waits_for_a_free_slot(monkeypatch) -> None:
    taken = Taken()
    monkeypatch.setattr(live_page, "_get_viewer_slots", lambda: taken.viewers)
    monkeypatch.setenv(VIEWERS_VARIABLE, "1")
    app = opened()
    (warning,) = app.warning
    assert "All slots for live video are taken" in warning.value
    assert "one visitor at a time" in warning.value
    assert VIEWERS_VARIABLE in warning.value
    assert not streamers(app)
    taken.active.clear()
    app.run()
    assert not app.warning
    assert len(streamers(app)) == 1


def test_an_invalid_viewer_limit_is_reported_beside_the_streamer(
    monkeypatch,
) -> None:
    monkeypatch.setenv(VIEWERS_VARIABLE, "many")
    app = opened()
    (warning,) = app.warning
    assert "must be a whole number" in warning.value
    assert len(streamers(app)) == 1


def test_a_failed_start_is_reported_and_recreates_the_streamer(
    monkeypatch, caplog
) -> None:
    def too_slow(*, key: str, **how: object) -> None:
        offered = WebRtcStreamerState(playing=False, signalling=True)
        st.session_state[key] = WebRtcStreamerContext(None, offered)
        raise SignallingTimeoutError("no response in 10 seconds")

    real = live_page.webrtc_streamer
    monkeypatch.setattr(live_page, "webrtc_streamer", too_slow)
    app = opened()
    (warning,) = app.warning
    assert "Live video interrupted" in warning.value
    assert "attempt 1 of 5" in warning.value
    assert not streamers(app), "so that the browser discards its offer"
    assert "no response in 10 seconds" in caplog.text
    monkeypatch.setattr(live_page, "webrtc_streamer", real)
    connecting = app.session_state["maskdet.connection"]
    connecting._since_s = 0.0
    app.run()
    assert not app.exception
    assert len(streamers(app)) == 1


@pytest.mark.parametrize("leave", ["another page", "another source"])
def test_a_visitor_who_leaves_frees_the_viewer_slot(monkeypatch, leave) -> None:
    viewers = ViewerSlots(lambda session_id: True)
    monkeypatch.setattr(live_page, "_get_viewer_slots", lambda: viewers)
    monkeypatch.setenv(VIEWERS_VARIABLE, "1")
    app = opened()
    app.session_state["maskdet.connection"].phase = "waiting"
    app.session_state["maskdet.connection"]._since_s = float("inf")
    monkeypatch.setattr(live_page, "_get_last_button", lambda: "Start")
    app.run()
    assert not viewers.has_free_slot(1), "an interrupted stream keeps its slot"
    if leave == "another page":
        app.switch_page("pages/about.py").run()
    else:  # there is no network camera, so there is nothing to start
        app.main.button_group(key="live.source").set_value("network").run()
    assert not app.exception
    assert viewers.has_free_slot(1)
