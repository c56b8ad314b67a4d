"""Relay of live video without a queue: readers get the newest frame."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.contrib.media import MediaRelay
from aiortc.mediastreams import MediaStreamError

from maskdet.web.server import streamlit_patches


class NewestFrameRelay(MediaRelay):
    """A relay whose readers get the newest frame of a video; older ones are dropped."""

    def subscribe(
        self, track: MediaStreamTrack, buffered: bool = True
    ) -> MediaStreamTrack:
        """Return a reader of a track; audio is buffered, as gaps would be audible."""
        if track.kind != "video":
            return super().subscribe(track, buffered)
        return _NewestFrameTrack(super().subscribe(track, buffered=False))


class _NewestFrameTrack(MediaStreamTrack):
    """Returns the newest frame, tagged with the number of dropped frames before it."""

    kind = "video"

    def __init__(self, reader: MediaStreamTrack) -> None:
        super().__init__()
        self._reader = reader
        self._frame_event = _CountingEvent()
        streamlit_patches.set_frame_event(reader, self._frame_event)

    async def recv(self) -> Any:
        try:
            frame = await self._reader.recv()
        except MediaStreamError:
            self.stop()
            raise
        tag = _FrameTag(self._frame_event.n_dropped)
        self._frame_event.n_dropped = 0
        # A frame that is returned unchanged already has the tag of the input track.
        if isinstance(frame, av.VideoFrame) and frame.opaque is None:
            frame.opaque = tag
        return frame

    def stop(self) -> None:
        super().stop()
        self._reader.stop()


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
