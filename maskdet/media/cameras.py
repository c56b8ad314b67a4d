"""Cameras: the newest image only, and patience with those that go away.

Addresses of cameras and videos, and how they are shown.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import cv2
import numpy as np

from maskdet.media.images import rotate_image
from maskdet.media.video_reader import (
    DEFAULT_VIDEO_LIMITS,
    VideoInfo,
    VideoLimits,
    VideoReader,
    VideoReadError,
    VideoSource,
    build_decode_request,
    open_video_file,
    validate_rotation,
)
from maskdet.types import Image

URL_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")
"""Addresses that can be read."""

_SECRET_PARAMETER: Final = re.compile(
    r"((?:pass(?:w(?:or)?d)?|pwd|token|secret|auth|key|sig(?:nature)?)=)[^&;/]*", re.I
)
"""What follows such a name, in the options of an address or, as some cameras have it,
in its path: `/user=me_password=x_channel=1`."""


def validate_url(url: str) -> str:
    """Return an address of a kind that can be read.

    Raises:
        ValueError: it is of no known kind.
    """
    if urlsplit(url).scheme.lower() not in URL_SCHEMES:
        raise ValueError(f"an address must begin with {', '.join(URL_SCHEMES)}")
    return url


def redact_url(name: str) -> str:
    """Return a source's name without the user and password of an address."""
    if "://" not in name:
        return name
    url_parts = urlsplit(name)
    if "@" not in url_parts.netloc and ":" in url_parts.netloc and "@" in name:
        # A password with a sign such as / that should have been written as %2F.
        url_parts = urlsplit(f"{url_parts.scheme}://{name.rpartition('@')[2]}")
    url_parts = url_parts._replace(netloc=url_parts.netloc.rpartition("@")[2])
    return _SECRET_PARAMETER.sub(r"\1***", urlunsplit(url_parts))


logger = logging.getLogger(__name__)

_UNLIMITED_S: Final = 2**31 - 1
_POLL_S: Final = 0.25


@dataclasses.dataclass(frozen=True)
class ReconnectPolicy:
    """How a camera that goes away is waited for.

    Attributes:
        initial_delay_s: it is tried again after so long, in seconds; after each
            failure, twice as long.
        max_delay_s: but never longer.
        timeout_s: without an image for so long it is given up.
    """

    initial_delay_s: float = 0.5
    max_delay_s: float = 30.0
    timeout_s: float = 600.0


DEFAULT_RECONNECT_POLICY: Final = ReconnectPolicy()


