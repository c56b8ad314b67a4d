"""The mask classifier as a Keras network: MobileNetV2 with a head of three outputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.types import CLASSES

ALPHA = 1.0
"""Width of MobileNetV2; 1.0 keeps the float16 file under 5 MB."""

# Keras ships MobileNetV2 with 0.999, made for a million steps. Fine-tuning here takes
# about two thousand, in which such a slow average never reaches the new statistics.
_NORM_MOMENTUM = 0.98


def build_classifier(
    size_px: int, *, weights: str | Path | None = None, dropout: float = 0.3
) -> keras.Model:
    """Build the network `(n, size_px, size_px, 3)` RGB 0..255 -> `(n, 3)` softmax.

    The scaling to -1..1 that MobileNetV2 was trained with is inside, so no caller can
    get it wrong. Every layer is trainable.

    Args:
        size_px: side of the square input.
        weights: a `.weights.h5` file for the part before the head, `"imagenet"` to
            let Keras fetch it, or None to start from chance.
        dropout: share of features dropped before the last layer while training.

    Raises:
        FileNotFoundError: there is no such weights file.
    """
    fetched = weights == "imagenet"
    body = keras.applications.MobileNetV2(
        input_shape=(size_px, size_px, 3),
        alpha=ALPHA,
        include_top=False,
        weights="imagenet" if fetched else None,
    )
    if weights is not None and not fetched:
        body.load_weights(_existing(Path(weights)))
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _NORM_MOMENTUM
    pictures = keras.Input((size_px, size_px, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(pictures)
    x = keras.layers.GlobalAveragePooling2D()(body(x))
    x = keras.layers.Dropout(dropout)(x)
    probs = keras.layers.Dense(len(CLASSES), activation="softmax", name="probs")(x)
    return keras.Model(pictures, probs, name="maskdet_classifier")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no such weights file; with a network at hand, "
            "`--weights imagenet` fetches the usual ones"
        )
    return path


def settle_normalisation(
    model: keras.Model, batches: Iterable[NDArray[np.float32]]
) -> None:
    """Give every normalisation the statistics of these pictures; outputs stay equal.

    Some published weights have their normalisation folded to mean 0 and variance 1.
    They predict well, but in training the true statistics come into play and the
    network is another one at once. Scale and offset are changed to make up for the
    new statistics, so the network's function is the same before and after.

    Args:
        model: what `build_classifier` returned.
        batches: pictures as the network is trained on, `(n, s, s, 3)` RGB 0..255.
    """
    body = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    layers = [
        layer
        for layer in body.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    moments = [_moments(layer.input) for layer in layers]
    probe = keras.Model(body.input, moments)
    seen = [probe.predict_on_batch(batch / 127.5 - 1) for batch in batches]
    for index, layer in enumerate(layers):
        first, second = np.mean([parts[index] for parts in seen], axis=0)
        _settle(layer, first, np.maximum(second - first**2, 0))


def _moments(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return the mean of values and of their squares, `(2, channels)`."""
    powers = (x, keras.ops.square(x))
    return keras.ops.stack([keras.ops.mean(power, axis=(0, 1, 2)) for power in powers])


def _settle(
    layer: keras.layers.BatchNormalization,
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
) -> None:
    gamma, beta, old_mean, old_variance = layer.get_weights()
    slope = gamma / np.sqrt(old_variance + layer.epsilon)
    layer.set_weights(
        [
            slope * np.sqrt(variance + layer.epsilon),
            beta + slope * (mean - old_mean),
            mean,
            variance,
        ]
    )
