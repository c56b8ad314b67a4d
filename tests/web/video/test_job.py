"""A video in its own thread: results, stops, failures, turns, nothing left behind."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maskdet.analyzers.pipelines import Analyzer, TwoStage
from maskdet.media import VideoLimits
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Image, Scene
from maskdet.web.preferences import Preferences
from maskdet.web.video import job as video_job
from maskdet.web.video.job import VideoAnalysisJob, VideoOptions, find_job_by_tab
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.helpers.waiting import WAIT_S, wait_until
from tests.media.video_files import N_FRAMES, write_video

PLAN = VideoOptions(Preferences())
BOX = [10, 10, 50, 50]

Make = Callable[..., VideoAnalysisJob]


class Gate:
    """An analyzer that sees one face, and waits before each image after the first."""

    def __init__(self) -> None:
        self.open, self.asked = threading.Event(), threading.Event()
        self._sees = TwoStage(FakeDetector([BOX], [0.9]), FakeClassifier())
        self._n = 0

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        self._n += 1
        if self._n > 1:
            self.asked.set()
            assert self.open.wait(WAIT_S)
        return self._sees.analyze(image, settings)


def sees_one(plan: VideoOptions) -> Analyzer:
    return TwoStage(FakeDetector([BOX], [0.9]), FakeClassifier())


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A function that takes a video of 1.2 s, and is cleaned up after."""
    made: list[VideoAnalysisJob] = []
    path = write_video(tmp_path / "a.mp4")

    def job(
        content: bytes | Path = path, plan: VideoOptions = PLAN, load=sees_one, **how
    ):
        made.append(VideoAnalysisJob("a.mp4", content, plan, load, **how))
        return made[-1]

    yield job
    for one in made:
        one.close()
        one.join(WAIT_S)


def folder(job: VideoAnalysisJob) -> Path:
    return job.rows_path.parent


def test_a_film_becomes_a_report_a_film_and_rows(make: Make) -> None:
    job = make()
    assert job.busy
    job.start()
    assert job.join(WAIT_S)
    assert (job.state, job.problem, job.busy) == ("done", "", False)
    assert job.report is not None
    assert job.report.is_complete
    assert [person.label.key for person in job.report.people] == ["mask"]
    assert job.report.people[0].crop == b""
    with job.rows_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N_FRAMES
    assert {row["video"] for row in rows} == {"a.mp4"}
    assert job.annotated_path is not None
    assert job.annotated_path.read_bytes()[4:8] == b"ftyp"
    assert job.progress.preview[:2] == b"\xff\xd8"
    there = folder(job)
    job.close()
    assert job.state == "closed"
    assert (job.report, job.annotated_path, there.exists()) == (None, None, False)


def test_bytes_are_as_good_as_a_file(make: Make, tmp_path: Path) -> None:
    job = make((tmp_path / "a.mp4").read_bytes())
    job.start()
    assert job.join(WAIT_S)
    assert job.report is not None
    assert job.report.n_frames == N_FRAMES


def test_a_visitor_may_look_again_otherwise(make: Make) -> None:
    job = make()
    job.start()
    assert job.join(WAIT_S)
    first = job.number
    job.start(VideoOptions(Preferences(), every=3, keep_crops=True))
    assert job.join(WAIT_S)
    assert job.report is not None
    assert job.report.n_frames == N_FRAMES // 3
    assert job.report.people[0].crop[:2] == b"\xff\xd8"
    assert job.number != first


def test_no_view_is_kept_of_who_must_not_be_recognised(make: Make) -> None:
    plan = VideoOptions(Preferences(style=Style(blur=True)), keep_crops=True)
    job = make(plan=plan)
    job.start()
    assert job.join(WAIT_S)
    assert job.report is not None
    assert [person.crop for person in job.report.people] == [b""]


def test_a_stop_keeps_what_was_found(make: Make) -> None:
    gate = Gate()
    job = make(load=lambda plan: gate)
    job.start()
    assert gate.asked.wait(WAIT_S)
    assert (job.state, job.progress.n_frames) == ("working", 1)
    job.stop()
    gate.open.set()
    assert job.join(WAIT_S)
    assert job.state == "done"
    assert job.report is not None
    assert (job.report.n_frames, job.report.is_complete) == (2, False)
    assert job.annotated_path is not None
    assert job.annotated_path.is_file()


def test_a_cancel_in_the_middle_leaves_nothing(make: Make) -> None:
    gate = Gate()
    job = make(load=lambda plan: gate)
    there = folder(job)
    job.start()
    assert gate.asked.wait(WAIT_S)
    job.close()
    gate.open.set()
    assert job.join(WAIT_S)
    wait_until(lambda: not there.exists(), "the folder to go")
    assert (job.state, job.report) == ("closed", None)
    job.start()
    assert job.state == "closed"


