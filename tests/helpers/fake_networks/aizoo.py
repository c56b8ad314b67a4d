"""A network with AIZOO's input and outputs that detects patches of colour.

It has the grids and the order of outputs of the published one, and detects at two of
the five levels, each with one of the four anchors of a cell:

- 8 px, first anchor: red minus green gives `mask`, blue minus green `no_mask`;
- 64 px, third anchor (tall): yellow gives `mask`, cyan `no_mask`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.helpers.fake_networks.contrast import BIAS, GAIN
from tests.helpers.fake_networks.protobuf import encode_caffe_weights

STEPS_PX = (8, 16, 32, 64, 128)
"""Pixels of a cell. 260 px are 33, 17, 9, 5 and 3 cells a side."""

SMALL, LARGE = 0, 3
"""The levels that detect."""

ANCHORS = {SMALL: 0, LARGE: 2}
"""Which of the four anchors of a cell is used."""

CENTRE_SHIFT = (0.5, -0.25)
"""From the centre of its cell to that of a face, in sides of the anchor."""

SIZE_FACTORS = (1.5, 2.5)
"""Width and height of every face, in sides of the anchor."""

_NEVER_LOGIT = -20.0


def make_caffemodel() -> bytes:
    """Return the content of the `.caffemodel` file: the weights."""
    layers: dict[str, list[NDArray[np.float32]]] = {}
    for level in range(len(STEPS_PX)):
        shifts = np.concatenate(
            [np.divide(CENTRE_SHIFT, 0.1), np.log(SIZE_FACTORS) / 0.2]
        )
        layers[f"loc_{level}_conv"] = _to_blobs(np.zeros((16, 3)), np.tile(shifts, 4))
        layers[f"cls_{level}_conv"] = _to_blobs(*_classifier_layer(level))
    return encode_caffe_weights(layers)


def _classifier_layer(level: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the kernel `(8, 3)` over R, G, B and the bias: two classes an anchor."""
    kernel, bias = np.zeros((4, 2, 3)), np.full((4, 2), _NEVER_LOGIT)
    if level in ANCHORS:
        small = level == SMALL
        colours = [[1, -1, 0], [0, -1, 1]] if small else [[1, 1, -1], [-1, 1, 1]]
        kernel[ANCHORS[level]] = GAIN * 255 * np.array(colours)
        bias[ANCHORS[level]] = BIAS - (0 if small else GAIN * 255)
    return kernel.reshape(8, 3), bias.reshape(8)


def _to_blobs(
    kernel: NDArray[np.float64], bias: NDArray[np.float64]
) -> list[NDArray[np.float32]]:
    return [kernel[:, :, None, None].astype(np.float32), bias.astype(np.float32)]


def make_prototxt() -> str:
    """Return the content of the `.prototxt` file: the layers."""
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 260 input_dim: 260\n'
    for level, step in enumerate(STEPS_PX):
        pooling = f"pool: AVE kernel_size: {step} stride: {step}"
        text += _format_layer(
            f"pool_{level}", "Pooling", ["data"], f"pooling_param {{ {pooling} }}"
        )
        for kind, width in (("loc", 4), ("cls", 2)):
            name = f"{kind}_{level}"
            wide = f"convolution_param {{ num_output: {4 * width} kernel_size: 1 }}"
            order = "permute_param { order: 0 order: 2 order: 3 order: 1 }"
            rows = f"reshape_param {{ shape {{ dim: 0 dim: -1 dim: {width} }} }}"
            text += _format_layer(
                f"{name}_conv", "Convolution", [f"pool_{level}"], wide
            )
            text += _format_layer(f"{name}_turned", "Permute", [f"{name}_conv"], order)
            text += _format_layer(f"{name}_rows", "Reshape", [f"{name}_turned"], rows)
        text += _format_layer(f"cls_{level}_probs", "Sigmoid", [f"cls_{level}_rows"])
    for kind, last in (("loc", "rows"), ("cls", "probs")):
        levels = [f"{kind}_{level}_{last}" for level in range(len(STEPS_PX))]
        text += _format_layer(
            f"{kind}_branch_concat", "Concat", levels, "concat_param { axis: 1 }"
        )
    return text


def _format_layer(
    name: str, layer_type: str, bottoms: list[str], parameters: str = ""
) -> str:
    sources = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    return (
        f'layer {{ name: "{name}" type: "{layer_type}" {sources} '
        f'top: "{name}" {parameters} }}\n'
    )
