"""Load the weights of an exported LiteRT file into a Keras network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.model_files.litert import open_interpreter

_FLOAT_TYPES: Final = (np.float16, np.float32)
"""If a file has both, it stores the first; the second is filled at run time."""


def load_litert_weights(model: keras.Model, path: str | Path) -> None:
    """Load the weights of a file that `maskdet export` wrote into a network.

    In the file, batch normalisation is folded into the convolution before it. Here the
    convolution keeps the product, and the normalisation only adds the offset. Call
    `recalibrate_batchnorm` before training. The temperature remains in the mask
    logits: it is the scale that fitted the validation best.

    Args:
        model: from `build_onepass_network` or `build_classifier`. Outputs of its last
            layer that the file does not have are not changed.
        path: the file, with float16 or float32 weights.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is of another network, or has 8-bit weights.
    """
    path = Path(path)
    try:
        interpreter = open_interpreter(path, "network", threads=1)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    _load_layers(model, _LitertTensors(path, interpreter))


def _load_layers(model: keras.Model, stored: _LitertTensors) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _load_layers(layer, stored)
        elif isinstance(layer, keras.layers.Dense):
            _load_dense(layer, stored)
        elif isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            _load_convolution(layer, _find_batchnorm(layer, model), stored)


def _load_dense(layer: Any, stored: _LitertTensors) -> None:
    """Fill a dense layer; LiteRT stores one row per output."""
    kernel, bias = layer.get_weights()
    for n_stored in range(kernel.shape[1], 0, -1):
        if stored.find(layer.name, (n_stored, kernel.shape[0])) is not None:
            break
    kernel[:, :n_stored] = stored.get(layer.name, (n_stored, kernel.shape[0])).T
    bias[:n_stored] = stored.get(layer.name, (n_stored,))
    layer.set_weights([kernel, bias])


def _load_convolution(layer: Any, norm: Any, stored: _LitertTensors) -> None:
    """Fill a convolution and the normalisation that was folded into it."""
    rows, columns, into, out = layer.kernel.shape
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    # LiteRT: out, rows, columns, in; depthwise convolutions have 1 channel out.
    shape = (1, rows, columns, into) if depthwise else (out, rows, columns, into)
    kernel = stored.get(layer.name, shape).transpose(1, 2, 3, 0)
    channels = into if depthwise else out
    if layer.use_bias:
        layer.set_weights([kernel, stored.get(layer.name, (channels,))])
        return
    layer.set_weights([kernel])
    if norm is not None:
        zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        offset = stored.get(layer.name, (channels,))
        norm.set_weights([ones, offset, zeros, ones - norm.epsilon])


def _find_batchnorm(layer: Any, model: keras.Model) -> Any:
    """Return the normalisation that follows a convolution, or None."""
    return next(
        (
            other
            for other in model.layers
            if isinstance(other, keras.layers.BatchNormalization)
            and other.input is layer.output
        ),
        None,
    )


@dataclass(frozen=True)
class _LitertTensors:
    """The weights in a file, looked up by layer and shape."""

    path: Path
    interpreter: Any

    def get(self, layer: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the weights of this shape of a layer.

        Raises:
            ValueError: the file has no such weights.
        """
        tensor = self.find(layer, shape)
        if tensor is not None:
            return tensor
        raise ValueError(
            f"{self.path}: no float weights {shape} for layer {layer}; use a float16 "
            "or float32 file of this network that `maskdet export` wrote"
        )

    def find(self, layer: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
        """Return the weights of this shape of a layer, or None."""
        belongs = re.compile(rf"(^|/){re.escape(layer)}(_\d+)?/")
        for dtype in _FLOAT_TYPES:
            for detail in self.interpreter.get_tensor_details():
                if (
                    detail["dtype"] is dtype
                    and tuple(detail["shape"]) == shape
                    and belongs.search(detail["name"])
                ):
                    tensor = self.interpreter.get_tensor(detail["index"])
                    return np.asarray(tensor, np.float32)
        return None
