"""Automatic requests of the browser do not lead back to the previous page."""

from __future__ import annotations

import gc
import time

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession

from maskdet.web.live import page as live_page
from maskdet.web.live.readouts import UPDATES_KEY
from maskdet.web.server import navigation

LIVE, VIDEO = "hash of live", "hash of video"
STREAMER = f"$$ID-0123-{live_page.get_frontend_key()}"


def request(page: str, *widgets: str, fragment: str = "") -> ClientState:
    """Return the browser's request to run a page, with the widgets that it shows."""
    made = ClientState(page_script_hash=page, fragment_id=fragment)
    for name in widgets:
        made.widget_states.widgets.add(id=name, json_value="{}")
    return made


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[ClientState | None]:
    """The requests that are passed on to Streamlit."""
    seen: list[ClientState | None] = []

    def request_rerun(self: object, client_state: ClientState | None) -> None:
        seen.append(client_state)

    monkeypatch.setattr(AppSession, "request_rerun", request_rerun)
    navigation.ignore_stale_reruns()
    return seen


class Visitor:
    """A fake of Streamlit's session."""


@pytest.fixture
def visitor() -> Visitor:
    return Visitor()


def send(visitor: Visitor, *requests: ClientState | None) -> None:
    for client_state in requests:
        AppSession.request_rerun(visitor, client_state)


def test_a_late_streamer_state_does_not_lead_back(reached, visitor) -> None:
    page_request = request(VIDEO, "choice.camera_fps")
    send(visitor, page_request, request(LIVE, "choice.camera_fps", STREAMER))
    assert reached == [page_request]


def test_a_late_report_of_the_readouts_does_not_lead_back(reached, visitor) -> None:
    page_request = request(VIDEO, "choice.camera_fps")
    late = f"$$STREAMLIT_INTERNAL_KEY_$$ID-0123-{UPDATES_KEY}failure__events"
    send(visitor, page_request, request(LIVE, "choice.camera_fps", late))
    assert reached == [page_request]


def test_a_refreshing_fragment_does_not_lead_back(reached, visitor) -> None:
    page_request = request(LIVE)
    send(
        visitor, page_request, request(VIDEO, "choice.camera_fps", fragment="progress")
    )
    assert reached == [page_request]


def test_the_live_page_and_its_streamer_can_be_requested(reached, visitor) -> None:
    everything = [
        request(VIDEO),
        request(LIVE, "choice.camera_fps"),
        request(LIVE, STREAMER),
        request(LIVE, fragment="numbers"),
    ]
    send(visitor, *everything)
    assert reached == everything


def test_internal_requests_and_first_visits_pass(reached, visitor) -> None:
    everything = [request(""), None, request(LIVE, STREAMER)]
    send(visitor, *everything)
    assert reached == everything


def test_a_late_request_for_the_previous_page_passes(
    reached, visitor, monkeypatch
) -> None:
    page_request, again = request(VIDEO), request(LIVE, STREAMER)
    send(visitor, page_request)
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 4)
    send(visitor, again)
    assert reached == [page_request]
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 6)
    send(visitor, again)
    assert reached == [page_request, again]


def test_each_visitor_has_its_own_page(reached) -> None:
    send(Visitor(), request(VIDEO))
    send(Visitor(), request(LIVE, STREAMER))
    assert len(reached) == 2


def test_ended_sessions_are_removed(reached) -> None:
    visitor = Visitor()
    send(visitor, request(VIDEO))
    assert visitor in navigation._requested_pages
    before = len(navigation._requested_pages)
    del visitor
    gc.collect()
    assert len(navigation._requested_pages) < before
