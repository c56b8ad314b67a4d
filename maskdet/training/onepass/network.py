"""The one-pass network: YuNet's layers, and a branch of our own that reads the mask.

Finding starts as YuNet's published topology (Wu et al., "YuNet: A Tiny
Millisecond-level Face
Detector", Machine Intelligence Research, 2023; Apache-2.0). Reading the mask is a
second, wider path that starts at stride 4, where small faces still have a mouth, and
goes down beside the pyramid (as the bottom-up path of Liu et al., "Path Aggregation
Network for Instance Segmentation", 2018): each level sees what the finer one read.
What it sees also corrects score and box; at the start by nothing.

Fully convolutional: sides that are multiples of 32 pixels, of any number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import layers

from maskdet.onepass.decode import STRIDES_PX
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
