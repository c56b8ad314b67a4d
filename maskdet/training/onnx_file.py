"""A Keras network as an ONNX file, for programs that run no LiteRT."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.classifier import OUTPUT_NAME, split_face_probability
from maskdet.extras import require_libraries
from maskdet.own_models import VERIFIER_OUTPUT
from maskdet.training.sampling import to_network_input
from maskdet.types import CLASSES


def write_onnx(model: keras.Model, path: Path) -> None:
    """Write the network with the input `image` and the output that the LiteRT has.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`.
        path: where to.

    Raises:
        MissingExtraError: what Keras writes ONNX with is not installed.
    """
    require_libraries("an ONNX file", "onnx", "tf2onnx")
    import onnx

    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras asks for a call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, about code in tf2onnx
        model.export(str(path), format="onnx", verbose=False)
    onnx_model = onnx.load(str(path))
    graph = onnx_model.graph
    keras_name = graph.output[0].name
    has_no_face = model.output_shape[-1] > len(CLASSES)
    output_name = VERIFIER_OUTPUT if has_no_face else OUTPUT_NAME
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [output_name if name == keras_name else name for name in names]
    graph.output[0].name = output_name
    onnx.checker.check_model(onnx_model)
    onnx.save(onnx_model, str(path))


def compute_onnx_difference(
    path: Path, images: NDArray[np.uint8], keras_probs: NDArray[np.float32]
) -> float:
    """Return the largest difference of a probability to what Keras answered.

    Args:
        path: the ONNX file.
        images: `(n, s, s, 3)` BGR crops.
        keras_probs: `(n, 3)` the answers of Keras.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    parts = [
        session.run(None, {"image": to_network_input(images[first : first + 64])})
        for first in range(0, len(images), 64)
    ]
    probs = split_face_probability(np.concatenate([part[0] for part in parts]))[0]
    return float(np.abs(probs - keras_probs).max())
