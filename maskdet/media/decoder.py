"""The program that decodes one film, in a process of its own.

A film can crash, stall or bloat whoever decodes it (PyAV issue 2344 ends the process
with a memory fault that nothing can catch), so only this process is put at risk. It is
started by the path of this file, without the package, to be ready in a fifth of a
second; `maskdet.media.child` is the other end.

It gets its order as a line of JSON on stdin, then a byte for each picture that was
taken; where stdin ends, its parent is gone and it goes too. It answers in records:

    I  length  0        then JSON of that length: what film it is
    F  slot    time_s   a picture lies in that slot of the shared memory
    E  length  0        then so long a text: one of `WHY`, or `away:` and PyAV's error
    .  length  end_s    the film is over, and its last picture is shown until then; then
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
SLOTS: Final = 3
"""Pictures in the shared memory: one is looked at, one waits, one is being made."""

WHY: Final = ("no film", "only sound", "too large", "too long", "memory")

FILM_FORMATS: Final = (
    "mov,mp4,matroska,webm,avi,mpeg,mpegts,flv,ogg,asf,mxf,ivf,yuv4mpegpipe,gif,"
    "h264,hevc,m4v,mpegvideo,mjpeg"
)
"""What may be opened; no playlists, which make the reader fetch other files."""

NET_PROTOCOLS: Final = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,crypto"
"""What an address may lead to; no files, so that a playlist cannot name ours."""

_BAD_IN_A_ROW: Final = 200
"""Damaged packets are skipped, as players do, but a film of nothing else is none."""

_USUAL_HZ: Final = 25
_RATES_HZ: Final = (Fraction(1, 100), 1000)
"""Frame rates that a header may name; others are a mistake, or built to do harm."""

_BARE_RATES_HZ: Final = (1, 240)
"""The same of a stream without times, where nothing else says how fast it is."""

_TS_DISCONT: Final = 0x0200
_NO_TIMESTAMPS: Final = 0x0080
"""What libavformat says of a kind of file, as AVFMT_TS_DISCONT and
AVFMT_NOTIMESTAMPS."""

_LEAP_S: Final = 10.0
"""A clock that may leap does so if it jumps ahead further than this, as in FFmpeg."""

_SAYS_HOW_LONG: Final = ("mov", "matroska", "flv", "asf")
"""Formats whose header says how long they are; of others that is worked out from what
is there, so that it says nothing of what is missing."""

_NEAR: Final = 5
"""A damaged packet is at the end if so few follow; threads tell of it later."""

_POLL_S: Final = 1.0
"""A camera that gives single images is asked for one as often as this."""


class Stop(Exception):  # noqa: N818 - an end, not always an error
    """The film ends here, for one of the reasons in `WHY`."""


def limit(memory_bytes: int, cpu_s: int) -> None:
    """Bound this process, where the system can: memory from now on and work in all."""
    try:
        import resource
    except ImportError:  # Windows has none; pixel and time limits hold there too
        return
    with contextlib.suppress(OSError, ValueError):
        pages = Path("/proc/self/statm").read_text("ascii").split()[0]
        memory_bytes += int(pages) * mmap.PAGESIZE
    wanted = {"RLIMIT_AS": memory_bytes, "RLIMIT_CPU": cpu_s, "RLIMIT_CORE": 0}
    for name, value in wanted.items():
        with contextlib.suppress(AttributeError, OSError, ValueError):
            number = getattr(resource, name)
            hard = resource.getrlimit(number)[1]
            soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (soft, hard))


def opened(order: dict[str, Any]) -> InputContainer:
    """Open what is to be read: a file, or an address where `order["live"]`."""
    import av

    options = {"format_whitelist": FILM_FORMATS, "protocol_whitelist": "file"}
    if order["live"]:
        # A % in the address of an image is no number to count up.
        options = {"protocol_whitelist": NET_PROTOCOLS, "pattern_type": "none"}
        if order["source"].lower().startswith("rtsp"):
            # UDP loses parts of pictures, but some know nothing else; sound delays.
            options |= {"rtsp_flags": "prefer_tcp", "allowed_media_types": "video"}
    # Titles in old encodings are no reason to refuse a film.
    reader = partial(
        av.open,
        str(order["source"]),
        metadata_errors="replace",
        timeout=(order["wait_s"], order["wait_s"]),
    )
    try:
        return reader(options=options)
    except av.error.EOFError:
        # An MP4 in pieces whose last head is cut: without looking ahead, the pieces
        # before it can be read.
        return reader(options=options | {"fflags": "+ignidx"})


def is_snapshot(film: InputContainer) -> bool:
    """Return whether an address gives a single image, as many cameras have one."""
    return film.format.name == "image2" or film.format.name.endswith("_pipe")


def picture_stream(film: InputContainer, order: dict[str, Any]) -> VideoStream:
    """Return the stream to decode, if it is safe to."""
    import av

    cover = av.stream.Disposition.attached_pic
    # Decoding a stream without a codec is that memory fault (PyAV 18.0.0).
    streams = [
        stream
        for stream in film.streams.video
        if stream.codec_context is not None and not stream.disposition & cover
    ]
    if not streams:
        raise Stop("only sound" if film.streams.audio else "no film")
    best = film.streams.best("video")
    stream = next((one for one in streams if one is best), streams[0])
    if stream.codec_context.width * stream.codec_context.height > order["max_pixels"]:
        raise Stop("too large")
    stream.codec_context.options = {"max_pixels": str(order["max_pixels"])}
    # Of a bare stream nothing but a damaged last frame tells that the rest is missing,
    # and threads may hand that out before they know.
    bare = is_bare(film)
    stream.codec_context.thread_count = 1 if bare else min(4, os.cpu_count() or 1)
    # Whole pictures a thread come late; what has an end at a web address is a film.
    ends = order["source"].lower().startswith("http") and (film.duration or 0) > 0
    one_by_one = bare or (order["live"] and not ends)
    stream.thread_type = "SLICE" if one_by_one else "AUTO"
    return stream


class Reading:
    """Reads one stream of a film, and notes what tells whether that was all of it."""

    def __init__(self, film: InputContainer, stream: VideoStream, max_s: float) -> None:
        """Read nothing yet; what claims to last longer than `max_s` does not."""
        self._film, self._stream, self._max_s = film, stream, max_s
        self._n_packets, self._n_bad, self._last_bad = 0, 0, -_NEAR
        self._torn_packet = self._torn_frame = False
        self._begin_s, self._end_s, self._shown_s = float("inf"), 0.0, 0.0

    def frames(self) -> Iterator[VideoFrame]:
        """Yield what can be decoded."""
        import av

        # Sound is not decoded, but it is there for as long as its film is.
        wanted = [self._stream, *self._film.streams.audio]
        for packet in self._film.demux(wanted):
            self._note(packet)
            if packet.stream is not self._stream:
                continue
            if packet.is_corrupt and not may_leap(self._film):
                # Half a frame, where the file ends. With it threads would lose whole
                # ones before it; in a transport stream a part is worth something.
                continue
            try:
                decoded = cast("list[VideoFrame]", packet.decode())
            except av.error.InvalidDataError:
                self._n_bad, self._last_bad = self._n_bad + 1, self._n_packets
                if self._n_bad > _BAD_IN_A_ROW:
                    raise Stop("no film") from None
                continue
            self._n_bad = 0 if decoded else self._n_bad
            for frame in decoded:
                self._torn_frame = frame.is_corrupt
                lasts_s = float((frame.duration or 0) * (frame.time_base or 0))
                lasts_s = lasts_s if lasts_s <= self._max_s else 0.0
                self._shown_s = max(self._shown_s, (frame.time or 0.0) + lasts_s)
                yield frame

    def end(self) -> dict[str, Any]:
        """Return what is known of the end, once that was reached.

        Returns:
            `torn`: its last packets or frames are damaged, or some are not there;
            `missing_s`: how much longer the film should be by its header;
            `exact`: whether that header tells it of every frame.
        """
        missing_s, n_missing = 0.0, 0
        kind, stream = self._film.format.name.split(",")[0], self._stream
        if kind == "mov":
            n_all = sum(entry.size > 0 for entry in stream.index_entries)
            n_missing = n_all - self._n_packets
            if stream.duration and stream.time_base:
                end = (stream.start_time or 0) + stream.duration
                missing_s = float(end * stream.time_base) - self._shown_s
        elif kind in _SAYS_HOW_LONG and self._film.duration:
            length_s = max(0.0, self._end_s - self._begin_s)
            missing_s = self._film.duration / 1e6 - length_s
        near = self._n_packets - self._last_bad < _NEAR
        torn = self._torn_packet or self._torn_frame or near or n_missing > 0
        return {"torn": torn, "missing_s": missing_s, "exact": kind == "mov"}

    def _note(self, packet: Packet[Any]) -> None:
        if not packet.size:
            return
        self._torn_packet = packet.is_corrupt
        self._n_packets += packet.stream is self._stream
        if packet.pts is not None and packet.time_base is not None:
            begin_s = float(packet.pts * packet.time_base)
            lasts_s = float((packet.duration or 0) * packet.time_base)
            self._begin_s = min(self._begin_s, begin_s)
            self._end_s = max(self._end_s, begin_s + lasts_s)


class Clock:
    """Times that go on where a stream's own clock starts anew or leaps ahead."""

    def __init__(self, *, leaps: bool, slack_s: float = 0.1) -> None:
        """Start before the first time.

        Args:
            leaps: whether a large step ahead is one of the clock, not a long pause.
            slack_s: what is so much too early is out of order, and no new start.
        """
        self._leaps, self._slack_s = leaps, slack_s
        self._shift_s, self._end_s = 0.0, 0.0
        self._last_s: float | None = None

    def of(self, stamp_s: float, lasts_s: float) -> float:
        """Return the time of what has this stamp and lasts so long, in seconds."""
        time_s = stamp_s + self._shift_s
        if self._last_s is not None:
            anew = time_s < self._last_s - self._slack_s
            if anew or (self._leaps and time_s > self._end_s + _LEAP_S):
                self._shift_s += self._end_s - time_s
                time_s = self._end_s
        self._last_s = max(time_s, self._last_s or time_s)
        self._end_s = self._last_s + lasts_s
        return time_s


