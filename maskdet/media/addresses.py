"""Addresses of cameras and films, and how they are shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

URL_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")
"""Addresses that can be read."""

_SECRET_PARAMETER: Final = re.compile(
    r"((?:pass(?:w(?:or)?d)?|pwd|token|secret|auth|key|sig(?:nature)?)=)[^&;/]*", re.I
)
"""What follows such a name, in the options of an address or, as some cameras have it,
in its path: `/user=me_password=x_channel=1`."""


def validate_url(url: str) -> str:
    """Return an address of a kind that can be read.

    Raises:
        ValueError: it is of no known kind.
    """
    if urlsplit(url).scheme.lower() not in URL_SCHEMES:
        raise ValueError(f"an address must begin with {', '.join(URL_SCHEMES)}")
    return url


def redact_url(name: str) -> str:
    """Return a source's name without the user and password of an address."""
    if "://" not in name:
        return name
    url_parts = urlsplit(name)
    if "@" not in url_parts.netloc and ":" in url_parts.netloc and "@" in name:
        # A password with a sign such as / that should have been written as %2F.
        url_parts = urlsplit(f"{url_parts.scheme}://{name.rpartition('@')[2]}")
    url_parts = url_parts._replace(netloc=url_parts.netloc.rpartition("@")[2])
    return _SECRET_PARAMETER.sub(r"\1***", urlunsplit(url_parts))
