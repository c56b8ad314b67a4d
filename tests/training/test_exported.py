"""Exported LiteRT files as initial weights: the same network, ready for training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from maskdet.analyzers.onepass import SingleStageNetwork
from maskdet.training.classifier.network import recalibrate_network_batchnorm
from maskdet.training.initial_weights import load_litert_weights
from maskdet.training.onepass.export import convert_onepass
from maskdet.training.onepass.network import build_onepass_network

# On a busy machine the import of TensorFlow alone may take a minute or two.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained():
    """Build a network whose weights all differ from their initial values."""
    keras.utils.set_random_seed(3)
    model = build_onepass_network()
    rng = np.random.default_rng(4)
    for layer in model.layers:
        weights = [w + rng.normal(0, 0.05, w.shape) for w in layer.get_weights()]
        if isinstance(layer, keras.layers.BatchNormalization):
            weights[3] = rng.uniform(0.5, 2, weights[3].shape)
        layer.set_weights(weights)
    return model


def make_image(side=96, n=1):
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (n, side // 16, side // 16, 3), np.uint8)
    return small.repeat(16, axis=1).repeat(16, axis=2)


def predict_maps(model, images):
    return [np.asarray(maps)[0] for maps in model(images.astype(np.float32))]


@pytest.mark.parametrize(
    ("weights", "tolerance"), [("float32", 1e-4), ("float16", 2e-3)]
)
def test_exported_weights_load_into_keras(trained, tmp_path, weights, tolerance):
    path = tmp_path / "onepass.tflite"
    path.write_bytes(convert_onepass(trained, weights))
    model = build_onepass_network()
    load_litert_weights(model, path)
    images = make_image()
    litert_maps = SingleStageNetwork(path).forward(images[0])
    expected_maps, loaded_maps = (
        predict_maps(trained, images),
        predict_maps(model, images),
    )
    for expected, stored, loaded in zip(
        expected_maps, litert_maps, loaded_maps, strict=True
    ):
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(loaded, expected, atol=tolerance * scale)
        np.testing.assert_allclose(loaded, stored, atol=1e-5 * scale)


def test_recalibration_keeps_the_outputs_and_sets_the_statistics(trained, tmp_path):
    path = tmp_path / "onepass.tflite"
    path.write_bytes(convert_onepass(trained, "float16"))
    model = build_onepass_network()
    load_litert_weights(model, path)
    images = make_image(64, 4)
    before = predict_maps(model, images)
    recalibrate_network_batchnorm(model, [images.astype(np.float32)])
    for after, expected in zip(predict_maps(model, images), before, strict=True):
        np.testing.assert_allclose(after, expected, rtol=1e-3, atol=1e-3)
    # Training uses the statistics of the batch, which now are the same.
    in_training = model(images.astype(np.float32), training=True)
    for maps, expected in zip(in_training, before, strict=True):
        np.testing.assert_allclose(np.asarray(maps)[0], expected, rtol=0.02, atol=0.02)


def test_unusable_files_are_rejected(trained, tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(b"no network")
    with pytest.raises(ValueError, match="not a LiteRT model"):
        load_litert_weights(build_onepass_network(), other)
    small = tmp_path / "int8.tflite"
    small.write_bytes(convert_onepass(trained, "int8"))
    with pytest.raises(ValueError, match="use a float16 or float32 file"):
        load_litert_weights(build_onepass_network(), small)
    with pytest.raises(FileNotFoundError):
        load_litert_weights(build_onepass_network(), tmp_path / "none.tflite")
