"""A login at a provider (OpenID Connect), which is a small server of this test."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from maskdet.web.account import ADMINS_VARIABLE, USERS_VARIABLE
from tests.helpers.servers import ServedDashboard, serve_dashboard

pytest.importorskip("authlib")
jwk = pytest.importorskip("joserfc.jwk")
jwt = pytest.importorskip("joserfc.jwt")

CLIENT = "maskdet-client"


class Provider(ThreadingHTTPServer):
    """Logs in everybody as `email`, without a question.

    Attributes:
        email: address of the account.
        key: signs who has logged in.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.email = ""
        self.key = jwk.RSAKey.generate_key(2048, {"kid": "a"})
        self.url = f"http://localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/authorize":
            parameters = {"code": query["nonce"], "state": query["state"]}
            self.send_response(302)
            self.send_header(
                "Location", f"{query['redirect_uri']}?{urlencode(parameters)}"
            )
            self.end_headers()
        elif url.path == "/keys":
            self._send({"keys": [self.server.key.as_dict(private=False)]})
        else:
            issuer = self.server.url
            self._send(
                {
                    "issuer": issuer,
                    "authorization_endpoint": f"{issuer}/authorize",
                    "token_endpoint": f"{issuer}/token",
                    "jwks_uri": f"{issuer}/keys",
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        claims = {
            "iss": self.server.url,
            "aud": CLIENT,
            "sub": "1",
            "exp": int(time.time()) + 600,
            "iat": int(time.time()),
            "nonce": parse_qs(body)["code"][0],
            "email": self.server.email,
            "email_verified": True,
        }
        token = jwt.encode({"alg": "RS256", "kid": "a"}, claims, self.server.key)
        self._send({"access_token": "a", "token_type": "Bearer", "id_token": token})

    def _send(self, content: object) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests short."""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def running(
    provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedDashboard]:
    folder: Path = tmp_path_factory.mktemp("login")
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(
        f"""[auth]
redirect_uri = "http://localhost:{{port}}/oauth2callback"
cookie_secret = "{"s" * 32}"
client_id = "{CLIENT}"
client_secret = "t"
server_metadata_url = "{provider.url}/.well-known/openid-configuration"
""",
        encoding="utf-8",
    )
    environment = {
        USERS_VARIABLE: "*@example.org",
        ADMINS_VARIABLE: "boss@example.org",
        "MASKDET_EVENTS_URL": "off",
        "AUTHLIB_INSECURE_TRANSPORT": "1",
    }
    with serve_dashboard(folder, "--no-local-admin", **environment) as served:
        yield served


@pytest.mark.parametrize(
    ("email", "text"),
    [
        ("boss@example.org", "You are logged in as an administrator."),
        ("a@example.org", "You are logged in as a visitor."),
        ("a@evil.example", "a@evil.example has no access to this server."),
    ],
)
def test_the_account_at_the_provider_decides_who_may_enter(
    running: ServedDashboard,
    provider: Provider,
    open_page: Callable[..., Any],
    email: str,
    text: str,
) -> None:
    provider.email = email
    page = open_page(f"http://localhost:{running.port}/about")
    page.get_by_role("button", name="Log in").wait_for()
    assert not page.get_by_role("slider").count(), "the sidebar before the login"
    page.get_by_role("button", name="Log in").click()
    page.get_by_text(text).wait_for()
    if "no access" not in text:
        page.reload()
        page.get_by_text(text).wait_for()
        page.get_by_role("button", name="Log out").click()
        page.get_by_role("button", name="Log in").wait_for()
