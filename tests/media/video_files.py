"""Small video files for the tests of reading and writing."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from maskdet.media import encode_jpeg
from tests.media.image_files import make_corners_image

N_FRAMES = 12
SIZE_WH = (96, 64)


def write_video(
    path: Path,
    codec: str = "mpeg4",
    *,
    size_wh: tuple[int, int] = SIZE_WH,
    times_ms: Sequence[int] = tuple(range(0, 1200, 100)),
    audio_codec: str = "",
    audio_start_s: float = 0.0,
    audio_length_s: float = 0.0,
    rate: int = 10,
    gop_size: int = 0,
    options: dict[str, str] | None = None,
    creation_time: str = "",
) -> Path:
    """Write 1.2 s of frames with four coloured corners, of increasing brightness.

    `audio_codec`, the name of an encoder, adds a tone of the same length, or of
    `audio_length_s`. `creation_time` goes to the header. The frame times are `times_ms`
    at a `rate` of 10, and given by the rate otherwise. Every `gop_size` frames one
    needs no other; 0 leaves that to the encoder.
    """
    width, height = size_wh
    with av.open(str(path), "w", options=options or {}) as container:
        if creation_time:
            container.metadata["creation_time"] = creation_time
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = width, height
        if gop_size:
            stream.codec_context.gop_size = gop_size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        tick_s = Fraction(1, 1000 if rate == 10 else rate)
        stream.codec_context.time_base = tick_s
        audio_stream = (
            container.add_stream(audio_codec, rate=48_000) if audio_codec else None
        )
        for number, at_ms in enumerate(times_ms):
            image = np.maximum(make_corners_image(width, height), np.uint8(5 * number))
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = at_ms if rate == 10 else number
            frame.time_base = tick_s
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio_stream is not None:
            first = round(audio_start_s * 48_000)
            length_s = audio_length_s or (times_ms[-1] + 100) / 1000
            for sample in range(0, round(length_s * 48_000), 960):
                container.mux(audio_stream.encode(make_tone(first + sample)))
            container.mux(audio_stream.encode())
    return path


def make_tone(first_sample: int) -> av.AudioFrame:
    """Return 20 ms of a 440 Hz tone from a sample on."""
    wave = 0.3 * np.sin(
        np.arange(first_sample, first_sample + 960) * 2 * np.pi * 440 / 48_000
    )
    samples = np.repeat(wave[None].astype(np.float32), 2, axis=0)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
    frame.sample_rate, frame.pts = 48_000, first_sample
    frame.time_base = Fraction(1, 48_000)
    return frame


def rotate_in_header(
    path: Path, matrix: tuple[int, int, int, int] = (0, 1, -1, 0)
) -> Path:
    """Write a rotation matrix to the header of a video (ISO 14496-12, 8.3.2).

    The matrix is a, b, c, d: x' = a x + c y, y' = b x + d y.
    """
    data = bytearray(path.read_bytes())
    offset = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (0x10000 * value for value in matrix)
    values = np.array([a, b, 0, c, d, 0, 0, 0, 0x40000000], ">i4")
    data[offset : offset + 36] = values.tobytes()
    path.write_bytes(data)
    return path


def read_packets(path: Path, stream_type: str) -> list[tuple[float, float]]:
    """Return time and duration of every packet of the audio or video stream."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, stream_type)[0]
        return [
            (
                float(packet.pts * packet.time_base),
                float((packet.duration or 0) * packet.time_base),
            )
            for packet in container.demux(stream)
            if packet.pts is not None
        ]


def add_cover_image(
    path: Path, source: Path, stream_type: str = "video", *, cover_first: bool
) -> Path:
    """Copy a stream of a video, and add a cover image as in music files."""
    with av.open(str(source)) as source_container, av.open(str(path), "w") as container:
        source_stream = getattr(source_container.streams, stream_type)[0]
        stream = container.add_stream_from_template(source_stream)
        cover = container.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = 320, 240, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        image = av.Packet(encode_jpeg(make_corners_image(320, 240)))
        image.stream, image.time_base = cover, Fraction(1, 90_000)
        image.pts = image.dts = 0
        container.mux(image)
        for packet in source_container.demux(source_stream):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    if cover_first:  # its box comes before that of the stream
        data = path.read_bytes()
        track, cover_at = data.index(b"trak") - 4, data.index(b"udta") - 4
        path.write_bytes(data[:track] + data[cover_at:] + data[track:cover_at])
    return path
