"""The training itself, with a network of a few numbers: logs, resuming, Ctrl-C."""

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
    """Put a small network and small views in the place of the real ones."""
    room = "maskdet.training.onepass"
    monkeypatch.setattr(f"{room}.fit.build_onepass", build_stand_in_network)
    monkeypatch.setattr(f"{room}.fit.VALIDATION_PX", (64, 32))
    monkeypatch.setattr(f"{room}.sampling.SIDES_PX", {64: 1.0})


@pytest.fixture
def material():
    from maskdet.training.onepass.data import PackedImages
    from maskdet.training.onepass.fit import OnePassData

    other = dataclasses.replace(SCENES[1], source="other")
    return OnePassData(PackedImages.pack(SCENES), [SCENES[0], other])


@pytest.fixture
def recipe():
    from maskdet.training.onepass.recipe import OnePassRecipe

    return OnePassRecipe(epochs=2, steps=2, batch_size=2, average_decay=0.5)


def stop_in(monkeypatch, epoch_to_stop):
    """Press Ctrl-C at the beginning of an epoch."""
    from maskdet.training.onepass.batches import OnePassSampler

    original = OnePassSampler.iter_batches

    def epoch(self, epoch, steps):
        if epoch == epoch_to_stop:
            raise KeyboardInterrupt
        return original(self, epoch, steps)

    monkeypatch.setattr(OnePassSampler, "iter_batches", epoch)


def rows_of(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_stopped_and_resumed_it_ends_where_it_would_have_ended(
    tmp_path, material, recipe, monkeypatch, request
):
    from maskdet.training.onepass.fit import fit_onepass

    whole, parted = tmp_path / "whole", tmp_path / "parted"
    results = fit_onepass(material, whole, recipe)
    assert list(results) == ["town 64", "town 32", "other 64", "other 32"]
    request.getfixturevalue("eagerly")  # and the graph gives what single steps give
    with monkeypatch.context() as patch:
        stop_in(patch, 1)
        fit_onepass(material, parted, recipe)
    assert [row["epoch"] for row in rows_of(parted)] == ["1"]
    assert (parted / "best.weights.h5").is_file()
    resumed = fit_onepass(material, parted, recipe, resume=True)
    assert [row["epoch"] for row in rows_of(parted)] == ["1", "2"]
    assert str(resumed) == str(results)
    with np.load(whole / "last.npz") as a, np.load(parted / "last.npz") as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("eager_tensorflow")
def test_it_moves_the_weights_and_writes_what_the_house_reads(
    tmp_path, material, recipe
):
    from maskdet.training.onepass.fit import fit_onepass

    fit_onepass(material, tmp_path, recipe)
    first, second = rows_of(tmp_path)
    assert {"stage", "loss", "loss_mask", "val_faces", "took_s"} <= set(first)
    parts = [float(first[f"loss_{name}"]) for name in ("cls", "obj", "box", "mask")]
    assert float(first["loss"]) == pytest.approx(sum(parts), abs=1e-4)
    assert float(second["learning_rate"]) < float(first["learning_rate"])
    assert len(json.loads((tmp_path / "log.json").read_text())) == 2
    with np.load(tmp_path / "last.npz") as state:
        moved = [
            np.abs(state[f"model_{index}"] - state[f"average_{index}"]).max()
            for index in range(sum(name.startswith("model_") for name in state.files))
        ]
    assert max(moved) > 0


def test_stopped_at_once_it_leaves_a_usable_network(
    tmp_path, material, recipe, monkeypatch
):
    from maskdet.training.onepass.fit import fit_onepass

    stop_in(monkeypatch, 0)
    fit_onepass(material, tmp_path, recipe)
    build_stand_in_network().load_weights(tmp_path / "best.weights.h5")
    assert not (tmp_path / "log.csv").exists()


@pytest.mark.usefixtures("eager_tensorflow")
def test_validation_without_faces_still_leaves_a_network(tmp_path, material, recipe):
    from maskdet.training.onepass.fit import fit_onepass

    bare = dataclasses.replace(material, validation=[make_packed_image([])])
    fit_onepass(bare, tmp_path, dataclasses.replace(recipe, epochs=1, steps=1))
    assert (tmp_path / "best.weights.h5").is_file()


@pytest.mark.usefixtures("eager_tensorflow")
def test_it_can_start_from_the_best_weights_of_another_run(
    tmp_path, material, recipe, monkeypatch
):
    from maskdet.training.onepass.fit import fit_onepass
    from maskdet.training.run_log import BEST_FILE

    first, second = tmp_path / "first", tmp_path / "second"
    fit_onepass(material, first, recipe)
    stop_in(monkeypatch, 0)
    fit_onepass(material, second, recipe, first / BEST_FILE)
    wanted, got = build_stand_in_network(), build_stand_in_network()
    wanted.load_weights(first / BEST_FILE)
    got.load_weights(second / BEST_FILE)
    for one, other in zip(wanted.get_weights(), got.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_of_something_else_are_refused(tmp_path, material, recipe):
    from maskdet.training.onepass.fit import fit_onepass

    (tmp_path / "other.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="no weights of this network"):
        fit_onepass(material, tmp_path / "run", recipe, tmp_path / "other.weights.h5")


@pytest.mark.usefixtures("eager_tensorflow")
def test_negatives_are_mined_learnt_and_counted(
    tmp_path, material, recipe, monkeypatch, caplog
):
    from maskdet.training.onepass.data import NegativeImages
    from maskdet.training.onepass.fit import fit_onepass

    caplog.set_level("INFO", "maskdet")
    walls = NegativeImages(
        [make_packed_image([]), make_packed_image([])], [make_packed_image([])]
    )
    mixed = dataclasses.replace(material, negatives=walls)
    fit_onepass(
        mixed, tmp_path, dataclasses.replace(recipe, epochs=3, steps=1, mined_every=2)
    )
    assert caplog.text.count("training images without a face") == 2
    for row in rows_of(tmp_path):
        assert (
            0
            <= float(row["val_false_positives_0.7"])
            <= float(row["val_false_positives_0.5"])
            <= 1
        )


def test_nothing_to_resume_is_said(tmp_path, material, recipe):
    from maskdet.training.onepass.fit import fit_onepass

    with pytest.raises(FileNotFoundError, match="train without --resume"):
        fit_onepass(material, tmp_path, recipe, resume=True)


def test_yunets_layers_learn_more_slowly():
    import keras

    from maskdet.training.onepass.fit import DiscriminativeAdamW

    slow, quick = keras.Variable([1.0]), keras.Variable([1.0])
    rates = DiscriminativeAdamW(
        0.1, slow=[True, False], slow_rate=0.25, weight_decay=0.0
    )
    one = keras.ops.ones((1,))
    rates.apply([one, one], [slow, quick])
    moved = [1 - float(variable.value[0]) for variable in (slow, quick)]
    assert moved == pytest.approx([0.025, 0.1], rel=1e-3)


def test_an_epoch_is_judged_by_scenes_spread_over_all():
    from maskdet.training.onepass.data import PackedImages
    from maskdet.training.onepass.fit import OnePassData

    places = [make_packed_image([[10, 10, 40, 40]]) for _ in range(9)]
    some = OnePassData(
        PackedImages.pack(places), places, n_epoch_validation=3
    ).select_epoch_validation()
    assert [places.index(one) for one in some] == [0, 4, 8]
