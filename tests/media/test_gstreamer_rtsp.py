"""RTSP cameras: tests with the RTSP server of GStreamer, if it is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskdet.cli import main
from maskdet.media import CameraLoginError, VideoReadError, open_video
from tests.helpers.servers import find_free_port
from tests.helpers.waiting import wait_until
from tests.media import gstreamer_server
from tests.media.gstreamer_server import LOGIN, PATH, SIZE_WH
from tests.media.test_cameras import QUICK

SERVER = Path(gstreamer_server.__file__)
WRONG_PASSWORD = "wr0ng-word"


@pytest.fixture(scope="module")
def python() -> str:
    """Path of a Python that can run the server."""
    candidates = (sys.executable, shutil.which("python3", path=os.defpath))
    for path in filter(None, candidates):
        check = subprocess.run([path, SERVER, "--check"], capture_output=True)
        if check.returncode == 0:
            return path
    pytest.skip("the RTSP server of GStreamer is not installed")


class GstreamerCamera:
    """A server that can be killed and started again at the same port."""

    def __init__(self, python: str, transport: str, method: str) -> None:
        self._command = [python, str(SERVER), str(find_free_port()), transport, method]
        self.start()

    def url(self, password: str = LOGIN[1], path: str = PATH) -> str:
        return f"rtsp://{LOGIN[0]}:{password}@{self.host}{path}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._command[2]}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def run_camera(*arguments: str) -> Iterator[GstreamerCamera]:
    camera = GstreamerCamera(*arguments)
    try:
        yield camera
    finally:
        camera.kill()


@pytest.mark.parametrize(
    ("transport", "method"), [("tcp", "digest"), ("udp", "basic"), ("udp", "digest")]
)
def test_a_camera_is_read_again_after_its_server_was_killed(
    python, transport, method
) -> None:
    lines: list[str] = []
    with (
        run_camera(python, transport, method) as camera,
        open_video(
            camera.url(), reconnect_policy=QUICK, on_status=lines.append
        ) as video,
    ):
        assert (video.info.width, video.info.height) == SIZE_WH
        frames = iter(video)
        assert next(frames)[0].std() > 5, "a white ball on black"
        camera.kill()
        wait_until(lambda: lines, "the camera to be missed")
        camera.start()
        wait_until(lambda: "the camera is connected again" in lines)
        assert next(frames)[0].std() > 5
    assert lines[0].startswith("the camera is disconnected; next attempt in")


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_wrong_password_is_one_line_without_it(python, method, capsys) -> None:
    with run_camera(python, "tcp", method) as camera:
        url = camera.url(WRONG_PASSWORD)
        line = "the camera requires a user and a password, or rejects those given"
        with pytest.raises(CameraLoginError, match=f"^{line}$"):
            open_video(url)
        assert main(["video", url]) == 1
        output = capsys.readouterr()
        assert output.err == f"maskdet: rtsp://{camera.host}{PATH}: {line}\n"
        assert not output.out


def test_a_wrong_path_is_reported(python) -> None:
    with (
        run_camera(python, "tcp", "digest") as camera,
        pytest.raises(VideoReadError, match="there is no stream at this URL"),
    ):
        open_video(camera.url(path="/attic"))
