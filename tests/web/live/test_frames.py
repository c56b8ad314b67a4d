"""The live image without a browser: frames in, frames and numbers out."""

from __future__ import annotations

import asyncio
import logging
from fractions import Fraction

import av
import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Label, Scene
from maskdet.web.live.frames import make_callback
from maskdet.web.live.readouts import live_stats_html
from maskdet.web.live.state import LiveState
from maskdet.web.preferences import Preferences
from tests.helpers.fakes import FakeClassifier, FakeDetector

WIDTH, HEIGHT = 320, 240
BOX = (40, 60, 120, 160)
GREEN_BGR = (0, 200, 0)
TIME_BASE = Fraction(1, 90000)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Failing:
    """Fails as often as it is told, then finds nothing."""

    def __init__(self, times: int) -> None:
        self.times = times

    def analyze(self, image, settings=None):
        self.times -= 1
        if self.times >= 0:
            raise RuntimeError("no such luck")
        return Scene.empty()


def analyzer() -> TwoStage:
    return TwoStage(FakeDetector([BOX], [0.9]), FakeClassifier((0.9, 0.08, 0.02)))


def live(preferences: Preferences | None = None, *, of=None, clock=None):
    """Return a state and its callback over one analyzer."""
    state = LiveState(preferences or Preferences(mirror=False), clock=clock or Clock())
    return state, make_callback(
        state, state.get_or_create_session("fake", of or analyzer())
    )


def frame(pts: int = 3000, grey: int = 90, shape=(HEIGHT, WIDTH, 3)) -> av.VideoFrame:
    return frame_of(np.full(shape, grey, np.uint8), pts)


def frame_of(image: np.ndarray, pts: int = 3000) -> av.VideoFrame:
    made = av.VideoFrame.from_ndarray(image, format="bgr24")
    made.pts, made.time_base = pts, TIME_BASE
    return made


def answer(callback, *frames: av.VideoFrame) -> av.VideoFrame:
    (answered,) = asyncio.run(callback(list(frames)))
    return answered


def pixels(of: av.VideoFrame) -> np.ndarray:
    return of.to_ndarray(format="bgr24").astype(np.int16)


def near(image: np.ndarray, colour_bgr) -> np.ndarray:
    """Return where the image has about this colour."""
    return np.abs(image - np.array(colour_bgr)).max(axis=2) < 40


def test_the_answer_has_the_size_and_time_stamp_of_the_frame() -> None:
    _, callback = live()
    answered = answer(callback, frame(pts=4711, shape=(241, 323, 3)))
    assert (answered.width, answered.height) == (323, 241)
    assert answered.pts == 4711
    assert answered.time_base == TIME_BASE


def test_the_face_is_outlined_in_green_and_the_rest_left_alone() -> None:
    _, callback = live()
    image = pixels(answer(callback, frame()))
    assert near(image, GREEN_BGR)[BOX[1] : BOX[3], BOX[0] - 4 : BOX[0] + 6].any()
    assert near(image[:, 200:], (90, 90, 90)).all()


def test_mirror_turns_the_picture_but_not_the_writing() -> None:
    bright_left = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    bright_left[:, :80] = 200
    given = frame_of(bright_left)
    _, callback = live(Preferences(mirror=True))
    image = pixels(answer(callback, given))
    assert image[200, 310].min() > 150
    # The detector saw the turned image, so its box stays where it says.
    assert near(image, GREEN_BGR)[:, BOX[0] - 4 : BOX[0] + 6].any()


def test_a_camera_that_hangs_on_its_side_is_shown_and_analysed_upright() -> None:
    bright_left = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    bright_left[:, :80] = 200
    state, callback = live(Preferences(mirror=False, rotate=90))
    answered = answer(callback, frame_of(bright_left))
    assert (answered.width, answered.height) == (HEIGHT, WIDTH)
    assert pixels(answered)[10, 230].min() > 150, "what was left is above"
    view = state.get_snapshot()
    assert view is not None
    assert view.size_wh == (HEIGHT, WIDTH)
    state, callback = live(Preferences(mirror=True, rotate=180))
    answered = answer(callback, frame_of(bright_left))
    assert (answered.width, answered.height) == (WIDTH, HEIGHT)
    assert pixels(answered)[10, 10].min() > 150, "turned, and then mirrored"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (Preferences(mirror=False, settings=Settings(min_confidence=0.95)), "grey"),
        (Preferences(mirror=False, settings=Settings(min_score=0.95)), "none"),
        (Preferences(mirror=False, settings=Settings(min_face_px=150)), "none"),
        (Preferences(mirror=False, style=Style(palette="colour-blind")), "blue"),
    ],
)
def test_a_changed_setting_acts_on_the_next_frame(changed, expected) -> None:
    state, callback = live()
    assert near(pixels(answer(callback, frame())), GREEN_BGR).any()
    state.set_preferences(changed)
    image = pixels(answer(callback, frame()))
    assert not near(image, GREEN_BGR).any()
    colours = {"grey": (165, 165, 165), "blue": (178, 114, 0)}
    assert (expected == "none") == (not (np.abs(image - 90) > 40).any())
    if expected in colours:
        assert near(image, colours[expected]).any()


