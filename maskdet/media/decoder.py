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
    .  0       end_s    the film is over; its last picture is shown until then
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

RECORD: Final = struct.Struct("<cId")
SLOTS: Final = 3
"""Pictures in the shared memory: one is looked at, one waits, one is being made."""

WHY: Final = ("no film", "too large", "too long", "memory")

FILM_FORMATS: Final = "mov,mp4,matroska,webm,avi,mpeg,mpegts,flv,ogg,asf"
"""What may be opened; no playlists, which make the reader fetch other files."""

NET_PROTOCOLS: Final = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,crypto"
"""What an address may lead to; no files, so that a playlist cannot name ours."""

_BAD_IN_A_ROW: Final = 200
"""Damaged packets are skipped, as players do, but a film of nothing else is none."""


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
        options = {"protocol_whitelist": NET_PROTOCOLS}
        if order["source"].lower().startswith("rtsp"):
            # UDP loses parts of pictures, but some know nothing else; sound delays.
            options |= {"rtsp_flags": "prefer_tcp", "allowed_media_types": "video"}
    # Titles in old encodings are no reason to refuse a film.
    return av.open(
        str(order["source"]),
        options=options,
        metadata_errors="replace",
        timeout=(order["wait_s"], order["wait_s"]),
    )


def picture_stream(film: InputContainer, order: dict[str, Any]) -> VideoStream:
    """Return the stream to decode, if it is safe to."""
    stream = next(iter(film.streams.video), None)
    # Decoding a stream without a codec is that memory fault (PyAV 18.0.0).
    if stream is None or stream.codec_context is None:
        raise Stop("no film")
    if stream.codec_context.width * stream.codec_context.height > order["max_pixels"]:
        raise Stop("too large")
    stream.codec_context.options = {"max_pixels": str(order["max_pixels"])}
    stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
    # Whole pictures a thread come late; what has an end at a web address is a film.
    ends = order["source"].lower().startswith("http") and (film.duration or 0) > 0
    stream.thread_type = "SLICE" if order["live"] and not ends else "AUTO"
    return stream


def frames(film: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield what can be decoded."""
    import av

    bad = 0
    for packet in film.demux(stream):
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:
            bad += 1
            if bad > _BAD_IN_A_ROW:
                raise Stop("no film") from None
            continue
        bad = 0 if decoded else bad
        yield from decoded


class Times:
    """When each picture is shown, in seconds from the first; never falls.

    Attributes:
        start_s: what the film itself calls the time of its first picture.
        end_s: until when the last one is shown.
    """

    def __init__(self, stream: VideoStream, start_s: float | None = None) -> None:
        """Count in steps of the stream's usual rate where pictures have no time."""
        self.start_s = start_s
        self.end_s = 0.0
        self._step_s = 1 / float(stream.average_rate or 25)
        self._time_s = -self._step_s

    def of(self, frame: VideoFrame) -> float:
        """Return when the next picture is shown."""
        if (stamp_s := frame.time) is not None:
            self.start_s = stamp_s if self.start_s is None else self.start_s
            self._time_s = max(self._time_s, 0.0, stamp_s - self.start_s)
        else:
            self._time_s += self._step_s
        lasts_s = float((frame.duration or 0) * (frame.time_base or 0))
        self.end_s = self._time_s + (lasts_s if lasts_s > 0 else self._step_s)
        return self._time_s


class Ring:
    """Pictures of one size in memory shared with the parent."""

    def __init__(self, fd: int, tag: str) -> None:
        """Wait for the size of the first picture; `tag` names it on Windows."""
        self._fd, self.tag = fd, tag
        self._free = threading.Semaphore(SLOTS)
        self._next = 0
        self._wh = (0, 0)
        self.turns = 0
        self.shape = (0, 0, 3)

    def start(self, frame: VideoFrame, wide: float, max_pixels: int) -> None:
        """Take size and turn from the first picture; later ones are made to fit.

        Its pixels are shown `wide` times as wide as high.
        """
        width = round(frame.width * wide) if 0.25 < wide < 4 else frame.width
        if width * frame.height > max_pixels:
            raise Stop("too large")
        self._wh = (width, frame.height)
        self.turns = round(frame.rotation / 90) % 4
        height, width = self._wh[:: 1 if self.turns % 2 else -1]
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
        self._slots[slot] = np.rot90(rows.reshape(height, width, 3), self.turns)
        return slot

    def listen(self) -> None:
        """Count the pictures that were taken; end with the parent."""
        while os.read(0, 1):
            self._free.release()
        os._exit(0)


def sought(film: InputContainer, stream: VideoStream, from_s: float) -> Times:
    """Go to a time in the film; without an index it is read from its beginning."""
    if stream.time_base is None:
        return Times(stream)
    first = stream.start_time or 0
    with contextlib.suppress(OSError):
        film.seek(first + int(from_s / stream.time_base), stream=stream)
    return Times(stream, float(first * stream.time_base))


def about(
    film: InputContainer, stream: VideoStream, ring: Ring, times: Times
) -> dict[str, Any]:
    """Return what is known of the film once its first picture is decoded."""
    duration_s = (film.duration or 0) / 1e6
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    rate = stream.average_rate or stream.guessed_rate or 0
    return {
        "height": ring.shape[0],
        "width": ring.shape[1],
        "duration_s": max(0.0, duration_s),
        "frame_rate": [rate.numerator, rate.denominator] if rate else [0, 1],
        "n_frames": stream.frames or round(max(0.0, duration_s) * float(rate)),
        "has_sound": bool(film.streams.audio),
        "rotation_deg": ring.turns * 90,
        "start_s": times.start_s or 0.0,
        "taken_at": film.metadata.get("creation_time", "")[:40],
        "tag": ring.tag,
    }


def decode(
    order: dict[str, Any], ring: Ring, send: Callable[[bytes, int, float, bytes], None]
) -> None:
    """Send the film picture by picture."""
    with opened(order) as film:
        stream = picture_stream(film, order)
        from_s = float(order["from_s"])
        times = sought(film, stream, from_s) if from_s > 0 else Times(stream)
        for number, frame in enumerate(frames(film, stream)):
            time_s = times.of(frame)
            if time_s > order["max_s"]:
                raise Stop("too long")
            if frame.width * frame.height > order["max_pixels"]:
                raise Stop("too large")
            if ring.shape[0] == 0:
                wide = float(stream.codec_context.sample_aspect_ratio or 1)
                ring.start(frame, wide, order["max_pixels"])
                text = json.dumps(about(film, stream, ring, times)).encode()
                send(b"I", len(text), 0.0, text)
            if number % order["every"] == 0 and time_s >= from_s:
                send(b"F", ring.put(frame), time_s, b"")
        if ring.shape[0] == 0:
            raise Stop("no film")
        send(b".", 0, times.end_s, b"")


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
