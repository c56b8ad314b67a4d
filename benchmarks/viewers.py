"""Load test of the Live page with several viewers: rate, latency, CPU and memory.

Run `python benchmarks/viewers.py` from the root of the project, on an idle Linux
machine. It starts the dashboard and connects simulated viewers: each uses Streamlit's
protocol, reads the figures of the page once a second as a browser does, and sends
640 x 480 pixels at 15 frames per second with aiortc. Each frame has its number in a bar
code, which gives the latency. Three tests are available:

- `--viewers 1,2,4`: analyzed frames, latency, CPU and memory by number of viewers;
- `--reloads 20`: memory of the server while one viewer reloads the page;
- `--minutes 10`: memory of the server while viewers connect and disconnect.

`--root` names another checkout of the project; both are measured in turns, because
results of different runs are not comparable.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
import websockets
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.helpers.servers import find_free_port, is_healthy, use_loopback_for_media

ROOT = Path(__file__).resolve().parents[1]

SIZE_WH = (640, 480)
FPS = 15
WARM_UP_S = 6.0
START_TIMEOUT_S = 60.0
_CELLS = 16
_N_NUMBERS = 450
"""Longer than any latency."""
_STREAMER = "streamlit_webrtc.component.webrtc_streamer"
_UPDATES = "maskdet_updates"
_POLL_S = 1.0
_CLOCK_HZ = 90_000


class DashboardServer:
    """The dashboard of a checkout in a separate process."""

    def __init__(self, root: Path, folder: Path) -> None:
        """Start the process and wait until it responds."""
        self.port = find_free_port()
        self.log = folder / f"server-{self.port}.txt"
        script = root / "tests" / "browser" / "serve.py"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(script), str(self.port)],
                cwd=root,
                stdout=output,
                stderr=output,
                env={
                    **os.environ,
                    "PYTHONPATH": str(root),
                    "XDG_DATA_HOME": str(folder),
                    "MASKDET_MAX_VIEWERS": "99",
                },
            )
        while not is_healthy(self.port):
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.2)

    @property
    def rss_mb(self) -> float:
        """Memory of the process, in megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (row for row in status.splitlines() if row.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    @property
    def cpu_s(self) -> float:
        """CPU seconds used by the process."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()


def encode_sample() -> list[av.Packet]:
    """Encode the video that the viewers send: a sample image with several faces."""
    path = ROOT / "samples" / "group.jpg"
    image = cv2.resize(cv2.imread(str(path)), SIZE_WH, interpolation=cv2.INTER_AREA)
    return encode_numbered(image)


def encode_numbered(image: np.ndarray) -> list[av.Packet]:
    """Encode a still image with faces and the number of each frame as a bar code.

    Viewers that encode themselves would take most of the time of the machine.
    """
    codec = av.CodecContext.create("libvpx", "w")
    codec.width, codec.height, codec.pix_fmt = *SIZE_WH, "yuv420p"
    codec.bit_rate, codec.gop_size = 1_000_000, 2 * FPS
    codec.time_base = Fraction(1, FPS)
    codec.options = {"deadline": "realtime", "lag-in-frames": "0", "cpu-used": "-6"}
    packets = []
    for number in range(_N_NUMBERS):
        numbered = image.copy()
        _write_number(numbered, number)
        frame = av.VideoFrame.from_ndarray(numbered, format="bgr24")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        packets += codec.encode(frame)
    return packets


class NumberedCamera(VideoStreamTrack):
    """Sends the packets of `encode_numbered` again and again."""

    def __init__(self, packets: Sequence[av.Packet]) -> None:
        """Start with frame 0."""
        super().__init__()
        self._packets = packets
        self._begin_s = time.perf_counter()
        self._n_sent = 0
        self.sent_s: dict[int, float] = {}

    async def recv(self) -> av.Packet:
        """Wait for the time of the next frame and return it."""
        wait_s = self._begin_s + self._n_sent / FPS - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        elif wait_s < -1:  # skip frames on slow machines; no bursts
            self._begin_s = time.perf_counter() - self._n_sent / FPS
        number = self._n_sent % _N_NUMBERS
        packet = av.Packet(bytes(self._packets[number]))
        packet.pts = self._n_sent * _CLOCK_HZ // FPS
        packet.time_base = Fraction(1, _CLOCK_HZ)
        self._n_sent += 1
        self.sent_s[number] = time.perf_counter()
        return packet


def _write_number(image: np.ndarray, number: int) -> None:
    bits = [int(bit) for bit in f"{number % 2**14:014b}"]
    cells = [*bits, sum(bits) % 2, 1 - sum(bits) % 2]
    width = image.shape[1] // _CELLS
    image[-40:] = np.repeat(np.array(cells, np.uint8) * 255, width)[None, :, None]


def _get_brightness(frame: av.VideoFrame) -> np.ndarray:
    """Return the `(h, w)` brightness of a frame that was decoded, without a copy.

    Viewers take time of the machine that is measured.
    """
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def _read_number(image: np.ndarray) -> int | None:
    width = image.shape[1] // _CELLS
    row = image[-28:-12].mean(axis=0)[: width * _CELLS].reshape(_CELLS, width)
    cells = (row[:, width // 4 : -width // 4].mean(axis=1) > 127).astype(int)
    bits = cells[:14]
    if cells[14] != bits.sum() % 2 or cells[15] == cells[14]:
        return None
    return int("".join(map(str, bits)), 2)


@dataclasses.dataclass
class ReceivedFrame:
    """A frame that was received for the first time.

    Attributes:
        time_s: time of receipt.
        latency_s: time since it was sent.
    """

    time_s: float
    latency_s: float


class Viewer:
    """A simulated viewer of the Live page."""

    def __init__(self, port: int, packets: Sequence[av.Packet]) -> None:
        """Create the viewer without opening the page."""
        self._port = port
        self._address = f"ws://127.0.0.1:{port}/_stcore/stream"
        self._packets = packets
        self._message_cache: dict[str, ForwardMsg] = {}
        self._page = self._widget = ""
        self._value: dict[str, object] = _component_value()
        self._fragments: dict[str, asyncio.Task[None]] = {}
        self._run, self._updates_url = 0, ""
        self._tasks: list[asyncio.Task[None]] = []
        self._peer: RTCPeerConnection | None = None
        self._socket: websockets.ClientConnection | None = None
        self._is_offered, self._remote_sdp = asyncio.Event(), ""
        self.received: list[ReceivedFrame] = []
        self.n_updates = self.n_runs = 0
        self.ended = False

    async def open(self) -> None:
        """Open the page and wait for its Start button."""
        self._socket = await websockets.connect(
            self._address, subprotocols=["streamlit"], max_size=None
        )
        self._tasks.append(asyncio.create_task(self._receive_messages()))
        self._tasks.append(asyncio.create_task(self._poll_updates()))
        await self._rerun()
        await asyncio.wait_for(self._is_offered.wait(), START_TIMEOUT_S)

    async def start(self) -> None:
        """Press Start and begin to receive frames."""
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._camera = NumberedCamera(self._packets)
        self._peer.addTrack(self._camera)
        self._peer.on("track", lambda track: self._start_receiving(track))
        self._peer.on("connectionstatechange", self._on_connection_change)
        await self._peer.setLocalDescription(await self._peer.createOffer())
        offer = self._peer.localDescription
        self._value = _component_value(offer={"type": offer.type, "sdp": offer.sdp})
        await self._rerun()

    async def leave(self) -> None:
        """Disconnect like a closed tab."""
        for task in (*self._tasks, *self._fragments.values()):
            task.cancel()
        if self._socket is not None:
            await self._socket.close()
        if self._peer is not None:
            await self._peer.close()

    async def _rerun(self, fragment: str = "") -> None:
        self.n_runs += 1
        state = ClientState(
            query_string="mirror=false",
            page_script_hash=self._page,
            fragment_id=fragment,
            is_auto_rerun=bool(fragment),
        )
        if self._widget:
            text = json.dumps(self._value)
            state.widget_states.widgets.append(
                WidgetState(id=self._widget, json_value=text)
            )
        await self._socket.send(BackMsg(rerun_script=state).SerializeToString())

    async def _receive_messages(self) -> None:
        async for content in self._socket:
            message = ForwardMsg.FromString(content)
            if message.WhichOneof("type") == "ref_hash":
                message = self._message_cache[message.ref_hash]
            elif message.hash:
                self._message_cache[message.hash] = message
            await self._handle_message(message)

    async def _handle_message(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            if not message.metadata.run.fragment_ids:
                self._stop_fragments()
        elif kind == "navigation":
            self._page = message.navigation.page_script_hash
        elif kind == "auto_rerun":
            auto_rerun = message.auto_rerun
            if auto_rerun.fragment_id not in self._fragments:
                self._fragments[auto_rerun.fragment_id] = asyncio.create_task(
                    self._rerun_periodically(
                        auto_rerun.fragment_id, auto_rerun.interval
                    )
                )
        elif kind == "delta":
            element = message.delta.new_element
            if element.component_instance.component_name == _STREAMER:
                await self._handle_streamer(element.component_instance)
            elif element.bidi_component.component_name == _UPDATES:
                data = json.loads(element.bidi_component.json)
                if data["poll"]:
                    self._run, self._updates_url = data["run"], data["poll"]["url"]

    async def _handle_streamer(self, streamer: object) -> None:
        self._widget = streamer.id
        self._is_offered.set()
        # The key "sdp_answer_json" is defined by streamlit-webrtc.
        remote_sdp = json.loads(streamer.json_args).get("sdp_answer_json")
        if remote_sdp and remote_sdp != self._remote_sdp and self._peer is not None:
            self._remote_sdp = remote_sdp
            description_json = json.loads(remote_sdp)
            description = RTCSessionDescription(
                description_json["sdp"], description_json["type"]
            )
            # Connecting takes a while; other messages arrive meanwhile.
            self._tasks.append(
                asyncio.create_task(self._peer.setRemoteDescription(description))
            )

    async def _rerun_periodically(self, fragment: str, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await self._rerun(fragment)

    async def _poll_updates(self) -> None:
        """Read the figures, and run the page when the server asks for it."""
        reported_run = 0
        # One connection, as of a browser.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}") as link:
            while True:
                await asyncio.sleep(_POLL_S)
                if not self._updates_url:
                    continue
                with contextlib.suppress(httpx.HTTPError):
                    response = await link.get(self._updates_url)
                    update = response.raise_for_status().json()
                    self.n_updates += 1
                    must_run = update["must_run"] and update["run"] == self._run
                    if must_run and reported_run != self._run:
                        reported_run = self._run
                        await self._rerun()

    def _stop_fragments(self) -> None:
        for task in self._fragments.values():
            task.cancel()
        self._fragments.clear()

    async def _on_connection_change(self) -> None:
        assert self._peer is not None
        if self._peer.connectionState == "connected":
            self._value = _component_value(playing=True)
            await self._rerun()
        elif self._peer.connectionState in ("failed", "closed"):
            self.ended = True

    def _start_receiving(self, track: object) -> None:
        self._tasks.append(asyncio.create_task(self._receive_frames(track)))

    async def _receive_frames(self, track: object) -> None:
        last_number: int | None = None
        while True:
            frame = await track.recv()
            now_s = time.perf_counter()
            number = _read_number(_get_brightness(frame))
            if number in self._camera.sent_s and number != last_number:
                last_number = number
                received_frame = ReceivedFrame(
                    now_s, now_s - self._camera.sent_s[number]
                )
                self.received.append(received_frame)


def _component_value(*, playing: bool = False, offer: object = "") -> dict[str, object]:
    return {"playing": playing, "sdpOffer": offer, "iceCandidates": {}}


@contextlib.contextmanager
def serve_dashboard(root: Path) -> Iterator[DashboardServer]:
    """Run the dashboard of a checkout and stop it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = DashboardServer(root, Path(folder))
        try:
            yield server
        finally:
            server.stop()


@contextlib.asynccontextmanager
async def connect_viewers(
    port: int, packets: Sequence[av.Packet], n: int
) -> AsyncIterator[list[Viewer]]:
    """Start some viewers one after the other and disconnect them at the end."""
    viewers = [Viewer(port, packets) for _ in range(n)]
    try:
        for viewer in viewers:
            await viewer.open()
            await viewer.start()
        yield viewers
    finally:
        await asyncio.gather(*(viewer.leave() for viewer in viewers))


async def measure_viewers(
    server: DashboardServer, packets: Sequence[av.Packet], n: int, s: float
) -> str:
    """Return a line with the results for some viewers over some seconds."""
    async with connect_viewers(server.port, packets, n) as viewers:
        await asyncio.sleep(WARM_UP_S)
        n_runs = sum(viewer.n_runs for viewer in viewers)
        n_updates = sum(viewer.n_updates for viewer in viewers)
        begin_s, cpu_s = time.perf_counter(), server.cpu_s
        await asyncio.sleep(s)
        n_runs = sum(viewer.n_runs for viewer in viewers) - n_runs
        n_updates = sum(viewer.n_updates for viewer in viewers) - n_updates
        took_s, cpu_s = time.perf_counter() - begin_s, server.cpu_s - cpu_s
        received = [
            received_frame
            for viewer in viewers
            for received_frame in viewer.received
            if received_frame.time_s > begin_s
        ]
        half = begin_s + took_s / 2
        early = [
            received_frame.latency_s
            for received_frame in received
            if received_frame.time_s < half
        ]
        late = [
            received_frame.latency_s
            for received_frame in received
            if received_frame.time_s >= half
        ]
        ms = 1e3 * cpu_s / max(1, len(received))
        n_ended = sum(viewer.ended for viewer in viewers)
        return (
            f"{n:3d} viewers {len(received) / took_s:6.1f} analysed/s  latency s p50 "
            f"{_format_quantile(early, 0.5)} then {_format_quantile(late, 0.5)}, p95 "
            f"{_format_quantile(late, 0.95)}  {cpu_s / took_s:4.2f} cores {ms:5.1f} "
            "ms/frame "
            f"{server.rss_mb:5.0f} MB  {n_runs} runs, {n_updates} reads  "
            f"{n_ended} ended  load {os.getloadavg()[0]:.1f}"
        )


def _format_quantile(values: Sequence[float], q: float) -> str:
    return f"{np.quantile(values, q):5.2f}" if values else "  -  "


async def measure_reloads(
    server: DashboardServer, packets: Sequence[av.Packet], n: int
) -> str:
    """Return a line with the memory while one viewer reloads the page repeatedly."""
    samples = []
    for number in range(n + 1):
        async with connect_viewers(server.port, packets, 1) as (viewer,):
            deadline_s = time.perf_counter() + START_TIMEOUT_S
            while len(viewer.received) < FPS and time.perf_counter() < deadline_s:
                await asyncio.sleep(0.1)
        if number % max(1, n // 4) == 0:
            samples.append(f"{number}: {server.rss_mb:.0f}")
    return f"MB after reload {', '.join(samples)}"


async def measure_over_time(
    server: DashboardServer, packets: Sequence[av.Packet], minutes: float
) -> str:
    """Return a line with the memory while two viewers connect and disconnect."""
    samples, begin_s = [], time.monotonic()
    while (passed_s := time.monotonic() - begin_s) < 60 * minutes:
        async with connect_viewers(server.port, packets, 2):
            await asyncio.sleep(20)
        samples.append(f"{passed_s / 60:.1f} min: {server.rss_mb:.0f}")
    return f"MB after {', '.join(samples)}"


def main() -> None:
    """Run the selected tests, for each checkout in turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, action="append", default=[])
    parser.add_argument("--viewers", default="")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--reloads", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    use_loopback_for_media()
    packets = encode_sample()
    roots = [root.resolve() for root in (ROOT, *options.root)]
    jobs = [
        *(("viewers", int(n)) for n in options.viewers.split(",") if n),
        *((("reloads", options.reloads),) if options.reloads else ()),
        *((("minutes", options.minutes),) if options.minutes else ()),
    ] or [("viewers", 1), ("viewers", 4), ("reloads", 20)]
    for name, n in jobs:
        for root in roots:
            with serve_dashboard(root) as server:
                if name == "viewers":
                    work = measure_viewers(server, packets, n, options.seconds)
                elif name == "reloads":
                    work = measure_reloads(server, packets, n)
                else:
                    work = measure_over_time(server, packets, n)
                try:
                    line = asyncio.run(work)
                except (TimeoutError, OSError) as error:
                    line = f"{name} {n}: not served at all ({error!r})"
                print(f"{root}: {line}", flush=True)


if __name__ == "__main__":
    main()
