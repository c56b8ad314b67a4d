"""A network with CenterFace's input and outputs that detects blue patches of 4 px."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.helpers.fake_networks.contrast import BIAS, GAIN

CELL_PX = 4

CENTRE_SHIFT_YX = (-0.5, 0.25)
"""From the centre of its cell to that of a face, in cells."""

SIZE_FACTORS_HW = (6.0, 4.0)
"""Height and width of every face, in cells."""

_NORM_SCALE = 2.0
"""Of the batch normalization: a network that applies it twice gives other scores."""

_INKS_RGB = (-1, -1, 1)

# The published file declares one small size, and takes any.
_DECLARED_INPUT = (10, 3, 32, 32)


def make_onnx() -> bytes:
    """Return the content of the `.onnx` file."""
    kernel = np.zeros((1, 3, CELL_PX, CELL_PX))
    kernel[0] = np.reshape(_INKS_RGB, (3, 1, 1)) * GAIN / CELL_PX**2 / _NORM_SCALE
    constants = {
        "cells_kernel": kernel,
        "turned_kernel": np.ones((1, 1, 1, 1)),
        "norm_scale": [_NORM_SCALE],
        "norm_bias": [BIAS],
        "norm_mean": [0.0],
        "norm_var": [1.0],
    }
    sides: dict[str, Sequence[int]] = {
        "kernel_shape": (CELL_PX, CELL_PX),
        "strides": (CELL_PX, CELL_PX),
    }
    norms = [name for name in constants if name.startswith("norm")]
    nodes = [
        helper.make_node("Conv", ["input.1", "cells_kernel"], ["cells"], **sides),
        helper.make_node("ConvTranspose", ["cells", "turned_kernel"], ["turned"]),
        helper.make_node("BatchNormalization", ["turned", *norms], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["537"]),
    ]
    outputs = {"537": 1}
    biases = {"538": np.log(SIZE_FACTORS_HW), "539": CENTRE_SHIFT_YX}
    for name, bias in biases.items():
        constants |= {f"{name}_kernel": np.zeros((2, 1, 1, 1)), f"{name}_bias": bias}
        nodes.append(_make_constant_map(name))
        outputs[name] = len(bias)
    return _to_bytes(nodes, constants, outputs)


def _make_constant_map(name: str) -> NodeProto:
    return helper.make_node("Conv", ["cells", f"{name}_kernel", f"{name}_bias"], [name])


def _to_bytes(
    nodes: list[NodeProto], constants: dict[str, ArrayLike], outputs: dict[str, int]
) -> bytes:
    batch, *_, height, width = _DECLARED_INPUT
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [_tensor_info("input.1", _DECLARED_INPUT)],
        [
            _tensor_info(name, (batch, depth, height // CELL_PX, width // CELL_PX))
            for name, depth in outputs.items()
        ],
        [
            numpy_helper.from_array(np.asarray(array, np.float32), name)
            for name, array in constants.items()
        ],
    )
    # The versions of the published file.
    opset = helper.make_opsetid("", 9)
    model = helper.make_model(graph, ir_version=4, opset_imports=[opset])
    return bytes(model.SerializeToString())


def _tensor_info(name: str, shape: tuple[int, ...]) -> object:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
