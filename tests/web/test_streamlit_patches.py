"""The patches of Streamlit still apply and work.

Before an upgrade of these libraries, compare the patched code with
`maskdet/web/server/streamlit_patches.py`, then raise the versions here.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from streamlit import error_util, net_util
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.runtime import Runtime
from streamlit.runtime.scriptrunner import RerunException, StopException
from streamlit.runtime.state.session_state import SessionState
from streamlit.testing.v1 import AppTest
from streamlit.web.server import server_util
from streamlit.web.server.starlette import starlette_server, starlette_websocket
from streamlit.web.server.starlette.starlette_path_security_middleware import (
    PathSecurityMiddleware,
)

from maskdet.web.server import guard, streamlit_patches
from tests.helpers.waiting import WAIT_S

STREAMLIT, STREAMLIT_WEBRTC = "1.67", "0.79"


def test_the_installed_versions_were_checked() -> None:
    assert version("streamlit").startswith(f"{STREAMLIT}.")
    assert version("streamlit-webrtc").startswith(f"{STREAMLIT_WEBRTC}.")


def parameters(function: object) -> list[str]:
    assert callable(function)
    return [*inspect.signature(function).parameters]


def test_the_patched_functions_are_unchanged() -> None:
    """Names and arguments of the patched functions."""
    source = inspect.getsource
    assert parameters(streamlit_patches._original_path_security) == [
        *("self", "scope", "receive", "send")
    ]
    assert parameters(streamlit_patches._original_uvicorn_options) == []
    assert {"ws_max_size", "access_log"} <= {
        *streamlit_patches._original_uvicorn_options()
    }
    assert parameters(streamlit_patches._original_run_callback) == [
        "self",
        "votes",
        "run",
    ]
    assert parameters(streamlit_patches._original_stop) == ["self"]
    assert "must_stop.set()" in source(streamlit_patches._original_stop)
    assert "is_host_allowed(host)" in source(starlette_websocket)
    endpoint = source(starlette_websocket.create_websocket_handler)
    assert "_is_origin_allowed(origin, host)" in endpoint
    assert "net_util.get_internal_ip" in source(server_util.is_url_from_allowed_origins)
    handler = source(error_util.handle_user_script_exception)
    assert "_log_uncaught_app_exception(ex)" in handler
    assert "show_uncaught_app_exception(ex)" in handler
    assert "_get_uvicorn_config_kwargs()" in source(starlette_server.UvicornServer)
    files = MemoryUploadedFileManager("/")
    assert files.file_storage == {}
    from streamlit_webrtc import webrtc

    assert "_live_workers.add(self)" in source(webrtc.WebRtcWorker)


def test_address_lookups_are_disabled() -> None:
    """All of Streamlit's look-ups of its own address use two functions."""
    streamlit_patches.patch_streamlit()
    assert net_util.get_external_ip() is None
    assert net_util.get_internal_ip() is None
    assert not server_util.is_url_from_allowed_origins("http://evil.example")


def test_patches_can_be_applied_twice() -> None:
    for _ in range(2):
        streamlit_patches.patch_streamlit()
        streamlit_patches.limit_server()
    assert PathSecurityMiddleware.__call__ is streamlit_patches._call_guarded
    assert (
        streamlit_patches._original_path_security is not streamlit_patches._call_guarded
    )
    options = starlette_server._get_uvicorn_config_kwargs()
    assert options["timeout_graceful_shutdown"] == streamlit_patches._SHUTDOWN_TIMEOUT_S
    assert options["ws_max_size"] < 100 * 2**20


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

    monkeypatch.setattr(streamlit_patches, "_original_stop", stop)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        runtime = SimpleNamespace(
            _get_async_objs=lambda: SimpleNamespace(eventloop=loop)
        )
        streamlit_patches._close_and_stop(runtime)
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


def test_runtime_and_session_state_are_patched() -> None:
    streamlit_patches.patch_streamlit()
    assert Runtime.stop is streamlit_patches._close_and_stop
    assert (
        SessionState._run_callback_and_record_rerun
        is streamlit_patches._run_callback_safely
    )
    assert starlette_websocket._is_origin_allowed is guard.is_allowed_connection
    assert starlette_websocket.is_host_allowed is guard.is_allowed_host
