"""Putting a video's sound beside new images, in a process of its own.

The sound comes from a video that a stranger sent, so whoever reads it is kept apart, as
in `maskdet.media.decoder_process`: `python -m maskdet.media.audio_mux` with an order on
stdin.
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

from maskdet.media import decoder_process

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

AUDIO_LOST: Final = "the sound could not be kept"

_COPYABLE_CODECS: Final = {
    "mp4": ("aac", "mp3"),
    "mov": ("aac", "mp3"),
    "webm": ("opus", "vorbis"),
    "matroska": ("aac", "mp3", "opus", "vorbis", "flac"),
}
"""Sounds that a kind of file holds and browsers play; others are encoded anew."""

_AUDIO_ENCODERS: Final = {"webm": "libopus"}
_SAMPLE_RATE_HZ: Final = 48_000
_AUDIO_BIT_RATE: Final = 128_000


class AudioMuxError(RuntimeError):
    """There is no sound that could be added."""


@dataclass(frozen=True)
class AudioTrack:
    """Sound to keep, and what reading it may cost.

    Attributes:
        source: the video that has it.
        start_s: what that video calls the time of the first image.
        end_s: where the new video ends; sound after it is dropped.
        memory_bytes: as in `FilmLimits`.
        timeout_s: how long it may take, in seconds.
    """

    source: str
    start_s: float = 0.0
    end_s: float = math.inf
    memory_bytes: int = 2_000_000_000
    timeout_s: float = 600.0


def faststart_options(kind: str) -> dict[str, str]:
    """Return the option that puts a video's index first, where there is one."""
    return {"movflags": "faststart"} if kind in ("mp4", "mov") else {}


def mux_audio(audio: AudioTrack, video: Path, target: Path, *, kind: str) -> None:
    """Write a video with the images of one and the sound of another.

    Args:
        audio: what to add.
        video: a video that was written here.
        target: where the video goes.
        kind: what kind of file it is, as PyAV calls it.

    Raises:
        AudioMuxError: the sound cannot be read, or takes too long.
    """
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    request = {
        **asdict(audio),
        "end_s": min(audio.end_s, 1e9),
        "images": str(video),
        "target": str(target),
        "kind": kind,
    }
    try:
        completed = subprocess.run(
            [sys.executable, "-m", "maskdet.media.audio_mux"],
            input=json.dumps(request).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=audio.timeout_s,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AudioMuxError(AUDIO_LOST) from None
    if completed.returncode != 0:
        raise AudioMuxError(AUDIO_LOST)


def mux_streams(request: dict[str, Any]) -> None:
    """Do what `mux_audio` asks for."""
    import av

    input_request = {"source": request["source"], "live": False, "wait_s": None}
    with (
        decoder_process.open_input(input_request) as audio_input,
        av.open(request["images"]) as video_input,
        av.open(
            request["target"],
            "w",
            format=request["kind"],
            options=faststart_options(request["kind"]),
        ) as output,
    ):
        video_stream = output.add_stream_from_template(video_input.streams.video[0])
        audio_stream = audio_input.streams.audio[0]
        codec = audio_stream.codec_context.name
        can_copy = codec.removesuffix("float") in _COPYABLE_CODECS[request["kind"]]
        add_audio = _copy_audio if can_copy else _encode_audio
        packets = heapq.merge(
            (
                (_packet_time_s(video_packet), video_packet)
                for video_packet in _iter_video_packets(video_input, video_stream)
            ),
            add_audio(audio_input, audio_stream, output, request),
            key=lambda pair: pair[0],
        )
        for _, packet in packets:
            output.mux(packet)


def _iter_video_packets(
    container: InputContainer, stream: Any
) -> Iterator[Packet[Any]]:
    for packet in container.demux(video=0):
        if packet.dts is not None:
            packet.stream = stream
            yield packet


def _copy_audio(
    container: InputContainer,
    audio_stream: AudioStream,
    output: OutputContainer,
    request: Any,
) -> Iterator[tuple[float, Packet[Any]]]:
    """Yield the sound as it is, moved to where the first image is at 0."""
    stream = output.add_stream_from_template(audio_stream)
    normalizer = decoder_process.TimestampNormalizer(
        may_jump=decoder_process.has_clock_jumps(container)
    )

    def packets() -> Iterator[tuple[float, Packet[Any]]]:
        for packet in container.demux(audio_stream):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            start_s = _packet_time_s(packet) - request["start_s"]
            duration_s = float((packet.duration or 0) * packet.time_base)
            shift_s = normalizer.normalize(start_s, duration_s) - _packet_time_s(packet)
            shift = round(shift_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            if packet.pts >= 0 and _packet_time_s(packet) < request["end_s"]:
                packet.stream = stream
                yield _packet_time_s(packet), packet

    return packets()


def _encode_audio(
    container: InputContainer,
    audio_stream: AudioStream,
    output: OutputContainer,
    request: Any,
) -> Iterator[tuple[float, Packet[Any]]]:
    """Yield the sound in a form that the file may hold."""
    import av

    name = _AUDIO_ENCODERS.get(request["kind"], "aac")
    stream = cast("AudioStream", output.add_stream(name, rate=_SAMPLE_RATE_HZ))
    stream.bit_rate = _AUDIO_BIT_RATE
    stream.layout = "mono" if audio_stream.codec_context.channels == 1 else "stereo"
    resampler = av.AudioResampler(
        format=stream.format, layout=stream.layout, rate=_SAMPLE_RATE_HZ
    )
    normalizer = decoder_process.TimestampNormalizer(
        may_jump=decoder_process.has_clock_jumps(container)
    )

    def packets() -> Iterator[tuple[float, Packet[Any]]]:
        for frame in container.decode(audio_stream):
            for chunk in resampler.resample(frame):
                start_s = (chunk.time or 0.0) - request["start_s"]
                start_s = normalizer.normalize(start_s, chunk.samples / _SAMPLE_RATE_HZ)
                if start_s < 0 or start_s >= request["end_s"]:
                    continue
                chunk.pts = round(start_s * _SAMPLE_RATE_HZ)
                for packet in stream.encode(chunk):
                    yield _packet_time_s(packet), packet
        for packet in stream.encode():
            yield _packet_time_s(packet), packet

    return packets()


def _packet_time_s(packet: Packet[Any]) -> float:
    return float((packet.dts or 0) * (packet.time_base or 0))


def run_audio_mux() -> int:
    """Obey the order on stdin; anything that goes wrong is the sound's fault."""
    request = json.loads(sys.stdin.readline())
    import av

    decoder_process.limit_resources(request["memory_bytes"], int(request["timeout_s"]))
    try:
        mux_streams(request)
    except (av.error.FFmpegError, OSError, MemoryError, ValueError, IndexError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run_audio_mux())
