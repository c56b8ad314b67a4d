"""Access control: accepted hosts and origins, and requests from this machine.

A browser sends the name of the server in the header `Host` and the origin of the page
in `Origin`. Checking both protects people who run the dashboard on their own machine:
a foreign page can neither reach it under another name (DNS rebinding) nor open a
connection to it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

ADMIN_VARIABLE: Final = "MASKDET_LOCAL_ADMIN"
"""`off`: visitors on the server's own machine have no extra rights; `on`: they may
delete events and send alerts to any host. See `is_local_admin_enabled`."""

RECORDING_VARIABLE: Final = "MASKDET_VISITOR_EVENTS"
"""`off`: only administrators may record events and set alerts."""

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
"""Prefixes of header names that proxies add. Behind a proxy, every visitor has the
address of the proxy."""

_HOST_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_ORIGIN: Final = re.compile(r"(https?)://(.+)")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_PORT: Final = 65_535


class Host(NamedTuple):
    """A parsed header `Host`.

    Attributes:
        name: lower case, without brackets and without a trailing dot; an IPv4-mapped
            IPv6 address is converted to IPv4.
        port: `None` if the header has none: the default port of the scheme.
    """

    name: str
    port: int | None


def parse_host(text: str | None) -> Host | None:
    """Parse a header `Host`; return `None` if it is malformed.

    A user name, a path, a zone and a port out of range are malformed.
    """
    match = _HOST.fullmatch((text or "").lower())
    if match is None:
        return None
    bracketed = match[1].startswith("[")
    address = parse_address(match[1].strip("[]"))
    if bracketed and address is None:
        return None
    if address is None and not _HOST_NAME.fullmatch(match[1]):
        return None
    port = int(match[2]) if match[2] else None
    if port is not None and not 1 <= port <= _MAX_PORT:
        return None
    name = match[1].removesuffix(".") if address is None else str(address)
    return Host(name, port)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an IP address; return `None` for anything else, also for zones.

    An IPv4-mapped IPv6 address is converted to IPv4.
    """
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_loopback(name: str | None) -> bool:
    """Return whether a host name or an address is a loopback address."""
    if name is None:
        return False
    address = parse_address(name)
    return name == "localhost" if address is None else address.is_loopback


def is_host_pattern(text: str) -> bool:
    """Return whether a text is a valid entry of a list of allowed hosts.

    Valid are a name, an address, `*.` and a name, and `*`.
    """
    text = text.strip()
    host = parse_host(text.removeprefix("*."))
    return text == "*" or (host is not None and host.port is None)


def is_accepted_host(host: str | None, allowed: Collection[str]) -> bool:
    """Return whether a server accepts requests with a header `Host`.

    It accepts IP addresses, `localhost` and the machine's own name, as a foreign page
    cannot redirect those to another server, and the allowed names.

    Args:
        host: the header.
        allowed: names, or patterns such as `*.example.org`; `*` allows all. An empty
            list allows every well-formed host.
    """
    parsed = parse_host(host)
    if parsed is None:
        return False
    name = parsed.name
    if (
        not allowed
        or is_loopback(name)
        or parse_address(name)
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
    """Return whether a page was loaded from the server it connects to, port included.

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


def has_proxy_header(headers: Iterable[tuple[str, str]]) -> bool:
    """Return whether a header of a request, given as name and value, is of a proxy."""
    return any(name.lower().startswith(_PROXY_HEADER_PREFIXES) for name, _ in headers)


def is_local_request(peer: str | None, headers: Iterable[tuple[str, str]]) -> bool:
    """Return whether a visitor's browser runs on the server's own machine.

    Peer, `Host` and `Origin` must all be loopback addresses, and no header may be one
    of a proxy. A program that forges its headers and connects through a proxy that
    rewrites `Host` and adds no header cannot be detected; see `is_local_admin_enabled`.

    Args:
        peer: the remote address of the connection.
        headers: name and value of each header of the handshake.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    if has_proxy_header((name, "") for name in values):
        return False
    hosts, origins = values.get("host", []), values.get("origin", [])
    if len(hosts) != 1 or len(origins) != 1:
        return False
    host = parse_host(hosts[0])
    return (
        parse_address(peer or "") is not None
        and is_loopback(peer)
        and host is not None
        and is_loopback(host.name)
        and is_same_origin(origins[0], hosts[0])
    )


def is_local_admin_enabled(environment: Mapping[str, str], *, public: bool) -> bool:
    """Return whether visitors on the server's own machine have admin rights.

    Args:
        environment: may set `ADMIN_VARIABLE`.
        public: whether the server has a name or an origin for other machines. Then
            there is a proxy, and the default is `False`.

    Raises:
        ValueError: the variable is neither on nor off; the message is one line.
    """
    switch = parse_switch(environment, ADMIN_VARIABLE)
    return not public if switch is None else switch


def parse_switch(environment: Mapping[str, str], name: str) -> bool | None:
    """Return the value of a variable that is on or off; `None` if it is unset.

    Raises:
        ValueError: it is neither on nor off; the message is one line.
    """
    text = environment.get(name, "").strip().lower()
    if not text:
        return None
    if text not in _ON | _OFF:
        raise ValueError(
            f"{name} is {text!r}; accepted are on and off, or leave it unset"
        )
    return text in _ON


def _parse_origin(text: str | None) -> tuple[str, str, int] | None:
    """Return scheme, name and port of an http(s) origin; `None` for anything else."""
    match = _ORIGIN.fullmatch((text or "").lower())
    host = parse_host(match[2]) if match else None
    if match is None or host is None:
        return None
    return match[1], host.name, host.port or _DEFAULT_PORTS[match[1]]


@cache
def _get_machine_names() -> frozenset[str]:
    """Return this machine's host names, without a DNS query."""
    name = socket.gethostname().lower().removesuffix(".")
    return frozenset({name, f"{name}.local"} if name else ())
