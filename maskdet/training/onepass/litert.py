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

from maskdet.onepass import Network, OnePass, Scaling
from maskdet.onepass.decode import OUTPUT_NAMES, Map
from maskdet.training.litert import flatbuffer
from maskdet.training.onepass.negatives import false_positive_rates, highest_scores
from maskdet.training.onepass.scenes import Place
from maskdet.training.onepass.validation import Found, Precision, precision_of
from maskdet.types import Image, Settings

Weights = Literal["float32", "float16", "int8"]

WEIGHTS: tuple[Weights, ...] = ("float32", "float16", "int8")

SCALINGS: Mapping[int, Scaling] = {640: Scaling(640, 2.0), 320: Scaling(320, 1.0)}
"""Long side to how the analyzers `onepass` and `onepass-fast` see a picture."""

TIMED_WH = ((320, 256), (640, 480))
"""Sizes that are timed: small live video, and a picture."""

_CALLS = 50
_LOST = 0.003


@dataclass(frozen=True, eq=False)
class Converted:
    """One LiteRT file and how it compares with the Keras network it was made from.

    Attributes:
        path: the file.
        n_bytes: its size.
        sha256: of the whole file.
        difference: largest difference of a number in the maps to Keras, as a share of
            the number where that is above 1.
        times_ms: shortest time of one call, for each size in `TIMED_WH`.
        precision: on validation, as the analyzers see it: `kaggle 640`, ...
        false_positives: fraction of held-out images without a face in which one is
            detected, by threshold, for each long side; empty without such images.
    """

    path: Path
    n_bytes: int
    sha256: str
    difference: float
    times_ms: tuple[float, ...]
    precision: Mapping[str, Precision]
    false_positives: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def loses_to(self, other: Converted) -> list[str]:
        """Return where this file finds or labels noticeably less well than `other`."""
        return [
            name
            for name, mine in self.precision.items()
            if mine.faces < other.precision[name].faces - _LOST
            or mine.mean < other.precision[name].mean - _LOST
        ]


def convert(model: keras.Model, weights: Weights) -> bytes:
    """Return the network as a LiteRT file for pictures of any size.

    Its outputs are named as `maskdet.onepass` wants them, labels and all.

    Args:
        model: what `build_onepass` gave.
        weights: `float16` stores them in half the room, `int8` in a quarter, with
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
        if weights != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weights == "float16":
            converter.target_spec.supported_types = [tf.float16]

    return flatbuffer(archive, "find", prepare)


def compared(
    path: Path,
    model: keras.Model,
    places: Sequence[Place],
    negatives: Sequence[Place] = (),
) -> Converted:
    """Return how a file does beside the network that it was made from.

    Args:
        path: the file.
        model: the network.
        places: validation scenes; the first few are compared number by number.
        negatives: held-out pictures without a face.
    """
    network = Network(path)
    return Converted(
        path=path,
        n_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        difference=max(
            _difference(network.run(seen), model, seen) for seen in _samples(places)
        ),
        times_ms=tuple(_shortest_ms(network, *size) for size in TIMED_WH),
        precision=_measured(network, places),
        false_positives=_false_positive_rates(network, negatives) if negatives else {},
    )


def _samples(places: Sequence[Place]) -> list[Image]:
    """Return a lying and an upright cut, both of whole cells, from a few scenes."""
    rows = np.linspace(0, len(places) - 1, min(3, len(places))).astype(int)
    sizes_hw = ((192, 256), (256, 160))
    return [
        np.resize(places[row].image[:height, :width], (height, width, 3))
        for row in rows
        for height, width in sizes_hw
    ]


def _difference(maps: Sequence[Map], model: keras.Model, seen: Image) -> float:
    truth = model(seen[None].astype(np.float32), training=False)
    largest = 0.0
    for mine, kept in zip(maps, truth, strict=True):
        wanted = np.asarray(kept)[0]
        off = np.abs(mine - wanted) / np.maximum(np.abs(wanted), 1)
        largest = max(largest, float(off.max()))
    return largest


def _shortest_ms(network: Network, width: int, height: int) -> float:
    """Return the shortest of some calls: what else the machine does only adds."""
    image = np.full((height, width, 3), 90, np.uint8)
    times_ms = []
    for _ in range(_CALLS):
        started = perf_counter()
        network.run(image)
        times_ms.append((perf_counter() - started) * 1e3)
    return min(times_ms)


def _false_positive_rates(
    network: Network, negatives: Sequence[Place]
) -> dict[str, Mapping[str, float]]:
    found: dict[str, Mapping[str, float]] = {}
    for side, scaling in SCALINGS.items():
        analyzer = OnePass(network, scaling)
        scenes = [
            analyzer.analyze(place.image, Settings.permissive()) for place in negatives
        ]
        scores = highest_scores(scene.faces for scene in scenes)
        found[str(side)] = false_positive_rates(scores)
    return found


def _measured(network: Network, places: Sequence[Place]) -> dict[str, Precision]:
    results = {}
    for source in dict.fromkeys(place.source for place in places):
        own = [place for place in places if place.source == source]
        for side, scaling in SCALINGS.items():
            analyzer = OnePass(network, scaling)
            scenes = [
                analyzer.analyze(place.image, Settings.permissive()) for place in own
            ]
            found = [Found(scene.faces, scene.probs) for scene in scenes]
            results[f"{source} {side}"] = precision_of(own, found)
    return results
