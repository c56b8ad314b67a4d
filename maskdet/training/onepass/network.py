"""The single-stage network: YuNet's layers and a mask classification branch.

Detection has the published topology of YuNet (Wu et al., "YuNet: A Tiny
Millisecond-level Face Detector", Machine Intelligence Research, 2023; Apache-2.0) and
can be initialized with its weights. The mask branch is a wider path that starts at
stride 4, where the mouth of small faces is still resolved. It runs beside the pyramid
(as the bottom-up path of Liu et al., "Path Aggregation Network for Instance
Segmentation", 2018): each level receives the features of the finer one. The branch also
corrects scores and boxes; the correction is initialized with zeros.

The network is fully convolutional; the input sides are multiples of 32 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from maskdet.analyzers.onepass import STRIDES_PX
from maskdet.extras import require_libraries
from maskdet.types import CLASSES

MASK_WIDTHS = (96, 128, 128)
"""Channels of the mask branch at each stride. At 320x256 px it adds about 1.4 ms to
the 1.7 ms of detection (LiteRT, two cores)."""

FACE_PRIOR = 0.01
"""Initial face probability of a cell (Lin et al., "Focal Loss for Dense Object
Detection", 2017, section 4.1)."""

MASK_PRIOR = (0.50, 0.38, 0.12)
"""Initial class probabilities, as in the training data."""

_N_CHANNELS = 64


def build_onepass_network() -> keras.Model:
    """Return the network: `(n, h, w, 3)` BGR 0..255 -> three maps, fine to coarse.

    Each map is `(n, h / s, w / s, 9)`: class and objectness logit (the detection score
    is `sqrt(sigmoid(cls) * sigmoid(obj))`), `dx, dy, log w, log h` in strides, and the
    logits of `CLASSES`.
    """
    image = keras.Input((None, None, 3), name="image")
    stride4, backbone = _build_backbone(image)
    pyramid = _build_neck(backbone)
    branch = _build_mask_branch(stride4, pyramid)
    maps = []
    for stride, features, mask_features in zip(
        STRIDES_PX, pyramid, branch, strict=True
    ):
        head = _add_unit(features, _N_CHANNELS, f"head{stride}")
        parts = [
            _add_unit(head, 1, f"cls{stride}", relu=False),
            _add_unit(head, 1, f"obj{stride}", relu=False),
            _add_unit(head, 4, f"box{stride}", relu=False),
        ]
        face = layers.Concatenate(name=f"face{stride}")(parts)
        correction = layers.Conv2D(
            6, 1, use_bias=False, kernel_initializer="zeros", name=f"correct{stride}"
        )
        face = layers.Add(name=f"corrected{stride}")([face, correction(mask_features)])
        mask = layers.Conv2D(len(CLASSES), 1, name=f"mask{stride}_logits")(
            mask_features
        )
        maps.append(layers.Concatenate(name=f"stride{stride}")([face, mask]))
    model = keras.Model(image, maps, name="onepass")
    _set_prior_biases(model)
    return model


def _build_backbone(image: keras.KerasTensor) -> tuple[keras.KerasTensor, list[object]]:
    """Return the features at stride 4, and those at 8, 16 and 32."""
    # PyTorch pads one pixel on each side; "same" in Keras pads the far side only.
    x = layers.ZeroPadding2D(1, name="pad")(image)
    x = layers.Conv2D(16, 3, strides=2, name="stem")(x)
    x = _add_unit(layers.ReLU(name="stem_relu")(x), 16, "stage0")
    x = layers.MaxPool2D(name="pool4")(x)
    x = _add_unit(_add_unit(x, 16, "stage1a"), _N_CHANNELS, "stage1b")
    stride4 = x = _add_unit(
        _add_unit(x, _N_CHANNELS, "stage2a"), _N_CHANNELS, "stage2b"
    )
    levels: list[object] = []
    for stage, stride in enumerate(STRIDES_PX, 3):
        x = layers.MaxPool2D(name=f"pool{stride}")(x)
        x = _add_unit(
            _add_unit(x, _N_CHANNELS, f"stage{stage}a"), _N_CHANNELS, f"stage{stage}b"
        )
        levels.append(x)
    return stride4, levels


def _build_neck(levels: Sequence[object]) -> list[object]:
    """Return the feature pyramid; coarse levels are upsampled and added to finer."""
    pyramid: list[object] = []
    for stride, level in zip(STRIDES_PX[::-1], levels[::-1], strict=True):
        if pyramid:
            up = layers.UpSampling2D(name=f"up{stride}")(pyramid[0])
            level = layers.Add(name=f"sum{stride}")([level, up])
        pyramid.insert(0, _add_unit(level, _N_CHANNELS, f"neck{stride}"))
    return pyramid


def _add_unit(
    x: object, width: int, name: str, *, relu: bool = True
) -> keras.KerasTensor:
    """Add the building block of YuNet: pointwise, then depthwise 3x3 convolution."""
    x = layers.Conv2D(width, 1, name=f"{name}_point")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depth")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _build_mask_branch(fine: object, pyramid: Sequence[object]) -> list[object]:
    """Return the features of the mask branch at each level, `(n, h/s, w/s, width)`."""
    levels = []
    for stride, features, width in zip(STRIDES_PX, pyramid, MASK_WIDTHS, strict=True):
        name = f"mask{stride}"
        downsampled = layers.DepthwiseConv2D(
            3, strides=2, padding="same", name=f"{name}_down"
        )(fine)
        merged = layers.Concatenate(name=f"{name}_join")([downsampled, features])
        x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_mix")(merged)
        x = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
        for block in "ab":
            x = _add_wide_block(x, width, f"{name}{block}")
        fine = x
        levels.append(x)
    return levels


def _add_wide_block(x: object, width: int, name: str) -> keras.KerasTensor:
    """Add a residual block (He et al., ResNet, 2016): depthwise 5x5, then pointwise."""
    y = layers.DepthwiseConv2D(5, padding="same", use_bias=False, name=f"{name}_depth")
    z = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_point")(y(x))
    z = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(z)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([x, z]))


