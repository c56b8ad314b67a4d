from __future__ import annotations

import json

import cv2
import pytest

from maskdet.analyzers.pipelines import ANALYZERS, DEFAULT_ANALYZER, TwoStage
from maskdet.cli import evaluate, main
from maskdet.evaluation import report as evaluation_report
from maskdet.media import encode_png
from tests.helpers.datasets import write_image
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image

PROBS = (0.7, 0.2, 0.1)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Replace the models; returns the names that were asked for."""
    names = []

    def load_analyzer(name, classifier, *, refine):
        asked_for = name if classifier == "maskdet" else f"{name}+{classifier}"
        names.append(asked_for if refine else f"{asked_for}, once")
        if name == "missing":
            raise FileNotFoundError("say: maskdet models fetch missing")
        return TwoStage(FakeDetector([[0, 0, 30, 30]], [0.9]), FakeClassifier(PROBS))

    def load_classifier(name):
        names.append("classifier" if name == "maskdet" else name)
        return FakeClassifier(PROBS)

    monkeypatch.setattr(evaluate, "load_analyzer", load_analyzer)
    monkeypatch.setattr(evaluate, "load_classifier", load_classifier)
    return names


@pytest.fixture
def scenes(tmp_path):
    """Two scenes: a mask that is found, a small bare face that is not."""
    (tmp_path / "images").mkdir()
    for name in "ab":
        path = tmp_path / "images" / f"{name}.png"
        path.write_bytes(encode_png(make_grey_image(100, 60)))
    content = {
        "images": [
            {"id": i, "file_name": f"{name}.png", "width": 100, "height": 60}
            for i, name in enumerate("ab")
        ],
        "categories": [{"id": 0, "name": "mask"}, {"id": 1, "name": "no_mask"}],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 0, "bbox": [0, 0, 30, 30]},
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [50, 20, 9, 9]},
        ],
    }
    path = tmp_path / "lobby-val.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def index(tmp_path):
    rows = [
        "path,label,split,source,group",
        "m.png,with_mask,test,real,1",
        "b.png,without_mask,test,drawn,2",
        "t.png,with_mask,train,real,3",
    ]
    for name in "mbt":
        (tmp_path / f"{name}.png").write_bytes(encode_png(make_grey_image(40, 40)))
    path = tmp_path / "index.csv"
    path.write_text("\n".join(rows))
    return path


def run(*words):
    return main(["evaluate", *map(str, words)])


def report_of(capsys, *words):
    assert run(*words, "--json", "-") == 0
    shown = capsys.readouterr()
    assert all(line.startswith("pipeline: ") for line in shown.err.splitlines())
    return json.loads(shown.out)


def test_scenes_as_json(scenes, capsys, asked):
    report = report_of(capsys, "scenes", scenes, "--analyzer", "haar")
    assert asked == ["haar"]
    head = {key: report[key] for key in ("version", "kind", "file", "analyzer")}
    assert head == {
        "version": 2,
        "kind": "scenes",
        "file": str(scenes),
        "analyzer": "haar",
    }
    assert report["settings"]["min_score"] == 0.5
    assert report["images"] == 2
    # Both images give the same face with the same score; it is right in one.
    assert report["ap"]["faces"] == {"value": 0.25, "low": 0.0, "high": 1.0, "n": 2}
    assert report["ap_large"]["faces"]["value"] == 0.5
    assert report["ap"]["no_mask"]["value"] == 0
    assert report["ap"]["incorrect"]["value"] is None
    assert report["ap"]["mean"]["value"] == 0.25
    assert report["ap_every_class"]["mask"]["value"] == 0.5
    assert set(report["ap_every_class_large"]) == {*report["ap"]} - {"faces"}
    assert report["labels"]["confusion"] == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    # The probability of the only large face is 0.7.
    unsure = {
        threshold: row["unsure"]["value"]
        for threshold, row in report["by_min_confidence"].items()
    }
    assert unsure == {"0.5": 0, "0.6": 0, "0.7": 0, "0.8": 1, "0.9": 1}
    assert report["by_min_confidence"]["0.6"]["accuracy_of_others"]["value"] == 1
    assert report["median_ms"] >= 0


def test_scenes_as_a_table(scenes, capsys):
    assert run("scenes", scenes, "--min-score", 0.3) == 0
    table = capsys.readouterr().out
    assert f"2 images, 2 faces; analyzer {DEFAULT_ANALYZER}\n" in table
    row = next(line for line in table.splitlines() if line.startswith("  faces  "))
    assert "0.250 [0.000, 1.000] n=2" in row
    assert "0.500 [" in row
    assert "at detection score 0.3" in table
    squeezed = " ".join(table.split())
    assert "recall, Incorrect nothing to measure" in squeezed
    assert "mean, YOLO's rule 0.250 [" in squeezed
    assert "by confidence threshold Unsure accuracy of others" in squeezed
    assert "median time" in table


@pytest.mark.parametrize(
    ("words", "is_limited"),
    [
        (["--analyzer", "onepass-fast"], True),
        (["--analyzer", "onepass-fast", "--no-refinement"], False),
        ([], False),
    ],
)
def test_a_limit_of_the_refinement_is_said(words, is_limited, scenes, capsys):
    assert run("scenes", str(scenes), *words) == 0
    assert ("at most 8 low-confidence" in capsys.readouterr().out) == is_limited


@pytest.mark.parametrize(
    ("analyzer", "suffix"), [("onepass", ", without refinement"), ("haar", "")]
)
def test_a_refinement_can_be_left_out(
    scenes, capsys, asked, monkeypatch, analyzer, suffix
):
    monkeypatch.setitem(ANALYZERS, analyzer, "being tested")
    words = ("scenes", scenes, "--analyzer", analyzer)
    assert run(*words, "--no-refinement") == 0
    assert f"analyzer {analyzer}{suffix}\n" in capsys.readouterr().out
    assert report_of(capsys, *words, "--no-refinement")["refine"] is False
    assert report_of(capsys, *words)["refine"] is True
    assert asked == [f"{analyzer}, once"] * 2 + [analyzer]


def test_ground_truth_boxes_need_no_detector(scenes, capsys, asked):
    report = report_of(capsys, "scenes", scenes, "--boxes", "ground_truth")
    assert asked == ["classifier"]
    assert report["boxes"] == "ground_truth"
    assert report["labels"]["n"] == 1
    assert report["labels"]["masked_recall"]["value"] == 1.0
    assert list(report["by_source"]) == ["lobby"]
    assert run("scenes", scenes, "--boxes", "ground_truth") == 0
    assert (
        "our classifier on ground-truth boxes of at least 20 px"
        in capsys.readouterr().out
    )


def test_faces_as_json(index, capsys, asked):
    report = report_of(capsys, "faces", index)
    assert asked == [DEFAULT_ANALYZER, "classifier"]
    assert (report["split"], report["view"], report["n_detected"]) == (
        "test",
        "detected",
        2,
    )
    assert report["labels"]["binary_accuracy"]["value"] == 0.5
    assert report["labels"]["masked_recall"]["value"] == 1.0
    assert report["labels"]["unmasked_recall"]["value"] == 0.0
    assert report["labels"]["confusion"][:2] == [[1, 0, 0], [1, 0, 0]]
    assert report["by_source"]["real"]["accuracy"]["value"] == 1.0


def test_faces_as_a_table(index, capsys):
    assert run("faces", index) == 0
    table = capsys.readouterr().out
    assert f"2 images, split test; analyzer {DEFAULT_ANALYZER}\n" in table
    squeezed = " ".join(table.split())
    assert "accuracy, mask vs no mask 0.500 [0.095, 0.905] n=2" in squeezed
    assert "drawn 0.000 [" in squeezed
    assert "images with a detected face: 2 of 2" in table


def test_faces_of_one_source_and_split_and_whole(index, capsys, asked):
    report = report_of(
        capsys, "faces", index, "--source", "real", "--split", "all", "--view", "whole"
    )
    assert asked == ["classifier"]
    assert report["labels"]["n"] == 2
    assert report["analyzer"] is None
    assert list(report["by_source"]) == ["real"]


def test_a_json_file_is_reported_and_the_table_still_printed(index, tmp_path, capsys):
    target = tmp_path / "report.json"
    assert run("faces", index, "--json", target) == 0
    shown = capsys.readouterr()
    assert shown.err == f"wrote {target}\n"
    assert "accuracy, mask vs no mask" in shown.out
    assert json.loads(target.read_text())["kind"] == "faces"


def test_a_report_folder_has_charts_and_the_worst_errors(
    index, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(
        evaluation_report, "save_chart", lambda chart, folder, name, **how: []
    )
    folder = tmp_path / "runs" / "one"
    assert run("faces", index, "--report", folder) == 0
    shown = capsys.readouterr()
    assert "accuracy, mask vs no mask" in shown.out
    assert shown.err == f"wrote 3 files to {folder}\n"
    report = json.loads((folder / "report.json").read_text())
    title = f"index.csv: 2 images, split test; analyzer {DEFAULT_ANALYZER}"
    assert report["title"] == title
    assert list(report["sets"]) == ["faces-test"]
    assert [error["file"] for error in report["mistakes"]] == ["b.png"]
    grid = cv2.imread(str(folder / "errors.png"))
    assert grid.shape[1] == 128 + 2 * 6
    assert cv2.imread(str(folder / "samples.png")).shape[1] == 2 * 128 + 3 * 6


def test_without_errors_there_is_no_grid(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(
        evaluation_report, "save_chart", lambda chart, folder, name, **how: []
    )
    assert (
        run("scenes", scenes, "--boxes", "ground_truth", "--report", tmp_path / "r")
        == 0
    )
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {"report.json", "samples.png"}
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert list(report["sets"]) == ["lobby-val/ground_truth"]


def test_another_classifier_can_be_evaluated(scenes, index, capsys, asked):
    report = report_of(capsys, "faces", index, "--classifier", "tutorial")
    assert asked == [f"{DEFAULT_ANALYZER}+tutorial", "tutorial"]
    assert report["classifier"] == "tutorial"
    assert run("scenes", scenes, "--classifier", "tutorial") == 0
    named = f"; analyzer {DEFAULT_ANALYZER}, classifier tutorial"
    assert named in capsys.readouterr().out
    assert (
        run("scenes", scenes, "--boxes", "ground_truth", "--classifier", "tutorial")
        == 0
    )
    assert "; classifier tutorial on ground-truth boxes" in capsys.readouterr().out


def test_every_number_is_printed_and_in_the_json(index, capsys):
    assert run("faces", index) == 0
    table = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    at = table.index("one vs rest precision recall F1")
    assert table[at + 1].startswith(
        "Mask, correct or incorrect 0.500 [0.095, 0.905] 1.0"
    )
    assert table[at + 4] == "Incorrect - - -"
    assert "over all thresholds ROC AUC average precision" in table
    assert any(row.startswith("calibration error (ECE) 0.2") for row in table)
    numbers = report_of(capsys, "faces", index)["summary"]
    assert numbers["three_class"]["classes"]["mask"]["roc_area"]["value"] == 0.5
    assert numbers["binary"]["masked"]["recall"]["n"] == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["scenes", "nowhere.json"], "nowhere.json: there is no such file"),
        (["scenes", "index.csv"], "use maskdet evaluate faces"),
        (
            ["faces", "lobby-val.json"],
            "its images have boxes; use maskdet evaluate scenes",
        ),
        (["faces", "index.csv", "--split", "val"], "no image has the split 'val'"),
        (
            ["faces", "index.csv", "--source", "cartoon"],
            "no image of source 'cartoon'; there are drawn, real",
        ),
        (
            ["faces", "index.csv", "--json", "index.csv"],
            "would overwrite an input file",
        ),
        (["scenes", "lobby-val.json", "--analyzer", "missing"], "models fetch missing"),
        (["scenes", "lobby-val.json", "--min-score", "2"], "min_score must be"),
        (
            [
                "scenes",
                "lobby-val.json",
                "--boxes",
                "ground_truth",
                "--analyzer",
                "haar",
            ],
            "evaluated here: leave out --analyzer",
        ),
        (["faces", "index.csv", "--view", "whole", "--analyzer", "haar"], "leave out"),
        (["faces", "index.csv", "--report", "m.png"], "m.png: is a file"),
    ],
)
def test_what_goes_wrong_is_one_line(words, line, scenes, index, capsys, monkeypatch):
    monkeypatch.chdir(index.parent)
    assert run(*words) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("maskdet: ")
    assert shown.err.count("\n") == 1
    assert line in shown.err


def test_a_broken_image_is_named(scenes, capsys):
    (scenes.parent / "images" / "b.png").write_bytes(b"")
    assert run("scenes", scenes) == 1
    error = capsys.readouterr().err
    assert error == f"maskdet: {scenes.parent}/images/b.png: the file is empty\n"


def test_a_folder_for_each_class_needs_no_kind(tmp_path, capsys):
    for number, name in enumerate(("x/with_mask/1/a.png", "x/without_mask/b.png")):
        write_image(tmp_path / name, number)
    for words in ([str(tmp_path)], ["faces", str(tmp_path)]):
        assert run(*words, "--view", "whole", "--json", "-") == 0
        content = json.loads(capsys.readouterr().out)
        assert (content["kind"], content["split"]) == ("faces", "all")
    write_image(tmp_path / "test" / "mask" / "c.png", 2)
    assert run(tmp_path, "--view", "whole", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["split"] == "test"


def test_a_folder_with_boxes_needs_no_kind(scenes, capsys):
    assert run(scenes.parent, "--boxes", "ground_truth", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "scenes"
