"""What the dashboard does with private parts of Streamlit and its libraries.

There is no public way to do these things. `hooks` lists the parts; each function here
says why it is needed. All functions may be called more than once.

Nothing of the dashboard is imported here: others pass in what a hook is replaced by.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import secrets
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config, runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from maskdet.web.server import hooks

if TYPE_CHECKING:
    from streamlit.proto.ClientState_pb2 import ClientState
    from streamlit.runtime.app_session import AppSession
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
    from streamlit.runtime.runtime import Runtime
    from streamlit.runtime.session_manager import SessionClient
    from streamlit.runtime.state import SafeSessionState, SessionState

logger: Final = logging.getLogger(__name__)

UPLOAD_PATH: Final = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)")
"""Where the browser sends files, with the session and the file. With another path, the
server would not enforce the limits of uploads while a file arrives."""

_UNLIMITED_BYTES: Final = 1 << 40

_SHUTDOWN_TIMEOUT_S: Final = 5
"""Time that the server waits for running requests when it is stopped."""

_CLOSE_TIMEOUT_S: Final = 3.0
_MESSAGE_MARGIN_BYTES: Final = 64 * 1024
_TOAST_S: Final = 20
_EXPIRY_MARGIN_S: Final = 1.0

_REFERENCE_PREFIX: Final = "reference: "

_pending_tasks: Final[set[asyncio.Task[None]]] = set()
"""References that keep running tasks from being garbage-collected."""

_session_locks: Final[WeakValueDictionary[int, Any]] = WeakValueDictionary()
"""Locks by the `id` of a session's state; all users of a state hold its lock."""

_session_locks_guard: Final = threading.Lock()


def patch_streamlit() -> None:
    """Apply the patches that need nothing from the dashboard."""
    hooks.report_untested_versions()
    disable_address_lookup()
    hide_errors()
    close_streams_on_stop()
    use_one_lock_per_session()
    expire_sessions()
    disable_upload_spooling()


def disable_address_lookup() -> None:
    """Disable the lookup of the server's own address on other machines.

    Streamlit 1.67 requests it from an Amazon server, on the event loop's thread, at the
    start and whenever a page of another origin tries to connect.
    """
    for hook in (hooks.EXTERNAL_IP, hooks.INTERNAL_IP):
        hook.replace(lambda: None)


