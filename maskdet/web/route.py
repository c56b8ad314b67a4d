"""The way between pages: whoever asks for another page is not thrown back.

What happens by itself in the browser, such as the streamer's telling its state once it
is built or stopped, and the refreshing of a part once a second, makes Streamlit 1.67
ask for a run of the page that the browser shows. Who had clicked on another page a
moment before was back on the old one, and both runs were broken off. Requests of that
kind are left out here as long as they are for another page than the visitor's.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Final

from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner import get_script_run_ctx

from maskdet.web import camera

_MOST: Final = 1000
"""Visitors whose page is remembered; who did nothing for longest is forgotten first."""

_PAGES: Final[OrderedDict[str, tuple[str, float]]] = OrderedDict()
"""By session the page that its visitor asked for or was led to, and when."""

_PATIENCE_S: Final = 5.0
"""What comes later after a page was asked for is no remainder of the page before: the
browser shows that one, as after a connection that broke, and is obeyed."""

_LOCK: Final = threading.Lock()

_request_rerun: Final = AppSession.request_rerun


def keep_to_the_page() -> None:
    """Leave out requests that nobody made; call it before pages are shown."""
    AppSession.request_rerun = _request_unless_stray  # type: ignore[assignment]


def arrive() -> None:
    """Note the page that is being run; call it in `app.py`, after `st.navigation`.

    A page may lead to another one without a request from the browser.
    """
    context = get_script_run_ctx()
    if context is not None:
        _note(context.session_id, context.pages_manager.current_page_script_hash)


def is_stray(request: ClientState, page: str) -> bool:
    """Return whether a request would lead away from a page though nobody asked for it.

    Args:
        request: what the browser sent. When a visitor asks for a page, it does not
            send the widgets of the page before, and names no fragment.
        page: hash of the page that the visitor is on or asked for; empty if none was
            asked for lately.
    """
    if not page or request.page_script_hash in ("", page):
        return False
    key = camera.frontend_key()
    streamer = any(state.id.endswith(key) for state in request.widget_states.widgets)
    return streamer or bool(request.fragment_id)


def _request_unless_stray(session: AppSession, request: ClientState | None) -> None:
    if request is not None:
        if is_stray(request, _page_of(session.id)):
            return
        if not request.fragment_id:
            _note(session.id, request.page_script_hash)
    _request_rerun(session, request)


def _page_of(session: str) -> str:
    """Return the page that was asked for a moment ago, else an empty text."""
    page, asked_s = _PAGES.get(session, ("", 0.0))
    return page if time.monotonic() - asked_s < _PATIENCE_S else ""


def _note(session: str, page: str) -> None:
    with _LOCK:
        _PAGES[session] = page, time.monotonic()
        _PAGES.move_to_end(session)
        while len(_PAGES) > _MOST:
            _PAGES.popitem(last=False)
