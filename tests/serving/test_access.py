"""Accepted hosts and origins, and requests from the server's own machine."""

from __future__ import annotations

import pytest

from maskdet.serving import access
from maskdet.serving.access import (
    ADMIN_VARIABLE,
    is_accepted_host,
    is_allowed_origin,
    is_host_pattern,
    is_local_admin_enabled,
    is_local_request,
    is_loopback,
    is_same_origin,
    parse_host,
)


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("localhost", "localhost", None),
        ("LocalHost.:8501", "localhost", 8501),
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:8501", "::1", 8501),
        ("[0:0:0:0:0:0:0:1]", "::1", None),
        ("[::ffff:127.0.0.1]:8501", "127.0.0.1", 8501),
        ("xn--maske-1ta.example", "xn--maske-1ta.example", None),
    ],
)
def test_a_valid_host_is_parsed(text, name, port) -> None:
    assert parse_host(text) == (name, port)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "localhost@evil.example",
        "evil.example@localhost",
        "user:secret@localhost:8501",
        "localhost:8501@evil.example",
        "localhost/",
        "localhost?",
        "localhost#",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:x",
        "localhost..",
        ".localhost",
        "local host",
        "localhost,evil.example",
        "::1",
        "[::1",
        "[::1]x",
        "[localhost]",
        "[fe80::1%lo]",
        "masché.example",
    ],
)
def test_a_malformed_host_is_rejected(text) -> None:
    assert parse_host(text) is None
    assert not is_accepted_host(text, [])
    assert not is_accepted_host(text, ["*"])


@pytest.mark.parametrize(
    ("name", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.evil.example", False),
        ("evil.localhost.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.1", False),
        ("2130706433", False),
        ("::1%lo", False),
        (None, False),
    ],
)
def test_only_loopback_names_and_addresses_are_loopback(name, loopback) -> None:
    assert is_loopback(name) is loopback


def headers(host="localhost:8501", origin="http://localhost:8501", **more):
    named = {"Host": host, "Origin": origin, "User-Agent": "Mozilla/5.0"}
    pairs = [(name, value) for name, value in named.items() if value is not None]
    return pairs + [(name.replace("_", "-"), value) for name, value in more.items()]


@pytest.mark.parametrize(
    ("peer", "host", "origin"),
    [
        ("127.0.0.1", "localhost:8501", "http://localhost:8501"),
        ("::1", "localhost:8501", "http://localhost:8501"),
        ("::ffff:127.0.0.1", "127.0.0.1:8501", "http://127.0.0.1:8501"),
        ("127.0.0.1", "[::1]:8501", "http://[::1]:8501"),
        ("127.0.0.1", "LOCALHOST.:8501", "http://localhost:8501"),
        ("127.0.0.1", "localhost", "https://localhost"),
        ("127.0.0.1", "localhost:443", "https://localhost"),
    ],
)
def test_a_browser_on_this_machine_is_local(peer, host, origin) -> None:
    assert is_local_request(peer, headers(host, origin))


@pytest.mark.parametrize(
    ("peer", "host", "origin"),
    [
        # From another machine, or from an unknown address.
        ("192.168.0.7", "localhost:8501", "http://localhost:8501"),
        ("::ffff:192.168.0.7", "localhost:8501", "http://localhost:8501"),
        ("", "localhost:8501", "http://localhost:8501"),
        (None, "localhost:8501", "http://localhost:8501"),
        ("localhost", "localhost:8501", "http://localhost:8501"),
        # A proxy that adds no header and keeps the host.
        ("127.0.0.1", "masks.example.org", "https://masks.example.org"),
        # A proxy that adds no header and rewrites the host.
        ("127.0.0.1", "127.0.0.1:8501", "https://masks.example.org"),
        # DNS rebinding.
        ("127.0.0.1", "evil.example:8501", "http://evil.example:8501"),
        ("127.0.0.1", "localhost.evil.example", "http://localhost.evil.example"),
        # Another page of this machine, a file, a sandbox, no page at all.
        ("127.0.0.1", "localhost:8501", "http://localhost:3000"),
        ("127.0.0.1", "localhost:8501", "http://127.0.0.1:8501"),
        ("127.0.0.1", "localhost:8501", "http://localhost"),
        ("127.0.0.1", "localhost:8501", "null"),
        ("127.0.0.1", "localhost:8501", "file://"),
        ("127.0.0.1", "localhost:8501", ""),
        ("127.0.0.1", "localhost:8501", None),
        ("127.0.0.1", None, "http://localhost:8501"),
        ("127.0.0.1", "me@localhost:8501", "http://localhost:8501"),
        ("127.0.0.1", "localhost:8501", "http://me@localhost:8501"),
        ("127.0.0.1", "localhost:8501", "http://localhost:8501/page"),
        ("127.0.0.1", "localhost:8501", "chrome-extension://localhost:8501"),
    ],
)
def test_other_requests_are_not_local(peer, host, origin) -> None:
    assert not is_local_request(peer, headers(host, origin))


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X_FORWARDED_FOR",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "Forwarded",
        "X-Real-IP",
        "X-REAL-IP",
        "Via",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Original-Forwarded-For",
    ],
)
@pytest.mark.parametrize("value", ["8.8.8.8", "127.0.0.1", "127.0.0.1, ::1", ""])
def test_a_request_through_a_proxy_is_not_local(name, value) -> None:
    assert not is_local_request("127.0.0.1", headers(**{name: value}))


