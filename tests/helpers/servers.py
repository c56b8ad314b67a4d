"""Start the dashboard or the HTTP API as a separate process for tests."""

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

from tests.helpers.waiting import WAIT_S, wait_until

ROOT = Path(__file__).resolve().parents[2]

# Below the ephemeral ports (from 32768 on Linux, from 49152 elsewhere), so that no
# outgoing connection takes the port before the server starts.
_PORTS = range(20_000, 32_000)


def find_free_port() -> int:
    """Return a free port of this machine."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("none of 100 ports is free")


def is_healthy(port: int, path: str = "/_stcore/health") -> bool:
    """Return whether a server responds at this port, by default a dashboard."""
    address = f"http://localhost:{port}{path}"
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(address, timeout=10) as response,
    ):
        return bool(response.status == 200)
    return False


def use_loopback_for_media() -> None:
    """Let live video of this process use 127.0.0.1, which aioice excludes."""
    import aioice.ice

    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


@dataclass
class ServedDashboard:
    """A dashboard that `maskdet app` serves in a separate process.

    Attributes:
        port: port of the server.
        process: the process.
        stdout: its standard output, a file: a pipe that is not read would block it.
        stderr: its standard error, a file.
    """

    port: int
    process: subprocess.Popen[str]
    stdout: IO[str]
    stderr: IO[str]

    def stop(
        self, signal_number: signal.Signals = signal.SIGTERM
    ) -> tuple[int, str, str]:
        """Send a signal and wait; return exit status, stdout and stderr."""
        self.process.send_signal(signal_number)
        self.process.wait(timeout=WAIT_S)
        texts = []
        for file in (self.stdout, self.stderr):
            file.seek(0)
            texts.append(file.read())
        return self.process.returncode, texts[0], texts[1]


LAUNCH_ARGUMENTS = ("maskdet", "app", "--no-browser", "--port")
STREAMLIT_ARGUMENTS = (
    *("streamlit", "run", str(ROOT / "app.py"), "--server.headless", "true"),
    *("--server.address", "localhost", "--server.port"),
)


@contextlib.contextmanager
def serve_dashboard(
    folder: Path,
    *options: str,
    command: Sequence[str] = LAUNCH_ARGUMENTS,
    **environment: str,
) -> Iterator[ServedDashboard]:
    """Serve the dashboard until the context ends.

    Args:
        folder: working folder.
        options: further options of the command.
        command: a module and its first arguments; the port is appended.
        environment: additional environment variables.
    """
    port = find_free_port()
    paths = [environment.pop("PYTHONPATH", ""), str(ROOT)]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", *command, str(port), *options],
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
            yield ServedDashboard(port, process, out, err)
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def serve_api(*options: str) -> Iterator[str]:
    """Run `maskdet serve` until the context ends; yield its URL."""
    port = find_free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "maskdet", "serve", "--port", str(port), *options],
        cwd=ROOT,
        env=os.environ | {"MASKDET_API_KEYS": ""},
    )
    try:
        wait_until(
            lambda: process.poll() is not None or is_healthy(port, "/healthz"),
            "the server",
        )
        assert process.poll() is None, "the server did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        status = process.wait(WAIT_S)
    # After its own shutdown, uvicorn ends with the signal it received.
    assert status in (0, -signal.SIGTERM)
