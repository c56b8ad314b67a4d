"""What live video needs changed in Streamlit and streamlit-webrtc, and why.

Each function changes one thing, may be called more than once, and names the reason.
`TESTED_VERSIONS` says which versions were read; a test fails when they change.
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


def relay_newest_frames() -> None:
    """Let no frame of a video wait in a queue on its way through the server.

    streamlit-webrtc passes every track through aiortc's `MediaRelay`, which by default
    keeps all frames that its reader has not taken yet. A server that is too slow for
    its viewers then shows an ever older image: 10 seconds after half a minute, with
    three viewers on two busy cores. Call it before the first stream starts.
    """
    streamlit_webrtc.relay.MediaRelay = NewestFrameRelay  # type: ignore[attr-defined]


class NewestFrameRelay(MediaRelay):
    """A relay whose readers get the newest frame of a video, and miss older ones."""

    def subscribe(
        self, track: MediaStreamTrack, buffered: bool = True
    ) -> MediaStreamTrack:
        """Return a reader of a track; audio is buffered, because gaps are heard."""
        if track.kind != "video":
            return super().subscribe(track, buffered)
        super().subscribe(track, buffered=False)  # makes the track known
        return _NewestFrameTrack(self, track)


class _NewestFrameTrack(RelayStreamTrack):
    """Gives the newest frame; each says how many before it were passed over."""

    def __init__(self, relay: MediaRelay, source: MediaStreamTrack) -> None:
        super().__init__(relay, source, buffered=False)
        self._frame_event = _CountingEvent()
        self._new_frame_event = self._frame_event

    async def recv(self) -> Any:
        frame = await super().recv()
        tag = _FrameTag(self._frame_event.n_dropped)
        self._frame_event.n_dropped = 0
        # A frame that is sent back as it came has its number from the way in.
        if isinstance(frame, av.VideoFrame) and frame.opaque is None:
            frame.opaque = tag
        return frame


@dataclass(frozen=True, eq=False)
class _FrameTag:
    """What a frame carries.

    Not the bare number: PyAV forgets what two frames share when the first one goes.
    """

    n_dropped: int


class _CountingEvent(asyncio.Event):
    """Set when a frame arrives; counts those that came before it was cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.n_dropped = 0

    def set(self) -> None:
        if self.is_set():
            self.n_dropped += 1
        super().set()


def count_dropped_frames(frame: av.VideoFrame) -> int:
    """Return how many frames the relay passed over in favour of this one."""
    tag = getattr(frame, "opaque", None)
    return tag.n_dropped if isinstance(tag, _FrameTag) else 0


_original_init: Final = SafeSessionState.__init__
_session_locks: Final[WeakValueDictionary[int, Any]] = WeakValueDictionary()
"""By the identity of a session's state; whoever has the state has its lock."""

_session_locks_guard: Final = threading.Lock()


def use_one_lock_per_session() -> None:
    """Let the runs of one session take turns with its state.

    While a run is broken off, the next one may have begun. Streamlit gives each of them
    a lock of its own for the same state, so on a busy server now and then a run ends
    with "dictionary changed size during iteration", and its page stays half built.
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
    """Collect garbage in a thread, some times a minute, instead of after each run.

    With `runner.postScriptGC`, Streamlit collects all garbage after every run, also of
    a fragment: 85 ms in which no other thread runs, each second for each viewer. It is
    off in `.streamlit/config.toml`, so this has to be done instead.

    Args:
        release_unused: is called before each collection; gives back what nobody uses
            any more.
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
        except Exception:  # nobody else sees what ends a thread
            logger.exception("what nobody uses could not be given back")
        if time.monotonic() - last_freeze_s >= _FREEZE_INTERVAL_S:
            collect_and_freeze()
            last_freeze_s = time.monotonic()
        else:
            gc.collect()


def collect_and_freeze() -> None:
    """Collect all garbage, and let later collections pass over what is in use now.

    Most of it are libraries and models, which stay. What else was frozen, such as a
    visitor's session, is looked at again the next time.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
