"""Every private part of Streamlit and its libraries that the dashboard needs.

There is no public way to do these things. Each `Hook` names one attribute and what is
lost without it; the function that uses it says why it is needed. They were tested with
`TESTED_VERSIONS`. In another version, a hook whose attribute is missing or takes other
arguments is left out: the dashboard works without it, and one line in the log says so.
All functions may be called more than once.

Nothing of the dashboard is imported here: others pass in what a hook is replaced by.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import re
import secrets
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config, runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

if TYPE_CHECKING:
    from streamlit.proto.ClientState_pb2 import ClientState
    from streamlit.runtime.app_session import AppSession
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
    from streamlit.runtime.runtime import Runtime
    from streamlit.runtime.state import SafeSessionState, SessionState

logger: Final = logging.getLogger(__name__)

TESTED_VERSIONS: Final[Mapping[str, str]] = {
    "streamlit": "1.67",
    "streamlit-webrtc": "0.79",
    "aiortc": "1.16",
    "starlette": "1.10",
}
"""Before an upgrade of a library, compare its code with the hooks; then change this."""

UPLOAD_PATH: Final = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)")
"""Where the browser sends files, with the session and the file. With another path, the
server would not enforce the limits of uploads while a file arrives."""

_UNLIMITED_BYTES: Final = 1 << 40

_SHUTDOWN_TIMEOUT_S: Final = 5
"""Time that the server waits for running requests when it is stopped."""

_CLOSE_TIMEOUT_S: Final = 3.0
_MESSAGE_MARGIN_BYTES: Final = 64 * 1024
_TOAST_S: Final = 20

_REFERENCE_PREFIX: Final = "reference: "

_applied: Final[dict[str, tuple[Any, Any]]] = {}
"""Original and replacement of each replaced hook, by its target."""

_reported: Final[set[str]] = set()
"""Targets that are in the log already."""

_pending_tasks: Final[set[asyncio.Task[None]]] = set()
"""References that keep running tasks from being garbage-collected."""

_session_locks: Final[WeakValueDictionary[int, Any]] = WeakValueDictionary()
"""Locks by the `id` of a session's state; all users of a state hold its lock."""

_session_locks_guard: Final = threading.Lock()


@dataclass(frozen=True)
class Hook:
    """A private attribute of a library.

    Attributes:
        target: its place: `module:name` or `module:Class.name`.
        loss: what is lost without it.
        parameters: its parameters in the tested version; `None` if it has none to
            check.
    """

    target: str
    loss: str
    parameters: tuple[str, ...] | None = None

    def find(self) -> tuple[Any, str] | None:
        """Return the owner and the name of the attribute.

        Returns:
            `None`, and one line in the log, if it is not as in the tested version.
        """
        module, _, path = self.target.partition(":")
        *owners, name = path.split(".")
        try:
            owner: Any = functools.reduce(getattr, owners, import_module(module))
            value = getattr(owner, name)
        except (ImportError, AttributeError):
            self.report("is missing")
            return None
        if not self.is_replaced_by(value) and not self._takes_same_arguments(value):
            self.report("takes other arguments")
            return None
        return owner, name

    def is_replaced_by(self, value: object) -> bool:
        """Return whether a value of the attribute is our replacement."""
        return self.target in _applied and _applied[self.target][1] is value

    def _takes_same_arguments(self, value: Any) -> bool:
        if self.parameters is None:
            return True
        try:
            return (*inspect.signature(value).parameters,) == self.parameters
        except (TypeError, ValueError):  # not a function
            return False

    @property
    def name(self) -> str:
        """Name of the attribute, without its owner."""
        return re.split(r"[:.]", self.target)[-1]

    def is_attribute_of(self, instance: object) -> bool:
        """Return whether an instance has the attribute; if not, log it once."""
        if not hasattr(instance, self.name):
            self.report("is missing")
        return hasattr(instance, self.name)

    def report(self, problem: str) -> None:
        """Log once that the hook cannot be used."""
        if self.target not in _reported:
            _reported.add(self.target)
            logger.warning("%s %s: %s", self.target, problem, self.loss)


