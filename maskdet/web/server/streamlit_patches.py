"""Patches of Streamlit, each in one function, and the report of unexpected errors.

Streamlit has no settings for these. Each function names the reason and version, and
`tests/web/test_streamlit_patches.py` fails if Streamlit no longer has the patched code.
All may be called more than once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sys
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Receive, Scope, Send
from streamlit import error_util, net_util
from streamlit.delta_generator_singletons import get_dg_singleton_instance
from streamlit.proto.Exception_pb2 import Exception as ExceptionProto
from streamlit.runtime.runtime import Runtime
from streamlit.runtime.runtime_util import get_max_widget_state_size_bytes
from streamlit.runtime.state.session_state import SessionState
from streamlit.web.server.starlette import starlette_server, starlette_websocket
from streamlit.web.server.starlette.starlette_path_security_middleware import (
    PathSecurityMiddleware,
)

from maskdet.web.server import guard

_REFERENCE_PREFIX: Final = "reference: "
logger: Final = logging.getLogger(__name__)

_SHUTDOWN_TIMEOUT_S: Final = 5
"""Time that the server waits for running requests when it is stopped."""

_CLOSE_TIMEOUT_S: Final = 3.0

_MESSAGE_MARGIN_BYTES: Final = 64 * 1024

_original_path_security: Final = PathSecurityMiddleware.__call__

_original_uvicorn_options: Final = starlette_server._get_uvicorn_config_kwargs

_original_run_callback: Final = SessionState._run_callback_and_record_rerun

_original_stop: Final = Runtime.stop

_pending_tasks: Final[set[asyncio.Task[None]]] = set()
"""References that keep running tasks from being garbage-collected."""


def get_error_reference(error: BaseException) -> str:
    """Return the reference of an error, which the page and the log show."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith(_REFERENCE_PREFIX):
            return str(note).removeprefix(_REFERENCE_PREFIX)
    new_reference = secrets.token_hex(4)
    error.add_note(f"{_REFERENCE_PREFIX}{new_reference}")
    return new_reference


def log_error(ex: BaseException) -> None:
    """Log an error with its traceback and reference."""
    logger.error("Failure %s", get_error_reference(ex), exc_info=ex)


def render_error(ex: BaseException) -> None:
    """Show an error on the page, in one line without details."""
    try:
        # Streamlit's own exception element, so that page tests recognize it.
        element = ExceptionProto(message=format_unexpected_error(ex))
        get_dg_singleton_instance().main_dg._enqueue("exception", element)
    except Exception:
        logger.exception("Failure %s could not be shown", get_error_reference(ex))


def format_unexpected_error(error: BaseException) -> str:
    """Return the message for an unexpected error."""
    return (
        f"Unexpected error (reference {get_error_reference(error)}). Reload the page "
        "or use another one. The administrator finds the cause in the server log "
        "under this reference."
    )


def patch_streamlit() -> None:
    """Apply all patches that work while the server runs."""
    disable_address_lookup()
    guard_requests()
    check_connections()
    hide_errors()
    close_streams_on_stop()


def disable_address_lookup() -> None:
    """Disable the lookup of the server's own address on other machines.

    Streamlit 1.67 requests it from an Amazon server, on the event loop's thread, at the
    start and whenever a page of another origin tries to connect.
    """
    net_util.get_external_ip = _return_no_address
    net_util.get_internal_ip = _return_no_address


def guard_requests() -> None:
    """Pass every request through `guard.handle_request`.

    Streamlit 1.67 accepts custom middleware only for apps that are not scripts. So its
    own outermost middleware is patched, which also works while the server runs.
    """
    PathSecurityMiddleware.__call__ = _call_guarded  # type: ignore[method-assign]


def check_connections() -> None:
    """Let `guard` decide which hosts and origins may connect.

    Streamlit 1.67 lets any page of `localhost` connect, on any port, and its
    `server.allowedHosts` cannot express "any IP address".
    """
    starlette_websocket.is_host_allowed = guard.is_allowed_host
    starlette_websocket._is_origin_allowed = guard.is_allowed_connection


def hide_errors() -> None:
    """Show an unexpected error as one line; the rest of the page still runs.

    After an error in a callback, Streamlit 1.67 would not render the page at all.
    """
    error_util._log_uncaught_app_exception = log_error
    error_util.show_uncaught_app_exception = render_error
    SessionState._run_callback_and_record_rerun = (  # type: ignore[method-assign]
        _run_callback_safely
    )


def close_streams_on_stop() -> None:
    """Close live video before the server's event loop ends.

    The threads of streamlit-webrtc 0.79 and aiortc would use the loop after its end.
    """
    Runtime.stop = _close_and_stop  # type: ignore[method-assign]


def limit_server() -> None:
    """Limit the shutdown time and the size of web socket messages.

    Call it before the server starts. Streamlit 1.67 waits without limit for running
    requests, and each connection may hold a message of 200 MB, of which at most
    `server.maxWidgetStateSize` is used.
    """
    starlette_server._get_uvicorn_config_kwargs = _get_limited_options


def _return_no_address() -> None:
    return None


async def _call_guarded(
    self: PathSecurityMiddleware, scope: Scope, receive: Receive, send: Send
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _original_path_security(self, scope, receive, send)

    await guard.handle_request(app, scope, receive, send)


def _run_callback_safely(
    self: SessionState, votes: Any, run: Callable[[], None]
) -> None:
    def run_safely() -> None:
        try:
            run()
        except Exception as error:
            error_util.handle_uncaught_app_exception(error)

    _original_run_callback(self, votes, run_safely)


def _get_limited_options() -> dict[str, Any]:
    return _original_uvicorn_options() | {
        "timeout_graceful_shutdown": _SHUTDOWN_TIMEOUT_S,
        "ws_max_size": get_max_widget_state_size_bytes() + _MESSAGE_MARGIN_BYTES,
    }


def _close_and_stop(self: Runtime) -> None:
    loop = self._get_async_objs().eventloop

    async def close_and_stop() -> None:
        # Do not import it: it would warn if imported before the server runs.
        webrtc = sys.modules.get("streamlit_webrtc.webrtc")
        peers = [worker.pc for worker in [*webrtc._live_workers]] if webrtc else []
        closing = asyncio.gather(
            *(peer.close() for peer in peers), return_exceptions=True
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(closing, _CLOSE_TIMEOUT_S)
        _original_stop(self)

    loop.call_soon_threadsafe(
        lambda: _pending_tasks.add(loop.create_task(close_and_stop()))
    )
