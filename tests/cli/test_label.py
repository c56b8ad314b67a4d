"""`maskdet label`: boxes, images left out, and review."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from maskdet.cli import main
from maskdet.datasets import read_dataset
from maskdet.media import read_image
from maskdet.types import Faces, Image, Label
from tests.helpers.datasets import write_image
from tests.helpers.fakes import FakeClassifier


class ByBrightness:
    """Detects a face in the middle, with a high score if the image is bright."""

    def detect(self, image: Image) -> Faces:
        height, width = image.shape[:2]
        middle = image[height // 2, width // 2].max()
        box = np.array([width / 4, height / 4, width * 3 / 4, height * 3 / 4])
        score = np.array([0.9 if middle > 127 else 0.3], np.float32)
        return Faces(box.astype(np.float32)[None], score)


@pytest.fixture
def faces(tmp_path: Path, monkeypatch) -> Path:
    """Return a folder of four images, two of them with a low detection score."""
    from maskdet.media import encode_png

    for name, value in (
        ("mask/sure", 200),
        ("mask/dark", 20),
        ("no_mask/sure", 210),
        ("no_mask/dark", 30),
    ):
        path = tmp_path / "set" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(np.full((80, 100, 3), value, np.uint8)))
    monkeypatch.setattr("maskdet.cli.label.load_detector", lambda name: ByBrightness())
    even = FakeClassifier((0.5, 0.5, 0.0))
    monkeypatch.setattr("maskdet.cli.label.load_classifier", lambda name: even)
    return tmp_path / "set"


def names(path: Path) -> list[str]:
    return [f"{one.path.parent.name}/{one.path.stem}" for one in read_dataset(path)]


def test_reliable_faces_are_written_and_others_left_out_with_the_reason(
    faces, tmp_path, capsys
):
    out = tmp_path / "set-train.json"
    assert main(["label", str(faces), "--out", str(out)]) == 0
    scenes = read_dataset(out)
    assert [one.labels for one in scenes] == [(Label.MASK,), (Label.NO_MASK,)]
    assert scenes[0].boxes.shape == (1, 4)
    assert scenes[0].source == "set"
    assert json.loads(out.read_text())["left_out"] == [
        {"file_name": "set/mask/dark.png", "reason": "low score"},
        {"file_name": "set/no_mask/dark.png", "reason": "low score"},
    ]
    output = capsys.readouterr()
    assert output.out.splitlines()[0] == "boxed 2 of 4 images"
    assert "  low score 2" in output.out.splitlines()


def test_review_decisions_are_applied(faces, tmp_path, capsys):
    out, folder = tmp_path / "set.json", tmp_path / "review"
    assert main(["label", str(faces), "--out", str(out), "--review", str(folder)]) == 0
    assert {one.name for one in folder.iterdir()} == {
        "review-1.png",
        "sample.png",
        "review.csv",
    }
    assert read_image(folder / "review-1.png").shape[1] > 200
    with (folder / "review.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["doubt"] for row in rows] == ["low score"] * 2
    rows[0]["keep"] = "Yes"
    refused = {**rows[1], "path": str((faces / "mask" / "sure.png").resolve())}
    with (folder / "review.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows([*rows, {**refused, "keep": "no"}])
    words = ["label", str(faces), "--out", str(out)]
    assert main([*words, "--reviewed", str(folder / "review.csv")]) == 0
    assert names(out) == ["mask/dark", "no_mask/sure"]
    left = json.loads(out.read_text())["left_out"]
    assert [one["reason"] for one in left] == ["rejected in review", "low score"]


def test_an_unreadable_image_does_not_stop_the_others(faces, tmp_path, capsys):
    (faces / "mask" / "bad.jpg").write_bytes(b"no image")
    out, folder = tmp_path / "set.json", tmp_path / "review"
    assert main(["label", str(faces), "--out", str(out), "--review", str(folder)]) == 0
    left = {
        one["file_name"]: one["reason"]
        for one in json.loads(out.read_text())["left_out"]
    }
    assert left["set/mask/bad.jpg"] == "cannot be read"
    assert len(left) == 3
    assert "cannot be read" in (folder / "review.csv").read_text()


def test_a_lower_detection_score_accepts_more_faces(faces, tmp_path):
    out = tmp_path / "all.json"
    words = ["label", str(faces), "--out", str(out), "--min-score", "0.2"]
    assert main([*words, "--classifier", "none"]) == 0
    assert len(names(out)) == 4


def test_what_is_wrong_is_one_line(faces, tmp_path, capsys):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("path,keep\na.jpg,perhaps\n")
    write_image(tmp_path / "images" / "b.jpg")
    out = str(tmp_path / "x.json")
    for words, message in (
        ([str(tmp_path / "nowhere"), "--out", out], "there is no such file or folder"),
        ([str(faces), "--out", out, "--split", "val"], "no images of this split"),
        ([str(faces), "--out", "-"], "must be a file"),
        ([str(faces), "--out", out, "--reviewed", str(wrong)], "wrong.csv:2: keep"),
    ):
        assert main(["label", *words]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not Path(out).exists()
