"""Names and colours of classes on the command line: text, images and videos."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.cli import detect, evaluate, main, video
from maskdet.cli.console import display_width, pad_text
from maskdet.evaluation.predictions import encode_predictions
from maskdet.events.config import sqlite_url
from maskdet.events.store import EventStore
from maskdet.media import encode_png, read_image
from maskdet.resources import resource_path
from tests.events.store_contract import DAY_EVENTS
from tests.helpers.datasets import write_coco_dataset
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.tuning.goals_fakes import make_crowded_set

STYLE = {
    "class_names": {"no_mask": "Visage d\u00e9couvert", "unknown": "Collecting info"},
    "class_colours": {"no_mask": "#0000ff"},
}


@pytest.fixture
def style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake = TwoStage(
        FakeDetector([[100.0, 100.0, 180.0, 200.0]], [0.9]),
        FakeClassifier((0.03, 0.96, 0.01)),
    )
    for module in (detect, video):
        monkeypatch.setattr(module, "load_analyzer", lambda *names, **how: fake)
    file = tmp_path / "style.json"
    file.write_text(json.dumps(STYLE))
    return file


def test_detect_uses_the_names_and_colours_of_the_style(
    style, tmp_path, capsys
) -> None:
    image_file, out = tmp_path / "a.png", tmp_path / "out"
    image_file.write_bytes(encode_png(make_grey_image(320, 240)))
    words = ["detect", str(image_file), "--style", str(style)]
    assert main([*words, "--out", str(out)]) == 0
    assert "Visage d\u00e9couvert 96 %" in capsys.readouterr().out
    blue = (read_image(out / "a.png") == (255, 0, 0)).all(axis=2)
    assert blue.sum() > 100
    assert main([*words, "--min-confidence", "1"]) == 0
    assert "Collecting info (96 % visage d\u00e9couvert)" in capsys.readouterr().out
    assert main([*words, "--json", "-"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["images"][0]["faces"]
    assert face["label"] == "no_mask"
    assert set(face["probs"]) == {"mask", "no_mask", "incorrect"}


def test_summary_and_annotated_video_use_the_style(style, tmp_path, capsys) -> None:
    video_file = resource_path("samples/video.mp4")
    out = tmp_path / "out.mp4"
    words = ["video", str(video_file), "--style", str(style), "--every", "40"]
    assert main([*words, "--out", str(out)]) == 0
    assert "Visage d\u00e9couvert" in capsys.readouterr().out
    from maskdet.media import open_video

    image = next(iter(open_video(out)))[0]
    blue = np.abs(image.astype(int) - (255, 0, 0)).max(axis=2) < 60
    assert blue.sum() > 50


def test_an_invalid_style_is_one_line_and_nothing_is_written(
    style, tmp_path, capsys
) -> None:
    image_file, out = tmp_path / "a.png", tmp_path / "out"
    image_file.write_bytes(encode_png(make_grey_image(320, 240)))
    style.write_text('{"class_colours": {"mask": "green"}}')
    words = ["detect", str(image_file), "--style", str(style), "--out", str(out)]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"maskdet: {style}: class_colours: mask must be a colour")
    assert not out.exists()


NAMES = {"mask": "口罩", "no_mask": "Visage découvert", "incorrect": "Mal mis"}
USUAL = ("Mask", "No mask", "Incorrect", "“No mask”")


@pytest.fixture
def named(tmp_path: Path) -> Path:
    file = tmp_path / "names.json"
    file.write_text(json.dumps({"class_names": NAMES}))
    return file


def table_of(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the output, after checking that no default class name is in it."""
    out: str = capsys.readouterr().out
    cells = {cell for line in out.splitlines() for cell in re.split(r"  +", line)}
    assert not cells & set(USUAL)
    for name in NAMES.values():
        assert name in out
    return out


def is_aligned(lines: list[str], heading: str) -> bool:
    """Return whether the last column is aligned with its heading on a terminal."""
    at = next(n for n, line in enumerate(lines) if line.startswith(heading))
    return len({display_width(line) for line in lines[at : at + 2]}) == 1


