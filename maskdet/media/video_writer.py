"""Write videos that browsers play: H.264 if there is an encoder, else VP9."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import cv2
import numpy as np

from maskdet.media.audio_mux import (
    AUDIO_LOST,
    AudioMuxError,
    AudioTrack,
    faststart_options,
    mux_audio,
)
from maskdet.types import Image

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_VIDEO_CONTAINERS: Final = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}
"""Allowed suffixes and their container formats."""

_VIDEO_ENCODERS: Final = {
    # Faces and captions are sharp at the default crf of 23. `veryfast` takes a third
    # of the time of `medium` for 10 % larger files.
    "libx264": {"preset": "veryfast", "crf": "23"},
    "libvpx-vp9": {
        "deadline": "realtime",
        "cpu-used": "8",
        "row-mt": "1",
        "crf": "33",
        "b": "0",
    },
}

_DEFAULT_RATE: Final = Fraction(25)
_MIN_TICKS_HZ: Final = 10_000
"""Frame times have a resolution of a tenth of a millisecond."""

_RATE_RANGE: Final = (Fraction(1, 100), 1000)
"""Plausible frame rates; others are replaced by the default."""


class VideoWriter:
    """Writes one video to a file that appears only once it is complete.

    Frames keep their times, so the frame rate can vary. H.264 has even sizes only: the
    last column or row is repeated if width or height is odd.

    Use it as a context manager: without a call of `finish`, no file is left.

    Attributes:
        note: after `finish`, one line if something could not be kept; else empty.
    """

    def __init__(
        self,
        target: str | Path,
        size_wh: tuple[int, int],
        *,
        frame_rate: Fraction = _DEFAULT_RATE,
        audio: AudioTrack | None = None,
    ) -> None:
        """Create the video.

        Args:
            target: the path; its suffix chooses the format, see `_VIDEO_CONTAINERS`.
            size_wh: width and height of the frames, in pixels.
            frame_rate: usual frames per second; 0 if not known.
            audio: the audio to add, or None.

        Raises:
            ValueError: the suffix is not supported.
            OSError: the file cannot be created.
        """
        self.note = ""
        self._target = validate_output_path(target)
        self._kind = _VIDEO_CONTAINERS[self._target.suffix.lower()]
        self._size_wh, self._audio = size_wh, audio
        self._last_pts = -1
        self._pending_packet: Packet[VideoStream] | None = None
        name = f".maskdet-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        # FFmpeg takes the text before a colon for a protocol, except in absolute paths.
        folder = self._target.absolute().parent
        self._part_paths = [folder / f"{name}-{n}.part" for n in (1, 2)]
        is_plausible = _RATE_RANGE[0] <= frame_rate <= _RATE_RANGE[1]
        rate = (frame_rate if is_plausible else _DEFAULT_RATE).limit_denominator(1001)
        self._rate = rate
        ticks_hz = rate.numerator * -(-_MIN_TICKS_HZ // rate.numerator)
        self._tick_s = Fraction(1, ticks_hz)
        self._output: OutputContainer | None = None
        try:
            with self._translate_errors():
                self._output = self._open_output()
                self._stream = self._add_video_stream(self._output)
        except BaseException:
            self.cancel()
            raise

    def __enter__(self) -> VideoWriter:
        """Return the writer."""
        return self

    def __exit__(self, *error: object) -> None:
        """Delete the file unless it is finished."""
        self.cancel()

    def write(self, image: Image, time_s: float) -> None:
        """Add a frame.

        Args:
            image: `(h, w, 3)` uint8 BGR; other sizes are resized.
            time_s: time in seconds from the first frame; if it is not later than the
                last one, the next possible time is used.
        """
        import av

        if self._output is None:
            raise ValueError("this video is finished")
        if image.shape[1::-1] != self._size_wh:
            image = np.asarray(cv2.resize(image, self._size_wh), np.uint8)
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            padding = ((0, height % 2), (0, width % 2), (0, 0))
            image = np.asarray(np.pad(image, padding, mode="edge"), np.uint8)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        # Without a declared colour space, players assume BT.601 for small and BT.709
        # for large videos. So convert to BT.709, and declare it.
        frame = frame.reformat(format="yuv420p", dst_colorspace="itu709")
        pts = max(self._last_pts + 1, round(time_s / self._tick_s))
        frame.pts, frame.time_base = pts, self._tick_s
        self._last_pts = pts
        with self._translate_errors():
            self._mux(self._stream.encode(frame))

    def finish(self, end_s: float = 0.0, *, trim_audio: bool = False) -> Path:
        """Finish the video, move it to its path, and return the path.

        Args:
            end_s: until when the last frame is shown; by default, for one frame period.
            trim_audio: whether audio after `end_s` is dropped.

        Raises:
            ValueError: there is no frame.
            OSError: the file cannot be written.
        """
        if self._output is None or self._last_pts < 0:
            self.cancel()
            raise ValueError("a video needs at least one frame")
        step = max(1, round(1 / self._rate / self._tick_s))
        end = max(round(end_s / self._tick_s), self._last_pts + 1)
        if end_s <= 0:
            end = self._last_pts + step
        with self._translate_errors():
            self._mux(self._stream.encode())
            if self._pending_packet is not None:
                self._pending_packet.duration = end - self._last_pts
                self._output.mux(self._pending_packet)
            self._output.close()
        self._output = None
        try:
            if trim_audio and self._audio is not None:
                self._audio = replace(self._audio, end_s=float(end * self._tick_s))
            with self._translate_errors():
                os.replace(self._mux_audio(), self._target)
        finally:
            self.cancel()
        return self._target

    def cancel(self) -> None:
        """Discard the video, unless it is finished."""
        container, self._output, self._pending_packet = self._output, None, None
        if container is not None:
            # Errors do not matter, as the file is deleted.
            with contextlib.suppress(Exception):
                container.close()
        for part_path in self._part_paths:
            part_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise errors with the target's name, not that of the temporary file."""
        import av

        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._target)) from None
        except av.error.FFmpegError as error:
            line = f"the video cannot be encoded or written: {error.strerror}"
            raise OSError(error.errno, line, str(self._target)) from None

    def _open_output(self) -> OutputContainer:
        import av

        # The index goes to the front, so that browsers can start before the end is
        # loaded. With audio, `mux_audio` does that.
        muxer_options = faststart_options(self._kind) if self._audio is None else {}
        self._part_paths[0].touch()
        return av.open(
            str(self._part_paths[0]), "w", format=self._kind, options=muxer_options
        )

    def _add_video_stream(self, container: OutputContainer) -> VideoStream:
        """Add the video stream."""
        codec = select_encoder(self._kind)
        stream = cast(
            "VideoStream",
            container.add_stream(
                codec, rate=self._rate, options=dict(_VIDEO_ENCODERS[codec])
            ),
        )
        stream.width, stream.height = (side + side % 2 for side in self._size_wh)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = self._tick_s
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1  # 16 to 235
        context.max_b_frames = 0  # so that the first frame is at 0 in every player
        return stream

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        """Write packets, except the last: its duration is set by `finish`."""
        for packet in packets:
            if self._pending_packet is not None and self._output is not None:
                self._output.mux(self._pending_packet)
            self._pending_packet = packet

    def _mux_audio(self) -> Path:
        if self._audio is None:
            return self._part_paths[0]
        try:
            mux_audio(
                self._audio, self._part_paths[0], self._part_paths[1], kind=self._kind
            )
        except AudioMuxError:
            self.note = AUDIO_LOST
            return self._part_paths[0]
        return self._part_paths[1]


def validate_output_path(target: str | Path) -> Path:
    """Return the path of a video to write, if its suffix is supported.

    Raises:
        ValueError: the suffix is not one of `_VIDEO_CONTAINERS`.
    """
    path = Path(target)
    if path.suffix.lower() not in _VIDEO_CONTAINERS:
        raise ValueError(
            f"a video's name must end in {', '.join(_VIDEO_CONTAINERS)}, not "
            f"{path.name!r}"
        )
    return path


def select_encoder(kind: str) -> str:
    """Return the name of the encoder for a container format.

    Raises:
        RuntimeError: this build of PyAV has no encoder for it.
    """
    import av

    for name in _VIDEO_ENCODERS:
        if (kind, name) != ("webm", "libx264") and name in av.codecs_available:
            return name
    raise RuntimeError("this PyAV can encode neither H.264 nor VP9; install PyAV 18")
