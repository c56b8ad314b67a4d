"""The program that decodes one video, in a process of its own.

A video can crash, stall or bloat whoever decodes it (PyAV issue 2344 ends the process
with a memory fault that nothing can catch), so only this process is put at risk. It is
started by the path of this file, without the package, to be ready in a fifth of a
second; `maskdet.media.decoder_client` is the other end.

It gets its order as a line of JSON on stdin, then a byte for each image that was
taken; where stdin ends, its parent is gone and it goes too. It answers in records:

    I  length  0        then JSON of that length: what video it is
    F  slot    time_s   an image lies in that slot of the shared memory
    E  length  0        then so long a text: one of `STOP_REASONS`, or `away:` and
    PyAV's error .  length  end_s    the video is over, and its last image is shown
    until then; then
                        JSON of that length: what tells whether that was all of it
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
"""Images in the shared memory: one is looked at, one waits, one is being made."""

STOP_REASONS: Final = ("no video", "only sound", "too large", "too long", "memory")

VIDEO_FORMATS: Final = (
    "mov,mp4,matroska,webm,avi,mpeg,mpegts,flv,ogg,asf,mxf,ivf,yuv4mpegpipe,gif,"
    "h264,hevc,m4v,mpegvideo,mjpeg"
)
"""What may be opened; no playlists, which make the reader fetch other files."""

NET_PROTOCOLS: Final = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,crypto"
"""What an address may lead to; no files, so that a playlist cannot name ours."""

_MAX_BAD_PACKETS: Final = 200
"""Damaged packets are skipped, as players do, but a video of nothing else is none."""

_DEFAULT_RATE_HZ: Final = 25
_RATE_RANGE_HZ: Final = (Fraction(1, 100), 1000)
"""Frame rates that a header may name; others are a mistake, or built to do harm."""

_RAW_RATE_RANGE_HZ: Final = (1, 240)
"""The same of a stream without times, where nothing else says how fast it is."""

_TS_DISCONT: Final = 0x0200
_NO_TIMESTAMPS: Final = 0x0080
"""What libavformat says of a kind of file, as AVFMT_TS_DISCONT and
AVFMT_NOTIMESTAMPS."""

_MAX_CLOCK_JUMP_S: Final = 10.0
"""A clock that may leap does so if it jumps ahead further than this, as in FFmpeg."""

_FORMATS_WITH_DURATION: Final = ("mov", "matroska", "flv", "asf")
"""Formats whose header says how long they are; of others that is worked out from what
is there, so that it says nothing of what is missing."""

_N_END_PACKETS: Final = 5
"""A damaged packet is at the end if so few follow; threads tell of it later."""

_SNAPSHOT_INTERVAL_S: Final = 1.0
"""A camera that gives single images is asked for one as often as this."""


class StopDecodingError(Exception):
    """The video ends here, for one of the reasons in `STOP_REASONS`."""


def limit_resources(memory_bytes: int, cpu_s: int) -> None:
    """Bound this process, where the system can: memory from now on and work in all."""
    try:
        import resource
    except ImportError:  # Windows has none; pixel and time limits hold there too
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
    """Open what is to be read: a file, or an address where `request["live"]`."""
    import av

    options = {"format_whitelist": VIDEO_FORMATS, "protocol_whitelist": "file"}
    if request["live"]:
        # A % in the address of an image is no number to count up.
        options = {"protocol_whitelist": NET_PROTOCOLS, "pattern_type": "none"}
        if request["source"].lower().startswith("rtsp"):
            # UDP loses parts of images, but some know nothing else; sound delays.
            options |= {"rtsp_flags": "prefer_tcp", "allowed_media_types": "video"}
    # Titles in old encodings are no reason to refuse a video.
    open_container = partial(
        av.open,
        str(request["source"]),
        metadata_errors="replace",
        timeout=(request["wait_s"], request["wait_s"]),
    )
    try:
        return open_container(options=options)
    except av.error.EOFError:
        # An MP4 in pieces whose last head is cut: without looking ahead, the pieces
        # before it can be read.
        return open_container(options=options | {"fflags": "+ignidx"})


def is_snapshot(container: InputContainer) -> bool:
    """Return whether an address gives a single image, as many cameras have one."""
    return container.format.name == "image2" or container.format.name.endswith("_pipe")


def select_video_stream(
    container: InputContainer, request: dict[str, Any]
) -> VideoStream:
    """Return the stream to decode, if it is safe to."""
    import av

    attached_picture = av.stream.Disposition.attached_pic
    # Decoding a stream without a codec is that memory fault (PyAV 18.0.0).
    streams = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None
        and not stream.disposition & attached_picture
    ]
    if not streams:
        raise StopDecodingError("only sound" if container.streams.audio else "no video")
    best = container.streams.best("video")
    stream = next((candidate for candidate in streams if candidate is best), streams[0])
    if stream.codec_context.width * stream.codec_context.height > request["max_pixels"]:
        raise StopDecodingError("too large")
    stream.codec_context.options = {"max_pixels": str(request["max_pixels"])}
    # Of a bare stream nothing but a damaged last frame tells that the rest is missing,
    # and threads may hand that out before they know.
    is_raw = is_raw_stream(container)
    stream.codec_context.thread_count = 1 if is_raw else min(4, os.cpu_count() or 1)
    # Whole images a thread come late; what has an end at a web address is a video.
    has_end = (
        request["source"].lower().startswith("http") and (container.duration or 0) > 0
    )
    is_low_latency = is_raw or (request["live"] and not has_end)
    stream.thread_type = "SLICE" if is_low_latency else "AUTO"
    return stream


class StreamReader:
    """Reads one stream of a video, and notes what tells whether that was all of it."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, max_s: float
    ) -> None:
        """Read nothing yet; what claims to last longer than `max_s` does not."""
        self._container, self._stream, self._max_s = container, stream, max_s
        self._n_packets, self._n_bad, self._last_bad = 0, 0, -_N_END_PACKETS
        self._is_packet_corrupt = self._is_frame_corrupt = False
        self._start_s, self._end_s, self._shown_s = float("inf"), 0.0, 0.0

    def iter_frames(self) -> Iterator[VideoFrame]:
        """Yield what can be decoded."""
        import av

        # Sound is not decoded, but it is there for as long as its video is.
        streams = [self._stream, *self._container.streams.audio]
        for packet in self._container.demux(streams):
            self._record_packet(packet)
            if packet.stream is not self._stream:
                continue
            if packet.is_corrupt and not has_clock_jumps(self._container):
                # Half a frame, where the file ends. With it threads would lose whole
                # ones before it; in a transport stream a part is worth something.
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
        """Return what is known of the end, once that was reached.

        Returns:
            `is_damaged`: its last packets or frames are damaged, or some are not there;
            `missing_s`: how much longer the video should be by its header;
            `exact`: whether that header tells it of every frame.
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
            "torn": is_damaged,
            "missing_s": missing_s,
            "exact": format_name == "mov",
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
    """Times that go on where a stream's own clock starts anew or leaps ahead."""

    def __init__(self, *, may_jump: bool, tolerance_s: float = 0.1) -> None:
        """Start before the first time.

        Args:
            may_jump: whether a large step ahead is one of the clock, not a long pause.
            tolerance_s: what is so much too early is out of order, and no new start.
        """
        self._may_jump, self._tolerance_s = may_jump, tolerance_s
        self._offset_s, self._end_s = 0.0, 0.0
        self._last_s: float | None = None

    def normalize(self, timestamp_s: float, duration_s: float) -> float:
        """Return the time of what has this stamp and lasts so long, in seconds."""
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
    """Return whether the clock of this kind of video may leap, as that of MPEG-TS."""
    return bool(container.format.flags & _TS_DISCONT)


