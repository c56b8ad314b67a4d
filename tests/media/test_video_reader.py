"""Reading videos: frames, times, rotation, limits, and files that are not videos."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from maskdet.media import (
    VideoLimits,
    VideoReadError,
    find_videos,
    open_video,
    open_video_file,
)
from tests.media.image_files import encode_image, make_corners_image, to_pillow
from tests.media.video_files import (
    N_FRAMES,
    add_cover_image,
    rotate_in_header,
    write_video,
)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "mpeg4"), ("a.mkv", "mpeg4"), ("a.webm", "libvpx"), ("a.avi", "mpeg4")],
)
def test_a_video_yields_frames_and_times(tmp_path: Path, name: str, codec: str) -> None:
    frames = list(open_video(write_video(tmp_path / name, codec)))
    assert len(frames) == N_FRAMES
    times = [time_s for _, time_s in frames]
    assert times == pytest.approx([index / 10 for index in range(N_FRAMES)], abs=1e-3)
    for image, _ in frames:
        assert image.shape == (64, 96, 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
    first = frames[0][0].astype(int)
    assert np.abs(first - make_corners_image(96, 64)).mean() < 8, "BGR, not RGB"
    assert not np.shares_memory(frames[0][0], frames[1][0])


def test_a_rotated_video_is_made_upright(tmp_path: Path) -> None:
    with open_video_file(rotate_in_header(write_video(tmp_path / "a.mp4"))) as opened:
        assert (opened.info.width, opened.info.height) == (64, 96)
        assert opened.info.rotation_deg == 270
        image, _ = next(iter(opened))
    assert image.shape == (96, 64, 3)
    upright = np.rot90(make_corners_image(96, 64), -1).astype(int)
    assert np.abs(image - upright).mean() < 8


def test_the_metadata_of_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", audio_codec="aac")
    with open_video_file(path) as opened:
        info = opened.info
        assert (info.width, info.height, info.rotation_deg) == (96, 64, 0)
        assert info.duration_s == pytest.approx(1.2, abs=0.01)
        assert info.frame_rate == Fraction(10)
        assert info.n_frames == N_FRAMES
        assert info.has_audio
        assert info.source == str(path)
        assert len(list(opened)) == N_FRAMES
        assert opened.end_s == pytest.approx(1.2, abs=0.01)
    with open_video_file(write_video(tmp_path / "b.avi")) as opened:
        assert not opened.info.has_audio


def test_variable_frame_rates_are_kept(tmp_path: Path) -> None:
    times_ms = (0, 40, 240, 250, 900, 1000)
    path = write_video(tmp_path / "a.mp4", "libx264", times_ms=times_ms)
    times = [time_s for _, time_s in open_video(path)]
    assert times == pytest.approx([ms / 1000 for ms in times_ms], abs=2e-3)


def test_every_and_from_s_select_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    third = [round(time_s, 3) for _, time_s in open_video_file(path, every=3)]
    assert third == [0.0, 0.3, 0.6, 0.9]
    late = list(open_video_file(path, from_s=0.85))
    assert [round(time_s, 3) for _, time_s in late] == [0.9, 1.0, 1.1]
    first, _ = next(iter(open_video_file(path)))
    assert int(late[0][0][5, 5, 1]) > int(first[5, 5, 1]) + 15
    assert list(open_video_file(path, from_s=5.0)) == []
    for every in (0, -1, 1.5):
        with pytest.raises(ValueError, match="every must be a whole number"):
            open_video_file(path, every=every)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_pixels": 96 * 64 - 1}, "too many pixels"),
        ({"max_duration_s": 0.45}, "longer than is allowed"),
        ({"max_bytes": 1000}, "larger than 0.001 MB"),
    ],
)
def test_limits_are_enforced(
    tmp_path: Path, limits: dict[str, int], message: str
) -> None:
    path = write_video(tmp_path / "a.mp4")
    with pytest.raises(VideoReadError, match=message):
        list(open_video_file(path, VideoLimits(**limits)))


def test_find_videos_lists_the_videos_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.MP4", "a.webm", "c.txt", ".d.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "e.mp4").mkdir()
    assert [path.name for path in find_videos(tmp_path)] == ["a.webm", "b.MP4"]
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_videos(tmp_path / "no")


def test_metadata_in_another_encoding_is_accepted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes().replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert len(list(open_video(path))) == N_FRAMES


def test_a_file_that_is_not_a_video_is_rejected(tmp_path: Path) -> None:
    playlist = (
        f"#EXTM3U\n#EXTINF:1,\n{write_video(tmp_path / 'a.mp4')}\n#EXT-X-ENDLIST\n"
    )
    contents = [
        b"",
        b"hello " * 100,
        playlist.encode(),
        encode_image(to_pillow(make_corners_image()), "PNG"),
        b"\x00\x00\x00\x18ftypisom" + b"\x00" * 100,
    ]
    for content in contents:
        path = tmp_path / "no.mp4"
        path.write_bytes(content)
        with pytest.raises(VideoReadError, match="not a video") as error_info:
            next(iter(open_video(path)))
        assert "\n" not in str(error_info.value)
        assert str(tmp_path) not in str(error_info.value)


def test_a_file_with_only_audio_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoReadError, match="no video stream, only audio"):
        next(iter(open_video(path)))


@pytest.mark.parametrize("first", [True, False])
def test_a_cover_image_is_not_taken_for_the_video(tmp_path: Path, first: bool) -> None:
    path = add_cover_image(
        tmp_path / "a.mp4", write_video(tmp_path / "b.mp4"), cover_first=first
    )
    with av.open(str(path)) as container:
        names = [stream.codec_context.name for stream in container.streams.video]
    assert names.index("mjpeg") == (0 if first else 1)
    with open_video_file(path) as opened:
        assert (opened.info.width, opened.info.height) == (96, 64)
        assert len(list(opened)) == N_FRAMES


def test_audio_with_a_cover_image_is_rejected(tmp_path: Path) -> None:
    source = write_video(tmp_path / "b.mp4", audio_codec="aac")
    path = add_cover_image(tmp_path / "a.mp4", source, "audio", cover_first=True)
    with pytest.raises(VideoReadError, match="only audio"):
        open_video_file(path)


def test_a_missing_file_raises_file_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "no.mp4", tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file"):
            next(iter(open_video(path)))


@pytest.mark.parametrize(
    ("creation_time", "expected"),
    [
        ("2026-03-01T12:00:00.000000Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("", None),
        ("1904-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("2099-01-01T00:00:00Z", None),
        ("yesterday", None),
    ],
)
def test_the_date_of_a_recording(tmp_path: Path, creation_time: str, expected) -> None:
    path = write_video(tmp_path / "a.mkv", creation_time=creation_time)
    with open_video_file(path) as opened:
        assert opened.info.taken_at == expected
