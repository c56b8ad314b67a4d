"""Writing videos that browsers play: H.264 where there is an encoder, else VP9."""

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

VIDEO_CONTAINERS: Final = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}
"""What a video's name may end in, and what kind of file that is."""

_VIDEO_ENCODERS: Final = {
    # Faces and captions stay sharp at 23, the encoder's own default; `veryfast`
    # takes a third of the time of `medium` for files a tenth larger.
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
"""A variable rate is kept to a tenth of a millisecond."""

_RATE_RANGE: Final = (Fraction(1, 100), 1000)
"""Usual frames a second that a header may name; others are a mistake."""


class VideoWriter:
    """Writes one video; nothing is seen under its name until it is whole.

    Images keep their own times, so a variable rate stays one. H.264 knows even
    sizes only: where width or height is odd, the last column or row is doubled.

    Use it as a context manager: leaving by an error leaves no file. A video is whole
    once `finish` was called.

    Attributes:
        note: one line about what could not be kept, after `finish`; else empty.
    """

    def __init__(
        self,
        target: str | Path,
        size_wh: tuple[int, int],
        *,
        frame_rate: Fraction = _DEFAULT_RATE,
        audio: AudioTrack | None = None,
    ) -> None:
        """Begin a video.

        Args:
            target: where it goes; the ending says what kind of file, see
                `VIDEO_CONTAINERS`.
            size_wh: width and height of every image, in pixels.
            frame_rate: usual images a second; 0 if not known.
            audio: whose sound to keep.

        Raises:
            ValueError: the ending is not known.
            OSError: no file can be written there.
        """
        self.note = ""
        self._target = validate_output_path(target)
        self._kind = VIDEO_CONTAINERS[self._target.suffix.lower()]
        self._size_wh, self._audio = size_wh, audio
        self._last_pts = -1
        self._pending_packet: Packet[VideoStream] | None = None
        name = f".maskdet-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        # FFmpeg takes what stands before a colon for a protocol, but not in a path
        # from the root.
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
        """Leave no file behind unless it was finished."""
        self.cancel()

    def write(self, image: Image, time_s: float) -> None:
        """Add an image.

        Args:
            image: `(h, w, 3)` uint8 BGR; other sizes are made to fit.
            time_s: when it is shown, in seconds from the first; later than the last
                one, else it takes the next moment.
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
        # Players take videos without a word on it for BT.601 when small and BT.709
        # when large; so the one that is meant is used and named.
        frame = frame.reformat(format="yuv420p", dst_colorspace="itu709")
        pts = max(self._last_pts + 1, round(time_s / self._tick_s))
        frame.pts, frame.time_base = pts, self._tick_s
        self._last_pts = pts
        with self._translate_errors():
            self._mux(self._stream.encode(frame))

    def finish(self, end_s: float = 0.0, *, trim_audio: bool = False) -> Path:
        """End the video, put it in its place and return that.

        Args:
            end_s: until when the last image is shown; by default, one usual step.
            trim_audio: whether sound that goes on after that is dropped.

        Raises:
            ValueError: there was no image.
            OSError: it cannot be written.
        """
        if self._output is None or self._last_pts < 0:
            self.cancel()
            raise ValueError("a video needs at least one image")
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
        """Give the video up; does nothing to one that is finished."""
        container, self._output, self._pending_packet = self._output, None, None
        if container is not None:
            # What cannot be ended well is thrown away all the same.
            with contextlib.suppress(Exception):
                container.close()
        for part_path in self._part_paths:
            part_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Tell errors of the name that was asked for, not of the unfinished file."""
        import av

        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._target)) from None
        except av.error.FFmpegError as error:
            line = f"the video cannot be encoded or written there: {error.strerror}"
            raise OSError(error.errno, line, str(self._target)) from None

    def _open_output(self) -> OutputContainer:
        import av

        # The index goes to the front, so that a browser may start before the end;
        # where sound is added, that is done then.
        muxer_options = faststart_options(self._kind) if self._audio is None else {}
        self._part_paths[0].touch()
        return av.open(
            str(self._part_paths[0]), "w", format=self._kind, options=muxer_options
        )

    def _add_video_stream(self, container: OutputContainer) -> VideoStream:
        """Add the stream of images."""
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
        context.max_b_frames = 0  # so that the first image is at 0 in every player
        return stream

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        """Add packets, but the last one waits: only `finish` knows how long it is."""
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
    """Return where a video may be written.

    Raises:
        ValueError: the ending is not known; the message names those that are.
    """
    path = Path(target)
    if path.suffix.lower() not in VIDEO_CONTAINERS:
        raise ValueError(
            f"a video's name must end in {', '.join(VIDEO_CONTAINERS)}, not "
            f"{path.name!r}"
        )
    return path


def select_encoder(kind: str) -> str:
    """Return the name of the encoder for a kind of file.

    Raises:
        RuntimeError: this build of PyAV has none.
    """
    import av

    for name in _VIDEO_ENCODERS:
        if (kind, name) != ("webm", "libx264") and name in av.codecs_available:
            return name
    raise RuntimeError("this PyAV can encode neither H.264 nor VP9; install PyAV 18")
