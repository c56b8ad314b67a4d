"""Exported classifiers: predictions in every weight format, files, facts and card."""

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

FLOAT32_ACCURACY = {"a": (0.9, 0.8), "b": (0.7, 0.7)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train a small network on eight crops and save the files of an export."""
    from maskdet.training.classifier import fit as module
    from maskdet.training.classifier.crops import save_crops
    from maskdet.training.classifier.fit import fit_classifier

    folder = tmp_path_factory.mktemp("run")
    recipe = replace(TINY_RECIPE, stages=(Stage(2, "adam", 0.05, 0),))
    metadata = {"command": "maskdet train ...", "data": ["eight"], "crops": 8}
    metadata["class_weights"] = [1.0, 1.0, 1.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "build_classifier", build_conv_network)
        fit_classifier(make_training_data(30), folder, recipe, metadata=metadata)
    for name in ("validation", "calibration", "test"):
        save_crops(make_crops(), folder / f"{name}.npz")
    return folder


@pytest.fixture(scope="module")
def exported(run):
    from maskdet.training.classifier import export as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "build_classifier", build_conv_network)
        return module.export_classifier(run, "mine")


def test_every_weight_format_predicts_as_keras(exported):
    from maskdet.classifier import MaskClassifier
    from maskdet.training.classifier.fit import predict_probabilities

    crops = make_crops()
    keras_probs = predict_probabilities(exported.model, crops.images)
    assert keras_probs.argmax(axis=1).tolist() == crops.labels.tolist()
    tolerances = {"float32": 1e-4, "float16": 0.02, "int8": 0.1}
    for name, version in exported.versions.items():
        probs = MaskClassifier(version.path).predict_crops(crops.images)
        np.testing.assert_allclose(probs, keras_probs, atol=tolerances[name])
        assert version.difference == pytest.approx(np.abs(probs - keras_probs).max())
        assert version.n_changed == 0
        assert version.one_face_ms > 0
    assert list(exported.versions) == ["float32", "float16", "int8"]


def test_int8_computes_with_8_bits(exported):
    from ai_edge_litert.interpreter import Interpreter

    path = str(exported.versions["int8"].path)
    dtypes = {tensor["dtype"] for tensor in Interpreter(path).get_tensor_details()}
    assert np.int8 in dtypes
    path = str(exported.versions["float32"].path)
    dtypes = {tensor["dtype"] for tensor in Interpreter(path).get_tensor_details()}
    assert np.int8 not in dtypes


def test_onnx_predicts_as_keras(exported, tmp_path):
    from maskdet.training.classifier.export import compute_onnx_difference, write_onnx
    from maskdet.training.classifier.fit import predict_probabilities

    write_onnx(exported.model, tmp_path / "mine.onnx")
    images = make_crops().images
    keras_probs = predict_probabilities(exported.model, images)
    assert compute_onnx_difference(tmp_path / "mine.onnx", images, keras_probs) < 1e-3
    wrong = compute_onnx_difference(
        tmp_path / "mine.onnx", images, keras_probs[:, ::-1]
    )
    assert wrong > 0.5  # the comparison detects a difference


def test_the_temperature_is_folded_into_the_logits():
    from maskdet.metrics.calibration import apply_temperature
    from maskdet.training.classifier.fit import predict_probabilities
    from maskdet.training.export import fold_temperature

    model = build_tiny_network(TINY_RECIPE)
    model.get_layer("probs").set_weights([np.eye(3) * 4, np.array([0.1, 0, -0.2])])
    before = predict_probabilities(model, make_crops().images)
    fold_temperature(model, ["probs"], 2.5)
    after = predict_probabilities(model, make_crops().images)
    np.testing.assert_allclose(after, apply_temperature(before, 2.5), atol=1e-5)
    assert np.abs(after - before).max() > 0.05


def make_version(name, accuracies, four_ms):
    from maskdet.training.classifier.export import ConvertedClassifier
    from maskdet.training.classifier.validation import ClassifierMetrics

    results = {
        source: ClassifierMetrics(10, binary, binary, binary, balanced)
        for source, (binary, balanced) in accuracies.items()
    }
    return ConvertedClassifier(
        path=name,
        n_bytes=1,
        sha256="",
        difference=0.0,
        metrics=results,
        n_changed=0,
        one_face_ms=1.0,
        four_faces_ms=four_ms,
    )


@pytest.mark.parametrize(
    ("float16", "int8", "expected"),
    [
        (FLOAT32_ACCURACY, FLOAT32_ACCURACY, "int8"),
        (FLOAT32_ACCURACY, {"a": (0.9, 0.8), "b": (0.69, 0.7)}, "float16"),
        (FLOAT32_ACCURACY, {"a": (0.9, 0.78), "b": (0.7, 0.7)}, "float16"),
        (
            FLOAT32_ACCURACY,
            {"a": (0.9, 0.795), "b": (0.7, 0.7)},
            "int8",
        ),  # less than one face
        ({"a": (0.89, 0.8), "b": (0.7, 0.7)}, {"a": (0, 0), "b": (1, 1)}, "float32"),
    ],
)
def test_the_fastest_version_that_is_as_accurate_is_selected(float16, int8, expected):
    from maskdet.training.classifier.export import select_fastest_version

    versions = {
        "float32": make_version("a", FLOAT32_ACCURACY, 3.0),
        "float16": make_version("b", float16, 2.0),
        "int8": make_version("c", int8, 1.0),
    }
    assert select_fastest_version(versions) == expected


def test_a_small_version_is_preferred_to_a_faster_large_one():
    from maskdet.training.classifier.export import select_fastest_version
    from maskdet.training.export import SMALL_BYTES

    large = dataclasses.replace(
        make_version("a", FLOAT32_ACCURACY, 1.0), n_bytes=SMALL_BYTES + 1
    )
    small = dataclasses.replace(
        make_version("b", FLOAT32_ACCURACY, 2.0), n_bytes=SMALL_BYTES
    )
    assert select_fastest_version({"float32": large, "float16": small}) == "float16"


def test_an_export_can_be_read_as_a_training_run(exported, run, tmp_path):
    from maskdet.classifier import load_classifier
    from maskdet.evaluation.training_runs import read_training_run
    from maskdet.metrics.classification import Predictions
    from maskdet.training.classifier.export import write_classifier_export

    crops = make_crops()
    ones = np.ones(8, np.float32)
    probs = np.eye(3, dtype=np.float32)[crops.labels]
    predictions = Predictions(
        crops.labels, probs, ones * 40, ones * 90, ones, crops.sources
    )
    paths = write_classifier_export(
        exported, tmp_path, {"faces-test": predictions}, "maskdet export it"
    )
    assert all(path.is_file() for path in paths)
    exported_run = read_training_run("mine", tmp_path / "runs")
    assert exported_run.facts["file"] == "mine.tflite"
    assert exported_run.facts["bytes"] == (tmp_path / "mine.tflite").stat().st_size
    assert exported_run.facts["sha256"] == exported.selected.sha256
    assert exported_run.facts["labels"] == ["mask", "no_mask", "incorrect"]
    assert exported_run.facts["recipe"]["command"] == "maskdet train ..."
    assert set(exported_run.facts["versions"]) == {"float32", "float16", "int8"}
    assert [row["epoch"] for row in exported_run.log] == [1, 2]
    assert len(exported_run.predictions["faces-test"]) == 8
    for words in (
        "maskdet export it",
        exported.selected.sha256,
        "| images of one face, test split | 8 | 1.000",
        "| even | 4 | 1.000",
        "Test split, ground-truth boxes:",
        "2 epochs of all layers, adam at 0.05.",
    ):
        assert words in exported_run.card
    from_models = load_classifier(str(tmp_path / "mine.tflite"))
    from_run = load_classifier(str(run / "float32.tflite"))
    assert (from_models.context, from_run.context) == (1.0, 1.0)


def test_a_file_that_is_too_large_is_not_shipped(exported, tmp_path, monkeypatch):
    from maskdet.training.classifier import export as module

    monkeypatch.setattr(module, "MAX_BYTES", 10)
    (tmp_path / "mine.tflite").write_bytes(b"of an older export")
    module.write_classifier_export(exported, tmp_path, {}, "x")
    assert not (tmp_path / "mine.tflite").exists()
    facts = json.loads((tmp_path / "runs" / "mine" / "facts.json").read_text())
    assert facts["file"] is None
    assert facts["bytes"] > 10
    card = (tmp_path / "runs" / "mine" / "card.md").read_text()
    assert "not shipped" in card


def test_the_command_exports_and_evaluates(run, tmp_path, monkeypatch, capsys):
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
    output = capsys.readouterr().out
    assert "tutorial.onnx, maximum difference" in output
    assert "--pin writes tutorial, sha256 " in output
    exported_run = read_training_run("tutorial", tmp_path / "models" / "runs")
    assert len(exported_run.predictions["faces-test"]) == 8
    assert f"maskdet export {run}" in exported_run.card
    report = json.loads((run / "report" / "report.json").read_text())
    assert report["sets"]["faces-test"]["n"] == 8
    assert (run / "report" / "learning-loss.svg").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "is not a training run"),
        (["nowhere", "--faces", "no.csv"], "no.csv: there is no such file"),
    ],
)
def test_export_reports_missing_inputs_in_one_line(words, message, capsys):
    from maskdet.cli import main

    assert main(["export", *words]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_scenes_without_faces_and_an_unfinished_run_are_rejected(tmp_path, capsys):
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


def test_a_run_resumed_with_another_backend_records_both(tmp_path):
    from maskdet.training.classifier.recipes import read_recipe
    from maskdet.training.run_log import write_recipe

    write_recipe(tmp_path, TINY_RECIPE, {"backends": ["torch"]}, n_done=0)
    for _ in range(2):
        write_recipe(tmp_path, TINY_RECIPE, {"backends": ["tensorflow"]}, n_done=1)
    assert read_recipe(tmp_path)[1]["backends"] == ["torch", "tensorflow"]


def test_keys_of_earlier_versions_are_read_under_their_current_names(tmp_path):
    from maskdet.training.classifier.recipes import read_recipe
    from maskdet.training.run_log import write_recipe

    write_recipe(
        tmp_path, TINY_RECIPE, {"finder": "yunet", "negative_pictures": 3}, n_done=0
    )
    metadata = read_recipe(tmp_path)[1]
    assert (metadata["detector"], metadata["negative_images"]) == ("yunet", 3)
    with pytest.raises(ValueError, match="began with detector"):
        write_recipe(tmp_path, TINY_RECIPE, {"detector": "haar"}, n_done=1)
