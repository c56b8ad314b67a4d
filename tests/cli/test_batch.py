"""`maskdet batch` in one process: results, resuming, messages and exit status."""

from __future__ import annotations

import json
import os
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.dataset
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.batch import analysis, tasks
from maskdet.cli import batch, detect, main, video
from maskdet.media import encode_jpeg
from maskdet.results_io import ImageRecord
from maskdet.threads import N_THREADS, get_thread_count
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.media.video_files import write_video


@pytest.fixture(autouse=True)
def loaded(monkeypatch) -> list[tuple[str, int]]:
    """Replace the models; return names and threads of what was loaded."""
    loaded = []

    def load(name, classifier, *, refine):
        loaded.append((name, get_thread_count()))
        return TwoStage(
            FakeDetector([[5, 5, 45, 40], [46, 3, 62, 40]], [0.9, 0.7]),
            FakeClassifier((0.2, 0.7, 0.1)),
        )

    for module in (analysis, detect, video):
        monkeypatch.setattr(module, "load_analyzer", load)
    return loaded


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The folder `in`, with images, a broken one, a video, and a zip of both."""
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    folder.mkdir()
    for number in range(3):
        image = make_grey_image(64 + number, 48)
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(image))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    write_video(folder / "v.mp4")
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.write(folder / "0.jpg", "in-zip.jpg")
        archive.write(folder / "v.mp4", "sub/v.mp4")
    return folder


def run(*words: object) -> int:
    return main(["batch", *map(str, words), "--out", "out", "--workers", "1"])


def read_rows(kind: str) -> dict[str, dict]:
    dataset = pyarrow.dataset.dataset(f"out/{kind}", partitioning="hive")
    return {row["path"]: row for row in dataset.to_table().to_pylist()}


def test_parquet_and_json_equal_those_of_detect_and_video(folder, capsys) -> None:
    Path("list.txt").write_text("in/1.jpg\nz.zip\n")
    assert run(folder, "list.txt") == 1  # for the broken image
    shown = capsys.readouterr()
    assert shown.err.count("in/broken.jpg: ") == 1
    assert main(["detect", "in", "--json", "detect.json"]) == 1
    assert main(["video", "in/v.mp4", "--json", "video.json"]) == 0
    expected = {
        record["path"]: record
        for record in json.loads(Path("detect.json").read_text())["images"]
    }
    in_zip = {**expected["in/0.jpg"], "path": "z.zip/in-zip.jpg"}
    expected[in_zip["path"]] = in_zip
    # The video is not an image for `detect`, and left out there.
    assert sorted(expected) == [
        *("in/0.jpg", "in/1.jpg", "in/2.jpg", "in/broken.jpg", "z.zip/in-zip.jpg")
    ]
    images = json.loads(Path("out/images.json").read_text())["images"]
    assert {record["path"]: record for record in images} == expected
    assert {
        path: {name: row[name] for name in ImageRecord.__annotations__}
        for path, row in read_rows("images").items()
    } == expected

    (report,) = json.loads(Path("video.json").read_text())["videos"]
    videos = json.loads(Path("out/videos.json").read_text())["videos"]
    by_path = {video["video"]: video for video in videos}
    assert sorted(by_path) == ["in/v.mp4", "z.zip/sub/v.mp4"]
    for name in ("people", "timeline", "n_frames", "width", "label_s", "mask_rate"):
        assert by_path["in/v.mp4"][name] == report[name]
        assert by_path["z.zip/sub/v.mp4"][name] == report[name]
    row = read_rows("videos")["in/v.mp4"]
    assert row["n_frames"] == report["n_frames"]
    assert [{**person, "crop": None} for person in row["people"]] == [
        {**person, "crop": None} for person in report["people"]
    ]
    assert row["people"][0]["crop"].startswith(b"\xff\xd8\xff")


def test_the_summary_is_printed(folder, capsys) -> None:
    run(folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("5 files in ")
    assert " with 1 worker: " in lines[0]
    assert lines[1] == (
        "4 images with 6 faces, 1 video of 0.0 min with 2 people, 1 file with an error"
    )
    assert "No mask 6" in lines[2]
    assert lines[4].endswith("ms of a core per image")
    assert "s of a core per minute of video" in lines[5]
    assert Path("out/report.html").exists()
    assert Path("out/contact-sheet.jpg").exists()


def test_each_worker_has_one_thread(folder, loaded) -> None:
    run(folder)
    assert sorted(loaded) == [("onepass", 1), ("onepass-fast", 1)]
    assert get_thread_count() == N_THREADS


def test_only_the_analyzer_that_is_needed_is_loaded(folder, loaded) -> None:
    assert run(folder / "0.jpg") == 0
    assert [name for name, _ in loaded] == ["onepass"]


def test_a_second_run_continues(folder, loaded, capsys) -> None:
    run(folder)
    part = min(Path("out").rglob("*.parquet"))
    before = part.stat().st_mtime_ns
    (folder / "broken.jpg").write_bytes(encode_jpeg(make_grey_image(70, 70)))
    (folder / "new.jpg").write_bytes(encode_jpeg(make_grey_image(80, 80)))
    os.utime(folder / "2.jpg", ns=(1, 1))
    capsys.readouterr()
    assert run(folder) == 0
    shown = capsys.readouterr()
    assert "3 files are done already" in shown.err
    assert shown.out.startswith("3 files in ")
    assert part.stat().st_mtime_ns == before
    rows = read_rows("images")
    assert sorted(rows) == [f"in/{n}.jpg" for n in ("0", "1", "2", "broken", "new")]
    assert rows["in/broken.jpg"]["width"] == 70
    loaded.clear()
    assert run(folder) == 0
    assert loaded == []


def test_other_options_need_restart(folder, capsys) -> None:
    run(folder)
    assert run(folder, "--min-score", "0.8") == 1
    assert "have min_score 0.5, not 0.8; " in capsys.readouterr().err
    assert all(len(row["faces"]) != 1 for row in read_rows("images").values())
    run(folder, "--min-score", "0.8", "--restart")
    assert len(read_rows("images")["in/0.jpg"]["faces"]) == 1


def test_an_unexpected_error_costs_only_its_file(folder, monkeypatch, capsys) -> None:
    decode = analysis.decode_image

    def fail(source):
        if str(source).endswith("1.jpg"):
            raise KeyError("bug")
        return decode(source)

    monkeypatch.setattr(analysis, "decode_image", fail)
    assert run(folder) == 1
    assert "in/1.jpg: internal error: KeyError: 'bug'" in capsys.readouterr().err
    assert len(read_rows("images")) == 4


@pytest.fixture
def sigterm_handler() -> Iterator[Callable[..., None]]:
    """A handler of SIGTERM that fails the test, instead of the end of the process."""

    def fail(*_: object) -> None:
        pytest.fail("SIGTERM was not handled")

    previous_handler = signal.signal(signal.SIGTERM, fail)
    yield fail
    signal.signal(signal.SIGTERM, previous_handler)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_is_done(
    folder, monkeypatch, capsys, sigterm_handler, signal_number
) -> None:
    analyze = tasks.FileAnalyzer.analyze

    def stop(self, files):
        if files[0].path == "in/2.jpg":
            signal.raise_signal(signal_number)
        return analyze(self, files)

    monkeypatch.setattr(tasks.FileAnalyzer, "analyze", stop)
    assert run(folder) == 130
    assert "stopped; the same command continues" in capsys.readouterr().err
    assert sorted(read_rows("images")) == ["in/0.jpg", "in/1.jpg"]
    assert signal.getsignal(signal.SIGTERM) is sigterm_handler


def test_no_face_is_stored_without_a_contact_sheet(folder) -> None:
    run(folder, "--no-contact-sheet")
    assert read_rows("videos")["in/v.mp4"]["people"][0]["crop"] is None
    assert not Path("out/contact-sheet.jpg").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("missing.jpg",), "there is no image or video to analyze"),
        (("in/0.jpg", "--distance", "ground_plane"), "needs four points"),
    ],
)
def test_bad_input_gets_one_line(folder, capsys, words, message) -> None:
    assert run(*words) == 1
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_without_ray_a_line_names_the_extra(folder, monkeypatch, capsys) -> None:
    monkeypatch.setattr(batch, "is_installed", lambda name: False)
    assert main(["batch", "in", "--out", "out", "--workers", "2"]) == 1
    assert capsys.readouterr().err == (
        "maskdet batch with several workers needs Ray: pip install 'maskdet[ray]', or "
        "use --workers 1\n"
    )
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run("in/0.jpg") == 0


def test_an_empty_address_is_not_this_machine(folder, capsys) -> None:
    assert main(["batch", "in", "--out", "out", "--ray", ""]) == 1
    assert "--ray is empty" in capsys.readouterr().err


def test_a_line_of_progress_is_printed_now_and_then(
    folder, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(batch, "_LINE_INTERVAL_S", 0.0)
    run(folder)
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("4 of 5 files, ") for line in lines)
    assert any(line.endswith(" left") for line in lines)
