"""The mask classifiers as Keras networks, each with three outputs, or four."""

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

# Keras ships MobileNetV2 with 0.999, made for a million steps. Fine-tuning here takes
# about two thousand, in which such a slow average never reaches the new statistics.
_NORM_MOMENTUM = 0.98

_DOWNLOAD_TIMEOUT_S = 30.0


def build_classifier(
    recipe: ClassifierRecipe, weights: str | Path | None = None
) -> keras.Model:
    """Build the network `(n, size_px, size_px, 3)` RGB 0..255 -> `(n, 3)` softmax.

    With `recipe.verifies` there is a fourth column, `no_face`.

    The scaling to -1..1 is inside, so no caller can get it wrong. The last layer is
    the dense one that gives the probabilities, called `probs`.

    Args:
        recipe: which network, and its size.
        weights: a `.weights.h5` file for the part before the head, `"imagenet"` to
            let Keras fetch it, a `.tflite` file that was exported of such a network,
            or None to start from chance.

    Raises:
        FileNotFoundError: there is no such weights file.
        RuntimeError: the ImageNet weights cannot be downloaded.
        ValueError: weights for a network that has none, or of another network.
    """
    images = keras.Input((recipe.size_px, recipe.size_px, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    if recipe.network == "custom-cnn":
        if weights is not None:
            raise ValueError("custom-cnn starts from chance; leave out --weights")
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
    """Let those layers learn that a stage trains; compile the model afterwards.

    Args:
        model: what `build_classifier` returned; without a body, nothing is done.
        stage: says from which layer of the body on.
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
        # `body(x, training=False)` would not do: Keras passes the flag of the outer
        # call on to every layer. Only a layer that is not trainable keeps its
        # statistics while it is trained through. Its scale and offset learn all the
        # same, as in the published recipes.
        layer.trainable = False
        for variable in (layer.gamma, layer.beta):
            variable.trainable = is_trainable


def find_body(model: keras.Model) -> keras.Model | None:
    """Return the part before the head, or None for a network without such parts."""
    return next(
        (layer for layer in model.layers if isinstance(layer, keras.Model)), None
    )


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """Return how many parameters learn and how many do not."""
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
            load_weights(_check_exists(Path(weights)), body)
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _NORM_MOMENTUM
    return body


def _check_exists(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no such file; `imagenet` downloads the usual weights"
        )
    return path


def _build_with_imagenet(make: Callable[..., keras.Model]) -> keras.Model:
    """Return the body with the weights that Keras has or downloads.

    Raises:
        RuntimeError: they cannot be had.
    """
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)  # Keras itself waits without end
    try:
        return make(weights="imagenet")
    except Exception as error:  # Keras raises no narrower kind
        reason = str(error).rpartition(" -- ")[2]  # before it, Keras gives the address
        raise RuntimeError(
            f"the ImageNet weights of MobileNetV2 cannot be downloaded ({reason}); "
            "connect to the internet, or give --weights FILE.weights.h5 (weights "
            "of Keras' MobileNetV2 without its top, saved on another machine), "
            "or --weights none to start from random weights"
        ) from None
    finally:
        socket.setdefaulttimeout(previous_timeout)


def _add_head(x: keras.KerasTensor, recipe: ClassifierRecipe) -> keras.KerasTensor:
    x = keras.layers.GlobalAveragePooling2D()(x)
    if recipe.network == "dense":
        # The published tutorial networks write the average of the whole 7 x 7 map
        # as AveragePooling2D(7) and Flatten: the same numbers.
        x = keras.layers.Dense(128, activation="relu")(x)
    return keras.layers.Dropout(recipe.dropout)(x)


def _add_custom_cnn(x: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    """Add the layers of the recipe `custom-cnn`, all but the last."""
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
    """Give every normalisation the statistics of these images; outputs stay equal.

    Some published weights have their normalisation folded to mean 0 and variance 1.
    They predict well, but in training the true statistics come into play and the
    network is another one at once. Scale and offset are changed to make up for the
    new statistics, so the network's function is the same before and after.

    Args:
        model: what `build_classifier` returned; without a body, nothing is done.
        batches: images as the network is trained on, `(n, s, s, 3)` RGB 0..255.
    """
    body = find_body(model)
    if body is not None:
        recalibrate_network_batchnorm(body, (batch / 127.5 - 1 for batch in batches))


def recalibrate_network_batchnorm(
    network: keras.Model, batches: Iterable[NDArray[np.float32]]
) -> None:
    """Do the same for a network that is called as it is, without a body.

    Args:
        network: any.
        batches: its inputs in training.
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
    """Return the mean of values and of their squares, `(2, channels)`."""
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
