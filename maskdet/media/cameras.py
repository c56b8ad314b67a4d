"""Webcams and network cameras: newest frame only, reconnecting, and `open_video`."""

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
from urllib.parse import urlsplit

import cv2
import numpy as np

from maskdet.media.images import rotate_image
from maskdet.media.video_reader import (
    DEFAULT_VIDEO_LIMITS,
    CameraLoginError,
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

logger = logging.getLogger(__name__)

_URL_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")
"""Supported URL schemes."""

_SECRET_PARAMETER: Final = re.compile(
    r"((?:pass(?:w(?:or)?d)?|pwd|token|secret|auth|key|sig(?:nature)?)=)[^&;/]*", re.I
)
"""A secret parameter in the query of a URL or, for some cameras, in its path:
`/user=me_password=x_channel=1`."""

MAX_REFUSALS: Final = 3
"""So many refusals of user or password without a frame in between end the attempts, as
some cameras lock an account after a few more."""

CAMERA_REFUSED: Final = (
    "the camera refused the user or the password three times; correct them in its URL"
)

_UNLIMITED_S: Final = 2**31 - 1

_POLL_S: Final = 0.25


_UNENCODED: Final = re.compile(r"[^:]+://[^/?#@\[\]]*:[^/?#\[\]]*([/?#\[\]]).*@", re.S)
"""A URL of which the password seems to have a character that must be encoded. A path
with @ after a password looks the same, so its host is not shown either."""


def redact_url(name: str) -> str:
    """Return the name of a source without user, password and tokens of a URL."""
    scheme, separator, rest = name.partition("://")
    if not separator:
        return name
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    if _UNENCODED.match(name):
        rest = rest.rpartition("@")[2]
    else:
        rest = host.rpartition("@")[2] + rest[len(host) :]
    return _SECRET_PARAMETER.sub(r"\1***", f"{scheme}://{rest}")


def validate_camera_url(url: str) -> None:
    """Check a URL.

    Raises:
        ValueError: it is not an RTSP or HTTP URL. The message does not contain it, as
            it may have a password.
    """
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname)
        _ = parts.port
    except ValueError:
        hint = _explain_encoding(url)
        raise ValueError(f"the camera URL is not valid{hint}") from None
    if parts.scheme.lower() not in _URL_SCHEMES:
        schemes = "://, ".join(_URL_SCHEMES)
        raise ValueError(f"the camera URL must begin with {schemes}://")
    if not has_host:
        raise ValueError("the camera URL has no host, as in rtsp://camera.local/stream")


def _explain_encoding(url: str) -> str:
    """Return how to write the password, if that may be wrong; else an empty string."""
    match = _UNENCODED.match(url)
    if match is None:
        return ""
    return f"; a {match[1]} in the password is written %{ord(match[1]):02X}"


@dataclasses.dataclass(frozen=True)
class ReconnectPolicy:
    """Delays of reconnecting to a camera.

    Attributes:
        initial_delay_s: delay before the first attempt, in seconds; doubled after each
            failure.
        max_delay_s: maximum delay, in seconds.
        timeout_s: give up after so long without a frame, in seconds.
    """

    initial_delay_s: float = 0.5
    max_delay_s: float = 30.0
    timeout_s: float = 600.0


_DEFAULT_RECONNECT_POLICY: Final = ReconnectPolicy()


