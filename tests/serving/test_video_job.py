"""Background video jobs: results, stops, failures, slots, cleanup."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maskdet.analyzers.pipelines import Analyzer, TwoStage
from maskdet.media import VideoLimits
from maskdet.serving import video_job
from maskdet.serving.preferences import Preferences
from maskdet.serving.video_job import VideoAnalysisJob, VideoOptions, find_job_by_tab
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Image, Scene
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.helpers.waiting import WAIT_S, wait_until
from tests.media.video_files import N_FRAMES, write_video

OPTIONS = VideoOptions(Preferences())
BOX = [10, 10, 50, 50]

Make = Callable[..., VideoAnalysisJob]


class Gate:
    """An analyzer of one face that waits before each frame after the first."""

    def __init__(self) -> None:
        self.open, self.called = threading.Event(), threading.Event()
        self._analyzer = TwoStage(FakeDetector([BOX], [0.9]), FakeClassifier())
        self._n = 0

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        self._n += 1
        if self._n > 1:
            self.called.set()
            assert self.open.wait(WAIT_S)
        return self._analyzer.analyze(image, settings)


def load_fake(options: VideoOptions) -> Analyzer:
    return TwoStage(FakeDetector([BOX], [0.9]), FakeClassifier())


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A function that makes jobs of a video of 1.2 s; they are closed afterwards."""
    made: list[VideoAnalysisJob] = []
    path = write_video(tmp_path / "a.mp4")

    def job(
        content: bytes | Path = path,
        options: VideoOptions = OPTIONS,
        load=load_fake,
        **how,
    ):
        made.append(VideoAnalysisJob("a.mp4", content, options, load, **how))
        return made[-1]

    yield job
    for made_job in made:
        made_job.close()
        made_job.join(WAIT_S)


def folder(job: VideoAnalysisJob) -> Path:
    return job.rows_path.parent


def test_a_job_makes_a_report_an_annotated_video_and_rows(make: Make) -> None:
    job = make()
    assert (job.state, job.busy) == ("ready", False)
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
    annotated = job.read_annotated()
    assert annotated[4:8] == b"ftyp"
    assert job.read_annotated() is annotated
    assert job.read_original() is job.read_original()
    assert job.preview[:2] == b"\xff\xd8"
    scratch = folder(job)
    job.close()
    assert job.state == "closed"
    assert (job.report, job.annotated_path, scratch.exists()) == (None, None, False)
    assert (job.read_annotated(), job.read_original()) == (b"", b"")


def test_a_video_can_be_given_as_bytes(make: Make, tmp_path: Path) -> None:
    job = make((tmp_path / "a.mp4").read_bytes())
    job.start()
    assert job.join(WAIT_S)
    assert job.report is not None
    assert job.report.n_frames == N_FRAMES


def test_a_video_can_be_analyzed_again_with_other_options(make: Make) -> None:
    job = make()
    job.start()
    assert job.join(WAIT_S)
    first, annotated = job.number, job.read_annotated()
    job.start(VideoOptions(Preferences(), every=3, keep_crops=True))
    assert job.join(WAIT_S)
    assert job.read_annotated() not in (annotated, b"")
    assert job.report is not None
    assert job.report.n_frames == N_FRAMES // 3
    assert job.report.people[0].crop[:2] == b"\xff\xd8"
    assert job.number != first


def test_no_thumbnail_is_kept_if_blur_is_on(make: Make) -> None:
    options = VideoOptions(Preferences(style=Style(blur=True)), keep_crops=True)
    job = make(options=options)
    job.start()
    assert job.join(WAIT_S)
    assert job.report is not None
    assert [person.crop for person in job.report.people] == [b""]


def test_stop_keeps_the_results_so_far(make: Make) -> None:
    gate = Gate()
    job = make(load=lambda options: gate)
    job.start()
    assert gate.called.wait(WAIT_S)
    assert (job.state, job.progress.n_frames) == ("working", 1)
    job.stop()
    gate.open.set()
    assert job.join(WAIT_S)
    assert job.state == "done"
    assert job.report is not None
    assert (job.report.n_frames, job.report.is_complete) == (2, False)
    assert job.annotated_path is not None
    assert job.annotated_path.is_file()


