"""The hooks into Streamlit fit and work; the dashboard works without them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import inspect
import socket
import sys
import threading
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import MediaStreamTrack
from aiortc.contrib.media import MediaRelay, RelayStreamTrack
from starlette.formparsers import MultiPartParser
from streamlit import error_util, net_util, runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.runtime import Runtime
from streamlit.runtime.scriptrunner import RerunException, StopException
from streamlit.runtime.state import SafeSessionState, SessionState
from streamlit.testing.v1 import AppTest
from streamlit.web.server import server_util
from streamlit.web.server.starlette import starlette_server, starlette_websocket
from streamlit_webrtc import WebRtcStreamerContext, WebRtcStreamerState

from maskdet.web.components import to_media_url
from maskdet.web.events import service
from maskdet.web.live import page as live_page
from maskdet.web.live.encoder import LiveEncoder
from maskdet.web.live.processed_track import ProcessedTrack
from maskdet.web.live.relay import NewestFrameRelay
from maskdet.web.server import (
    guard,
    hooks,
    launch,
    navigation,
    streamlit_patches,
    uploads,
)
from maskdet.web.server.hooks import TESTED_VERSIONS, Hook
from tests.helpers.app import APP, run_app
from tests.helpers.waiting import WAIT_S

HOOKS = {name: hook for name, hook in vars(hooks).items() if isinstance(hook, Hook)}
# Attributes of instances, which their classes do not have.
OF_INSTANCES = {"FILE_STORAGE", "FRAME_EVENT", "LAST_RENDERED"}


@pytest.fixture(autouse=True)
def unpatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replaced or logged yet, whatever ran before in this process."""
    for original, (owner, name) in [
        (hooks._applied.get(hook.target, [getattr(*place)])[0], place)
        for key, hook in HOOKS.items()
        if key not in OF_INSTANCES and (place := hook.find())
    ]:
        monkeypatch.setattr(owner, name, original)
    monkeypatch.setattr(hooks, "_applied", {})
    monkeypatch.setattr(hooks, "_reported", set())
    hooks.report_untested_versions.cache_clear()


@pytest.mark.parametrize("package", TESTED_VERSIONS)
def test_the_installed_versions_were_tested(package: str) -> None:
    assert f"{version(package)}.".startswith(f"{TESTED_VERSIONS[package]}."), (
        f"{package} has changed: compare maskdet/web/server/hooks.py with "
        "its code, then name the new version in TESTED_VERSIONS"
    )


def test_another_version_is_logged_once_and_patched(monkeypatch, caplog) -> None:
    monkeypatch.setattr(hooks, "TESTED_VERSIONS", {"streamlit": "1.6"})
    for _ in range(2):
        streamlit_patches.patch_streamlit()
    installed = version("streamlit")
    assert caplog.messages == [
        f"streamlit {installed} is installed; the dashboard was tested with 1.6"
    ]
    assert net_util.get_external_ip() is None


@pytest.mark.parametrize("name", sorted(HOOKS.keys() - OF_INSTANCES))
def test_a_hook_fits_unless_its_attribute_is_gone_or_changed(
    name, monkeypatch, caplog
) -> None:
    hook = HOOKS[name]
    place = hook.find()
    assert place is not None
    assert caplog.messages == []
    with monkeypatch.context() as patch:
        patch.delattr(*place)
        # Every class still has `__init__` and `__call__`, of its own base.
        problem = "takes other arguments" if hasattr(*place) else "is missing"
        assert [hook.find() for _ in range(2)] == [None, None]
        assert caplog.messages == [f"{hook.target} {problem}: {hook.loss}"]
    caplog.clear()
    hooks._reported.clear()
    monkeypatch.setattr(*place, lambda one, more, *others: None)
    assert (hook.find() is None) is (hook.parameters is not None)
    if hook.parameters is not None:
        assert caplog.messages == [f"{hook.target} takes other arguments: {hook.loss}"]


class KeptSession:
    """A session whose browser has left."""

    id = "a"


def test_a_session_is_removed_although_no_other_visitor_leaves(monkeypatch) -> None:
    monkeypatch.setattr(streamlit_patches, "_EXPIRY_MARGIN_S", 0.01)
    storage = MemorySessionStorage(ttl_seconds=0)

    def disconnect_session(self: object, session_id: str, client: object) -> None:
        storage.save(SimpleNamespace(session=KeptSession()))

    monkeypatch.setattr(*hooks.DISCONNECT.find(), disconnect_session)
    streamlit_patches.expire_sessions()
    server = Runtime.__new__(Runtime)
    server._session_mgr = SimpleNamespace(_session_storage=storage)

    async def leave() -> None:
        server.disconnect_session("a")
        while any(isinstance(one, KeptSession) for one in gc.get_objects()):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(leave(), WAIT_S))