class LatestFrameSource:
    """A camera; iterating it gives the newest image each time, older ones are lost.

    A thread reads all the time. Where the camera goes away it is tried again, after
    longer and longer waits; only one that was never there is refused at once.

    Attributes:
        info: what is known of it.
    """

    def __init__(
        self,
        open_source: Callable[[], VideoSource],
        *,
        opened_source: VideoSource | None = None,
        reconnect_policy: ReconnectPolicy = DEFAULT_RECONNECT_POLICY,
        on_status: Callable[[str], None] | None = None,
    ) -> None:
        """Open the camera.

        Args:
            open_source: opens it, now and again after it went away.
            opened_source: the camera, where it is open already.
            reconnect_policy: how it is waited for.
            on_status: gets one line when it goes away and when it is back.

        Raises:
            VideoReadError: it cannot be opened.
        """
        self._open_source, self._reconnect_policy = open_source, reconnect_policy
        self._on_status = on_status if on_status is not None else _ignore_status
        self._source = open_source() if opened_source is None else opened_source
        self.info = dataclasses.replace(
            self._source.info, duration_s=0.0, n_frames=0, has_audio=False
        )
        self._start_s, self._last_s = time.monotonic(), 0.0
        self._error = ""
        self._latest_frame: tuple[Image, float] | None = None
        self._condition, self._stopped = threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._read_thread, daemon=True)
        self._thread.start()

    @property
    def end_s(self) -> float:
        """Until when the last image so far is shown, in seconds from the first."""
        return self._last_s + 1 / float(self.info.frame_rate or 25)

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield the newest `(h, w, 3)` BGR image and when it came, in seconds.

        Raises:
            VideoReadError: the camera was away for too long.
        """
        try:
            while (frame := self._take_frame()) is not None:
                self._last_s = frame[1]
                yield frame
        finally:
            self.close()

    def __enter__(self) -> LatestFrameSource:
        """Return it, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def stop(self) -> None:
        """End the images soon; safe in a signal handler."""
        self._stopped.set()
        self._source.stop()

    def close(self) -> None:
        """Let go of the camera; may be called twice."""
        self.stop()
        self._thread.join(5)

    def _take_frame(self) -> tuple[Image, float] | None:
        with self._condition:
            while self._latest_frame is None:
                if self._stopped.is_set():
                    return None
                if self._error:
                    raise VideoReadError(self._error)
                self._condition.wait(_POLL_S)
            frame, self._latest_frame = self._latest_frame, None
            return frame

    def _read_thread(self) -> None:
        """Read on a thread; whoever waits for images is told how it ended."""
        try:
            self._read_with_reconnect()
        except Exception as error:  # nobody else sees what ends a thread
            logger.exception("a camera was not read on")
            self._error = f"the camera cannot be read: {type(error).__name__}"

    def _read_with_reconnect(self) -> None:
        """Read until told to stop, or until patience ends."""
        last_frame_s, delay_s, is_open = (
            time.monotonic(),
            self._reconnect_policy.initial_delay_s,
            True,
        )
        while not self._stopped.is_set():
            if is_open and self._read_until_lost(
                is_reconnect=delay_s > self._reconnect_policy.initial_delay_s
            ):
                last_frame_s, delay_s = (
                    time.monotonic(),
                    self._reconnect_policy.initial_delay_s,
                )
            if self._stopped.is_set():
                return
            if (
                time.monotonic() - last_frame_s + delay_s
                > self._reconnect_policy.timeout_s
            ):
                self._error = "the camera was away for too long"
                return
            self._on_status(f"the camera is away; it is tried again in {delay_s:g} s")
            self._stopped.wait(delay_s)
            delay_s = min(2 * delay_s, self._reconnect_policy.max_delay_s)
            is_open = self._reopen()

    def _read_until_lost(self, *, is_reconnect: bool) -> bool:
        """Read until the camera goes away; whether there was an image."""
        has_frames = False
        ignore_read_errors = contextlib.suppress(VideoReadError, OSError)
        with contextlib.closing(self._source), ignore_read_errors:
            for image, _ in self._source:
                if is_reconnect and not has_frames:
                    self._on_status("the camera is back")
                has_frames = True
                self._store_frame(image)
                if self._stopped.is_set():
                    break
        return has_frames

    def _reopen(self) -> bool:
        if self._stopped.is_set():
            return False
        try:
            self._source = self._open_source()
        except (VideoReadError, OSError):
            return False
        if self._stopped.is_set():  # while it was opened: nobody else closes it
            self._source.close()
        return True

    def _store_frame(self, image: Image) -> None:
        """Put an image where the next one is taken from, in place of an older one."""
        size_wh = (self.info.width, self.info.height)
        if image.shape[1::-1] != size_wh:  # it came back with another size
            image = np.asarray(cv2.resize(image, size_wh), np.uint8)
        with self._condition:
            self._latest_frame = image, time.monotonic() - self._start_s
            self._condition.notify()


class Webcam:
    """A camera of this computer, every image; `LatestFrameSource` makes it the newest only.

    Attributes:
        info: its size and rate.
    """

    end_s = 0.0

    def __init__(self, device_index: int, every: int = 1, rotate: int = 0) -> None:
        """Open it.

        Args:
            device_index: that of the camera.
            every: yield only every so many frames.
            rotate: turn them so far clockwise, in degrees.

        Raises:
            VideoReadError: there is no such camera, or another program has it.
        """
        # OpenCV tells the terminal about every camera that it cannot open.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._every, self._rotate = every, rotate
        self._capture = cv2.VideoCapture(device_index)
        has_frame, image = self._capture.read()
        if not has_frame:
            self._capture.release()
            raise VideoReadError(
                f"there is no camera {device_index}, or another program uses it"
            )
        self._stopped = False
        height, width = image.shape[1::-1] if rotate % 180 else image.shape[:2]
        self.info = VideoInfo(width, height)

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield images until it goes away; `LatestFrameSource` knows their times."""
        frame_index = 0
        try:
            while not self._stopped and self._capture.grab():
                frame_index += 1
                if frame_index % self._every == 0:
                    has_frame, image = self._capture.retrieve()
                    if has_frame:
                        yield (
                            rotate_image(np.asarray(image, np.uint8), self._rotate),
                            0.0,
                        )
        finally:
            self.close()

    def __enter__(self) -> Webcam:
        """Return it, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def stop(self) -> None:
        """End the images soon."""
        self._stopped = True

    def close(self) -> None:
        """Let go of it; only on the thread that reads it, and may be called twice."""
        self._stopped = True
        self._capture.release()


