"""Small films for the tests of reading and writing them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from maskdet.media import encode_jpeg
from tests.media.files import scenery

N_FRAMES = 12
SIZE_WH = (96, 64)


def film(
    path: Path,
    codec: str = "mpeg4",
    *,
    size_wh: tuple[int, int] = SIZE_WH,
    times_ms: Sequence[int] = tuple(range(0, 1200, 100)),
    sound: str = "",
    sound_from_s: float = 0.0,
    sound_s: float = 0.0,
    rate: int = 10,
    options: dict[str, str] | None = None,
    taken_at: str = "",
) -> Path:
    """Write 1.2 s of a picture with four coloured corners, growing brighter.

    With `sound`, the name of an encoder, there is a tone as long as the pictures, or
    for `sound_s`; with `taken_at`, the header says so. At another rate than 10, the
    pictures take their times from that.
    """
    width, height = size_wh
    with av.open(str(path), "w", options=options or {}) as container:
        if taken_at:
            container.metadata["creation_time"] = taken_at
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        tick_s = Fraction(1, 1000 if rate == 10 else rate)
        stream.codec_context.time_base = tick_s
        heard = container.add_stream(sound, rate=48_000) if sound else None
        for number, at_ms in enumerate(times_ms):
            image = np.maximum(scenery(width, height), np.uint8(5 * number))
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = at_ms if rate == 10 else number
            frame.time_base = tick_s
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if heard is not None:
            first = round(sound_from_s * 48_000)
            length_s = sound_s or (times_ms[-1] + 100) / 1000
            for at in range(0, round(length_s * 48_000), 960):
                container.mux(heard.encode(tone(first + at)))
            container.mux(heard.encode())
    return path


def tone(at: int) -> av.AudioFrame:
    """Return 20 ms of sound that begins at a sample."""
    wave = 0.3 * np.sin(np.arange(at, at + 960) * 2 * np.pi * 440 / 48_000)
    samples = np.repeat(wave[None].astype(np.float32), 2, axis=0)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
    frame.sample_rate, frame.pts = 48_000, at
    frame.time_base = Fraction(1, 48_000)
    return frame


def turned(path: Path, matrix: tuple[int, int, int, int] = (0, 1, -1, 0)) -> Path:
    """Note in a film's header how it was held (ISO 14496-12, 8.3.2), here sideways.

    The matrix is a, b, c, d: x' = a x + c y, y' = b x + d y.
    """
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (0x10000 * one for one in matrix)
    values = np.array([a, b, 0, c, d, 0, 0, 0, 0x40000000], ">i4")
    data[at : at + 36] = values.tobytes()
    path.write_bytes(data)
    return path


def packets(path: Path, kind: str) -> list[tuple[float, float]]:
    """Return time and length of every packet of a film's sound or pictures."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [
            (
                float(packet.pts * packet.time_base),
                float((packet.duration or 0) * packet.time_base),
            )
            for packet in container.demux(stream)
            if packet.pts is not None
        ]


def with_cover(path: Path, source: Path, kind: str = "video", *, first: bool) -> Path:
    """Copy a stream of a film beside a still image, as music and films have it."""
    with av.open(str(source)) as copied, av.open(str(path), "w") as container:
        wanted = getattr(copied.streams, kind)[0]
        stream = container.add_stream_from_template(wanted)
        cover = container.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = 320, 240, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        image = av.Packet(encode_jpeg(scenery(320, 240)))
        image.stream, image.time_base = cover, Fraction(1, 90_000)
        image.pts = image.dts = 0
        container.mux(image)
        for packet in copied.demux(wanted):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    if first:  # the box that holds it comes before that of the stream
        data = path.read_bytes()
        track, cover_at = data.index(b"trak") - 4, data.index(b"udta") - 4
        path.write_bytes(data[:track] + data[cover_at:] + data[track:cover_at])
    return path
