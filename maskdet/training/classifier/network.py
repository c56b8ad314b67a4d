"""The mask classifiers as Keras networks with three or four outputs."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.training.checkpoint import load_weights
from maskdet.training.classifier.recipes import ClassifierRecipe, Stage
from maskdet.training.initial_weights import load_litert_weights
from maskdet.types import CLASSES

WIDTH_MULTIPLIER = 1.0
"""Width of MobileNetV2; 1.0 keeps the float16 file under 5 MB."""

# The default of MobileNetV2 in Keras is 0.999, for a million steps. Fine-tuning takes
# about two thousand steps, too few for such a slow average.
_NORM_MOMENTUM = 0.98

_DOWNLOAD_TIMEOUT_S = 30.0


def build_classifier(
    recipe: ClassifierRecipe, weights: str | Path | None = None
) -> keras.Model:
    """Build the network `(n, size_px, size_px, 3)` RGB 0..255 -> `(n, 3)` softmax.

    With `recipe.verifies` there is a fourth column, `no_face`.

    The network includes the scaling to -1..1. The last layer is the dense layer of the
    probabilities, named `probs`.

    Args:
        recipe: defines the architecture and the input size.
        weights: a `.weights.h5` file for the body, `"imagenet"` to download the weights
            with Keras, an exported `.tflite` file of such a network, or None for random
            weights.

    Raises:
        FileNotFoundError: the weights file does not exist.
        RuntimeError: the ImageNet weights cannot be downloaded.
        ValueError: the weights are of another network, or the network accepts none.
    """
    images = keras.Input((recipe.size_px, recipe.size_px, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    if recipe.network == "custom-cnn":
        if weights is not None:
            raise ValueError("custom-cnn starts from random weights; remove --weights")
        x = _add_custom_cnn(x, recipe.dropout)
    else:
        is_litert = weights is not None and Path(weights).suffix == ".tflite"
        body = _build_mobilenet(recipe.size_px, None if is_litert else weights)
        x = _add_head(body(x), recipe)
    columns = len(CLASSES) + recipe.verifies
    probs = keras.layers.Dense(columns, activation="softmax", name="probs")(x)
    model = keras.Model(images, probs, name="maskdet_classifier")
    if weights is not None and Path(weights).suffix == ".tflite":
        load_litert_weights(model, weights)
    return model


def set_trainable(model: keras.Model, stage: Stage, *, norm_learns: bool) -> None:
    """Set the trainable layers of a stage; compile the model afterwards.

    Args:
        model: result of `build_classifier`; a model without a body is not changed.
        stage: defines the first trainable layer of the body.
        norm_learns: as in `ClassifierRecipe`.
    """
    body = find_body(model)
    if body is None:
        return
    body.trainable = stage.train_from is not None
    for index, layer in enumerate(body.layers):
        is_trainable = stage.train_from is not None and index >= stage.train_from
        layer.trainable = is_trainable
        if norm_learns or not isinstance(layer, keras.layers.BatchNormalization):
            continue
        # `body(x, training=False)` has no effect: Keras passes the flag of the outer
        # call to every layer. Only a layer that is not trainable keeps its statistics
        # in training. Its scale and offset are trained, as in the published recipes.
        layer.trainable = False
        for variable in (layer.gamma, layer.beta):
            variable.trainable = is_trainable


def find_body(model: keras.Model) -> keras.Model | None:
    """Return the body (the part before the head), or None if there is none."""
    return next(
        (layer for layer in model.layers if isinstance(layer, keras.Model)), None
    )


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """Return the number of trainable and of frozen parameters."""
    n_trainable, n_frozen = (
        sum(math.prod(weight.shape) for weight in weights)
        for weights in (model.trainable_weights, model.non_trainable_weights)
    )
    return n_trainable, n_frozen


def format_layer_table(model: keras.Model) -> list[str]:
    """Return a table of the layers with their outputs and parameters."""
    rows = [
        (layer.name, str(layer.output.shape[1:]), f"{layer.count_params():,}")
        for layer in model.layers
    ]
    return [f"{name:28}{shape:>20}{count:>14}" for name, shape, count in rows]


def _build_mobilenet(size_px: int, weights: str | Path | None) -> keras.Model:
    make = partial(
        keras.applications.MobileNetV2,
        (size_px, size_px, 3),
        WIDTH_MULTIPLIER,
        include_top=False,
    )
    if weights == "imagenet":
        body = _build_with_imagenet(make)
    else:
        body = make(weights=None)
        if weights is not None:
            path = Path(weights)
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path}: weights file does not exist; `imagenet` downloads the "
                    "default weights"
                )
            load_weights(path, body)
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _NORM_MOMENTUM
    return body


def _build_with_imagenet(make: Callable[..., keras.Model]) -> keras.Model:
    """Return the body with ImageNet weights, downloaded if necessary.

    Raises:
        RuntimeError: the download failed.
    """
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)  # Keras has no timeout
    try:
        return make(weights="imagenet")
    except Exception as error:  # Keras raises no narrower class
        reason = str(error).rpartition(" -- ")[2]  # the text before it is the URL
        raise RuntimeError(
            f"the ImageNet weights of MobileNetV2 cannot be downloaded ({reason}); "
            "connect to the internet, use --weights FILE.weights.h5 (MobileNetV2 of "
            "Keras without its top, saved on another machine), or --weights none for "
            "random weights"
        ) from None
    finally:
        socket.setdefaulttimeout(previous_timeout)


def _add_head(x: keras.KerasTensor, recipe: ClassifierRecipe) -> keras.KerasTensor:
    x = keras.layers.GlobalAveragePooling2D()(x)
    if recipe.network == "dense":
        # The published tutorial networks use AveragePooling2D(7) and Flatten for the
        # 7 x 7 map, which is equivalent.
        x = keras.layers.Dense(128, activation="relu")(x)
    return keras.layers.Dropout(recipe.dropout)(x)


def _add_custom_cnn(x: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    """Add the layers of the recipe `custom-cnn`, except the last."""
    for filters, side in ((64, 3), (128, 5)):
        x = keras.layers.Conv2D(filters, side)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.MaxPooling2D(2)(keras.layers.ReLU()(x))
        x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Dense(256)(keras.layers.Flatten()(x))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.layers.Dropout(dropout)(x)


def recalibrate_batchnorm(
    model: keras.Model, batches: Iterable[NDArray[np.float32]]
) -> None:
    """Set the statistics of batch normalisation to those of `batches`.

    Some published weights have their normalisation folded to mean 0 and variance 1.
    They predict well, but training uses the true statistics, which changes the network
    at once. Scale and offset are adjusted to the new statistics, so that the outputs
    do not change.

    Args:
        model: result of `build_classifier`; a model without a body is not changed.
        batches: training images, `(n, s, s, 3)` RGB 0..255.
    """
    body = find_body(model)
    if body is not None:
        recalibrate_network_batchnorm(body, (batch / 127.5 - 1 for batch in batches))


def recalibrate_network_batchnorm(
    network: keras.Model, batches: Iterable[NDArray[np.float32]]
) -> None:
    """Set the statistics of batch normalisation of a network without a body.

    Args:
        network: any Keras network.
        batches: its training inputs.
    """
    layers = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    moments = [_moments(layer.input) for layer in layers]
    probe = keras.Model(network.input, moments)
    batch_moments = [probe.predict_on_batch(batch) for batch in batches]
    for index, layer in enumerate(layers):
        first, second = np.mean([parts[index] for parts in batch_moments], axis=0)
        _set_batchnorm_statistics(layer, first, np.maximum(second - first**2, 0))


def _moments(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return the means of the values and of their squares, `(2, channels)`."""
    powers = (x, keras.ops.square(x))
    return keras.ops.stack([keras.ops.mean(power, axis=(0, 1, 2)) for power in powers])


def _set_batchnorm_statistics(
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