_STARLETTE: Final = "streamlit.web.server.starlette"
_RUNTIME: Final = "streamlit.runtime.runtime:Runtime"
_ADDRESS_LOSS: Final = "the server asks another machine for its own address"
_ORIGIN_LOSS: Final = "Streamlit's own check decides which hosts and pages may connect"
_ERROR_LOSS: Final = "visitors see the details of unexpected errors"
_STOP_LOSS: Final = "stopping the server during live video logs errors"
_FILE_MANAGER: Final = (
    "streamlit.runtime.memory_uploaded_file_manager:MemoryUploadedFileManager"
)
_UPLOAD_LOSS: Final = (
    "only files that are arriving count towards the upload limits, and files are kept "
    "until the session ends"
)
_TOAST_LOSS: Final = "a rejected upload shows only an HTTP status"

EXTERNAL_IP: Final = Hook("streamlit.net_util:get_external_ip", _ADDRESS_LOSS, ())
INTERNAL_IP: Final = Hook("streamlit.net_util:get_internal_ip", _ADDRESS_LOSS, ())
MIDDLEWARE: Final = Hook(
    f"{_STARLETTE}.starlette_path_security_middleware:PathSecurityMiddleware.__call__",
    "requests are not checked: no limits of uploads, no security headers",
    ("self", "scope", "receive", "send"),
)
HOST_CHECK: Final = Hook(
    f"{_STARLETTE}.starlette_websocket:is_host_allowed", _ORIGIN_LOSS, ("host",)
)
ORIGIN_CHECK: Final = Hook(
    f"{_STARLETTE}.starlette_websocket:_is_origin_allowed",
    _ORIGIN_LOSS,
    ("origin", "host"),
)
ERROR_LOG: Final = Hook(
    "streamlit.error_util:_log_uncaught_app_exception", _ERROR_LOSS, ("ex",)
)
ERROR_DISPLAY: Final = Hook(
    "streamlit.error_util:show_uncaught_app_exception", _ERROR_LOSS, ("ex",)
)
CALLBACK: Final = Hook(
    "streamlit.runtime.state.session_state:SessionState._run_callback_and_record_rerun",
    "a page stays empty after an error in a callback",
    ("self", "votes", "run"),
)
ELEMENT_QUEUE: Final = Hook(
    "streamlit.delta_generator_singletons:get_dg_singleton_instance",
    "an unexpected error is only in the log",
    (),
)
STOP: Final = Hook(f"{_RUNTIME}.stop", _STOP_LOSS, ("self",))
EVENT_LOOP: Final = Hook(f"{_RUNTIME}._get_async_objs", _STOP_LOSS, ("self",))
LIVE_WORKERS: Final = Hook("streamlit_webrtc.webrtc:_live_workers", _STOP_LOSS)
SERVER_OPTIONS: Final = Hook(
    f"{_STARLETTE}.starlette_server:_get_uvicorn_config_kwargs",
    "no limit of the time to stop the server and of the size of messages",
    (),
)
SESSION_LOCK: Final = Hook(
    "streamlit.runtime.state.safe_session_state:SafeSessionState.__init__",
    "on a busy server a page may stay incomplete",
    ("self", "state", "yield_callback"),
)
RERUN: Final = Hook(
    "streamlit.runtime.app_session:AppSession.request_rerun",
    "a visitor who leaves a page may be sent back to it",
    ("self", "client_state"),
)
PAGES_FOLDER: Final = Hook(
    "streamlit.runtime.pages_manager:PagesManager.uses_pages_directory",
    "the first visitor of a server sees a page without the sidebar if the visit does "
    "not begin with the start page",
)
SPOOL_SIZE: Final = Hook(
    "starlette.formparsers:MultiPartParser.spool_max_size",
    "uploads above 1 MB are written to temporary files",
)
FILE_REMOVAL: Final = Hook(
    f"{_FILE_MANAGER}.remove_file", _UPLOAD_LOSS, ("self", "session_id", "file_id")
)
FILE_STORAGE: Final = Hook(f"{_FILE_MANAGER}.file_storage", _UPLOAD_LOSS)
APP_SESSION: Final = Hook(
    f"{_RUNTIME}.get_app_session", _TOAST_LOSS, ("self", "session_id")
)
MESSAGE_QUEUE: Final = Hook(
    "streamlit.runtime.app_session:AppSession._enqueue_forward_msg",
    _TOAST_LOSS,
    ("self", "msg"),
)
CLIENT: Final = Hook(
    f"{_RUNTIME}.get_client",
    "visitors on the server's own machine have no rights of an administrator",
    ("self", "session_id"),
)
ACTIVE_SESSION: Final = Hook(
    f"{_RUNTIME}.is_active_session",
    "visitors count as present until the server stops",
    ("self", "session_id"),
)
CONFIG_FILES: Final = Hook(
    "streamlit.config:get_config_files",
    "`maskdet app` does not know the server options in the files of Streamlit",
    ("file_name",),
)
MANUAL_OPTIONS: Final = Hook(
    "streamlit.config:is_manually_set",
    "browser.serverAddress is not accepted as an origin",
    ("option_name",),
)
MEDIA_FILES: Final = Hook(
    "streamlit.runtime.media_file_manager:MediaFileManager.add",
    "images of the Image page are sent again with each change",
    (
        *("self", "path_or_data", "mimetype", "coordinates", "file_name"),
        "is_for_static_download",
    ),
)
RELAY: Final = Hook(
    "streamlit_webrtc.relay:MediaRelay",
    "live video falls behind when the server is too slow",
)
FRAME_EVENT: Final = Hook(
    "aiortc.contrib.media:RelayStreamTrack._new_frame_event",
    "frames that are dropped before the analysis are not counted",
)
STREAMER_KEY: Final = Hook(
    "streamlit_webrtc.component:generate_frontend_component_key",
    "a visitor who leaves the Live page may be sent back to it",
    ("original_key",),
)