def open_video(
    source: int | str | Path,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    *,
    every: int = 1,
    rotate: int = 0,
    reconnect_policy: ReconnectPolicy = DEFAULT_RECONNECT_POLICY,
    on_status: Callable[[str], None] | None = None,
) -> VideoSource:
    """Open a video file, a camera of this computer, or an RTSP or HTTP address.

    A file gives every frame. A camera gives the newest frame each time, and is tried
    again when it goes away. An address that says how long it lasts is a file; one that
    gives a single image, as many cameras have it, is asked for it once a second. The
    frames are decoded in a process of their own, so that a malformed video can do no
    harm.

    Examples:
        >>> video = maskdet.open_video("lobby.mp4", every=50)
        >>> [round(time_s) for _, time_s in video]
        [0, 2, 4, 6, 8, 10]

    Args:
        source: path of a file (MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG, WMV, GIF, or
            bare H.264, H.265 or motion JPEG), whatever its name ends in; number of a
            camera, as `0` or `"0"`, or its device, as `/dev/video0`; or an `rtsp://`
            or `http(s)://` address.
        limits: what a video may cost.
        every: yield only every n-th frame.
        rotate: 0, 90, 180 or 270; turn every frame so far clockwise, in degrees, for a
            camera that hangs upside down or on its side. Boxes and points are those of
            the turned frame.
        reconnect_policy: how long a camera that goes away is waited for.
        on_status: gets one line when a camera goes away and when it is back, and if an
            address gives single images.

    Raises:
        FileNotFoundError: there is no such file.
        VideoReadError: the source gives no frames.
        ValueError: the address is of an unknown kind, `every` is not above 0, or
            `rotate` is not one of those numbers.
    """
    name, rotate = str(source), validate_rotation(rotate)
    camera_index = _parse_camera_index(source)
    if camera_index is not None:
        return LatestFrameSource(
            lambda: Webcam(camera_index, every, rotate),
            reconnect_policy=reconnect_policy,
            on_status=on_status,
        )
    if isinstance(source, Path) or "://" not in name:
        return open_video_file(name, limits, every=every, rotate=rotate)
    open_url = _make_url_opener(name, limits, every, rotate)
    reader = open_url()
    if reader.info.is_snapshot and on_status is not None:
        on_status("the address gives single images; it is asked for one every second")
    if reader.info.duration_s > 0 and name.lower().startswith("http"):
        return reader
    return LatestFrameSource(
        open_url,
        opened_source=reader,
        reconnect_policy=reconnect_policy,
        on_status=on_status,
    )


def _parse_camera_index(source: int | str | Path) -> int | None:
    """Return the number of the camera that a source is, or None.

    Raises:
        VideoReadError: it is a device of another kind.
    """
    name = str(source)
    if not isinstance(source, Path) and name.isascii() and name.isdigit():
        return int(name)
    device = Path(name)
    if "://" in name or not device.is_char_device():
        return None
    # Links such as /dev/v4l/by-id/... stay the same when cameras are plugged in anew.
    match = re.fullmatch(r"/dev/video(\d+)", str(device.resolve()))
    if match is None:
        raise VideoReadError("this device is not a camera, such as /dev/video0")
    return int(match[1])


def _make_url_opener(
    url: str, limits: VideoLimits, every: int, rotate: int
) -> Callable[[], VideoReader]:
    """Return what opens an address, as often as it has gone away."""
    unlimited = dataclasses.replace(
        limits, max_duration_s=_UNLIMITED_S, cpu_s=_UNLIMITED_S
    )
    request = build_decode_request(
        validate_url(url), unlimited, live=True, rotate=rotate
    )
    return lambda: VideoReader({**request, "every": every}, limits.frame_timeout_s)


def _ignore_status(line: str) -> None:
    """Hear a line that nobody wants."""
