"""The source of live video on the Live page, run without a browser."""

from __future__ import annotations

import json

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.media import CAMERA_REFUSED, MAX_REFUSALS
from maskdet.web import session
from maskdet.web.cameras.config import (
    ANY_CAMERA_VARIABLE,
    CAMERAS_VARIABLE,
    read_cameras,
)
from maskdet.web.cameras.feed import FeedStatus
from maskdet.web.cameras.feeds import get_camera_feeds
from maskdet.web.events import service
from maskdet.web.live import distance
from maskdet.web.live.state import get_live_state
from maskdet.web.widgets import escape_markdown
from tests.helpers.app import APP, component_data, open_page, run_app
from tests.helpers.fakes import FakeClassifier, FakeDetector

SECRET = "s3cret-word"
CAMERAS = {"Door": f"rtsp://u:{SECRET}@127.0.0.1:9/a", "Hall": "http://127.0.0.1:9/b"}


@pytest.fixture(autouse=True)
def light_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake models, a session, and no cameras."""
    monkeypatch.setattr(
        session,
        "load_analyzer",
        lambda *names, **options: TwoStage(FakeDetector(), FakeClassifier()),
    )
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: None
    )
    for name in (CAMERAS_VARIABLE, ANY_CAMERA_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    st.cache_resource.clear()


@pytest.fixture
def named_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAMERAS_VARIABLE, json.dumps(CAMERAS))


def streamers(app: AppTest) -> list[dict[str, object]]:
    return [
        json.loads(part.proto.json_args)
        for part in app.main
        if part.type == "component_instance"
    ]


def test_the_source_is_in_the_address_bar_and_survives_other_pages() -> None:
    app = open_page("live", source="sample")
    assert [streamer["mode"] for streamer in streamers(app)] == ["RECVONLY"]
    run_app(app.switch_page("pages/about.py"))
    run_app(app.switch_page("pages/live.py"))
    assert app.query_params["source"] == "sample"
    assert [streamer["mode"] for streamer in streamers(app)] == ["RECVONLY"]


def test_the_sample_starts_with_one_click() -> None:
    app = open_page("live")
    assert streamers(app)[0]["mode"] == "SENDRECV"
    button = next(one for one in app.button if "sample video" in one.label)
    button.click().run()
    assert not app.exception
    (streamer,) = streamers(app)
    assert (streamer["mode"], streamer["desired_playing_state"]) == ("RECVONLY", True)
    assert not [one for one in app.button if "sample video" in one.label]


def test_without_cameras_the_page_says_who_can_add_some() -> None:
    app = open_page("live", source="network")
    assert not streamers(app)
    assert "no network cameras" in app.info[0].value
    assert [page for page in component_data(app, "tiles")["items"]]


def test_named_cameras_can_be_chosen_and_their_urls_stay(named_cameras) -> None:
    app = open_page("live", source="network")
    box = next(one for one in app.main.selectbox if one.label == "Network camera")
    assert (box.value, box.options) == ("Door", ["Door", "Hall"])
    assert not app.main.text_input
    key = streamers(app)[0]["component_key"]
    box.select("Hall").run()
    assert not app.exception
    assert app.query_params["camera"] == "Hall"
    assert streamers(app)[0]["component_key"] != key, "another connection"
    assert SECRET not in str(app.main) + str(streamers(app))


def test_a_link_to_an_unknown_camera_shows_the_first(named_cameras) -> None:
    app = open_page("live", source="network", camera="Cellar")
    assert "no camera named \\'Cellar\\'" in app.warning[0].value
    box = next(one for one in app.main.selectbox if one.label == "Network camera")
    assert box.value == "Door"


@pytest.mark.parametrize("is_admin", [True, False])
def test_only_a_local_admin_may_enter_a_url(monkeypatch, is_admin) -> None:
    monkeypatch.setattr(service, "is_admin", lambda: is_admin)
    app = open_page("live", source="network")
    assert len(app.main.text_input) == is_admin
    monkeypatch.setenv(ANY_CAMERA_VARIABLE, "off" if is_admin else "on")
    assert len(run_app(app).main.text_input) == (not is_admin)


def test_an_entered_url_is_checked_and_not_shown(monkeypatch) -> None:
    monkeypatch.setattr(service, "is_admin", lambda: True)
    app = open_page("live", source="network")
    enter(app, f"ftp://u:{SECRET}@host/a")
    (error,) = app.error
    assert "the camera URL must begin with rtsp" in error.value
    assert not streamers(app)
    enter(app, f"rtsp://u:{SECRET}@127.0.0.1:9/a")
    assert not app.error
    assert len(streamers(app)) == 1
    assert SECRET not in error.value
    assert SECRET not in str(app.query_params)
    key = streamers(app)[0]["component_key"]
    enter(app, f"rtsp://u:{SECRET}@127.0.0.1:9/another")
    assert streamers(app)[0]["component_key"] != key, "another connection"
    assert (
        streamers(app)[0]["component_key"]
        == streamers(run_app(app))[0]["component_key"]
    )


def enter(app: AppTest, url: str) -> None:
    app.main.text_input[0].set_value(url)
    next(one for one in app.button if one.label == "Connect").click()
    run_app(app)


@pytest.mark.parametrize("is_admin", [True, False])
def test_who_may_set_a_camera_that_refused_the_password_may_retry(
    named_cameras, monkeypatch, is_admin
) -> None:
    def render_door_status() -> None:
        from maskdet.web.cameras.config import read_cameras
        from maskdet.web.cameras.feeds import get_camera_feeds
        from maskdet.web.live.sources import render_feed_status

        render_feed_status(get_camera_feeds().get(read_cameras()[0]))

    monkeypatch.setattr(service, "is_admin", lambda: is_admin)
    feed = get_camera_feeds().get(read_cameras()[0])
    monkeypatch.setattr(feed, "_n_refused", MAX_REFUSALS)
    monkeypatch.setattr(feed, "_status", FeedStatus("refused", CAMERA_REFUSED))
    app = AppTest.from_function(render_door_status).run()
    (error,) = app.error
    reason = escape_markdown(CAMERA_REFUSED)
    assert error.value.startswith(f"**Door is not available.** {reason}")
    assert ("press **Retry**" in error.value) == is_admin == len(app.button)
    for button in app.button:
        button.click().run()
        assert not app.exception
        assert feed._n_refused == MAX_REFUSALS - 1


@pytest.mark.parametrize("is_admin", [True, False])
def test_only_a_local_admin_measures_distances_of_a_shared_camera(
    named_cameras, monkeypatch, is_admin
) -> None:
    """Others would see unblurred frames, and settings without effect."""
    monkeypatch.setattr(service, "is_admin", lambda: is_admin)
    app = open_page("live", source="network", distance="ground_plane")
    assert ("Distance" in [header.value for header in app.header]) == is_admin
    assert ("Capture a new frame" in [one.label for one in app.button]) == is_admin
    app.session_state[distance.STILL_KEY] = "a frame of this camera"
    app.main.button_group(key="live.source").set_value("sample").run()
    assert not app.exception
    assert "Distance" in [header.value for header in app.header]
    assert distance.STILL_KEY not in app.session_state


def test_an_admin_sets_a_camera_for_all_and_others_do_not(
    named_cameras, monkeypatch
) -> None:
    states = []

    def remember_state() -> object:
        state = get_live_state()
        states.append(state)
        return state

    monkeypatch.setattr("maskdet.web.live.page.get_live_state", remember_state)
    monkeypatch.setattr(service, "is_admin", lambda: True)
    open_page("live", source="network", camera="Hall", min_confidence="0.9")
    hall = states[-1]
    assert hall.preferences.settings.min_confidence == 0.9
    assert not hall.preferences.mirror
    monkeypatch.setattr(service, "is_admin", lambda: False)
    open_page("live", source="network", camera="Hall", min_confidence="0.2")
    assert states[-1] is hall
    assert hall.preferences.settings.min_confidence == 0.9


def test_the_cameras_page_is_offered_only_with_cameras(named_cameras) -> None:
    app = open_page("cameras")
    items = component_data(app, "tiles")["items"]
    assert [item["title"] for item in items] == ["Door", "Hall"]
    assert SECRET not in str(items)