def test_evaluate_uses_the_class_names_of_the_style(
    named, tmp_path, capsys, monkeypatch
) -> None:
    fake = TwoStage(
        FakeDetector([[0, 0, 30, 30]], [0.9]), FakeClassifier((0.2, 0.7, 0.1))
    )
    monkeypatch.setattr(evaluate, "load_analyzer", lambda *names, **how: fake)
    monkeypatch.setattr(evaluate, "load_classifier", lambda *names: FakeClassifier())
    scenes = tmp_path / "lobby.json"
    boxes = [0, 0, 30, 30], [50, 20, 25, 25]
    write_coco_dataset(tmp_path, *boxes, names=[scenes.name])
    style = ["--style", str(named)]
    words = ["evaluate", "scenes", str(scenes), *style]
    assert main(words) == 0
    table = table_of(capsys)
    assert is_aligned(table.splitlines(), "ground truth / predicted")
    assert main([*words, "--boxes", "ground_truth"]) == 0
    table_of(capsys)
    assert main(["evaluate", "analyzers", str(scenes), "--names", "haar", *style]) == 0
    table_of(capsys)
    folder = tmp_path / "faces"
    for name in ("with_mask", "without_mask"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.png").write_bytes(encode_png(make_grey_image(40, 40)))
    assert main(["evaluate", "faces", str(folder), *style]) == 0
    table_of(capsys)
    assert main([*words, "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert set(content["ap"]) == {"faces", "mask", "no_mask", "incorrect", "mean"}


def test_tune_uses_the_class_names_of_the_style(named, tmp_path, capsys) -> None:
    stored, report = tmp_path / "crowd.npz", tmp_path / "report.html"
    stored.write_bytes(encode_predictions(make_crowded_set(60)))
    words = ["tune", str(stored), "--goal", "recall=0.7", "--style", str(named)]
    assert main([*words, "--report", str(report)]) == 0
    table = table_of(capsys)
    assert "goal: recall of “Visage découvert” at least 70 %" in table
    page = report.read_text(encoding="utf-8")
    assert "口罩" in page
    assert ">No mask<" not in page
    assert main([*words, "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert set(content["classes"]) == {"faces", "mask", "no_mask", "incorrect"}
    assert content["proposal"]["goal"]["label"] == "no_mask"


def test_saved_settings_contain_the_class_names(tmp_path, capsys) -> None:
    stored, saved = tmp_path / "crowd.npz", tmp_path / "settings.json"
    stored.write_bytes(encode_predictions(make_crowded_set(20)))
    saved.write_text(json.dumps({"settings": {}, "style": {"class_names": NAMES}}))
    assert main(["tune", str(stored), "--settings", str(saved)]) == 0
    table_of(capsys)


def test_events_use_the_class_names_and_the_csv_the_keys(
    named, tmp_path, capsys
) -> None:
    file = tmp_path / "events.sqlite3"
    EventStore(sqlite_url(file)).add(DAY_EVENTS)
    words = ["events", str(file), "--style", str(named)]
    assert main(words) == 0
    listed = capsys.readouterr().out
    assert "Person 1: Visage découvert, now 口罩 (90 %)" in listed
    assert "Hall: Person 2: Visage découvert (90 %)" in listed
    assert "No mask" not in listed
    assert main([*words, "--summary"]) == 0
    summary = capsys.readouterr().out.splitlines()
    assert summary[0] == "4 people: 2 口罩, 1 Visage découvert; 67 % masked"
    assert summary[3].endswith("  口罩  visage découvert  mal mis")
    assert is_aligned(summary, "hour")
    assert main([*words, "--csv", "-"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["label"] for row in rows} == {"mask", "no_mask", "unknown"}


def test_an_invalid_style_of_events_is_one_line(named, capsys) -> None:
    named.write_text('{"class_names": {"mask": "<b>"}}')
    assert main(["events", "--style", str(named)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"maskdet: {named}: class_names: mask must be 1 to 24")


def test_names_that_cannot_be_drawn_are_reported_with_out(
    style, named, tmp_path, capsys
) -> None:
    image_file, out = tmp_path / "a.png", tmp_path / "out"
    image_file.write_bytes(encode_png(make_grey_image(320, 240)))
    named.write_text(json.dumps({"class_names": {"no_mask": "マスクなし"}}))
    words = ["detect", str(image_file), "--style", str(named)]
    line = (
        "images can only show Latin, Greek and Cyrillic letters; they show “No mask” "
        "for “マスクなし”"
    )
    assert main(words) == 0
    output = capsys.readouterr()
    assert "マスクなし 96 %" in output.out
    assert line not in output.err
    assert main([*words, "--out", str(out)]) == 0
    assert line in capsys.readouterr().err.splitlines()
    video_file = str(resource_path("samples/video.mp4"))
    words = ["video", video_file, "--style", str(named), "--every", "40"]
    assert main([*words, "--out", str(tmp_path / "out.mp4")]) == 0
    assert line in capsys.readouterr().err.splitlines()


def test_charts_of_evaluate_use_the_class_names_of_the_style(
    named, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(evaluate, "load_classifier", lambda *names: FakeClassifier())
    faces, report = tmp_path / "faces", tmp_path / "report"
    for number, name in enumerate(("with_mask", "without_mask")):
        (faces / name).mkdir(parents=True)
        (faces / name / "a.png").write_bytes(
            encode_png(make_grey_image(40 + number, 40))
        )
    words = ["evaluate", "faces", str(faces), "--view", "whole", "--style", str(named)]
    assert main([*words, "--report", str(report)]) == 0
    drawing = (report / "confusion.svg").read_text(encoding="utf-8")
    assert ">口罩<" in drawing
    assert ">No mask<" not in drawing
    assert "they show “Mask” for “口罩”" in capsys.readouterr().err
    usual = tmp_path / "usual"
    assert main([*words[:-2], "--report", str(usual)]) == 0
    for name in ("samples.png", "errors.png"):
        assert (usual / name).read_bytes() != (report / name).read_bytes()


@pytest.mark.parametrize(
    ("text", "n"), [("mask", 4), ("口罩", 4), ("é", 1), ("e\u0301", 1), ("", 0)]
)
def test_the_display_width_is_that_of_a_terminal(text: str, n: int) -> None:
    assert display_width(text) == n
    assert pad_text(text, 6) == text + " " * (6 - n)
    assert pad_text(text, 6, align_right=True) == " " * (6 - n) + text
    assert pad_text(text, 0) == text
