"""Events of a video: in the report, the JSON and the CSV, and from an observer."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maskdet.events import EVENT_COLUMNS, Event, EventCsvWriter, StreamInfo
from maskdet.media import VideoInfo
from maskdet.settings import Settings
from maskdet.types import UNTRACKED, Label
from maskdet.video import (
    VideoOutputs,
    analysis,
    report,
    reports_to_json,
    run_video_analysis,
)
from tests.media.video_files import N_FRAMES, write_video
from tests.video.scenes import ScriptedStream, make_people_scene

MASK, NO_MASK = Label.MASK, Label.NO_MASK
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LONG_MS = tuple(range(0, 4000, 100))


class RecordingObserver:
    """An observer that records its scenes and can fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.stream_info = StreamInfo("Door", NOON, "run")
        self.seen: list[tuple[float, tuple[int, ...]]] = []
        self.n_ended = 0
        self._fails = fails

    def observe(self, people):
        if people.scene is None:
            self.n_ended += 1
        else:
            self.seen.append((people.scene.time_s, people.scene.removed_ids))
        if self._fails:
            raise RuntimeError("the observer fails")
        if people.scene is None:
            return []
        at = self.stream_info.to_utc(people.scene.time_s)
        return [Event("entered", at, "Door", "run", len(self.seen))]


@pytest.fixture
def story(monkeypatch):
    """Person 1 wears a mask until 1.95 s, then none, and leaves at 3.45 s."""

    def script(time_s: float):
        label = MASK if time_s < 1.95 else NO_MASK
        return make_people_scene(time_s, [(1, label)] if time_s < 3.45 else [])

    monkeypatch.setattr(ScriptedStream, "script", staticmethod(script))
    monkeypatch.setattr(analysis, "Stream", ScriptedStream)


def run(path: Path, outputs: VideoOutputs = analysis.NO_OUTPUTS, **options):
    return run_video_analysis(path, None, Settings(), outputs, **options)


def test_the_report_has_the_events_in_video_time(story, tmp_path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        times_ms=LONG_MS,
        creation_time="2026-03-01T12:00:00.000000Z",
    )
    result = run(path)
    assert result.started_at == NOON
    assert [(event.kind, event.label) for event in result.events] == [
        ("entered", Label.UNKNOWN),
        ("classified", MASK),
        ("changed", NO_MASK),
        ("left", NO_MASK),
    ]
    times_s = [result.event_time_s(event) for event in result.events]
    assert times_s == pytest.approx([0.0, 1.0, 3.0, 3.4], abs=0.11)
    assert {event.camera for event in result.events} == {"a.mp4"}
    assert {event.person for event in result.events} == {1}
    assert result.n_events == 4


def test_a_video_without_a_date_starts_now(story, tmp_path) -> None:
    before = datetime.now(UTC)
    result = run(write_video(tmp_path / "a.mp4"))
    assert before <= result.started_at <= datetime.now(UTC)


def test_the_observer_receives_every_scene_and_the_end(
    story, tmp_path, monkeypatch
) -> None:
    script = ScriptedStream.script
    leaving = staticmethod(lambda time_s: replace(script(time_s), removed_ids=(7,)))
    monkeypatch.setattr(ScriptedStream, "script", leaving)
    observer = RecordingObserver()
    result = run(write_video(tmp_path / "a.mp4"), VideoOutputs(observer=observer))
    assert [time_s for time_s, _ in observer.seen] == pytest.approx(
        [index / 10 for index in range(N_FRAMES)]
    )
    assert {removed_ids for _, removed_ids in observer.seen} == {(7,)}
    assert observer.n_ended >= 1
    assert [event.person for event in result.events] == list(range(1, N_FRAMES + 1))
    assert (result.started_at, result.n_events) == (NOON, N_FRAMES)