def test_close_during_the_analysis_deletes_everything(make: Make) -> None:
    gate = Gate()
    job = make(load=lambda options: gate)
    scratch = folder(job)
    job.start()
    assert gate.called.wait(WAIT_S)
    job.close()
    gate.open.set()
    assert job.join(WAIT_S)
    wait_until(lambda: not scratch.exists(), "the folder to go")
    assert (job.state, job.report) == ("closed", None)
    job.start()
    assert job.state == "closed"


def test_an_unreadable_video_fails_with_one_line(make: Make, tmp_path: Path) -> None:
    whole = (tmp_path / "a.mp4").read_bytes()
    for content in (b"no video", whole[: len(whole) // 3]):
        job = make(content)
        job.start()
        assert job.join(WAIT_S)
        assert job.state == "failed"
        assert "not a video, or it is damaged" in job.problem
        assert "\n" not in job.problem
        assert str(folder(job)) not in job.problem


def test_a_video_that_is_too_long_is_rejected(make: Make, monkeypatch) -> None:
    monkeypatch.setattr(video_job, "VIDEO_LIMITS", VideoLimits(max_duration_s=0.5))
    job = make()
    job.start()
    assert job.join(WAIT_S)
    assert (
        job.problem
        == "the video is longer than 30 minutes; upload a shorter part of it"
    )
    assert job.progress.n_frames == 0


def test_a_jump_of_the_time_stamps_does_not_count_as_length(
    make: Make, tmp_path: Path
) -> None:
    parts = [write_video(tmp_path / "b.ts", "libx264")]
    hours = tuple(range(36_000_000, 36_001_200, 100))
    parts.append(write_video(tmp_path / "c.ts", "libx264", times_ms=hours))
    job = make(b"".join(part.read_bytes() for part in parts))
    job.start()
    assert job.join(WAIT_S)
    assert job.problem == ""
    assert job.report is not None
    assert job.report.analyzed_s == pytest.approx(2.4, abs=0.01)


def test_an_unexpected_error_is_reported_and_logged(make: Make, caplog) -> None:
    def broken(options: VideoOptions) -> Analyzer:
        raise LookupError("secret")

    job = make(load=broken)
    job.start()
    assert job.join(WAIT_S)
    assert job.state == "failed"
    assert "unexpected error" in job.problem
    assert "secret" not in job.problem
    assert "secret" in caplog.text


def test_a_job_waits_while_all_slots_are_taken(make: Make, monkeypatch) -> None:
    monkeypatch.setattr(video_job, "_job_slots", threading.BoundedSemaphore(1))
    gate = Gate()
    first, second, third = make(load=lambda options: gate), make(), make()
    first.start()
    assert gate.called.wait(WAIT_S)
    second.start()
    third.start()
    third.stop()
    assert third.join(WAIT_S)
    assert (second.state, third.state) == ("waiting", "failed")
    gate.open.set()
    assert second.join(WAIT_S)
    assert second.state == "done"


def test_a_job_shows_its_first_frame_before_it_is_started(make: Make) -> None:
    job = make()
    first_frame = job.read_first_frame()
    assert first_frame is not None
    assert first_frame.image.shape == (64, 96, 3)
    assert first_frame.info.duration_s == pytest.approx(1.2, abs=0.01)
    assert job.read_first_frame() is first_frame
    assert job.size_bytes == job.video_path.stat().st_size


def test_an_unreadable_video_fails_before_it_is_started(make: Make) -> None:
    job = make(b"no video")
    assert job.read_first_frame() is None
    assert job.state == "failed"
    assert "not a video, or it is damaged" in job.problem


def test_a_job_that_was_not_started_is_closed_when_its_visitor_has_left(
    make: Make, monkeypatch
) -> None:
    monkeypatch.setattr(video_job, "ABANDONED_AFTER_S", 0.1)
    monkeypatch.setattr(video_job, "_PRESENCE_INTERVAL_S", 0.05)
    job = make(is_present=lambda: False)
    wait_until(lambda: not folder(job).exists(), "the folder to go")
    assert job.state == "closed"


def test_a_job_is_closed_when_its_visitor_has_left(make: Make, monkeypatch) -> None:
    monkeypatch.setattr(video_job, "ABANDONED_AFTER_S", 0.1)
    monkeypatch.setattr(video_job, "_PRESENCE_INTERVAL_S", 0.05)
    present = threading.Event()
    present.set()
    job = make(is_present=present.is_set)
    scratch = folder(job)
    job.start()
    assert job.join(WAIT_S)
    assert scratch.exists()
    present.clear()
    wait_until(lambda: not scratch.exists(), "the folder to go")
    assert job.state == "closed"


def test_a_job_of_an_absent_visitor_yields_its_slot_and_continues(
    make: Make, monkeypatch
) -> None:
    monkeypatch.setattr(video_job, "_job_slots", threading.BoundedSemaphore(1))
    gate, present = Gate(), threading.Event()
    away = make(load=lambda options: gate, is_present=present.is_set)
    away.start()
    assert gate.called.wait(WAIT_S)
    other_gate = Gate()
    other = make(load=lambda options: other_gate)
    other.start()
    gate.open.set()
    assert other_gate.called.wait(WAIT_S), "the other job has the slot"
    wait_until(lambda: away.state == "waiting", "the first job to yield")
    assert other.state == "working"
    other_gate.open.set()
    assert other.join(WAIT_S)
    assert away.join(WAIT_S)
    assert (other.state, away.state) == ("done", "done")
    assert away.report is not None
    assert away.report.is_complete
    assert video_job._job_slots.acquire(blocking=False), "the slot was released once"


def test_a_waiting_job_of_a_present_visitor_goes_first(make: Make, monkeypatch) -> None:
    monkeypatch.setattr(video_job, "_job_slots", threading.BoundedSemaphore(1))
    gate, other_gate = Gate(), Gate()
    first = make(load=lambda options: gate)
    away = make(is_present=lambda: False)
    there = make(load=lambda options: other_gate)
    first.start()
    assert gate.called.wait(WAIT_S)
    away.start()
    there.start()
    gate.open.set()
    assert other_gate.called.wait(WAIT_S)
    assert away.state == "waiting"
    away.stop()
    assert away.join(WAIT_S)
    assert away.state == "failed"
    other_gate.open.set()
    assert there.join(WAIT_S)


def test_a_job_that_yielded_its_slot_can_be_closed(make: Make, monkeypatch) -> None:
    monkeypatch.setattr(video_job, "_job_slots", threading.BoundedSemaphore(1))
    gate, other_gate = Gate(), Gate()
    away = make(load=lambda options: gate, is_present=lambda: False)
    away.start()
    assert gate.called.wait(WAIT_S)
    other = make(load=lambda options: other_gate)
    other.start()
    gate.open.set()
    assert other_gate.called.wait(WAIT_S)
    wait_until(lambda: away.state == "waiting", "the first job to yield")
    away.close()
    assert away.join(WAIT_S)
    assert away.state == "closed"
    other_gate.open.set()
    assert other.join(WAIT_S)
    assert other.state == "done"


def test_after_a_reload_a_job_is_found_by_its_tab_only(make: Make) -> None:
    present = threading.Event()
    present.set()
    job = make(is_present=present.is_set)
    job.register_tab("a" * 32)
    assert find_job_by_tab("a" * 32, lambda: True) is None, (
        "its visitor is still connected"
    )
    present.clear()
    assert find_job_by_tab("b" * 32, lambda: True) is None
    assert find_job_by_tab("", lambda: True) is None
    assert find_job_by_tab("a" * 32, lambda: True) is job
    assert find_job_by_tab("a" * 32, lambda: True) is None, (
        "the new session is connected"
    )
    job.close()
    assert find_job_by_tab("a" * 32, lambda: True) is None


def test_a_job_without_a_tab_is_not_registered(make: Make) -> None:
    make(is_present=lambda: False).register_tab("")
    assert find_job_by_tab("", lambda: True) is None
