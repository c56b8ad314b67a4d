"""The one-pass network: YuNet's layers, and a branch of our own that reads the mask.

Finding starts as YuNet's published topology (Wu et al., "YuNet: A Tiny
Millisecond-level Face
Detector", Machine Intelligence Research, 2023; Apache-2.0). Reading the mask is a
second, wider path that starts at stride 4, where small faces still have a mouth, and
goes down beside the pyramid (as the bottom-up path of Liu et al., "Path Aggregation
Network for Instance Segmentation", 2018): each level sees what the finer one read.
What it sees also corrects score and box; at the start by nothing.

Fully convolutional: sides that are multiples of 32 pixels, of any number.

YuNet's published weights as the start of our own training.
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
the 1.7 ms that finding takes in LiteRT on two cores."""

FACE_PRIOR = 0.01
"""How likely a cell of an untrained network says it is a face (Lin et al., "Focal Loss
for Dense Object Detection", 2017, section 4.1)."""

MASK_PRIOR = (0.50, 0.38, 0.12)
"""How likely an untrained network says each class: as often as training shows it."""

_N_CHANNELS = 64
_N_LANDMARK_VALUES = 10


def build_onepass_network(
    *, landmarks: bool = False, mask_widths: Sequence[int] = MASK_WIDTHS
) -> keras.Model:
    """Return the network: `(n, h, w, 3)` BGR 0..255 -> three maps, fine to coarse.

    Each map is `(n, h / s, w / s, 9)`: class and objectness logit (the face score is
    `sqrt(sigmoid(cls) * sigmoid(obj))`), `dx, dy, log w, log h` in strides, and the
    logits of `CLASSES`.

    Args:
        landmarks: add YuNet's five points, `(n, h / s, w / s, 10)` a level, as three
            more outputs. Only for comparison with the original.
        mask_widths: channels of the mask branch at each stride.
    """
    image = keras.Input((None, None, 3), name="image")
    stride4, backbone = _build_backbone(image)
    pyramid = _build_neck(backbone)
    branch = _build_mask_branch(stride4, pyramid, mask_widths)
    maps, points = [], []
    for stride, features, mask_features in zip(
        STRIDES_PX, pyramid, branch, strict=True
    ):
        shared = _add_unit(features, _N_CHANNELS, f"head{stride}")
        parts = [
            _add_unit(shared, 1, f"cls{stride}", relu=False),
            _add_unit(shared, 1, f"obj{stride}", relu=False),
            _add_unit(shared, 4, f"box{stride}", relu=False),
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
        if landmarks:
            points.append(
                _add_unit(shared, _N_LANDMARK_VALUES, f"kps{stride}", relu=False)
            )
    model = keras.Model(image, [*maps, *points], name="onepass")
    _set_prior_biases(model)
    return model


def _build_backbone(image: keras.KerasTensor) -> tuple[keras.KerasTensor, list[object]]:
    """Return the features at stride 4, and those at 8, 16 and 32."""
    # PyTorch pads one pixel on each side; Keras' "same" would pad the far side only.
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
    """Return the pyramid: what is seen from afar is added to what is seen closely."""
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
    """YuNet's only building block: across channels, then across 3x3 pixels."""
    x = layers.Conv2D(width, 1, name=f"{name}_point")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depth")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _build_mask_branch(
    fine: object, pyramid: Sequence[object], widths: Sequence[int]
) -> list[object]:
    """Return what the wide path sees at each level, `(n, h / s, w / s, width)`."""
    levels = []
    for stride, features, width in zip(STRIDES_PX, pyramid, widths, strict=True):
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
    """5x5 pixels, then channels, added to what came in (He et al., ResNet, 2016)."""
    y = layers.DepthwiseConv2D(5, padding="same", use_bias=False, name=f"{name}_depth")
    z = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_point")(y(x))
    z = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(z)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([x, z]))


def _set_prior_biases(model: keras.Model) -> None:
    """Let an untrained network say `no face` nearly everywhere, and usual classes."""
    for stride in STRIDES_PX:
        for head in ("cls", "obj"):
            last = model.get_layer(f"{head}{stride}_depth")
            kernel, bias = last.get_weights()
            last.set_weights([kernel, bias + math.log(FACE_PRIOR / (1 - FACE_PRIOR))])
        last = model.get_layer(f"mask{stride}_logits")
        kernel, bias = last.get_weights()
        last.set_weights([kernel * 0.1, bias + [math.log(p) for p in MASK_PRIOR]])


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
