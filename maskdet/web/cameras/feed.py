"""`CameraFeed`: reads and analyzes one camera on a thread, for all its viewers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import cv2
import numpy as np

from maskdet.log_filter import RepeatedFailureFilter
from maskdet.media import (
    CAMERA_REFUSED,
    MAX_REFUSALS,
    CameraLoginError,
    LatestFrameSource,
    VideoReadError,
    encode_jpeg,
    resize_image,
    rotate_image,
)
from maskdet.types import Image
from maskdet.web.live.frames import annotate_image
from maskdet.web.live.state import STATS_WINDOW_S, LiveSession, LiveState
from maskdet.wording import format_elapsed

logger = logging.getLogger(__name__)
logger.addFilter(RepeatedFailureFilter())

LINGER_S: Final = 10.0
"""A feed stops this long after the last viewer left: one who changes the page or
reloads it finds it running."""

FIRST_DELAY_S: Final = 1.0
"""Delay of the first attempt to reconnect; it doubles after each failure."""

MAX_DELAY_S: Final = 30.0

_MAX_SHOWN_PX: Final = 1280
"""Longer side of the images that are sent: encoding larger ones in real time would
take more than one core for each viewer."""

_LOST_DIVISOR: Final = 3
"""The last frame of a lost camera is darker, so that it does not look live."""

_STILL_WIDTH: Final = 480
_STILL_QUALITY: Final = 75

FeedPhase = Literal["stopped", "connecting", "live", "reconnecting", "refused"]

_TITLES: Final[dict[FeedPhase, str]] = {
    "stopped": "Stopped",
    "connecting": "Connecting …",
    "live": "Live",
    "reconnecting": "Not available",
    "refused": "Not available",
}


@dataclass(frozen=True)
class FeedStatus:
    """State of a feed.

    Attributes:
        phase: `stopped` without viewers; `connecting`, up to the first frame; `live`;
            `reconnecting`, after a failure; `refused`, after `MAX_REFUSALS`, until
            `CameraFeed.retry`.
        reason: one line on the failure, without the URL; else empty.
    """

    phase: FeedPhase = "stopped"
    reason: str = ""

    def __str__(self) -> str:
        """Return the state as a line of text."""
        return f"{_TITLES[self.phase]}: {self.reason}".removesuffix(": ")


@dataclass(frozen=True, eq=False)
class FeedFrame:
    """An annotated frame.

    Attributes:
        image: `(h, w, 3)` uint8 BGR; height and width are even, for video encoders.
    """

    image: Image

    @cached_property
    def still(self) -> bytes:
        """A small JPEG of it, which is encoded once for all who ask for it."""
        scale = _STILL_WIDTH / self.image.shape[1]
        return encode_jpeg(resize_image(self.image, scale), _STILL_QUALITY)


class CameraFeed:
    """A camera that is read and analyzed once, however many visitors watch it.

    It starts with the first viewer, and stops `linger_s` after the last one left.

    Attributes:
        name: name of the camera.
        state: preferences, numbers and the last analyzed frame, of this feed alone.
    """

    def __init__(
        self,
        name: str,
        open_source: Callable[[], LatestFrameSource],
        state: LiveState,
        get_session: Callable[[], LiveSession | None],
        *,
        linger_s: float = LINGER_S,
        is_kept_running: Callable[[], bool] = lambda: False,
        first_delay_s: float = FIRST_DELAY_S,
    ) -> None:
        """Create a feed without viewers; it does not run yet.

        Args:
            name: name of the camera, without a password.
            open_source: opens the camera; called again after each failure.
            state: has the preferences, and gets the numbers.
            get_session: returns the run for the next frame, called on the thread of
                the feed; `None` ends the feed. It may load an analyzer.
            linger_s: how long it runs without viewers, in seconds.
            is_kept_running: whether it must not stop without viewers.
            first_delay_s: delay before the first attempt to reconnect, in seconds.
        """
        self.name, self.state = name, state
        self._open_source, self._get_session = open_source, get_session
        self._linger_s, self._is_kept_running = linger_s, is_kept_running
        self._first_delay_s = self._delay_s = first_delay_s
        self._n_refused = 0
        self._lock = threading.Lock()
        self._viewers: list[Callable[[], None]] = []
        self._wanted_until_s = 0.0
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._status = FeedStatus()
        self._frame: FeedFrame | None = None

    @property
    def status(self) -> FeedStatus:
        """Whether the camera is live, and why not."""
        with self._lock:
            return self._status

    @property
    def frame(self) -> FeedFrame | None:
        """The newest annotated frame; `None` before the first one and after the end."""
        with self._lock:
            return self._frame

    @property
    def n_viewers(self) -> int:
        """The number of visitors who receive the video."""
        with self._lock:
            return len(self._viewers)

    def describe_old_frame(self) -> str:
        """Return the age of the frame, as in "last frame 12 s ago".

        Empty without a frame, and while it is as new as the numbers of the state.
        """
        age_s = self.state.clock() - self.state.get_last_frame_s()
        if self.frame is None or age_s < STATS_WINDOW_S:
            return ""
        return f"last frame {format_elapsed(age_s)} ago"

    def add_viewer(self, on_frame: Callable[[], None]) -> None:
        """Start the feed for a viewer.

        Args:
            on_frame: called on the thread of the feed when there is a new frame; it
                must neither block nor raise.
        """
        with self._lock:
            self._viewers.append(on_frame)
            self._start()

    def remove_viewer(self, on_frame: Callable[[], None]) -> None:
        """Remove a viewer; the feed stops soon unless it has others."""
        with self._lock:
            if on_frame in self._viewers:
                self._viewers.remove(on_frame)
                self._wanted_until_s = time.monotonic() + self._linger_s
        self._wake.set()

    def request(self) -> None:
        """Run for `linger_s` from now on, for somebody who looks at single images."""
        with self._lock:
            self._wanted_until_s = time.monotonic() + self._linger_s
            self._start()

    def retry(self) -> None:
        """Connect once more to a camera that refused the user or the password."""
        with self._lock:
            if self._n_refused >= MAX_REFUSALS:
                self._n_refused = MAX_REFUSALS - 1
                if self._thread is not None:
                    self._status = FeedStatus("connecting")
        self._wake.set()

    def _start(self) -> None:
        """Start the thread unless it runs; the lock is held."""
        if self._thread is None:
            self._status = FeedStatus("connecting")
            self._thread = threading.Thread(
                target=self._run, name="maskdet-camera", daemon=True
            )
            self._thread.start()

    def _is_wanted(self) -> bool:
        with self._lock:
            has_viewers = self._has_viewers()
        return has_viewers or self._is_kept_running()

    def _run(self) -> None:
        """Read until nobody wants the feed, on its thread."""
        while not self._end_if_unwanted():
            if self._n_refused >= MAX_REFUSALS:
                self._show_lost(FeedStatus("refused", CAMERA_REFUSED))
                self._wake.wait(1.0)  # until `retry`, or the last viewer leaves
                self._wake.clear()
                continue
            reason = self._read_or_explain()
            if not self._is_wanted() or self._n_refused >= MAX_REFUSALS:
                continue
            line = f"{reason}; next attempt in {self._delay_s:g} s"
            self._show_lost(FeedStatus("reconnecting", line))
            self._wait(self._delay_s)
            self._delay_s = min(2 * self._delay_s, MAX_DELAY_S)

    def _read_or_explain(self) -> str:
        """Read the camera; return why the connection ended."""
        try:
            self._read()
        except (VideoReadError, FileNotFoundError, RuntimeError) as error:
            self._n_refused += isinstance(error, CameraLoginError)
            return str(error)
        except Exception as error:
            logger.error(
                "camera %s failed", self.name, exc_info=error, extra={"source": self}
            )
            return f"unexpected error, {type(error).__name__}"
        return "the connection was lost"

    def _end_if_unwanted(self) -> bool:
        """End the run if nobody wants the feed; return whether that is so."""
        is_kept_running = self._is_kept_running()
        with self._lock:
            if is_kept_running or self._has_viewers():
                return False
            # A viewer who comes from now on starts another thread, and another run.
            session = self.state.active_session
            if session is not None:
                self.state.end_session(session)
            self._thread, self._status, self._frame = None, FeedStatus(), None
            self._release()
            return True

    def _release(self) -> None:
        """Free what the run needed, at its end; the lock is held."""

    def _has_viewers(self) -> bool:
        """Return whether somebody watches, or did so recently; the lock is held."""
        return bool(self._viewers) or time.monotonic() < self._wanted_until_s

    def _wait(self, delay_s: float) -> None:
        """Wait, but not if the last viewer leaves meanwhile."""
        end_s = time.monotonic() + delay_s
        while (left_s := end_s - time.monotonic()) > 0 and self._is_wanted():
            self._wake.clear()
            self._wake.wait(min(left_s, 1.0))

    def _read(self) -> None:
        """Show the frames of one connection."""
        n_counted = 0
        with self._open_source() as source:
            for image, _ in source:
                # The next frame may arrive before this one is counted.
                n_arrived = max(1, source.n_received - n_counted)
                session = self._get_session()
                if session is None or not self._is_wanted():
                    break
                self._show(image, session, n_arrived)
                n_counted += n_arrived

    def _show(self, image: Image, session: LiveSession, n_arrived: int) -> None:
        image = rotate_image(image, self.state.preferences.rotate)
        shown = _fit(annotate_image(image, self.state, session, n_arrived))
        self._delay_s, self._n_refused = self._first_delay_s, 0
        with self._lock:
            self._frame = FeedFrame(shown)
            self._status = FeedStatus("live")
            viewers = tuple(self._viewers)
        for on_frame in viewers:
            on_frame()

    def _show_lost(self, status: FeedStatus) -> None:
        """Show why the camera is not live, and its last frame darker."""
        with self._lock:
            if self._frame is not None and self._status.phase == "live":
                self._frame = FeedFrame(self._frame.image // _LOST_DIVISOR)
            self._status = status


def _fit(image: Image) -> Image:
    """Return the image, reduced to `_MAX_SHOWN_PX` and an even width and height."""
    height, width = image.shape[:2]
    scale = min(1.0, _MAX_SHOWN_PX / max(height, width))
    size_wh = (
        max(2, int(width * scale) // 2 * 2),
        max(2, int(height * scale) // 2 * 2),
    )
    if size_wh == (width, height):
        return image
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), "u1")
