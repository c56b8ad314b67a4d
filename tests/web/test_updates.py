"""What a page reads between its runs: only its own session can, until it ends."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from markupsafe import Markup
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from streamlit import config

from maskdet.web.server import guard, login, streamlit_patches, updates
from maskdet.web.server.updates import PageUpdates
from tests.helpers.waiting import wait_until

PASSWORD = "correct horse"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond like Streamlit, to every path that the guard passes on."""
    await PlainTextResponse("the page")(scope, receive, send)


def request(path: str, *, method: str = "GET", **headers: str) -> tuple[int, Any, str]:
    """Send a request through the guard; return status, headers and body."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    fields = {"host": "localhost:8501", **headers}
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(key.encode(), value.encode()) for key, value in fields.items()],
    }
    asyncio.run(guard.handle_request(app, scope, receive, send))
    start, *rest = sent
    raw = {key.decode(): value.decode() for key, value in start["headers"]}
    body = b"".join(message.get("body", b"") for message in rest)
    return start["status"], raw, body.decode()


@pytest.fixture(autouse=True)
def active(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The sessions whose browsers are connected."""
    sessions = {"a", "b"}
    monkeypatch.setattr(
        streamlit_patches, "is_session_active", lambda name: name in sessions
    )
    return sessions


def publish(session_id: str, text: str, *, must_run: bool = False) -> PageUpdates:
    page = PageUpdates(session_id)
    page.publish(lambda: {"status": Markup.escape(text)}, lambda: must_run)
    return page


def test_each_session_reads_only_its_own_updates() -> None:
    first, second = publish("a", "<one>"), publish("b", "two", must_run=True)
    assert first.url != second.url
    status, headers, body = request(first.url)
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    update = json.loads(body)
    assert update["parts"] == {"status": "&lt;one&gt;"}
    assert update["must_run"] is False
    other = json.loads(request(second.url)[2])
    assert (other["parts"], other["must_run"]) == ({"status": "two"}, True)
    assert other["run"] != update["run"]


def test_the_newest_run_of_the_page_replaces_the_one_before() -> None:
    page = publish("a", "old")
    run = page.publish(lambda: {"status": Markup("new")}, lambda: False)
    assert run.parts == {"status": "new"}
    update = json.loads(request(page.url)[2])
    assert (update["run"], update["parts"]) == (run.number, {"status": "new"})


def assert_unknown(path: str) -> None:
    status, headers, body = request(path)
    assert (status, headers["cache-control"]) == (404, "no-store")
    assert body == "This session has ended.\n"


def test_an_unknown_path_and_a_page_that_has_not_run_are_not_there() -> None:
    for token in ("", "a", "../login", "x" * 32):
        assert_unknown(updates.PATH + token)
    unpublished = PageUpdates("a")
    assert_unknown(unpublished.url)


def test_the_path_ends_with_the_session(active: set[str]) -> None:
    page = publish("a", "one")
    active.remove("a")  # the tab was closed, or the page reloaded
    assert_unknown(page.url)
    active.add("a")  # the network is back
    url = page.url
    assert request(url)[0] == 200
    del page

    def is_gone() -> bool:  # the thread that has read drops it a moment later
        gc.collect()
        return request(url)[0] == http.client.NOT_FOUND

    wait_until(is_gone, "the end of the session")


def test_only_a_get_request_reads() -> None:
    page = publish("a", "one")
    assert request(page.url, method="POST")[0] == 405
    assert request("/")[2] == request("/_maskdet/live")[2] == "the page"


@pytest.fixture
def base_path() -> Iterator[str]:
    config.set_option("server.baseUrlPath", "masks")
    yield "/masks"
    config.set_option("server.baseUrlPath", "")


def test_the_path_is_below_that_of_the_server(base_path: str) -> None:
    page = publish("a", "one")
    assert page.url.startswith(f"{base_path}{updates.PATH}")
    assert request(page.url)[0] == 200
    assert request(page.url.removeprefix(base_path))[2] == "the page"


def test_without_a_login_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    page = publish("a", "one")
    monkeypatch.setenv(login.PASSWORD_VARIABLE, PASSWORD)
    status, _, body = request(page.url)
    assert (status, body) == (http.client.UNAUTHORIZED, "Log in first.\n")
    passwords = login.Passwords.from_environment({login.PASSWORD_VARIABLE: PASSWORD})
    cookie = login._make_signer(passwords).dumps("visitor")
    assert request(page.url, cookie=f"{login.COOKIE_NAME}={cookie}")[0] == 200


def test_a_foreign_host_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    page = publish("a", "one")
    monkeypatch.setattr(guard, "is_allowed_host", lambda host: host != "evil.example")
    assert request(page.url, host="evil.example")[0] == http.client.FORBIDDEN


def test_a_failure_is_logged_and_does_not_reach_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = publish("a", "one")

    def fail() -> bool:
        raise RuntimeError("a test asked for it")

    page.publish(lambda: {}, fail)
    for _ in range(3):
        status, headers, body = request(page.url)
        assert (status, body) == (500, "No update.\n")
        assert headers["cache-control"] == "no-store"
    assert len(caplog.records) == 1, "not once a second"
