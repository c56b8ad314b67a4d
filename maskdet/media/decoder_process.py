"""The program of the process that decodes one video.

Malformed video can crash, hang or exhaust the memory of the decoding process (PyAV
issue 2344 is a segmentation fault), so it is decoded in a process of its own. The
process is started by the path of this file, without the package, to be ready in a fifth
of a second; `maskdet.media.decoder_client` is the parent's side.

It reads a request as a line of JSON from stdin, then one byte for each frame that the
parent has taken. When stdin ends, the parent has ended, and so does this process. It
writes records to stdout:

    I  length  0        then JSON of that length: the header, see `_describe_stream`
    F  slot    time_s   a frame is in that slot of the shared memory
    E  length  0        then a text of that length: one of `STOP_REASONS`, or
                        `unreachable:` and the name of PyAV's error
    .  length  end_s    end of the video, the last frame is shown until then; then JSON
                        of that length, see `StreamReader.describe_end`
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import numpy as np

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

RECORD: Final = struct.Struct("<cId")
N_SLOTS: Final = 3
"""Frames in the shared memory: one is analyzed, one waits, one is being decoded."""

STOP_REASONS: Final = ("no video", "only audio", "too large", "too long", "memory")

_VIDEO_FORMATS: Final = (
    "mov,mp4,matroska,webm,avi,mpeg,mpegts,flv,ogg,asf,mxf,ivf,yuv4mpegpipe,gif,"
    "h264,hevc,m4v,mpegvideo,mjpeg"
)
"""Formats that can be opened; no playlists, which refer to other files."""

_NET_PROTOCOLS: Final = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,crypto"
"""Protocols allowed for URLs; no files, so that a playlist cannot read local ones."""

_MAX_BAD_PACKETS: Final = 200
"""Damaged packets are skipped, as players do, up to so many in a row."""

_DEFAULT_RATE_HZ: Final = 25
_RATE_RANGE_HZ: Final = (Fraction(1, 100), 1000)
"""Plausible frame rates of a header; others are errors or malicious."""

_RAW_RATE_RANGE_HZ: Final = (1, 240)
"""The same for streams without timestamps."""

_TS_DISCONT: Final = 0x0200
_NO_TIMESTAMPS: Final = 0x0080
"""Format flags of libavformat: AVFMT_TS_DISCONT and AVFMT_NOTIMESTAMPS."""

_MAX_CLOCK_JUMP_S: Final = 10.0
"""A larger step ahead is a timestamp jump where those are possible, as in FFmpeg."""

_FORMATS_WITH_DURATION: Final = ("mov", "matroska", "flv", "asf")
"""Formats whose header has a duration. For others it is computed from the content, so
it does not show that something is missing."""

_N_END_PACKETS: Final = 5
"""A damaged packet is at the end if fewer follow; threads report it late."""

_SNAPSHOT_INTERVAL_S: Final = 1.0
"""Interval between requests to a snapshot URL."""


class StopDecodingError(Exception):
    """The video ends here, for one of the reasons in `STOP_REASONS`."""


def limit_resources(memory_bytes: int, cpu_s: int) -> None:
    """Limit this process: additional memory from now on, and total CPU time."""
    try:
        import resource
    except ImportError:  # not on Windows, where only pixel and time limits hold
        return
    with contextlib.suppress(OSError, ValueError):
        pages = Path("/proc/self/statm").read_text("ascii").split()[0]
        memory_bytes += int(pages) * mmap.PAGESIZE
    limits = {"RLIMIT_AS": memory_bytes, "RLIMIT_CPU": cpu_s, "RLIMIT_CORE": 0}
    for name, value in limits.items():
        with contextlib.suppress(AttributeError, OSError, ValueError):
            resource_id = getattr(resource, name)
            hard = resource.getrlimit(resource_id)[1]
            soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(resource_id, (soft, hard))


def open_input(request: dict[str, Any]) -> InputContainer:
    """Open the source: a file, or a URL if `request["live"]`."""
    import av

    options = {"format_whitelist": _VIDEO_FORMATS, "protocol_whitelist": "file"}
    if request["live"]:
        # Do not read a % in the URL of an image as a counter.
        options = {"protocol_whitelist": _NET_PROTOCOLS, "pattern_type": "none"}
        if request["source"].lower().startswith("rtsp"):
            # UDP loses parts of frames, but some cameras support nothing else. Audio
            # would add a delay.
            options |= {"rtsp_flags": "prefer_tcp", "allowed_media_types": "video"}
    # Accept metadata in other encodings.
    open_container = partial(
        av.open,
        str(request["source"]),
        metadata_errors="replace",
        timeout=(request["wait_s"], request["wait_s"]),
    )
    try:
        return open_container(options=options)
    except av.error.EOFError:
        # A fragmented MP4 with a truncated last header: ignoring the index, the
        # fragments before it can be read.
        return open_container(options=options | {"fflags": "+ignidx"})


def is_snapshot(container: InputContainer) -> bool:
    """Return whether a URL returns a single image, a snapshot of a camera."""
    return container.format.name == "image2" or container.format.name.endswith("_pipe")


def select_video_stream(
    container: InputContainer, request: dict[str, Any]
) -> VideoStream:
    """Return the video stream to decode.

    Raises:
        StopDecodingError: there is none, or its frames are too large.
    """
    import av

    cover_image = av.stream.Disposition.attached_pic
    # Decoding a stream without a codec is a segmentation fault (PyAV 18.0.0).
    streams = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & cover_image
    ]
    if not streams:
        raise StopDecodingError("only audio" if container.streams.audio else "no video")
    best = container.streams.best("video")
    stream = next((candidate for candidate in streams if candidate is best), streams[0])
    if stream.codec_context.width * stream.codec_context.height > request["max_pixels"]:
        raise StopDecodingError("too large")
    stream.codec_context.options = {"max_pixels": str(request["max_pixels"])}
    # In a raw stream only a damaged last frame shows that the rest is missing, and
    # threads may return it before they have detected the damage.
    is_raw = _is_raw_stream(container)
    stream.codec_context.thread_count = 1 if is_raw else request["threads"]
    # Frame threading adds a delay. A URL with a duration is a video, not a camera.
    has_end = (
        request["source"].lower().startswith("http") and (container.duration or 0) > 0
    )
    is_low_latency = is_raw or (request["live"] and not has_end)
    stream.thread_type = "SLICE" if is_low_latency else "AUTO"
    return stream


class StreamReader:
    """Reads one stream of a video, and records whether it is complete."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, max_s: float
    ) -> None:
        """Start before the first packet; durations above `max_s` are ignored."""
        self._container, self._stream, self._max_s = container, stream, max_s
        self._n_packets, self._n_bad, self._last_bad = 0, 0, -_N_END_PACKETS
        self._is_packet_corrupt = self._is_frame_corrupt = False
        self._start_s, self._end_s, self._shown_s = float("inf"), 0.0, 0.0

    def iter_frames(self) -> Iterator[VideoFrame]:
        """Yield the frames that can be decoded."""
        import av

        # Audio is not decoded, but its packets count for the duration.
        streams = [self._stream, *self._container.streams.audio]
        for packet in self._container.demux(streams):
            self._record_packet(packet)
            if packet.stream is not self._stream:
                continue
            if packet.is_corrupt and not has_clock_jumps(self._container):
                # A partial frame at the end of the file. Decoding it would make
                # threads drop complete frames before it.
                continue
            try:
                decoded = cast("list[VideoFrame]", packet.decode())
            except av.error.InvalidDataError:
                self._n_bad, self._last_bad = self._n_bad + 1, self._n_packets
                if self._n_bad > _MAX_BAD_PACKETS:
                    raise StopDecodingError("no video") from None
                continue
            self._n_bad = 0 if decoded else self._n_bad
            for frame in decoded:
                self._is_frame_corrupt = frame.is_corrupt
                duration_s = float((frame.duration or 0) * (frame.time_base or 0))
                duration_s = duration_s if duration_s <= self._max_s else 0.0
                self._shown_s = max(self._shown_s, (frame.time or 0.0) + duration_s)
                yield frame

    def describe_end(self) -> dict[str, Any]:
        """Return whether the video is complete, once its end was reached.

        Returns:
            `is_damaged`: whether the last packets or frames are damaged or missing;
            `missing_s`: how much longer the video should be by its header;
            `is_exact`: whether the header lists every frame.
        """
        missing_s, n_missing = 0.0, 0
        format_name, stream = self._container.format.name.split(",")[0], self._stream
        if format_name == "mov":
            n_expected = sum(entry.size > 0 for entry in stream.index_entries)
            n_missing = n_expected - self._n_packets
            if stream.duration and stream.time_base:
                end = (stream.start_time or 0) + stream.duration
                missing_s = float(end * stream.time_base) - self._shown_s
        elif format_name in _FORMATS_WITH_DURATION and self._container.duration:
            length_s = max(0.0, self._end_s - self._start_s)
            missing_s = self._container.duration / 1e6 - length_s
        is_bad_near_end = self._n_packets - self._last_bad < _N_END_PACKETS
        is_damaged = (
            self._is_packet_corrupt
            or self._is_frame_corrupt
            or is_bad_near_end
            or n_missing > 0
        )
        return {
            "is_damaged": is_damaged,
            "missing_s": missing_s,
            "is_exact": format_name == "mov",
        }

    def _record_packet(self, packet: Packet[Any]) -> None:
        if not packet.size:
            return
        self._is_packet_corrupt = packet.is_corrupt
        self._n_packets += packet.stream is self._stream
        if packet.pts is not None and packet.time_base is not None:
            start_s = float(packet.pts * packet.time_base)
            duration_s = float((packet.duration or 0) * packet.time_base)
            self._start_s = min(self._start_s, start_s)
            self._end_s = max(self._end_s, start_s + duration_s)