def may_leap(film: InputContainer) -> bool:
    """Return whether the clock of this kind of film may leap, as that of MPEG-TS."""
    return bool(film.format.flags & _TS_DISCONT)


def is_bare(film: InputContainer) -> bool:
    """Return whether this kind of film has no times, as bare H.264."""
    return bool(film.format.flags & _NO_TIMESTAMPS)


def usual_rate(film: InputContainer, stream: VideoStream) -> tuple[Fraction, bool]:
    """Return the usual frames a second, 0 if not known, and whether that is a guess.

    A bare stream has no times, so there has to be one.
    """
    if is_bare(film):
        named = stream.codec_context.framerate or 0
        known = _BARE_RATES_HZ[0] <= named <= _BARE_RATES_HZ[1]
        return Fraction(named if known else _USUAL_HZ), not known
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and _RATES_HZ[0] <= rate <= _RATES_HZ[1]:
            return Fraction(rate), False
    return Fraction(0), False


class Times:
    """When each picture is shown, in seconds from the first; never falls.

    Attributes:
        start_s: what the film itself calls the time of its first picture.
        end_s: until when the last one is shown.
    """

    def __init__(
        self,
        rate: Fraction = Fraction(0),
        *,
        start_s: float | None = None,
        bare: bool = False,
        leaps: bool = False,
        max_s: float = float("inf"),
    ) -> None:
        """Count in steps of the usual rate where pictures have no time.

        Args:
            rate: usual pictures a second; 0 if not known.
            start_s: what the film calls the time of its first picture, if that is
                not the first one to come.
            bare: whether times are made up, and so not to be used.
            leaps: whether the clock may leap; see `Clock`.
            max_s: nothing is shown for longer.
        """
        self.start_s = start_s
        self.end_s = 0.0
        self._bare, self._max_s = bare, max_s
        self._step_s = 1 / float(rate or _USUAL_HZ)
        self._clock = Clock(leaps=leaps, slack_s=min(1.0, max(0.1, 3 * self._step_s)))
        self._time_s = -self._step_s

    def of(self, frame: VideoFrame) -> float:
        """Return when the next picture is shown."""
        lasts_s = float((frame.duration or 0) * (frame.time_base or 0))
        if self._bare or not 0 < lasts_s <= self._max_s:
            lasts_s = self._step_s
        stamp_s = None if self._bare else frame.time
        if stamp_s is None:
            self._time_s += self._step_s
        else:
            self.start_s = stamp_s if self.start_s is None else self.start_s
            time_s = self._clock.of(stamp_s - self.start_s, lasts_s)
            self._time_s = max(self._time_s, 0.0, time_s)
        self.end_s = self._time_s + lasts_s
        return self._time_s


