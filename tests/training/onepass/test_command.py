"""`maskdet train onepass` from images on disk to weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from maskdet.cli import main
from maskdet.datasets import Example
from maskdet.types import CLASSES
from tests.helpers.datasets import write_image
from tests.training.onepass.fakes import build_stand_in_network

pytestmark = pytest.mark.slow


def write_scenes(folder, name, labels, seed):
    """Write images with one face each, and the COCO file that lists them."""
    images, faces = [], []
    for number, label in enumerate(labels):
        x = 20 + 30 * number
        file = f"{name}-{number}.png"
        write_image(folder / file, seed + number, 160, 120)
        images.append({"id": number, "file_name": file, "width": 160, "height": 120})
        box = {"bbox": [x, 30, 40, 50], "category_id": label}
        faces.append({"id": number, "image_id": number, **box})
    classes = [{"id": int(label), "name": label.key} for label in CLASSES]
    path = folder / f"{name}.json"
    coco = {"images": images, "annotations": faces, "categories": classes}
    path.write_text(json.dumps(coco))
    return str(path)


@pytest.fixture
def words(tmp_path, monkeypatch, eager_tensorflow):
    package = "maskdet.training.onepass"
    monkeypatch.setattr(f"{package}.fit.build_onepass_network", build_stand_in_network)
    monkeypatch.setattr(f"{package}.fit.SCALINGS", {64: None, 32: None})
    monkeypatch.setattr(f"{package}.batches.SAMPLE_SIDES_PX", {64: 1.0})
    train = write_scenes(tmp_path, "train", [0, 1, 2], 1)
    val = write_scenes(tmp_path, "val", [0, 1], 11)
    data = ["--data", train, "--val", val, "--out", str(tmp_path / "run")]
    knobs = ["--epochs", "1", "--steps", "1", "--batch-size", "1", "--drawn", "0"]
    return ["train", "onepass", *data, *knobs, "--detector", "none"]


def test_the_command_trains_and_writes_the_files_of_the_export(words, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(words) == 0, capsys.readouterr().err
    output = capsys.readouterr().out
    assert "scenes to train on: 3, with 3 faces" in output
    assert f"next: maskdet export {out}" in output
    names = {path.name for path in out.iterdir()}
    assert {"best.weights.h5", "log.csv", "validation.npz", "report.txt"} <= names
    stored = json.loads((out / "recipe.json").read_text())
    assert (stored["network"], stored["steps"], stored["scenes"]) == ("onepass", 1, 3)
    assert stored["data"] == ["train"]
    assert "--steps 1" in stored["command"]
    assert "val 64:" in (out / "report.txt").read_text()
    assert {"learning-loss.png", "learning-faces.svg", "learning-mean.png"} <= names
    # Only a run that is not complete needs its packed scenes.
    assert "scenes.npz" not in names
    assert main([*words, "--epochs", "2", "--resume"]) == 0
    assert len((out / "log.csv").read_text().splitlines()) == 3


def test_a_run_initialized_from_another_records_both_commands(words, tmp_path, capsys):
    assert main([*words, "--distractor-fraction", "0"]) == 0, capsys.readouterr().err
    first, second = tmp_path / "run", tmp_path / "second"
    weights = str(first / "best.weights.h5")
    assert main([*words, "--weights", weights, "--out", str(second)]) == 0
    first_recipe, second_recipe = (
        json.loads((folder / "recipe.json").read_text()) for folder in (first, second)
    )
    assert first_recipe["before"] == []
    assert second_recipe["before"] == [first_recipe["command"]]
    assert "--distractor-fraction 0.0" in first_recipe["command"]
    assert first_recipe["views"]["distracted"] == 0
    assert f"--weights {weights}" in second_recipe["command"]
    assert second_recipe["weights"] is None  # the first run had random weights


def test_a_run_initialized_from_an_exported_file_records_its_origin(tmp_path):
    from maskdet.cli.training_run import trace_initial_weights

    file = tmp_path / "onepass.tflite"
    file.write_bytes(b"")
    assert trace_initial_weights(str(file)) == ("onepass.tflite", [])
    folder = tmp_path / "runs-onepass" / "onepass"
    folder.mkdir(parents=True)
    recipe = {"weights": "yunet.onnx", "before": ["first"], "command": "second"}
    (folder / "facts.json").write_text(json.dumps({"recipe": recipe}))
    assert trace_initial_weights(str(file)) == ("yunet.onnx", ["first", "second"])


def test_negatives_and_box_weights_are_stored_in_the_recipe(words, tmp_path, capsys):
    folder = tmp_path / "walls"
    folder.mkdir()
    for number in range(12):
        write_image(folder / f"{number}.png", number, 160, 120)
    more = ["--negatives", str(folder), "--negatives-fraction", "0.5"]
    more += ["--loose", "train=0.5", "--backbone-rate", "0.5"]
    assert main([*words, *more]) == 0, capsys.readouterr().err
    assert "images without a face: " in capsys.readouterr().out
    out = tmp_path / "run"
    stored = json.loads((out / "recipe.json").read_text())
    assert stored["negative_images"] + stored["held_out_negatives"] == 12
    assert stored["held_out_negatives"] > 0
    assert (out / "negatives.npz").is_file()
    assert (stored["negatives"], stored["body_rate"]) == (0.5, 0.5)
    assert ["train", 0.5] in stored["views"]["borders"]
    assert "--loose train=0.5 --negatives" in stored["command"]
    assert "--negatives-fraction 0.5" in stored["command"]
    elsewhere = ["--out", str(tmp_path / "other")]
    assert main([*words, *elsewhere, "--loose", "train=much"]) == 1
    assert "must be a source, or a source and a weight" in capsys.readouterr().err


def test_ctrl_c_prints_one_line_and_the_run_can_be_resumed(
    words, tmp_path, capsys, monkeypatch
):
    from maskdet.training.onepass.batches import OnePassSampler

    original, out = OnePassSampler.iter_batches, tmp_path / "run"

    def stopped(self, epoch, steps):
        if epoch == 1:
            raise KeyboardInterrupt
        return original(self, epoch, steps)

    longer = [*words, "--epochs", "3"]
    with monkeypatch.context() as patch:
        patch.setattr(OnePassSampler, "iter_batches", stopped)
        assert main(longer) == 130
    output = capsys.readouterr()
    assert "stopped after 1 of 3 epochs; the same command with --resume" in output.err
    assert "next:" not in output.out
    assert (out / "learning-loss.png").is_file()
    assert (out / "scenes.npz").is_file()
    assert main(longer) == 1
    assert "contains a run of 1 epoch; continue it" in capsys.readouterr().err
    assert main([*longer, "--resume", "--steps", "2"]) == 1
    assert "began with steps 1, not 2" in capsys.readouterr().err
    written = []
    with monkeypatch.context() as patch:
        name = "maskdet.training.onepass.data.save_packed_images"
        patch.setattr(name, lambda images, path, fingerprint: written.append(path.name))
        assert main([*words, "--epochs", "2", "--resume"]) == 0
    assert written == ["validation.npz"]  # not packed again
    stored = json.loads((out / "recipe.json").read_text())
    assert stored["planned_before"] == [[3, 1]]
    assert stored["class_counts"] == [1, 1, 1]
    assert stored["drawn_scenes"] == 0


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (
            ["--learning-rate", "nan"],
            "--learning-rate nan: learning_rate must be a number",
        ),
        (["--learning-rate", "inf"], "must be a number greater than 0, not inf"),
        (["--learning-rate", "0"], "must be a number greater than 0, not 0"),
        (["--epochs", "0"], "--epochs 0: epochs must be at least 1"),
        (["--steps", "-1"], "--steps -1: steps must be at least 1"),
        (["--batch-size", "0"], "--batch-size 0: batch_size must be at least 1"),
        (["--drawn", "-1"], "--drawn -1: drawn must be at least 0"),
        (["--seed", "-1"], "--seed -1: seed must be at least 0"),
        (["--distractor-fraction", "nan"], "must be from 0 to 1, not nan"),
        (
            ["--drawn", "5", "--detector", "haar"],
            "need a detector with facial landmarks",
        ),
        (["--teacher", "nobody"], "classifier must be one of"),
        (["--negatives", "nowhere"], "--negatives nowhere: there is no such path"),
        (["--negatives", "empty.json"], "empty.json: not a COCO file with images"),
    ],
)
def test_invalid_arguments_are_reported_before_the_data_is_read(
    words, tmp_path, capsys, monkeypatch, knobs, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("{}")
    assert main([*words, *knobs]) == 1
    output = capsys.readouterr()
    (line,) = output.err.strip().splitlines()
    assert message in line
    assert output.out == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "elsewhere"},
        {"ignore_boxes": np.array([[1, 1, 9, 9]], np.float32)},
        {"boxes": np.array([[1, 1, 9, 9]], np.float32)},
    ],
)
def test_the_packed_scenes_depend_on_every_part_of_an_example(changes):
    from maskdet.cli.train_onepass import _compute_fingerprint
    from maskdet.training.onepass.recipe import OnePassRecipe

    args = SimpleNamespace(detector="none", teacher=None, detection_teacher=None)
    boxes = np.array([[10, 10, 40, 40]], np.float32)
    example = Example(Path("a.png"), boxes, (CLASSES[0],), "town")
    first, second = (
        _compute_fingerprint(args, SimpleNamespace(train=[item]), OnePassRecipe())
        for item in (example, dataclasses.replace(example, **changes))
    )
    assert first != second


def test_an_unknown_source_is_reported(words, capsys):
    assert main([*words, "--loose", "twon"]) == 0
    assert "--loose twon: no images of this source; there are" in (
        capsys.readouterr().err
    )


def test_missing_weights_are_reported_before_the_data_is_read(capsys):
    words = ["train", "onepass", "--data", "none.json", "--weights", "none.onnx"]
    assert main(words) == 1
    assert "--weights none.onnx: there is no such file" in capsys.readouterr().err
