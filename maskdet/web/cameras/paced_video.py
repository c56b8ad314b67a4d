"""`PacedVideo`: plays a video file in real time, again and again, like a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from maskdet.media import VideoSource
from maskdet.types import Image


class PacedVideo(VideoSource):
    """A video that yields each frame at its time, and starts again at its end.

    Attributes:
        info: the metadata of the video.
    """

    def __init__(
        self,
        open_video: Callable[[], VideoSource],
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Open the video.

        Args:
            open_video: opens the video, once for each time that it is played.
            clock: monotonic time in seconds; tests pass their own.
            wait: waits for a number of seconds, or until `stop`; tests pass their own.

        Raises:
            VideoReadError: the video cannot be read.
        """
        self._open_video, self._clock = open_video, clock
        self._stopped = threading.Event()
        self._wait = self._stopped.wait if wait is None else wait
        self._source = open_video()
        self.info = self._source.info
        self._last_s = 0.0

    @property
    def end_s(self) -> float:
        """Until when the last frame so far is shown, in seconds from the first."""
        return self._last_s + 1 / float(self.info.frame_rate or 25)

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield `(h, w, 3)` BGR frames and their times since the first, in seconds.

        Raises:
            VideoReadError: the video cannot be read to its end, or has no frames.
        """
        start_s = self._clock()
        try:
            while not self._stopped.is_set():
                loop_s = self._clock() - start_s
                for image, time_s in self._source:
                    self._last_s = loop_s + time_s
                    self._wait(max(0.0, start_s + self._last_s - self._clock()))
                    if self._stopped.is_set():
                        return
                    yield image, self._last_s
                # The last frame is shown as long as the others.
                self._wait(max(0.0, start_s + self.end_s - self._clock()))
                self._source.close()
                if not self._stopped.is_set():
                    self._source = self._open_video()
        finally:
            self.close()

    def stop(self) -> None:
        """End the iteration soon; safe in a signal handler."""
        self._stopped.set()
        self._source.stop()

    def close(self) -> None:
        """Release the video; can be called twice."""
        self.stop()
        self._source.close()
