"""Page navigation: run pages through `app.py`, and ignore reruns of a page just left.

A component that reports late, such as the WebRTC streamer after it starts or stops and
the readouts of the Live page, and a fragment that refreshes periodically make
Streamlit 1.67 run the page that the browser shows. A visitor who had just clicked on
another page was sent back to the old one, and both runs were aborted. Such requests are
ignored here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import streamlit as st

from maskdet.web.live import page as live_page
from maskdet.web.live.readouts import UPDATES_KEY
from maskdet.web.server import streamlit_patches

if TYPE_CHECKING:
    from streamlit.proto.ClientState_pb2 import ClientState

_requested_pages: Final[WeakKeyDictionary[object, tuple[str, float]]] = (
    WeakKeyDictionary()
)
"""The page that each session requested last, and when."""

_STALE_WINDOW_S: Final = 5.0
"""A later request for another page is not a remainder of it: the browser does show that
page, for example after a lost connection, so the request is honoured."""


def ignore_stale_reruns() -> None:
    """Ignore stale automatic reruns; call it before pages are rendered."""
    streamlit_patches.filter_reruns(_is_stale)


def _is_stale_rerun(request: ClientState, page: str) -> bool:
    """Return whether an automatic request would leave the page the visitor chose.

    Args:
        request: the browser's request. When a visitor chooses a page, it does not
            contain widgets of the previous page, and does not name a fragment.
        page: hash of the page that was requested a moment ago; empty if none was.
    """
    if not page or request.page_script_hash in ("", page):
        return False
    key = live_page.get_frontend_key()
    is_automatic = any(
        state.id.endswith(key) or UPDATES_KEY in state.id
        for state in request.widget_states.widgets
    )
    return is_automatic or bool(request.fragment_id)


def _is_stale(session: object, request: ClientState) -> bool:
    now_s = time.monotonic()
    page, requested_s = _requested_pages.get(session, ("", now_s))
    if now_s - requested_s < _STALE_WINDOW_S and _is_stale_rerun(request, page):
        return True
    if not request.fragment_id:
        _requested_pages[session] = request.page_script_hash, now_s
    return False


def require_app_entry() -> None:
    """Rerun through `app.py` if this page was run without it; call it first.

    Until `st.navigation` has run once on a server, Streamlit 1.67 treats a folder
    `pages/` as an old-style multipage app. A visitor who opens the URL of a page
    first, for example from a link, would get it without sidebar and settings.
    """
    if streamlit_patches.switch_to_app_entry():
        st.rerun()