def test_another_storage_of_sessions_is_logged(monkeypatch, caplog) -> None:
    monkeypatch.setattr(*hooks.DISCONNECT.find(), lambda self, session_id, client: None)
    streamlit_patches.expire_sessions()
    Runtime.__new__(Runtime).disconnect_session("a")
    (line,) = warnings_of(caplog)
    assert "disconnect_session keeps sessions elsewhere" in line


class Camera(MediaStreamTrack):
    kind = "video"

    async def recv(self) -> None:
        raise AssertionError("no frame is read here")


class Session:
    """A fake of Streamlit's session, to which messages are sent."""

    def _enqueue_forward_msg(self, msg: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a running server that the hooks reach."""
    fake = SimpleNamespace(
        media_file_mgr=MediaFileManager(MemoryMediaFileStorage("/media")),
        uploaded_file_mgr=MemoryUploadedFileManager("/"),
        get_app_session=lambda session_id: Session(),
        get_client=lambda session_id: None,
        is_active_session=lambda session_id: True,
    )
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: fake)
    context = SimpleNamespace(session_id="a")
    monkeypatch.setattr(service, "get_script_run_ctx", lambda: context)


async def use_every_hook() -> None:
    """Do what the dashboard and its server do with the hooks, outside of a page."""
    hooks.EMOJIS.find()
    streamlit_patches.patch_streamlit()
    streamlit_patches.limit_server()
    streamlit_patches.send_without_delay()
    streamlit_patches.relay_frames_with(NewestFrameRelay)
    streamlit_patches.encode_video_with(LiveEncoder)
    streamlit_patches.process_frames_with(ProcessedTrack)
    reader = RelayStreamTrack(MediaRelay(), Camera(), buffered=False)
    streamlit_patches.set_frame_event(reader, asyncio.Event())
    stopped = WebRtcStreamerState(playing=False, signalling=False)
    streamlit_patches.keep_stream(WebRtcStreamerContext(None, stopped))
    guard.guard_server()
    navigation.ignore_stale_reruns()
    streamlit_patches.switch_to_app_entry()
    starlette_server._get_uvicorn_config_kwargs()
    streamlit_patches.render_error(ZeroDivisionError("there is no page"))
    streamlit_patches.show_toast("a", "rejected")
    assert streamlit_patches._list_live_peers() == []
    assert isinstance(live_page.get_frontend_key(), str)
    assert not service.is_admin()
    assert streamlit_patches.is_session_active("a")
    assert uploads.IncomingUpload("a").rejection_reason() == ""
    uploads.delete_abandoned_file("a", "file")
    assert to_media_url(b"a").startswith(("/media/", "data:image/jpeg;base64,"))
    assert launch._read_allowed_hosts() == []
    assert not guard.is_public_server()


def test_the_server_sends_small_parts_at_once() -> None:
    streamlit_patches.send_without_delay()
    with contextlib.closing(starlette_server._bind_socket("127.0.0.1", 0, 1)) as server:
        server.setblocking(True)
        with socket.create_connection(server.getsockname()):
            connection, _ = server.accept()
            with connection:
                option = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert connection.getsockopt(*option)


def gone(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a hook look for an attribute that is not there; return its line in the log.

    Streamlit itself needs most of them.
    """
    hook = dataclasses.replace(HOOKS[name], target=f"{HOOKS[name].target}_gone")
    monkeypatch.setattr(hooks, name, hook)
    return f"{hook.target} is missing: {hook.loss}"


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        entry.getMessage()
        for entry in caplog.records
        if entry.name == hooks.logger.name and entry.levelname == "WARNING"
    ]


@pytest.mark.parametrize("name", HOOKS)
def test_without_a_hook_all_others_work_and_the_log_has_one_line(
    name, server, monkeypatch, caplog
) -> None:
    line = gone(name, monkeypatch)
    for _ in range(2):
        asyncio.run(use_every_hook())
    assert warnings_of(caplog) == [line]
    # Those that belong together are replaced together.
    n_missing = int(name in REPLACED or name == "EVENT_LOOP")
    assert len(hooks._applied) == len(REPLACED) - n_missing


