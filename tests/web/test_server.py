"""The running server: connections, outgoing requests and upload limits."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from maskdet.events import Event
from maskdet.events.config import EVENTS_URL_VARIABLE, sqlite_url
from maskdet.events.store import EventStore
from maskdet.types import Label
from maskdet.web.server import preload, static_files, uploads
from tests.helpers.fakes import make_grey_image
from tests.helpers.mjpeg_camera import run_mjpeg_camera
from tests.helpers.servers import (
    LAUNCH_ARGUMENTS,
    STREAMLIT_ARGUMENTS,
    ServedDashboard,
    serve_dashboard,
)
from tests.helpers.waiting import WAIT_S, wait_until

MB = 2**20

# Python imports `sitecustomize` at its start. This one logs requests to other machines
# and lets them fail as without a network.
REQUEST_LOGGER = """
import os, sys
def note(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        target = args[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        target = args[1][0] if isinstance(args[1], tuple) else None
    else:
        return
    if isinstance(target, bytes):
        target = target.decode()
    if target in (None, "", "localhost", "127.0.0.1", "::1", "::", "0.0.0.0"):
        return
    with open(os.environ["REQUEST_LOG"], "a") as file:
        file.write(f"{event} {target}\\n")
    raise OSError("there is no network")
sys.addaudithook(note)
"""


@contextlib.contextmanager
def watched(
    folder: Path,
    *words: str,
    command: Sequence[str] = LAUNCH_ARGUMENTS,
    **environment: str,
) -> Iterator[ServedDashboard]:
    """Serve the dashboard; log its requests to other machines to `folder/requests`."""
    (folder / "sitecustomize.py").write_text(REQUEST_LOGGER)
    (folder / "requests").touch()
    more = {"PYTHONPATH": str(folder), "REQUEST_LOG": str(folder / "requests")}
    with serve_dashboard(
        folder, *words, command=command, **environment, **more
    ) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def events_url(folder: Path) -> str:
    """A database with one event."""
    url = sqlite_url(folder / "events.sqlite3")
    event = Event("classified", datetime.now(UTC), "Door", "run", 1, Label.MASK, 0.9)
    EventStore(url).add([event])
    return url


@pytest.fixture(scope="module")
def running(folder: Path, events_url: str) -> Iterator[ServedDashboard]:
    """A local dashboard with small upload limits."""
    limits = {uploads.VISITOR_LIMIT_VARIABLE: "8", uploads.TOTAL_LIMIT_VARIABLE: "12"}
    with watched(folder, **limits, **{EVENTS_URL_VARIABLE: events_url}) as served:
        yield served


def connected(
    running: ServedDashboard, *, host: str = "", origin: str | None = "", **headers: str
) -> ClientConnection:
    """Open the web socket of the page, with a given host and origin."""
    own = f"localhost:{running.port}"
    link = socket.create_connection(("127.0.0.1", running.port), timeout=WAIT_S)
    return connect(
        f"ws://{host or own}/_stcore/stream",
        sock=link,
        origin=f"http://{own}" if origin == "" else origin,
        subprotocols=["streamlit"],
        additional_headers={
            name.replace("_", "-"): value for name, value in headers.items()
        },
        open_timeout=WAIT_S,
        max_size=None,
        max_queue=None,
        proxy=None,
    )


def status_of(running: ServedDashboard, **how: str | None) -> int:
    """Return the status of the response to a handshake."""
    from websockets.exceptions import InvalidStatus

    try:
        with connected(running, **how):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def read_requests(folder: Path) -> str:
    return (folder / "requests").read_text()


def test_own_pages_can_connect(running) -> None:
    assert status_of(running) == 101
    own = f"127.0.0.1:{running.port}"
    assert status_of(running, host=own, origin=f"http://{own}") == 101
    assert (
        status_of(running, origin=None) == 101
    )  # not a browser, so not a foreign page
    away = f"10.0.0.7:{running.port}"
    assert status_of(running, host=away, origin=f"http://{away}") == 101


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "http://0.0.0.0:3000",
        "https://localhost",
        "null",
        "file://",
    ],
)
def test_foreign_pages_cannot_connect(running, folder, origin) -> None:
    assert status_of(running, origin=origin) == 403
    assert read_requests(folder) == ""


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example"])
def test_foreign_host_names_cannot_connect(running, host) -> None:
    name = f"{host}:{running.port}"
    assert status_of(running, host=name, origin=f"http://{name}") == 403


def link_to(running: ServedDashboard) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", running.port, timeout=WAIT_S)


def get(
    running: ServedDashboard, path: str = "/", **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    with contextlib.closing(link_to(running)) as link:
        own = {"Host": f"localhost:{running.port}"}
        link.request("GET", path, headers=own | headers)
        response = link.getresponse()
        return response.status, response.headers, response.read().decode()


def test_a_foreign_host_name_gets_one_line(running) -> None:
    status, _, text = get(running, Host="evil.example:8501")
    assert status == 403
    assert "does not accept the host name 'evil.example:8501'" in text
    assert "--allow-host" in text
    assert text.count("\n") == 1
    assert get(running, "/_stcore/health", Host="evil.example")[0] == 403
    assert get(running, Host="me@localhost")[0] == 403
    assert get(running)[0] == 200


def test_foreign_pages_cannot_embed_it(running) -> None:
    for path in ("/", "/live", "/_stcore/health", "/nothing.js"):
        headers = get(running, path)[1]
        assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_names_the_code_of_its_first_elements(running) -> None:
    for path in ("/", "/image"):
        links = get(running, path)[1]["Link"]
        files = re.findall("<([^>]+)>; rel=modulepreload", links)
        assert len(files) == links.count("<") == len(set(files))
        for name in preload._ELEMENTS:
            assert any(f"/{name}." in file for file in files), name
        assert all(get(running, file)[0] == 200 for file in files[:3])
    for path in (files[0], "/_stcore/health"):
        assert "Link" not in get(running, path)[1]


def test_browsers_get_the_code_of_streamlit_compressed(running) -> None:
    url = f"http://localhost:{running.port}"
    path = re.findall("<([^>]+)>; rel=modulepreload", get(running)[1]["Link"])[0]
    code = (static_files.STREAMLIT_FOLDER / path.removeprefix("/")).read_bytes()
    plain = requests.get(url + path, headers={"Accept-Encoding": "identity"})
    assert plain.content == code
    assert "Content-Encoding" not in plain.headers
    for _ in range(2):  # from the disk, then from memory
        response = requests.get(url + path)
        assert response.content == code
        assert response.headers["Content-Encoding"] == "gzip"
        for name in ("Cache-Control", "Content-Security-Policy"):
            assert response.headers[name] == plain.headers[name]
    # Streamlit itself responds to all else.
    assert "<!DOCTYPE html>" in requests.get(f"{url}/static/js/unknown.js").text
    assert requests.post(url + path).status_code == 405


def test_without_the_files_of_streamlit_no_code_is_named(tmp_path) -> None:
    assert preload.format_preload_header("", tmp_path) == ""


def may_delete(running: ServedDashboard, **how: str | None) -> bool:
    """Return whether the Events page offers to delete the events."""
    texts: list[str] = []
    with connected(running, **how) as connection:
        message = BackMsg()
        message.rerun_script.page_name = "events"
        connection.send(message.SerializeToString())

        def is_complete() -> bool:
            texts.append(str(ForwardMsg.FromString(connection.recv(timeout=WAIT_S))))
            return any(
                "Events can only be deleted from" in text for text in texts
            ) or any("This deletes all" in text for text in texts)

        wait_until(is_complete, "the Events page")
    return "This deletes all" in texts[-1]


def test_only_a_browser_on_this_machine_can_delete(running) -> None:
    own = f"localhost:{running.port}"
    assert may_delete(running)
    assert not may_delete(running, origin=None)
    assert not may_delete(running, X_Forwarded_For="127.0.0.1")
    assert not may_delete(running, FORWARDED="for=127.0.0.1")
    assert not may_delete(running, x_real_ip="::1")
    away = "10.0.0.7"  # the host of a proxy that keeps the name
    assert not may_delete(running, host=away, origin=f"https://{away}")
    assert may_delete(running, host=f"{own}".upper(), origin=f"http://{own}")


def test_no_visitor_can_delete_if_it_is_switched_off(tmp_path, events_url) -> None:
    with watched(
        tmp_path, "--no-local-admin", **{EVENTS_URL_VARIABLE: events_url}
    ) as running:
        assert not may_delete(running)


def test_no_visitor_can_delete_behind_a_public_name(tmp_path, events_url) -> None:
    words = ("--allow-host", "masks.example.org")
    with watched(tmp_path, *words, **{EVENTS_URL_VARIABLE: events_url}) as running:
        # Like the request of a proxy that rewrites the host and adds no header.
        assert not may_delete(running)
        name = "masks.example.org"
        assert not may_delete(running, host=name, origin=f"https://{name}")


def read_live_page(running: ServedDashboard, query: str) -> str:
    """Return what the server sends of the Live page."""
    texts: list[str] = []
    with connected(running) as connection:
        message = BackMsg()
        message.rerun_script.query_string = query
        connection.send(message.SerializeToString())
        is_complete = False
        while not is_complete:
            received = ForwardMsg.FromString(connection.recv(timeout=WAIT_S))
            texts.append(str(received))
            is_complete = received.WhichOneof("type") == "script_finished"
    return "".join(texts)


def test_a_camera_of_the_command_line_is_analyzed_without_a_visitor(tmp_path) -> None:
    with (
        run_mjpeg_camera([make_grey_image(320, 240)]) as camera,
        serve_dashboard(
            tmp_path, "--camera", f"Door={camera.url}", "--always-analyze"
        ) as running,
    ):
        wait_until(lambda: camera.n_opened, "the server to open the camera")
        # The page shows the frame rate of the camera before anybody presses Start.
        rate = re.compile(r"[1-9]\d* fps, [\d.]+ ms, [\d,]+ dropped")
        query = "source=network&camera=Door"
        wait_until(lambda: rate.search(read_live_page(running, query)), "its frames")


def n_connected(running: ServedDashboard) -> int:
    text = get(running, "/_stcore/metrics")[2]
    match = re.search(r"^active_sessions\S* (\d+)", text, re.MULTILINE)
    assert match is not None, text
    return int(match[1])


class Visitor:
    """The connection of a browser, and its uploads."""

    def __init__(self, running: ServedDashboard) -> None:
        self._running = running
        headers = get(running, "/_stcore/health")[1]
        cookies = "; ".join(headers.get_all("Set-Cookie") or ())
        match = re.search(r"_streamlit_xsrf=([^;]+)", cookies)
        self._token = match[1] if match else ""
        self._open = contextlib.ExitStack()
        self.connection = self._open.enter_context(connected(running))
        self.session = ""
        self.toasts: list[str] = []
        self.finished = False
        message = BackMsg()
        message.rerun_script.query_string = ""
        self.connection.send(message.SerializeToString())
        wait_until(lambda: self._receive() and self.session, "a session")

    def _receive(self) -> bool:
        """Receive one message of the server."""
        try:
            content = self.connection.recv(timeout=5)
        except TimeoutError:
            return True
        message = ForwardMsg.FromString(content)
        if message.WhichOneof("type") == "new_session":
            self.session = message.new_session.initialize.session_id
        self.finished |= message.WhichOneof("type") == "script_finished"
        if message.delta.new_element.HasField("toast"):
            self.toasts.append(message.delta.new_element.toast.body)
        return True

    def wait_for_page(self) -> None:
        """Wait until the page has run once."""
        wait_until(lambda: self._receive() and self.finished, "the page")

    def has_toast(self, text: str) -> bool:
        """Wait for a toast with a text."""
        wait_until(
            lambda: self._receive() and any(text in toast for toast in self.toasts),
            text,
        )
        return True

    def _request(self, method: str, file: str, body: object, **headers: str) -> int:
        link = http.client.HTTPConnection(
            "127.0.0.1", self._running.port, timeout=WAIT_S
        )
        with contextlib.closing(link):
            link.request(
                method,
                f"/_stcore/upload_file/{self.session}/{file}",
                body=body,
                headers={
                    "Host": f"localhost:{self._running.port}",
                    "Cookie": f"_streamlit_xsrf={self._token}",
                    "X-Xsrftoken": self._token,
                    "Content-Type": "multipart/form-data; boundary=b",
                    **headers,
                },
                encode_chunked=False,
            )
            return link.getresponse().status

    def send(self, file: str, size: int, *, chunked: bool = False) -> int:
        """Send a file of zeros; return the status."""
        start = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        parts = [start, *[bytes(MB // 4)] * (4 * size // MB), b"\r\n--b--\r\n"]
        if not chunked:
            return self._request("PUT", file, b"".join(parts))
        link = http.client.HTTPConnection(
            "127.0.0.1", self._running.port, timeout=WAIT_S
        )
        with contextlib.closing(link):
            link.putrequest(
                "PUT", f"/_stcore/upload_file/{self.session}/{file}", skip_host=True
            )
            for name, value in {
                "Host": f"localhost:{self._running.port}",
                "Cookie": f"_streamlit_xsrf={self._token}",
                "X-Xsrftoken": self._token,
                "Content-Type": "multipart/form-data; boundary=b",
                "Transfer-Encoding": "chunked",
            }.items():
                link.putheader(name, value)
            link.endheaders()
            with contextlib.suppress(
                OSError
            ):  # the server may have rejected it already
                for part in parts:
                    link.send(b"%x\r\n%s\r\n" % (len(part), part))
                link.send(b"0\r\n\r\n")
            return link.getresponse().status

    def remove(self, file: str) -> int:
        return self._request("DELETE", file, b"")

    def leave(self) -> None:
        self._open.close()


@pytest.fixture
def visitors(running: ServedDashboard) -> Iterator[list[Visitor]]:
    made = [Visitor(running), Visitor(running)]
    for visitor in made:
        # A run that begins drops the messages that wait, such as a toast.
        visitor.wait_for_page()
    yield made
    for visitor in made:
        for name in "abcdef":
            visitor.remove(name)
        visitor.leave()


def test_the_files_of_a_visitor_have_a_limit(visitors) -> None:
    one, _ = visitors
    assert one.send("a", 3 * MB) == 204
    assert one.send("b", 3 * MB) == 204
    assert one.send("c", 3 * MB) == 413
    assert one.has_toast("all your files together may have at most 8 MB")
    assert one.send("c", 1 * MB) == 204
    assert one.remove("a") == 204
    assert one.send("d", 3 * MB) == 204


def test_chunked_uploads_are_counted(visitors) -> None:
    one, _ = visitors
    assert one.send("a", 6 * MB, chunked=True) == 204
    assert one.send("b", 6 * MB, chunked=True) == 413
    assert one.has_toast("at most 8 MB")
    assert one.send("c", 1 * MB, chunked=True) == 204


def test_the_files_of_all_visitors_have_a_limit(visitors) -> None:
    one, two = visitors
    assert one.send("a", 7 * MB) == 204
    assert two.send("a", 4 * MB) == 204
    assert two.send("b", 3 * MB) == 413
    assert two.has_toast("upload memory of this server is full")
    assert one.remove("a") == 204
    assert two.send("b", 3 * MB) == 204


def test_a_file_can_be_sent_again(visitors) -> None:
    one, _ = visitors
    for _ in range(5):
        assert one.send("a", 3 * MB) == 204


def test_an_upload_of_a_disconnected_visitor_is_freed(running, visitors) -> None:
    one, two = visitors
    leaving = Visitor(running)
    link = socket.create_connection(("127.0.0.1", running.port), timeout=WAIT_S)
    head = (
        f"PUT /_stcore/upload_file/{leaving.session}/a HTTP/1.1\r\n"
        f"Host: localhost:{running.port}\r\n"
        f"Cookie: _streamlit_xsrf={leaving._token}\r\n"
        f"X-Xsrftoken: {leaving._token}\r\nTransfer-Encoding: chunked\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    start = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    parts = [start, *[bytes(MB)] * 7]
    with contextlib.closing(link):
        link.sendall(head.encode())
        for part in parts:
            link.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        leaving.leave()
        wait_until(lambda: n_connected(running) == 2, "the visitor to disconnect")
        link.sendall(b"b\r\n\r\n--b--\r\n\r\n\r\n0\r\n\r\n")
        assert b"204" in link.recv(1000)
    assert one.send("a", 7 * MB) == 204
    assert two.send("a", 4 * MB) == 204


def test_no_request_is_sent_at_the_start(tmp_path) -> None:
    with watched(tmp_path, "--address", "0.0.0.0") as running:
        assert status_of(running, origin="http://evil.example") == 403
        assert status_of(running) == 101
        status, out, _ = running.stop()
    assert status == 0
    assert f"http://localhost:{running.port}" in out
    assert read_requests(tmp_path) == ""


def test_the_request_log_detects_a_request(tmp_path) -> None:
    """Checks the tests above: a request of Streamlit itself is logged."""
    (tmp_path / "sitecustomize.py").write_text(REQUEST_LOGGER)
    more = {"PYTHONPATH": str(tmp_path), "REQUEST_LOG": str(tmp_path / "requests")}
    code = "from streamlit import net_util; net_util.get_external_ip()"
    command = [sys.executable, "-c", code]
    subprocess.run(command, env=os.environ | more, check=True)
    assert "checkip.amazonaws.com" in read_requests(tmp_path)


def test_allowed_hosts_can_connect(tmp_path) -> None:
    words = ("--allow-host", "masks.example.org")
    frames = {"MASKDET_FRAME_ANCESTORS": "https://example.org, https://*.example.net"}
    with watched(tmp_path, *words, **frames) as running:
        name = "masks.example.org"
        assert status_of(running, host=name, origin=f"https://{name}") == 101
        assert status_of(running, host=name, origin="https://evil.example") == 403
        ancestors = get(running, Host=name)[1]["Content-Security-Policy"]
    assert ancestors == (
        "frame-ancestors 'self' https://example.org https://*.example.net"
    )
    assert read_requests(tmp_path) == ""


def test_most_checks_work_without_the_launcher_after_the_first_visit(
    tmp_path, events_url
) -> None:
    limits = {uploads.VISITOR_LIMIT_VARIABLE: "1", EVENTS_URL_VARIABLE: events_url}
    with watched(tmp_path, command=STREAMLIT_ARGUMENTS, **limits) as running:
        visitor = Visitor(running)
        visitor.wait_for_page()
        assert visitor.send("a", 2 * MB) == 413
        visitor.leave()
        assert status_of(running, origin="http://evil.example") == 403
        assert status_of(running, origin="http://localhost:3000") == 403
        assert "frame-ancestors" in get(running)[1]["Content-Security-Policy"]
        assert may_delete(running)
        rebound = {"host": "evil.example", "origin": "http://evil.example"}
        assert not may_delete(running, **rebound)
        status, _, err = running.stop()
    assert status == 0, err
    assert read_requests(tmp_path) == ""


# As if every private attribute were gone in a later version.
NO_HOOKS = """
from maskdet.web.server.hooks import Hook
Hook.find = lambda self: self.report("is missing")
Hook.is_attribute_of = lambda self, instance: bool(self.report("is missing"))
"""


def test_the_server_works_without_any_hook_into_streamlit(tmp_path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_HOOKS)
    with serve_dashboard(tmp_path, PYTHONPATH=str(tmp_path)) as running:
        visitor = Visitor(running)
        visitor.wait_for_page()
        assert visitor.send("a", 2 * MB) == 204
        visitor.leave()
        assert get(running, "/live")[0] == 200
        # Streamlit's own check of hosts and origins is left.
        assert status_of(running, origin="http://evil.example") == 403
        assert status_of(running, host="evil.example") == 403
        status, _, err = running.stop()
    assert status == 0, err
    assert "Traceback" not in err, err
    lines = [line for line in err.splitlines() if " is missing: " in line]
    assert len(lines) > 10
    assert len(lines) == len({*lines})


def test_the_server_stops_during_an_upload(tmp_path) -> None:
    with serve_dashboard(tmp_path) as running:
        visitor = Visitor(running)
        link = socket.create_connection(("127.0.0.1", running.port), timeout=WAIT_S)
        head = (
            f"PUT /_stcore/upload_file/{visitor.session}/a HTTP/1.1\r\n"
            f"Host: localhost:{running.port}\r\n"
            f"Cookie: _streamlit_xsrf={visitor._token}\r\n"
            f"X-Xsrftoken: {visitor._token}\r\nContent-Length: 1000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b"
        )
        link.sendall(head.encode())
        time.sleep(1)
        status, _, err = running.stop(signal.SIGTERM)
        link.close()
    assert status == 0, err
    assert "Traceback" not in err, err
