"""People, mask rate and events of a live run over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from maskdet.events import Event, StreamInfo
from maskdet.media import read_image
from maskdet.people import PersonLog
from maskdet.serving.preferences import Preferences
from maskdet.style import Style
from maskdet.types import Label
from maskdet.web.live.history import MAX_RECENT_EVENTS, RECENT_S, RunHistory
from maskdet.web.live.state import LiveState
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.streams import LEFT, MASK, NO_MASK, NOISE
from tests.video.scenes import make_people_scene

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def count(n_masked: int) -> dict[Label, int]:
    return {**dict.fromkeys(Label, 0), Label.MASK: n_masked}


def make_event(person: int, kind: str = "classified", at_s: float = 0.0) -> Event:
    at = AT + timedelta(seconds=at_s)
    return Event(kind, at, "Door", "run", person, Label.NO_MASK)


def test_the_counts_of_the_last_minute_are_means_of_each_second() -> None:
    history = RunHistory()
    for time_s, n in ((100.0, 1), (100.2, 1), (100.9, 4), (102.5, 3)):
        history.add_counts(time_s, count(n))
    recent = history.get(103.1).recent_counts
    assert {len(values) for values in recent.values()} == {RECENT_S}
    assert recent[Label.MASK][-5:] == (None, 2.0, None, 3.0, None)
    assert recent[Label.NO_MASK][-4:] == (0.0, None, 0.0, None)
    assert set(recent[Label.MASK][:-5]) == {None}


def test_counts_older_than_a_minute_are_forgotten() -> None:
    history = RunHistory()
    for second in range(1000):
        history.add_counts(float(second), count(second))
    assert len(history._seconds) == RECENT_S
    assert history.get(999.5).recent_counts[Label.MASK] == tuple(
        float(second) for second in range(940, 1000)
    )
    assert set(history.get(2000.0).recent_counts[Label.MASK]) == {None}


def test_a_run_without_a_frame_has_no_counts() -> None:
    assert set(RunHistory().get(5.0).recent_counts.values()) == {()}


def test_the_last_events_are_kept_newest_first_and_all_alerts_are_counted() -> None:
    history, scene = RunHistory(), make_people_scene(0.0)
    for number in range(10):
        history.add_events((make_event(number), make_event(number, "alert")), scene)
    recent = history.get(1.0)
    assert len(recent.events) == MAX_RECENT_EVENTS
    first, second = recent.events[:2]
    assert (first.event.kind, first.event.person) == ("alert", 9)
    assert (second.event.kind, second.event.person) == ("classified", 9)
    assert recent.n_alerts == 10


def test_a_person_who_left_is_listed_at_the_time_they_were_last_seen() -> None:
    history, scene = RunHistory(), make_people_scene(0.0)
    for number in range(5):
        history.add_events((make_event(number, at_s=number),), scene)
    history.add_events((make_event(9, "left", at_s=2.5),), scene)
    people = [recent.event.person for recent in history.get(5.0).events]
    assert people == [4, 3, 9, 2, 1, 0]
    history.add_events((make_event(5, at_s=5), make_event(8, "left", at_s=0.5)), scene)
    people = [recent.event.person for recent in history.get(5.0).events]
    assert people == [5, 4, 3, 9, 2, 1]


def test_faces_are_kept_only_with_an_image_and_dropped_without_one() -> None:
    history = RunHistory()
    scene = make_people_scene(0.0, [(1, Label.NO_MASK)])
    image = np.full((480, 640, 3), 200, np.uint8)
    history.add_events((make_event(1), make_event(99, "left")), scene, image)
    left, classified = history.get(0.0).events
    assert not left.crop, "whoever has left is not in the image"
    crop = read_image(classified.crop)
    assert max(crop.shape) <= 72
    assert crop.mean() > 150
    history.add_events((), scene, image)
    assert history.get(0.0).events[1].crop
    history.add_events((), scene)
    assert not history.get(0.0).events[1].crop
    assert history.get(0.0).events[1].event == classified.event


class Alarmed:
    """Reports an alert for everybody in each scene, and one event at the end."""

    stream_info = StreamInfo("Door", AT)

    def observe(self, people: PersonLog) -> tuple[Event, ...]:
        if people.scene is None:
            return (make_event(1, "left"),)
        return tuple(make_event(person.track_id, "alert") for person in people.present)


def play(state: LiveState, faces: list[ScriptedFace], length_s: float) -> None:
    """Analyze the same faces for a while; the clock is that of the analyzer."""
    analyzer = ScriptedAnalyzer(lambda time_s: faces)
    run = state.get_or_create_session("fake", analyzer, Alarmed())
    for time_s in 500 + np.arange(0, length_s, 0.1):
        analyzer.time_s = float(time_s)
        snapshot = run.step(NOISE, float(time_s), state.preferences.settings)
        state.record_frame(run, 1, {"detect": 1.0}, snapshot)


def test_the_stats_have_mask_rate_and_events_of_the_run() -> None:
    state = LiveState(Preferences())
    assert state.get_stats().history.timeline == ()
    play(state, [ScriptedFace(LEFT, MASK)], 4.0)
    history = state.get_stats().history
    assert [time_bin.start_s for time_bin in history.timeline] == [0.0, 1.0, 2.0]
    assert history.timeline[-1].mask_rate == 1.0
    assert history.n_alerts > 20
    assert not any(recent.crop for recent in history.events)
    people = state.active_session._stream.people
    assert people.timeline.get_spans() == {}, "only the player of a video needs them"
    run = state.get_or_create_session("fake", ScriptedAnalyzer(lambda time_s: []))
    state.end_session(run)
    last_run = state.get_last_run()
    assert last_run is not None
    assert last_run.n_alerts == history.n_alerts
    report = last_run.report
    assert report.events[-1].kind == "left"
    assert report.n_events == len(report.events) == history.n_alerts + 1
    assert len(report.timeline) == 4
    assert not state.get_stats().history.events


def test_faces_of_a_camera_that_others_see_are_never_kept() -> None:
    state = LiveState(Preferences(), is_private=False)
    state.keeps_crops = True
    play(state, [ScriptedFace(LEFT, NO_MASK)], 2.0)
    assert not any(recent.crop for recent in state.get_stats().history.events)


@pytest.mark.parametrize("blur", [False, True])
def test_faces_are_kept_if_the_visitor_allows_it_and_blur_is_off(blur: bool) -> None:
    state = LiveState(Preferences(style=Style(blur=blur)))
    assert state.keeps_crops is False
    state.keeps_crops = True
    play(state, [ScriptedFace(LEFT, NO_MASK)], 2.0)
    newest = state.get_stats().history.events[0]
    assert bool(newest.crop) is not blur
