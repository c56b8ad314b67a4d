"""The time line of videos whose own clock is wrong, starts anew, or is not there."""

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


def later(path: Path, from_ms: int, **how: object) -> Path:
    times_ms = range(from_ms, from_ms + 1200, 100)
    return write_video(path, "libx264", times_ms=tuple(times_ms), **how)


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def times_of(path: Path) -> tuple[list[float], float]:
    with open_video(path) as opened:
        return [time_s for _, time_s in opened], opened.end_s


def even(n: int) -> list[float]:
    return pytest.approx([number / 10 for number in range(n)], abs=2e-3)


def test_a_clock_that_starts_anew_goes_on(tmp_path: Path) -> None:
    part = later(tmp_path / "a.ts", 0)
    times, end_s = times_of(joined(tmp_path / "b.ts", part, part, part))
    assert times == even(3 * N_FRAMES)
    assert end_s == pytest.approx(3.6, abs=0.01)


def test_a_clock_that_leaps_ahead_goes_on(tmp_path: Path) -> None:
    parts = later(tmp_path / "a.ts", 0), later(tmp_path / "b.ts", HOURS_MS)
    path = joined(tmp_path / "c.ts", *parts)
    times, end_s = times_of(path)
    assert times == even(2 * N_FRAMES)
    assert end_s == pytest.approx(2.4, abs=0.01)
    with open_video_file(path, VideoLimits(max_duration_s=60)) as opened:
        assert opened.info.duration_is_estimate
        assert len(list(opened)) == 2 * N_FRAMES


def test_a_clock_that_starts_anew_goes_on_in_matroska_too(tmp_path: Path) -> None:
    part = write_video(tmp_path / "a.mkv", "libx264", options={"live": "1"})
    times, _ = times_of(joined(tmp_path / "b.mkv", part, part))
    assert times == even(2 * N_FRAMES)


def test_a_long_pause_is_one(tmp_path: Path) -> None:
    """A camera that videos only what moves; also in a stream that may leap."""
    times_ms = (0, 100, 30_000, 30_100)
    assert times_of(write_video(tmp_path / "a.mp4", times_ms=times_ms))[
        0
    ] == pytest.approx([0, 0.1, 30, 30.1], abs=2e-3)
    times_ms = (0, 100, 9000, 9100)
    path = write_video(tmp_path / "a.ts", "libx264", times_ms=times_ms)
    assert times_of(path)[0] == pytest.approx([0, 0.1, 9, 9.1], abs=2e-3)


def test_what_is_slightly_out_of_order_is_no_new_start() -> None:
    clock = TimestampNormalizer(may_jump=True)
    stamps = [0.0, 0.1, 0.05, 0.2, 0.15, 0.3]
    assert [clock.normalize(stamp, 0.1) for stamp in stamps] == stamps
    assert clock.normalize(-5.0, 0.1) == pytest.approx(0.4)
    assert clock.normalize(-4.9, 0.1) == pytest.approx(0.5)
    assert clock.normalize(90.0, 0.1) == pytest.approx(0.6)
    assert clock.normalize(90.1, 0.1) == pytest.approx(0.7)


def test_the_sound_goes_on_as_the_frames_do(tmp_path: Path) -> None:
    part = later(tmp_path / "a.ts", 0, audio_codec="aac")
    source = joined(tmp_path / "b.ts", part, part)
    out = tmp_path / "out.mp4"
    with open_video_file(source) as opened:
        sound = AudioTrack(str(source), opened.info.start_s)
        with VideoWriter(out, (96, 64), frame_rate=Fraction(10), audio=sound) as writer:
            for image, time_s in opened:
                writer.write(image, time_s)
            writer.finish(opened.end_s)
    assert writer.note == ""
    heard = [time_s for time_s, _ in read_packets(out, "audio")]
    assert heard[-1] == pytest.approx(2.4, abs=0.15)
    assert max(np.diff(heard)) < 0.1


def test_a_bare_stream_names_its_rate_or_it_is_assumed(tmp_path: Path) -> None:
    for name, codec in (("a.h264", "libx264"), ("a.m1v", "mpeg1video")):
        path = write_video(tmp_path / name, codec, rate=50 if name == "a.h264" else 30)
        with open_video_file(path) as opened:
            info = opened.info
            times = [time_s for _, time_s in opened]
        rate = 50 if name == "a.h264" else 30
        assert (info.frame_rate, info.rate_is_assumed) == (rate, False)
        assert times == pytest.approx([number / rate for number in range(N_FRAMES)])
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


def test_a_frame_rate_near_zero_is_one_line(tmp_path: Path) -> None:
    """The header of an AVI says that a frame is shown for years."""
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


def test_a_frame_that_claims_to_last_for_years_does_not(tmp_path: Path) -> None:
    """One of the times in an MP4 is the largest that there can be (8.6.1.2)."""
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
def test_a_rate_that_cannot_be_is_no_rate_for_the_writer(
    tmp_path: Path, rate: Fraction
) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, (96, 64), frame_rate=rate) as writer:
        writer.write(
            np.asarray(cv2.resize(make_corners_image(), (96, 64)), np.uint8), 0.0
        )
        writer.finish()
    assert len(list(open_video(path))) == 1
