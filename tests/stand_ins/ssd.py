"""A network with input and output of OpenCV's face SSD that detects blue patches."""

from __future__ import annotations

import numpy as np

from tests.stand_ins.ink import BIAS, GAIN
from tests.stand_ins.wire import tensorflow_weights

CELL_PX = 30
"""Of 300 x 300 px input: ten cells a side, one prior per cell."""

SHIFT = (0.2, -0.1)
"""From the centre of its cell to that of a face, in sides of the prior."""

SIDES = (1.5, 2.0)
"""Width and height of every face, in sides of the prior."""

_MEAN_BGR = (104.0, 177.0, 123.0)


def weights() -> bytes:
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
        "loc/bias": np.concatenate([np.divide(SHIFT, 0.1), np.log(SIDES) / 0.2]),
    }
    return tensorflow_weights(
        {name: array.astype(np.float32) for name, array in constants.items()}
    )


def graph() -> str:
    """Return the content of the `.pbtxt` file: the layers."""
    strides = {"strides": _ints(1, CELL_PX, CELL_PX, 1), "padding": 's: "VALID"'}
    prior = {
        "min_size": f"i: {CELL_PX}",
        "step": f"f: {CELL_PX}",
        "offset": "f: 0.5",
        "flip": "b: false",
        "clip": "b: false",
        "variance": _floats(0.1, 0.1, 0.2, 0.2),
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
        _node("data", "Placeholder", [], {"dtype": "type: DT_FLOAT"}),
        _node("conf", "Conv2D", ["data", "conf/kernel"], strides),
        _node("conf/BiasAdd", "BiasAdd", ["conf", "conf/bias"], {}),
        _node("rows/shape", "Const", [], {"value": _shape(0, -1, 2)}),
        _node("rows", "Reshape", ["conf/BiasAdd", "rows/shape"], {}),
        _node("probs", "Softmax", ["rows"], {"axis": "i: 2"}),
        _node("probs/flat", "Flatten", ["probs"], {}),
        _node("loc", "Conv2D", ["data", "loc/kernel"], strides),
        _node("loc/BiasAdd", "BiasAdd", ["loc", "loc/bias"], {}),
        _node("loc/flat", "Flatten", ["loc/BiasAdd"], {}),
        _node("priors", "PriorBox", ["conf/BiasAdd", "data"], prior),
        _node(
            "detection_out",
            "DetectionOutput",
            ["loc/flat", "probs/flat", "priors"],
            output,
        ),
    ]
    return "\n".join(nodes)


def _node(name: str, op: str, inputs: list[str], attributes: dict[str, str]) -> str:
    words = [f'name: "{name}" op: "{op}"', *(f'input: "{one}"' for one in inputs)]
    for key, value in attributes.items():
        words.append(f'attr {{ key: "{key}" value {{ {value} }} }}')
    return f"node {{ {' '.join(words)} }}"


def _ints(*values: int) -> str:
    return f"list {{ {' '.join(f'i: {value}' for value in values)} }}"


def _floats(*values: float) -> str:
    numbers = " ".join(f"float_val: {value}" for value in values)
    return _tensor("DT_FLOAT", len(values), numbers)


def _shape(*values: int) -> str:
    numbers = " ".join(f"int_val: {value}" for value in values)
    return _tensor("DT_INT32", len(values), numbers)


def _tensor(kind: str, size: int, numbers: str) -> str:
    shape = f"tensor_shape {{ dim {{ size: {size} }} }}"
    return f"tensor {{ dtype: {kind} {shape} {numbers} }}"
