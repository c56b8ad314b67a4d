"""What an export gives is what was trained: in every precision, with honest facts."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest

from maskdet.training.classifier.recipes import Stage
from tests.training.classifier.fakes import (
    TINY_RECIPE,
    build_conv_network,
    build_tiny_network,
    make_crops,
    make_training_data,
    write_class_folders,
)

pytestmark = pytest.mark.slow

FULL = {"a": (0.9, 0.8), "b": (0.7, 0.7)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train a small network on eight crops and leave what an export needs."""
    from maskdet.training.classifier import fit as module
    from maskdet.training.classifier.crops import save_crops
    from maskdet.training.classifier.fit import TrainingStart, fit_classifier

    folder = tmp_path_factory.mktemp("run")
    recipe = replace(TINY_RECIPE, stages=(Stage(2, "adam", 0.05, 0),))
    about = {"command": "maskdet train ...", "data": ["eight"], "crops": 8}
    about["class_weights"] = [1.0, 1.0, 1.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "build_classifier", build_conv_network)
        fit_classifier(
            make_training_data(30), folder, recipe, TrainingStart(metadata=about)
        )
    for name in ("validation", "calibration", "test"):
        save_crops(make_crops(), folder / f"{name}.npz")
    return folder


@pytest.fixture(scope="module")
def exported(run):
    from maskdet.training.classifier import export as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "build_classifier", build_conv_network)
        return module.export_classifier(run, "mine")


def test_every_precision_answers_as_keras_does(exported):
    from maskdet.classifier import MaskClassifier
    from maskdet.training.classifier.fit import predict_probabilities

    eight = make_crops()
    truth = predict_probabilities(exported.model, eight.images)
    assert truth.argmax(axis=1).tolist() == eight.labels.tolist()
    allowed = {"float32": 1e-4, "float16": 0.02, "int8": 0.1}
    for name, version in exported.versions.items():
        probs = MaskClassifier(version.path).predict_crops(eight.images)
        np.testing.assert_allclose(probs, truth, atol=allowed[name])
        assert version.difference == pytest.approx(np.abs(probs - truth).max())
        assert version.changed == 0
        assert version.one_face_ms > 0
    assert list(exported.versions) == ["float32", "float16", "int8"]


def test_int8_computes_with_8_bits(exported):
    from ai_edge_litert.interpreter import Interpreter

    path = str(exported.versions["int8"].path)
    kinds = {one["dtype"] for one in Interpreter(path).get_tensor_details()}
    assert np.int8 in kinds
    path = str(exported.versions["float32"].path)
    kinds = {one["dtype"] for one in Interpreter(path).get_tensor_details()}
    assert np.int8 not in kinds


def test_onnx_answers_as_keras_does(exported, tmp_path):
    from maskdet.training.classifier.export import compute_onnx_difference, write_onnx
    from maskdet.training.classifier.fit import predict_probabilities

    write_onnx(exported.model, tmp_path / "mine.onnx")
    images = make_crops().images
    truth = predict_probabilities(exported.model, images)
    assert compute_onnx_difference(tmp_path / "mine.onnx", images, truth) < 1e-3
    wrong = compute_onnx_difference(tmp_path / "mine.onnx", images, truth[:, ::-1])
    assert wrong > 0.5  # the comparison can fail


def test_the_temperature_is_folded_into_the_logits():
    from maskdet.metrics.calibration import apply_temperature
    from maskdet.training.classifier.export import fold_classifier_temperature
    from maskdet.training.classifier.fit import predict_probabilities

    model = build_tiny_network(TINY_RECIPE)
    model.get_layer("probs").set_weights([np.eye(3) * 4, np.array([0.1, 0, -0.2])])
    before = predict_probabilities(model, make_crops().images)
    fold_classifier_temperature(model, 2.5)
    after = predict_probabilities(model, make_crops().images)
    np.testing.assert_allclose(after, apply_temperature(before, 2.5), atol=1e-5)
    assert np.abs(after - before).max() > 0.05


def version(name, shares, four_ms):
    from maskdet.training.classifier.export import ConvertedClassifier
    from maskdet.training.classifier.validation import ClassifierMetrics

    results = {
        source: ClassifierMetrics(10, two, two, two, three)
        for source, (two, three) in shares.items()
    }
    return ConvertedClassifier(name, 1, "", 0.0, 0, 1.0, four_ms, results)


@pytest.mark.parametrize(
    ("half", "eight", "wanted"),
    [
        (FULL, FULL, "int8"),
        (FULL, {"a": (0.9, 0.8), "b": (0.69, 0.7)}, "float16"),
        (FULL, {"a": (0.9, 0.78), "b": (0.7, 0.7)}, "float16"),
        (FULL, {"a": (0.9, 0.795), "b": (0.7, 0.7)}, "int8"),  # less than one face
        ({"a": (0.89, 0.8), "b": (0.7, 0.7)}, {"a": (0, 0), "b": (1, 1)}, "float32"),
    ],
)
def test_the_fastest_that_is_as_often_right_is_used(half, eight, wanted):
    from maskdet.training.classifier.export import select_fastest_version

    versions = {
        "float32": version("a", FULL, 3.0),
        "float16": version("b", half, 2.0),
        "int8": version("c", eight, 1.0),
    }
    assert select_fastest_version(versions) == wanted