def _set_prior_biases(model: keras.Model) -> None:
    """Set the biases of the outputs to `FACE_PRIOR` and `MASK_PRIOR`."""
    for stride in STRIDES_PX:
        for head in ("cls", "obj"):
            last = model.get_layer(f"{head}{stride}_depth")
            kernel, bias = last.get_weights()
            last.set_weights([kernel, bias + math.log(FACE_PRIOR / (1 - FACE_PRIOR))])
        last = model.get_layer(f"mask{stride}_logits")
        kernel, bias = last.get_weights()
        last.set_weights([kernel * 0.1, bias + [math.log(p) for p in MASK_PRIOR]])


def load_yunet_weights(model: keras.Model, path: str | Path) -> None:
    """Load the weights of a YuNet ONNX file into the detection layers.

    In the file, normalisation is folded into the convolutions, which are in the order
    of execution. The mask branch is not changed.

    Args:
        model: result of `build_onepass_network`.
        path: such as `yunet_n_640_640.onnx`, of any input size.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file contains another network.
    """
    names = _layer_names()
    stored = _read_convolutions(Path(path))
    if len(stored) != len(names):
        raise ValueError(
            f"{path}: {len(stored)} convolutions, but YuNet has {len(names)}"
        )
    for name, (kernel, bias) in zip(names, stored, strict=True):
        if name.startswith("kps"):  # landmarks, which our network does not have
            continue
        layer = model.get_layer(name)
        # ONNX: out, in, height, width; depthwise convolutions have 1 channel in.
        order = (2, 3, 0, 1) if name.endswith("_depth") else (2, 3, 1, 0)
        values = kernel.transpose(order)
        if values.shape != tuple(layer.kernel.shape):
            raise ValueError(
                f"{path}: {name} has the shape {values.shape}, not "
                f"{tuple(layer.kernel.shape)}"
            )
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
        raise FileNotFoundError(f"{path}: file does not exist")
    require_libraries("reading ONNX weights", "onnx")
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except Exception as error:  # the exceptions of protobuf are not public
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
