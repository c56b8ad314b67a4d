"""RTSP cameras: tests with a real RTSP server on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from functools import partial
from itertools import pairwise

import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.cli import main, video
from maskdet.media import (
    CAMERA_REFUSED,
    MAX_REFUSALS,
    CameraLoginError,
    LatestFrameSource,
    VideoLimits,
    VideoReadError,
    decoder_client,
    open_video,
)
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.helpers.waiting import WAIT_S, wait_until
from tests.media.rtsp_camera import N_IMAGES, RtspCamera, brightness, run_camera
from tests.media.test_cameras import QUICK

SHORT = VideoLimits(frame_timeout_s=0.5)
LONG = VideoLimits(frame_timeout_s=WAIT_S)


def number_of(image) -> int:
    """Return the number of an image by its brightness."""
    level = float(image.mean())
    return min(range(N_IMAGES), key=lambda n: abs(brightness(n) - level))


def count_lag(camera: RtspCamera, image) -> int:
    """Return how many images the camera has sent since; decoders buffer a few."""
    return (camera.number - number_of(image)) % N_IMAGES


def test_frames_arrive_with_increasing_times() -> None:
    with run_camera() as camera, contextlib.closing(open_video(camera.url())) as source:
        assert isinstance(source, LatestFrameSource)
        assert (source.info.width, source.info.height) == (160, 120)
        assert float(source.info.frame_rate) == 25
        frames = iter(source)
        taken = [next(frames) for _ in range(5)]
    times = [time_s for _, time_s in taken]
    assert times == sorted(times)
    for image, _ in taken:
        assert image.shape == (120, 160, 3)
        assert image.std() < 2
    assert all(
        abs(image.mean() - brightness(number_of(image))) < 2 for image, _ in taken
    )
    numbers = [number_of(image) for image, _ in taken]
    assert all(first != second for first, second in pairwise(numbers)), (
        "every frame is new"
    )
    assert camera.methods[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]


def test_audio_is_not_requested() -> None:
    with run_camera() as camera, contextlib.closing(open_video(camera.url())) as source:
        assert not source.info.has_audio
    assert camera.methods.count("SETUP") == 1


def test_a_camera_with_udp_only_is_read() -> None:
    with (
        run_camera(udp=True) as camera,
        contextlib.closing(open_video(camera.url())) as source,
    ):
        image, _ = next(iter(source))
    assert image.shape == (120, 160, 3)
    assert camera.methods.count("SETUP") == 2, "TCP is requested first"


def test_a_slow_reader_gets_the_newest_frame_next() -> None:
    with run_camera() as camera, contextlib.closing(open_video(camera.url())) as source:
        frames = iter(source)
        next(frames)
        first_number = camera.number
        wait_until(lambda: camera.number >= first_number + N_IMAGES // 2)
        camera.silent = True
        wait_until(lambda: count_lag(camera, source._latest_frame[0]) < 4)
        image, _ = next(frames)
    assert count_lag(camera, image) < 4, "frames in between are dropped"


def test_a_large_frame_in_many_packets_is_read() -> None:
    with (
        run_camera(size_wh=(1280, 720)) as camera,
        contextlib.closing(open_video(camera.url())) as source,
    ):
        image, _ = next(iter(source))
    assert image.shape == (720, 1280, 3)
    assert image.std() < 2


def test_a_camera_reconnects_after_a_hangup_with_a_new_frame_size() -> None:
    lines: list[str] = []
    with run_camera() as camera:
        source = open_video(
            camera.url(), reconnect_policy=QUICK, on_status=lines.append
        )
        frames = iter(source)
        next(frames)
        camera.refuses, camera.size_wh = True, (320, 240)
        camera.close_connections()
        wait_until(lambda: len(lines) >= 2)
        assert all(
            "the camera is disconnected; next attempt in" in line for line in lines
        )
        camera.refuses = False
        wait_until(lambda: "the camera is connected again" in lines)
        next(frames)
        image, _ = next(frames)
        source.close()
    assert camera.n_plays == 2
    assert image.shape == (120, 160, 3), "all frames of a stream have one size"


class Clock:
    """A monotonic clock that a test can advance."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead_s

    def skip(self, seconds: float) -> None:
        self._ahead_s += seconds


def test_a_silent_camera_is_reconnected(monkeypatch) -> None:
    lines: list[str] = []
    clock = Clock()
    monkeypatch.setattr(decoder_client, "monotonic", clock)
    with run_camera() as camera:
        url = camera.url()
        source = open_video(url, LONG, reconnect_policy=QUICK, on_status=lines.append)
        frames = iter(source)
        next(frames)
        camera.silent = True
        # More than once: a frame in transit can arrive after the first skip.
        wait_until(lambda: clock.skip(LONG.frame_timeout_s) or lines)
        camera.silent = False
        wait_until(lambda: "the camera is connected again" in lines)
        assert next(frames)[0].shape == (120, 160, 3)
        source.close()