REPLACED = {
    *("EXTERNAL_IP", "INTERNAL_IP", "MIDDLEWARE", "HOST_CHECK", "ORIGIN_CHECK"),
    *("ERROR_LOG", "ERROR_DISPLAY", "CALLBACK", "STOP", "SERVER_OPTIONS"),
    "SERVER_SOCKET",
    *("SESSION_LOCK", "DISCONNECT", "RERUN", "SPOOL_SIZE", "RELAY", "ENCODER"),
    "PROCESSED_TRACK",
}


def test_the_dashboard_works_without_any_hook(monkeypatch, caplog) -> None:
    for name in HOOKS:
        gone(name, monkeypatch)
    # streamlit-webrtc needs a session, which AppTest does not have.
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: None
    )
    app = run_app(AppTest.from_file(str(APP), default_timeout=WAIT_S))
    assert app.title[0].value == "Live"
    assert app.sidebar.slider
    run_app(app.switch_page("pages/image.py"))
    assert app.title[0].value == "Image"
    lines = warnings_of(caplog)
    assert lines
    assert len(lines) == len(set(lines))
    assert hooks._applied == {}


def test_a_request_of_another_version_is_passed_on(monkeypatch, caplog) -> None:
    seen: list[Any] = []

    def request_rerun(self: object, client_state: object) -> None:
        seen.append(client_state)

    monkeypatch.setattr(*hooks.RERUN.find(), request_rerun)
    navigation.ignore_stale_reruns()
    requests = [object(), object(), None]
    for request in requests:
        AppSession.request_rerun(Session(), request)
    assert seen == requests
    assert len(warnings_of(caplog)) == 1


def test_the_patched_functions_are_used_as_before() -> None:
    source = inspect.getsource
    assert {"ws_max_size", "access_log"} <= {
        *starlette_server._get_uvicorn_config_kwargs()
    }
    assert "must_stop.set()" in source(Runtime.stop)
    assert "is_host_allowed(host)" in source(starlette_websocket)
    endpoint = source(starlette_websocket.create_websocket_handler)
    assert "_is_origin_allowed(origin, host)" in endpoint
    assert "net_util.get_internal_ip" in source(server_util.is_url_from_allowed_origins)
    handler = source(error_util.handle_user_script_exception)
    assert "_log_uncaught_app_exception(ex)" in handler
    assert "show_uncaught_app_exception(ex)" in handler
    assert "_get_uvicorn_config_kwargs()" in source(starlette_server.UvicornServer)
    assert "self.spool_max_size" in source(MultiPartParser)
    assert "_new_frame_event.set()" in source(MediaRelay)
    assert MemoryUploadedFileManager("/").file_storage == {}
    from streamlit_webrtc import relay, webrtc

    assert "_live_workers.add(self)" in source(webrtc.WebRtcWorker)
    assert "MediaRelay()" in source(relay.get_global_relay)


def test_address_lookups_are_disabled() -> None:
    """All of Streamlit's look-ups of its own address use two functions."""
    streamlit_patches.patch_streamlit()
    assert net_util.get_external_ip() is None
    assert net_util.get_internal_ip() is None
    assert not server_util.is_url_from_allowed_origins("http://evil.example")


def test_patches_can_be_applied_twice(server) -> None:
    originals = {name: getattr(*HOOKS[name].find()) for name in REPLACED}
    for _ in range(2):
        asyncio.run(use_every_hook())
    for name, original in originals.items():
        applied = hooks._applied[HOOKS[name].target]
        assert applied == (original, getattr(*HOOKS[name].find()))
        assert original is not applied[1]
    options = starlette_server._get_uvicorn_config_kwargs()
    assert options["timeout_graceful_shutdown"] == streamlit_patches._SHUTDOWN_TIMEOUT_S
    assert options["ws_max_size"] < 100 * 2**20
    assert starlette_websocket._is_origin_allowed is guard.is_allowed_connection
    assert starlette_websocket.is_host_allowed is guard.is_allowed_host


def test_a_toast_reaches_the_visitor(server, monkeypatch) -> None:
    messages: list[Any] = []
    monkeypatch.setattr(
        Session, "_enqueue_forward_msg", lambda self, msg: messages.append(msg)
    )
    streamlit_patches.show_toast("a", "too large")
    assert messages[0].delta.new_element.toast.body == "too large"


def test_without_the_messages_of_a_toast_there_is_one_line(
    server, monkeypatch, caplog
) -> None:
    monkeypatch.setitem(sys.modules, "streamlit.proto.RootContainer_pb2", None)
    for _ in range(2):
        streamlit_patches.show_toast("a", "too large")
    (line,) = warnings_of(caplog)
    assert "takes other messages" in line


