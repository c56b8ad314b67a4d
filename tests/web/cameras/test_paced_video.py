"""A video that is played like a camera, with a clock of the test."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from maskdet.media import VideoInfo, open_video
from maskdet.web.cameras.feeds import play_in_real_time
from maskdet.web.cameras.paced_video import PacedVideo
from tests.media.video_files import N_FRAMES, write_video


class Clock:
    """Time that passes only while the video waits, and while it is opened."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, duration_s: float) -> None:
        self.now_s += duration_s


class FakeVideo:
    """Four frames a second, for one second."""

    end_s = 1.0

    def __init__(self, clock: Clock, open_s: float) -> None:
        clock.now_s += open_s
        self.info = VideoInfo(8, 6, duration_s=1.0, frame_rate=Fraction(4))
        self.is_closed = False

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        for number in range(4):
            yield np.full((6, 8, 3), number, np.uint8), number / 4

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def make_paced(open_s: float = 0.0) -> tuple[PacedVideo, Clock, list[FakeVideo]]:
    clock, opened = Clock(), []

    def open_fake() -> FakeVideo:
        opened.append(FakeVideo(clock, open_s))
        return opened[-1]

    return PacedVideo(open_fake, clock=clock, wait=clock.wait), clock, opened


def test_each_frame_comes_at_its_time_and_the_video_starts_again() -> None:
    paced, clock, opened = make_paced()
    frames = iter(paced)
    arrivals = [
        (int(image[0, 0, 0]), time_s, clock.now_s - 100.0)
        for (image, time_s), _ in zip(frames, range(10), strict=False)
    ]
    assert arrivals[:10] == [
        (number % 4, number / 4, number / 4) for number in range(10)
    ]
    assert [video.is_closed for video in opened] == [True, True, False]
    paced.close()
    assert next(frames, None) is None
    assert opened[-1].is_closed


def test_time_that_passes_while_the_video_is_opened_again_is_counted() -> None:
    paced, clock, _ = make_paced(open_s=0.5)
    start_s = clock.now_s
    times = [time_s for (_, time_s), _ in zip(paced, range(6), strict=False)]
    assert times == [0.0, 0.25, 0.5, 0.75, 1.5, 1.75]
    assert clock.now_s - start_s >= times[-1]


def test_a_slow_reader_does_not_make_the_video_slower() -> None:
    paced, clock, _ = make_paced()
    for _, time_s in paced:
        if time_s >= 0.5:
            break
        clock.now_s += 0.4
    assert clock.now_s - 100.0 == pytest.approx(0.8)


def test_it_has_no_end_like_a_camera(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4")
    with play_in_real_time(lambda: open_video(path)) as source:
        assert source.info.duration_s == 0
        frames = zip(source, range(N_FRAMES + 3), strict=False)
        times = [time_s for (_, time_s), _ in frames]
    assert times == sorted(times)
