"""The frame callback and the metrics of the live video, without a browser."""

from __future__ import annotations

import asyncio
import logging
from fractions import Fraction

import av
import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Label, Scene
from maskdet.web.live.frames import make_callback
from maskdet.web.live.readouts import live_stats_html, performance_text
from maskdet.web.live.state import LiveState
from maskdet.wording import PERCENT
from tests.helpers.fakes import FakeClassifier, FakeDetector

WIDTH, HEIGHT = 320, 240
BOX = (40, 60, 120, 160)
GREEN_BGR = (0, 200, 0)
TIME_BASE = Fraction(1, 90000)


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Failing:
    """Fails a number of times, then returns empty scenes."""

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


def run_callback(callback, *frames: av.VideoFrame) -> av.VideoFrame:
    (annotated,) = asyncio.run(callback(list(frames)))
    return annotated


def pixels(of: av.VideoFrame) -> np.ndarray:
    return of.to_ndarray(format="bgr24").astype(np.int16)


def near(image: np.ndarray, colour_bgr) -> np.ndarray:
    """Return where the image has about this colour."""
    return np.abs(image - np.array(colour_bgr)).max(axis=2) < 40


def test_the_annotated_frame_keeps_size_and_time_stamp() -> None:
    _, callback = live()
    annotated = run_callback(callback, frame(pts=4711, shape=(241, 323, 3)))
    assert (annotated.width, annotated.height) == (323, 241)
    assert annotated.pts == 4711
    assert annotated.time_base == TIME_BASE


def test_only_the_face_is_outlined_in_green() -> None:
    _, callback = live()
    image = pixels(run_callback(callback, frame()))
    assert near(image, GREEN_BGR)[BOX[1] : BOX[3], BOX[0] - 4 : BOX[0] + 6].any()
    assert near(image[:, 200:], (90, 90, 90)).all()


def test_mirror_flips_the_frame_but_not_the_overlay() -> None:
    bright_left = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    bright_left[:, :80] = 200
    given = frame_of(bright_left)
    _, callback = live(Preferences(mirror=True))
    image = pixels(run_callback(callback, given))
    assert image[200, 310].min() > 150
    # The detector sees the mirrored frame, so its box is not mirrored.
    assert near(image, GREEN_BGR)[:, BOX[0] - 4 : BOX[0] + 6].any()


def test_a_rotated_camera_is_shown_and_analyzed_upright() -> None:
    bright_left = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    bright_left[:, :80] = 200
    state, callback = live(Preferences(mirror=False, rotate=90))
    annotated = run_callback(callback, frame_of(bright_left))
    assert (annotated.width, annotated.height) == (HEIGHT, WIDTH)
    assert pixels(annotated)[10, 230].min() > 150, "the left side is at the top"
    view = state.get_snapshot()
    assert view is not None
    assert view.size_wh == (HEIGHT, WIDTH)
    state, callback = live(Preferences(mirror=True, rotate=180))
    annotated = run_callback(callback, frame_of(bright_left))
    assert (annotated.width, annotated.height) == (WIDTH, HEIGHT)
    assert pixels(annotated)[10, 10].min() > 150, "rotated, and then mirrored"


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
    assert near(pixels(run_callback(callback, frame())), GREEN_BGR).any()
    state.set_preferences(changed)
    image = pixels(run_callback(callback, frame()))
    assert not near(image, GREEN_BGR).any()
    colours = {"grey": (165, 165, 165), "blue": (178, 114, 0)}
    assert (expected == "none") == (not (np.abs(image - 90) > 40).any())
    if expected in colours:
        assert near(image, colours[expected]).any()


def test_a_failing_frame_is_shown_with_an_error_banner(caplog) -> None:
    clock = Clock()
    state, callback = live(of=Failing(1), clock=clock)
    with caplog.at_level(logging.ERROR):
        annotated = run_callback(callback, frame(pts=77))
    image = pixels(annotated)
    assert annotated.pts == 77
    assert near(image[40:], (90, 90, 90)).all()
    assert (image[:20] > 200).all(axis=2).sum() > 50  # white letters
    assert not near(image[2:10, :4], (90, 90, 90)).any()  # on a dark bar
    stats = state.get_stats()
    assert stats.n_failed == 1
    assert stats.last_error == "RuntimeError: no such luck"
    assert "no such luck" in caplog.text

    assert stats.is_failing
    assert "<dt>Mask</dt><dd>\N{EN DASH}</dd>" in live_stats_html(stats, Style())

    clock.now_s += 3
    image = pixels(run_callback(callback, frame()))
    assert near(image, (90, 90, 90)).all(), "the stream goes on without the bar"
    assert state.get_stats().n_failed == 1
    assert not state.get_stats().is_failing


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 16, 3), (16, 2, 3), (9, 700, 3)])
def test_frames_of_any_shape_get_an_error_banner(shape) -> None:
    state, callback = live(of=Failing(1))
    annotated = run_callback(callback, frame(shape=shape))
    assert (annotated.height, annotated.width) == shape[:2]
    assert state.get_stats().n_failed == 1


