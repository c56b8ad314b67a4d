"""`maskdet video`: output, messages and exit status."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.cli import main, video
from maskdet.media import VideoReadError, find_videos, open_video_file
from maskdet.video import analysis
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.media.test_cameras import FakeCamera
from tests.media.video_files import N_FRAMES, write_video


@pytest.fixture(autouse=True)
def loaded_names(monkeypatch):
    """Replace the models; return the names that were loaded."""
    names = []

    def load(name, classifier, *, refine):
        names.append(name if refine else f"{name}, once")
        return TwoStage(FakeDetector([[5, 5, 45, 55]], [0.9]), FakeClassifier())

    monkeypatch.setattr(video, "load_analyzer", load)
    return names


def run(*words: object) -> int:
    return main(["video", *map(str, words)])


def test_a_video_is_summarized(tmp_path, capsys) -> None:
    path = write_video(tmp_path / "a.mp4")
    assert run(path) == 0
    shown = capsys.readouterr()
    first, second = shown.out.splitlines()
    assert first.startswith(f"{path}: 1 person in 1.2 s, 100 % of the time with a mask")
    assert second.split()[:2] == ["#1", "Mask"]
    assert shown.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_everything_can_be_written(tmp_path, capsys) -> None:
    path = write_video(tmp_path / "a.mp4", audio_codec="aac")
    out, rows, summary = (tmp_path / name for name in ("o.mp4", "o.csv", "o.json"))
    assert run(path, "--out", out, "--csv", rows, "--json", summary) == 0
    error = capsys.readouterr().err
    assert [line for line in error.splitlines() if line.startswith("wrote")] == [
        f"wrote {out}",
        f"wrote {rows}",
        f"wrote {summary}",
    ]
    with open_video_file(out) as opened:
        assert opened.info.has_audio
        assert opened.info.duration_s == pytest.approx(1.2, abs=0.01)
    times = {row["time_s"] for row in csv.DictReader(rows.open())}
    assert len(times) == N_FRAMES
    (report,) = json.loads(summary.read_text())["videos"]
    assert (report["video"], report["is_complete"]) == (str(path), True)
    assert report["n_frames"] == N_FRAMES


def test_stdout_has_only_the_data(tmp_path, capsys) -> None:
    path = write_video(tmp_path / "a.mp4")
    assert run(path, "--json", "-") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["videos"][0]["n_frames"] == N_FRAMES
    assert "1 person in 1.2 s" in shown.err
    assert run(path, "--csv", "-", "--every", 6) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run(path, "--csv", "-", "--json", "-") == 1
    assert "cannot both" in capsys.readouterr().err


def test_faces_can_be_blurred(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4")
    assert run(path, "--out", tmp_path / "b.mp4") == 0
    assert run(path, "--out", tmp_path / "c.mp4", "--blur") == 0
    seen, hidden = (
        next(iter(open_video_file(tmp_path / name)))[0] for name in ("b.mp4", "c.mp4")
    )
    inside = slice(22, 50), slice(12, 40)
    steps = [np.abs(np.diff(one[inside].astype(int), axis=0)) for one in (seen, hidden)]
    assert np.abs(seen[inside].astype(int) - hidden[inside]).mean() > 1
    assert steps[0].shape == steps[1].shape


def test_a_broken_video_in_a_folder_is_one_line(tmp_path, capsys) -> None:
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    write_video(folder / "a.mp4")
    (folder / "b.mp4").write_text("no video")
    write_video(folder / "c.webm", "libvpx")
    write_video(folder / "a.mkv")
    assert run(folder, "--out", out, "--json", tmp_path / "o.json") == 1
    shown = capsys.readouterr()
    warnings = [line for line in shown.err.splitlines() if "maskdet:" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"maskdet: {folder / 'b.mp4'}: this is not a video")
    assert [path.name for path in find_videos(out)] == ["a-2.mp4", "a.mp4", "c.mp4"]
    reports = json.loads((tmp_path / "o.json").read_text())["videos"]
    assert [report["n_frames"] for report in reports] == [12, 12, 0, 12]
    assert [report["error"] is None for report in reports] == [True, True, False, True]


def test_annotated_videos_never_overwrite_inputs(tmp_path) -> None:
    source = write_video(tmp_path / "a.mp4")
    before = source.read_bytes()
    assert run(tmp_path, "--out", tmp_path) == 0
    assert source.read_bytes() == before
    assert sorted(path.name for path in find_videos(tmp_path)) == ["a-2.mp4", "a.mp4"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("",), "IN is empty; give a video, a folder, a camera or a URL"),
        (("missing.mp4",), "missing.mp4: there is no such file"),
        (("ftp://a/b.mp4",), "must begin with rtsp"),
        (("{a}", "--out", "{a}"), "would overwrite an input file"),
        (("{a}", "--out", "x.gif"), "must end in .mp4"),
        (("{a}", "--out", "no/x.mp4"), "there is no folder no"),
        (("{a}", "--csv", "no/x.csv"), "there is no folder no"),
        (("{empty}",), "no videos in this folder"),
        (("{a}", "--distance", "ground_plane"), "set --ground-points"),
        (("{a}", "--csv", "x", "--events", "./x"), "must be different files"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words, line) -> None:
    (tmp_path / "empty").mkdir()
    places = {"a": write_video(tmp_path / "a.mp4"), "empty": tmp_path / "empty"}
    assert run(*(word.format(**places) for word in words)) == 1
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("every", ["0", "-1", "x", "1.5"])
def test_every_must_be_a_number(tmp_path, capsys, every) -> None:
    with pytest.raises(SystemExit) as caught:
        run("a.mp4", f"--every={every}")
    assert caught.value.code == 2
    assert "whole number of at least 1" in capsys.readouterr().err


def test_the_fast_analyzer_is_the_default(tmp_path, loaded_names, monkeypatch) -> None:
    path = write_video(tmp_path / "a.mp4")
    monkeypatch.setattr(
        "maskdet.cli.options.resolve_analyzer", lambda name, live: f"{name}, {live}"
    )
    assert run(path) == 0
    assert run(path, "--analyzer", "haar", "--no-refinement") == 0
    assert loaded_names == ["auto, True", "haar, True, once"]


def test_ctrl_c_keeps_what_was_written(tmp_path, capsys, monkeypatch) -> None:
    """Send the signal while the fourth frame is analyzed."""
    path = write_video(tmp_path / "a.mp4", audio_codec="aac")
    write_video(tmp_path / "b.mp4")
    calls = []

    def step(stream, image, time_s):
        calls.append(time_s)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return whole_step(stream, image, time_s)

    whole_step = analysis.Stream.step
    monkeypatch.setattr(analysis.Stream, "step", step)
    rows, summary = tmp_path / "o.csv", tmp_path / "o.json"
    before = signal.getsignal(signal.SIGINT)
    status = run(tmp_path, "--out", tmp_path / "o", "--csv", rows, "--json", summary)
    assert status == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert len(calls) == 4
    assert "Traceback" not in capsys.readouterr().err
    assert len(list(open_video_file(tmp_path / "o" / "a.mp4"))) == 4
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["a.mp4"]
    assert len(rows.read_text().splitlines()) == 5
    (report,) = json.loads(summary.read_text())["videos"]
    assert (report["video"], report["is_complete"]) == (str(path), False)


def test_a_camera_runs_until_ctrl_c_with_status_0(
    tmp_path, capsys, monkeypatch
) -> None:
    camera = FakeCamera(1, forever=True, size_wh=(96, 64))
    monkeypatch.setattr("maskdet.media.cameras.Webcam", lambda *how: camera)

    def step(stream, image, time_s):
        os.kill(os.getpid(), signal.SIGINT)
        return whole_step(stream, image, time_s)

    whole_step = analysis.Stream.step
    monkeypatch.setattr(analysis.Stream, "step", step)
    out = tmp_path / "o.mp4"
    assert run(0, "--out", out) == 0
    assert camera.closed
    assert len(list(open_video_file(out))) == 1
    assert f"wrote {out}" in capsys.readouterr().err


def test_a_missing_camera_is_reported_in_one_line(capsys, monkeypatch) -> None:
    def missing(number, every, rotate):
        raise VideoReadError(f"there is no camera {number}")

    monkeypatch.setattr("maskdet.media.cameras.Webcam", missing)
    assert run(7) == 1
    assert capsys.readouterr().err == "maskdet: 7: there is no camera 7\n"


def test_the_command_is_listed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "maskdet", "--help"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert "  video " in done.stdout
