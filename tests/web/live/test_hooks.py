"""The patches of Streamlit and streamlit-webrtc work with the installed versions."""

from __future__ import annotations

import asyncio
import gc
import threading
import tomllib
import weakref
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import streamlit_webrtc.eventloop
import streamlit_webrtc.relay
from aiortc import MediaStreamTrack
from aiortc.contrib.media import MediaRelay
from streamlit.config import get_config_options
from streamlit.runtime.state import SafeSessionState, SessionState
from streamlit_webrtc.models import CallbackAttachableProcessor
from streamlit_webrtc.webrtc import _wrap_with_processor

from maskdet.types import Scene
from maskdet.web.live import webrtc_patches
from maskdet.web.live.frames import make_callback
from maskdet.web.live.state import LiveState, LiveStats
from maskdet.web.live.webrtc_patches import count_dropped_frames
from maskdet.web.preferences import Preferences
from tests.helpers.waiting import WAIT_S, wait_until

ROOT = Path(__file__).resolve().parents[3]


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
    webrtc_patches.relay_newest_frames()
    return relay


@pytest.mark.parametrize("package", webrtc_patches.TESTED_VERSIONS)
def test_the_installed_versions_were_checked(package: str) -> None:
    assert version(package) == webrtc_patches.TESTED_VERSIONS[package], (
        f"{package} has changed: read what maskdet/web/live/webrtc_patches.py says of "
        "it "
        "against the new version, then name that in WRITTEN_FOR"
    )


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
        return webrtc_patches.NewestFrameRelay().subscribe(source)

    assert not isinstance(asyncio.run(subscribe()), webrtc_patches._NewestFrameTrack)


def test_a_frame_without_a_tag_has_no_dropped_frames() -> None:
    frame = av.VideoFrame(16, 16, "rgb24")
    assert count_dropped_frames(frame) == 0
    assert count_dropped_frames(object()) == 0


@pytest.fixture
def shared_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SafeSessionState, "__init__", SafeSessionState.__init__)
    webrtc_patches.use_one_lock_per_session()
    webrtc_patches.use_one_lock_per_session()


def test_two_runs_of_a_session_use_one_lock(shared_lock) -> None:
    state = SessionState()
    one, other = (SafeSessionState(state, lambda: None) for _ in range(2))
    done, errors = threading.Event(), []

    def change() -> None:
        for number in range(20_000):
            one[f"key {number % 300}"] = number
            if number % 300 == 299:
                for old in range(300):
                    del one[f"key {old}"]
        done.set()

    def read() -> None:
        try:
            while not done.is_set():
                assert len(other.filtered_state) <= 300
        except RuntimeError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for work in (change, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert errors == []
    assert SafeSessionState(SessionState(), lambda: None)._lock is not one._lock


def test_streamlit_does_not_collect_garbage_after_each_run() -> None:
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config["runner"]["postScriptGC"] is False
    assert "runner.postScriptGC" in get_config_options(), "Streamlit has the option"


class Ring:
    """Garbage, once it is not referenced elsewhere."""

    def __init__(self) -> None:
        self.me = self


def test_frozen_objects_are_collected_by_the_next_call() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    webrtc_patches.collect_and_freeze()
    assert gc.get_freeze_count() > 1000
    del ring
    gc.collect()
    assert gone() is not None, "frozen"
    webrtc_patches.collect_and_freeze()
    assert gone() is None


def test_the_garbage_timer_survives_an_error_of_its_callback(monkeypatch) -> None:
    monkeypatch.setattr(webrtc_patches, "COLLECT_INTERVAL_S", 0.02)
    freeze_counts: list[int] = []

    def release_unused() -> None:
        freeze_counts.append(gc.get_freeze_count())
        if len(freeze_counts) < 3:  # the thread runs until the end of the tests
            raise OSError("no such luck")

    ring = weakref.ref(Ring())
    before = n_collectors()  # the app may have run in this process
    webrtc_patches.start_garbage_collector(release_unused)
    webrtc_patches.start_garbage_collector(release_unused)
    wait_until(lambda: len(freeze_counts) > 3, "the timer")
    assert ring() is None
    assert n_collectors() == before + 1, "only one thread after two calls"


def n_collectors() -> int:
    names = [thread.name for thread in threading.enumerate()]
    return names.count("maskdet-garbage")