def test_a_light_version_goes_before_a_faster_heavy_one():
    from maskdet.training.classifier.export import SMALL_BYTES, select_fastest_version

    heavy = dataclasses.replace(version("a", FULL, 1.0), n_bytes=SMALL_BYTES + 1)
    light = dataclasses.replace(version("b", FULL, 2.0), n_bytes=SMALL_BYTES)
    assert select_fastest_version({"float32": heavy, "float16": light}) == "float16"


def test_what_is_written_can_be_read_as_a_run(exported, run, tmp_path):
    from maskdet.classifier import load_classifier
    from maskdet.evaluation.training_runs import read_training_run
    from maskdet.metrics.classification import Predictions
    from maskdet.training.classifier.export import write_classifier_export

    eight = make_crops()
    ones = np.ones(8, np.float32)
    probs = np.eye(3, dtype=np.float32)[eight.labels]
    answers = Predictions(
        eight.labels, probs, ones * 40, ones * 90, ones, eight.sources
    )
    paths = write_classifier_export(
        exported, tmp_path, {"faces-test": answers}, "maskdet export it"
    )
    assert all(path.is_file() for path in paths)
    back = read_training_run("mine", tmp_path / "runs")
    assert back.facts["file"] == "mine.tflite"
    assert back.facts["bytes"] == (tmp_path / "mine.tflite").stat().st_size
    assert back.facts["sha256"] == exported.chosen.sha256
    assert back.facts["labels"] == ["mask", "no_mask", "incorrect"]
    assert back.facts["recipe"]["command"] == "maskdet train ..."
    assert set(back.facts["versions"]) == {"float32", "float16", "int8"}
    assert [row["epoch"] for row in back.log] == [1, 2]
    assert len(back.predictions["faces-test"]) == 8
    for words in (
        "maskdet export it",
        exported.chosen.sha256,
        "| images of one face, test split | 8 | 1.000",
        "| even | 4 | 1.000",
        "held back",
        "2 epochs of all layers, adam at 0.05.",
    ):
        assert words in back.card
    mine = load_classifier(str(tmp_path / "mine.tflite"))
    beside = load_classifier(str(run / "float32.tflite"))
    assert (mine.context, beside.context) == (1.0, 1.0)


def test_a_file_too_large_does_not_ship(exported, tmp_path, monkeypatch):
    from maskdet.training.classifier import export as module

    monkeypatch.setattr(module, "MAX_BYTES", 10)
    (tmp_path / "mine.tflite").write_bytes(b"of an older export")
    module.write_classifier_export(exported, tmp_path, {}, "x")
    assert not (tmp_path / "mine.tflite").exists()
    facts = json.loads((tmp_path / "runs" / "mine" / "facts.json").read_text())
    assert facts["file"] is None
    assert facts["bytes"] > 10
    card = (tmp_path / "runs" / "mine" / "card.md").read_text()
    assert "does not ship" in card


def test_the_command_exports_and_measures(run, tmp_path, monkeypatch, capsys):
    from maskdet.cli import main
    from maskdet.evaluation.training_runs import read_training_run

    monkeypatch.setattr(
        "maskdet.training.classifier.export.build_classifier", build_conv_network
    )
    data = write_class_folders(tmp_path / "faces", ["test"])
    names = sorted(data.rglob("*.png"))
    rows = [f"{name.relative_to(data)},{name.parent.name},test" for name in names]
    index = data / "index.csv"
    index.write_text("\n".join(["path,label,split", *rows]))
    words = ["export", str(run), "--out", str(tmp_path / "models"), "--onnx"]
    assert main([*words, "--faces", str(index), "--detector", "haar"]) == 0
    said = capsys.readouterr().out
    assert "tutorial.onnx, at most" in said
    assert "--pin writes tutorial, sha256 " in said
    back = read_training_run("tutorial", tmp_path / "models" / "runs")
    assert len(back.predictions["faces-test"]) == 8
    assert f"maskdet export {run}" in back.card
    report = json.loads((run / "report" / "report.json").read_text())
    assert report["sets"]["faces-test"]["n"] == 8
    assert (run / "report" / "learning-loss.svg").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "is no run"),
        (["nowhere", "--faces", "no.csv"], "no.csv: there is no such file"),
    ],
)
def test_export_says_in_one_line_what_is_missing(words, says, capsys):
    from maskdet.cli import main

    assert main(["export", *words]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert says in lines[0]


def test_scenes_without_faces_and_an_unfinished_run_are_refused(tmp_path, capsys):
    from maskdet.cli import main
    from maskdet.training.run_log import write_recipe

    (tmp_path / "a.json").write_text("{}")
    scenes = ["--scenes", str(tmp_path / "a.json")]
    assert main(["export", str(tmp_path), *scenes]) == 1
    assert "--scenes needs --faces" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "--last"]) == 1
    assert "--last is for the single-stage network" in capsys.readouterr().err
    write_recipe(tmp_path, TINY_RECIPE, {}, n_done=0)
    assert main(["export", str(tmp_path)]) == 1
    assert "train first" in capsys.readouterr().err


def test_a_run_that_goes_on_with_another_backend_names_both(tmp_path):
    from maskdet.training.run_log import read_recipe, write_recipe

    write_recipe(tmp_path, TINY_RECIPE, {"backends": ["torch"]}, n_done=0)
    for _ in range(2):
        write_recipe(tmp_path, TINY_RECIPE, {"backends": ["tensorflow"]}, n_done=1)
    assert read_recipe(tmp_path)[1]["backends"] == ["torch", "tensorflow"]
