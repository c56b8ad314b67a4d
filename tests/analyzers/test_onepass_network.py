"""Tests of loading and running single-stage networks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from maskdet.analyzers.onepass import (
    N_CHANNELS,
    OUTPUT_NAMES,
    STRIDES_PX,
    SingleStage,
    SingleStageNetwork,
)
from maskdet.settings import Settings
from maskdet.types import Image

pytestmark = pytest.mark.slow


def write_network(
    path: Path,
    names: Sequence[str] = OUTPUT_NAMES,
    *,
    channels: int = N_CHANNELS,
    shape: Sequence[int | None] = (None, None, None, 3),
) -> Path:
    """Write a network whose map at each stride is the stride times mean colours."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    image = keras.Input(shape[1:], name="image")
    maps = [
        keras.layers.Conv2D(channels, s, strides=s, use_bias=False)(image)
        for s in STRIDES_PX
    ]
    model = keras.Model(image, maps)
    for layer, stride in zip(model.layers[1:], STRIDES_PX, strict=True):
        kernel = np.zeros(layer.kernel.shape, np.float32)
        for channel in range(channels):
            kernel[:, :, channel % 3, channel] = 1 / stride
        layer.set_weights([kernel])
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "find",
        lambda image: dict(zip(names, model(image), strict=True)),
        input_signature=[keras.InputSpec(dtype="float32", shape=shape, name="image")],
    )
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=["find"]
        )
        path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write_network(tmp_path_factory.mktemp("onepass") / "network.tflite")


@pytest.fixture(scope="module")
def network(path) -> SingleStageNetwork:
    return SingleStageNetwork(path)


def noise(width: int, height: int, seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def compute_expected_maps(image: Image) -> list[np.ndarray]:
    """Return the expected output of the network above: mean colours of each cell."""
    height, width = image.shape[:2]
    bottom, right = -height % 32, -width % 32
    padded = np.pad(image.astype(np.float64), ((0, bottom), (0, right), (0, 0)))
    maps = []
    for s in STRIDES_PX:
        rows, columns = padded.shape[0] // s, padded.shape[1] // s
        means = padded.reshape(rows, s, columns, s, 3).mean(axis=(1, 3)) * s
        maps.append(np.tile(means, N_CHANNELS // 3))
    return maps


def assert_network_agrees(network: SingleStageNetwork, image: Image) -> None:
    for feature_map, expected_map in zip(
        network.forward(image), compute_expected_maps(image), strict=True
    ):
        np.testing.assert_allclose(feature_map, expected_map, rtol=1e-3, atol=1e-2)


def test_any_image_size_works_after_any_other(network):
    bright = np.full((96, 128, 3), 255, np.uint8)
    for size_wh in ((128, 96), (97, 70), (64, 96), (1, 1), (97, 70)):
        assert_network_agrees(network, bright)
        assert_network_agrees(network, noise(*size_wh))


def test_maps_are_ordered_from_fine_to_coarse(tmp_path):
    # The converter sorts by name, and "stride16" comes before "stride8".
    names = dict(zip(OUTPUT_NAMES, OUTPUT_NAMES, strict=True))
    assert sorted(names) != list(OUTPUT_NAMES)
    assert_network_agrees(
        SingleStageNetwork(write_network(tmp_path / "a.tflite")), noise(64, 64)
    )


def test_maps_do_not_change_after_the_next_call(network):
    first = network.forward(noise(64, 64, 1))
    copies = [feature_map.copy() for feature_map in first]
    network.forward(noise(64, 64, 2))
    for feature_map, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(feature_map, copy)


def test_forward_is_thread_safe(network):
    images = [noise(64 + 32 * (i % 3), 64, i) for i in range(12)]
    with ThreadPoolExecutor(4) as pool:
        for feature_maps, image in zip(
            pool.map(network.forward, images), images, strict=True
        ):
            for feature_map, expected_map in zip(
                feature_maps, compute_expected_maps(image), strict=True
            ):
                np.testing.assert_allclose(
                    feature_map, expected_map, rtol=1e-3, atol=1e-2
                )


def test_the_analyzer_runs_on_a_file(network):
    scene = SingleStage(network).analyze(noise(100, 80), Settings(min_score=0.99))
    assert scene.probs.shape == (len(scene), 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("a", "b", "c")}, "expected the outputs stride8__mask.*got a, b, c"),
        (
            {
                "names": [
                    name.replace("mask__no_mask", "no_mask__mask")
                    for name in OUTPUT_NAMES
                ]
            },
            "got stride16__no_mask__mask",
        ),
        ({"channels": 6}, "expected 9 channels in stride8.*got 6"),
        (
            {"shape": (None, 64, 64, 3)},
            r"any, any, 3.*got \['float32'\] \[\[-1, 64, 64",
        ),
    ],
)
def test_other_networks_are_rejected(tmp_path, changes, message):
    with pytest.raises(RuntimeError, match=message):
        SingleStageNetwork(write_network(tmp_path / "other.tflite", **changes))


def test_missing_and_invalid_files_are_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.tflite does not exist"):
        SingleStageNetwork(tmp_path / "none.tflite")
    (tmp_path / "bad.tflite").write_bytes(b"no network")
    with pytest.raises(RuntimeError, match=r"bad\.tflite is not a LiteRT model"):
        SingleStageNetwork(tmp_path / "bad.tflite")
