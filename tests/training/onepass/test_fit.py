"""Training of a small single-stage network: logs, resuming, Ctrl-C."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest

from tests.training.onepass.fakes import build_stand_in_network, make_packed_image

pytestmark = pytest.mark.slow

SCENES = [
    make_packed_image([[60, 40, 100, 90]], [0]),
    make_packed_image([[10, 10, 40, 50], [90, 50, 130, 100]], [1, 2]),
]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Replace the real network and samples with small ones."""
    package = "maskdet.training.onepass"
    monkeypatch.setattr(f"{package}.fit.build_onepass_network", build_stand_in_network)
    monkeypatch.setattr(f"{package}.fit.SCALINGS", {64: None, 32: None})
    monkeypatch.setattr(f"{package}.batches.SAMPLE_SIDES_PX", {64: 1.0})


@pytest.fixture
def training_data():
    from maskdet.training.onepass.data import PackedImages
    from maskdet.training.onepass.fit import OnePassData

    other = dataclasses.replace(SCENES[1], source="other")
    return OnePassData(PackedImages.pack(SCENES), [SCENES[0], other])


@pytest.fixture
def recipe():
    from maskdet.training.onepass.recipe import OnePassRecipe

    return OnePassRecipe(epochs=2, steps=2, batch_size=2, average_decay=0.5)


def stop_in_epoch(monkeypatch, epoch_to_stop):
    """Simulate Ctrl-C at the beginning of an epoch."""
    from maskdet.training.onepass.batches import OnePassSampler

    original = OnePassSampler.iter_batches

    def epoch(self, epoch, steps):
        if epoch == epoch_to_stop:
            raise KeyboardInterrupt
        return original(self, epoch, steps)

    monkeypatch.setattr(OnePassSampler, "iter_batches", epoch)


def read_rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_resumed_training_gives_the_result_of_an_uninterrupted_one(
    tmp_path, training_data, recipe, monkeypatch, request
):
    from maskdet.training.onepass.fit import fit_onepass

    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    results = fit_onepass(training_data, whole, recipe)
    assert list(results) == ["town 64", "town 32", "other 64", "other 32"]
    request.getfixturevalue("eager_tensorflow")  # graph and eager mode agree
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 1)
        fit_onepass(training_data, interrupted, recipe)
    assert [row["epoch"] for row in read_rows(interrupted)] == ["1"]
    assert (interrupted / "best.weights.h5").is_file()
    resumed = fit_onepass(training_data, interrupted, recipe, resume=True)
    assert [row["epoch"] for row in read_rows(interrupted)] == ["1", "2"]
    assert str(resumed) == str(results)
    with np.load(whole / "last.npz") as a, np.load(interrupted / "last.npz") as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("eager_tensorflow")
def test_training_changes_the_weights_and_writes_its_logs(
    tmp_path, training_data, recipe
):
    from maskdet.training.onepass.fit import fit_onepass

    fit_onepass(training_data, tmp_path, recipe)
    first, second = read_rows(tmp_path)
    assert {"stage", "loss", "loss_mask", "val_faces", "took_s"} <= set(first)
    parts = [float(first[f"loss_{name}"]) for name in ("cls", "obj", "box", "mask")]
    assert float(first["loss"]) == pytest.approx(sum(parts), abs=1e-4)
    assert float(second["learning_rate"]) < float(first["learning_rate"])
    assert len(json.loads((tmp_path / "log.json").read_text())) == 2
    with np.load(tmp_path / "last.npz") as state:
        changes = [
            np.abs(state[f"model_{index}"] - state[f"average_{index}"]).max()
            for index in range(sum(name.startswith("model_") for name in state.files))
        ]
    assert max(changes) > 0


def test_an_immediate_stop_leaves_a_usable_network(
    tmp_path, training_data, recipe, monkeypatch
):
    from maskdet.training.onepass.fit import fit_onepass

    stop_in_epoch(monkeypatch, 0)
    fit_onepass(training_data, tmp_path, recipe)
    build_stand_in_network().load_weights(tmp_path / "best.weights.h5")
    assert not (tmp_path / "log.csv").exists()


