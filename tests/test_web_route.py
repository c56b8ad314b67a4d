"""Who asks for another page is not thrown back by what the browser sends by itself."""

from __future__ import annotations

import time
import types
from collections.abc import Iterator

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession

from maskdet.web import camera, route
from tests.app_driving import opened_at

LIVE, VIDEO = "hash of live", "hash of video"
STREAMER = f"$$ID-0123-{camera.frontend_key()}"


def request(page: str, *widgets: str, fragment: str = "") -> ClientState:
    """What the browser sends to have a page run, with the widgets it shows."""
    made = ClientState(page_script_hash=page, fragment_id=fragment)
    for name in widgets:
        made.widget_states.widgets.add(id=name, json_value="{}")
    return made


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ClientState | None]]:
    """The requests that Streamlit gets to see."""
    seen: list[ClientState | None] = []
    monkeypatch.setattr(route, "_request_rerun", lambda _, asked: seen.append(asked))
    monkeypatch.setattr(AppSession, "request_rerun", AppSession.request_rerun)
    route.keep_to_the_page()
    yield seen
    route._PAGES.clear()


def send(*requests: ClientState | None, visitor: str = "one") -> None:
    session = types.SimpleNamespace(id=visitor)
    for asked in requests:
        AppSession.request_rerun(session, asked)


def test_the_streamer_does_not_lead_back(reached) -> None:
    asked = request(VIDEO, "choice.camera_fps")
    send(asked, request(LIVE, "choice.camera_fps", STREAMER))
    assert reached == [asked]


def test_a_part_that_refreshes_itself_does_not_lead_back(reached) -> None:
    asked = request(LIVE)
    send(asked, request(VIDEO, "choice.camera_fps", fragment="progress"))
    assert reached == [asked]


def test_who_asks_for_live_gets_it_and_the_streamer_is_heard(reached) -> None:
    everything = [
        request(VIDEO),
        request(LIVE, "choice.camera_fps"),
        request(LIVE, STREAMER),
        request(LIVE, fragment="numbers"),
    ]
    send(*everything)
    assert reached == everything


def test_what_streamlit_asks_for_itself_and_first_visits_pass(reached) -> None:
    everything = [request(""), None, request(LIVE, STREAMER)]
    send(*everything)
    assert reached == everything


def test_a_browser_that_stays_on_the_page_before_is_obeyed(
    reached, monkeypatch
) -> None:
    asked, again = request(VIDEO), request(LIVE, STREAMER)
    send(asked)
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 4)
    send(again)
    assert reached == [asked]
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 6)
    send(again)
    assert reached == [asked, again]


def test_visitors_do_not_share_their_page(reached) -> None:
    send(request(VIDEO), visitor="one")
    send(request(LIVE, STREAMER), visitor="two")
    assert len(reached) == 2


def test_visitors_of_long_ago_are_forgotten(reached) -> None:
    for visitor in range(1200):
        send(request(VIDEO), visitor=str(visitor))
    assert len(route._PAGES) == 1000
    assert "0" not in route._PAGES
    assert "1199" in route._PAGES


def test_a_page_that_is_run_is_noted() -> None:
    route._PAGES.clear()
    opened_at("about")
    ((noted, _),) = route._PAGES.values()
    assert route.is_stray(request(LIVE, STREAMER), noted)
    assert not route.is_stray(request(noted, STREAMER), noted)
