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
from maskdet.training.sampling import to_network_input
from maskdet.training.validation import ClassifierMetrics, compute_metrics_by_source
from maskdet.types import CLASSES

WeightFormat = Literal["float32", "float16", "int8"]

WEIGHT_FORMATS: tuple[WeightFormat, ...] = ("float32", "float16", "int8")

# Where two shares of some hundred crops are the same, they are equal up to rounding.
_ROUNDING = 1e-9
_MAX_ACCURACY_LOSS = 0.001
_MAX_BALANCED_LOSS = 0.005


@dataclass(frozen=True, eq=False)
class ConvertedClassifier:
    """One LiteRT file and how it compares with the Keras network it was made from.

    Attributes:
        path: the file.
        n_bytes: its size.
        sha256: of the whole file.
        difference: largest difference of a probability to Keras, on real crops.
        n_changed: crops whose most likely class differs from Keras.
        one_face_ms: shortest time for one face.
        four_faces_ms: shortest time for four faces in one call.
        metrics: on validation, source by source.
    """

    path: Path
    n_bytes: int
    sha256: str
    difference: float
    n_changed: int
    one_face_ms: float
    four_faces_ms: float
    metrics: dict[str, ClassifierMetrics]

    def is_worse_than(self, other: ConvertedClassifier) -> bool:
        """Return whether it is wrong more often than chance could make it.

        Allowed is one face in a thousand, mask against no mask, over all sources
        together, and half of that in a hundred for the mean of the three classes: a
        class of 18 faces moves by five points with a single one.
        """
        n_correct = [
            source_metrics.mask_or_not * source_metrics.n
            for source_metrics in self.metrics.values()
        ]
        other_n_correct = [
            source_metrics.mask_or_not * source_metrics.n
            for source_metrics in other.metrics.values()
        ]
        n = sum(source_metrics.n for source_metrics in self.metrics.values())
        balanced = [source_metrics.balanced for source_metrics in self.metrics.values()]
        other_balanced = [
            source_metrics.balanced for source_metrics in other.metrics.values()
        ]
        return bool(
            sum(n_correct) < sum(other_n_correct) - _MAX_ACCURACY_LOSS * n - _ROUNDING
            or np.mean(balanced)
            < np.mean(other_balanced) - _MAX_BALANCED_LOSS - _ROUNDING
        )

    def list_regressions(self, other: ConvertedClassifier) -> list[str]:
        """Return the sources on which this file is right less often than `other`.

        Right: mask against no mask, or the mean over the three classes.
        """
        return [
            source
            for source, metrics in self.metrics.items()
            if metrics.mask_or_not < other.metrics[source].mask_or_not - _ROUNDING
            or metrics.balanced < other.metrics[source].balanced - _ROUNDING
        ]


def convert_classifier(
    model: keras.Model,
    weight_format: WeightFormat,
    calibration: NDArray[np.uint8] | None = None,
) -> bytes:
    """Return the network as a LiteRT file whose output is named after its columns.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`, or `(n, 4)` with `no_face`.
        weight_format: `float16` stores weights in half the room, and sums are of that
            kind too where the processor can. `int8` computes with 8 bits; input and
            output stay float32.
        calibration: `(n, s, s, 3)` BGR crops that show `int8` the usual values.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = (None, *model.input_shape[1:])
    has_no_face = model.output_shape[-1] > len(CLASSES)
    name = VERIFIER_OUTPUT if has_no_face else OUTPUT_NAME
    archive.add_endpoint(
        "classify",
        lambda image: {name: model(image, training=False)},
        input_signature=[keras.InputSpec(dtype="float32", shape=shape, name="image")],
    )
    if weight_format == "int8" and (calibration is None or not len(calibration)):
        raise ValueError("int8 needs crops to calibrate with")

    def prepare(converter: tf.lite.TFLiteConverter) -> None:
        if weight_format != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weight_format == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if weight_format == "int8" and calibration is not None:
            ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.target_spec.supported_ops = ops
            converter.representative_dataset = lambda: _iter_calibration_inputs(
                calibration
            )

    return export_flatbuffer(archive, "classify", prepare)


def export_flatbuffer(
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


def _iter_calibration_inputs(
    crops: NDArray[np.uint8],
) -> Iterator[dict[str, NDArray[np.float32]]]:
    for row in range(len(crops)):
        yield {"image": to_network_input(crops[row : row + 1])}


def compare_classifier(
    path: Path, crops: Crops, keras_probs: NDArray[np.float32]
) -> ConvertedClassifier:
    """Return how a file does on crops that Keras has answered.

    Args:
        path: the file.
        crops: with their labels.
        keras_probs: `(n, 3)` the answers of Keras.
    """
    classifier = MaskClassifier(path)
    probs = classifier.predict_crops(crops.images)
    four_crops = np.resize(crops.images, (4, *crops.images.shape[1:]))
    return ConvertedClassifier(
        path=path,
        n_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        difference=float(np.abs(probs - keras_probs).max()),
        n_changed=int((probs.argmax(axis=1) != keras_probs.argmax(axis=1)).sum()),
        one_face_ms=_measure_shortest_ms(classifier, four_crops[:1]),
        four_faces_ms=_measure_shortest_ms(classifier, four_crops),
        metrics=compute_metrics_by_source(crops.sources, crops.labels, probs),
    )


def _measure_shortest_ms(
    classifier: MaskClassifier, images: NDArray[np.uint8]
) -> float:
    """Return the shortest of 100 calls: what else the machine does only adds."""
    times_ms = []
    for _ in range(100):
        started = perf_counter()
        classifier.predict_crops(images)
        times_ms.append((perf_counter() - started) * 1e3)
    return min(times_ms)