def test_a_request_with_duplicate_headers_is_not_local() -> None:
    twice = [*headers(), ("X-Forwarded-For", "127.0.0.1")]
    assert not is_local_request("127.0.0.1", [*twice, ("X-Forwarded-For", "8.8.8.8")])
    assert not is_local_request("127.0.0.1", [*headers(), ("host", "localhost:8501")])
    assert not is_local_request(
        "127.0.0.1", [*headers(), ("Origin", "http://evil.example")]
    )


@pytest.mark.parametrize(
    ("host", "allowed", "accepted"),
    [
        ("localhost:8501", ["localhost"], True),
        ("LOCALHOST.", ["masks.example.org"], True),
        ("10.0.0.7:8501", ["localhost"], True),
        ("[fd00::7]", ["localhost"], True),
        ("evil.example", ["localhost"], False),
        ("evil.example.", ["localhost", "masks.example.org"], False),
        ("localhost.evil.example", ["localhost"], False),
        ("127.0.0.1.evil.example", ["127.0.0.1"], False),
        ("Masks.Example.org:443", ["masks.example.org"], True),
        ("masks.example.org.", [" MASKS.example.org "], True),
        ("a.example.org", ["*.example.org"], True),
        ("example.org", ["*.example.org"], False),
        ("evilexample.org", ["*.example.org"], False),
        ("evil.example", ["*"], True),
        ("evil.example", [], True),
        (None, ["*"], False),
    ],
)
def test_a_server_accepts_its_own_hosts_only(host, allowed, accepted) -> None:
    assert is_accepted_host(host, allowed) is accepted


def test_a_server_accepts_the_name_of_its_machine(monkeypatch) -> None:
    access._get_machine_names.cache_clear()
    monkeypatch.setattr(access.socket, "gethostname", lambda: "Desk")
    try:
        assert is_accepted_host("desk:8501", ["localhost"])
        assert is_accepted_host("desk.local", ["localhost"])
        assert not is_accepted_host("desk.evil.example", ["localhost"])
    finally:
        access._get_machine_names.cache_clear()


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://masks.example.org", "masks.example.org", True),
        ("https://masks.example.org:443", "masks.example.org", True),
        ("http://masks.example.org", "masks.example.org:80", True),
        ("https://masks.example.org", "masks.example.org:80", False),
        ("http://localhost:8502", "localhost:8501", False),
        ("http://localhost:8501", "127.0.0.1:8501", False),
        ("null", "localhost", False),
        (None, "localhost", False),
        ("http://localhost", None, False),
    ],
)
def test_origins_are_compared_with_their_port(origin, host, same) -> None:
    assert is_same_origin(origin, host) is same


@pytest.mark.parametrize(
    ("origin", "allowed", "accepted"),
    [
        ("https://example.org", ["https://example.org"], True),
        ("https://example.org", ["https://EXAMPLE.org:443/"], True),
        ("http://example.org", ["https://example.org"], False),
        ("https://example.org:8443", ["https://example.org"], False),
        ("https://example.org:8443", ["example.org"], True),
        ("https://example.org:8443", ["example.org:8443"], True),
        ("https://example.org:8443", ["example.org:8444"], False),
        ("https://a.example.org", ["example.org"], False),
        ("null", ["null"], False),
        ("https://example.org", [], False),
    ],
)
def test_an_allowed_origin_is_accepted(origin, allowed, accepted) -> None:
    assert is_allowed_origin(origin, allowed) is accepted


@pytest.mark.parametrize(
    ("text", "public", "given"),
    [
        ("", False, True),
        ("", True, False),
        ("off", False, False),
        (" OFF ", True, False),
        ("0", False, False),
        ("no", False, False),
        ("on", True, True),
        ("True", True, True),
    ],
)
def test_local_admin_rights_can_be_switched_off(text, public, given) -> None:
    assert is_local_admin_enabled({ADMIN_VARIABLE: text}, public=public) is given


def test_a_value_that_is_neither_on_nor_off_is_rejected() -> None:
    with pytest.raises(
        ValueError, match=r"MASKDET_LOCAL_ADMIN is 'fals'; accepted are on"
    ):
        is_local_admin_enabled({ADMIN_VARIABLE: "fals"}, public=False)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("masks.example.org", True),
        ("*.example.org", True),
        ("*", True),
        ("10.0.0.1", True),
        ("https://masks.example.org", False),
        ("masks.example.org:443", False),
        ("a*.example.org", False),
        ("", False),
    ],
)
def test_valid_host_patterns(text, good) -> None:
    assert is_host_pattern(text) is good
