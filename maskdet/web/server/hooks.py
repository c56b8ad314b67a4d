"""Every private part of Streamlit and its libraries that the dashboard needs.

Each `Hook` names one attribute and what is lost without it; `streamlit_patches` uses
them. They were tested with `TESTED_VERSIONS`. In another version, a hook whose
attribute is missing or takes other arguments is left out: the dashboard works without
it, and one line in the log says so.
"""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

logger: Final = logging.getLogger(__name__)

TESTED_VERSIONS: Final[Mapping[str, str]] = {
    "streamlit": "1.67",
    "streamlit-webrtc": "0.79",
    "aiortc": "1.16",
    "starlette": "1.10",
}
"""Before an upgrade of a library, compare its code with the hooks; then change this."""

_applied: Final[dict[str, tuple[Any, Any]]] = {}
"""Original and replacement of each replaced hook, by its target."""

_reported: Final[set[str]] = set()
"""Targets that are in the log already."""


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

    def replace(self, replacement: Any) -> None:
        """Replace the attribute, if it is as in the tested version."""
        self.wrap(lambda _: replacement)

    def wrap(self, make_replacement: Callable[[Any], Any]) -> None:
        """Replace the attribute by what is made from it, unless it is already."""
        place = self.find()
        if place is None:
            return
        original = getattr(*place)
        if not self.is_replaced_by(original):
            _applied[self.target] = original, make_replacement(original)
            setattr(*place, _applied[self.target][1])

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
SERVER_SOCKET: Final = Hook(
    f"{_STARLETTE}.starlette_server:_bind_socket",
    "each file and message of the server may come 40 ms late",
    ("address", "port", "backlog"),
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
DISCONNECT: Final = Hook(
    f"{_RUNTIME}.disconnect_session",
    "images of the last visitor stay in memory until another one leaves",
    ("self", "session_id", "client"),
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
PROCESSED_TRACK: Final = Hook(
    "streamlit_webrtc.webrtc:AsyncVideoProcessTrack",
    "live video is late by one frame, and each frame is encoded several times",
    ("track", "processor", "stop_timeout"),
)
ENCODER: Final = Hook(
    "aiortc.codecs:Vp8Encoder", "live video takes more time on the server"
)
FRAME_EVENT: Final = Hook(
    "aiortc.contrib.media:RelayStreamTrack._new_frame_event",
    "frames that are dropped before the analysis are not counted",
)
EMOJIS: Final = Hook(
    "streamlit.emojis:ALL_EMOJIS",
    "the first visitor waits for the code of the page's icon",
)
LAST_RENDERED: Final = Hook(
    "streamlit_webrtc:WebRtcStreamerContext._last_rendered_run_count",
    "on a busy server, live video may end just after Start",
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
