"""Truncated videos, and complete ones that look similar."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from maskdet.media import VideoReadError, open_video_file
from tests.media.video_files import N_FRAMES, write_video

LONG_MS = tuple(range(0, 4000, 100))
FRONT = {"movflags": "faststart"}
PIECES = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "400000"}

# Name, encoder, and further options of `write_video`.
KINDS = {
    "a.mp4": ("libx264", {"options": FRONT}),
    "a.mov": ("mpeg4", {"options": FRONT}),
    "a.3gp": ("mpeg4", {"options": FRONT, "size_wh": (176, 144)}),
    "sound.mp4": ("libx264", {"options": FRONT, "audio_codec": "aac"}),
    "pieces.mp4": ("libx264", {"options": PIECES}),
    "a.mkv": ("libx264", {}),
    "sound.mkv": ("mpeg4", {"audio_codec": "aac"}),
    "a.webm": ("libvpx-vp9", {}),
    "a.avi": ("mpeg4", {"rate": 20, "size_wh": (640, 480)}),
    "sound.avi": ("mjpeg", {"rate": 20, "audio_codec": "pcm_s16le"}),
    "a.wmv": ("wmv2", {}),
    "a.flv": ("flv", {}),
    "a.ogv": ("libvpx", {}),
    "a.mpg": ("mpeg1video", {"rate": 25}),
    "a.ts": ("libx264", {}),
    "a.m2ts": ("libx264", {"options": {"mpegts_m2ts_mode": "1"}}),
    "a.mjpeg": ("mjpeg", {"rate": 25}),
    # Of a frame that hardly differs from the last, a few bytes can be enough: then a
    # raw stream does not show that the rest is missing.
    "a.h264": ("libx264", {"rate": 25, "gop_size": 1}),
    "a.m1v": ("mpeg1video", {"rate": 25}),
}


def make_video(folder: Path, name: str) -> Path:
    codec, options = KINDS[name]
    return write_video(folder / name, codec, times_ms=LONG_MS, **options)


def read(path: Path) -> tuple[int, float, str]:
    """Return the number of frames, their end, and the error message."""
    with open_video_file(path) as opened:
        n = 0
        try:
            for _ in opened:
                n += 1
        except VideoReadError as error:
            return n, opened.end_s, str(error)
        return n, opened.end_s, ""


@pytest.mark.parametrize("name", KINDS)
def test_a_complete_video_is_read_without_an_error(tmp_path: Path, name: str) -> None:
    n, _, problem = read(make_video(tmp_path, name))
    assert problem == ""
    assert n == len(LONG_MS)


@pytest.mark.parametrize("fraction", [0.5, 0.8])
@pytest.mark.parametrize("name", [name for name in KINDS if name != "a.m1v"])
def test_a_truncated_video_is_reported(
    tmp_path: Path, name: str, fraction: float
) -> None:
    path = make_video(tmp_path, name)
    content = path.read_bytes()
    size = int(fraction * len(content))
    # A transport stream without its last packets is a valid shorter one.
    size += 1 if size % 188 == 0 or size % 192 == 0 else 0
    path.write_bytes(content[:size])
    n, end_s, problem = read(path)
    assert 0 < n <= len(LONG_MS), "some files have the audio at the end"
    assert 0 < end_s <= 4
    assert problem.startswith("the video is incomplete or damaged at its end")
    assert "\n" not in problem
    assert str(tmp_path) not in problem


def test_the_error_has_the_duration_of_the_header(tmp_path: Path) -> None:
    path = make_video(tmp_path, "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "by its header it lasts 4.0 s" in read(path)[2]


@pytest.mark.parametrize("name", ["a.mp4", "sound.mp4", "a.mkv", "a.webm"])
def test_a_file_filled_up_with_zeros_is_incomplete(tmp_path: Path, name: str) -> None:
    """Some programs allocate the whole file before they download it."""
    path = make_video(tmp_path, name)
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(len(content) - half + 4096))
    assert "incomplete or damaged" in read(path)[2]


def test_missing_fragments_are_detected_if_the_header_counts_them(
    tmp_path: Path,
) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        "libx264",
        times_ms=LONG_MS,
        options={"movflags": "frag_keyframe+empty_moov+default_base_moof+global_sidx"}
        | {"frag_duration": "400000"},
    )
    content = path.read_bytes()
    at = len(content)
    for _ in range(5):
        at = content.rindex(b"moof", 0, at) - 4
    path.write_bytes(content[:at])
    n, _, problem = read(path)
    assert n < len(LONG_MS)
    assert "by its header it lasts 4.2 s" in problem


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.flv"])
def test_audio_longer_than_the_video_is_accepted(tmp_path: Path, name: str) -> None:
    rate = 20 if name == "a.avi" else 10
    audio_codec = {"a.avi": "pcm_s16le", "a.flv": "aac"}.get(name, "aac")
    codec = {"a.flv": "flv"}.get(name, "mpeg4")
    codec = "libx264" if name == "a.ts" else codec
    path = write_video(
        tmp_path / name, codec, rate=rate, audio_codec=audio_codec, audio_length_s=6.0
    )
    assert read(path)[::2] == (N_FRAMES, "")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_a_long_last_frame_is_accepted(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name == "a.webm" else "libx264"
    path = write_video(
        tmp_path / name, codec, times_ms=(0, 40, 300, 2000, 9000, 20_000)
    )
    assert read(path)[::2] == (6, "")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_slightly_wrong_duration_in_the_header_is_accepted(
    tmp_path: Path, name: str
) -> None:
    path = make_video(tmp_path, name)
    content = bytearray(path.read_bytes())
    if name == "a.mp4":
        for box, at in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
            _add(content, content.index(box) + at, 0.1)
    else:
        at = content.index(b"\x44\x89\x88") + 3
        content[at : at + 8] = struct.pack(">d", 4900.0)
    path.write_bytes(content)
    assert read(path)[::2] == (len(LONG_MS), "")


def test_a_wrong_duration_of_a_complete_matroska_file_is_accepted(
    tmp_path: Path,
) -> None:
    path = make_video(tmp_path, "a.mkv")
    content = bytearray(path.read_bytes())
    at = content.index(b"\x44\x89\x88") + 3
    content[at : at + 8] = struct.pack(">d", 60_000.0)
    path.write_bytes(content)
    with open_video_file(path) as opened:
        assert opened.info.duration_s == pytest.approx(60)
    assert read(path)[::2] == (len(LONG_MS), "")


def test_frames_left_out_by_an_edit_list_are_not_missing(tmp_path: Path) -> None:
    """ISO 14496-12, 8.6.6: only 2 of the 4 seconds are shown."""
    path = make_video(tmp_path, "a.mp4")
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    (length,) = struct.unpack(">I", content[at : at + 4])
    content[at : at + 4] = struct.pack(">I", length // 2)
    path.write_bytes(content)
    n, end_s, problem = read(path)
    assert problem == ""
    assert n < len(LONG_MS)
    assert end_s == pytest.approx(2.0, abs=0.3)


def test_a_live_recording_without_a_duration_is_complete(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.mkv"
    write_video(path, "libx264", options={"live": "1"})
    assert read(path)[::2] == (N_FRAMES, "")


def test_a_truncated_video_can_be_read_from_a_time(tmp_path: Path) -> None:
    path = make_video(tmp_path, "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with open_video_file(path, from_s=1.0) as opened:
        assert list(opened)
    assert list(open_video_file(path, from_s=60.0)) == []


def test_data_after_a_video_is_ignored(tmp_path: Path) -> None:
    """Some phones append a box of their own, or plain bytes, to the video."""
    path = make_video(tmp_path, "a.mp4")
    noise = np.random.default_rng(0).bytes(300)
    path.write_bytes(path.read_bytes() + b"\x7f\0\0\0SEFT" + noise)
    assert read(path)[2] == ""


def _add(content: bytearray, at: int, part: float) -> None:
    (value,) = struct.unpack(">I", content[at : at + 4])
    content[at : at + 4] = struct.pack(">I", round(value * (1 + part)))
