"""The training itself: it learns, goes on where it stopped, exports what it made."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from maskdet.datasets import Example
from maskdet.training.samples import save_samples
from maskdet.types import Label
from tests.training_fakes import samples

EIGHT = {
    (Label.MASK, False): 3,
    (Label.NO_MASK, False): 3,
    (Label.INCORRECT, False): 2,
}


@pytest.fixture
def tiny_network(monkeypatch):
    """Put a network of one layer in the place of MobileNetV2."""
    import keras

    def build(size_px: int, **_: object) -> keras.Model:
        pictures = keras.Input((size_px, size_px, 3))
        x = keras.layers.GlobalAveragePooling2D()(pictures / 255.0)
        return keras.Model(pictures, keras.layers.Dense(3, activation="softmax")(x))

    for room in ("fit", "export"):
        monkeypatch.setattr(f"maskdet.training.{room}.build_classifier", build)


@pytest.mark.slow
def test_learns_and_exports_with_facts_and_card(tmp_path, tiny_network):
    from maskdet.training.card import write_card
    from maskdet.training.export import export
    from maskdet.training.fit import VALIDATION_FILE, Recipe, Start, fit

    eight = samples(EIGHT)
    recipe = Recipe(size_px=32, epochs=2, steps=40, batch_size=8, learning_rate=0.1)
    save_samples(eight, tmp_path / VALIDATION_FILE)
    about = {"command": "python -m maskdet train ...", "data": ["eight"], "crops": 8}
    best = fit(eight, eight, tmp_path, recipe, Start(about=about))
    assert [result.balanced for result in best.values()] == [1, 1]
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., int(Label.MASK)] = 200
    cv2.imwrite(str(tmp_path / "red.png"), red)
    held_back = Example(tmp_path / "red.png", np.zeros((0, 4)), (Label.MASK,), "red")
    exported = export(tmp_path, tmp_path / "models", [held_back])
    assert exported.test["red"].worn == 1
    assert exported.validation == best
    assert exported.versions["float32"].difference < 1e-3
    facts = json.loads((tmp_path / "models" / "classifier.json").read_text())
    assert facts["labels"] == ["mask", "no_mask", "incorrect"]
    assert facts["sha256"] == exported.versions[exported.precision].sha256
    card = write_card(exported, tmp_path).read_text()
    assert facts["sha256"] in card
    assert "| even | 4 |" in card
    assert "| red | 1 |" in card


@pytest.mark.slow
@pytest.mark.timeout(400)  # a busy machine needs long to build the training graph
def test_the_network_overfits_eight_pictures_and_litert_agrees(tmp_path):
    import keras

    from maskdet.classifier import MaskClassifier
    from maskdet.training.export import convert
    from maskdet.training.fit import Recipe, compiled, probabilities
    from maskdet.training.sampling import network_input

    eight = samples(EIGHT)
    recipe = Recipe(
        size_px=32,
        epochs=1,
        steps=40,
        learning_rate=2e-3,
        smoothing=0,
        dropout=0,
    )
    model = compiled(recipe, None)
    body = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # so that 40 steps are enough for its statistics
    targets = np.eye(3, dtype=np.float32)[eight.labels]
    losses = []
    for _ in range(recipe.steps):
        model.reset_metrics()
        losses.append(model.train_on_batch(network_input(eight.images), targets))
    assert losses[0] > 0.8
    assert max(losses[-3:]) < 0.1
    path = tmp_path / "network.tflite"
    path.write_bytes(convert(model, half=False))
    truth = probabilities(model, eight.images)
    assert truth.argmax(axis=1).tolist() == eight.labels.tolist()
    probs = MaskClassifier(path).predict_crops(eight.images)
    np.testing.assert_allclose(probs, truth, atol=1e-3)


def stop_in_epoch(monkeypatch, number: int) -> None:
    from maskdet.training import fit as module

    train_epoch = module._train_epoch

    def stopped(*args):
        if args[3] == number:
            raise KeyboardInterrupt
        return train_epoch(*args)

    monkeypatch.setattr(module, "_train_epoch", stopped)


@pytest.mark.slow
def test_resume_ends_where_an_unbroken_training_does(
    tmp_path, monkeypatch, tiny_network
):
    from maskdet.training.fit import Recipe, Start, fit

    eight = samples(EIGHT)
    recipe = Recipe(size_px=32, epochs=3, steps=4, batch_size=8)
    fit(eight, eight, tmp_path / "unbroken", recipe)
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 2)
        fit(eight, eight, tmp_path / "broken", recipe)
    with np.load(tmp_path / "broken" / "last.npz") as state:
        assert state["epochs_done"] == 2
    fit(eight, eight, tmp_path / "broken", recipe, Start(resume=True))
    with (
        np.load(tmp_path / "broken" / "last.npz") as broken,
        np.load(tmp_path / "unbroken" / "last.npz") as unbroken,
    ):
        assert set(broken.files) == set(unbroken.files)
        for name in unbroken.files:
            np.testing.assert_allclose(broken[name], unbroken[name], atol=1e-5)
    rows = (tmp_path / "broken" / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2", "3"]


@pytest.mark.slow
def test_stopped_at_once_leaves_a_model_and_resume_needs_a_state(
    tmp_path, monkeypatch, tiny_network
):
    from maskdet.training.fit import BEST_FILE, Recipe, Start, fit

    eight = samples(EIGHT)
    recipe = Recipe(size_px=32, epochs=2, steps=1, batch_size=8)
    stop_in_epoch(monkeypatch, 0)
    fit(eight, eight, tmp_path, recipe)
    assert (tmp_path / BEST_FILE).is_file()
    with pytest.raises(FileNotFoundError, match="--resume"):
        fit(eight, eight, tmp_path, recipe, Start(resume=True))


@pytest.mark.slow
def test_settling_keeps_the_function_and_serves_training():
    import keras

    from maskdet.training.network import build_classifier, settle_normalisation

    keras.utils.set_random_seed(4)
    model = build_classifier(32)
    pictures = np.random.default_rng(2).uniform(0, 255, (32, 32, 32, 3)).astype("f4")
    before = model.predict_on_batch(pictures)
    settle_normalisation(model, [pictures])
    np.testing.assert_allclose(model.predict_on_batch(pictures), before, atol=1e-4)
    body = next(one for one in model.layers if isinstance(one, keras.Model))
    scaled = pictures / 127.5 - 1
    runs = np.asarray(body(scaled, training=False))
    trains = np.asarray(body(scaled, training=True))
    assert np.corrcoef(runs.ravel(), trains.ravel())[0, 1] > 0.99


@pytest.mark.slow
def test_a_recipe_that_cannot_train_is_refused(tmp_path):
    from maskdet.training.fit import Recipe, read_recipe
    from maskdet.training.network import build_classifier

    with pytest.raises(ValueError, match="multiple of 32, not 100"):
        Recipe(size_px=100)
    with pytest.raises(ValueError, match="epochs must be at least 1, not 0"):
        Recipe(epochs=0)
    with pytest.raises(FileNotFoundError, match="is no run"):
        read_recipe(tmp_path)
    with pytest.raises(FileNotFoundError, match="imagenet"):
        build_classifier(32, weights=tmp_path / "none.weights.h5")
