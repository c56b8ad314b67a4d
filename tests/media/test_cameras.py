"""Cameras: the newest image, patience with those that go away, addresses."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskdet.media import (
    LatestFrameSource,
    ReconnectPolicy,
    VideoInfo,
    VideoReader,
    VideoReadError,
    open_video,
    redact_url,
)
from tests.helpers.waiting import WAIT_S, wait_until
from tests.media.image_files import make_corners_image, mean_difference
from tests.media.video_files import N_FRAMES, write_video

QUICK = ReconnectPolicy(initial_delay_s=0.01, max_delay_s=0.05, timeout_s=WAIT_S)


class FakeCamera:
    """A camera whose images a test hands out, each one plain and brighter."""

    end_s = 0.0

    def __init__(self, n: int, *, forever: bool = False, size_wh=(8, 6)) -> None:
        self.info = VideoInfo(*size_wh)
        self.closed = False
        self._n, self._forever, self._wh = n, forever, size_wh
        self._ended = threading.Event()

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        width, height = self._wh
        for number in range(self._n):
            yield np.full((height, width, 3), number, np.uint8), 0.0
        if self._forever:
            self._ended.wait(WAIT_S)

    def stop(self) -> None:
        self._ended.set()

    def close(self) -> None:
        self.stop()
        self.closed = True


def opening(cameras: list[FakeCamera | None]):
    """Return an opener of one camera after the other; None cannot be opened."""
    waiting = iter(cameras)

    def opener() -> FakeCamera:
        camera = next(waiting, None)
        if camera is None:
            raise VideoReadError("gone")
        return camera

    return opener


def test_only_the_newest_picture_is_handed_out() -> None:
    camera = FakeCamera(50, forever=True)
    source = LatestFrameSource(opening([camera]))
    wait_until(
        lambda: (
            source._latest_frame is not None and source._latest_frame[0][0, 0, 0] == 49
        )
    )
    frames = iter(source)
    image, time_s = next(frames)
    assert image[0, 0, 0] == 49
    assert 0 <= time_s < 60
    assert source.end_s > time_s
    source.stop()
    assert list(frames) == []
    assert camera.closed
    assert not source._thread.is_alive()


def test_a_camera_that_goes_away_is_tried_again_ever_more_slowly(monkeypatch) -> None:
    said: list[str] = []
    cameras = [FakeCamera(1), None, None, None, FakeCamera(3, forever=True)]
    source = LatestFrameSource(
        opening(cameras), reconnect_policy=QUICK, on_status=said.append
    )
    frames = iter(source)
    times = [next(frames)[1]]
    wait_until(lambda: "the camera is back" in said)
    times.append(next(frames)[1])
    source.close()
    assert times == sorted(times)
    waits = [line.split()[-2] for line in said if "tried again in" in line]
    assert waits == ["0.01", "0.02", "0.04", "0.05"]
    assert said[-1] == "the camera is back"


def test_a_camera_that_stays_away_is_given_up() -> None:
    short = ReconnectPolicy(initial_delay_s=0.01, max_delay_s=0.05, timeout_s=0.2)
    source = LatestFrameSource(opening([FakeCamera(0)]), reconnect_policy=short)
    with pytest.raises(VideoReadError, match="away for too long"):
        list(source)
    assert not source._thread.is_alive()


@pytest.mark.parametrize("of", ["images", "opening"])
def test_a_fault_while_reading_is_told_to_who_waits(of, monkeypatch) -> None:
    broken = FakeCamera(1)
    opener = opening([broken])

    def fail(*_: object) -> None:
        raise ValueError("an image of no size")

    def open_or_fail():
        return opener() if not broken.closed else fail()

    if of == "images":
        monkeypatch.setattr(LatestFrameSource, "_store_frame", fail)
    source = LatestFrameSource(open_or_fail, reconnect_policy=QUICK)
    # A source that says nothing for ever would hang here.
    stopping = threading.Timer(WAIT_S, source.stop)
    stopping.start()
    with pytest.raises(VideoReadError, match="cannot be read: ValueError"):
        list(source)
    stopping.cancel()
    assert broken.closed


def test_a_camera_that_was_never_there_is_refused_at_once() -> None:
    with pytest.raises(VideoReadError, match="gone"):
        LatestFrameSource(opening([None]))


def test_a_camera_that_comes_back_larger_gives_pictures_of_one_size() -> None:
    cameras = [FakeCamera(0), FakeCamera(1, forever=True, size_wh=(16, 12))]
    source = LatestFrameSource(opening(cameras), reconnect_policy=QUICK)
    image, _ = next(iter(source))
    assert image.shape == (6, 8, 3)
    source.close()


def test_whoever_waits_for_a_camera_can_be_stopped() -> None:
    source = LatestFrameSource(opening([FakeCamera(0, forever=True)]))
    threading.Timer(0.2, source.stop).start()
    assert list(source) == []


@pytest.fixture
def served(tmp_path):
    """Serve a folder on this computer; returns it, its address and what was asked."""
    asked: list[str] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **how) -> None:
            super().__init__(*args, directory=str(tmp_path), **how)

        def log_message(self, *words) -> None:
            asked.append(str(words[1]))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_film_at_an_address_gives_every_picture(served) -> None:
    folder, address, _ = served
    write_video(folder / "a.mp4")
    source = open_video(f"{address}/a.mp4")
    assert isinstance(source, VideoReader)
    pictures = list(source)
    assert [time_s for _, time_s in pictures] == pytest.approx(
        [number / 10 for number in range(N_FRAMES)], abs=1e-3
    )
    assert mean_difference(pictures[0][0], make_corners_image(96, 64)) < 8


def test_a_camera_at_an_address_is_opened_again_when_it_ends(served) -> None:
    folder, address, asked = served
    content = b"".join(
        cv2.imencode(".jpg", make_corners_image(96, 64))[1].tobytes() for _ in range(30)
    )
    (folder / "a.mjpeg").write_bytes(content)
    said: list[str] = []
    name = f"{address}/a.mjpeg"
    source = open_video(name, reconnect_policy=QUICK, on_status=said.append)
    assert isinstance(source, LatestFrameSource)
    frames = iter(source)
    image, _ = next(frames)
    assert mean_difference(image, make_corners_image(96, 64)) < 8
    wait_until(lambda: said.count("the camera is back") >= 1)
    assert next(frames)[0].shape == (64, 96, 3)
    source.close()
    assert len(asked) >= 2


@pytest.mark.parametrize("name", ["/missing.mp4", "/a.txt", "/list.m3u8"])
def test_an_address_without_pictures_is_refused(served, name) -> None:
    folder, address, _ = served
    secret = write_video(folder / "secret.mp4")
    (folder / "a.txt").write_text("hello")
    # A playlist must not lead to files of this computer.
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:1,", f"file://{secret}"]
    (folder / "list.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    with pytest.raises(VideoReadError) as caught:
        open_video(address + name)
    assert "\n" not in str(caught.value)


def test_what_can_be_opened(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    assert len(list(open_video(str(path), every=4))) == 3
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_video(str(tmp_path / "no.mp4"))
    with pytest.raises(ValueError, match="must begin with rtsp"):
        open_video("ftp://example.org/a.mp4")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rtsp://me:secret@cam:554/a?b=1", "rtsp://cam:554/a?b=1"),
        ("rtsp://me:se@cret@cam/a", "rtsp://cam/a"),
        ("rtsp://me:se/cret@cam/a", "rtsp://cam/a"),
        ("rtsp://me:se#cret@cam/a", "rtsp://cam/a"),
        (
            "rtsp://cam/a?user=me&password=secret&b=1",
            "rtsp://cam/a?user=me&password=***&b=1",
        ),
        (
            "rtsp://cam/user=me_password=secret_channel=1",
            "rtsp://cam/user=me_password=***",
        ),
        ("https://cam/a.m3u8?Token=secret", "https://cam/a.m3u8?Token=***"),
        ("videos/a@b.mp4", "videos/a@b.mp4"),
        ("0", "0"),
    ],
)
def test_passwords_are_not_shown(name, shown) -> None:
    assert redact_url(name) == shown
