"""`FeedTrack`: sends the annotated frames of a `CameraFeed` to one visitor."""

from __future__ import annotations

import asyncio
import contextlib
import time
from fractions import Fraction
from typing import Final

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from maskdet.types import Image
from maskdet.web.cameras.feed import CameraFeed

_CLOCK_HZ: Final = 90_000
_REPEAT_S: Final = 1.0
"""Without a new frame, the last one is sent again after this time."""

_DARK_SIZE_WH: Final = (640, 360)


class FeedTrack(MediaStreamTrack):
    """The video of a feed for one viewer; slow ones miss frames, others do not wait."""

    kind = "video"

    def __init__(self, feed: CameraFeed) -> None:
        """Start the feed, or join it."""
        super().__init__()
        self._feed = feed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_frame = asyncio.Event()
        self._start_s, self._last_pts = 0.0, -1
        feed.add_viewer(self._notify)

    async def recv(self) -> av.VideoFrame:
        """Wait for the next frame and return it; the first call does not wait.

        Raises:
            MediaStreamError: the track was stopped.
        """
        if self._loop is None:
            self._loop, self._start_s = asyncio.get_running_loop(), time.monotonic()
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_frame.wait(), _REPEAT_S)
        self._has_frame.clear()
        if self.readyState != "live":
            raise MediaStreamError
        newest = self._feed.frame
        image = _make_dark_image() if newest is None else newest.image
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        pts = int((time.monotonic() - self._start_s) * _CLOCK_HZ)
        self._last_pts = frame.pts = max(pts, self._last_pts + 1)
        frame.time_base = Fraction(1, _CLOCK_HZ)
        return frame

    def stop(self) -> None:
        """Leave the feed; can be called twice, and from any thread."""
        super().stop()
        self._feed.remove_viewer(self._notify)
        self._notify()

    def _notify(self) -> None:
        if self._loop is not None:
            # The loop is closed when the server stops.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._has_frame.set)


class FeedPlayer:
    """What `webrtc_streamer` expects from its `player_factory`.

    Attributes:
        video: the video of the feed.
        audio: there is none.
    """

    audio: MediaStreamTrack | None = None

    def __init__(self, feed: CameraFeed) -> None:
        """Start the feed, or join it; `webrtc_streamer` stops the track."""
        self.video = FeedTrack(feed)


class FeedOutlet:
    """Sends the video of a feed to one visitor, each time that they press Start.

    Pass it to `webrtc_streamer` as `player_factory`.
    """

    def __init__(self, feed: CameraFeed) -> None:
        """Start with nothing sent.

        Args:
            feed: what is sent.
        """
        self.feed = feed
        self._player: FeedPlayer | None = None

    def __call__(self) -> FeedPlayer:
        """Return the video for a new connection; the previous one ends."""
        self.close()
        self._player = FeedPlayer(self.feed)
        return self._player

    def close(self) -> None:
        """End the video."""
        if self._player is not None:
            self._player.video.stop()
            self._player = None


def _make_dark_image() -> Image:
    width, height = _DARK_SIZE_WH
    return np.full((height, width, 3), 32, np.uint8)
