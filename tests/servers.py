"""Servers that a test starts as programs of their own: ports, and whether they run."""

from __future__ import annotations

import contextlib
import random
import socket
import urllib.request

# Below those that systems give to outgoing connections (32768 and up on Linux, 49152
# and up elsewhere): nobody else takes the port before the server is up.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with contextlib.suppress(OSError), socket.socket() as asked:
            asked.bind(("127.0.0.1", port))
            return port
    raise OSError("none of 100 ports is free")


def is_healthy(port: int) -> bool:
    """Return whether a dashboard answers at this port."""
    address = f"http://localhost:{port}/_stcore/health"
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(address, timeout=10) as answer,
    ):
        return bool(answer.status == 200)
    return False
