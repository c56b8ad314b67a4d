"""The password login: pages, files and connections are closed without it."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.testing.v1 import AppTest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from maskdet.events import Event
from maskdet.events.config import EVENTS_URL_VARIABLE, sqlite_url
from maskdet.events.store import EventStore
from maskdet.serving.access import RECORDING_VARIABLE
from maskdet.types import Label
from maskdet.web import account, metrics
from maskdet.web.events import service
from maskdet.web.events.recorders import EventPreferences, Recorder
from maskdet.web.server import login
from maskdet.web.server.login import AttemptLimiter, Passwords
from tests.helpers.app import APP
from tests.helpers.servers import ROOT, ServedDashboard, serve_dashboard
from tests.helpers.waiting import WAIT_S, wait_until

VISITOR, ADMIN = "correct horse", "battery staple"
TOKEN = "t" * 20
PASSWORDS = {login.PASSWORD_VARIABLE: VISITOR, login.ADMIN_PASSWORD_VARIABLE: ADMIN}
BROWSER = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[ServedDashboard]:
    folder = tmp_path_factory.mktemp("login")
    url = sqlite_url(folder / "events.sqlite3")
    event = Event("classified", datetime.now(UTC), "Door", "run", 1, Label.MASK, 0.9)
    EventStore(url).add([event])
    environment = PASSWORDS | {
        metrics.TOKEN_VARIABLE: TOKEN,
        EVENTS_URL_VARIABLE: url,
        "MASKDET_LOG_FORMAT": "json",
    }
    with serve_dashboard(folder, "--no-local-admin", **environment) as served:
        yield served


def request(
    running: ServedDashboard, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    link = http.client.HTTPConnection("127.0.0.1", running.port, timeout=WAIT_S)
    with contextlib.closing(link):
        own = {"Host": f"localhost:{running.port}"}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        link.request(method, path, body.encode(), own | names)
        response = link.getresponse()
        return response.status, response.headers, response.read().decode()


def log_in(
    running: ServedDashboard, password: str, path: str = "/", **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    origin = {"Origin": f"http://localhost:{running.port}"}
    form = urlencode({"password": password})
    return request(running, "POST", path, form, **(origin | headers))


def get_cookie(running: ServedDashboard, password: str) -> str:
    status, headers, _ = log_in(running, password)
    assert status == 303
    return headers["Set-Cookie"].partition(";")[0]


def open_events_page(running: ServedDashboard, cookie: str) -> str:
    """Return what the server sends for the Events page."""
    origin = f"http://localhost:{running.port}"
    texts: list[str] = []
    with connect(
        f"ws://localhost:{running.port}/_stcore/stream",
        origin=origin,
        subprotocols=["streamlit"],
        additional_headers={"Cookie": cookie},
        open_timeout=WAIT_S,
        max_size=None,
        proxy=None,
    ) as link:
        message = BackMsg()
        message.rerun_script.page_name = "events"
        link.send(message.SerializeToString())

        def is_complete() -> bool:
            texts.append(str(ForwardMsg.FromString(link.recv(timeout=WAIT_S))))
            return "FINISHED_SUCCESSFULLY" in texts[-1]

        wait_until(is_complete, "the Events page")
    return "".join(texts)


def test_nothing_is_delivered_without_the_password(running) -> None:
    for path in ("/", "/events?camera=Door", "/media/a.png", "/_stcore/host-config"):
        status, headers, text = request(running, "GET", path, **BROWSER)
        assert status == 401
        assert 'type="password"' in text
        assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"
        assert headers["Cache-Control"] == "no-store"
    assert request(running, "GET", "/static/js/index.js")[0] == 401
    for method in ("PUT", "DELETE", "HEAD", "OPTIONS"):
        assert request(running, method, "/_stcore/upload_file/a/b")[0] == 401
    assert request(running, "GET", "/_stcore/health")[0] == 200
    for cookie in ("", f"{login.COOKIE_NAME}=admin", f"{login.COOKIE_NAME}=ImEi.a.b"):
        with pytest.raises(InvalidStatus):
            open_events_page(running, cookie)


def test_the_password_opens_the_page_that_was_asked_for(running) -> None:
    status, headers, _ = log_in(running, VISITOR, "/events?camera=Door%201")
    assert (status, headers["Location"]) == (303, "/events?camera=Door%201")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    cookie = cookie.partition(";")[0]
    status, _, text = request(running, "GET", "/events", Cookie=cookie, **BROWSER)
    assert (status, 'type="password"' in text) == (200, False)
    _, headers, _ = log_in(running, VISITOR, X_Forwarded_Proto="https")
    assert "Secure" in headers["Set-Cookie"]


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "//a%0d%0ab"])
def test_a_login_leads_to_no_other_server(running, path) -> None:
    location = log_in(running, VISITOR, path)[1]["Location"]
    assert location.startswith("/")
    assert location[1:2] not in ("/", "\\")


def test_the_role_of_the_password_decides_what_a_visitor_may(running) -> None:
    text = open_events_page(running, get_cookie(running, VISITOR))
    assert "logged in as a visitor" in text
    assert "Events can only be deleted from" in text
    text = open_events_page(running, get_cookie(running, ADMIN))
    assert "logged in as an administrator" in text
    assert "This deletes all" in text


def test_logging_out_deletes_the_cookie(running) -> None:
    cookie = get_cookie(running, VISITOR)
    status, headers, _ = request(running, "GET", login.LOGOUT_PATH, Cookie=cookie)
    assert (status, headers["Location"]) == (303, "/")
    assert f'{login.COOKIE_NAME}=""' in headers["Set-Cookie"]


def test_a_page_of_another_site_cannot_log_in(running) -> None:
    assert log_in(running, VISITOR, Origin="http://evil.example")[0] == 403


def test_wrong_passwords_are_logged_and_limited(running) -> None:
    away = {"X_Forwarded_For": "203.0.113.9"}  # a proxy on this machine sets it
    for _ in range(login.MAX_FAILURES):
        status, _, text = log_in(running, "wrong password", **away)
        assert status == 401
        assert "not correct" in text
    status, headers, _ = log_in(running, VISITOR, **away)
    assert (status, headers["Retry-After"]) == (429, "60")
    assert log_in(running, VISITOR)[0] == 303, "another address must not wait"
    running.stderr.seek(0)
    log = running.stderr.read()
    line = next(line for line in log.splitlines() if "login failed" in line)
    assert '"level": "warning"' in line
    assert '"address": "203.0.113.9"' in line
    assert "wrong password" not in log


def test_prometheus_reads_the_metrics_on_this_machine_or_with_the_token(
    running,
) -> None:
    status, headers, text = request(running, "GET", metrics.PATH)
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    assert "maskdet_sessions 0.0" in text
    away = {"X_Forwarded_For": "203.0.113.9"}
    own = {"Origin": "http://localhost:3000"}
    key = {"Authorization": f"Bearer {TOKEN}"}
    assert request(running, "GET", metrics.PATH, **away)[0] == 403
    assert request(running, "GET", metrics.PATH, **own)[0] == 403
    assert request(running, "GET", metrics.PATH, **away, **key)[0] == 200
    bad = {"Authorization": f"Bearer {TOKEN}x"}
    assert request(running, "GET", metrics.PATH, **away, **bad)[0] == 403


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({login.PASSWORD_VARIABLE: "short"}, "at least 8 characters"),
        ({login.ADMIN_PASSWORD_VARIABLE: "secret7"}, "at least 8 characters"),
        (dict.fromkeys(PASSWORDS, "the same one"), "must differ"),
        ({metrics.TOKEN_VARIABLE: "short"}, "at least 16 ASCII characters"),
        ({RECORDING_VARIABLE: "perhaps"}, "accepted are on and off"),
        ({"MASKDET_LOG_FORMAT": "xml"}, "accepted are text and json"),
    ],
)
def test_an_invalid_variable_is_one_line(environment, line) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "maskdet", "app", "--no-browser"],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert done.returncode
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def make_headers(role: str, passwords: dict[str, str] = PASSWORDS) -> list:
    signer = login._make_signer(Passwords.from_environment(passwords))
    return [("Cookie", f"a=b; {login.COOKIE_NAME}={signer.dumps(role)}")]


def test_another_password_ends_all_logins() -> None:
    headers = make_headers("admin")
    assert login.get_cookie_role(headers, PASSWORDS) == "admin"
    for name in PASSWORDS:
        changed = PASSWORDS | {name: "a new password"}
        assert login.get_cookie_role(headers, changed) is None
    assert login.get_cookie_role(make_headers("owner"), PASSWORDS) is None
    assert login.get_cookie_role(headers, {}) is None
    assert login.get_cookie_role([("cookie", "\x00;=;;")], PASSWORDS) is None
    ((name, cookies),) = headers
    beside = [(name, f'{{"a": "b"}}=[1, 2]; x; {cookies}')]  # of another program
    assert login.get_cookie_role(beside, PASSWORDS) == "admin"


def test_only_an_administrator_needs_a_password_if_visitors_have_none() -> None:
    environment = {login.ADMIN_PASSWORD_VARIABLE: ADMIN}
    assert login.is_admitted([], environment)
    passwords = Passwords.from_environment(environment)
    assert passwords.find_role("") is None
    assert passwords.find_role(ADMIN) == "admin"
    assert login.get_cookie_role(make_headers("admin", environment), environment)


def test_wrong_passwords_are_forgotten_after_a_while() -> None:
    now_s = 0.0
    limiter = AttemptLimiter(lambda: now_s)
    for number in range(login.MAX_FAILURES):
        limiter.record_failure(f"2001:db8:0:1::{number:x}")  # one customer has them all
    assert limiter.is_blocked("2001:db8:0:1::ffff")
    assert not limiter.is_blocked("2001:db8:0:2::1")
    for _ in range(login.MAX_FAILURES):
        limiter.record_failure("203.0.113.9")
    assert limiter.is_blocked("::ffff:203.0.113.9"), "the same address, over IPv6"
    now_s = login.FAILURE_WINDOW_S
    assert not limiter.is_blocked("2001:db8:0:1::ffff")


def test_a_page_without_a_guard_stays_closed(monkeypatch) -> None:
    """Such as the first one of `streamlit run app.py`."""
    monkeypatch.setenv(login.PASSWORD_VARIABLE, VISITOR)
    app = AppTest.from_file(str(APP), default_timeout=WAIT_S).run()
    assert [warning.value for warning in app.warning] == ["Reload this page to log in."]
    assert not app.title
    assert not app.sidebar.children


@pytest.mark.parametrize(
    ("user", "role"),
    [
        ({}, None),
        ({"email": "a@example.org"}, None),
        ({"is_logged_in": True, "email": "a@example.org"}, "visitor"),
        ({"is_logged_in": True, "email": "Boss@Example.org"}, "admin"),
        ({"is_logged_in": True, "email": "a@evil.example"}, None),
        (
            {
                "is_logged_in": True,
                "email": "boss@example.org",
                "email_verified": False,
            },
            None,
        ),
    ],
)
def test_the_address_of_a_provider_decides_the_role(monkeypatch, user, role) -> None:
    monkeypatch.setenv(account.USERS_VARIABLE, "*@example.org")
    monkeypatch.setenv(account.ADMINS_VARIABLE, "boss@example.org")
    fake = SimpleNamespace(to_dict=lambda: user)
    monkeypatch.setattr("maskdet.web.account.st.user", fake)
    assert account.get_role() == role
    app = AppTest.from_file(str(APP), default_timeout=WAIT_S)
    app.switch_page("pages/about.py").run()
    assert not app.exception
    assert bool(app.sidebar.children) == (role is not None)


@pytest.mark.parametrize("is_admin", [True, False])
def test_recording_can_be_left_to_administrators(monkeypatch, is_admin) -> None:
    monkeypatch.setattr(service, "is_admin", lambda: is_admin)
    monkeypatch.setenv(RECORDING_VARIABLE, "off")
    recorder = Recorder()
    service.apply_event_preferences(recorder, EventPreferences(sound=True))
    assert recorder.preferences.sound == is_admin
    monkeypatch.delenv(RECORDING_VARIABLE)
    assert service.may_record()