def test_an_unreadable_frame_is_returned_unchanged(monkeypatch) -> None:
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
        run_callback(callback, frame())
    assert len(caplog.records) == 3  # 1, 10 and 100


def test_only_the_newest_frame_is_analyzed_and_the_others_are_counted() -> None:
    clock = Clock()
    state, callback = live(clock=clock)
    for _ in range(10):
        clock.now_s += 0.2
        last = run_callback(callback, frame(1), frame(2), frame(3))
    assert last.pts == 3
    stats = state.get_stats()
    assert stats.n_skipped == 20
    assert stats.fps_in == pytest.approx(30 / 1.8)
    assert stats.fps_analyzed == pytest.approx(10 / 1.8)
    assert stats.fps_skipped == pytest.approx(20 / 1.8)


def test_rates_cover_the_last_two_seconds() -> None:
    clock = Clock()
    state, callback = live(clock=clock)
    for _ in range(50):
        clock.now_s += 0.1
        run_callback(callback, frame())
    assert state.get_stats().fps_analyzed == pytest.approx(10, rel=0.06)
    clock.now_s += 1
    assert state.get_stats().fps_analyzed == pytest.approx(5, rel=0.11)
    clock.now_s += 5
    assert state.get_stats().fps_in == 0


def test_the_stats_list_the_stages_in_order() -> None:
    state, callback = live()
    assert not state.get_stats().has_started
    run_callback(callback, frame())
    stats = state.get_stats()
    assert list(stats.stage_ms) == ["read", "detect", "classify", "track", "draw"]
    assert all(ms > 0 for ms in stats.stage_ms.values())
    assert stats.has_started


def test_ending_a_session_does_not_affect_its_successor() -> None:
    state = LiveState(Preferences())
    first = state.get_or_create_session("fake", analyzer())
    assert state.get_or_create_session("fake", analyzer()) is first
    run_callback(make_callback(state, first), frame())
    second = state.get_or_create_session("other", analyzer())
    assert second is not first
    run_callback(make_callback(state, second), frame())
    state.end_session(first)
    assert state.get_or_create_session("other", analyzer()) is second
    assert state.get_stats().has_started
    state.end_session(second)
    assert not state.get_stats().has_started
    assert state.get_snapshot() is None
    assert state.get_or_create_session("other", analyzer()) is not second


def played(callback, clock: Clock, seconds: float) -> None:
    """Call the callback with the same frame for a while."""
    for _ in range(round(10 * seconds)):
        clock.now_s += 0.1
        run_callback(callback, frame())


def test_the_metrics_show_dashes_before_start_and_values_after() -> None:
    clock = Clock()
    state, callback = live(
        Preferences(settings=Settings(min_confidence=1)), clock=clock
    )
    before = live_stats_html(state.get_stats(), Style())
    assert "<dd>\N{EN DASH}</dd>" in before
    assert "in total" not in before
    played(callback, clock, 1)
    after = live_stats_html(state.get_stats(), Style())
    assert "People in view: 1<" in after
    assert "<dt>Unsure</dt><dd>1</dd>" in after
    assert "<b>\N{EN DASH}</b>" in after, "no mask rate while everyone is unsure"
    state.set_preferences(Preferences())
    run_callback(callback, frame(), frame())
    html = live_stats_html(state.get_stats(), Style())
    assert "<dt>Mask</dt><dd>1</dd>" in html
    assert "1 in total" in html
    assert f"<b>100{PERCENT}</b>" in html
    assert "1 dropped" in performance_text(state.get_stats())
    assert "#00c800" in html
    assert "#0072b2" in live_stats_html(
        state.get_stats(), Style(palette="colour-blind")
    )


def test_people_are_counted_instead_of_frames_or_faces() -> None:
    clock = Clock()
    state, callback = live(clock=clock)
    run_callback(callback, frame())
    assert sum(state.get_stats().people.current.values()) == 0, (
        "a single frame may be an error"
    )
    played(callback, clock, 2)
    people = state.get_stats().people
    assert (people.current[Label.MASK], people.total[Label.MASK]) == (1, 1)
    assert people.turned_away == 0