class Peer:
    """A live video connection that closes slowly."""

    def __init__(self, done: list[str], *, broken: bool = False) -> None:
        self._done, self._broken = done, broken

    async def close(self) -> None:
        await asyncio.sleep(0.05)
        if self._broken:
            raise ConnectionError("gone already")
        self._done.append("closed")


def test_live_video_is_closed_before_the_server_stops(monkeypatch) -> None:
    done: list[str] = []
    peers = [Peer(done), Peer(done, broken=True), Peer(done)]
    workers = [SimpleNamespace(pc=peer) for peer in peers]
    webrtc = SimpleNamespace(_live_workers=workers)
    monkeypatch.setitem(sys.modules, "streamlit_webrtc.webrtc", webrtc)
    ended = asyncio.Event()

    def stop(runtime: object) -> None:
        done.append("stopped")
        ended.set()

    close_and_stop = streamlit_patches._wrap_stop(stop)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        runtime = SimpleNamespace(
            _get_async_objs=lambda: SimpleNamespace(eventloop=loop)
        )
        close_and_stop(runtime)
        await asyncio.wait_for(ended.wait(), WAIT_S)

    asyncio.run(serve())
    assert done == ["closed", "closed", "stopped"]


PAGE = """
import streamlit as st
from maskdet.web.server import streamlit_patches

streamlit_patches.patch_streamlit()

def fail():
    raise ZeroDivisionError("a secret in a callback")

@st.fragment
def part():
    if st.session_state.get("part"):
        raise KeyError("a secret in a part")
    st.write("the part")

st.sidebar.write("the sidebar")
st.button("Fail", on_click=fail)
part()
how = st.selectbox("How", ["well", "badly", "stop", "rerun"], key="how")
if how == "badly":
    raise LookupError("a secret on the page")
if how == "stop":
    st.stop()
if how == "rerun" and not st.session_state.get("again"):
    st.session_state["again"] = True
    st.rerun()
st.write("the end")
"""


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_string(PAGE, default_timeout=WAIT_S).run()


def written(page: AppTest) -> list[str]:
    return [text.value for text in [*page.sidebar.markdown, *page.main.markdown]]


def only_line(page: AppTest, caplog: pytest.LogCaptureFixture, secret: str) -> None:
    """Check that an error is shown in one line, and that the log has its cause."""
    (shown,) = page.exception
    assert shown.message.startswith("Unexpected error (reference ")
    assert "\n" not in shown.message
    assert not shown.stack_trace
    assert not shown.proto.type
    assert secret not in shown.message
    reference = shown.message.partition("(reference ")[2].partition(")")[0]
    (record,) = [entry for entry in caplog.records if reference in entry.message]
    assert record.exc_info is not None
    assert secret in str(record.exc_info[1])


def test_an_error_of_a_page_is_one_line(page, caplog) -> None:
    page.selectbox(key="how").set_value("badly").run()
    only_line(page, caplog, "a secret on the page")
    assert written(page) == ["the sidebar", "the part"]
    page.selectbox(key="how").set_value("well").run()
    assert not page.exception
    assert written(page)[-1] == "the end"


def test_an_error_of_a_callback_keeps_the_page(page, caplog) -> None:
    page.button[0].click().run()
    only_line(page, caplog, "a secret in a callback")
    assert written(page) == ["the sidebar", "the part", "the end"]


def test_an_error_of_a_fragment_keeps_the_rest(page, caplog) -> None:
    page.session_state["part"] = True
    page.run()
    only_line(page, caplog, "a secret in a part")
    assert "the sidebar" in written(page)


@pytest.mark.parametrize(("how", "end"), [("stop", False), ("rerun", True)])
def test_a_page_can_stop_and_rerun(page, how, end) -> None:
    page.selectbox(key="how").set_value(how).run()
    assert not page.exception
    assert ("the end" in written(page)) is end


@pytest.mark.parametrize("control", [StopException, RerunException])
def test_control_flow_is_not_an_error(control) -> None:
    assert not issubclass(control, Exception)


def test_two_runs_of_a_session_use_one_lock() -> None:
    streamlit_patches.use_one_lock_per_session()
    state = SessionState()
    one, other = (SafeSessionState(state, lambda: None) for _ in range(2))
    done, errors = threading.Event(), []

    def change() -> None:
        for number in range(20_000):
            one[f"key {number % 300}"] = number
            if number % 300 == 299:
                for old in range(300):
                    del one[f"key {old}"]
        done.set()

    def read() -> None:
        try:
            while not done.is_set():
                assert len(other.filtered_state) <= 300
        except RuntimeError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for work in (change, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert errors == []
    assert SafeSessionState(SessionState(), lambda: None)._lock is not one._lock
