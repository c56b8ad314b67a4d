"""Tests of the ONNX writer with ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from maskdet.detectors.mtcnn import OnnxGraph


def run_graph(graph: OnnxGraph, image):
    session = onnxruntime.InferenceSession(
        graph.to_bytes(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {graph.input: image})


def test_layers_run_in_order_with_their_weights():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(200, 3, 1, 1)).astype(np.float32)
    bias = rng.normal(size=200).astype(np.float32)
    slope = rng.uniform(0, 1, (200, 1, 1)).astype(np.float32)
    graph = OnnxGraph(("n", 3, "h", "w"))
    source = graph.add_layer("Conv", graph.input, kernel, bias)
    graph.add_output(
        graph.add_layer("PRelu", source, slope), "output", ("n", 200, "h", "w")
    )
    image = rng.normal(size=(2, 3, 5, 7)).astype(np.float32)
    expected = np.einsum("oi,nihw->nohw", kernel[:, :, 0, 0], image)
    expected += bias[:, None, None]
    expected = np.where(expected > 0, expected, slope * expected)
    (output,) = run_graph(graph, image)
    assert output == pytest.approx(expected, abs=1e-5)


def test_attributes_may_be_numbers_strings_and_lists():
    graph = OnnxGraph((1, 1, 3, 3))
    pooled = graph.add_layer(
        "MaxPool",
        graph.input,
        kernel_shape=(2, 2),
        strides=(2, 2),
        auto_pad="SAME_UPPER",
    )
    flat = graph.add_layer("Reshape", pooled, np.array([1, -1], np.int64))
    graph.add_output(pooled, "pooled", (1, 1, 2, 2))
    graph.add_output(graph.add_layer("Softmax", flat, axis=-1), "softmax", (1, 4))
    image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    pooled_values, softmax = run_graph(graph, image)
    assert pooled_values.ravel().tolist() == [4, 5, 7, 8]
    powers = np.exp([4.0, 5, 7, 8])
    assert softmax[0] == pytest.approx(powers / powers.sum(), abs=1e-6)
