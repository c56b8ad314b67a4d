"""Password login in front of every page, file and connection of the dashboard.

`guard` passes each request to `respond_to_login` and each web socket to `is_admitted`.
A visitor who has sent a password gets a signed cookie with their role, which the
browser also sends when it opens the connection of the app.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final, Literal, cast, get_args
from urllib.parse import parse_qs, quote

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.types import Receive, Scope
from streamlit import config

from maskdet.html_templates import render_html
from maskdet.serving.access import parse_address
from maskdet.web.server.streamlit_patches import get_base_path

logger: Final = logging.getLogger(__name__)

PASSWORD_VARIABLE: Final = "MASKDET_PASSWORD"
"""Password of all visitors; if it is unset, everybody may enter."""

ADMIN_PASSWORD_VARIABLE: Final = "MASKDET_ADMIN_PASSWORD"
"""Password of the administrators, who have the rights of the server's own machine."""

MIN_PASSWORD_LENGTH: Final = 8

COOKIE_NAME: Final = "maskdet_login"
LOGIN_PATH: Final = "/_maskdet/login"
LOGOUT_PATH: Final = "/_maskdet/logout"

MAX_FAILURES: Final = 10
"""Wrong passwords of one address within `FAILURE_WINDOW_S`; then it must wait."""

FAILURE_WINDOW_S: Final = 60.0

Role = Literal["visitor", "admin"]

_COOKIE_AGE_S: Final = 7 * 86_400
_MAX_BODY_BYTES: Final = 4096
_MAX_ADDRESSES: Final = 10_000
HEALTH_PATH: Final = "/_stcore/health"
"""Open without a password: a health check reads only whether the server runs."""

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in - maskdet</title>
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<style>
:root {color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif}
body {display: grid; place-items: center; min-height: 90vh}
form {display: grid; gap: .75rem; width: min(20rem, 90vw)}
input, button {font: inherit; padding: .5rem}
</style></head><body><main><form method="post" action="">
<h1>maskdet</h1>
{% if problem %}<p role="alert">{{ problem }}</p>{% endif %}
<label for="password">Password</label>
<input id="password" name="password" type="password" required autofocus
 autocomplete="current-password">
