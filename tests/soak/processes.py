"""The processes of a soak test: the dashboard that is measured, and its viewers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdet.events.config import EVENTS_URL_VARIABLE, sqlite_url
from maskdet.web.live.viewers import MAX_VIEWERS_VARIABLE
from maskdet.web.session import COLLECT_INTERVAL_S
from tests.helpers.servers import find_free_port, is_healthy
from tests.helpers.waiting import wait_until
from tests.soak.viewer import write_packets

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent

_ENDED = "ended"

_SESSION_KEPT_S = 120.0  # by Streamlit, after its browser has left

FORGET_S = _SESSION_KEPT_S + COLLECT_INTERVAL_S + 10
"""A server at rest has forgotten its visitors after this time."""

# A traceback ends with the first line that is not indented.
_TRACEBACK = re.compile(r"^Traceback \(most recent.*\n(?:[ \t].*\n)*(.*)$", re.M)

COMMAND_TIMEOUT_S = 90.0
"""A viewer that does not get its page or its first frames within this time failed."""


class SoakedServer:
    """A dashboard whose numbers are measured.

    Attributes:
        port: its port on this machine.
        events_file: its database of events.
        packets: what its viewers send.
        log: file of its output.
        pid: its process.
    """

    def __init__(self, folder: Path, n_viewers: int, wrapper: Sequence[str] = ()):
        """Start it and wait until it responds.

        Args:
            folder: gets its files.
            n_viewers: maximum number of viewers.
            wrapper: command that runs it, such as that of a tracer.
        """
        self.port = find_free_port()
        self.events_file = folder / "events.sqlite3"
        self.log = folder / "log.txt"
        self.packets = folder / "packets.pickle"
        write_packets(self.packets)
        self._figures = folder / "figures.jsonl"
        self._figures.touch()
        program = [str(FOLDER / "serve.py"), str(self.port), str(self._figures)]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*wrapper, sys.executable, *program],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                env={
                    **os.environ,
                    "XDG_DATA_HOME": str(folder),
                    EVENTS_URL_VARIABLE: sqlite_url(self.events_file),
                    MAX_VIEWERS_VARIABLE: str(n_viewers),
                },
            )
        wait_until(self._is_ready, "the dashboard")
        self.pid = int(self.read_figures()["pid"])  # not that of the wrapper

    def _is_ready(self) -> bool:
        assert self.is_running, self.log.read_text()
        return is_healthy(self.port) and bool(self.read_figures())

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def list_errors(self) -> Counter[str]:
        """Return the last lines of the tracebacks in its log, with their numbers."""
        log = self.log.read_text(errors="replace")
        return Counter(match[1][:300] for match in _TRACEBACK.finditer(log))

    def read_figures(self) -> dict[str, Any]:
        """Return the newest numbers that the server wrote itself."""
        with self._figures.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
            lines = file.read().decode().split("\n")
        # The last line may be incomplete.
        figures: dict[str, Any] = json.loads(lines[-2]) if len(lines) > 1 else {}
        return figures

    def count_visitors(self) -> int:
        """Return the number of sessions and streams."""
        figures = self.read_figures()
        return int(figures["sessions"] + figures["streams"])

    def measure(self) -> dict[str, float]:
        """Return the numbers of the process, seen from outside and from inside."""
        folder = Path(f"/proc/{self.pid}")
        status = dict(
            line.split(":", 1) for line in (folder / "status").read_text().splitlines()
        )
        inner = self.read_figures()
        return {
            "RSS, MB": int(status["VmRSS"].split()[0]) / 1024,
            "threads": int(status["Threads"]),
            "open files": len(list((folder / "fd").iterdir())),
            **{
                name: float(value)
                for name, value in inner.items()
                if isinstance(value, int) and name != "pid"
            },
        }

    def list_files(self) -> Counter[str]:
        """Return the files, sockets and pipes that it has open, without numbers."""
        names: Counter[str] = Counter()
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                names[re.sub(r":\[\d+\]$", "", str(link.readlink()))] += 1
        return names

    def kill(self) -> None:
        """Kill it, as when the power fails."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it, as a supervisor would."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self.kill()


@dataclass
class ReceivedFrames:
    """The frames that all viewers received.

    Attributes:
        rows: time, number of frames and their latencies, for each second and viewer.
    """

    rows: list[tuple[float, int, list[float]]] = field(default_factory=list)

    def latencies_since(self, time_s: float) -> list[float]:
        """Return the latencies of all frames since a time, in seconds."""
        recent = [row[2] for row in self.rows if row[0] >= time_s]
        return [latency_s for latencies_s in recent for latency_s in latencies_s]


class ViewerEndedError(Exception):
    """The process of a viewer has ended by itself."""


class ViewerProcess:
    """A viewer in a process of its own, see `viewer.py`."""

    def __init__(self, process: asyncio.subprocess.Process, frames: ReceivedFrames):
        """Read what the process prints."""
        self._process = process
        self._frames = frames
        self._done: asyncio.Queue[str] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, server: SoakedServer, frames: ReceivedFrames) -> ViewerProcess:
        """Start a process that opens the Live page.

        Raises:
            TimeoutError: the page is not complete within `COMMAND_TIMEOUT_S`.
            ViewerEndedError: the process has ended.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(FOLDER / "viewer.py")),
            *(str(server.port), str(server.packets)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        viewer = cls(process, frames)
        try:
            await viewer._wait_for("open")
        except BaseException:
            await viewer.kill()
            raise
        return viewer

    async def press(self, command: str) -> None:
        """Let the viewer do something, and wait until it is done.

        Raises:
            TimeoutError: it takes longer than `COMMAND_TIMEOUT_S`.
            ViewerEndedError: the process has ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        await self._process.stdin.drain()
        await self._wait_for(command)

    async def _wait_for(self, command: str) -> None:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            while (done := await self._done.get()) != command:
                if done == _ENDED:
                    raise ViewerEndedError("the process of a viewer has ended")

    async def kill(self) -> None:
        """Kill the process: it closes nothing, and the server gets no message."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self._reading.cancel()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            values = json.loads(line)
            if "done" in values:
                self._done.put_nowait(values["done"])
            else:
                row = (time.monotonic(), values["n_frames"], values["latencies_s"])
                self._frames.rows.append(row)
        self._done.put_nowait(_ENDED)