class LatestFrameSource(VideoSource):
    """A camera of which each iteration yields the newest frame; older ones are dropped.

    A thread reads the frames. If the connection is lost, it reconnects with increasing
    delays, but ends after `MAX_REFUSALS`. If the first connection fails, it raises an
    error.

    Attributes:
        info: the metadata.
        n_received: number of frames that have arrived, including dropped ones.
    """

    def __init__(
        self,
        open_source: Callable[[], VideoSource],
        *,
        opened_source: VideoSource | None = None,
        reconnect_policy: ReconnectPolicy = _DEFAULT_RECONNECT_POLICY,
        on_status: Callable[[str], None] | None = None,
    ) -> None:
        """Open the camera.

        Args:
            open_source: opens the camera, now and for each new connection.
            opened_source: the camera, if it is open already.
            reconnect_policy: delays of reconnecting.
            on_status: called with one line when the camera is disconnected and when it
                is connected again.

        Raises:
            VideoReadError: the camera cannot be opened.
        """
        self._open_source, self._reconnect_policy = open_source, reconnect_policy
        self._on_status = on_status or (lambda line: None)
        self._source = open_source() if opened_source is None else opened_source
        self.info = dataclasses.replace(
            self._source.info, duration_s=0.0, n_frames=0, has_audio=False
        )
        self._start_s, self._last_s = time.monotonic(), 0.0
        self._error, self._n_refused = "", 0
        self.n_received = 0
        self._latest_frame: tuple[Image, float] | None = None
        self._condition, self._stopped = threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._read_thread, daemon=True)
        self._thread.start()

    @property
    def end_s(self) -> float:
        """Until when the last frame so far is shown, in seconds from the first."""
        return self._last_s + 1 / float(self.info.frame_rate or 25)

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield the newest `(h, w, 3)` BGR frame and its time of arrival, in seconds.

        Raises:
            VideoReadError: the camera was disconnected for too long, or refused the
                user or the password after a reconnect.
        """
        try:
            while (frame := self._take_frame()) is not None:
                self._last_s = frame[1]
                yield frame
        finally:
            self.close()

    def stop(self) -> None:
        """End the iteration soon; safe in a signal handler."""
        self._stopped.set()
        self._source.stop()

    def close(self) -> None:
        """Release the camera; can be called twice."""
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
        """Read frames on a thread; keep its error for the iterator."""
        try:
            self._read_with_reconnect()
        except Exception as error:  # else the thread would end without a message
            logger.exception("the thread that reads a camera failed")
            self._error = f"the camera cannot be read: {type(error).__name__}"

    def _read_with_reconnect(self) -> None:
        """Read and reconnect until `stop`, the timeout or `MAX_REFUSALS`."""
        policy = self._reconnect_policy
        last_frame_s, delay_s, is_open = time.monotonic(), policy.initial_delay_s, True
        while not self._stopped.is_set():
            is_reconnect = delay_s > policy.initial_delay_s
            if is_open and self._read_until_lost(is_reconnect=is_reconnect):
                last_frame_s, delay_s = time.monotonic(), policy.initial_delay_s
                self._n_refused = 0
            if self._stopped.is_set():
                return
            if self._n_refused >= MAX_REFUSALS:
                self._error = CAMERA_REFUSED
                return
            if time.monotonic() - last_frame_s + delay_s > policy.timeout_s:
                self._error = (
                    "the camera was disconnected for too long"
                    if policy.timeout_s > 0
                    else "the connection was lost"
                )
                return
            self._on_status(
                f"the camera is disconnected; next attempt in {delay_s:g} s"
            )
            self._stopped.wait(delay_s)
            delay_s = min(2 * delay_s, policy.max_delay_s)
            is_open = self._reopen()

    def _read_until_lost(self, *, is_reconnect: bool) -> bool:
        """Read until the connection is lost; return whether there was a frame."""
        has_frames = False
        ignore_read_errors = contextlib.suppress(VideoReadError, OSError)
        with contextlib.closing(self._source), ignore_read_errors:
            for image, _ in self._source:
                if is_reconnect and not has_frames:
                    self._on_status("the camera is connected again")
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
        except (VideoReadError, OSError) as error:
            self._n_refused += isinstance(error, CameraLoginError)
            return False
        if self._stopped.is_set():  # stopped while opening: close it here
            self._source.close()
        return True

    def _store_frame(self, image: Image) -> None:
        """Store the newest frame in place of an older one."""
        size_wh = (self.info.width, self.info.height)
        if image.shape[1::-1] != size_wh:  # the size changed on reconnecting
            image = np.asarray(cv2.resize(image, size_wh), np.uint8)
        with self._condition:
            self.n_received += 1
            self._latest_frame = image, time.monotonic() - self._start_s
            self._condition.notify()


class Webcam(VideoSource):
    """A local camera with all of its frames; wrap it in a `LatestFrameSource`.

    Attributes:
        info: the frame size.
    """

    end_s = 0.0

    def __init__(self, device_index: int, every: int = 1, rotate: int = 0) -> None:
        """Open the camera.

        Args:
            device_index: index of the camera.
            every: yield only every n-th frame.
            rotate: clockwise rotation of the frames, in degrees.

        Raises:
            VideoReadError: there is no such camera, or another program uses it.
        """
        # OpenCV prints a line for every camera that it cannot open.
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
        """Yield frames until the camera fails; `LatestFrameSource` sets the times."""
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

    def stop(self) -> None:
        """End the iteration soon."""
        self._stopped = True

    def close(self) -> None:
        """Release the camera; call it on the reading thread. Can be called twice."""
        self._stopped = True
        self._capture.release()


def open_video(
    source: int | str | Path,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    *,
    every: int = 1,
    rotate: int = 0,
    reconnect_policy: ReconnectPolicy = _DEFAULT_RECONNECT_POLICY,
    on_status: Callable[[str], None] | None = None,
) -> VideoSource:
    """Open a video file, a local camera, or an RTSP or HTTP URL.

    A file yields every frame. A camera yields the newest frame each time, and is
    reconnected if the connection is lost. A URL with a duration is read like a file;
    one that returns a single image, a snapshot of a camera, is read once a second.
    Frames are decoded in a separate process, because malformed video can crash it.

    Examples:
        >>> video = maskdet.open_video("lobby.mp4", every=50)
        >>> [round(time_s) for _, time_s in video]
        [0, 2, 4, 6, 8, 10]

    Args:
        source: path of a file of any name (MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG,
            WMV, GIF, or raw H.264, H.265 or motion JPEG); index of a camera, such as
            `0` or `"0"`, or its device, such as `/dev/video0`; or an `rtsp://` or
            `http(s)://` URL.
        limits: resource limits.
        every: yield only every n-th frame.
        rotate: clockwise rotation of every frame in degrees: 0, 90, 180 or 270. Boxes
            and points refer to the rotated frame.
        reconnect_policy: delays of reconnecting to a camera.
        on_status: called with one line when a camera is disconnected and when it is
            connected again, and if a URL returns single images.

    Raises:
        FileNotFoundError: there is no such file.
        VideoReadError: the source gives no frames.
        ValueError: the URL scheme, `every` or `rotate` is not allowed.
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
        on_status("the camera returns single images; one is read every second")
    if reader.info.duration_s > 0 and name.lower().startswith("http"):
        return reader
    return LatestFrameSource(
        open_url,
        opened_source=reader,
        reconnect_policy=reconnect_policy,
        on_status=on_status,
    )


