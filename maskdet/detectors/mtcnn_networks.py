"""MTCNN's three networks, run by OpenCV from the weights in the `mtcnn` package.

The package itself runs them through Keras, one TensorFlow call a layer, which is slow
at each frame and slower to start. Here its weights are read from its folder, without
importing it, and handed to OpenCV, which computes the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.detectors.onnx_graph import OnnxGraph

LayerWeights = list[NDArray[np.float32]]
Pooling = tuple[int, str] | None
"""Side and ONNX padding of a maximum pooling with stride 2; None for no pooling."""

# The weights are stored as a joblib archive, and reading one can run code: so only
# the three files of mtcnn 1.0.0 are read.
_SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


class MTCNNStage:
    """One network; keeps its input inside, so one thread may call it at a time."""

    def __init__(self, onnx: bytes, outputs: Sequence[str]) -> None:
        """Load the network.

        Args:
            onnx: the content of an `.onnx` file.
            outputs: the names of the outputs, in the order `forward` returns them.
        """
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(onnx, np.uint8))
        self._outputs = list(outputs)

    def forward(self, blob: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the outputs for `(n, 3, h, w)` RGB values in [-1, 1]."""
        self._net.setInput(blob)
        return [np.asarray(each) for each in self._net.forward(self._outputs)]


def build_pnet() -> MTCNNStage:
    """Return P-Net: any image, `box` `(n, 4, h, w)` and `face` `(n, 2, h, w)`."""
    weights = _load_weights("pnet")
    graph = OnnxGraph(("n", 3, "h", "w"))
    source = _add_convolutions(graph, weights, [(2, "SAME_UPPER"), None, None])
    for name in ("box", "face"):
        kernel, bias = weights.pop(0), weights.pop(0)
        head = graph.add_layer("Conv", source, _to_oihw(kernel), bias)
        graph.add_output(head, name, ("n", len(bias), "oh", "ow"))
    return MTCNNStage(graph.to_bytes(), ("box", "face"))


def build_rnet() -> MTCNNStage:
    """Return R-Net: `(n, 3, 24, 24)` patches, `box` `(n, 4)` and `face` `(n, 2)`."""
    pools: list[Pooling] = [(3, "SAME_UPPER"), (3, "VALID"), None]
    return _build_patch_network("rnet", 24, pools, ("box", "face"))


def build_onet() -> MTCNNStage:
    """Return O-Net: 48 px patches, `box`, `points` `(n, 10)` (x, then y), `face`."""
    pools: list[Pooling] = [(3, "SAME_UPPER"), (3, "VALID"), (2, "SAME_UPPER"), None]
    return _build_patch_network("onet", 48, pools, ("box", "points", "face"))


def _build_patch_network(
    name: str, side: int, pools: Sequence[Pooling], heads: Sequence[str]
) -> MTCNNStage:
    weights = _load_weights(name)
    graph = OnnxGraph(("n", 3, side, side))
    source = _add_convolutions(graph, weights, pools)
    # Trained on column-major images, so the weights expect width before height.
    source = graph.add_layer("Transpose", source, perm=(0, 3, 2, 1))
    source = graph.add_layer("Flatten", source)
    source = graph.add_layer("Gemm", source, weights.pop(0), weights.pop(0))
    source = graph.add_layer("PRelu", source, weights.pop(0))
    for head in heads:
        kernel, bias = weights.pop(0), weights.pop(0)
        graph.add_output(
            graph.add_layer("Gemm", source, kernel, bias), head, ("n", len(bias))
        )
    return MTCNNStage(graph.to_bytes(), heads)


def _add_convolutions(
    graph: OnnxGraph, weights: LayerWeights, pools: Sequence[Pooling]
) -> str:
    """Add the convolutions, taking their weights off the list; return the last."""
    source = graph.input
    for pool in pools:
        kernel, bias, slope = (weights.pop(0) for _ in range(3))
        source = graph.add_layer("Conv", source, _to_oihw(kernel), bias)
        source = graph.add_layer("PRelu", source, slope.reshape(-1, 1, 1))
        if pool is not None:
            side, padding = pool
            source = graph.add_layer(
                "MaxPool",
                source,
                kernel_shape=(side, side),
                strides=(2, 2),
                auto_pad=padding,
            )
    return source


def _to_oihw(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a Keras kernel `(h, w, in, out)` as ONNX wants it, `(out, in, h, w)`."""
    return kernel.transpose(3, 2, 0, 1)


def _load_weights(name: str) -> LayerWeights:
    """Return the arrays of one network, in the order of its layers.

    Raises:
        FileNotFoundError: the package or its file is missing.
        RuntimeError: the file is not the one of mtcnn 1.0.0.
    """
    import joblib  # type: ignore[import-untyped]

    package = find_spec("mtcnn")
    origin = package.origin if package is not None else None
    path = Path(origin or "").parent / "assets" / "weights" / f"{name}.lz4"
    if origin is None or not path.is_file():
        raise FileNotFoundError(
            f"the mtcnn package with its {name}.lz4 is missing; "
            "get it with: pip install 'mtcnn==1.0.0'"
        )
    actual_sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual_sha256 != _SHA256[name]:
        raise RuntimeError(
            f"{path} is not the file of mtcnn 1.0.0: sha256 {actual_sha256[:12]}..., "
            "expected "
            f"{_SHA256[name][:12]}...; repair it with: "
            "pip install --force-reinstall 'mtcnn==1.0.0'"
        )
    return list(joblib.load(path))
