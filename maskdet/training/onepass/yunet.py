"""YuNet's published weights as the start of our own training."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.extras import require_libraries
from maskdet.onepass.decode import STRIDES_PX


def load_yunet_weights(model: keras.Model, path: str | Path) -> None:
    """Put the weights of a YuNet ONNX file into the layers that finding uses.

    The file has its normalisation folded into the convolutions, in the order in which
    they run. The mask branch keeps what it has.

    Args:
        model: what `build_onepass` gave, with or without landmarks.
        path: such as `yunet_n_640_640.onnx`, of any input size.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds another network.
    """
    names = _layer_names()
    stored = _read_convolutions(Path(path))
    if len(stored) != len(names):
        raise ValueError(
            f"{path}: holds {len(stored)} convolutions, YuNet has {len(names)}"
        )
    layer_names = {layer.name for layer in model.layers}
    for name, (kernel, bias) in zip(names, stored, strict=True):
        if name not in layer_names:  # the landmarks, where they are not wanted
            continue
        layer = model.get_layer(name)
        # ONNX: out, in, height, width; the depthwise ones have 1 channel in.
        order = (2, 3, 0, 1) if name.endswith("_depth") else (2, 3, 1, 0)
        values = kernel.transpose(order)
        if values.shape != tuple(layer.kernel.shape):
            raise ValueError(f"{path}: {name} has the shape {values.shape}")
        layer.set_weights([values, bias])


def yunet_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of `model` that `load_yunet_weights` fills."""
    names = set(_layer_names())
    return [layer for layer in model.layers if layer.name in names]


def _layer_names() -> list[str]:
    """Return our layers in the order of the file's convolutions."""
    units = ["stage0", "stage1a", "stage1b"]
    units += [f"stage{stage}{part}" for stage in range(2, 6) for part in "ab"]
    units += [f"neck{stride}" for stride in STRIDES_PX[::-1]]
    heads = ("head", "cls", "box", "obj", "kps")
    units += [f"{head}{stride}" for head in heads for stride in STRIDES_PX]
    return [
        "stem",
        *(f"{unit}_{part}" for unit in units for part in ("point", "depth")),
    ]


def _read_convolutions(
    path: Path,
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    require_libraries("reading ONNX weights", "onnx")
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except Exception as error:  # protobuf has its own kinds, none of them public
        raise ValueError(f"{path}: not an ONNX file") from error
    weights = {
        initializer.name: numpy_helper.to_array(initializer)
        for initializer in graph.initializer
    }
    return [
        (weights[node.input[1]], weights[node.input[2]])
        for node in graph.node
        if node.op_type == "Conv"
    ]
