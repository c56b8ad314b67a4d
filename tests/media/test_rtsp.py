"""Cameras that speak RTSP: a real one of ours on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from itertools import pairwise

import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.cli import main, video
from maskdet.media import (
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
    """Return which of the images it is, by its brightness."""
    shown = float(image.mean())
    return min(range(N_IMAGES), key=lambda n: abs(brightness(n) - shown))


def behind(one: RtspCamera, image) -> int:
    """Return how many images the camera has sent since; decoders keep back a few."""
    return (one.number - number_of(image)) % N_IMAGES


def test_its_pictures_come_and_their_times_rise() -> None:
    with run_camera() as one, contextlib.closing(open_video(one.url())) as source:
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
    assert all(first != then for first, then in pairwise(numbers)), "each is a new one"
    assert one.methods[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]


def test_sound_is_not_asked_for_as_it_may_never_come() -> None:
    with run_camera() as one, contextlib.closing(open_video(one.url())) as source:
        assert not source.info.has_audio
    assert one.methods.count("SETUP") == 1


def test_one_that_sends_over_udp_only_is_seen_too() -> None:
    with (
        run_camera(udp=True) as one,
        contextlib.closing(open_video(one.url())) as source,
    ):
        image, _ = next(iter(source))
    assert image.shape == (120, 160, 3)
    assert one.methods.count("SETUP") == 2, "TCP was asked for before"


def test_who_looks_away_sees_the_newest_picture_next() -> None:
    with run_camera() as one, contextlib.closing(open_video(one.url())) as source:
        frames = iter(source)
        next(frames)
        began = one.number
        wait_until(lambda: one.number >= began + N_IMAGES // 2)
        one.silent = True
        wait_until(lambda: behind(one, source._latest_frame[0]) < 4)
        image, _ = next(frames)
    assert behind(one, image) < 4, "images in between were left out"


def test_a_large_picture_comes_in_many_packets() -> None:
    with (
        run_camera(size_wh=(1280, 720)) as one,
        contextlib.closing(open_video(one.url())) as source,
    ):
        image, _ = next(iter(source))
    assert image.shape == (720, 1280, 3)
    assert image.std() < 2


def test_it_is_looked_at_again_after_it_hung_up_and_came_back_larger() -> None:
    said: list[str] = []
    with run_camera() as one:
        source = open_video(one.url(), reconnect_policy=QUICK, on_status=said.append)
        frames = iter(source)
        next(frames)
        one.refuses, one.size_wh = True, (320, 240)
        one.close_connections()
        wait_until(lambda: len(said) >= 2)
        assert all("the camera is away; it is tried again in" in line for line in said)
        one.refuses = False
        wait_until(lambda: "the camera is back" in said)
        next(frames)
        image, _ = next(frames)
        source.close()
    assert one.n_plays == 2
    assert image.shape == (120, 160, 3), "images of one stream are of one size"


class Clock:
    """Seconds that pass more quickly when the test says so."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead_s

    def skip(self, seconds: float) -> None:
        self._ahead_s += seconds


def test_one_that_falls_silent_is_asked_again(monkeypatch) -> None:
    said: list[str] = []
    clock = Clock()
    monkeypatch.setattr(decoder_client, "monotonic", clock)
    with run_camera() as one:
        address = one.url()
        source = open_video(
            address, LONG, reconnect_policy=QUICK, on_status=said.append
        )
        frames = iter(source)
        next(frames)
        one.silent = True
        # More than once: an image that was on its way may come after the first.
        wait_until(lambda: clock.skip(LONG.frame_timeout_s) or said)
        one.silent = False
        wait_until(lambda: "the camera is back" in said)
        assert next(frames)[0].shape == (120, 160, 3)
        source.close()


@pytest.mark.parametrize("digest", [False, True])
def test_a_password_opens_what_nobody_else_can(digest) -> None:
    with run_camera(login=("me", "ge/heim"), digest=digest) as one:
        source = open_video(one.url(login="me:ge%2Fheim@"))
        assert source.info.width == 160
        source.close()
        for login in ("", "me:falsch@"):
            with pytest.raises(VideoReadError, match="wants a user and a password"):
                open_video(one.url(login=login))


def nobody(one: RtspCamera) -> str:
    return one.url().replace(str(one.port), "1")


@pytest.mark.parametrize(
    ("how", "address", "limits", "line"),
    [
        ({}, lambda one: one.url("/attic"), LONG, "there is nothing at this"),
        ({}, nobody, LONG, "nobody answers at this address; check its host and port"),
        (
            {"refuses": True},
            RtspCamera.url,
            LONG,
            "gives no video or camera that can be",
        ),
        ({"silent": True}, RtspCamera.url, SHORT, "the address sends no images"),
    ],
)
def test_what_is_wrong_with_an_address_is_one_line(how, address, limits, line) -> None:
    with run_camera(**how) as one, pytest.raises(VideoReadError, match=line) as told:
        open_video(address(one), limits)
    assert "\n" not in str(told.value)


@pytest.fixture
def _quick_models(monkeypatch) -> None:
    def load(*_: object, **__: object) -> TwoStage:
        return TwoStage(FakeDetector([[5, 5, 45, 55]], [0.9]), FakeClassifier())

    monkeypatch.setattr(video, "load_analyzer", load)


@pytest.mark.usefixtures("_quick_models")
def test_the_command_follows_people_before_it_until_ctrl_c(
    tmp_path, capsys, monkeypatch
) -> None:
    with run_camera(login=("me", "geheim")) as one:
        analyze, seen_s = TwoStage.analyze, []

        def timed(self, *args, **how):
            seen_s.append(time.monotonic())
            # Images that waited come in a burst, which is too short to be somebody.
            if len(seen_s) >= 30 and seen_s[-1] - seen_s[0] > 1 and not stopped:
                stopped.append(True)
                os.kill(os.getpid(), signal.SIGINT)
            return analyze(self, *args, **how)

        stopped: list[bool] = []
        monkeypatch.setattr(TwoStage, "analyze", timed)
        summary = tmp_path / "a.json"
        address = one.url(login="me:geheim@")
        assert main(["video", address, "--json", str(summary)]) == 0
    (report,) = json.loads(summary.read_text("utf-8"))["videos"]
    assert report["video"] == one.url()
    assert report["n_frames"] >= 29
    assert [person["label"] for person in report["people"]] == ["mask"]
    shown = capsys.readouterr()
    assert "1 person in" in shown.out
    assert "geheim" not in shown.out + shown.err + summary.read_text("utf-8")


@pytest.mark.usefixtures("_quick_models")
def test_the_command_says_no_password_where_it_is_wrong(capsys) -> None:
    with run_camera(login=("me", "geheim")) as one:
        assert main(["video", one.url(login="me:falsch@")]) == 1
    shown = capsys.readouterr()
    assert "wants a user and a password, or refuses" in shown.err
    assert shown.err.startswith(f"maskdet: {one.url()}: ")
    assert "falsch" not in shown.out + shown.err
    assert shown.err.count("\n") == 1