class TimestampNormalizer:
    """Makes times continuous where the timestamps of a stream restart or jump ahead."""

    def __init__(self, *, may_jump: bool, tolerance_s: float = 0.1) -> None:
        """Start before the first timestamp.

        Args:
            may_jump: whether a large step ahead is a jump, not a long pause.
            tolerance_s: a step back of at most this is out of order, not a restart.
        """
        self._may_jump, self._tolerance_s = may_jump, tolerance_s
        self._offset_s, self._end_s = 0.0, 0.0
        self._last_s: float | None = None

    def normalize(self, timestamp_s: float, duration_s: float) -> float:
        """Return the continuous time of a timestamp and duration, in seconds."""
        time_s = timestamp_s + self._offset_s
        if self._last_s is not None:
            has_restarted = time_s < self._last_s - self._tolerance_s
            if has_restarted or (
                self._may_jump and time_s > self._end_s + _MAX_CLOCK_JUMP_S
            ):
                self._offset_s += self._end_s - time_s
                time_s = self._end_s
        self._last_s = max(time_s, self._last_s or time_s)
        self._end_s = self._last_s + duration_s
        return time_s


def has_clock_jumps(container: InputContainer) -> bool:
    """Return whether timestamps of this format can jump, as in MPEG-TS."""
    return bool(container.format.flags & _TS_DISCONT)


