"""A network with YuNet's input and outputs that detects patches of plain colour.

The first level detects a blue patch of 8 px, the others a green one of 16 px and a red
one of 32 px, so that swapped channels give boxes of another size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.helpers.fake_networks.contrast import BIAS, GAIN

STRIDES_PX = (8, 16, 32)

CENTRE_SHIFT = (0.25, -0.5)
"""From the corner of its cell to the centre of a face, in strides."""

SIZE_FACTORS = (2.0, 3.0)
"""Width and height of every face, in strides."""

LANDMARKS = (0.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.0, 1.0, 1.0, 1.0)
"""x and y of five points, in strides from the corner of the cell."""

OBJECTNESS = 0.9
"""Of every cell; the score is the root of its product with `ink.confidence`."""

_BIASES = {
    "cls": (BIAS,),
    "obj": (np.log(OBJECTNESS / (1 - OBJECTNESS)),),
    "bbox": (*CENTRE_SHIFT, *np.log(SIZE_FACTORS)),
    "kps": LANDMARKS,
}


def make_onnx() -> bytes:
    """Return the content of the `.onnx` file."""
    nodes, constants, outputs = [], [], []
    for channel, stride in enumerate(STRIDES_PX):
        sides = {"kernel_shape": (stride, stride), "strides": (stride, stride)}
        pooled = f"pooled_{stride}"
        nodes.append(helper.make_node("AveragePool", ["input"], [pooled], **sides))
        for kind, bias in _BIASES.items():
            name = f"{kind}_{stride}"
            kernel = np.zeros((len(bias), 3, 1, 1), np.float32)
            if kind == "cls":  # of blue, green, red
                kernel[0] = -GAIN
                kernel[0, channel] = GAIN
            arrays = {
                f"{name}_kernel": kernel,
                f"{name}_bias": np.array(bias, np.float32),
                f"{name}_shape": np.array([0, -1, len(bias)]),
            }
            constants += [
                numpy_helper.from_array(array, key) for key, array in arrays.items()
            ]
            nodes += _output_head(pooled, name, is_score=kind in ("cls", "obj"))
            outputs.append(_tensor_info(name, ("batch", "dim", len(bias))))
    source = _tensor_info("input", ("batch", 3, "height", "width"))
    graph = helper.make_graph(nodes, "stand-in", [source], outputs, constants)
    # The versions of the published file.
    opset = helper.make_opsetid("", 11)
    model = helper.make_model(graph, ir_version=6, opset_imports=[opset])
    return bytes(model.SerializeToString())


def _output_head(pooled: str, name: str, *, is_score: bool) -> Iterator[NodeProto]:
    """Yield the layers from the cells of a level to one output, one row per cell."""
    maps, turned, rows = f"{name}_maps", f"{name}_turned", f"{name}_rows"
    yield helper.make_node("Conv", [pooled, f"{name}_kernel", f"{name}_bias"], [maps])
    yield helper.make_node("Transpose", [maps], [turned], perm=(0, 2, 3, 1))
    yield helper.make_node("Reshape", [turned, f"{name}_shape"], [rows])
    yield helper.make_node("Sigmoid" if is_score else "Identity", [rows], [name])


def _tensor_info(name: str, shape: tuple[int | str, ...]) -> object:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
