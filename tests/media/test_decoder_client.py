"""Threading of the decoder for files, URLs and cameras."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from maskdet.media import decoder_process
from maskdet.media.video_reader import build_decode_request
from tests.media.video_files import write_video


@pytest.mark.parametrize(
    ("url", "live", "thread_type"),
    [
        ("http://a.example/a.mp4", True, "AUTO"),
        ("HTTPS://a.example/a.mp4", True, "AUTO"),
        ("rtsp://a.example/a", True, "SLICE"),
        ("a.mp4", False, "AUTO"),
    ],
)
def test_only_cameras_use_low_latency_threading(
    tmp_path: Path, url, live, thread_type
) -> None:
    request = build_decode_request(url, live=live)
    with av.open(write_video(tmp_path / "a.mp4")) as opened:
        stream = decoder_process.select_video_stream(opened, request)
        assert stream.thread_type.name == thread_type


def test_a_url_without_a_duration_is_a_camera(tmp_path: Path) -> None:
    """A stream of JPEG images has no duration."""
    path = tmp_path / "a.mjpeg"
    with av.open(write_video(tmp_path / "a.mp4")) as opened:
        images = [frame.to_image() for frame in opened.decode(video=0)]
    with path.open("wb") as stream:
        for image in images:
            image.save(stream, "JPEG")
    request = {
        "source": "http://a.example/",
        "live": True,
        "max_pixels": 10**6,
        "threads": 1,
    }
    with av.open(path) as opened:
        assert (
            decoder_process.select_video_stream(opened, request).thread_type.name
            == "SLICE"
        )


def test_the_decoder_uses_the_cores_of_the_process(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    request = build_decode_request("a.mp4")
    with av.open(write_video(tmp_path / "a.mp4")) as opened:
        stream = decoder_process.select_video_stream(opened, request)
        assert stream.codec_context.thread_count == 3
