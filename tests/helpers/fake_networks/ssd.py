"""A network with input and output of OpenCV's face SSD that detects blue patches."""

from __future__ import annotations

import numpy as np

from tests.helpers.fake_networks.contrast import BIAS, GAIN
from tests.helpers.fake_networks.protobuf import encode_tensorflow_weights

CELL_PX = 30
"""Of 300 x 300 px input: ten cells a side, one prior per cell."""

CENTRE_SHIFT = (0.2, -0.1)
"""From the centre of its cell to that of a face, in sides of the prior."""

SIZE_FACTORS = (1.5, 2.0)
"""Width and height of every face, in sides of the prior."""

_MEAN_BGR = (104.0, 177.0, 123.0)


def make_graph_weights() -> bytes:
    """Return the content of the `.pb` file: the weights."""
    inks = np.array([1, -1, -1])
    kernel = np.zeros((CELL_PX, CELL_PX, 3, 2))
    kernel[..., 1] = GAIN * inks / CELL_PX**2
    # The detector subtracts the publisher's mean, so it is added back here.
    bias = [0, BIAS + GAIN * inks @ _MEAN_BGR]
    constants = {
        "conf/kernel": kernel,
        "conf/bias": np.array(bias),
        "loc/kernel": np.zeros((CELL_PX, CELL_PX, 3, 4)),
        # In units of the variances.
        "loc/bias": np.concatenate(
            [np.divide(CENTRE_SHIFT, 0.1), np.log(SIZE_FACTORS) / 0.2]
        ),
    }
    return encode_tensorflow_weights(
        {name: array.astype(np.float32) for name, array in constants.items()}
    )


def make_graph_text() -> str:
    """Return the content of the `.pbtxt` file: the layers."""
    strides = {"strides": _format_ints(1, CELL_PX, CELL_PX, 1), "padding": 's: "VALID"'}
    prior = {
        "min_size": f"i: {CELL_PX}",
        "step": f"f: {CELL_PX}",
        "offset": "f: 0.5",
        "flip": "b: false",
        "clip": "b: false",
        "variance": _format_floats(0.1, 0.1, 0.2, 0.2),
    }
    output = {
        "num_classes": "i: 2",
        "share_location": "b: true",
        "background_label_id": "i: 0",
        "code_type": 's: "CENTER_SIZE"',
        "nms_threshold": "f: 0.45",
        "confidence_threshold": "f: 0.01",
        "top_k": "i: 400",
        "keep_top_k": "i: 200",
    }
    nodes = [
        _format_node("data", "Placeholder", [], {"dtype": "type: DT_FLOAT"}),
        _format_node("conf", "Conv2D", ["data", "conf/kernel"], strides),
        _format_node("conf/BiasAdd", "BiasAdd", ["conf", "conf/bias"], {}),
        _format_node("rows/shape", "Const", [], {"value": _format_shape(0, -1, 2)}),
        _format_node("rows", "Reshape", ["conf/BiasAdd", "rows/shape"], {}),
        _format_node("probs", "Softmax", ["rows"], {"axis": "i: 2"}),
        _format_node("probs/flat", "Flatten", ["probs"], {}),
        _format_node("loc", "Conv2D", ["data", "loc/kernel"], strides),
        _format_node("loc/BiasAdd", "BiasAdd", ["loc", "loc/bias"], {}),
        _format_node("loc/flat", "Flatten", ["loc/BiasAdd"], {}),
        _format_node("priors", "PriorBox", ["conf/BiasAdd", "data"], prior),
        _format_node(
            "detection_out",
            "DetectionOutput",
            ["loc/flat", "probs/flat", "priors"],
            output,
        ),
    ]
    return "\n".join(nodes)


def _format_node(
    name: str, op: str, inputs: list[str], attributes: dict[str, str]
) -> str:
    fields = [
        f'name: "{name}" op: "{op}"',
        *(f'input: "{source}"' for source in inputs),
    ]
    for key, value in attributes.items():
        fields.append(f'attr {{ key: "{key}" value {{ {value} }} }}')
    return f"node {{ {' '.join(fields)} }}"


def _format_ints(*values: int) -> str:
    return f"list {{ {' '.join(f'i: {value}' for value in values)} }}"


def _format_floats(*values: float) -> str:
    numbers = " ".join(f"float_val: {value}" for value in values)
    return _format_tensor("DT_FLOAT", len(values), numbers)


def _format_shape(*values: int) -> str:
    numbers = " ".join(f"int_val: {value}" for value in values)
    return _format_tensor("DT_INT32", len(values), numbers)


def _format_tensor(dtype: str, size: int, numbers: str) -> str:
    shape = f"tensor_shape {{ dim {{ size: {size} }} }}"
    return f"tensor {{ dtype: {dtype} {shape} {numbers} }}"
