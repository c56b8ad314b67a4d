"""`maskdet evaluate analyzers`, with fake analyzers."""

from __future__ import annotations

import json

import pytest

from maskdet.analyzers.pipelines import ANALYZERS, TwoStage
from maskdet.cli import evaluate, main
from maskdet.evaluation.comparison import read_comparison
from tests.helpers.datasets import write_coco_dataset
from tests.helpers.fakes import FakeClassifier, FakeDetector

MASK = (0, 0, 30, 30)


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    """mtcnn detects the mask, haar nothing; the others are missing."""
    names = []

    def load(name):
        names.append(name)
        if name not in ("mtcnn", "haar"):
            raise FileNotFoundError(f"model file {name} is missing; fetch it")
        found = FakeDetector([MASK], [0.9]) if name == "mtcnn" else FakeDetector()
        return TwoStage(found, FakeClassifier((0.7, 0.2, 0.1)))

    monkeypatch.setattr(evaluate, "load_analyzer", load)
    return names


@pytest.fixture
def scenes(tmp_path):
    """A mask, and an unmasked face too small to count as large."""
    names = ("lobby-val.json", "street-val.json")
    write_coco_dataset(tmp_path, [*MASK], [50, 20, 9, 9], names=names)
    return tmp_path


def run(*words):
    return main(["evaluate", "analyzers", *map(str, words)])


def test_every_available_analyzer_is_evaluated_on_each_set(scenes, capsys, loaded):
    out = scenes / "analyzers.json"
    files = [scenes / "lobby-val.json", scenes / "street-val.json"]
    assert run(*files, "--out", out) == 0
    assert loaded == list(ANALYZERS), "each is loaded once"
    shown = capsys.readouterr()
    assert "maskdet: yunet: skipped: model file yunet is missing" in shown.err
    rows = read_comparison(out)
    assert [(row.analyzer, row.set_name) for row in rows] == [
        (name, f"{place}-val")
        for name in ANALYZERS
        if name in ("mtcnn", "haar")
        for place in ("lobby", "street")
    ]
    row = next(row for row in rows if row.analyzer == "mtcnn")
    assert row.n_images == 1
    assert row.ap["faces"].value == 0.5
    assert row.ap_large["faces"].value == row.ap["mask"].value == 1
    assert row.ap["no_mask"].value == 0
    assert row.ap["mean"].value == 0.5
    assert {name: one.value for name, one in row.rates.items()} == {
        "recall": 1,
        "precision": 1,
        "three_states": 1,
    }


def test_the_tables_have_a_line_per_analyzer(scenes, capsys):
    assert run(scenes / "lobby-val.json", "--names", "haar", "mtcnn") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0] == "lobby-val: 1 image, 2 faces"
    names = [line.split()[0] for line in lines if line.startswith("    ")]
    assert names == ["haar", "mtcnn"] * 3
    assert "AP at IoU 0.5, at least 20 px" in shown.out
    assert lines[3].split()[:3] == ["mtcnn", "0.500", "[0.500,"]
    assert "accuracy" in shown.out


def test_json_on_stdout_stands_alone(scenes, capsys):
    assert run(scenes / "lobby-val.json", "--names", "mtcnn", "--out", "-") == 0
    content = json.loads(capsys.readouterr().out)
    assert [row["set"] for row in content["rows"]] == ["lobby-val"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lobby-val.json", "--names", "magic"), "not 'magic'"),
        (
            ("lobby-val.json", "--names", "ssd"),
            "the model files of these analyzers are missing",
        ),
        (("lobby-val.json", "lobby-val.json"), "is already a set named lobby-val"),
        (("none.json",), "none.json"),
        (("lobby-val.json", "--out", "lobby-val.json"), "would overwrite"),
    ],
)
def test_what_cannot_be_done_is_one_line(scenes, monkeypatch, capsys, words, message):
    monkeypatch.chdir(scenes)
    assert run(*words) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
