"""Who may open the dashboard, and who counts as being on the server's own machine.

A browser says in the header `Host` which server it believes to talk to, and in
`Origin` from which page it does. Both protect people who run the dashboard on their
own machine: a page of a stranger can neither borrow the dashboard's name (DNS
rebinding) nor open its connection from another page.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

ADMIN_VARIABLE: Final = "MASKDET_LOCAL_ADMIN"
"""`off`: visitors on the server's own machine may do no more than all others; `on`:
they may delete events and have alerts sent to any host. See `gives_local_admin`."""

_ON: Final = frozenset({"on", "1", "true", "yes"})
_OFF: Final = frozenset({"off", "0", "false", "no"})

_PROXY_HEADER_PREFIXES: Final = (
    "forwarded",
    "via",
    "x-forwarded",
    "x-original-",
    "x-real-",
    "x-client-",
    "x-cluster-",
    "x-proxy",
    "x-envoy-",
    "x-amzn-",
    "x-appengine-",
    "x-arr-",
    "x-azure-",
    "cf-",
    "fastly-",
    "fly-",
    "true-client-",
)
"""How the names of headers begin that proxies add. Behind a proxy, the address of
every visitor is the proxy's."""

_HOST_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_ORIGIN: Final = re.compile(r"(https?)://(.+)")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_PORT: Final = 65_535


class Host(NamedTuple):
    """What a header `Host` says.

    Attributes:
        name: lower case, without brackets and without a dot at its end; an IPv4
            address that is written as IPv6 is written as IPv4.
        port: `None` if the header has none, which is the scheme's usual one.
    """

    name: str
    port: int | None


def parse_host(text: str | None) -> Host | None:
    """Return what a header `Host` says, or `None` if it is not well formed.

    A user name, a path, a zone or a port out of range is not well formed.
    """
    match = _HOST.fullmatch((text or "").lower())
    if match is None:
        return None
    bracketed = match[1].startswith("[")
    address = _parse_address(match[1].strip("[]"))
    if bracketed and address is None:
        return None
    if address is None and not _HOST_NAME.fullmatch(match[1]):
        return None
    port = int(match[2]) if match[2] else None
    if port is not None and not 1 <= port <= _MAX_PORT:
        return None
    name = match[1].removesuffix(".") if address is None else str(address)
    return Host(name, port)


def is_loopback(name: str | None) -> bool:
    """Return whether a host name or an address always means the same machine."""
    if name is None:
        return False
    address = _parse_address(name)
    return name == "localhost" if address is None else address.is_loopback


def is_host_pattern(text: str) -> bool:
    """Return whether a text can be in a list of allowed hosts.

    That is a name, an address, a name behind `*.`, or `*` alone.
    """
    text = text.strip()
    host = parse_host(text.removeprefix("*."))
    return text == "*" or (host is not None and host.port is None)


def is_accepted_host(host: str | None, allowed: Collection[str]) -> bool:
    """Return whether a server answers to what a header `Host` says.

    It answers to addresses, to `localhost` and to the machine's own name, as no
    stranger can make a browser use those for another server, and to what is allowed.

    Args:
        host: the header.
        allowed: names, or endings such as `*.example.org`; `*` allows all. An empty
            list allows all that is well formed.
    """
    parsed = parse_host(host)
    if parsed is None:
        return False
    name = parsed.name
    if (
        not allowed
        or is_loopback(name)
        or _parse_address(name)
        or name in _get_machine_names()
    ):
        return True
    for pattern in allowed:
        normalized = pattern.strip().lower().removesuffix(".")
        if normalized == "*" or normalized == name:
            return True
        if normalized.startswith("*.") and name.endswith(normalized[1:]):
            return True
    return False


def is_same_origin(origin: str | None, host: str | None) -> bool:
    """Return whether a page comes from the server that it talks to, port included.

    Args:
        origin: the header `Origin`.
        host: the header `Host`.
    """
    page, server = _parse_origin(origin), parse_host(host)
    if page is None or server is None:
        return False
    scheme, name, port = page
    return (name, port) == (server.name, server.port or _DEFAULT_PORTS[scheme])


def is_allowed_origin(origin: str, allowed: Collection[str]) -> bool:
    """Return whether a page's origin is in a list.

    Args:
        origin: the header `Origin`.
        allowed: origins such as `https://example.org`, or hosts with or without a port.
    """
    page = _parse_origin(origin)
    if page is None:
        return False
    _, name, port = page
    for text in allowed:
        allowed_origin = _parse_origin(text.strip().rstrip("/"))
        if allowed_origin == page:
            return True
        host = parse_host(text.strip()) if allowed_origin is None else None
        if host == (name, None) or host == (name, port):
            return True
    return False


def is_local_request(peer: str | None, headers: Iterable[tuple[str, str]]) -> bool:
    """Return whether a visitor's browser runs on the server's own machine.

    Peer, `Host` and `Origin` must all be of this machine, and no header may come from
    a proxy. A program that makes up its headers and reaches the server through a proxy
    that rewrites `Host` and adds nothing cannot be told apart; see
    `is_local_admin_enabled`.

    Args:
        peer: the address that the connection comes from.
        headers: name and value of each header of the handshake.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    if any(name.startswith(_PROXY_HEADER_PREFIXES) for name in values):
        return False
    hosts, origins = values.get("host", []), values.get("origin", [])
    if len(hosts) != 1 or len(origins) != 1:
        return False
    host = parse_host(hosts[0])
    return (
        _parse_address(peer or "") is not None
        and is_loopback(peer)
        and host is not None
        and is_loopback(host.name)
        and is_same_origin(origins[0], hosts[0])
    )


def is_local_admin_enabled(environment: Mapping[str, str], *, public: bool) -> bool:
    """Return whether visitors on the server's own machine may do more than others.

    Args:
        environment: may say so under `ADMIN_VARIABLE`.
        public: whether the server has a name or an origin for other machines. Then
            there is a proxy, and the answer is no unless the environment says so.

    Raises:
        ValueError: the variable has another value; the message is one line.
    """
    text = environment.get(ADMIN_VARIABLE, "").strip().lower()
    if text and text not in _ON | _OFF:
        raise ValueError(
            f"{ADMIN_VARIABLE} is {text!r}; wanted on or off, or no such variable"
        )
    return text in _ON if text else not public


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, or `None` for anything else; zones are refused."""
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _parse_origin(text: str | None) -> tuple[str, str, int] | None:
    """Return scheme, name and port of an origin; `None` for all but http and https."""
    match = _ORIGIN.fullmatch((text or "").lower())
    host = parse_host(match[2]) if match else None
    if match is None or host is None:
        return None
    return match[1], host.name, host.port or _DEFAULT_PORTS[match[1]]


@cache
def _get_machine_names() -> frozenset[str]:
    """Return this machine's names, as it knows them itself; nobody is asked."""
    name = socket.gethostname().lower().removesuffix(".")
    return frozenset({name, f"{name}.local"} if name else ())