class Ring:
    """Pictures of one size in memory shared with the parent."""

    def __init__(self, fd: int, tag: str) -> None:
        """Wait for the size of the first picture; `tag` names it on Windows."""
        self._fd, self.tag = fd, tag
        self._free = threading.Semaphore(SLOTS)
        self._next = 0
        self._wh = (0, 0)
        self._rotate = 0
        self.turns, self.mirrored = 0, False
        self.shape = (0, 0, 3)

    def start(self, frame: VideoFrame, wide: float, order: dict[str, Any]) -> None:
        """Take size and turn from the first picture; later ones are made to fit.

        Its pixels are shown `wide` times as wide as high.
        """
        max_pixels = order["max_pixels"]
        width = round(frame.width * wide) if 0.25 < wide < 4 else frame.width
        if width * frame.height > max_pixels:
            raise Stop("too large")
        self._wh = (width, frame.height)
        self.turns, self.mirrored = orientation(frame)
        self._rotate = -order["rotate"] // 90
        sideways = (self.turns + self._rotate) % 2
        height, width = self._wh[:: 1 if sideways else -1]
        self.shape = (height, width, 3)
        size = SLOTS * height * width * 3
        if sys.platform == "win32":
            memory = mmap.mmap(-1, size, self.tag)
        else:
            os.ftruncate(self._fd, size)
            memory = mmap.mmap(self._fd, size)
        self._slots = np.frombuffer(memory, np.uint8).reshape(SLOTS, *self.shape)

    def put(self, frame: VideoFrame) -> int:
        """Write a picture, upright and in BGR, once there is room; return where."""
        width, height = self._wh
        plane = frame.reformat(width, height, format="bgr24").planes[0]
        flat = np.frombuffer(memoryview(plane), np.uint8)
        rows = flat.reshape(height, plane.line_size)[:, : 3 * width]
        self._free.acquire()
        slot, self._next = self._next, (self._next + 1) % SLOTS
        image = rows.reshape(height, width, 3)
        if self.mirrored:
            image = image[:, ::-1]
        self._slots[slot] = np.rot90(image, self.turns + self._rotate)
        return slot

    def listen(self) -> None:
        """Count the pictures that were taken; end with the parent."""
        while os.read(0, 1):
            self._free.release()
        os._exit(0)


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return how a picture is made upright, by its display matrix if it has one.

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
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(math.atan2(-b, a) / (math.pi / 2)) % 4, mirrored


