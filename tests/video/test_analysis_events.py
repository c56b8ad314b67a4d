"""What happened in a video: its events in the report, and the witness who sees all."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maskdet.events import EVENT_COLUMNS, Event, StreamInfo
from maskdet.media import VideoInfo
from maskdet.settings import Settings
from maskdet.types import UNTRACKED, Label
from maskdet.video import (
    EventCsvWriter,
    VideoOutputs,
    analysis,
    report,
    reports_to_json,
    run_video_analysis,
)
from maskdet.video.analysis import EventCollector, EventObserver
from tests.media.video_files import N_FRAMES, write_video
from tests.video.scenes import ScriptedStream, make_people_scene

MASK, BARE = Label.MASK, Label.NO_MASK
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LONG_MS = tuple(range(0, 4000, 100))


class Watcher:
    """A witness that remembers what it was shown."""

    def __init__(self, *, fails: bool = False) -> None:
        self.stream_info = StreamInfo("Door", NOON, "run")
        self.seen: list[tuple[float, tuple[int, ...]]] = []
        self.n_ended = 0
        self._fails = fails

    def on_scene(self, scene):
        self.seen.append((scene.time_s, scene.removed_ids))
        if self._fails:
            raise RuntimeError("the witness fails")
        at = self.stream_info.to_utc(scene.time_s)
        return [Event("entered", at, "Door", "run", len(self.seen))]

    def end(self):
        self.n_ended += 1
        if self._fails:
            raise RuntimeError("the witness fails")
        return []


@pytest.fixture
def story(monkeypatch):
    """Person 1 wears a mask until 1.95 s, then none; nobody is left after 3.45 s."""

    def script(time_s: float):
        worn = MASK if time_s < 1.95 else BARE
        return make_people_scene(time_s, [(1, worn)] if time_s < 3.45 else [])

    monkeypatch.setattr(ScriptedStream, "script", staticmethod(script))
    monkeypatch.setattr(analysis, "Stream", ScriptedStream)


def run(path: Path, wanted: VideoOutputs = analysis.NO_OUTPUTS, **how):
    return run_video_analysis(path, None, Settings(), wanted, **how)


def test_the_report_says_what_happened_in_the_time_of_the_film(story, tmp_path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        times_ms=LONG_MS,
        creation_time="2026-03-01T12:00:00.000000Z",
    )
    found = run(path)
    assert found.started_at == NOON
    assert [(one.kind, one.label) for one in found.events] == [
        ("entered", Label.UNKNOWN),
        ("verdict", MASK),
        ("changed", BARE),
        ("left", BARE),
    ]
    times_s = [found.event_time_s(one) for one in found.events]
    assert times_s == pytest.approx([0.0, 1.0, 3.0, 3.4], abs=0.11)
    assert {one.camera for one in found.events} == {"a.mp4"}
    assert {one.person for one in found.events} == {1}
    assert found.n_events == 4


def test_a_film_that_does_not_say_when_it_was_is_of_now(story, tmp_path) -> None:
    before = datetime.now(UTC)
    found = run(write_video(tmp_path / "a.mp4"))
    assert before <= found.started_at <= datetime.now(UTC)


def test_the_witness_sees_every_scene_who_left_and_the_end(
    story, tmp_path, monkeypatch
) -> None:
    script = ScriptedStream.script
    leaving = staticmethod(lambda time_s: replace(script(time_s), removed_ids=(7,)))
    monkeypatch.setattr(ScriptedStream, "script", leaving)
    witness = Watcher()
    found = run(write_video(tmp_path / "a.mp4"), VideoOutputs(observer=witness))
    assert [time_s for time_s, _ in witness.seen] == pytest.approx(
        [number / 10 for number in range(N_FRAMES)]
    )
    assert {left for _, left in witness.seen} == {(7,)}
    assert witness.n_ended >= 1
    assert [one.person for one in found.events] == list(range(1, N_FRAMES + 1))
    assert (found.started_at, found.n_events) == (NOON, N_FRAMES)


def test_a_witness_that_fails_never_stops_a_film(story, tmp_path, caplog) -> None:
    witness = Watcher(fails=True)
    found = run(write_video(tmp_path / "a.mp4"), VideoOutputs(observer=witness))
    assert (found.n_frames, found.is_complete) == (N_FRAMES, True)
    assert (found.events, found.n_events) == ((), 0)
    assert len(witness.seen) == N_FRAMES
    lost = [one for one in caplog.records if "events were lost" in one.getMessage()]
    assert len(lost) == 2, "the first and the tenth"


def test_a_film_that_fails_ends_for_its_witness_too(
    story, tmp_path, monkeypatch
) -> None:
    def fails(time_s: float):
        if time_s > 0.45:
            raise RuntimeError("the analyzer fails")
        return make_people_scene(time_s, [(1, MASK)])

    monkeypatch.setattr(ScriptedStream, "script", staticmethod(fails))
    witness = Watcher()
    with pytest.raises(RuntimeError, match="analyzer fails"):
        run(write_video(tmp_path / "a.mp4"), VideoOutputs(observer=witness))
    assert (len(witness.seen), witness.n_ended) == (5, 1)


def test_of_very_many_events_the_newest_are_kept() -> None:
    happened = EventCollector(Watcher(), max_events=3)
    for number in range(50):
        happened.add(make_people_scene(number / 10))
    assert [one.person for one in happened.events] == [48, 49, 50]
    assert happened.n_events == 50


def test_events_come_in_the_order_in_which_they_happened() -> None:
    """Who leaves was last seen before what was told meanwhile."""
    happened = EventCollector(EventObserver(StreamInfo("Door", NOON)))
    for number in range(10):
        happened.add(
            make_people_scene(number / 10, [(1, MASK)] if number < 5 else [(2, MASK)])
        )
    happened.add(
        replace(make_people_scene(1.0, [(2, MASK), (3, MASK)]), removed_ids=(1,))
    )
    kinds = [(one.kind, one.person) for one in happened.events]
    assert kinds == [("entered", 1), ("left", 1), ("entered", 2), ("entered", 3)]


def test_the_json_has_the_events() -> None:
    event = Event("close", NOON + timedelta(seconds=2.5), "Door", "run", 3, MASK, 0.9)
    found = report.VideoReport(
        "a.mp4", VideoInfo(64, 48), started_at=NOON, events=(event,), n_events=9
    )
    (whole,) = json.loads(reports_to_json([found, report.VideoReport("b.mp4")]))[
        "videos"
    ][:1]
    assert (whole["began"], whole["n_events"]) == ("2026-03-01T12:00:00.000Z", 9)
    (told,) = whole["events"]
    assert (told["time_s"], told["kind"], told["person"]) == (2.5, "close", 3)
    assert set(told) == {*EVENT_COLUMNS, "time_s"} - {"at", "camera", "session"}
    (nothing,) = json.loads(reports_to_json([report.VideoReport("b.mp4")]))["videos"]
    assert (nothing["began"], nothing["events"]) == (None, [])


def test_the_file_of_events_has_the_columns_of_the_events_page() -> None:
    text = io.StringIO()
    event = Event("left", NOON, '=HYPERLINK("x")', "run", UNTRACKED, MASK, 0.9)
    EventCsvWriter(text).add([event])
    (row,) = csv.DictReader(io.StringIO(text.getvalue()))
    assert tuple(row) == EVENT_COLUMNS
    assert (row["at"], row["label"]) == ("2026-03-01T12:00:00.000Z", "mask")
    assert row["camera"] == '\'=HYPERLINK("x")'
    assert (row["person"], row["count"]) == ("", "")