def test_one_line_says_why_a_film_cannot_be_read(make: Make, tmp_path: Path) -> None:
    whole = (tmp_path / "a.mp4").read_bytes()
    for content in (b"no video", whole[: len(whole) // 3]):
        job = make(content)
        job.start()
        assert job.join(WAIT_S)
        assert job.state == "failed"
        assert "no video, or it is damaged" in job.problem
        assert "\n" not in job.problem
        assert str(folder(job)) not in job.problem


def test_a_film_that_is_too_long_is_refused(make: Make, monkeypatch) -> None:
    monkeypatch.setattr(video_job, "VIDEO_LIMITS", VideoLimits(max_duration_s=0.5))
    job = make()
    job.start()
    assert job.join(WAIT_S)
    assert job.problem == "the video is longer than 30 minutes; upload a shorter part of it"
    assert job.progress.n_frames == 0


def test_a_clock_that_leaps_makes_no_film_too_long(make: Make, tmp_path: Path) -> None:
    parts = [write_video(tmp_path / "b.ts", "libx264")]
    hours = tuple(range(36_000_000, 36_001_200, 100))
    parts.append(write_video(tmp_path / "c.ts", "libx264", times_ms=hours))
    job = make(b"".join(part.read_bytes() for part in parts))
    job.start()
    assert job.join(WAIT_S)
    assert job.problem == ""
    assert job.report is not None
    assert job.report.analyzed_s == pytest.approx(2.4, abs=0.01)


def test_an_unforeseen_fault_is_told_and_logged(make: Make, caplog) -> None:
    def broken(plan: VideoOptions) -> Analyzer:
        raise LookupError("secret")

    job = make(load=broken)
    job.start()
    assert job.join(WAIT_S)
    assert job.state == "failed"
    assert "unexpected error" in job.problem
    assert "secret" not in job.problem
    assert "secret" in caplog.text


def test_who_comes_when_all_turns_are_taken_waits(make: Make, monkeypatch) -> None:
    monkeypatch.setattr(video_job, "_job_slots", threading.BoundedSemaphore(1))
    gate = Gate()
    first, second, third = make(load=lambda plan: gate), make(), make()
    first.start()
    assert gate.asked.wait(WAIT_S)
    second.start()
    third.start()
    third.stop()
    assert third.join(WAIT_S)
    assert (second.state, third.state) == ("waiting", "failed")
    gate.open.set()
    assert second.join(WAIT_S)
    assert second.state == "done"


def test_the_film_goes_when_its_visitor_has_left(make: Make, monkeypatch) -> None:
    monkeypatch.setattr(video_job, "ABANDONED_AFTER_S", 0.1)
    monkeypatch.setattr(video_job, "_PRESENCE_INTERVAL_S", 0.05)
    present = threading.Event()
    present.set()
    job = make(is_present=present.is_set)
    there = folder(job)
    job.start()
    assert job.join(WAIT_S)
    assert there.exists()
    present.clear()
    wait_until(lambda: not there.exists(), "the folder to go")
    assert job.state == "closed"


def test_a_film_whose_visitor_is_away_lets_another_go_first_and_goes_on(
    make: Make, monkeypatch
) -> None:
    monkeypatch.setattr(video_job, "_job_slots", threading.BoundedSemaphore(1))
    gate, here = Gate(), threading.Event()
    away = make(load=lambda plan: gate, is_present=here.is_set)
    away.start()
    assert gate.asked.wait(WAIT_S)
    other_gate = Gate()
    other = make(load=lambda plan: other_gate)
    other.start()
    gate.open.set()
    assert other_gate.asked.wait(WAIT_S), "the other one has got the turn"
    wait_until(lambda: away.state == "waiting", "the first one to give way")
    assert other.state == "working"
    other_gate.open.set()
    assert other.join(WAIT_S)
    assert away.join(WAIT_S)
    assert (other.state, away.state) == ("done", "done")
    assert away.report is not None
    assert away.report.is_complete
    assert video_job._job_slots.acquire(blocking=False), "the turn was given back, once"


def test_of_two_who_wait_the_one_who_is_there_is_first(make: Make, monkeypatch) -> None:
    monkeypatch.setattr(video_job, "_job_slots", threading.BoundedSemaphore(1))
    gate, other_gate = Gate(), Gate()
    first = make(load=lambda plan: gate)
    away = make(is_present=lambda: False)
    there = make(load=lambda plan: other_gate)
    first.start()
    assert gate.asked.wait(WAIT_S)
    away.start()
    there.start()
    gate.open.set()
    assert other_gate.asked.wait(WAIT_S)
    assert away.state == "waiting"
    away.stop()
    assert away.join(WAIT_S)
    assert away.state == "failed"
    other_gate.open.set()
    assert there.join(WAIT_S)


def test_a_film_that_gave_way_can_be_stopped_and_closed(
    make: Make, monkeypatch
) -> None:
    monkeypatch.setattr(video_job, "_job_slots", threading.BoundedSemaphore(1))
    gate, other_gate = Gate(), Gate()
    away = make(load=lambda plan: gate, is_present=lambda: False)
    away.start()
    assert gate.asked.wait(WAIT_S)
    other = make(load=lambda plan: other_gate)
    other.start()
    gate.open.set()
    assert other_gate.asked.wait(WAIT_S)
    wait_until(lambda: away.state == "waiting", "the first one to give way")
    away.close()
    assert away.join(WAIT_S)
    assert away.state == "closed"
    other_gate.open.set()
    assert other.join(WAIT_S)
    assert other.state == "done"


def test_after_a_reload_the_film_is_found_again_in_its_tab_only(make: Make) -> None:
    here = threading.Event()
    here.set()
    job = make(is_present=here.is_set)
    job.register_tab("a" * 32)
    assert find_job_by_tab("a" * 32, lambda: True) is None, "its visitor is still there"
    here.clear()
    assert find_job_by_tab("b" * 32, lambda: True) is None
    assert find_job_by_tab("", lambda: True) is None
    assert find_job_by_tab("a" * 32, lambda: True) is job
    assert find_job_by_tab("a" * 32, lambda: True) is None, "the new session is there"
    job.close()
    assert find_job_by_tab("a" * 32, lambda: True) is None


def test_a_film_without_a_tab_is_not_kept(make: Make) -> None:
    make(is_present=lambda: False).register_tab("")
    assert find_job_by_tab("", lambda: True) is None
