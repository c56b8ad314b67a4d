"""`maskdet video` on a full disk: other outputs are kept, and one line is printed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TextIO

import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.atomic_file import AtomicFile
from maskdet.cli import main, video
from maskdet.media import VideoWriter, find_videos, open_video_file
from maskdet.settings import Settings
from maskdet.video import (
    OutputError,
    VideoCsvFile,
    VideoCsvWriter,
    VideoOutputs,
    run_video_analysis,
)
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.media.video_files import N_FRAMES, write_video

NO_ROOM = "no space left on device"


def fake() -> TwoStage:
    return TwoStage(FakeDetector([[5, 5, 45, 55]], [0.9]), FakeClassifier())


@pytest.fixture(autouse=True)
def _no_models(monkeypatch) -> None:
    monkeypatch.setattr(video, "load_analyzer", lambda *_, **__: fake())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(videos / name)
    return videos


def run(*words: object) -> int:
    return main(["video", *map(str, words)])


def warning_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("maskdet: ")]


class FullDisk:
    """A stream that fails after so many writes."""

    def __init__(self, stream: TextIO, after: int) -> None:
        self.close = stream.close
        self._write, self._n_left = stream.write, after

    def write(self, text: str) -> None:
        self._n_left -= 1
        if self._n_left < 0:
            raise OSError(28, "No space left on device")
        self._write(text)


def fill_up(monkeypatch, name: str, after: int) -> None:
    """Let the disk be full after so many lines of the file `name`."""
    original = AtomicFile.__init__

    def start(self, target, kind="whole") -> None:
        original(self, target, kind)
        if Path(target).name == name:
            self.stream = FullDisk(self.stream, after)

    monkeypatch.setattr(AtomicFile, "__init__", start)


def reports(path: Path) -> list[dict]:
    return json.loads(path.read_text())["videos"]


def test_a_full_disk_keeps_the_results_and_ends_the_batch(
    folder, tmp_path, capsys, monkeypatch
) -> None:
    fill_up(monkeypatch, "o.csv", after=1 + 8)
    rows, summary, events = (tmp_path / one for one in ("o.csv", "o.json", "e.csv"))
    out = tmp_path / "out"
    more = ("--json", summary, "--events", events, "--out", out)
    assert run(folder, "--csv", rows, *more) == 1
    shown = capsys.readouterr()
    assert warning_lines(shown.err) == [f"maskdet: {rows}: {NO_ROOM}"]
    assert f"{folder / 'a.mp4'}: 1 person" in shown.out
    assert "b.mp4" not in shown.out
    assert not rows.exists()
    (report,) = reports(summary)
    assert (report["n_frames"], report["is_complete"]) == (9, False)
    assert report["error"] == f"{rows}: {NO_ROOM}"
    kinds = [row["kind"] for row in csv.DictReader(events.open())]
    assert kinds[0] == "entered"
    assert kinds[-1] == "left"
    assert [path.name for path in find_videos(out)] == ["a.mp4"]
    assert len(list(open_video_file(out / "a.mp4"))) == 8
    assert not list(tmp_path.glob(".maskdet*"))


@pytest.mark.parametrize(("method", "n"), [("write", 5), ("finish", N_FRAMES)])
def test_a_full_disk_ends_one_video_and_the_next_is_analyzed(
    folder, tmp_path, capsys, monkeypatch, method, n
) -> None:
    out, rows, summary = (tmp_path / one for one in ("out", "o.csv", "o.json"))
    failed: list[str] = []
    original = getattr(VideoWriter, method)

    def call(self, *words, **how):
        # The disk is full at the first video's fifth frame, or at its end.
        failed.append("")
        if len(failed) == (5 if method == "write" else 1):
            raise OSError(28, "No space left on device", str(self._target))
        return original(self, *words, **how)

    monkeypatch.setattr(VideoWriter, method, call)
    words = ("--out", out, "--csv", rows, "--json", summary)
    assert run(folder, *words) == 1
    shown = capsys.readouterr()
    line = f"{out / 'a.mp4'}: {NO_ROOM}"
    assert warning_lines(shown.err) == [f"maskdet: {folder / 'a.mp4'}: {line}"]
    first, second = reports(summary)
    assert (first["n_frames"], first["error"]) == (n, line)
    assert first["is_complete"] == (n == N_FRAMES)
    assert len(first["people"]) == 1
    assert (second["n_frames"], second["error"]) == (N_FRAMES, None)
    assert [path.name for path in out.iterdir()] == ["b.mp4"]
    assert len(rows.read_text().splitlines()) == 1 + n + N_FRAMES


@pytest.mark.parametrize("option", ["--csv", "--json"])
def test_a_full_disk_at_the_end_keeps_the_other_files(
    folder, tmp_path, capsys, option
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    places = {"--csv": tmp_path / "o.csv", "--json": tmp_path / "o.json"}
    places["--events"] = tmp_path / "e.csv"
    words = {**places, option: Path("/dev/full")}
    assert run(folder, *(part for pair in words.items() for part in pair)) == 1
    lines = warning_lines(capsys.readouterr().err)
    assert lines == [f"maskdet: /dev/full: {NO_ROOM}"]
    left = {name: path.exists() for name, path in places.items()}
    assert left == {**dict.fromkeys(places, True), option: False}


def test_a_closed_output_pipe_ends_the_command_quietly(
    folder, tmp_path, capfd, monkeypatch
) -> None:
    def closed(self, *words):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(VideoCsvWriter, "add", closed)
    events = tmp_path / "e.csv"
    monkeypatch.setattr("maskdet.cli.os.dup2", lambda *_: None)
    assert run(folder, "--csv", "-", "--events", events) == 141
    assert warning_lines(capfd.readouterr().err) == []
    assert events.exists()


def test_the_output_error_has_the_report_and_the_output(tmp_path, monkeypatch) -> None:
    fill_up(monkeypatch, "o.csv", after=1 + 2)
    path = write_video(tmp_path / "a.mp4")
    with VideoCsvFile(tmp_path / "o.csv") as rows, pytest.raises(OutputError) as caught:
        run_video_analysis(path, fake(), Settings(), VideoOutputs(csv_writer=rows))
    error = caught.value
    assert (error.output, error.errno) == ("csv", 28)
    assert error.filename == str(tmp_path / "o.csv")
    assert error.report is not None
    assert (error.report.n_frames, error.report.is_complete) == (3, False)