<button>Log in</button>
</form></main></body></html>
"""


@dataclass(frozen=True)
class Passwords:
    """The passwords of this server.

    Attributes:
        visitor: of all visitors; empty if everybody may enter.
        admin: of the administrators; empty if there is none.
    """

    visitor: str = field(default="", repr=False)
    admin: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Passwords:
        """Read the passwords.

        Raises:
            ValueError: one is too short, or both are the same; the message is one line
                and does not repeat it.
        """
        visitor = environment.get(PASSWORD_VARIABLE, "")
        admin = environment.get(ADMIN_PASSWORD_VARIABLE, "")
        for name, password in (
            (PASSWORD_VARIABLE, visitor),
            (ADMIN_PASSWORD_VARIABLE, admin),
        ):
            if password and len(password) < MIN_PASSWORD_LENGTH:
                raise ValueError(
                    f"{name} must have at least {MIN_PASSWORD_LENGTH} characters; "
                    "`openssl rand -base64 18` makes one"
                )
        if visitor and visitor == admin:
            raise ValueError(
                f"{PASSWORD_VARIABLE} and {ADMIN_PASSWORD_VARIABLE} must differ"
            )
        return cls(visitor, admin)

    def find_role(self, password: str) -> Role | None:
        """Return the role of a password; `None` if it is wrong.

        Both are compared in constant time.
        """
        sent = password.encode()
        is_admin = hmac.compare_digest(self.admin.encode(), sent) and self.admin
        is_visitor = hmac.compare_digest(self.visitor.encode(), sent) and self.visitor
        if is_admin:
            return "admin"
        return "visitor" if is_visitor else None


class AttemptLimiter:
    """Counts wrong passwords by address; used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without attempts.

        Args:
            clock: monotonic time in seconds.
        """
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}

    def is_blocked(self, address: str) -> bool:
        """Return whether an address must wait before it tries again."""
        self._forget_old()
        return len(self._failures.get(_get_network(address), ())) >= MAX_FAILURES

    def record_failure(self, address: str) -> None:
        """Count a wrong password."""
        self._forget_old()
        times_s = self._failures.setdefault(
            _get_network(address), deque(maxlen=MAX_FAILURES)
        )
        times_s.append(self._clock())
        while len(self._failures) > _MAX_ADDRESSES:
            del self._failures[next(iter(self._failures))]

    def _forget_old(self) -> None:
        oldest_s = self._clock() - FAILURE_WINDOW_S
        for network, times_s in [*self._failures.items()]:
            while times_s and times_s[0] <= oldest_s:
                times_s.popleft()
            if not times_s:
                del self._failures[network]


_limiter: Final = AttemptLimiter()


def get_cookie_role(
    headers: Iterable[tuple[str, str]], environment: Mapping[str, str] = os.environ
) -> Role | None:
    """Return the role that the login cookie of a request has; `None` without one.

    Args:
        headers: name and value of each header.
        environment: has the passwords. A change of them ends all logins.
    """
    try:
        passwords = Passwords.from_environment(environment)
    except ValueError:
        return None
    if not (passwords.visitor or passwords.admin):
        return None
    for name, value in headers:
        if name.lower() == "cookie" and COOKIE_NAME in value:
            # `http.cookies` would stop at a malformed cookie of another program.
            signed = cookie_parser(value).get(COOKIE_NAME, "")
            try:
                role = _make_signer(passwords).loads(signed, max_age=_COOKIE_AGE_S)
            except BadSignature:
                continue
            if role in get_args(Role):
                return cast(Role, role)
    return None


def is_admitted(
    headers: Iterable[tuple[str, str]], environment: Mapping[str, str] = os.environ
) -> bool:
    """Return whether a request may enter: no password is needed, or it was sent."""
    if not environment.get(PASSWORD_VARIABLE):
        return True
    return get_cookie_role(headers, environment) is not None


async def respond_to_login(
    scope: Scope, receive: Receive, *, is_own_page: bool
) -> Response | None:
    """Return the response of the login; `None` if the request may go on to the app.

    The form is sent back to the address of the page that was asked for, which then
    opens with the choices of its link.

    Args:
        scope: see the ASGI specification, also for the next one.
        receive: returns the next part of the request.
        is_own_page: whether the page that sends a form is one of this server.
    """
    path, base_path = scope["path"], get_base_path()
    if path == base_path + HEALTH_PATH:
        return None
    if path == base_path + LOGOUT_PATH:
        response = _redirect(f"{base_path}/")
        response.delete_cookie(COOKIE_NAME, path=f"{base_path}/")
        return response
    try:
        passwords = Passwords.from_environment(os.environ)
    except ValueError as error:  # the launcher reports it; until then nobody enters
        return PlainTextResponse(f"{error}.\n", 503)
    is_login_path = path == base_path + LOGIN_PATH and bool(
        passwords.admin or passwords.visitor
    )
    headers = Headers(scope=scope)
    if is_admitted(headers.items()) and not is_login_path:
        return None
    if scope["method"] == "POST":
        return await _check_form(scope, receive, passwords, is_own_page=is_own_page)
    if scope["method"] not in ("GET", "HEAD") or "text/html" not in headers.get(
        "accept", ""
    ):
        return PlainTextResponse("Log in first.\n", 401)
    return _render_form()


async def _check_form(
    scope: Scope, receive: Receive, passwords: Passwords, *, is_own_page: bool
) -> Response:
    address = (scope.get("client") or ("unknown",))[0]
    if not is_own_page:
        return PlainTextResponse("Pages of other sites cannot log in.\n", 403)
    if _limiter.is_blocked(address):
        logger.warning("login blocked", extra={"address": address})
        wait = f"Too many wrong passwords. Try again in {FAILURE_WINDOW_S:.0f} seconds."
        response = _render_form(wait, 429)
        response.headers["Retry-After"] = f"{FAILURE_WINDOW_S:.0f}"
        return response
    form = parse_qs(await _read_body(receive))
    role = passwords.find_role(form.get("password", [""])[0])
    if role is None:
        _limiter.record_failure(address)
        logger.warning("login failed", extra={"address": address})
        return _render_form("This password is not correct.")
    logger.info("login", extra={"address": address, "role": role})
    base_path = get_base_path()
    if scope["path"] == base_path + LOGIN_PATH:
        target = f"{base_path}/"
    else:  # two slashes at the start would lead to another server
        query = scope["query_string"].decode("latin-1")
        path = "/" + quote(scope["path"].lstrip("/\\"))
        target = f"{path}?{query}" if query else path
    response = _redirect(target)
    response.set_cookie(
        COOKIE_NAME,
        _make_signer(passwords).dumps(role),
        max_age=_COOKIE_AGE_S,
        path=f"{base_path}/",
        secure=scope["scheme"] == "https",
        httponly=True,
        samesite="lax",
    )
    return response


async def _read_body(receive: Receive) -> str:
    """Return the body of a request; empty if it is too long for a form."""
    body = bytearray()
    while len(body) <= _MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body.decode("utf-8", "replace")
    return ""


def _render_form(problem: str = "", status: int = 401) -> Response:
    html = render_html(_PAGE, problem=problem)
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


def _redirect(target: str) -> Response:
    return RedirectResponse(target, 303, headers={"Cache-Control": "no-store"})


def _make_signer(passwords: Passwords) -> URLSafeTimedSerializer:
    """Return the signer of cookies; other passwords make another key.

    Streamlit's secret is random for each start of the server unless it is set. So a
    cookie does not help to guess the passwords.
    """
    secret = str(config.get_option("server.cookieSecret"))
    both = f"{len(passwords.visitor)} {passwords.visitor}{passwords.admin}"
    key = hmac.new(secret.encode(), both.encode(), hashlib.sha256).digest()
    return URLSafeTimedSerializer(key, salt=COOKIE_NAME)


def _get_network(address: str) -> str:
    """Return an address, or the network of an IPv6 address that one customer has."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return parsed.exploded[:19]
    return str(parsed or address)
