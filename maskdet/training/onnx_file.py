"""A Keras network as an ONNX file, for programs that run no LiteRT."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.classifier import OUTPUT_NAME, split_columns
from maskdet.extras import require
from maskdet.own_models import VERIFIER_OUTPUT
from maskdet.training.sampling import network_input
from maskdet.types import CLASSES


def write_onnx(model: keras.Model, path: Path) -> None:
    """Write the network with the input `image` and the output that the LiteRT has.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`.
        path: where to.

    Raises:
        MissingExtraError: what Keras writes ONNX with is not installed.
    """
    require("an ONNX file", "onnx", "tf2onnx")
    import onnx

    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras asks for a call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, about code in tf2onnx
        model.export(str(path), format="onnx", verbose=False)
    written = onnx.load(str(path))
    graph = written.graph
    plain = graph.output[0].name
    verifies = model.output_shape[-1] > len(CLASSES)
    ours = VERIFIER_OUTPUT if verifies else OUTPUT_NAME
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [ours if name == plain else name for name in names]
    graph.output[0].name = ours
    onnx.checker.check_model(written)
    onnx.save(written, str(path))


def onnx_difference(
    path: Path, images: NDArray[np.uint8], truth: NDArray[np.float32]
) -> float:
    """Return the largest difference of a probability to what Keras answered.

    Args:
        path: the ONNX file.
        images: `(n, s, s, 3)` BGR crops.
        truth: `(n, 3)` the answers of Keras.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    parts = [
        session.run(None, {"image": network_input(images[first : first + 64])})
        for first in range(0, len(images), 64)
    ]
    probs = split_columns(np.concatenate([part[0] for part in parts]))[0]
    return float(np.abs(probs - truth).max())
