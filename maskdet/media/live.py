"""Cameras: the newest picture only, and patience with those that go away."""

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

import cv2
import numpy as np

from maskdet.media.addresses import checked_address
from maskdet.media.films import (
    DEFAULT_LIMITS,
    Film,
    FilmLimits,
    VideoInfo,
    VideoReadError,
    VideoSource,
    checked_rotation,
    film_order,
    open_video_file,
)
from maskdet.media.pictures import rotated
from maskdet.types import Image

logger = logging.getLogger(__name__)

_ENDLESS_S: Final = 2**31 - 1
_POLL_S: Final = 0.25


@dataclasses.dataclass(frozen=True)
class Patience:
    """How a camera that goes away is waited for.

    Attributes:
        first_s: it is tried again after so long, in seconds; after each failure, twice
            as long.
        longest_s: but never longer.
        give_up_s: without a picture for so long it is given up.
    """

    first_s: float = 0.5
    longest_s: float = 30.0
    give_up_s: float = 600.0


DEFAULT_PATIENCE: Final = Patience()


class Live:
    """A camera; iterating it gives the newest picture each time, older ones are lost.

    A thread reads all the time. Where the camera goes away it is tried again, after
    longer and longer waits; only one that was never there is refused at once.

    Attributes:
        info: what is known of it.
    """

    def __init__(
        self,
        opener: Callable[[], VideoSource],
        *,
        first: VideoSource | None = None,
        patience: Patience = DEFAULT_PATIENCE,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Open the camera.

        Args:
            opener: opens it, now and again after it went away.
            first: the camera, where it is open already.
            patience: how it is waited for.
            tell: gets one line when it goes away and when it is back.

        Raises:
            VideoReadError: it cannot be opened.
        """
        self._opener, self._patience = opener, patience
        self._tell = tell if tell is not None else _nobody
        self._source = opener() if first is None else first
        self.info = dataclasses.replace(
            self._source.info, duration_s=0.0, n_frames=0, has_sound=False
        )
        self._began_s, self._last_s = time.monotonic(), 0.0
        self._problem = ""
        self._newest: tuple[Image, float] | None = None
        self._news, self._stopped = threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def end_s(self) -> float:
        """Until when the last picture so far is shown, in seconds from the first."""
        return self._last_s + 1 / float(self.info.frame_rate or 25)

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield the newest `(h, w, 3)` BGR picture and when it came, in seconds.

        Raises:
            VideoReadError: the camera was away for too long.
        """
        try:
            while (taken := self._take()) is not None:
                self._last_s = taken[1]
                yield taken
        finally:
            self.close()

    def __enter__(self) -> Live:
        """Return it, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def stop(self) -> None:
        """End the pictures soon; safe in a signal handler."""
        self._stopped.set()
        self._source.stop()

    def close(self) -> None:
        """Let go of the camera; may be called twice."""
        self.stop()
        self._thread.join(5)

    def _take(self) -> tuple[Image, float] | None:
        with self._news:
            while self._newest is None:
                if self._stopped.is_set():
                    return None
                if self._problem:
                    raise VideoReadError(self._problem)
                self._news.wait(_POLL_S)
            taken, self._newest = self._newest, None
            return taken

    def _read(self) -> None:
        """Read on a thread; whoever waits for pictures is told how it ended."""
        try:
            self._read_patiently()
        except Exception as error:  # nobody else sees what ends a thread
            logger.exception("a camera was not read on")
            self._problem = f"the camera cannot be read: {type(error).__name__}"

    def _read_patiently(self) -> None:
        """Read until told to stop, or until patience ends."""
        seen_s, wait_s, opened = time.monotonic(), self._patience.first_s, True
        while not self._stopped.is_set():
            if opened and self._read_on(again=wait_s > self._patience.first_s):
                seen_s, wait_s = time.monotonic(), self._patience.first_s
            if self._stopped.is_set():
                return
            if time.monotonic() - seen_s + wait_s > self._patience.give_up_s:
                self._problem = "the camera was away for too long"
                return
            self._tell(f"the camera is away; it is tried again in {wait_s:g} s")
            self._stopped.wait(wait_s)
            wait_s = min(2 * wait_s, self._patience.longest_s)
            opened = self._open_again()

    def _read_on(self, *, again: bool) -> bool:
        """Read until the camera goes away; whether there was a picture."""
        seen = False
        gone = contextlib.suppress(VideoReadError, OSError)
        with contextlib.closing(self._source), gone:
            for image, _ in self._source:
                if again and not seen:
                    self._tell("the camera is back")
                seen = True
                self._offer(image)
                if self._stopped.is_set():
                    break
        return seen

    def _open_again(self) -> bool:
        if self._stopped.is_set():
            return False
        try:
            self._source = self._opener()
        except (VideoReadError, OSError):
            return False
        if self._stopped.is_set():  # while it was opened: nobody else closes it
            self._source.close()
        return True

    def _offer(self, image: Image) -> None:
        """Put a picture where the next one is taken from, in place of an older one."""
        size_wh = (self.info.width, self.info.height)
        if image.shape[1::-1] != size_wh:  # it came back with another size
            image = np.asarray(cv2.resize(image, size_wh), np.uint8)
        with self._news:
            self._newest = image, time.monotonic() - self._began_s
            self._news.notify()


class Camera:
    """A camera of this computer, every picture; `Live` makes it the newest only.

    Attributes:
        info: its size and rate.
    """

    end_s = 0.0

    def __init__(self, number: int, every: int = 1, rotate: int = 0) -> None:
        """Open it.

        Args:
            number: that of the camera.
            every: yield only every so many frames.
            rotate: turn them so far clockwise, in degrees.

        Raises:
            VideoReadError: there is no such camera, or another program has it.
        """
        # OpenCV tells the terminal about every camera that it cannot open.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._every, self._rotate = every, rotate
        self._capture = cv2.VideoCapture(number)
        fine, image = self._capture.read()
        if not fine:
            self._capture.release()
            raise VideoReadError(
                f"there is no camera {number}, or another program uses it"
            )
        self._stopped = False
        height, width = image.shape[1::-1] if rotate % 180 else image.shape[:2]
        self.info = VideoInfo(width, height)

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield pictures until it goes away; `Live` knows their times."""
        number = 0
        try:
            while not self._stopped and self._capture.grab():
                number += 1
                if number % self._every == 0:
                    fine, image = self._capture.retrieve()
                    if fine:
                        yield rotated(np.asarray(image, np.uint8), self._rotate), 0.0
        finally:
            self.close()

    def __enter__(self) -> Camera:
        """Return it, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def stop(self) -> None:
        """End the pictures soon."""
        self._stopped = True

    def close(self) -> None:
        """Let go of it; only on the thread that reads it, and may be called twice."""
        self._stopped = True
        self._capture.release()


def open_video(
    source: int | str | Path,
    limits: FilmLimits = DEFAULT_LIMITS,
    *,
    every: int = 1,
    rotate: int = 0,
    patience: Patience = DEFAULT_PATIENCE,
    tell: Callable[[str], None] | None = None,
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
        patience: how long a camera that goes away is waited for.
        tell: gets one line when a camera goes away and when it is back, and if an
            address gives single images.

    Raises:
        FileNotFoundError: there is no such file.
        VideoReadError: the source gives no frames.
        ValueError: the address is of an unknown kind, `every` is not above 0, or
            `rotate` is not one of those numbers.
    """
    name, rotate = str(source), checked_rotation(rotate)
    camera = _camera(source)
    if camera is not None:
        return Live(lambda: Camera(camera, every, rotate), patience=patience, tell=tell)
    if isinstance(source, Path) or "://" not in name:
        return open_video_file(name, limits, every=every, rotate=rotate)
    opener = _opener(name, limits, every, rotate)
    first = opener()
    if first.info.is_snapshot and tell is not None:
        tell("the address gives single images; it is asked for one every second")
    if first.info.duration_s > 0 and name.lower().startswith("http"):
        return first
    return Live(opener, first=first, patience=patience, tell=tell)


def _camera(source: int | str | Path) -> int | None:
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
    found = re.fullmatch(r"/dev/video(\d+)", str(device.resolve()))
    if found is None:
        raise VideoReadError("this device is not a camera, such as /dev/video0")
    return int(found[1])


def _opener(
    address: str, limits: FilmLimits, every: int, rotate: int
) -> Callable[[], Film]:
    """Return what opens an address, as often as it has gone away."""
    endless = dataclasses.replace(limits, max_s=_ENDLESS_S, cpu_s=_ENDLESS_S)
    order = film_order(checked_address(address), endless, live=True, rotate=rotate)
    return lambda: Film({**order, "every": every}, limits.wait_s)


def _nobody(line: str) -> None:
    """Hear a line that nobody wants."""