def test_a_failing_frame_is_shown_bare_with_the_error_on_top(caplog) -> None:
    clock = Clock()
    state, callback = live(of=Failing(1), clock=clock)
    with caplog.at_level(logging.ERROR):
        answered = answer(callback, frame(pts=77))
    image = pixels(answered)
    assert answered.pts == 77
    assert near(image[40:], (90, 90, 90)).all()
    assert (image[:20] > 200).all(axis=2).sum() > 50  # white letters
    assert not near(image[2:10, :4], (90, 90, 90)).any()  # on a dark bar
    reading = state.get_stats()
    assert reading.n_failed == 1
    assert reading.last_error == "RuntimeError: no such luck"
    assert "no such luck" in caplog.text

    assert reading.is_failing
    assert "<dt>Mask</dt><dd>&ndash;</dd>" in live_stats_html(reading, Style())

    clock.now_s += 3
    image = pixels(answer(callback, frame()))
    assert near(image, (90, 90, 90)).all(), "the stream goes on without the bar"
    assert state.get_stats().n_failed == 1
    assert not state.get_stats().is_failing


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 16, 3), (16, 2, 3), (9, 700, 3)])
def test_no_frame_is_too_odd_to_fail_on(shape) -> None:
    state, callback = live(of=Failing(1))
    answered = answer(callback, frame(shape=shape))
    assert (answered.height, answered.width) == shape[:2]
    assert state.get_stats().n_failed == 1


def test_a_frame_that_cannot_even_be_read_is_given_back(monkeypatch) -> None:
    class Broken:
        pts, time_base = 5, TIME_BASE

        def to_ndarray(self, format):
            raise ValueError("torn")

    state, callback = live()
    broken = Broken()
    assert asyncio.run(callback([broken])) == [broken]
    assert state.get_stats().last_error == "ValueError: torn"


def test_many_failures_are_logged_rarely(caplog) -> None:
    _, callback = live(of=Failing(120))
    for _ in range(120):
        answer(callback, frame())
    assert len(caplog.records) == 3  # 1, 10 and 100


def test_only_the_newest_frame_is_analysed_and_the_others_are_counted() -> None:
    clock = Clock()
    state, callback = live(clock=clock)
    for _ in range(10):
        clock.now_s += 0.2
        last = answer(callback, frame(1), frame(2), frame(3))
    assert last.pts == 3
    reading = state.get_stats()
    assert reading.n_skipped == 20
    assert reading.fps_in == pytest.approx(30 / 1.8)
    assert reading.fps_analyzed == pytest.approx(10 / 1.8)
    assert reading.fps_skipped == pytest.approx(20 / 1.8)


def test_rates_are_those_of_the_last_two_seconds() -> None:
    clock = Clock()
    state, callback = live(clock=clock)
    for _ in range(50):
        clock.now_s += 0.1
        answer(callback, frame())
    assert state.get_stats().fps_analyzed == pytest.approx(10, rel=0.06)
    clock.now_s += 1
    assert state.get_stats().fps_analyzed == pytest.approx(5, rel=0.11)
    clock.now_s += 5
    assert state.get_stats().fps_in == 0


def test_the_reading_tells_the_stages_in_order() -> None:
    state, callback = live()
    assert not state.get_stats().has_started
    answer(callback, frame())
    reading = state.get_stats()
    assert list(reading.stage_ms) == ["read", "detect", "classify", "track", "draw"]
    assert all(ms > 0 for ms in reading.stage_ms.values())
    assert reading.has_started


def test_a_stream_that_ended_is_forgotten_but_not_its_successor() -> None:
    state = LiveState(Preferences())
    first = state.get_or_create_session("fake", analyzer())
    assert state.get_or_create_session("fake", analyzer()) is first
    answer(make_callback(state, first), frame())
    second = state.get_or_create_session("other", analyzer())
    assert second is not first
    answer(make_callback(state, second), frame())
    state.end_session(first)
    assert state.get_or_create_session("other", analyzer()) is second
    assert state.get_stats().has_started
    state.end_session(second)
    assert not state.get_stats().has_started
    assert state.get_snapshot() is None
    assert state.get_or_create_session("other", analyzer()) is not second


def played(callback, clock: Clock, seconds: float) -> None:
    """Show the callback the same frame for a while."""
    for _ in range(round(10 * seconds)):
        clock.now_s += 0.1
        answer(callback, frame())


def test_the_numbers_show_dashes_before_start_and_values_after() -> None:
    clock = Clock()
    state, callback = live(
        Preferences(settings=Settings(min_confidence=1)), clock=clock
    )
    before = live_stats_html(state.get_stats(), Style())
    assert "<dd>&ndash;</dd>" in before
    assert "0.0" not in before
    assert "since Start" not in before
    played(callback, clock, 1)
    after = live_stats_html(state.get_stats(), Style())
    assert "People in view: 1<" in after
    assert "<dt>Unsure</dt><dd>1</dd>" in after
    assert "<b>&ndash;</b>" in after, "no share masked while nobody is sure"
    state.set_preferences(Preferences())
    answer(callback, frame(), frame())
    html = live_stats_html(state.get_stats(), Style())
    assert "<dt>Mask</dt><dd>1</dd>" in html
    assert "1 person since Start" in html
    assert "<b>100 %</b>" in html
    assert "1 skipped since Start" in html
    assert "#00c800" in html
    assert "#0072b2" in live_stats_html(
        state.get_stats(), Style(palette="colour-blind")
    )


def test_people_are_counted_and_not_frames_or_faces() -> None:
    clock = Clock()
    state, callback = live(clock=clock)
    answer(callback, frame())
    assert sum(state.get_stats().people.current.values()) == 0, (
        "one view may be an error"
    )
    played(callback, clock, 2)
    people = state.get_stats().people
    assert (people.current[Label.MASK], people.total[Label.MASK]) == (1, 1)
    assert people.turned_away == 0