def _parse_camera_index(source: int | str | Path) -> int | None:
    """Return the camera index of a source, or None.

    Raises:
        VideoReadError: it is another kind of device.
    """
    name = str(source)
    if not isinstance(source, Path) and name.isascii() and name.isdigit():
        return int(name)
    device = Path(name)
    if "://" in name or not device.is_char_device():
        return None
    # Resolve links such as /dev/v4l/by-id/..., which are stable across reconnections.
    match = re.fullmatch(r"/dev/video(\d+)", str(device.resolve()))
    if match is None:
        raise VideoReadError("this device is not a camera, such as /dev/video0")
    return int(match[1])


def _make_url_opener(
    url: str, limits: VideoLimits, every: int, rotate: int
) -> Callable[[], VideoReader]:
    """Return a function that opens a URL, for each new connection.

    Raises:
        ValueError: see `validate_camera_url`.
    """
    validate_camera_url(url)
    unlimited = dataclasses.replace(
        limits, max_duration_s=_UNLIMITED_S, cpu_s=_UNLIMITED_S
    )
    request = build_decode_request(url, unlimited, live=True, rotate=rotate)

    def open_url() -> VideoReader:
        try:
            return VideoReader({**request, "every": every}, limits.frame_timeout_s)
        except CameraLoginError:
            raise
        except VideoReadError as error:
            # With a password such as 12/34, the user is taken for the host.
            raise VideoReadError(f"{error}{_explain_encoding(url)}") from None

    return open_url
