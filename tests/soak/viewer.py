"""A viewer of the Live page in a process that can be killed.

`python viewer.py PORT PACKETS`, where PACKETS is the file of `write_packets`, obeys the
lines of its standard input: `start`, `stop`, `reload` and `leave`. Each line that it
prints is a JSON object: `done` with the command, or once a second the `n_frames` that
arrived and their `latencies_s`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import viewers
from tests.helpers.servers import use_loopback_for_media

REMOTE_SDP_KEY = "sdp_answer_json"  # as streamlit-webrtc calls it
N_FIRST_FRAMES = 10
"""A stream has started when so many analyzed frames have arrived."""


class PressingViewer(viewers.Viewer):
    """A viewer who can also press Stop, and then Start again."""

    def __init__(self, port: int, packets: Sequence[av.Packet[Any]]) -> None:
        """Create the viewer without opening the page."""
        super().__init__(port, packets)
        self._has_remote_sdp = False

    async def stop(self) -> None:
        """Press Stop, and wait until the page shows Start again."""
        assert self._peer is not None
        await self._peer.close()
        self._peer = None
        self._value = viewers._component_value()
        await self._rerun()
        while self._has_remote_sdp:
            await asyncio.sleep(0.05)

    async def _handle_streamer(self, streamer: Any) -> None:
        self._has_remote_sdp = bool(json.loads(streamer.json_args).get(REMOTE_SDP_KEY))
        await super()._handle_streamer(streamer)


async def obey(port: int, packets: Sequence[av.Packet[Any]]) -> None:
    """Do what the lines of the standard input ask for, until there are no more."""
    commands: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=read_commands, args=[loop, commands], daemon=True).start()
    viewer = await open_page(port, packets)
    reporting = asyncio.create_task(report_frames(lambda: viewer))
    print_object(done="open")
    while True:
        command = await commands.get()
        if command == "start":
            n_before = len(viewer.received)
            await viewer.start()
            while len(viewer.received) < n_before + N_FIRST_FRAMES:
                await asyncio.sleep(0.05)
        elif command == "stop":
            await viewer.stop()
        else:
            await viewer.leave()
            if command == "leave":
                break
            viewer = await open_page(port, packets)
        print_object(done=command)
    reporting.cancel()
    print_object(done=command)


def read_commands(
    loop: asyncio.AbstractEventLoop, commands: asyncio.Queue[str]
) -> None:
    """Pass the lines of the standard input on, and end the process with the last."""
    for line in sys.stdin:
        loop.call_soon_threadsafe(commands.put_nowait, line.strip())
    # The program that measures has ended.
    os._exit(1)


async def open_page(port: int, packets: Sequence[av.Packet[Any]]) -> PressingViewer:
    """Open the Live page as a new visitor."""
    viewer = PressingViewer(port, packets)
    await viewer.open()
    return viewer


async def report_frames(get_viewer: Callable[[], PressingViewer]) -> None:
    """Print number and latencies of the frames of each second."""
    viewer, n_reported = get_viewer(), 0
    while True:
        await asyncio.sleep(1)
        if viewer is not get_viewer():
            viewer, n_reported = get_viewer(), 0
        received = viewer.received[n_reported:]
        n_reported += len(received)
        latencies_s = [round(frame.latency_s, 4) for frame in received]
        if latencies_s:
            print_object(n_frames=len(latencies_s), latencies_s=latencies_s)


def print_object(**values: object) -> None:
    """Print one line."""
    print(json.dumps(values), flush=True)


def write_packets(path: Path) -> None:
    """Write the video that all viewers send, so that only one process encodes it."""
    packets = [bytes(packet) for packet in viewers.encode_sample()]
    path.write_bytes(pickle.dumps(packets))


def main() -> None:
    """Open the page and obey."""
    logging.basicConfig(level=logging.CRITICAL)
    # A stopped stream ends the task that receives its frames with an error.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    use_loopback_for_media()
    contents = pickle.loads(Path(sys.argv[2]).read_bytes())
    asyncio.run(obey(int(sys.argv[1]), [av.Packet(content) for content in contents]))


if __name__ == "__main__":
    main()
