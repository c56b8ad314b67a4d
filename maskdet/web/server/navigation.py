"""Which page runs: always through `app.py`, and never one that the visitor has left.

A component that reports its state late, such as the streamer once it is built or
stopped, and a part that is drawn anew once a second make Streamlit 1.67 run the page
that the browser shows. A visitor who had just clicked on another page was sent back to
the old one, and both runs were broken off. Such requests are ignored here.
"""

from __future__ import annotations

import time
from typing import Final
from weakref import WeakKeyDictionary

import streamlit as st
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.pages_manager import PagesManager

from maskdet.web import session as web_session
from maskdet.web.live import page as live_page

_requested_pages: Final[WeakKeyDictionary[AppSession, tuple[str, float]]] = (
    WeakKeyDictionary()
)
"""The page that each visitor asked for last, and when; until the visitor leaves."""


_STALE_WINDOW_S: Final = 5.0
"""What comes later after a page was asked for is no remainder of the page before: the
browser shows that one, as after a connection that broke, and is obeyed."""


_original_request_rerun: Final = AppSession.request_rerun


def ignore_stale_reruns() -> None:
    """Leave out requests that nobody made; call it before pages are shown."""
    AppSession.request_rerun = _request_rerun_unless_stale  # type: ignore[assignment]


def is_stale_rerun(request: ClientState, page: str) -> bool:
    """Return whether a request would lead away from a page though nobody asked for it.

    Args:
        request: what the browser sent. When a visitor asks for a page, it does not
            send the widgets of the page before, and names no fragment.
        page: hash of the page that was asked for a moment ago; empty if none was.
    """
    if not page or request.page_script_hash in ("", page):
        return False
    keys = live_page.get_frontend_key(), web_session.TAB_KEY
    is_automatic = any(
        state.id.endswith(keys) for state in request.widget_states.widgets
    )
    return is_automatic or bool(request.fragment_id)


def _request_rerun_unless_stale(
    session: AppSession, request: ClientState | None
) -> None:
    if request is not None:
        now_s = time.monotonic()
        page, requested_s = _requested_pages.get(session, ("", now_s))
        if now_s - requested_s < _STALE_WINDOW_S and is_stale_rerun(request, page):
            return
        if not request.fragment_id:
            _requested_pages[session] = request.page_script_hash, now_s
    _original_request_rerun(session, request)


def require_app_entry() -> None:
    """Start again through `app.py` if this page was run without it; call it first.

    Until `st.navigation` has run once in a server's life, Streamlit 1.67 takes a
    folder `pages/` for an app of its old kind. Who opens a page's own address first,
    for example by a shared link, then gets it without sidebar and settings.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()
