"""Frame times of videos whose timestamps are wrong, restart, jump or are missing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskdet.media import (
    AudioTrack,
    VideoLimits,
    VideoReadError,
    VideoWriter,
    open_video,
    open_video_file,
)
from maskdet.media.decoder_process import TimestampNormalizer
from tests.media.image_files import make_corners_image, to_pillow
from tests.media.video_files import N_FRAMES, read_packets, write_video

HOURS_MS = 36_000_000


def write_from(path: Path, from_ms: int, **options: object) -> Path:
    times_ms = range(from_ms, from_ms + 1200, 100)
    return write_video(path, "libx264", times_ms=tuple(times_ms), **options)


def concatenate(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def times_of(path: Path) -> tuple[list[float], float]:
    with open_video(path) as opened:
        return [time_s for _, time_s in opened], opened.end_s


def even_times(n: int) -> list[float]:
    return pytest.approx([index / 10 for index in range(n)], abs=2e-3)


def test_restarted_timestamps_continue(tmp_path: Path) -> None:
    part = write_from(tmp_path / "a.ts", 0)
    times, end_s = times_of(concatenate(tmp_path / "b.ts", part, part, part))
    assert times == even_times(3 * N_FRAMES)
    assert end_s == pytest.approx(3.6, abs=0.01)


def test_timestamps_that_jump_ahead_continue(tmp_path: Path) -> None:
    parts = write_from(tmp_path / "a.ts", 0), write_from(tmp_path / "b.ts", HOURS_MS)
    path = concatenate(tmp_path / "c.ts", *parts)
    times, end_s = times_of(path)
    assert times == even_times(2 * N_FRAMES)
    assert end_s == pytest.approx(2.4, abs=0.01)
    with open_video_file(path, VideoLimits(max_duration_s=60)) as opened:
        assert opened.info.duration_is_estimate
        assert len(list(opened)) == 2 * N_FRAMES


def test_restarted_timestamps_continue_in_matroska(tmp_path: Path) -> None:
    part = write_video(tmp_path / "a.mkv", "libx264", options={"live": "1"})
    times, _ = times_of(concatenate(tmp_path / "b.mkv", part, part))
    assert times == even_times(2 * N_FRAMES)


def test_a_long_pause_is_kept(tmp_path: Path) -> None:
    """As from a camera that records only motion; also in a format with jumps."""
    times_ms = (0, 100, 30_000, 30_100)
    assert times_of(write_video(tmp_path / "a.mp4", times_ms=times_ms))[
        0
    ] == pytest.approx([0, 0.1, 30, 30.1], abs=2e-3)
    times_ms = (0, 100, 9000, 9100)
    path = write_video(tmp_path / "a.ts", "libx264", times_ms=times_ms)
    assert times_of(path)[0] == pytest.approx([0, 0.1, 9, 9.1], abs=2e-3)


def test_timestamps_slightly_out_of_order_are_kept() -> None:
    clock = TimestampNormalizer(may_jump=True)
    stamps = [0.0, 0.1, 0.05, 0.2, 0.15, 0.3]
    assert [clock.normalize(stamp, 0.1) for stamp in stamps] == stamps
    assert clock.normalize(-5.0, 0.1) == pytest.approx(0.4)
    assert clock.normalize(-4.9, 0.1) == pytest.approx(0.5)
    assert clock.normalize(90.0, 0.1) == pytest.approx(0.6)
    assert clock.normalize(90.1, 0.1) == pytest.approx(0.7)


def test_audio_timestamps_continue_like_those_of_frames(tmp_path: Path) -> None:
    part = write_from(tmp_path / "a.ts", 0, audio_codec="aac")
    source = concatenate(tmp_path / "b.ts", part, part)
    out = tmp_path / "out.mp4"
    with open_video_file(source) as opened:
        audio = AudioTrack(str(source), opened.info.start_s)
        with VideoWriter(out, (96, 64), frame_rate=Fraction(10), audio=audio) as writer:
            for image, time_s in opened:
                writer.write(image, time_s)
            writer.finish(opened.end_s)
    assert writer.note == ""
    audio_times = [time_s for time_s, _ in read_packets(out, "audio")]
    assert audio_times[-1] == pytest.approx(2.4, abs=0.15)
    assert max(np.diff(audio_times)) < 0.1


def test_the_frame_rate_of_a_raw_stream_is_read_or_assumed(tmp_path: Path) -> None:
    for name, codec in (("a.h264", "libx264"), ("a.m1v", "mpeg1video")):
        path = write_video(tmp_path / name, codec, rate=50 if name == "a.h264" else 30)
        with open_video_file(path) as opened:
            info = opened.info
            times = [time_s for _, time_s in opened]
        rate = 50 if name == "a.h264" else 30
        assert (info.frame_rate, info.rate_is_assumed) == (rate, False)
        assert times == pytest.approx([index / rate for index in range(N_FRAMES)])
    with open_video_file(write_video(tmp_path / "a.mjpeg", "mjpeg", rate=25)) as opened:
        assert opened.info.frame_rate == 25
        assert opened.info.rate_is_assumed
        assert len(list(opened)) == N_FRAMES
        assert opened.end_s == pytest.approx(N_FRAMES / 25)


def test_an_hevc_stream_and_a_gif_are_read(tmp_path: Path) -> None:
    with open_video_file(
        write_video(tmp_path / "a.hevc", "libx265", rate=20)
    ) as opened:
        assert len(list(opened)) == N_FRAMES
        assert opened.info.frame_rate == 20
    images = [
        to_pillow(np.maximum(make_corners_image(), np.uint8(60 * n))) for n in range(4)
    ]
    path = tmp_path / "a.gif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=250)
    times, end_s = times_of(path)
    assert times == pytest.approx([0, 0.25, 0.5, 0.75])
    assert end_s == pytest.approx(1)


def test_a_frame_rate_close_to_zero_is_an_error(tmp_path: Path) -> None:
    """The header of an AVI gives a frame duration of years."""
    path = write_video(tmp_path / "a.avi", rate=20)
    content = bytearray(path.read_bytes())
    at = content.index(b"strh") + 8 + 20
    content[at : at + 8] = (684_510_413).to_bytes(4, "little") + b"\x04\0\0\0"
    path.write_bytes(content)
    with open_video_file(path) as opened:
        assert opened.info.frame_rate == 0
        with pytest.raises(VideoReadError, match="longer than is allowed"):
            list(opened)
        assert opened.end_s < 1


def test_an_impossible_frame_duration_is_ignored(tmp_path: Path) -> None:
    """One duration in an MP4 has the largest possible value (8.6.1.2)."""
    path = write_video(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    at = content.index(b"stts") + 16
    content[at : at + 4] = (2**31 - 1).to_bytes(4, "big")
    path.write_bytes(content)
    with open_video_file(path) as opened:
        with pytest.raises(VideoReadError):
            list(opened)
        assert opened.end_s < 10


@pytest.mark.parametrize("rate", [Fraction(1, 10**9), Fraction(10**9), Fraction(-1)])
def test_the_writer_ignores_an_impossible_frame_rate(
    tmp_path: Path, rate: Fraction
) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, (96, 64), frame_rate=rate) as writer:
        writer.write(
            np.asarray(cv2.resize(make_corners_image(), (96, 64)), np.uint8), 0.0
        )
        writer.finish()
    assert len(list(open_video(path))) == 1
