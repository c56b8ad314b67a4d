"""Video analysis: outputs and report, also of cancelled and broken videos."""

from __future__ import annotations

import csv
import dataclasses
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.media import VideoReadError, open_video_file
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Label
from maskdet.video import (
    VideoCsvWriter,
    VideoOutputs,
    VideoProgress,
    analysis,
    run_video_analysis,
)
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.media.image_files import make_corners_image
from tests.media.video_files import N_FRAMES, write_video
from tests.video.scenes import ScriptedStream, make_people_pair, make_people_scene

MASK, NO_MASK = Label.MASK, Label.NO_MASK


@pytest.fixture
def story(monkeypatch):
    """Person 1 is there all the time; 2 comes after 0.6 s, unmasked and in contact."""

    def script(time_s: float):
        if time_s < 0.55:
            return make_people_scene(time_s, [(1, MASK)])
        return make_people_scene(
            time_s,
            [(1, MASK), (2, NO_MASK)],
            person_pairs=[make_people_pair(0, 1, 0.5)],
        )

    monkeypatch.setattr(ScriptedStream, "script", staticmethod(script))
    monkeypatch.setattr(analysis, "Stream", ScriptedStream)


def run(path: Path, outputs: VideoOutputs = analysis.NO_OUTPUTS, **options):
    return run_video_analysis(path, None, Settings(), outputs, **options)


def test_the_report_covers_the_whole_video(story, tmp_path: Path) -> None:
    report = run(write_video(tmp_path / "a.mp4"))
    assert (report.n_frames, report.is_complete, report.error) == (N_FRAMES, True, "")
    assert report.analyzed_s == pytest.approx(1.2, abs=0.01)
    first, second = report.people
    assert first.seen_s == pytest.approx(1.2, abs=0.01)
    assert (second.first_s, second.label) == (pytest.approx(0.6), NO_MASK)
    assert second.seen_s == pytest.approx(0.6, abs=0.01)
    assert report.mask_rate == pytest.approx(1.2 / 1.8, abs=0.01)
    (contact,) = report.contacts
    assert contact.unmasked_s == pytest.approx(0.6, abs=0.01)
    assert [time_bin.start_s for time_bin in report.timeline] == [0.0, 1.0]
    assert report.timeline[0].counts[NO_MASK] == pytest.approx(0.4, abs=0.01)
    assert report.source == str(tmp_path / "a.mp4")
    assert report.out is None