def _is_raw_stream(container: InputContainer) -> bool:
    """Return whether this format has no timestamps, such as raw H.264."""
    return bool(container.format.flags & _NO_TIMESTAMPS)


def _get_frame_rate(
    container: InputContainer, stream: VideoStream
) -> tuple[Fraction, bool]:
    """Return the frame rate, 0 if not known, and whether it is assumed.

    A raw stream has no timestamps, so a rate is assumed if it has none either.
    """
    if _is_raw_stream(container):
        declared = stream.codec_context.framerate or 0
        is_plausible = _RAW_RATE_RANGE_HZ[0] <= declared <= _RAW_RATE_RANGE_HZ[1]
        return Fraction(
            declared if is_plausible else _DEFAULT_RATE_HZ
        ), not is_plausible
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and _RATE_RANGE_HZ[0] <= rate <= _RATE_RANGE_HZ[1]:
            return Fraction(rate), False
    return Fraction(0), False


class FrameClock:
    """Computes the time of each frame, in seconds from the first; never decreases.

    Attributes:
        start_s: timestamp of the first frame in the video itself.
        end_s: until when the last frame is shown.
    """

    def __init__(
        self,
        rate: Fraction = Fraction(0),
        *,
        start_s: float | None = None,
        is_raw: bool = False,
        may_jump: bool = False,
        max_s: float = float("inf"),
    ) -> None:
        """Start before the first frame.

        Args:
            rate: frame rate, for frames without a timestamp; 0 if not known.
            start_s: timestamp of the first frame, if reading starts later.
            is_raw: whether timestamps are invented by the reader, and so ignored.
            may_jump: whether timestamps can jump; see `TimestampNormalizer`.
            max_s: longer durations of a frame are ignored.
        """
        self.start_s = start_s
        self.end_s = 0.0
        self._is_raw, self._max_s = is_raw, max_s
        self._step_s = 1 / float(rate or _DEFAULT_RATE_HZ)
        self._normalizer = TimestampNormalizer(
            may_jump=may_jump, tolerance_s=min(1.0, max(0.1, 3 * self._step_s))
        )
        self._time_s = -self._step_s

    def compute_time(self, frame: VideoFrame) -> float:
        """Return the time of the next frame."""
        duration_s = float((frame.duration or 0) * (frame.time_base or 0))
        if self._is_raw or not 0 < duration_s <= self._max_s:
            duration_s = self._step_s
        timestamp_s = None if self._is_raw else frame.time
        if timestamp_s is None:
            self._time_s += self._step_s
        else:
            self.start_s = timestamp_s if self.start_s is None else self.start_s
            time_s = self._normalizer.normalize(timestamp_s - self.start_s, duration_s)
            self._time_s = max(self._time_s, 0.0, time_s)
        self.end_s = self._time_s + duration_s
        return self._time_s