@functools.cache  # pages run often, and reading the versions takes 1 ms
def report_untested_versions() -> None:
    """Log each library whose version is not the tested one."""
    for package, tested in TESTED_VERSIONS.items():
        try:
            installed = version(package)
        except PackageNotFoundError:
            continue
        if not f"{installed}.".startswith(f"{tested}."):
            logger.warning(
                "%s %s is installed; the dashboard was tested with %s",
                *(package, installed, tested),
            )


def patch_streamlit() -> None:
    """Apply the patches that need nothing from the dashboard."""
    report_untested_versions()
    disable_address_lookup()
    hide_errors()
    close_streams_on_stop()
    use_one_lock_per_session()
    disable_upload_spooling()


def disable_address_lookup() -> None:
    """Disable the lookup of the server's own address on other machines.

    Streamlit 1.67 requests it from an Amazon server, on the event loop's thread, at the
    start and whenever a page of another origin tries to connect.
    """
    for hook in (EXTERNAL_IP, INTERNAL_IP):
        _replace(hook, lambda: None)


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

    _wrap(MIDDLEWARE, wrap)


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
    _replace(HOST_CHECK, is_host_allowed)
    _replace(ORIGIN_CHECK, is_origin_allowed)


def hide_errors() -> None:
    """Show an unexpected error as one line; the rest of the page still runs.

    After an error in a callback, Streamlit 1.67 would not render the page at all.
    """
    _replace(ERROR_LOG, log_error)
    _replace(ERROR_DISPLAY, render_error)
    _wrap(CALLBACK, _wrap_callback_runner)


def close_streams_on_stop() -> None:
    """Close live video before the server's event loop ends.

    The threads of streamlit-webrtc 0.79 and aiortc would use the loop after its end.
    """
    if EVENT_LOOP.find() is not None:
        _wrap(STOP, _wrap_stop)


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

    _wrap(SERVER_OPTIONS, wrap)


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

    _wrap(SESSION_LOCK, wrap)


def disable_upload_spooling() -> None:
    """Keep uploads in memory only.

    Starlette, which Streamlit uses for uploads, otherwise writes files above 1 MB to
    an anonymous temporary file.
    """
    _replace(SPOOL_SIZE, _UNLIMITED_BYTES)


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
                RERUN.report(f"was called with an unknown request ({error})")
            original(self, client_state)

        return request_rerun

    _wrap(RERUN, wrap)


