"""Ports for servers that a test starts as programs of their own."""

from __future__ import annotations

import contextlib
import random
import socket

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
