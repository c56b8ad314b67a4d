"""What is kept of a run of the camera after its end."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest

from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.style import Style
from maskdet.web.live.last_run import list_tiles, people_csv
from maskdet.web.live.state import LiveState
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.streams import LEFT, MASK, NO_MASK, NOISE
from tests.helpers.waiting import WAIT_S, wait_until

BESIDE = (110.0, 60.0, 170.0, 130.0)
START_S = 5000.0


def make_state() -> tuple[LiveState, ScriptedAnalyzer]:
    faces = [ScriptedFace(LEFT, NO_MASK), ScriptedFace(BESIDE, MASK)]
    return LiveState(Preferences()), ScriptedAnalyzer(lambda time_s: faces)


def play(state: LiveState, analyzer: ScriptedAnalyzer, length_s: float) -> None:
    """Play a run from Start to Stop; the clock of a server does not begin at 0."""
    run = state.get_or_create_session("fake", analyzer)
    assert isinstance(run._stream, Stream)
    for time_s in START_S + np.arange(0, length_s, 0.1):
        analyzer.time_s = float(time_s)
        settings = Settings(distance="pinhole")
        snapshot = run.step(NOISE, float(time_s), settings)
        state.record_frame(run, 1, {"detect": 1.0}, snapshot)
    assert state.is_running()
    assert state.get_last_run() is None
    state.end_session(run)


def test_the_last_run_has_people_contacts_and_the_last_frame() -> None:
    state, analyzer = make_state()
    assert state.get_last_run() is None
    play(state, analyzer, 3.0)
    last_run = state.get_last_run()
    assert last_run is not None
    report = last_run.report
    assert report.is_complete
    assert report.n_people == 2
    assert report.analyzed_s == pytest.approx(2.9, abs=0.05)
    assert 0 <= min(person.first_s for person in report.people) < 1
    assert max(person.last_s for person in report.people) <= 3
    (contact,) = report.contacts
    assert 0 <= contact.start_s < 2
    assert last_run.snapshot.size_wh == (NOISE.shape[1], NOISE.shape[0])

    tiles = {tile.name: tile.value for tile in list_tiles(last_run, Style())}
    assert tiles["People"] == 2
    assert tiles["Mask"] == tiles["No mask"] == 1
    assert tiles["Duration"] == "0:03"
    assert tiles["Close contact"] == 1
    header, *rows = people_csv(report).splitlines()
    assert header.startswith("person,first_s,last_s,seen_s,label,confidence")
    assert len(rows) == 2


def test_a_run_without_a_frame_keeps_the_one_before() -> None:
    state, analyzer = make_state()
    play(state, analyzer, 1.0)
    first = state.get_last_run()
    state.end_session(state.get_or_create_session("fake", analyzer))
    assert state.get_last_run() is first


def test_the_first_frame_of_another_run_hides_the_last_one() -> None:
    state, analyzer = make_state()
    play(state, analyzer, 1.0)
    first = state.get_last_run()
    play(state, analyzer, 2.0)
    assert state.get_last_run() is not first


def test_a_run_that_failed_entirely_has_no_report() -> None:
    state, analyzer = make_state()
    play(state, analyzer, 1.0)

    def fail(time_s: float) -> list[ScriptedFace]:
        raise RuntimeError("no network")

    run = state.get_or_create_session("fake", ScriptedAnalyzer(fail))
    with pytest.raises(RuntimeError):
        run.step(NOISE, START_S, Settings())
    assert state.record_failure(run, 1, RuntimeError("no network")) == 1
    assert state.is_running()
    state.end_session(run)
    assert run.end() is None
    assert not state.is_running()
    assert state.get_last_run() is None, "the one before is gone since Start"


def test_a_failed_frame_is_not_part_of_the_report() -> None:
    faces = [ScriptedFace(LEFT, MASK)]
    times_s = [START_S + 1, START_S + 2]

    def play_or_fail(time_s: float) -> list[ScriptedFace]:
        if time_s not in times_s:
            raise RuntimeError("no network")
        return faces

    analyzer = ScriptedAnalyzer(play_or_fail)
    run = LiveState(Preferences()).get_or_create_session("fake", analyzer)
    for analyzer.time_s in (START_S, *times_s, START_S + 60):
        with contextlib.suppress(RuntimeError):
            run.step(NOISE, analyzer.time_s, Settings())
    report = run.end()
    assert report is not None
    assert (report.n_frames, report.analyzed_s) == (2, 1.0)


def test_the_end_is_complete_once_the_report_is_there() -> None:
    """The page looks for the report as soon as no run is running."""
    state, analyzer = make_state()
    run = state.get_or_create_session("fake", analyzer)
    state.record_frame(run, 1, {}, run.step(NOISE, START_S, Settings()))
    run._lock.acquire()  # as if the last frame were being analyzed
    ending = threading.Thread(target=state.end_session, args=(run,))
    ending.start()
    wait_until(lambda: state._ending is run, "the end")
    assert state.is_running()
    run._lock.release()
    ending.join(WAIT_S)
    assert not state.is_running()
    assert state.get_last_run() is not None


def test_late_frames_of_an_abandoned_run_do_not_count() -> None:
    state, analyzer = make_state()
    old = state.get_or_create_session("fake", analyzer)
    snapshot = old.step(NOISE, START_S, Settings())
    new = state.get_or_create_session("another", analyzer)
    assert new is not old
    state.record_frame(old, 1, {"detect": 1.0}, snapshot)
    assert state.record_failure(old, 1, RuntimeError("late")) == 0
    assert not state.is_running()
    assert state.get_snapshot() is None
    state.record_frame(new, 1, {"detect": 1.0}, snapshot)
    assert state.is_running()
    assert not state.get_stats().last_error
