"""Patches of Streamlit and streamlit-webrtc that live video needs.

Each function changes one thing, names the reason, and may be called more than once.
`TESTED_VERSIONS` lists the checked versions; a test fails when they change.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakValueDictionary

import av
import streamlit_webrtc.relay
from aiortc import MediaStreamTrack
from aiortc.contrib.media import MediaRelay, RelayStreamTrack
from streamlit.runtime.state import SafeSessionState, SessionState

logger = logging.getLogger(__name__)

TESTED_VERSIONS: Final[Mapping[str, str]] = {
    "streamlit": "1.67.0",
    "streamlit-webrtc": "0.79.0",
    "aiortc": "1.16.0",
}

COLLECT_INTERVAL_S: Final = 45.0
_FREEZE_INTERVAL_S: Final = 600.0

_original_init: Final = SafeSessionState.__init__

_session_locks: Final[WeakValueDictionary[int, Any]] = WeakValueDictionary()
"""Locks by the `id` of a session's state; all users of a state hold its lock."""

_session_locks_guard: Final = threading.Lock()


def relay_newest_frames() -> None:
    """Relay only the newest frame of a video instead of queueing frames.

    streamlit-webrtc passes every track through aiortc's `MediaRelay`, which by default
    queues all frames that its reader has not read yet. On a server that is too slow
    for its viewers, the delay then grows: 10 seconds after half a minute, with three
    viewers on two busy cores. Call it before the first stream starts.
    """
    streamlit_webrtc.relay.MediaRelay = NewestFrameRelay  # type: ignore[attr-defined]


class NewestFrameRelay(MediaRelay):
    """A relay whose readers get the newest frame of a video; older ones are dropped."""

    def subscribe(
        self, track: MediaStreamTrack, buffered: bool = True
    ) -> MediaStreamTrack:
        """Return a reader of a track; audio is buffered, as gaps would be audible."""
        if track.kind != "video":
            return super().subscribe(track, buffered)
        super().subscribe(track, buffered=False)  # registers the track
        return _NewestFrameTrack(self, track)


class _NewestFrameTrack(RelayStreamTrack):
    """Returns the newest frame, tagged with the number of dropped frames before it."""

    def __init__(self, relay: MediaRelay, source: MediaStreamTrack) -> None:
        super().__init__(relay, source, buffered=False)
        self._frame_event = _CountingEvent()
        self._new_frame_event = self._frame_event

    async def recv(self) -> Any:
        frame = await super().recv()
        tag = _FrameTag(self._frame_event.n_dropped)
        self._frame_event.n_dropped = 0
        # A frame that is returned unchanged already has the tag of the input track.
        if isinstance(frame, av.VideoFrame) and frame.opaque is None:
            frame.opaque = tag
        return frame


@dataclass(frozen=True, eq=False)
class _FrameTag:
    """Tag of a frame.

    It is not a plain int, as PyAV drops an object that two frames reference when the
    first one is freed.
    """

    n_dropped: int


class _CountingEvent(asyncio.Event):
    """Event that is set when a frame arrives; counts frames until it is cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.n_dropped = 0

    def set(self) -> None:
        if self.is_set():
            self.n_dropped += 1
        super().set()


def count_dropped_frames(frame: av.VideoFrame) -> int:
    """Return the number of frames that the relay dropped before this one."""
    tag = getattr(frame, "opaque", None)
    return tag.n_dropped if isinstance(tag, _FrameTag) else 0


def use_one_lock_per_session() -> None:
    """Use one lock per session state, instead of one per script run.

    While a run is being stopped, the next one may have started. Streamlit gives each of
    them its own lock for the same state. On a busy server, some runs then end with
    "dictionary changed size during iteration", and the page stays incomplete.
    """
    SafeSessionState.__init__ = _init_with_shared_lock  # type: ignore[method-assign]


def _init_with_shared_lock(
    self: SafeSessionState, state: SessionState, yield_callback: Callable[[], None]
) -> None:
    _original_init(self, state, yield_callback)
    with _session_locks_guard:
        lock = _session_locks.setdefault(id(state), threading.RLock())
    object.__setattr__(self, "_lock", lock)


@functools.cache
def start_garbage_collector(release_unused: Callable[[], None]) -> None:
    """Collect garbage in a thread every 45 s, instead of after each run.

    With `runner.postScriptGC`, Streamlit collects all garbage after every run, also of
    a fragment: 85 ms in which no other thread runs, each second for each viewer. It is
    off in `.streamlit/config.toml`, and this thread replaces it.

    Args:
        release_unused: called before each collection to release unused resources.
    """
    threading.Thread(
        target=_collect_periodically,
        args=(release_unused,),
        name="maskdet-garbage",
        daemon=True,
    ).start()


def _collect_periodically(release_unused: Callable[[], None]) -> None:
    last_freeze_s = -_FREEZE_INTERVAL_S
    while True:
        time.sleep(COLLECT_INTERVAL_S)
        try:
            release_unused()
        except Exception:  # otherwise the thread would end without a message
            logger.exception("unused resources could not be released")
        if time.monotonic() - last_freeze_s >= _FREEZE_INTERVAL_S:
            collect_and_freeze()
            last_freeze_s = time.monotonic()
        else:
            gc.collect()


def collect_and_freeze() -> None:
    """Collect all garbage, and exclude the remaining objects from later collections.

    Most of them are libraries and models, which stay. Other frozen objects, such as a
    visitor's session, are checked again by the next call.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