def sought(film: InputContainer, stream: VideoStream, order: dict[str, Any]) -> Times:
    """Go to a time in the film; without an index it is read from its beginning."""
    rate, _ = usual_rate(film, stream)
    bare, start_s = is_bare(film), None
    if order["from_s"] > 0 and stream.time_base is not None and not bare:
        first = stream.start_time or 0
        with contextlib.suppress(OSError):
            film.seek(first + int(order["from_s"] / stream.time_base), stream=stream)
        start_s = float(first * stream.time_base)
    return Times(
        rate, start_s=start_s, bare=bare, leaps=may_leap(film), max_s=order["max_s"]
    )


def about(
    film: InputContainer, stream: VideoStream, ring: Ring, times: Times
) -> dict[str, Any]:
    """Return what is known of the film once its first picture is decoded."""
    duration_s = (film.duration or 0) / 1e6
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    rate, guessed = usual_rate(film, stream)
    return {
        "height": ring.shape[0],
        "width": ring.shape[1],
        "duration_s": max(0.0, duration_s),
        "duration_is_estimate": may_leap(film),
        "frame_rate": [rate.numerator, rate.denominator],
        "rate_is_assumed": guessed,
        "n_frames": stream.frames or round(max(0.0, duration_s) * float(rate)),
        "has_sound": bool(film.streams.audio),
        "rotation_deg": ring.turns * 90,
        "mirrored": ring.mirrored,
        "start_s": times.start_s or 0.0,
        "taken_at": film.metadata.get("creation_time", "")[:40],
        "tag": ring.tag,
    }