class SharedFrameBuffer:
    """Frames of one size in memory shared with the parent."""

    def __init__(self, fd: int, tag: str) -> None:
        """Store the file descriptor; `tag` names the memory on Windows."""
        self._fd, self.tag = fd, tag
        self._free = threading.Semaphore(N_SLOTS)
        self._next_slot = 0
        self._size_wh = (0, 0)
        self._extra_quarter_turns = 0
        self.quarter_turns, self.is_mirrored = 0, False
        self.shape = (0, 0, 3)

    def allocate(
        self, frame: VideoFrame, pixel_aspect: float, request: dict[str, Any]
    ) -> None:
        """Allocate frames with the size and orientation of the first one.

        Later frames are resized to fit. `pixel_aspect` is the width of a pixel divided
        by its height.
        """
        max_pixels = request["max_pixels"]
        width = (
            round(frame.width * pixel_aspect)
            if 0.25 < pixel_aspect < 4
            else frame.width
        )
        if width * frame.height > max_pixels:
            raise StopDecodingError("too large")
        self._size_wh = (width, frame.height)
        self.quarter_turns, self.is_mirrored = _get_orientation(frame)
        self._extra_quarter_turns = -request["rotate"] // 90
        sideways = (self.quarter_turns + self._extra_quarter_turns) % 2
        height, width = self._size_wh[:: 1 if sideways else -1]
        self.shape = (height, width, 3)
        size = N_SLOTS * height * width * 3
        if sys.platform == "win32":
            memory = mmap.mmap(-1, size, self.tag)
        else:
            os.ftruncate(self._fd, size)
            memory = mmap.mmap(self._fd, size)
        self._slots = np.frombuffer(memory, np.uint8).reshape(N_SLOTS, *self.shape)

    def put(self, frame: VideoFrame) -> int:
        """Write a frame, upright and in BGR, to the next free slot; return the slot."""
        width, height = self._size_wh
        plane = frame.reformat(width, height, format="bgr24").planes[0]
        flat_pixels = np.frombuffer(memoryview(plane), np.uint8)
        rows = flat_pixels.reshape(height, plane.line_size)[:, : 3 * width]
        self._free.acquire()
        slot, self._next_slot = self._next_slot, (self._next_slot + 1) % N_SLOTS
        image = rows.reshape(height, width, 3)
        if self.is_mirrored:
            image = image[:, ::-1]
        self._slots[slot] = np.rot90(
            image, self.quarter_turns + self._extra_quarter_turns
        )
        return slot

    def receive_acks(self) -> None:
        """Free a slot for each byte on stdin; end the process when stdin ends."""
        while os.read(0, 1):
            self._free.release()
        os._exit(0)


def _get_orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return the orientation of a frame by its display matrix.

    Returns:
        Quarter turns counterclockwise that make it upright, and whether it is
        mirrored left to right before them.
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0, False
    # x' = a x + c y, y' = b x + d y (ISO 14496-12, 6.2.2)
    a, b, _, c, d = (
        np.frombuffer(memoryview(matrix), np.int32)[:5].astype(float).tolist()
    )
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    return round(math.atan2(-b, a) / (math.pi / 2)) % 4, is_mirrored


def _seek_start(
    container: InputContainer, stream: VideoStream, request: dict[str, Any]
) -> FrameClock:
    """Seek to `request["from_s"]`, if the video has an index; return the clock."""
    rate, _ = _get_frame_rate(container, stream)
    is_raw, start_s = _is_raw_stream(container), None
    if request["from_s"] > 0 and stream.time_base is not None and not is_raw:
        first = stream.start_time or 0
        with contextlib.suppress(OSError):
            container.seek(
                first + int(request["from_s"] / stream.time_base), stream=stream
            )
        start_s = float(first * stream.time_base)
    return FrameClock(
        rate,
        start_s=start_s,
        is_raw=is_raw,
        may_jump=has_clock_jumps(container),
        max_s=request["max_s"],
    )