def is_raw_stream(container: InputContainer) -> bool:
    """Return whether this kind of video has no times, as bare H.264."""
    return bool(container.format.flags & _NO_TIMESTAMPS)


def get_frame_rate(
    container: InputContainer, stream: VideoStream
) -> tuple[Fraction, bool]:
    """Return the usual frames a second, 0 if not known, and whether that is a guess.

    A bare stream has no times, so there has to be one.
    """
    if is_raw_stream(container):
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
    """When each image is shown, in seconds from the first; never falls.

    Attributes:
        start_s: what the video itself calls the time of its first image.
        end_s: until when the last one is shown.
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
        """Count in steps of the usual rate where images have no time.

        Args:
            rate: usual images a second; 0 if not known.
            start_s: what the video calls the time of its first image, if that is
                not the first one to come.
            is_raw: whether times are made up, and so not to be used.
            may_jump: whether the clock may leap; see `TimestampNormalizer`.
            max_s: nothing is shown for longer.
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
        """Return when the next image is shown."""
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
    """Images of one size in memory shared with the parent."""

    def __init__(self, fd: int, tag: str) -> None:
        """Wait for the size of the first image; `tag` names it on Windows."""
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
        """Take size and turn from the first image; later ones are made to fit.

        Its pixels are shown `pixel_aspect` times as wide as high.
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
        self.quarter_turns, self.is_mirrored = get_orientation(frame)
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
        """Write an image, upright and in BGR, once there is room; return where."""
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
        """Count the images that were taken; end with the parent."""
        while os.read(0, 1):
            self._free.release()
        os._exit(0)


def get_orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return how an image is made upright, by its display matrix if it has one.

    Returns:
        How often it is turned by 90 degrees counterclockwise, after it was mirrored
        left to right if that is so.
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


def seek_start(
    container: InputContainer, stream: VideoStream, request: dict[str, Any]
) -> FrameClock:
    """Go to a time in the video; without an index it is read from its beginning."""
    rate, _ = get_frame_rate(container, stream)
    is_raw, start_s = is_raw_stream(container), None
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


def describe_stream(
    container: InputContainer,
    stream: VideoStream,
    frame_buffer: SharedFrameBuffer,
    clock: FrameClock,
) -> dict[str, Any]:
    """Return what is known of the video once its first image is decoded."""
    duration_s = (container.duration or 0) / 1e6
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    rate, is_guess = get_frame_rate(container, stream)
    return {
        "height": frame_buffer.shape[0],
        "width": frame_buffer.shape[1],
        "duration_s": max(0.0, duration_s),
        "duration_is_estimate": has_clock_jumps(container),
        "frame_rate": [rate.numerator, rate.denominator],
        "rate_is_assumed": is_guess,
        "n_frames": stream.frames or round(max(0.0, duration_s) * float(rate)),
        "has_sound": bool(container.streams.audio),
        "rotation_deg": frame_buffer.quarter_turns * 90,
        "mirrored": frame_buffer.is_mirrored,
        "start_s": clock.start_s or 0.0,
        "taken_at": container.metadata.get("creation_time", "")[:40],
        "tag": frame_buffer.tag,
    }


def decode_video(
    request: dict[str, Any],
    frame_buffer: SharedFrameBuffer,
    send: Callable[[bytes, int, float, bytes], None],
) -> None:
    """Send the video image by image."""
    with open_input(request) as container:
        if request["live"] and is_snapshot(container):
            poll_snapshots(container, request, frame_buffer, send)
        stream = select_video_stream(container, request)
        from_s = float(request["from_s"])
        clock = seek_start(container, stream, request)
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
                    describe_stream(container, stream, frame_buffer, clock)
                ).encode()
                send(b"I", len(text), 0.0, text)
            if frame_index % request["every"] == 0 and time_s >= from_s:
                send(b"F", frame_buffer.put(frame), time_s, b"")
        if frame_buffer.shape[0] == 0:
            raise StopDecodingError("no video")
        text = json.dumps(reader.describe_end()).encode()
        send(b".", len(text), clock.end_s, text)


def poll_snapshots(
    container: InputContainer,
    request: dict[str, Any],
    frame_buffer: SharedFrameBuffer,
    send: Callable[[bytes, int, float, bytes], None],
) -> NoReturn:
    """Send a camera's image again and again: it gives the newest to whoever asks.

    Every one is sent, as `request["every"]` is for those that come fast.
    """
    while True:
        requested_s = time.monotonic()
        stream = select_video_stream(container, request)
        for frame in StreamReader(container, stream, request["max_s"]).iter_frames():
            if frame.width * frame.height > request["max_pixels"]:
                raise StopDecodingError("too large")
            if frame_buffer.shape[0] == 0:
                frame_buffer.allocate(frame, 1.0, request)
                header = describe_stream(container, stream, frame_buffer, FrameClock())
                header |= {"duration_s": 0.0, "frame_rate": [1, 1], "n_frames": 0}
                text = json.dumps({**header, "is_snapshot": True}).encode()
                send(b"I", len(text), 0.0, text)
            send(b"F", frame_buffer.put(frame), 0.0, b"")
        container.close()
        time.sleep(max(0.0, _SNAPSHOT_INTERVAL_S - (time.monotonic() - requested_s)))
        container = open_input(request)


def run_decoder() -> None:
    """Obey the order on stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    # Nothing that a library prints may fall among the records.
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
        decode_video(request, frame_buffer, send)
    except StopDecodingError as stop:
        reason = str(stop)
    except MemoryError:
        reason = "memory"
    except (av.error.FFmpegError, OSError) as error:
        reason = f"away:{type(error).__name__}" if request["live"] else "no video"
    if reason:
        send(b"E", len(reason), 0.0, reason.encode())
    os._exit(0)  # threads of a damaged decoder are not waited for


if __name__ == "__main__":
    run_decoder()
