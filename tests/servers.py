"""Servers that a test starts as programs of their own: ports, and whether they run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.waiting import WAIT_S, wait_until

ROOT = Path(__file__).resolve().parents[1]

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


@dataclass
class Served:
    """A dashboard that `maskdet app` serves as a program of its own.

    Attributes:
        port: where it listens.
        process: the program.
        out: its output.
        err: its complaints. Both are files: a pipe that nobody reads would fill up, and
            the program would wait for ever.
    """

    port: int
    process: subprocess.Popen[str]
    out: IO[str]
    err: IO[str]

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Tell it to end; return its status, its output and its complaints."""
        self.process.send_signal(how)
        self.process.wait(timeout=WAIT_S)
        said = []
        for file in (self.out, self.err):
            file.seek(0)
            said.append(file.read())
        return self.process.returncode, said[0], said[1]


LAUNCHER = ("maskdet", "app", "--no-browser", "--port")
STREAMLIT = (
    *("streamlit", "run", str(ROOT / "app.py"), "--server.headless", "true"),
    *("--server.address", "localhost", "--server.port"),
)


@contextlib.contextmanager
def served(
    folder: Path, *words: str, command: Sequence[str] = LAUNCHER, **environment: str
) -> Iterator[Served]:
    """Serve the dashboard until the context ends.

    Args:
        folder: where it runs.
        words: more options of the command.
        command: a module and its first arguments; the port comes behind them.
        environment: variables beside those of the tests.
    """
    port = free_port()
    paths = [environment.pop("PYTHONPATH", ""), str(ROOT)]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", *command, str(port), *words],
            cwd=folder,
            env=os.environ
            | environment
            | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=out,
            stderr=err,
            text=True,
        )
        try:
            wait_until(
                lambda: process.poll() is not None or is_healthy(port), "the server"
            )
            yield Served(port, process, out, err)
        finally:
            process.kill()
            process.wait()
