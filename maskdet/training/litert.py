"""A Keras network as a LiteRT file in three precisions, each compared and timed."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from maskdet.classifier import OUTPUT_NAME, MaskClassifier
from maskdet.own_models import VERIFIER_OUTPUT
from maskdet.training.crops import Crops
from maskdet.training.sampling import network_input
from maskdet.training.validation import Rightness, by_source
from maskdet.types import CLASSES

Precision = Literal["float32", "float16", "int8"]

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")

# Where two shares of some hundred crops are the same, they are equal up to rounding.
_ROUNDING = 1e-9
_LOST_SHARE = 0.001
_LOST_BALANCED = 0.005


@dataclass(frozen=True, eq=False)
class Converted:
    """One LiteRT file and how it compares with the Keras network it was made from.

    Attributes:
        path: the file.
        n_bytes: its size.
        sha256: of the whole file.
        difference: largest difference of a probability to Keras, on real crops.
        changed: crops whose most likely class differs from Keras.
        one_ms: shortest time for one face.
        four_ms: shortest time for four faces in one call.
        rightness: on validation, source by source.
    """

    path: Path
    n_bytes: int
    sha256: str
    difference: float
    changed: int
    one_ms: float
    four_ms: float
    rightness: dict[str, Rightness]

    def is_worse_than(self, other: Converted) -> bool:
        """Return whether it is wrong more often than chance could make it.

        Allowed is one face in a thousand, mask against no mask, over all sources
        together, and half of that in a hundred for the mean of the three classes: a
        class of 18 faces moves by five points with a single one.
        """
        two = [one.mask_or_not * one.n for one in self.rightness.values()]
        had = [one.mask_or_not * one.n for one in other.rightness.values()]
        n = sum(one.n for one in self.rightness.values())
        three = [one.balanced for one in self.rightness.values()]
        had_three = [one.balanced for one in other.rightness.values()]
        return bool(
            sum(two) < sum(had) - _LOST_SHARE * n - _ROUNDING
            or np.mean(three) < np.mean(had_three) - _LOST_BALANCED - _ROUNDING
        )

    def loses_to(self, other: Converted) -> list[str]:
        """Return the sources on which this file is right less often than `other`.

        Right: mask against no mask, or the mean over the three classes.
        """
        return [
            source
            for source, mine in self.rightness.items()
            if mine.mask_or_not < other.rightness[source].mask_or_not - _ROUNDING
            or mine.balanced < other.rightness[source].balanced - _ROUNDING
        ]


def convert(
    model: keras.Model,
    precision: Precision,
    calibration: NDArray[np.uint8] | None = None,
) -> bytes:
    """Return the network as a LiteRT file whose output is named after its columns.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`, or `(n, 4)` with `no_face`.
        precision: `float16` stores weights in half the room, and sums are of that
            kind too where the processor can. `int8` computes with 8 bits; input and
            output stay float32.
        calibration: `(n, s, s, 3)` BGR crops that show `int8` the usual values.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = (None, *model.input_shape[1:])
    verifies = model.output_shape[-1] > len(CLASSES)
    name = VERIFIER_OUTPUT if verifies else OUTPUT_NAME
    archive.add_endpoint(
        "classify",
        lambda image: {name: model(image, training=False)},
        input_signature=[keras.InputSpec(dtype="float32", shape=shape, name="image")],
    )
    if precision == "int8" and (calibration is None or not len(calibration)):
        raise ValueError("int8 needs crops to calibrate with")

    def prepare(converter: tf.lite.TFLiteConverter) -> None:
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8" and calibration is not None:
            kinds = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.target_spec.supported_ops = kinds
            converter.representative_dataset = lambda: _one_by_one(calibration)

    return flatbuffer(archive, "classify", prepare)


def flatbuffer(
    archive: keras.export.ExportArchive,
    endpoint: str,
    prepare: Callable[[tf.lite.TFLiteConverter], None],
) -> bytes:
    """Return an archive's endpoint as a LiteRT file.

    Args:
        archive: with the network and its endpoint.
        endpoint: its name.
        prepare: sets the converter's options.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[endpoint]
        )
        prepare(converter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's own, about its parts
            return bytes(converter.convert())


def _one_by_one(
    crops: NDArray[np.uint8],
) -> Iterator[dict[str, NDArray[np.float32]]]:
    for row in range(len(crops)):
        yield {"image": network_input(crops[row : row + 1])}


def compared(path: Path, crops: Crops, truth: NDArray[np.float32]) -> Converted:
    """Return how a file does on crops that Keras has answered.

    Args:
        path: the file.
        crops: with their labels.
        truth: `(n, 3)` the answers of Keras.
    """
    classifier = MaskClassifier(path)
    probs = classifier.predict_crops(crops.images)
    four = np.resize(crops.images, (4, *crops.images.shape[1:]))
    return Converted(
        path=path,
        n_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        difference=float(np.abs(probs - truth).max()),
        changed=int((probs.argmax(axis=1) != truth.argmax(axis=1)).sum()),
        one_ms=_shortest_ms(classifier, four[:1]),
        four_ms=_shortest_ms(classifier, four),
        rightness=by_source(crops.sources, crops.labels, probs),
    )


def _shortest_ms(classifier: MaskClassifier, images: NDArray[np.uint8]) -> float:
    """Return the shortest of 100 calls: what else the machine does only adds."""
    times_ms = []
    for _ in range(100):
        started = perf_counter()
        classifier.predict_crops(images)
        times_ms.append((perf_counter() - started) * 1e3)
    return min(times_ms)