def decode(
    order: dict[str, Any], ring: Ring, send: Callable[[bytes, int, float, bytes], None]
) -> None:
    """Send the film picture by picture."""
    with opened(order) as film:
        if order["live"] and is_snapshot(film):
            snapshots(film, order, ring, send)
        stream = picture_stream(film, order)
        from_s = float(order["from_s"])
        times = sought(film, stream, order)
        reading = Reading(film, stream, order["max_s"])
        for number, frame in enumerate(reading.frames()):
            time_s = times.of(frame)
            if time_s > order["max_s"]:
                raise Stop("too long")
            if frame.width * frame.height > order["max_pixels"]:
                raise Stop("too large")
            if ring.shape[0] == 0:
                wide = float(stream.codec_context.sample_aspect_ratio or 1)
                ring.start(frame, wide, order)
                text = json.dumps(about(film, stream, ring, times)).encode()
                send(b"I", len(text), 0.0, text)
            if number % order["every"] == 0 and time_s >= from_s:
                send(b"F", ring.put(frame), time_s, b"")
        if ring.shape[0] == 0:
            raise Stop("no film")
        text = json.dumps(reading.end()).encode()
        send(b".", len(text), times.end_s, text)


def snapshots(
    film: InputContainer,
    order: dict[str, Any],
    ring: Ring,
    send: Callable[[bytes, int, float, bytes], None],
) -> NoReturn:
    """Send a camera's image again and again: it gives the newest to whoever asks.

    Every one is sent, as `order["every"]` is for those that come fast.
    """
    while True:
        asked_s = time.monotonic()
        stream = picture_stream(film, order)
        for frame in Reading(film, stream, order["max_s"]).frames():
            if frame.width * frame.height > order["max_pixels"]:
                raise Stop("too large")
            if ring.shape[0] == 0:
                ring.start(frame, 1.0, order)
                known = about(film, stream, ring, Times())
                known |= {"duration_s": 0.0, "frame_rate": [1, 1], "n_frames": 0}
                text = json.dumps({**known, "is_snapshot": True}).encode()
                send(b"I", len(text), 0.0, text)
            send(b"F", ring.put(frame), 0.0, b"")
        film.close()
        time.sleep(max(0.0, _POLL_S - (time.monotonic() - asked_s)))
        film = opened(order)


def main() -> None:
    """Obey the order on stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    # Nothing that a library prints may fall among the records.
    out = os.dup(1)
    os.dup2(2, 1)
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1) or os._exit(0)
    order = json.loads(line)

    def send(kind: bytes, value: int, time_s: float, body: bytes) -> None:
        record = RECORD.pack(kind, value, time_s) + body
        while record:
            record = record[os.write(out, record) :]

    import av

    ring = Ring(order["fd"], order["tag"])
    threading.Thread(target=ring.listen, daemon=True).start()
    limit(order["memory_bytes"], order["cpu_s"])
    word = ""
    try:
        decode(order, ring, send)
    except Stop as why:
        word = str(why)
    except MemoryError:
        word = "memory"
    except (av.error.FFmpegError, OSError) as error:
        word = f"away:{type(error).__name__}" if order["live"] else "no film"
    if word:
        send(b"E", len(word), 0.0, word.encode())
    os._exit(0)  # threads of a damaged decoder are not waited for


if __name__ == "__main__":
    main()