def test_a_failing_observer_does_not_stop_the_analysis(story, tmp_path, caplog) -> None:
    observer = RecordingObserver(fails=True)
    result = run(write_video(tmp_path / "a.mp4"), VideoOutputs(observer=observer))
    assert (result.n_frames, result.is_complete) == (N_FRAMES, True)
    assert (result.events, result.n_events) == ((), 0)
    assert len(observer.seen) == N_FRAMES
    lost = [
        record
        for record in caplog.records
        if "events of a scene were lost" in record.getMessage()
    ]
    assert len(lost) == 2, "the first and the tenth"


def test_a_failing_analysis_ends_the_observer(story, tmp_path, monkeypatch) -> None:
    def fails(time_s: float):
        if time_s > 0.45:
            raise RuntimeError("the analyzer fails")
        return make_people_scene(time_s, [(1, MASK)])

    monkeypatch.setattr(ScriptedStream, "script", staticmethod(fails))
    observer = RecordingObserver()
    with pytest.raises(RuntimeError, match="analyzer fails"):
        run(write_video(tmp_path / "a.mp4"), VideoOutputs(observer=observer))
    assert (len(observer.seen), observer.n_ended) == (5, 1)


def test_only_the_newest_events_are_kept(story, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(analysis, "MAX_EVENTS", 3)
    outputs = VideoOutputs(observer=RecordingObserver())
    result = run(write_video(tmp_path / "a.mp4"), outputs)
    assert [event.person for event in result.events] == [
        N_FRAMES - 2,
        N_FRAMES - 1,
        N_FRAMES,
    ]
    assert result.n_events == N_FRAMES


def test_events_are_sorted_by_time(story, tmp_path, monkeypatch) -> None:
    """The time of `left` is that of the last detection, before other events."""

    def script(time_s: float):
        if time_s < 0.45:
            return make_people_scene(time_s, [(1, MASK)])
        if time_s < 0.85:
            return make_people_scene(time_s, [(2, MASK)])
        scene = make_people_scene(time_s, [(2, MASK), (3, MASK)])
        return replace(scene, removed_ids=(1,))

    monkeypatch.setattr(ScriptedStream, "script", staticmethod(script))
    monkeypatch.setattr("maskdet.people.log.MIN_PRESENCE_S", 0.0)
    result = run(write_video(tmp_path / "a.mp4"))
    assert [(event.kind, event.person) for event in result.events] == [
        ("entered", 1),
        ("left", 1),
        ("entered", 2),
        ("entered", 3),
        ("left", 2),
        ("left", 3),
    ]


def test_the_json_has_the_events() -> None:
    event = Event("close", NOON + timedelta(seconds=2.5), "Door", "run", 3, MASK, 0.9)
    result = report.VideoReport(
        "a.mp4", VideoInfo(64, 48), started_at=NOON, events=(event,), n_events=9
    )
    (complete,) = json.loads(reports_to_json([result, report.VideoReport("b.mp4")]))[
        "videos"
    ][:1]
    assert (complete["started_at"], complete["n_events"]) == (
        "2026-03-01T12:00:00.000Z",
        9,
    )
    (record,) = complete["events"]
    assert (record["time_s"], record["kind"], record["person"]) == (2.5, "close", 3)
    assert set(record) == {*EVENT_COLUMNS, "time_s"} - {"at", "camera", "session"}
    (unread,) = json.loads(reports_to_json([report.VideoReport("b.mp4")]))["videos"]
    assert (unread["started_at"], unread["events"]) == (None, [])


def test_the_event_csv_has_the_columns_of_the_events_page() -> None:
    text = io.StringIO()
    event = Event("left", NOON, '=HYPERLINK("x")', "run", UNTRACKED, MASK, 0.9)
    EventCsvWriter(text).add([event])
    (row,) = csv.DictReader(io.StringIO(text.getvalue()))
    assert tuple(row) == EVENT_COLUMNS
    assert (row["at"], row["label"]) == ("2026-03-01T12:00:00.000Z", "mask")
    assert row["camera"] == '\'=HYPERLINK("x")'
    assert (row["person"], row["count"]) == ("", "")
