"""`maskdet tune`: tables, goals, JSON, settings, a report, and stored scores."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.cli import main, tune
from maskdet.cli.options import _parse_settings_file
from maskdet.evaluation.predictions import (
    BUNDLED_ANALYZERS,
    encode_predictions,
    read_predictions,
)
from maskdet.media import encode_png
from maskdet.settings import Settings
from tests.helpers.fake_networks.weights import use_stand_ins
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.tuning.goals_fakes import make_crowded_set

FACE = (10, 10, 40, 40)


@pytest.fixture(autouse=True)
def analyzers(monkeypatch):
    """Fake analyzers that detect one unmasked face; return the loaded names."""
    names = []

    def load(name, classifier, *, refine):
        names.append(name)
        finds = FakeDetector([FACE], [0.9])
        return TwoStage(finds, FakeClassifier((0.1, 0.8, 0.1)))

    monkeypatch.setattr(tune, "load_analyzer", load)
    return names


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "crowd.npz"
    path.write_bytes(encode_predictions(make_crowded_set(60)))
    return path


@pytest.fixture
def scenes(tmp_path):
    """Four images in COCO, each with an unmasked face at the box of the analyzers."""
    (tmp_path / "images").mkdir()
    for at in range(4):
        # The same bytes would be the same image.
        image = encode_png(make_grey_image(100 + at, 60))
        (tmp_path / "images" / f"{at}.png").write_bytes(image)
    left, top, right, bottom = FACE
    content = {
        "images": [
            {"id": at, "file_name": f"{at}.png", "width": 100 + at, "height": 60}
            for at in range(4)
        ],
        "categories": [{"id": 0, "name": "no_mask"}],
        "annotations": [
            {
                "id": at,
                "image_id": at,
                "category_id": 0,
                "bbox": [left, top, right - left, bottom - top],
            }
            for at in range(4)
        ],
    }
    path = tmp_path / "lobby-val.json"
    path.write_text(json.dumps(content))
    return path


def run(*words):
    return main(["tune", *map(str, words)])


def test_the_metrics_of_a_set_are_printed_by_class(scenes, capsys, analyzers):
    assert run(scenes, "--analyzer", "haar") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{scenes}: 4 images, 4 faces; analyzer haar"
    rows = {line[:14].strip(): line[24:].split() for line in lines if line[:2] == "  "}
    assert rows["No mask"][:3] == ["1.000", "[0.510,", "1.000]"]
    assert rows["Mask"][0] == "-"
    assert analyzers == ["haar"]


def test_what_evaluate_counts_in_another_way_is_said(scenes, stored, capsys):
    note = "re-check at most 8 of an image"
    assert run(str(scenes), "--analyzer", "onepass-fast") == 0
    assert note in capsys.readouterr().out
    for words in (
        [str(scenes), "--analyzer", "onepass-fast", "--no-refinement"],
        [str(scenes), "--analyzer", "onepass"],
        [str(stored)],
    ):
        assert run(*words) == 0
        assert note not in capsys.readouterr().out


def test_folder_and_zip_give_the_same_result(scenes, tmp_path, capsys):
    folder = tmp_path / "set"
    folder.mkdir()
    shutil.copy(scenes, folder)
    shutil.copytree(tmp_path / "images", folder / "images")
    packed = tmp_path / "set.zip"
    with zipfile.ZipFile(packed, "w") as out:
        for path in sorted(folder.rglob("*.*")):
            out.write(path, path.relative_to(folder))
    tables = []
    for source in (folder, packed):
        assert run(source, "--analyzer", "haar") == 0
        tables.append(capsys.readouterr().out.splitlines()[1:])
    assert tables[0] == tables[1]


def test_a_proposal_shows_the_metrics_before_and_after(stored, capsys):
    assert run(stored, "--goal", "recall=0.7") == 0
    out = capsys.readouterr().out
    goal = "goal: recall of “No mask” at least 70 %, then the fewest false positives"
    assert goal in out
    assert "chosen on 30 images, evaluated on the other 30" in out
    for word in (
        "  now ",
        "  proposed ",
        "  on the selection half ",
        "False positives of",
    ):
        assert word in out


def test_json_stands_alone_and_has_every_number(stored, capsys):
    words = (stored, "--goal", "cost=3", "--label", "mask", "--json", "-")
    assert run(*words, "--min-score", "0.4", "--min-iou", "0.3") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["version"] == 2
    assert content["analyzer"] == "fake"
    assert content["settings"]["min_score"] == 0.4
    assert content["min_iou"] == 0.3
    assert set(content["classes"]) == {"faces", "mask", "no_mask", "incorrect"}
    assert len(content["confusion"]) == 4
    wanted = {"kind": "cost", "cost": 3, "recall": 0.95, "label": "mask"}
    assert content["proposal"]["goal"] == wanted
    assert run(stored, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["proposal"] is None


def test_settings_go_where_every_command_reads_them(scenes, stored, tmp_path, capsys):
    out = tmp_path / "mine.json"
    assert run(stored, "--goal", "f1", "--settings-out", out, "--json", "-") == 0
    proposed = json.loads(capsys.readouterr().out)["proposal"]["settings"]
    assert proposed["min_score"] != Settings().min_score
    assert Settings.from_json(out.read_bytes()).min_score == proposed["min_score"]
    # The settings of a known analyzer contain its name.
    assert run(scenes, "--analyzer", "haar", "--settings-out", out) == 0
    choice = _parse_settings_file(out.read_bytes())
    assert (choice.analyzer, choice.settings) == ("haar", Settings())


def test_a_report_is_written(stored, tmp_path):
    out = tmp_path / "report.html"
    assert run(stored, "--goal", "equal", "--report", out) == 0
    page = out.read_text("utf-8")
    assert "as many false negatives as false positives of “No mask”" in page
    assert page.count("<svg") == 5


def test_scores_are_stored_without_names(scenes, tmp_path, capsys, analyzers):
    out = tmp_path / "scores"
    assert run("scores", scenes, "--out", out) == 0
    assert analyzers == list(BUNDLED_ANALYZERS)
    files = {path.name for path in out.iterdir()}
    assert files == {f"lobby-val.{name}.npz" for name in BUNDLED_ANALYZERS}
    scored = read_predictions(out / "lobby-val.haar.npz")
    assert scored.ground_truth.names == ("1", "2", "3", "4")
    assert scored.scores.tolist() == pytest.approx([0.9] * 4, abs=1e-3)
    assert "wrote" in capsys.readouterr().out
    assert run(out / "lobby-val.haar.npz", "--goal", "recall") == 0
    assert "Too few faces to guarantee 95 %" in capsys.readouterr().out


def test_one_analyzer_is_stored_if_one_is_asked_for(scenes, tmp_path, analyzers):
    # The stored file has the hash of the weights, so their files must exist.
    with use_stand_ins():
        assert run("scores", scenes, "--out", tmp_path, "--analyzer", "ssd") == 0
    assert analyzers == ["ssd"]
    assert (tmp_path / "lobby-val.ssd.npz").is_file()


def test_a_folder_may_be_named_like_a_subcommand(
    scenes, tmp_path, monkeypatch, analyzers
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores").mkdir()
    for path in (scenes, tmp_path / "images"):
        path.rename(tmp_path / "scores" / path.name)
    assert run("scores", "scores", "--out", "out", "--analyzer", "haar") == 0
    assert (tmp_path / "out" / "scores.haar.npz").is_file()
    for words in (("settings", "scores"), ("./scores",)):
        assert run(*words, "--json", "out/set.json") == 0
        assert json.loads((tmp_path / "out/set.json").read_text())["set"] == "scores"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("crowd.npz", "crowd.npz"), "unrecognized arguments: crowd.npz"),
        (("crowd.npz", "--out", "x"), "unrecognized arguments: --out x"),
        (("scores", "--out", "x"), "arguments are required: DATA"),
        (("scores", "lobby-val.json"), "arguments are required: --out"),
    ],
)
def test_arguments_of_another_subcommand_are_a_usage_error(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.json",), "none.json"),
        (("crowd.npz", "--analyzer", "haar"), "leave out --analyzer"),
        (
            ("crowd.npz", "--goal", "luck"),
            "must be one of f1, recall, cost, equal, not 'luck'",
        ),
        (("crowd.npz", "--goal", "f1=2"), "--goal f1 takes no value"),
        (("crowd.npz", "--goal", "recall=2"), "above 0 and below 1"),
        (("crowd.npz", "--goal", "cost=much"), "'much' is not a number"),
        (("crowd.npz", "--json", "crowd.npz"), "would overwrite"),
        (("crowd.npz", "--json", "-", "--report", "-"), "only one of --json"),
        (("crowd.npz", "--min-iou", "2"), "min_iou must be"),
        (("broken.npz",), "not a predictions file"),
        (("missing.npz",), "there is no such file"),
        (
            ("scores", "lobby-val.json", "--out", "broken.npz"),
            "is a file, not a folder",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(
    scenes, stored, tmp_path, monkeypatch, capsys, words, message
):
    (tmp_path / "broken.npz").write_bytes(b"PK not really")
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