def _describe_stream(
    container: InputContainer,
    stream: VideoStream,
    frame_buffer: SharedFrameBuffer,
    clock: FrameClock,
) -> dict[str, Any]:
    """Return the header: metadata of the video once its first frame is decoded."""
    duration_s = (container.duration or 0) / 1e6
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    rate, is_guess = _get_frame_rate(container, stream)
    return {
        "height": frame_buffer.shape[0],
        "width": frame_buffer.shape[1],
        "duration_s": max(0.0, duration_s),
        "duration_is_estimate": has_clock_jumps(container),
        "frame_rate": [rate.numerator, rate.denominator],
        "rate_is_assumed": is_guess,
        "n_frames": stream.frames or round(max(0.0, duration_s) * float(rate)),
        "has_audio": bool(container.streams.audio),
        "rotation_deg": frame_buffer.quarter_turns * 90,
        "mirrored": frame_buffer.is_mirrored,
        "start_s": clock.start_s or 0.0,
        "taken_at": container.metadata.get("creation_time", "")[:40],
        "tag": frame_buffer.tag,
    }


def _decode_video(
    request: dict[str, Any],
    frame_buffer: SharedFrameBuffer,
    send: Callable[[bytes, int, float, bytes], None],
) -> None:
    """Decode the video and send its frames."""
    with open_input(request) as container:
        if request["live"] and is_snapshot(container):
            _poll_snapshots(container, request, frame_buffer, send)
        stream = select_video_stream(container, request)
        from_s = float(request["from_s"])
        clock = _seek_start(container, stream, request)
        reader = StreamReader(container, stream, request["max_s"])
        for frame_index, frame in enumerate(reader.iter_frames()):
            time_s = clock.compute_time(frame)
            if time_s > request["max_s"]:
                raise StopDecodingError("too long")
            if frame.width * frame.height > request["max_pixels"]:
                raise StopDecodingError("too large")
            if frame_buffer.shape[0] == 0:
                pixel_aspect = float(stream.codec_context.sample_aspect_ratio or 1)
                frame_buffer.allocate(frame, pixel_aspect, request)
                text = json.dumps(
                    _describe_stream(container, stream, frame_buffer, clock)
                ).encode()
                send(b"I", len(text), 0.0, text)
            if frame_index % request["every"] == 0 and time_s >= from_s:
                send(b"F", frame_buffer.put(frame), time_s, b"")
        if frame_buffer.shape[0] == 0:
            raise StopDecodingError("no video")
        text = json.dumps(reader.describe_end()).encode()
        send(b".", len(text), clock.end_s, text)


def _poll_snapshots(
    container: InputContainer,
    request: dict[str, Any],
    frame_buffer: SharedFrameBuffer,
    send: Callable[[bytes, int, float, bytes], None],
) -> NoReturn:
    """Request and send the current image of a snapshot URL again and again.

    Every image is sent; `request["every"]` does not apply at one image per second.
    """
    while True:
        requested_s = time.monotonic()
        stream = select_video_stream(container, request)
        for frame in StreamReader(container, stream, request["max_s"]).iter_frames():
            if frame.width * frame.height > request["max_pixels"]:
                raise StopDecodingError("too large")
            if frame_buffer.shape[0] == 0:
                frame_buffer.allocate(frame, 1.0, request)
                header = _describe_stream(container, stream, frame_buffer, FrameClock())
                header |= {"duration_s": 0.0, "frame_rate": [1, 1], "n_frames": 0}
                text = json.dumps({**header, "is_snapshot": True}).encode()
                send(b"I", len(text), 0.0, text)
            send(b"F", frame_buffer.put(frame), 0.0, b"")
        container.close()
        time.sleep(max(0.0, _SNAPSHOT_INTERVAL_S - (time.monotonic() - requested_s)))
        container = open_input(request)


def _run_decoder() -> None:
    """Read the request from stdin and decode the video."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    # Output that libraries print to stdout must not mix with the records.
    out = os.dup(1)
    os.dup2(2, 1)
    request_line = b""
    while not request_line.endswith(b"\n"):
        request_line += os.read(0, 1) or os._exit(0)
    request = json.loads(request_line)

    def send(kind: bytes, value: int, time_s: float, body: bytes) -> None:
        record = RECORD.pack(kind, value, time_s) + body
        while record:
            record = record[os.write(out, record) :]

    import av

    frame_buffer = SharedFrameBuffer(request["fd"], request["tag"])
    threading.Thread(target=frame_buffer.receive_acks, daemon=True).start()
    limit_resources(request["memory_bytes"], request["cpu_s"])
    reason = ""
    try:
        _decode_video(request, frame_buffer, send)
    except StopDecodingError as stop:
        reason = str(stop)
    except MemoryError:
        reason = "memory"
    except (av.error.FFmpegError, OSError) as error:
        name = type(error).__name__
        reason = f"unreachable:{name}" if request["live"] else "no video"
    if reason:
        send(b"E", len(reason), 0.0, reason.encode())
    os._exit(0)  # do not wait for threads of a broken decoder


if __name__ == "__main__":
    _run_decoder()
