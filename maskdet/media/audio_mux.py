"""Add the audio of a source video to a new video, in a process of its own.

The source is an untrusted file, so it is read in a separate process, as in
`maskdet.media.decoder_process`: `python -m maskdet.media.audio_mux`, with a request as
a line of JSON on stdin.
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

AUDIO_LOST: Final = "the audio could not be kept"

_COPYABLE_CODECS: Final = {
    "mp4": ("aac", "mp3"),
    "mov": ("aac", "mp3"),
    "webm": ("opus", "vorbis"),
    "matroska": ("aac", "mp3", "opus", "vorbis", "flac"),
}
"""Audio codecs that are copied, because browsers play them in that container; others
are re-encoded."""

_AUDIO_ENCODERS: Final = {"webm": "libopus"}
_SAMPLE_RATE_HZ: Final = 48_000
_AUDIO_BIT_RATE: Final = 128_000


class AudioMuxError(RuntimeError):
    """The audio cannot be read or added."""


@dataclass(frozen=True)
class AudioTrack:
    """Audio to keep, and limits of reading it.

    Attributes:
        source: the video with the audio.
        start_s: timestamp of the first frame in that video.
        end_s: end of the new video; audio after it is dropped.
        memory_bytes: as in `VideoLimits`.
        timeout_s: maximum time, in seconds.
    """

    source: str
    start_s: float = 0.0
    end_s: float = math.inf
    memory_bytes: int = 2_000_000_000
    timeout_s: float = 600.0


def faststart_options(kind: str) -> dict[str, str]:
    """Return the muxer option that puts the index first, if the format has one."""
    return {"movflags": "faststart"} if kind in ("mp4", "mov") else {}


def mux_audio(audio: AudioTrack, video: Path, target: Path, *, kind: str) -> None:
    """Write a video with the frames of one video and the audio of another.

    Args:
        audio: the audio to add.
        video: a video that `VideoWriter` wrote.
        target: path of the result.
        kind: container format, by its name in PyAV.

    Raises:
        AudioMuxError: the audio cannot be read, or it takes too long.
    """
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    request = {
        **asdict(audio),
        "end_s": min(audio.end_s, 1e9),
        "video": str(video),
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


def _mux_streams(request: dict[str, Any]) -> None:
    """Process a request of `mux_audio`."""
    import av

    input_request = {"source": request["source"], "live": False, "wait_s": None}
    with (
        decoder_process.open_input(input_request) as audio_input,
        av.open(request["video"]) as video_input,
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
    """Yield times and copied packets, shifted so that the first frame is at 0."""
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
    """Yield times and re-encoded packets, in a codec for the target format."""
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


def _run_audio_mux() -> int:
    """Process the request on stdin; return the exit status, 1 for unreadable audio."""
    request = json.loads(sys.stdin.readline())
    import av

    decoder_process.limit_resources(request["memory_bytes"], int(request["timeout_s"]))
    try:
        _mux_streams(request)
    except (av.error.FFmpegError, OSError, MemoryError, ValueError, IndexError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_run_audio_mux())
