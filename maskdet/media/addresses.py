"""Addresses of cameras and films, and how they are shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

SCHEMES: Final = ("rtsp", "rtsps", "http", "https")
"""Addresses that can be read."""

_SECRET: Final = re.compile(
    r"((?:pass(?:w(?:or)?d)?|pwd|token|secret|auth|key|sig(?:nature)?)=)[^&;/]*", re.I
)
"""What follows such a name, in the options of an address or, as some cameras have it,
in its path: `/user=me_password=x_channel=1`."""


def checked_address(address: str) -> str:
    """Return an address of a kind that can be read.

    Raises:
        ValueError: it is of no known kind.
    """
    if urlsplit(address).scheme.lower() not in SCHEMES:
        raise ValueError(f"an address must begin with {', '.join(SCHEMES)}")
    return address


def public_name(name: str) -> str:
    """Return a source's name without the user and password of an address."""
    if "://" not in name:
        return name
    parts = urlsplit(name)
    if "@" not in parts.netloc and ":" in parts.netloc and "@" in name:
        # A password with a sign such as / that should have been written as %2F.
        parts = urlsplit(f"{parts.scheme}://{name.rpartition('@')[2]}")
    parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return _SECRET.sub(r"\1***", urlunsplit(parts))
