"""Annotated live video: every result is sent once, and stopping does not block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from fractions import Fraction

import av
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from streamlit_webrtc import webrtc

from maskdet.web.live import processed_track
from maskdet.web.live.processed_track import ProcessedTrack
from maskdet.web.server import hooks, streamlit_patches
from tests.helpers.waiting import WAIT_S, wait_until


class Camera(MediaStreamTrack):
    """Gives frames as fast as they are read."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        self.n += 1
        frame = av.VideoFrame(16, 16, "yuv420p")
        frame.pts, frame.time_base = self.n, Fraction(1, 15)
        return frame


class Processor:
    """Returns new frames; waits for a gate in each."""

    def __init__(self) -> None:
        self.gate, self.has_ended = threading.Event(), threading.Event()
        self.gate.set()
        self.times: list[int] = []

    async def recv_queued(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        assert self.gate.wait(WAIT_S)
        assert not self.has_ended.is_set()
        self.times.append(frames[-1].pts)
        return [av.VideoFrame(16, 16, "yuv420p")]

    def on_ended(self) -> None:
        self.has_ended.set()


def test_each_frame_is_processed_and_sent_once_without_delay() -> None:
    async def play() -> tuple[list[int], list[Fraction]]:
        track = ProcessedTrack(Camera(), processor)
        frames = [await track.recv() for _ in range(5)]
        track.stop()
        return [frame.pts for frame in frames], [frame.time_base for frame in frames]

    processor = Processor()
    times, bases = asyncio.run(play())
    assert times == processor.times == [1, 2, 3, 4, 5]
    assert set(bases) == {Fraction(1, 15)}


@pytest.fixture(params=[1, 2])
def n_threads(request, monkeypatch) -> Iterator[None]:
    """With a free thread, the end could be reported before the last frame."""
    monkeypatch.setattr(processed_track, "_N_THREADS", request.param)
    processed_track._get_executor.cache_clear()
    yield
    processed_track._get_executor().shutdown()
    processed_track._get_executor.cache_clear()


@pytest.mark.usefixtures("n_threads")
def test_the_server_goes_on_while_a_frame_is_processed_and_when_it_stops() -> None:
    async def play() -> None:
        camera = Camera()
        track = ProcessedTrack(camera, processor)
        processor.gate.clear()
        reading = asyncio.ensure_future(track.recv())
        while not camera.n:
            await asyncio.sleep(0)
        camera.stop()  # as when the browser is gone
        assert track.readyState == "ended"
        track.stop()  # twice is no error
        assert not processor.has_ended.is_set()
        processor.gate.set()
        await asyncio.wait_for(reading, WAIT_S)
        with pytest.raises(MediaStreamError):
            await track.recv()

    processor = Processor()
    asyncio.run(play())
    wait_until(processor.has_ended.is_set, "the end to be reported")


def test_a_callback_that_waits_is_an_error() -> None:
    class Waiting(Processor):
        async def recv_queued(self, frames):
            await asyncio.sleep(0)
            return frames

    async def play() -> None:
        await ProcessedTrack(Camera(), Waiting()).recv()

    with pytest.raises(RuntimeError, match="must not wait"):
        asyncio.run(play())


def test_the_library_uses_it(monkeypatch) -> None:
    monkeypatch.setattr(hooks, "_applied", {})
    name = "AsyncVideoProcessTrack"
    monkeypatch.setattr(webrtc, name, getattr(webrtc, name))
    streamlit_patches.process_frames_with(ProcessedTrack)

    async def wrap() -> MediaStreamTrack:
        relay = webrtc.MediaRelay()
        return webrtc._wrap_with_processor(
            Camera(), Processor(), async_processing=True, relay=relay
        )

    assert isinstance(asyncio.run(wrap()), ProcessedTrack)