@pytest.mark.parametrize("every", [1, 5])
def test_the_annotated_video_has_the_format_of_its_source(
    story, tmp_path, every
) -> None:
    source = write_video(tmp_path / "a.mp4", audio_codec="aac")
    out = tmp_path / "out.mp4"
    report = run(source, VideoOutputs(out=out, every=every))
    assert (report.out, report.note) == (out, "")
    with open_video_file(source) as before, open_video_file(out) as after:
        assert after.info.duration_s == pytest.approx(before.info.duration_s, abs=0.01)
        assert (after.info.width, after.info.height) == (96, 64)
        assert after.info.has_audio
        if every == 1:
            assert after.info.frame_rate == Fraction(10)
        frames = list(after)
        assert after.end_s == pytest.approx(1.2, abs=0.01)
    assert len(frames) == report.n_frames == -(-N_FRAMES // every)
    changed = np.abs(frames[0][0].astype(int) - make_corners_image(96, 64)).mean(axis=2)
    assert changed[50:].mean() < 8, "below the caption it is the source's image"
    assert changed[32:44].mean() > 40, "the caption is there"


def test_the_report_notes_that_audio_of_a_url_is_lost(story, tmp_path: Path) -> None:
    frames = open_video_file(write_video(tmp_path / "a.mp4", audio_codec="aac"))
    frames.info = dataclasses.replace(frames.info, source="")
    out = tmp_path / "out.mp4"
    report = run_video_analysis(
        frames,
        TwoStage(FakeDetector([]), FakeClassifier()),
        Settings(),
        VideoOutputs(out=out),
    )
    assert report.note == "the audio could not be kept"
    with open_video_file(out) as after:
        assert not after.info.has_audio


def test_the_csv_has_rows_for_every_frame(story, tmp_path: Path) -> None:
    text = io.StringIO()
    run(
        write_video(tmp_path / "a.mp4"),
        VideoOutputs(csv_writer=VideoCsvWriter(text)),
        name="lobby",
    )
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert len(rows) == 6 + 2 * 6
    assert {row["video"] for row in rows} == {"lobby"}
    assert [row["person"] for row in rows[5:8]] == ["1", "1", "2"]


def test_progress_increases_and_has_a_preview(story, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(analysis, "_PROGRESS_INTERVAL_S", 0.0)
    updates: list[VideoProgress] = []
    run(write_video(tmp_path / "a.mp4"), on_progress=updates.append)
    assert len(updates) == N_FRAMES
    assert [progress.n_frames for progress in updates] == list(range(1, N_FRAMES + 1))
    fractions = [progress.fraction_done for progress in updates]
    assert fractions == sorted(fractions)
    assert fractions[6] == pytest.approx(0.5, abs=0.01)
    assert updates[0].remaining_s is None
    assert updates[-1].remaining_s is not None
    assert updates[0].preview.shape == (64, 96, 3)


def test_cancelling_deletes_the_video_but_keeps_the_results(story, tmp_path) -> None:
    source, out = write_video(tmp_path / "a.mp4"), tmp_path / "out.mp4"
    cancelled = iter([False] * 4 + [True] * 9)
    report = run(source, VideoOutputs(out=out), is_cancelled=lambda: next(cancelled))
    assert (report.n_frames, report.is_complete, report.out) == (4, False, None)
    assert report.people[0].seen_s == pytest.approx(0.4, abs=0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_partial_video_can_be_kept(story, tmp_path: Path) -> None:
    source, out = (
        write_video(tmp_path / "a.mp4", audio_codec="aac"),
        tmp_path / "out.mp4",
    )
    cancelled = iter([False] * 4 + [True] * 9)
    outputs = VideoOutputs(out=out, keep_partial=True)
    report = run(source, outputs, is_cancelled=lambda: next(cancelled))
    assert (report.out, report.is_complete) == (out, False)
    with open_video_file(out) as opened:
        assert opened.info.duration_s == pytest.approx(0.4, abs=0.05)
        assert len(list(opened)) == 4


def test_a_video_that_breaks_off_gives_the_results_until_then(
    story, tmp_path: Path
) -> None:
    class Broken:
        def __init__(self) -> None:
            self.opened = open_video_file(write_video(tmp_path / "a.mp4"))
            self.info, self.end_s = self.opened.info, 0.5
            self.closed = False

        def __iter__(self):
            for index, frame in enumerate(self.opened):
                if index == 5:
                    raise VideoReadError("it breaks off")
                yield frame

        def close(self) -> None:
            self.opened.close()
            self.closed = True

    broken, out = Broken(), tmp_path / "out.mp4"
    report = run(broken, VideoOutputs(out=out), name="a")
    assert (report.error, report.n_frames) == ("it breaks off", 5)
    assert (report.is_complete, report.out) == (False, out)
    assert len(list(open_video_file(out))) == 5
    assert broken.closed


def test_a_file_that_cannot_be_opened_is_rejected(story, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("not a video")
    with pytest.raises(VideoReadError, match="not a video"):
        run(tmp_path / "a.mp4", VideoOutputs(out=tmp_path / "out.mp4"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_error_leaves_no_output_video(story, tmp_path, monkeypatch) -> None:
    def fails(time_s: float):
        raise RuntimeError("the analyzer fails")

    monkeypatch.setattr(ScriptedStream, "script", staticmethod(fails))
    with pytest.raises(RuntimeError, match="analyzer fails"):
        run(write_video(tmp_path / "a.mp4"), VideoOutputs(out=tmp_path / "out.mp4"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_crops_are_not_kept_if_faces_are_blurred(story, tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4")
    plain = run(source, VideoOutputs(keep_crops=True))
    blurred = run(source, VideoOutputs(keep_crops=True, style=Style(blur=True)))
    assert all(person.crop for person in plain.people)
    assert not any(person.crop for person in blurred.people)


def test_people_are_tracked_with_the_real_stream(tmp_path: Path) -> None:
    analyzer = TwoStage(FakeDetector([[5, 5, 45, 55]], [0.9]), FakeClassifier())
    report = run_video_analysis(write_video(tmp_path / "a.mp4"), analyzer, Settings())
    (person,) = report.people
    assert person.label is MASK
    assert person.seen_s > 0.8
