"""The relay of live video gives the newest frame and counts the dropped ones."""

from __future__ import annotations

import asyncio
import dataclasses
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
import streamlit_webrtc.eventloop
import streamlit_webrtc.relay
from aiortc import MediaStreamTrack
from aiortc.contrib.media import MediaRelay
from aiortc.mediastreams import MediaStreamError
from streamlit_webrtc.models import CallbackAttachableProcessor
from streamlit_webrtc.webrtc import _wrap_with_processor

from maskdet.serving.preferences import Preferences
from maskdet.types import Scene
from maskdet.web.live.frames import make_callback
from maskdet.web.live.relay import (
    NewestFrameRelay,
    _NewestFrameTrack,
    count_dropped_frames,
)
from maskdet.web.live.state import LiveState, LiveStats
from maskdet.web.server import hooks, streamlit_patches
from tests.helpers.waiting import WAIT_S


class Source(MediaStreamTrack):
    """A camera that is faster than its reader; frames may come in bursts."""

    kind = "video"

    def __init__(self, burst: int = 1, every_s: float = 0.001) -> None:
        super().__init__()
        self.n, self._burst, self._every_s = 0, burst, every_s

    async def recv(self) -> av.VideoFrame:
        if self.n % self._burst == 0:
            await asyncio.sleep(self._every_s)
        self.n += 1
        frame = av.VideoFrame.from_ndarray(
            np.zeros((16, 16, 3), np.uint8), format="bgr24"
        )
        frame.pts, frame.time_base = self.n, Fraction(1, 1000)
        return frame


@pytest.fixture
def library_relay(monkeypatch: pytest.MonkeyPatch):
    """A function that returns the relay of streamlit-webrtc."""

    def relay() -> MediaRelay:
        objects = SimpleNamespace(eventloop=asyncio.get_running_loop())
        running = SimpleNamespace(_get_async_objs=lambda: objects)
        runtime = SimpleNamespace(instance=lambda: running)
        monkeypatch.setattr(streamlit_webrtc.relay, "Runtime", runtime)
        monkeypatch.setattr(streamlit_webrtc.eventloop, "Runtime", runtime)
        return streamlit_webrtc.relay.get_global_relay()

    monkeypatch.setattr(
        streamlit_webrtc.relay, "MediaRelay", streamlit_webrtc.relay.MediaRelay
    )
    streamlit_patches.relay_frames_with(NewestFrameRelay)
    return relay


def test_a_slow_reader_gets_the_newest_frame(
    library_relay,
) -> None:
    async def read() -> tuple[list[int], int]:
        source = Source()
        reader = library_relay().subscribe(source)  # as the library subscribes
        lags, n_frames = [], 0
        for _ in range(20):
            frame = await asyncio.wait_for(reader.recv(), WAIT_S)
            lags.append(source.n - frame.pts)
            n_frames += 1 + count_dropped_frames(frame)
            assert n_frames == frame.pts, "each frame was given or counted"
            await asyncio.sleep(0.03)
        reader.stop()
        source.stop()
        return lags, n_frames

    lags, n_frames = asyncio.run(read())
    assert n_frames > 40, "the camera was faster"
    assert max(lags) <= 2


def test_frames_dropped_by_the_relay_are_counted(
    library_relay,
) -> None:
    class Nothing:
        def analyze(self, image, settings=None) -> Scene:
            return Scene.empty()

    async def play() -> tuple[Source, LiveStats]:
        state = LiveState(Preferences())
        run = state.get_or_create_session("nothing", Nothing())
        processor = CallbackAttachableProcessor(None, make_callback(state, run), None)
        source, relay = Source(burst=4, every_s=0.02), library_relay()
        track = _wrap_with_processor(
            source, processor, async_processing=True, relay=relay
        )
        out = relay.subscribe(track)
        for _ in range(20):
            await asyncio.wait_for(out.recv(), WAIT_S)
        stats = state.get_stats()
        track.stop()
        source.stop()
        return source, stats

    source, stats = asyncio.run(play())
    assert stats.has_started
    assert 3 <= stats.n_skipped < source.n
    assert stats.fps_skipped >= 2.9 * stats.fps_analyzed


def test_audio_is_not_dropped() -> None:
    source = Source()
    source.kind = "audio"

    async def subscribe() -> MediaStreamTrack:
        return NewestFrameRelay().subscribe(source)

    assert not isinstance(asyncio.run(subscribe()), _NewestFrameTrack)


def test_a_frame_without_a_tag_has_no_dropped_frames() -> None:
    frame = av.VideoFrame(16, 16, "rgb24")
    assert count_dropped_frames(frame) == 0
    assert count_dropped_frames(object()) == 0


def test_a_reader_ends_with_its_source(library_relay) -> None:
    async def read() -> None:
        source = Source()
        reader = library_relay().subscribe(source)
        await asyncio.wait_for(reader.recv(), WAIT_S)
        source.recv = end
        with pytest.raises(MediaStreamError):
            await read_all(reader)
        assert reader.readyState == "ended"

    async def read_all(reader: MediaStreamTrack) -> None:
        while True:
            await asyncio.wait_for(reader.recv(), WAIT_S)

    async def end() -> None:
        raise MediaStreamError

    asyncio.run(read())


def test_without_the_event_frames_are_relayed_but_not_counted(
    library_relay, monkeypatch, caplog
) -> None:
    track = "aiortc.contrib.media:RelayStreamTrack._other_event"
    hook = dataclasses.replace(hooks.FRAME_EVENT, target=track)
    monkeypatch.setattr(hooks, "FRAME_EVENT", hook)

    async def read() -> None:
        source = Source()
        for reader in (library_relay().subscribe(source) for _ in range(2)):
            for _ in range(3):
                frame = await asyncio.wait_for(reader.recv(), WAIT_S)
                assert source.n - frame.pts <= 2
                assert count_dropped_frames(frame) == 0
                await asyncio.sleep(0.02)
            reader.stop()
        source.stop()

    asyncio.run(read())
    assert caplog.messages == [f"{track} is missing: {hook.loss}"]
