"""Who asks for another page is not thrown back by what the browser sends by itself."""

from __future__ import annotations

import gc
import time

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession

from maskdet.web.live import page as live_page
from maskdet.web.server import navigation

LIVE, VIDEO = "hash of live", "hash of video"
STREAMER = f"$$ID-0123-{live_page.get_frontend_key()}"


def request(page: str, *widgets: str, fragment: str = "") -> ClientState:
    """What the browser sends to have a page run, with the widgets it shows."""
    made = ClientState(page_script_hash=page, fragment_id=fragment)
    for name in widgets:
        made.widget_states.widgets.add(id=name, json_value="{}")
    return made


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[ClientState | None]:
    """The requests that Streamlit gets to see."""
    seen: list[ClientState | None] = []
    monkeypatch.setattr(
        navigation,
        "_original_request_rerun",
        lambda _, asked: seen.append(asked),
    )
    monkeypatch.setattr(AppSession, "request_rerun", AppSession.request_rerun)
    navigation.ignore_stale_reruns()
    return seen


class Visitor:
    """Stands in for Streamlit's session of a visitor."""


@pytest.fixture
def visitor() -> Visitor:
    return Visitor()


def send(visitor: Visitor, *requests: ClientState | None) -> None:
    for asked in requests:
        AppSession.request_rerun(visitor, asked)


def test_the_streamer_does_not_lead_back(reached, visitor) -> None:
    asked = request(VIDEO, "choice.camera_fps")
    send(visitor, asked, request(LIVE, "choice.camera_fps", STREAMER))
    assert reached == [asked]


def test_a_part_that_refreshes_itself_does_not_lead_back(reached, visitor) -> None:
    asked = request(LIVE)
    send(visitor, asked, request(VIDEO, "choice.camera_fps", fragment="progress"))
    assert reached == [asked]


def test_who_asks_for_live_gets_it_and_the_streamer_is_heard(reached, visitor) -> None:
    everything = [
        request(VIDEO),
        request(LIVE, "choice.camera_fps"),
        request(LIVE, STREAMER),
        request(LIVE, fragment="numbers"),
    ]
    send(visitor, *everything)
    assert reached == everything


def test_what_streamlit_asks_for_itself_and_first_visits_pass(reached, visitor) -> None:
    everything = [request(""), None, request(LIVE, STREAMER)]
    send(visitor, *everything)
    assert reached == everything


def test_a_browser_that_stays_on_the_page_before_is_obeyed(
    reached, visitor, monkeypatch
) -> None:
    asked, again = request(VIDEO), request(LIVE, STREAMER)
    send(visitor, asked)
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 4)
    send(visitor, again)
    assert reached == [asked]
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 6)
    send(visitor, again)
    assert reached == [asked, again]


def test_visitors_do_not_share_their_page(reached) -> None:
    send(Visitor(), request(VIDEO))
    send(Visitor(), request(LIVE, STREAMER))
    assert len(reached) == 2


def test_who_left_is_forgotten(reached) -> None:
    visitor = Visitor()
    send(visitor, request(VIDEO))
    assert visitor in navigation._requested_pages
    before = len(navigation._requested_pages)
    del visitor
    gc.collect()
    assert len(navigation._requested_pages) < before