@pytest.mark.parametrize("digest", [False, True])
def test_a_password_is_required_and_accepted(digest) -> None:
    with run_camera(login=("me", "ge/heim"), digest=digest) as camera:
        source = open_video(camera.url(login="me:ge%2Fheim@"))
        assert source.info.width == 160
        source.close()
        for login in ("", "me:falsch@"):
            with pytest.raises(CameraLoginError, match="requires a user and"):
                open_video(camera.url(login=login))


def closed_port_url(camera: RtspCamera) -> str:
    return camera.url().replace(str(camera.port), "1")


@pytest.mark.parametrize(
    ("options", "make_url", "limits", "line"),
    [
        ({}, lambda camera: camera.url("/attic"), LONG, "there is no stream at this"),
        ({}, closed_port_url, LONG, "no connection to this URL; check its host"),
        (
            {"refuses": True},
            RtspCamera.url,
            LONG,
            "no readable video or camera at this URL",
        ),
        ({"silent": True}, RtspCamera.url, SHORT, "the camera sends no frames"),
    ],
)
def test_a_bad_url_is_reported_in_one_line(options, make_url, limits, line) -> None:
    with (
        run_camera(**options) as camera,
        pytest.raises(VideoReadError, match=line) as error_info,
    ):
        open_video(make_url(camera), limits)
    assert "\n" not in str(error_info.value)


@pytest.fixture
def _fake_models(monkeypatch) -> None:
    def load(*_: object, **__: object) -> TwoStage:
        return TwoStage(FakeDetector([[5, 5, 45, 55]], [0.9]), FakeClassifier())

    monkeypatch.setattr(video, "load_analyzer", load)


@pytest.mark.usefixtures("_fake_models")
def test_the_command_tracks_people_until_ctrl_c(tmp_path, capsys, monkeypatch) -> None:
    with run_camera(login=("me", "geheim")) as camera:
        analyze, times_s = TwoStage.analyze, []

        def timed_analyze(self, *args, **options):
            times_s.append(time.monotonic())
            # Buffered frames arrive in a burst that is too short to confirm a track.
            if len(times_s) >= 30 and times_s[-1] - times_s[0] > 1 and not stopped:
                stopped.append(True)
                os.kill(os.getpid(), signal.SIGINT)
            return analyze(self, *args, **options)

        stopped: list[bool] = []
        monkeypatch.setattr(TwoStage, "analyze", timed_analyze)
        summary = tmp_path / "a.json"
        url = camera.url(login="me:geheim@")
        assert main(["video", url, "--json", str(summary)]) == 0
    (report,) = json.loads(summary.read_text("utf-8"))["videos"]
    assert report["video"] == camera.url()
    assert report["n_frames"] >= 29
    assert [person["label"] for person in report["people"]] == ["mask"]
    output = capsys.readouterr()
    assert "1 person in" in output.out
    assert "geheim" not in output.out + output.err + summary.read_text("utf-8")


@pytest.mark.usefixtures("_fake_models")
def test_the_command_ends_when_the_password_is_no_longer_accepted(
    capsys, monkeypatch
) -> None:
    open_quickly = partial(open_video, reconnect_policy=QUICK)
    monkeypatch.setattr(video, "open_video", open_quickly)
    with run_camera(login=("me", "geheim")) as camera:
        analyze = TwoStage.analyze

        def analyze_and_change_password(self, *args, **options):
            if camera.login != ("me", "neu"):
                camera.login = ("me", "neu")
                camera.close_connections()
            return analyze(self, *args, **options)

        monkeypatch.setattr(TwoStage, "analyze", analyze_and_change_password)
        assert main(["video", camera.url(login="me:geheim@")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert f"maskdet: {camera.url()}: {CAMERA_REFUSED}" in lines
    attempts = [line for line in lines if "next attempt in" in line]
    assert len(attempts) == MAX_REFUSALS


@pytest.mark.usefixtures("_fake_models")
def test_the_command_does_not_print_a_wrong_password(capsys) -> None:
    with run_camera(login=("me", "geheim")) as camera:
        assert main(["video", camera.url(login="me:falsch@")]) == 1
    output = capsys.readouterr()
    assert "requires a user and a password, or rejects" in output.err
    assert output.err.startswith(f"maskdet: {camera.url()}: ")
    assert "falsch" not in output.out + output.err
    assert output.err.count("\n") == 1
