"""Exported single-stage networks: predictions, files, facts and model card."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from tests.training.onepass.fakes import build_stand_in_network, make_packed_image

pytestmark = pytest.mark.slow

PACKAGE = "maskdet.training.onepass"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Write the files of a training run, with an untrained network."""
    from maskdet.training.onepass.data import PackedImages, save_packed_images

    folder = tmp_path_factory.mktemp("run")
    build_stand_in_network().save_weights(folder / "best.weights.h5")
    metadata = {
        "network": "onepass",
        "seed": 7,
        "data": ["town"],
        "weights": "yunet.onnx",
    }
    metadata |= {"command": "maskdet train onepass", "drawn_scenes": 12}
    (folder / "recipe.json").write_text(json.dumps(metadata))
    (folder / "log.csv").write_text("epoch,loss\n1,0.5\n")
    scenes = [
        make_packed_image([[60, 40, 100, 90]], [0]),
        make_packed_image([[5, 5, 60, 70]], [1]),
    ]
    save_packed_images(
        PackedImages.pack(scenes), folder / "validation.npz", "validation"
    )
    return folder


@pytest.fixture(scope="module")
def network():
    """Build the real network."""
    import keras

    from maskdet.training.onepass.network import build_onepass_network

    keras.utils.set_random_seed(3)
    return build_onepass_network()


def noise(height, width):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)


def test_the_real_network_predicts_as_keras_at_any_size(network, tmp_path):
    from maskdet.analyzers.onepass import SingleStageNetwork
    from maskdet.training.onepass.export import convert_onepass

    path = tmp_path / "onepass.tflite"
    path.write_bytes(convert_onepass(network, "float32"))
    assert path.stat().st_size < 5_000_000
    file = SingleStageNetwork(path)
    for height, width in ((64, 96), (160, 32)):
        image = noise(height, width)
        keras_maps = network(image[None].astype(np.float32), training=False)
        for litert_map, keras_map in zip(file.forward(image), keras_maps, strict=True):
            np.testing.assert_allclose(litert_map, np.asarray(keras_map)[0], atol=1e-3)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(
        f"{PACKAGE}.export.build_onepass_network", build_stand_in_network
    )
    monkeypatch.setattr("maskdet.training.export._N_TIMED_CALLS", 2)


def test_the_command_writes_the_file_its_facts_and_its_card(
    run, tmp_path, small, capsys
):
    from maskdet.analyzers.onepass import SingleStageNetwork
    from maskdet.cli import main
    from maskdet.evaluation.training_runs import list_training_runs
    from maskdet.model_files.model_zoo import (
        MANIFEST_FILE,
        MANIFEST_NAME,
        read_manifest,
    )

    words = ["export", str(run), "--out", str(tmp_path), "--pin"]
    assert main(words) == 1
    assert f"{tmp_path / MANIFEST_NAME}: the list of" in capsys.readouterr().err
    shutil.copy(MANIFEST_FILE, tmp_path)
    assert main(words) == 0
    file, folder = tmp_path / "onepass.tflite", tmp_path / "runs-onepass" / "onepass"
    SingleStageNetwork(file)
    facts = json.loads((folder / "facts.json").read_text())
    assert facts["bytes"] == file.stat().st_size
    assert facts["labels"] == ["mask", "no_mask", "incorrect"]
    assert facts["recipe"]["seed"] == 7
    assert facts["versions"]["float32"]["difference"] < 1e-3
    assert list(facts["validation"]) == ["town 640", "town 320"]
    assert (folder / "log.csv").read_text() == "epoch,loss\n1,0.5\n"
    card = (folder / "card.md").read_text()
    for text in ("YuNet", "Apache-2.0", "yunet.onnx", facts["sha256"], "12 more"):
        assert text in card
    assert list_training_runs(tmp_path / "runs") == []
    pinned = read_manifest(tmp_path / MANIFEST_NAME)["onepass"]
    assert (pinned.sha256, pinned.n_bytes) == (facts["sha256"], facts["bytes"])
    assert f"pinned onepass in {tmp_path / MANIFEST_NAME}" in capsys.readouterr().out
    assert facts["versions"]["float16"]["difference"] < 0.05
    assert facts["versions"]["int8"]["difference"] < 0.2