def guard_requests(
    handle: Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]],
) -> None:
    """Pass every request through a handler.

    Streamlit 1.67 accepts custom middleware only for apps that are not scripts. So its
    own outermost middleware is patched, which also works while the server runs.

    Args:
        handle: called with the rest of the server and an ASGI request.
    """

    def wrap(original: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
        async def call_guarded(
            self: object, scope: Scope, receive: Receive, send: Send
        ) -> None:
            await handle(functools.partial(original, self), scope, receive, send)

        return call_guarded

    hooks.MIDDLEWARE.wrap(wrap)


def check_connections(
    is_host_allowed: Callable[[str | None], bool],
    is_origin_allowed: Callable[[str | None, str | None], bool],
) -> None:
    """Decide which hosts and origins may connect.

    Streamlit 1.67 lets any page of `localhost` connect, on any port, and its
    `server.allowedHosts` cannot express "any IP address".

    Args:
        is_host_allowed: called with the header `Host`.
        is_origin_allowed: called with the headers `Origin` and `Host`.
    """
    hooks.HOST_CHECK.replace(is_host_allowed)
    hooks.ORIGIN_CHECK.replace(is_origin_allowed)


def hide_errors() -> None:
    """Show an unexpected error as one line; the rest of the page still runs.

    After an error in a callback, Streamlit 1.67 would not render the page at all.
    """
    hooks.ERROR_LOG.replace(_log_error)
    hooks.ERROR_DISPLAY.replace(render_error)
    hooks.CALLBACK.wrap(_wrap_callback_runner)


def close_streams_on_stop() -> None:
    """Close live video before the server's event loop ends.

    The threads of streamlit-webrtc 0.79 and aiortc would use the loop after its end.
    """
    if hooks.EVENT_LOOP.find() is not None:
        hooks.STOP.wrap(_wrap_stop)


def limit_server() -> None:
    """Limit the shutdown time and the size of web socket messages.

    Call it before the server starts. Streamlit 1.67 waits without limit for running
    requests, and each connection may hold a message of 200 MB, of which at most
    `server.maxWidgetStateSize` is used.
    """

    def wrap(original: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
        def get_limited_options() -> dict[str, Any]:
            max_mb = config.get_option("server.maxWidgetStateSize")
            return original() | {
                "timeout_graceful_shutdown": _SHUTDOWN_TIMEOUT_S,
                "ws_max_size": max_mb * 10**6 + _MESSAGE_MARGIN_BYTES,
            }

        return get_limited_options

    hooks.SERVER_OPTIONS.wrap(wrap)


def send_without_delay() -> None:
    """Send the parts of a response at once; call it before the server starts.

    asyncio does so for sockets that name TCP as their protocol. That of Streamlit 1.67
    does not, so the system holds back a second part, such as a file after its headers,
    until the browser has acknowledged the first one: up to 40 ms for each file.
    """

    def wrap(original: Callable[..., socket.socket]) -> Callable[..., socket.socket]:
        def bind_without_delay(address: str, port: int, backlog: int) -> socket.socket:
            bound = original(address, port, backlog)
            # Connections inherit it.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return bound

        return bind_without_delay

    hooks.SERVER_SOCKET.wrap(wrap)


def use_one_lock_per_session() -> None:
    """Use one lock per session state, instead of one per script run.

    While a run is being stopped, the next one may have started. Streamlit 1.67 gives
    each of them its own lock for the same state. On a busy server, some runs then end
    with "dictionary changed size during iteration", and the page stays incomplete.
    """

    def wrap(original: Callable[..., None]) -> Callable[..., None]:
        def init_with_shared_lock(
            self: SafeSessionState,
            state: SessionState,
            yield_callback: Callable[[], None],
        ) -> None:
            original(self, state, yield_callback)
            with _session_locks_guard:
                lock = _session_locks.setdefault(id(state), threading.RLock())
            object.__setattr__(self, "_lock", lock)

        return init_with_shared_lock

    hooks.SESSION_LOCK.wrap(wrap)


def expire_sessions() -> None:
    """Remove the session of a visitor two minutes after the browser has left.

    Streamlit 1.67 does so only when another visitor leaves. On a quiet server, the
    images of the last one would stay in memory.
    """

    def wrap(original: Callable[..., None]) -> Callable[..., None]:
        def disconnect_for_good(
            self: Runtime, session_id: str, *, client: SessionClient | None = None
        ) -> None:
            original(self, session_id, client=client)
            try:
                manager: Any = self._session_mgr
                cache = manager._session_storage._cache
                asyncio.get_running_loop().call_later(
                    cache.ttl + _EXPIRY_MARGIN_S, cache.expire
                )
            except (AttributeError, RuntimeError) as error:
                hooks.DISCONNECT.report(f"keeps sessions elsewhere ({error})")

        return disconnect_for_good

    hooks.DISCONNECT.wrap(wrap)


def disable_upload_spooling() -> None:
    """Keep uploads in memory only.

    Starlette, which Streamlit uses for uploads, otherwise writes files above 1 MB to
    an anonymous temporary file.
    """
    hooks.SPOOL_SIZE.replace(_UNLIMITED_BYTES)


def filter_reruns(is_ignored: Callable[[AppSession, ClientState], bool]) -> None:
    """Ignore some requests of browsers to run a page.

    Args:
        is_ignored: called with the session and the request.
    """

    def wrap(original: Callable[..., None]) -> Callable[..., None]:
        def request_rerun(self: AppSession, client_state: ClientState | None) -> None:
            try:
                if client_state is not None and is_ignored(self, client_state):
                    return
            except AttributeError as error:  # a request of another version
                hooks.RERUN.report(f"was called with an unknown request ({error})")
            original(self, client_state)

        return request_rerun

    hooks.RERUN.wrap(wrap)


def switch_to_app_entry() -> bool:
    """Make Streamlit run pages through `app.py`; return whether that changed.

    Until `st.navigation` has run once on a server, Streamlit 1.67 treats a folder
    `pages/` as an old-style multipage app, and runs the page of the URL alone.
    """
    place = hooks.PAGES_FOLDER.find()
    if place is None or not getattr(*place):
        return False
    setattr(*place, False)
    return True


def relay_frames_with(relay_class: type[Any]) -> None:
    """Replace the relay of all live video; call it before the first stream starts.

    streamlit-webrtc 0.79 passes every track through aiortc's `MediaRelay`, which by
    default queues all frames that its reader has not read yet. On a server that is too
    slow for its viewers, the delay then grows: 10 seconds after half a minute, with
    three viewers on two busy cores.

    Args:
        relay_class: a subclass of aiortc's relay.
    """
    hooks.RELAY.replace(relay_class)


def encode_video_with(encoder_class: type[Any]) -> None:
    """Replace the VP8 encoder of all live video; call it before a stream starts.

    The options of aiortc's encoder cannot be set.

    Args:
        encoder_class: a subclass of aiortc's encoder.
    """
    hooks.ENCODER.replace(encoder_class)


def process_frames_with(track_class: type[Any]) -> None:
    """Replace the track of annotated live video; call it before a stream starts.

    Args:
        track_class: a track that is made with `track` and `processor`.
    """
    hooks.PROCESSED_TRACK.replace(track_class)


def set_frame_event(track: object, event: asyncio.Event) -> None:
    """Set the event that aiortc's relay sets when a reader has a new frame.

    Args:
        track: a reader without a queue.
        event: its `set` is called for each frame, its `clear` when a frame is read.
    """
    if hooks.FRAME_EVENT.is_attribute_of(track):
        setattr(track, hooks.FRAME_EVENT.name, event)


def keep_stream(context: object) -> None:
    """Let a streamer that the previous run has rendered keep its stream in this one.

    streamlit-webrtc 0.79 ends a stream if more than one run has been counted since it
    was rendered, as the browser may show a new streamer then. Streamlit 1.67 counts a
    run when its last message is sent, which on a busy server can be after the next run
    has rendered the streamer. The run after that sees two more runs.

    Args:
        context: of the streamer, or None.
    """
    if context is not None and hooks.LAST_RENDERED.is_attribute_of(context):
        setattr(context, hooks.LAST_RENDERED.name, None)


def get_streamer_key(key: str) -> str:
    """Return the key under which a browser reports the state of a WebRTC streamer."""
    place = hooks.STREAMER_KEY.find()
    return key if place is None else str(getattr(*place)(key))


def get_file_manager() -> MemoryUploadedFileManager | None:
    """Return the store of uploaded files; `None` if it is not as in the tested version.

    Streamlit 1.67 frees the files of a page only when the session ends.
    """
    context = get_script_run_ctx(suppress_warning=True)
    manager: Any = (
        context.uploaded_file_mgr
        if context is not None
        else getattr(runtime.get_instance(), "uploaded_file_mgr", None)
    )
    if hooks.FILE_REMOVAL.find() is None or not hooks.FILE_STORAGE.is_attribute_of(
        manager
    ):
        return None
    store: MemoryUploadedFileManager = manager
    return store


def show_toast(session_id: str, text: str) -> None:
    """Show a toast to a visitor, without a script run; on the event loop only."""
    if hooks.MESSAGE_QUEUE.find() is None or hooks.APP_SESSION.find() is None:
        return
    app_session = runtime.get_instance().get_app_session(session_id)
    if app_session is None:
        return
    try:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
        from streamlit.proto.RootContainer_pb2 import RootContainer

        message = ForwardMsg()
        message.metadata.delta_path[:] = [RootContainer.EVENT, 0]
        toast = message.delta.new_element.toast
        toast.body, toast.icon, toast.duration = text, ":material/block:", _TOAST_S
    except (ImportError, AttributeError) as error:
        hooks.MESSAGE_QUEUE.report(f"takes other messages ({error})")
        return
    app_session._enqueue_forward_msg(message)


def get_peer(session_id: str) -> tuple[str | None, Iterable[tuple[str, str]]] | None:
    """Return the remote address and the headers of a visitor's connection.

    `st.context` has neither repeated headers nor the address of this machine.

    Returns:
        `None` if the visitor has disconnected, or there is no server.
    """
    if not runtime.exists() or hooks.CLIENT.find() is None:
        return None
    client = runtime.get_instance().get_client(session_id)
    context = getattr(client, "client_context", None)
    if context is None:
        return None
    return getattr(context, "remote_ip", None), getattr(context, "headers", ())


def is_session_active(session_id: str) -> bool:
    """Return whether the browser of a session is connected; safe in any thread.

    The connection ends as soon as the page is reloaded or closed. Streamlit itself
    keeps the session for two more minutes.
    """
    if not runtime.exists() or hooks.ACTIVE_SESSION.find() is None:
        return True
    return runtime.get_instance().is_active_session(session_id)


def add_media_file(content: bytes, media_type: str, place: str) -> str:
    """Return a URL at which the browser of this session gets a file from memory.

    Args:
        content: the file.
        media_type: its MIME type.
        place: identifies its place on the page; another file there replaces it.

    Returns:
        The path on this server; empty if there is none, as without a server.
    """
    if not runtime.exists() or hooks.MEDIA_FILES.find() is None:
        return ""
    path = runtime.get_instance().media_file_mgr.add(content, media_type, place)
    return get_base_path() + path


def get_base_path() -> str:
    """Return the path below which the server is; empty for its root."""
    path = str(config.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def list_config_files() -> list[str]:
    """Return Streamlit's configuration files; later ones override earlier ones."""
    place = hooks.CONFIG_FILES.find()
    return [] if place is None else [*getattr(*place)("config.toml")]


def is_manually_set(option: str) -> bool:
    """Return whether an option of Streamlit is not its default."""
    place = hooks.MANUAL_OPTIONS.find()
    return place is not None and bool(getattr(*place)(option))


def _get_error_reference(error: BaseException) -> str:
    """Return the reference of an error, which the page and the log show."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith(_REFERENCE_PREFIX):
            return str(note).removeprefix(_REFERENCE_PREFIX)
    new_reference = secrets.token_hex(4)
    error.add_note(f"{_REFERENCE_PREFIX}{new_reference}")
    return new_reference


def _log_error(ex: BaseException) -> None:
    """Log an error with its traceback and reference."""
    logger.error("Failure %s", _get_error_reference(ex), exc_info=ex)


def render_error(ex: BaseException) -> None:
    """Show an error on the page, in one line without details."""
    place = hooks.ELEMENT_QUEUE.find()
    if place is None:
        return
    try:
        from streamlit.proto.Exception_pb2 import Exception as ExceptionProto

        # Streamlit's own exception element, so that page tests recognize it.
        element = ExceptionProto(message=_format_unexpected_error(ex))
        getattr(*place)().main_dg._enqueue("exception", element)
    except Exception:
        logger.exception("Failure %s could not be shown", _get_error_reference(ex))


def _format_unexpected_error(error: BaseException) -> str:
    """Return the message for an unexpected error."""
    return (
        f"Unexpected error (reference {_get_error_reference(error)}). Reload the page "
        "or use another one. The administrator finds the cause in the server log "
        "under this reference."
    )


def _wrap_callback_runner(original: Callable[..., None]) -> Callable[..., None]:
    def run_callback_safely(
        self: SessionState, votes: Any, run: Callable[[], None]
    ) -> None:
        def run_safely() -> None:
            try:
                run()
            except Exception as error:
                _log_error(error)
                render_error(error)

        original(self, votes, run_safely)

    return run_callback_safely


def _wrap_stop(original: Callable[[Runtime], None]) -> Callable[[Runtime], None]:
    def close_and_stop(self: Runtime) -> None:
        loop = self._get_async_objs().eventloop

        async def close_streams() -> None:
            closing = asyncio.gather(
                *(peer.close() for peer in _list_live_peers()), return_exceptions=True
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing, _CLOSE_TIMEOUT_S)
            original(self)

        loop.call_soon_threadsafe(
            lambda: _pending_tasks.add(loop.create_task(close_streams()))
        )

    return close_and_stop


def _list_live_peers() -> list[Any]:
    """Return the peer connections of all live video."""
    # Do not import it: it would warn if imported before the server runs.
    if "streamlit_webrtc.webrtc" not in sys.modules:
        return []
    place = hooks.LIVE_WORKERS.find()
    return [] if place is None else [worker.pc for worker in [*getattr(*place)]]
