"""How the decoder treats videos and cameras at an address."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from maskdet.media import decoder_process
from tests.media.video_files import write_video


@pytest.mark.parametrize(
    ("address", "live", "threads"),
    [
        ("http://a.example/a.mp4", True, "AUTO"),
        ("HTTPS://a.example/a.mp4", True, "AUTO"),
        ("rtsp://a.example/a", True, "SLICE"),
        ("a.mp4", False, "AUTO"),
    ],
)
def test_only_a_camera_gives_up_speed_to_be_up_to_date(
    tmp_path: Path, address, live, threads
) -> None:
    order = {"source": address, "live": live, "max_pixels": 10**6}
    with av.open(write_video(tmp_path / "a.mp4")) as opened:
        stream = decoder_process.select_video_stream(opened, order)
        assert stream.thread_type.name == threads


def test_a_web_address_without_an_end_is_a_camera(tmp_path: Path) -> None:
    """A stream of JPEG images says nothing of how long it lasts."""
    path = tmp_path / "a.mjpeg"
    with av.open(write_video(tmp_path / "a.mp4")) as opened:
        pictures = [frame.to_image() for frame in opened.decode(video=0)]
    with path.open("wb") as stream:
        for picture in pictures:
            picture.save(stream, "JPEG")
    order = {"source": "http://a.example/", "live": True, "max_pixels": 10**6}
    with av.open(path) as opened:
        assert (
            decoder_process.select_video_stream(opened, order).thread_type.name
            == "SLICE"
        )