def test_an_exported_run_is_a_model_of_the_user(run, tmp_path, small, monkeypatch):
    from maskdet.analyzers.pipelines import ANALYZERS, load_analyzer
    from maskdet.cli import main
    from maskdet.model_files.own_models import read_own_models

    folder = tmp_path / "models" / "mine"
    shutil.copytree(run, folder, ignore=lambda *_: ["facts.json"])
    assert main(["export", str(folder), "--out", str(tmp_path / "out")]) == 0
    monkeypatch.setenv("MASKDET_MODEL_DIR", str(tmp_path / "models"))
    own = read_own_models()
    assert own.problems == ()
    facts = own.models["mine"].facts
    assert own.models["mine"].path == folder / f"{facts['weights']}.tflite"
    assert {"mine", "mine-fast"} <= set(ANALYZERS)
    assert len(load_analyzer("mine", refine=False).analyze(noise(64, 64))) >= 0


@pytest.mark.parametrize(
    ("start", "clause"),
    [
        ("yunet.onnx", "with the weights of YuNet in `yunet.onnx`"),
        ("mine.tflite", "with the weights in `mine.tflite`"),
        ("best.weights.h5", "with the weights in `best.weights.h5`"),
        (None, ""),
    ],
)
def test_the_card_names_the_initial_weights(start, clause):
    from maskdet.training.onepass.card import _start_clause

    assert clause in _start_clause({"weights": start})
    assert bool(_start_clause({"weights": start})) == bool(clause)


def test_the_last_epoch_can_be_exported(run, tmp_path, small, capsys):
    from maskdet.analyzers.onepass import SingleStageNetwork
    from maskdet.cli import main

    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    last = [weights * 0 for weights in build_stand_in_network().get_weights()]
    arrays = {f"average_{index}": weights for index, weights in enumerate(last)}
    words = ["export", str(folder), "--last", "--out", str(tmp_path)]
    assert main(words) == 1
    assert "last.npz is missing" in capsys.readouterr().err
    np.savez(folder / "last.npz", **arrays)
    assert main(words) == 0, capsys.readouterr().err
    card = (tmp_path / "runs-onepass" / "onepass" / "card.md").read_text()
    assert "The last epoch was kept" in card
    assert f"export {folder} --last" in card
    maps = SingleStageNetwork(tmp_path / "onepass.tflite").forward(noise(64, 64))
    assert not any(feature_map.any() for feature_map in maps)
    np.savez(folder / "last.npz", average_0=np.zeros(3))
    assert main(words) == 1
    assert "weights do not match this network" in capsys.readouterr().err


def test_the_card_has_the_false_positive_rates(run, tmp_path, small):
    from maskdet.cli import main
    from maskdet.training.onepass.data import PackedImages, save_packed_images

    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    negatives = PackedImages.pack(
        [make_packed_image([]), make_packed_image([]), make_packed_image([])]
    )
    save_packed_images(negatives, folder / "negatives.npz", "held out")
    assert main(["export", str(folder), "--out", str(tmp_path)]) == 0
    written = tmp_path / "runs-onepass" / "onepass"
    facts = json.loads((written / "facts.json").read_text())
    assert list(facts["false_positives"]) == ["640", "320"]
    assert list(facts["false_positives"]["640"]) == ["0.5", "0.6", "0.7"]
    card = (written / "card.md").read_text()
    assert "on 3 held-out images without a face" in card
    assert "| Longer side | score >= 0.5 | score >= 0.6 | score >= 0.7 |" in card


def test_missing_files_and_classifier_options_are_reported(run, tmp_path, capsys):
    from maskdet.cli import main

    assert main(["export", str(run), "--onnx"]) == 1
    assert "are for classifiers" in capsys.readouterr().err
    (tmp_path / "recipe.json").write_text('{"network": "onepass"}')
    assert main(["export", str(tmp_path)]) == 1
    assert "best.weights.h5 is missing; train first" in capsys.readouterr().err