def switch_to_app_entry() -> bool:
    """Make Streamlit run pages through `app.py`; return whether that changed.

    Until `st.navigation` has run once on a server, Streamlit 1.67 treats a folder
    `pages/` as an old-style multipage app, and runs the page of the URL alone.
    """
    place = PAGES_FOLDER.find()
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
    _replace(RELAY, relay_class)


def set_frame_event(track: object, event: asyncio.Event) -> None:
    """Set the event that aiortc's relay sets when a reader has a new frame.

    Args:
        track: a reader without a queue.
        event: its `set` is called for each frame, its `clear` when a frame is read.
    """
    if FRAME_EVENT.is_attribute_of(track):
        setattr(track, FRAME_EVENT.name, event)


def get_streamer_key(key: str) -> str:
    """Return the key under which a browser reports the state of a WebRTC streamer."""
    place = STREAMER_KEY.find()
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
    if FILE_REMOVAL.find() is None or not FILE_STORAGE.is_attribute_of(manager):
        return None
    store: MemoryUploadedFileManager = manager
    return store


def show_toast(session_id: str, text: str) -> None:
    """Show a toast to a visitor, without a script run; on the event loop only."""
    if MESSAGE_QUEUE.find() is None or APP_SESSION.find() is None:
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
        MESSAGE_QUEUE.report(f"takes other messages ({error})")
        return
    app_session._enqueue_forward_msg(message)


def get_peer(session_id: str) -> tuple[str | None, Iterable[tuple[str, str]]] | None:
    """Return the remote address and the headers of a visitor's connection.

    `st.context` has neither repeated headers nor the address of this machine.

    Returns:
        `None` if the visitor has disconnected, or there is no server.
    """
    if not runtime.exists() or CLIENT.find() is None:
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
    if not runtime.exists() or ACTIVE_SESSION.find() is None:
        return True
    return runtime.get_instance().is_active_session(session_id)


def list_config_files() -> list[str]:
    """Return Streamlit's configuration files; later ones override earlier ones."""
    place = CONFIG_FILES.find()
    return [] if place is None else [*getattr(*place)("config.toml")]


def is_manually_set(option: str) -> bool:
    """Return whether an option of Streamlit is not its default."""
    place = MANUAL_OPTIONS.find()
    return place is not None and bool(getattr(*place)(option))


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
    place = ELEMENT_QUEUE.find()
    if place is None:
        return
    try:
        from streamlit.proto.Exception_pb2 import Exception as ExceptionProto

        # Streamlit's own exception element, so that page tests recognize it.
        element = ExceptionProto(message=format_unexpected_error(ex))
        getattr(*place)().main_dg._enqueue("exception", element)
    except Exception:
        logger.exception("Failure %s could not be shown", get_error_reference(ex))


def format_unexpected_error(error: BaseException) -> str:
    """Return the message for an unexpected error."""
    return (
        f"Unexpected error (reference {get_error_reference(error)}). Reload the page "
        "or use another one. The administrator finds the cause in the server log "
        "under this reference."
    )


def _replace(hook: Hook, replacement: Any) -> None:
    """Replace the attribute of a hook, if it is as in the tested version."""
    _wrap(hook, lambda _: replacement)


def _wrap(hook: Hook, make_replacement: Callable[[Any], Any]) -> None:
    """Replace the attribute of a hook by what is made from it, unless it is already."""
    place = hook.find()
    if place is None:
        return
    original = getattr(*place)
    if not hook.is_replaced_by(original):
        _applied[hook.target] = original, make_replacement(original)
        setattr(*place, _applied[hook.target][1])


def _wrap_callback_runner(original: Callable[..., None]) -> Callable[..., None]:
    def run_callback_safely(
        self: SessionState, votes: Any, run: Callable[[], None]
    ) -> None:
        def run_safely() -> None:
            try:
                run()
            except Exception as error:
                log_error(error)
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
    place = LIVE_WORKERS.find()
    return [] if place is None else [worker.pc for worker in [*getattr(*place)]]
