"""Putting a film's sound beside new pictures, in a process of its own.

The sound comes from a film that a stranger sent, so whoever reads it is kept apart, as
in `maskdet.media.decoder`: `python -m maskdet.media.mixing` with an order on stdin.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from maskdet.media import decoder

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

NO_SOUND: Final = "the sound could not be kept"

_COPIED: Final = {
    "mp4": ("aac", "mp3"),
    "mov": ("aac", "mp3"),
    "webm": ("opus", "vorbis"),
    "matroska": ("aac", "mp3", "opus", "vorbis", "flac"),
}
"""Sounds that a kind of file holds and browsers play; others are encoded anew."""

_ENCODED: Final = {"webm": "libopus"}
_RATE_HZ: Final = 48_000
_BIT_RATE: Final = 128_000


class MixingFailed(RuntimeError):  # noqa: N818 - says what happened
    """There is no sound that could be added."""


@dataclass(frozen=True)
class Sound:
    """Sound to keep, and what reading it may cost.

    Attributes:
        source: the film that has it.
        start_s: what that film calls the time of the first picture.
        end_s: where the new film ends; sound after it is dropped.
        memory_bytes: as in `FilmLimits`.
        max_wait_s: how long it may take, in seconds.
    """

    source: str
    start_s: float = 0.0
    end_s: float = math.inf
    memory_bytes: int = 2_000_000_000
    max_wait_s: float = 600.0


def faststart(kind: str) -> dict[str, str]:
    """Return the option that puts a film's index first, where there is one."""
    return {"movflags": "faststart"} if kind in ("mp4", "mov") else {}


def add_sound(sound: Sound, pictures: Path, target: Path, *, kind: str) -> None:
    """Write a film with the pictures of one and the sound of another.

    Args:
        sound: what to add.
        pictures: a film that was written here.
        target: where the film goes.
        kind: what kind of file it is, as PyAV calls it.

    Raises:
        MixingFailed: the sound cannot be read, or takes too long.
    """
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    order = {
        **asdict(sound),
        "end_s": min(sound.end_s, 1e9),
        "pictures": str(pictures),
        "target": str(target),
        "kind": kind,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "maskdet.media.mixing"],
            input=json.dumps(order).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=sound.max_wait_s,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MixingFailed(NO_SOUND) from None
    if done.returncode != 0:
        raise MixingFailed(NO_SOUND)


def mix(order: dict[str, Any]) -> None:
    """Do what `add_sound` asks for."""
    import av

    reading = {"source": order["source"], "live": False, "wait_s": None}
    with (
        decoder.opened(reading) as heard,
        av.open(order["pictures"]) as seen,
        av.open(
            order["target"],
            "w",
            format=order["kind"],
            options=faststart(order["kind"]),
        ) as out,
    ):
        pictures = out.add_stream_from_template(seen.streams.video[0])
        sound = heard.streams.audio[0]
        codec = sound.codec_context.name
        copied = codec.removesuffix("float") in _COPIED[order["kind"]]
        add = _copied if copied else _encoded
        packets = heapq.merge(
            ((_time_s(one), one) for one in _moved(seen, pictures)),
            add(heard, sound, out, order),
            key=lambda pair: pair[0],
        )
        for _, packet in packets:
            out.mux(packet)


def _moved(seen: InputContainer, pictures: Any) -> Iterator[Packet[Any]]:
    for packet in seen.demux(video=0):
        if packet.dts is not None:
            packet.stream = pictures
            yield packet


def _copied(
    heard: InputContainer, sound: AudioStream, out: OutputContainer, order: Any
) -> Iterator[tuple[float, Packet[Any]]]:
    """Yield the sound as it is, moved to where the first picture is at 0."""
    stream = out.add_stream_from_template(sound)
    clock = decoder.Clock(leaps=decoder.may_leap(heard))

    def packets() -> Iterator[tuple[float, Packet[Any]]]:
        for packet in heard.demux(sound):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            begin_s = _time_s(packet) - order["start_s"]
            lasts_s = float((packet.duration or 0) * packet.time_base)
            later_s = clock.of(begin_s, lasts_s) - _time_s(packet)
            later = round(later_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + later, packet.dts + later
            if packet.pts >= 0 and _time_s(packet) < order["end_s"]:
                packet.stream = stream
                yield _time_s(packet), packet

    return packets()


def _encoded(
    heard: InputContainer, sound: AudioStream, out: OutputContainer, order: Any
) -> Iterator[tuple[float, Packet[Any]]]:
    """Yield the sound in a form that the file may hold."""
    import av

    name = _ENCODED.get(order["kind"], "aac")
    stream = cast("AudioStream", out.add_stream(name, rate=_RATE_HZ))
    stream.bit_rate = _BIT_RATE
    stream.layout = "mono" if sound.codec_context.channels == 1 else "stereo"
    even = av.AudioResampler(format=stream.format, layout=stream.layout, rate=_RATE_HZ)
    clock = decoder.Clock(leaps=decoder.may_leap(heard))

    def packets() -> Iterator[tuple[float, Packet[Any]]]:
        for frame in heard.decode(sound):
            for piece in even.resample(frame):
                begin_s = (piece.time or 0.0) - order["start_s"]
                begin_s = clock.of(begin_s, piece.samples / _RATE_HZ)
                if begin_s < 0 or begin_s >= order["end_s"]:
                    continue
                piece.pts = round(begin_s * _RATE_HZ)
                for packet in stream.encode(piece):
                    yield _time_s(packet), packet
        for packet in stream.encode():
            yield _time_s(packet), packet

    return packets()


def _time_s(packet: Packet[Any]) -> float:
    return float((packet.dts or 0) * (packet.time_base or 0))


def main() -> int:
    """Obey the order on stdin; anything that goes wrong is the sound's fault."""
    order = json.loads(sys.stdin.readline())
    import av

    decoder.limit(order["memory_bytes"], int(order["max_wait_s"]))
    try:
        mix(order)
    except (av.error.FFmpegError, OSError, MemoryError, ValueError, IndexError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