def test_the_temperature_divides_the_mask_logits_alone():
    from maskdet.training.onepass.export import fold_onepass_temperature

    model, image = build_stand_in_network(), noise(64, 64)[None].astype(np.float32)
    before = [np.asarray(feature_map) for feature_map in model(image)]
    fold_onepass_temperature(model, 2.5)
    for old, new in zip(before, model(image), strict=True):
        np.testing.assert_array_equal(np.asarray(new)[..., :6], old[..., :6])
        np.testing.assert_allclose(np.asarray(new)[..., 6:], old[..., 6:] / 2.5, 1e-4)


def make_version(faces, time_ms, n_bytes):
    from maskdet.training.onepass.export import ConvertedOnePass
    from maskdet.training.onepass.validation import OnePassMetrics

    result = OnePassMetrics(faces, 1.0, 1.0, 1.0, math.nan, 0.8, 1.0)
    return ConvertedOnePass(
        path="x",
        n_bytes=n_bytes,
        sha256="",
        difference=0.0,
        metrics={"town 640": result},
        times_ms=(time_ms, 9.0),
    )


def test_the_smallest_fast_version_that_is_as_accurate_is_selected():
    from maskdet.training.onepass.export import select_smallest_version

    float32 = make_version(0.9, 2.0, 800)
    float16, int8 = make_version(0.899, 2.1, 400), make_version(0.8, 1.0, 200)
    assert int8.list_regressions(float32) == ["town 640"]
    assert (
        select_smallest_version({"float32": float32, "float16": float16, "int8": int8})
        == "float16"
    )
    slow = dataclasses.replace(float16, times_ms=(3.0, 9.0))
    assert select_smallest_version({"float32": float32, "float16": slow}) == "float32"
    with pytest.raises(RuntimeError, match="at most 5,000,000 bytes"):
        select_smallest_version({"float32": make_version(0.9, 2.0, 6_000_000)})


def test_a_file_that_differs_from_keras_is_rejected(run, small, monkeypatch):
    from maskdet.training.onepass import export as module

    def make_differing_version(path, *_):
        return dataclasses.replace(
            make_version(0.9, 2.0, 800), path=path, difference=0.01
        )

    monkeypatch.setattr(module, "convert_onepass", lambda *_: b"")
    monkeypatch.setattr(module, "compare_onepass", make_differing_version)
    with pytest.raises(RuntimeError, match=r"float32\.tflite differs from Keras"):
        module.export_onepass(run, "onepass")


def test_the_card_of_a_single_stage_run_describes_its_epochs():
    from maskdet.training.onepass.card import _training_sentences

    log = [{"val_faces": faces, "val_mean": 0.5} for faces in (0.2, 0.9, 0.9, math.nan)]
    metadata = {"epochs": 6, "steps": 3, "batch_size": 16, "data": ["town"]}
    metadata |= {"class_counts": [3, 2, 1], "planned_before": [[2, 2]], "teacher": "me"}
    exported = SimpleNamespace(metadata=metadata, log=log, is_last_epoch=False)
    text = " ".join(_training_sentences(exported))
    for words in (
        "4 of 6 epochs of 3 batches of up to 16 samples.",
        "Training was stopped after 4 of 6 epochs.",
        "planned for 2 epochs until epoch 2;",
        "Trained on scenes from: town (3 mask, 2 no_mask, 1 incorrect).",
        "Distilled from the classifier `me`",
        "The epoch with the best validation score, 2, was kept with averaged",
    ):
        assert words in text
    without_scores = SimpleNamespace(
        metadata=metadata, log=log[3:], is_last_epoch=False
    )
    assert "The last epoch, 1, was kept" in " ".join(
        _training_sentences(without_scores)
    )


def test_the_card_selects_the_epoch_as_the_training_does():
    from maskdet.training.onepass.card import _training_sentences

    log = [
        {
            "val_faces": faces,
            "val_mean": 0.5,
            "val_false_positives_0.5": false_positive_rates,
        }
        for faces, false_positive_rates in ((0.80, 0.1), (0.84, 0.4))
    ]
    metadata = {"epochs": 2, "negatives": 0.25, "negative_images": 1200}
    text = " ".join(
        _training_sentences(
            SimpleNamespace(metadata=metadata, log=log, is_last_epoch=False)
        )
    )
    assert (
        "A fraction of 0.25 of the samples is from 1,200 images without a face." in text
    )
    assert "best validation score, 1, was kept" in text
