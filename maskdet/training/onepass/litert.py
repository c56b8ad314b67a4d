"""The one-pass network as a LiteRT file, compared with Keras, measured and timed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from maskdet.onepass import Resize, SingleStage, SingleStageNetwork
from maskdet.onepass.decode import OUTPUT_NAMES, FeatureMap
from maskdet.training.litert import export_flatbuffer
from maskdet.training.onepass.negatives import (
    compute_false_positive_rates,
    highest_scores,
)
from maskdet.training.onepass.scenes import TrainingImage
from maskdet.training.onepass.validation import (
    OnePassDetections,
    OnePassMetrics,
    compute_onepass_metrics,
)
from maskdet.types import Image, Settings

WeightFormat = Literal["float32", "float16", "int8"]

WEIGHT_FORMATS: tuple[WeightFormat, ...] = ("float32", "float16", "int8")

SCALINGS: Mapping[int, Resize] = {640: Resize(640, 2.0), 320: Resize(320, 1.0)}
"""Long side to how the analyzers `onepass` and `onepass-fast` see a picture."""

TIMED_WH = ((320, 256), (640, 480))
"""Sizes that are timed: small live video, and a picture."""

_N_TIMED_CALLS = 50
_MAX_AP_LOSS = 0.003


@dataclass(frozen=True, eq=False)
class ConvertedOnePass:
    """One LiteRT file and how it compares with the Keras network it was made from.

    Attributes:
        path: the file.
        n_bytes: its size.
        sha256: of the whole file.
        difference: largest difference of a number in the maps to Keras, as a share of
            the number where that is above 1.
        times_ms: shortest time of one call, for each size in `TIMED_WH`.
        metrics: on validation, as the analyzers see it: `kaggle 640`, ...
        false_positive_rates: fraction of held-out images without a face in which one is
            detected, by threshold, for each long side; empty without such images.
    """

    path: Path
    n_bytes: int
    sha256: str
    difference: float
    times_ms: tuple[float, ...]
    metrics: Mapping[str, OnePassMetrics]
    false_positive_rates: Mapping[str, Mapping[str, float]] = field(
        default_factory=dict
    )

    def list_regressions(self, other: ConvertedOnePass) -> list[str]:
        """Return where this file finds or labels noticeably less well than `other`."""
        return [
            name
            for name, source_metrics in self.metrics.items()
            if source_metrics.faces < other.metrics[name].faces - _MAX_AP_LOSS
            or source_metrics.mean < other.metrics[name].mean - _MAX_AP_LOSS
        ]


def convert_onepass(model: keras.Model, weight_format: WeightFormat) -> bytes:
    """Return the network as a LiteRT file for pictures of any size.

    Its outputs are named as `maskdet.onepass` wants them, labels and all.

    Args:
        model: what `build_onepass` gave.
        weight_format: `float16` stores them in half the room, `int8` in a quarter, with
            sums of 8 bits where the scale of the numbers is found in each call.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = (None, None, None, 3)
    archive.add_endpoint(
        "find",
        lambda image: dict(
            zip(OUTPUT_NAMES, model(image, training=False), strict=True)
        ),
        input_signature=[keras.InputSpec(dtype="float32", shape=shape, name="image")],
    )

    def prepare(converter: tf.lite.TFLiteConverter) -> None:
        if weight_format != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weight_format == "float16":
            converter.target_spec.supported_types = [tf.float16]

    return export_flatbuffer(archive, "find", prepare)


def compare_onepass(
    path: Path,
    model: keras.Model,
    images: Sequence[TrainingImage],
    negatives: Sequence[TrainingImage] = (),
) -> ConvertedOnePass:
    """Return how a file does beside the network that it was made from.

    Args:
        path: the file.
        model: the network.
        images: validation scenes; the first few are compared number by number.
        negatives: held-out pictures without a face.
    """
    network = SingleStageNetwork(path)
    return ConvertedOnePass(
        path=path,
        n_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        difference=max(
            _compute_max_difference(network.forward(sample), model, sample)
            for sample in _cut_comparison_images(images)
        ),
        times_ms=tuple(_measure_shortest_ms(network, *size) for size in TIMED_WH),
        metrics=_evaluate_by_source(network, images),
        false_positive_rates=_measure_false_positive_rates(network, negatives)
        if negatives
        else {},
    )


def _cut_comparison_images(images: Sequence[TrainingImage]) -> list[Image]:
    """Return a lying and an upright cut, both of whole cells, from a few scenes."""
    rows = np.linspace(0, len(images) - 1, min(3, len(images))).astype(int)
    sizes_hw = ((192, 256), (256, 160))
    return [
        np.resize(images[row].image[:height, :width], (height, width, 3))
        for row in rows
        for height, width in sizes_hw
    ]


def _compute_max_difference(
    maps: Sequence[FeatureMap], model: keras.Model, image: Image
) -> float:
    keras_maps = model(image[None].astype(np.float32), training=False)
    largest = 0.0
    for litert_map, keras_map in zip(maps, keras_maps, strict=True):
        expected = np.asarray(keras_map)[0]
        difference = np.abs(litert_map - expected) / np.maximum(np.abs(expected), 1)
        largest = max(largest, float(difference.max()))
    return largest


def _measure_shortest_ms(network: SingleStageNetwork, width: int, height: int) -> float:
    """Return the shortest of some calls: what else the machine does only adds."""
    image = np.full((height, width, 3), 90, np.uint8)
    times_ms = []
    for _ in range(_N_TIMED_CALLS):
        started = perf_counter()
        network.forward(image)
        times_ms.append((perf_counter() - started) * 1e3)
    return min(times_ms)


def _measure_false_positive_rates(
    network: SingleStageNetwork, negatives: Sequence[TrainingImage]
) -> dict[str, Mapping[str, float]]:
    rates: dict[str, Mapping[str, float]] = {}
    for side, scaling in SCALINGS.items():
        analyzer = SingleStage(network, scaling)
        scenes = [
            analyzer.analyze(negative.image, Settings.permissive())
            for negative in negatives
        ]
        scores = highest_scores(scene.faces for scene in scenes)
        rates[str(side)] = compute_false_positive_rates(scores)
    return rates


def _evaluate_by_source(
    network: SingleStageNetwork, images: Sequence[TrainingImage]
) -> dict[str, OnePassMetrics]:
    results = {}
    for source in dict.fromkeys(image.source for image in images):
        source_images = [image for image in images if image.source == source]
        for side, scaling in SCALINGS.items():
            analyzer = SingleStage(network, scaling)
            scenes = [
                analyzer.analyze(image.image, Settings.permissive())
                for image in source_images
            ]
            detections = [
                OnePassDetections(scene.faces, scene.probs) for scene in scenes
            ]
            results[f"{source} {side}"] = compute_onepass_metrics(
                source_images, detections
            )
    return results
