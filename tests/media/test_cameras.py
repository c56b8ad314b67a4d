"""Cameras: newest frame, reconnecting, and URLs."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskdet.media import (
    CAMERA_REFUSED,
    CameraLoginError,
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
    """A camera with `n` plain frames of increasing brightness."""

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


def make_opener(cameras: list[FakeCamera | None]):
    """Return an opener of each camera in turn; None raises an error."""
    remaining = iter(cameras)

    def opener() -> FakeCamera:
        camera = next(remaining, None)
        if camera is None:
            raise VideoReadError("gone")
        return camera

    return opener


def test_only_the_newest_frame_is_yielded() -> None:
    camera = FakeCamera(50, forever=True)
    source = LatestFrameSource(make_opener([camera]))
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


def test_a_camera_is_reconnected_with_increasing_delays(monkeypatch) -> None:
    lines: list[str] = []
    cameras = [FakeCamera(1), None, None, None, FakeCamera(3, forever=True)]
    source = LatestFrameSource(
        make_opener(cameras), reconnect_policy=QUICK, on_status=lines.append
    )
    frames = iter(source)
    times = [next(frames)[1]]
    wait_until(lambda: "the camera is connected again" in lines)
    times.append(next(frames)[1])
    source.close()
    assert times == sorted(times)
    delays = [line.split()[-2] for line in lines if "next attempt in" in line]
    assert delays == ["0.01", "0.02", "0.04", "0.05"]
    assert lines[-1] == "the camera is connected again"


def test_reconnecting_ends_at_the_timeout() -> None:
    short = ReconnectPolicy(initial_delay_s=0.01, max_delay_s=0.05, timeout_s=0.2)
    source = LatestFrameSource(make_opener([FakeCamera(0)]), reconnect_policy=short)
    with pytest.raises(VideoReadError, match="disconnected for too long"):
        list(source)
    assert not source._thread.is_alive()


def test_reconnecting_ends_at_the_third_refusal_in_a_row() -> None:
    lines: list[str] = []
    steps = iter([FakeCamera(1), "lost", "no", "no", FakeCamera(1), "no", "no", "no"])

    def open_next() -> FakeCamera:
        step = next(steps)
        if isinstance(step, FakeCamera):
            return step
        raise CameraLoginError(step) if step == "no" else VideoReadError(step)

    source = LatestFrameSource(
        open_next, reconnect_policy=QUICK, on_status=lines.append
    )
    with pytest.raises(VideoReadError, match=f"^{CAMERA_REFUSED}$"):
        list(source)
    assert next(steps, None) is None
    assert lines.count("the camera is connected again") == 1


def test_a_camera_that_is_not_reconnected_was_lost() -> None:
    never = ReconnectPolicy(timeout_s=0)
    source = LatestFrameSource(make_opener([FakeCamera(1)]), reconnect_policy=never)
    with pytest.raises(VideoReadError, match="the connection was lost"):
        list(source)


@pytest.mark.parametrize("step", ["reading", "opening"])
def test_an_error_of_the_reading_thread_is_raised(step, monkeypatch) -> None:
    broken = FakeCamera(1)
    opener = make_opener([broken])

    def fail(*_: object) -> None:
        raise ValueError("a frame without a size")

    def open_or_fail():
        return opener() if not broken.closed else fail()

    if step == "reading":
        monkeypatch.setattr(LatestFrameSource, "_store_frame", fail)
    source = LatestFrameSource(open_or_fail, reconnect_policy=QUICK)
    # Without an error, the iteration would block.
    timer = threading.Timer(WAIT_S, source.stop)
    timer.start()
    with pytest.raises(VideoReadError, match="cannot be read: ValueError"):
        list(source)
    timer.cancel()
    assert broken.closed


def test_a_failed_first_connection_raises_an_error() -> None:
    with pytest.raises(VideoReadError, match="gone"):
        LatestFrameSource(make_opener([None]))


def test_frames_keep_their_size_after_reconnecting() -> None:
    cameras = [FakeCamera(0), FakeCamera(1, forever=True, size_wh=(16, 12))]
    source = LatestFrameSource(make_opener(cameras), reconnect_policy=QUICK)
    image, _ = next(iter(source))
    assert image.shape == (6, 8, 3)
    source.close()


def test_waiting_for_a_frame_can_be_stopped() -> None:
    source = LatestFrameSource(make_opener([FakeCamera(0, forever=True)]))
    threading.Timer(0.2, source.stop).start()
    assert list(source) == []


@pytest.fixture
def file_server(tmp_path):
    """Serve a folder on this machine; return it, its URL and the request paths."""
    requests: list[str] = []

    class QuietHandler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **options) -> None:
            super().__init__(*args, directory=str(tmp_path), **options)

        def log_message(self, *words) -> None:
            requests.append(str(words[1]))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), QuietHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


def test_a_video_at_a_url_yields_every_frame(file_server) -> None:
    folder, url, _ = file_server
    write_video(folder / "a.mp4")
    source = open_video(f"{url}/a.mp4")
    assert isinstance(source, VideoReader)
    frames = list(source)
    assert [time_s for _, time_s in frames] == pytest.approx(
        [index / 10 for index in range(N_FRAMES)], abs=1e-3
    )
    assert mean_difference(frames[0][0], make_corners_image(96, 64)) < 8


def test_a_stream_at_a_url_is_reopened_when_it_ends(file_server) -> None:
    folder, url, requests = file_server
    content = b"".join(
        cv2.imencode(".jpg", make_corners_image(96, 64))[1].tobytes() for _ in range(30)
    )
    (folder / "a.mjpeg").write_bytes(content)
    lines: list[str] = []
    name = f"{url}/a.mjpeg"
    source = open_video(name, reconnect_policy=QUICK, on_status=lines.append)
    assert isinstance(source, LatestFrameSource)
    frames = iter(source)
    image, _ = next(frames)
    assert mean_difference(image, make_corners_image(96, 64)) < 8
    wait_until(lambda: lines.count("the camera is connected again") >= 1)
    assert next(frames)[0].shape == (64, 96, 3)
    source.close()
    assert len(requests) >= 2


@pytest.mark.parametrize("name", ["/missing.mp4", "/a.txt", "/list.m3u8"])
def test_a_url_without_frames_is_rejected(file_server, name) -> None:
    folder, url, _ = file_server
    secret = write_video(folder / "secret.mp4")
    (folder / "a.txt").write_text("hello")
    # A playlist must not give access to local files.
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:1,", f"file://{secret}"]
    (folder / "list.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    with pytest.raises(VideoReadError) as error_info:
        open_video(url + name)
    assert "\n" not in str(error_info.value)


def test_open_video_accepts_files_and_known_url_schemes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    assert len(list(open_video(str(path), every=4))) == 3
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_video(str(tmp_path / "no.mp4"))
    with pytest.raises(ValueError, match="must begin with rtsp"):
        open_video("ftp://example.org/a.mp4")


@pytest.mark.parametrize(
    ("name", "redacted"),
    [
        ("rtsp://me:secret@cam:554/a?b=1", "rtsp://cam:554/a?b=1"),
        ("rtsp://me:se@cret@cam/a", "rtsp://cam/a"),
        ("rtsp://me:se/cret@cam/a", "rtsp://cam/a"),
        ("rtsp://me:se#cret@cam/a", "rtsp://cam/a"),
        ("rtsp://me:se[cret@cam/a", "rtsp://cam/a"),
        ("rtsp://me:s@e/cret@cam/a", "rtsp://cam/a"),
        ("rtsp://me:secret@[::1]:80/a", "rtsp://[::1]:80/a"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
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
def test_passwords_are_not_shown(name, redacted) -> None:
    assert redact_url(name) == redacted


@pytest.mark.parametrize(
    ("password", "hint"),
    [
        ("se/cret", "; a / in the password is written %2F"),
        ("12/34", "; a / in the password is written %2F"),
        ("se#cret", "; a # in the password is written %23"),
        ("se?cret", "; a ? in the password is written %3F"),
        ("se[cret", "; a [ in the password is written %5B"),
        ("se@cret", "; check its host and port"),
        ("s@e/cret", "; a / in the password is written %2F"),
        ("se%2Fcret", "; check its host and port"),
    ],
)
def test_the_line_says_how_to_write_a_password(password, hint) -> None:
    with pytest.raises(ValueError, match="URL") as error_info:
        open_video(f"http://localhost:{password}@localhost:1/a")
    assert str(error_info.value).endswith(hint)
    assert "cret" not in str(error_info.value)
