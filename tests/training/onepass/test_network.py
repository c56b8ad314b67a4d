"""The single-stage network: shapes, initial outputs, and equality with YuNet."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE
from tests.helpers.fake_networks.weights import find_extra_file

# On a busy machine the import of TensorFlow alone may take a minute or two.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    from maskdet.training.onepass.network import build_onepass_network

    return build_onepass_network()


def test_each_stride_has_a_map_at_any_image_size(network):
    for height, width in ((64, 96), (128, 32)):
        maps = [
            np.asarray(feature_map)
            for feature_map in network(np.zeros((2, height, width, 3), np.float32))
        ]
        shapes = [feature_map.shape for feature_map in maps]
        assert shapes == [(2, height // s, width // s, 9) for s in (8, 16, 32)]


def test_the_network_is_small(network):
    assert 150_000 < network.count_params() < 250_000


def test_an_untrained_network_predicts_the_priors(network):
    maps = [
        np.asarray(feature_map)
        for feature_map in network(np.zeros((1, 64, 64, 3), np.float32))
    ]
    for feature_map in maps:
        faces = 1 / (1 + np.exp(-feature_map[..., :2]))
        np.testing.assert_allclose(faces, 0.01, atol=1e-4)
        priors = np.exp(feature_map[..., 6:])
        np.testing.assert_allclose(priors.sum(axis=-1), 1, atol=0.2)


@pytest.mark.weights
def test_detection_equals_yunet():
    yunet = find_extra_file(MODEL_DIR_VARIABLE, "yunet_n_640_640.onnx")
    import onnxruntime

    from maskdet.training.onepass.network import (
        build_onepass_network,
        load_yunet_weights,
    )

    model = build_onepass_network()
    load_yunet_weights(model, yunet)
    rng = np.random.default_rng(1)
    image = rng.uniform(0, 255, (1, 20, 20, 3)).repeat(32, axis=1).repeat(32, axis=2)
    image = image.astype(np.float32)
    ours = [
        np.asarray(feature_map) for feature_map in model(image)
    ]  # without a graph, which is slow to build
    session = onnxruntime.InferenceSession(yunet, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(None, {"input": image.transpose(0, 3, 1, 2)})
    theirs = dict(zip(names, outputs, strict=True))
    for level, stride in enumerate((8, 16, 32)):
        flat = ours[level].reshape(1, -1, 9)
        faces = 1 / (1 + np.exp(-flat[..., :2]))
        np.testing.assert_allclose(faces[..., :1], theirs[f"cls_{stride}"], atol=1e-3)
        np.testing.assert_allclose(faces[..., 1:], theirs[f"obj_{stride}"], atol=1e-3)
        box = theirs[f"bbox_{stride}"]
        np.testing.assert_allclose(flat[..., 2:6], box, atol=1e-3, rtol=1e-3)


def test_other_files_are_rejected(tmp_path, network):
    from maskdet.training.onepass.network import load_yunet_weights

    with pytest.raises(FileNotFoundError, match="file does not exist"):
        load_yunet_weights(network, tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="not an ONNX file"):
        load_yunet_weights(network, tmp_path / "bad.onnx")
