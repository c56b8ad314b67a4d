"""A file that was exported is the start of another training, and the same network."""

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
    """Build a network none of whose weights is as a network starts."""
    keras.utils.set_random_seed(3)
    model = build_onepass_network()
    rng = np.random.default_rng(4)
    for layer in model.layers:
        weights = [w + rng.normal(0, 0.05, w.shape) for w in layer.get_weights()]
        if isinstance(layer, keras.layers.BatchNormalization):
            weights[3] = rng.uniform(0.5, 2, weights[3].shape)
        layer.set_weights(weights)
    return model


def picture(side=96, n=1):
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (n, side // 16, side // 16, 3), np.uint8)
    return small.repeat(16, axis=1).repeat(16, axis=2)


def maps(model, seen):
    return [np.asarray(one)[0] for one in model(seen.astype(np.float32))]


@pytest.mark.parametrize(("weights", "off"), [("float32", 1e-4), ("float16", 2e-3)])
def test_what_was_exported_comes_back(trained, tmp_path, weights, off):
    path = tmp_path / "onepass.tflite"
    path.write_bytes(convert_onepass(trained, weights))
    model = build_onepass_network()
    load_litert_weights(model, path)
    seen = picture()
    in_file, read = SingleStageNetwork(path).forward(seen[0]), maps(model, seen)
    for wanted, stored, one in zip(maps(trained, seen), in_file, read, strict=True):
        scale = max(1.0, float(np.abs(wanted).max()))
        np.testing.assert_allclose(one, wanted, atol=off * scale)
        np.testing.assert_allclose(one, stored, atol=1e-5 * scale)


def test_settled_it_says_the_same_and_knows_its_statistics(trained, tmp_path):
    path = tmp_path / "onepass.tflite"
    path.write_bytes(convert_onepass(trained, "float16"))
    model = build_onepass_network()
    load_litert_weights(model, path)
    seen = picture(64, 4)
    before = maps(model, seen)
    recalibrate_network_batchnorm(model, [seen.astype(np.float32)])
    for one, wanted in zip(maps(model, seen), before, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-3, atol=1e-3)
    # In training the statistics of the batch are used: now they are the same ones.
    taught = model(seen.astype(np.float32), training=True)
    for one, wanted in zip(taught, before, strict=True):
        np.testing.assert_allclose(np.asarray(one)[0], wanted, rtol=0.02, atol=0.02)


def test_other_files_are_refused_in_one_line(trained, tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(b"no network")
    with pytest.raises(ValueError, match="not a LiteRT model"):
        load_litert_weights(build_onepass_network(), other)
    small = tmp_path / "int8.tflite"
    small.write_bytes(convert_onepass(trained, "int8"))
    with pytest.raises(ValueError, match="wanted a float16 or float32 file"):
        load_litert_weights(build_onepass_network(), small)
    with pytest.raises(FileNotFoundError):
        load_litert_weights(build_onepass_network(), tmp_path / "none.tflite")