@pytest.mark.usefixtures("eager_tensorflow")
def test_validation_without_faces_leaves_a_usable_network(
    tmp_path, training_data, recipe
):
    from maskdet.training.onepass.fit import fit_onepass

    without_faces = dataclasses.replace(
        training_data, validation=[make_packed_image([])]
    )
    fit_onepass(without_faces, tmp_path, dataclasses.replace(recipe, epochs=1, steps=1))
    assert (tmp_path / "best.weights.h5").is_file()


@pytest.mark.usefixtures("eager_tensorflow")
def test_training_starts_from_the_best_weights_of_another_run(
    tmp_path, training_data, recipe, monkeypatch
):
    from maskdet.training.onepass.fit import fit_onepass
    from maskdet.training.run_log import BEST_FILE

    first, second = tmp_path / "first", tmp_path / "second"
    fit_onepass(training_data, first, recipe)
    stop_in_epoch(monkeypatch, 0)
    fit_onepass(training_data, second, recipe, first / BEST_FILE)
    expected, actual = build_stand_in_network(), build_stand_in_network()
    expected.load_weights(first / BEST_FILE)
    actual.load_weights(second / BEST_FILE)
    for expected_array, actual_array in zip(
        expected.get_weights(), actual.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(expected_array, actual_array)


def test_weights_of_another_network_are_rejected(tmp_path, training_data, recipe):
    from maskdet.training.onepass.fit import fit_onepass

    (tmp_path / "other.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="weights do not match this network"):
        fit_onepass(
            training_data, tmp_path / "run", recipe, tmp_path / "other.weights.h5"
        )


@pytest.mark.usefixtures("eager_tensorflow")
def test_negatives_are_mined_and_evaluated(
    tmp_path, training_data, recipe, monkeypatch, caplog
):
    from maskdet.training.onepass.data import NegativeImages
    from maskdet.training.onepass.fit import fit_onepass

    caplog.set_level("INFO", "maskdet")
    negatives = NegativeImages(
        [make_packed_image([]), make_packed_image([])], [make_packed_image([])]
    )
    with_negatives = dataclasses.replace(training_data, negatives=negatives)
    fit_onepass(
        with_negatives,
        tmp_path,
        dataclasses.replace(recipe, epochs=3, steps=1, mined_every=2),
    )
    assert caplog.text.count("training images without a face") == 2
    for row in read_rows(tmp_path):
        assert (
            0
            <= float(row["val_false_positives_0.7"])
            <= float(row["val_false_positives_0.5"])
            <= 1
        )


def test_resuming_without_a_run_is_rejected(tmp_path, training_data, recipe):
    from maskdet.training.onepass.fit import fit_onepass

    with pytest.raises(FileNotFoundError, match="train without --resume"):
        fit_onepass(training_data, tmp_path, recipe, resume=True)


def test_weights_can_have_a_lower_learning_rate():
    import keras

    from maskdet.training.onepass.fit import DiscriminativeAdamW

    slow, fast = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer = DiscriminativeAdamW(
        0.1, slow=[True, False], slow_rate=0.25, weight_decay=0.0
    )
    gradient = keras.ops.ones((1,))
    optimizer.apply([gradient, gradient], [slow, fast])
    changes = [1 - float(variable.value[0]) for variable in (slow, fast)]
    assert changes == pytest.approx([0.025, 0.1], rel=1e-3)


def test_epoch_validation_uses_evenly_spaced_scenes():
    from maskdet.training.onepass.data import PackedImages
    from maskdet.training.onepass.fit import OnePassData

    scenes = [make_packed_image([[10, 10, 40, 40]]) for _ in range(9)]
    selected = OnePassData(
        PackedImages.pack(scenes), scenes, n_epoch_validation=3
    ).select_for_epochs(scenes)
    assert [scenes.index(scene) for scene in selected] == [0, 4, 8]
