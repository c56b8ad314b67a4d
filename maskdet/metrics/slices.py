"""Metrics by slice of a data set: face size, light, sharpness and source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.classification import (
    ClassificationResult,
    Json,
    Predictions,
    is_predicted_unmasked,
)
from maskdet.metrics.intervals import Estimate, proportion_of
from maskdet.types import Image, Label

MEASURED_PX = 64
"""Side to which a face is scaled before light and sharpness are measured."""

MIN_COMPARED_FACES = 10
"""Smallest number of faces in a slice and in the rest for a comparison: with fewer, a
single error can be significant by Newcombe's interval."""

_SIZE_EDGES = (0.0, 32.0, 64.0, 128.0, math.inf)
_LIGHT_EDGES = (0.0, 40.0, 80.0, 160.0, math.inf)

FaceSlice = tuple[str, str, NDArray[np.bool_]]
"""Attribute, part and `(n,)` mask of the faces of a slice."""


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice of a data set, compared with the rest.

    Attributes:
        name: the attribute: `face size`, `light`, `sharpness` or `source`.
        part: its range or value as text.
        classification: predictions for the faces of the slice.
        accuracy: accuracy of mask against no mask.
        difference: accuracy of the slice minus that of the rest.
        is_worse: whether the accuracy is significantly lower than that of the rest.
    """

    name: str
    part: str
    classification: ClassificationResult
    accuracy: Estimate
    difference: Estimate
    is_worse: bool

    def to_json(self) -> Json:
        """Return all metrics with their intervals."""
        return {
            "name": self.name,
            "part": self.part,
            **self.classification.rates_to_json(),
            "accuracy_difference": self.difference.to_json(),
            "is_worse": self.is_worse,
        }


def evaluate_slices(predictions: Predictions) -> list[Slice]:
    """Evaluate slices by face size, light, sharpness and source; skip empty ones.

    Sizes are shorter sides in pixels, lights mean luminances of 0 to 255; sharpness is
    cut into terciles of the data set.
    """
    unmasked = predictions.ground_truth == Label.NO_MASK
    correct = is_predicted_unmasked(predictions.probs) == unmasked
    return [
        Slice(
            name,
            part,
            predictions.select(selected).classification,
            *compare_with_rest(correct, selected),
        )
        for name, part, selected in _slice_predictions(predictions)
        if selected.any()
    ]


class RestComparison(NamedTuple):
    """The rate of correct predictions in a part of the faces, and that of the rest.

    Attributes:
        rate: the rate in the part.
        difference: the rate minus that of the rest, with its interval; NaN if there is
            no rest.
        is_worse: whether the rate is significantly lower; the false-positive rate of
            this test is 1 in 40.
    """

    rate: Estimate
    difference: Estimate
    is_worse: bool


def compare_with_rest(
    correct: NDArray[np.bool_], in_part: NDArray[np.bool_]
) -> RestComparison:
    """Compare a part of the faces with the rest.

    Args:
        correct: `(n,)` whether the prediction for each face is correct.
        in_part: `(n,)` whether the face is in the part.
    """
    rate, rest_rate = proportion_of(correct[in_part]), proportion_of(correct[~in_part])
    difference = proportion_difference(rate, rest_rate)
    is_large_enough = min(rate.n, rest_rate.n) >= MIN_COMPARED_FACES
    return RestComparison(rate, difference, is_large_enough and difference.high < 0)


def proportion_difference(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two independent proportions with its 95 % interval.

    Source: R. G. Newcombe, "Interval estimation for the difference between
    independent proportions", Statistics in Medicine 17 (1998), method 10.

    Args:
        first: a proportion with its Wilson interval, from `proportion`.
        second: the proportion to subtract.

    Returns:
        The difference, NaN if either has no items; `n` is that of `first`.
    """
    if not first.n or not second.n:
        return Estimate(math.nan, math.nan, math.nan, first.n)
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - down, value + up, first.n)


def crop_light(crop: Image) -> float:
    """Return the mean luminance of a crop, 0 (black) to 255 (ITU-R BT.601 weights)."""
    return float(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).mean())


def crop_sharpness(crop: Image) -> float:
    """Return the variance of the Laplacian of a crop's luminance; larger is sharper.

    The crop is first scaled to `MEASURED_PX`, so that small faces count as blurred.
    Source: J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy",
    ICPR 2000.
    """
    luma = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    if luma.shape != (MEASURED_PX, MEASURED_PX):
        shrinks = max(luma.shape) > MEASURED_PX
        rule = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        luma = cv2.resize(luma, (MEASURED_PX, MEASURED_PX), interpolation=rule)
    return float(cv2.Laplacian(luma, cv2.CV_64F).var())


def tercile_bounds(sharpness: NDArray[np.float32]) -> tuple[float, float]:
    """Return the two bounds of the terciles; NaN without faces."""
    if not len(sharpness):
        return math.nan, math.nan
    low, high = np.percentile(sharpness, [100 / 3, 200 / 3])
    return float(low), float(high)


def slice_faces(
    sizes_px: NDArray[np.float32],
    lights: NDArray[np.float32],
    sharpness: NDArray[np.float32],
    sharpness_bounds: tuple[float, float],
) -> Iterator[FaceSlice]:
    """Yield slices by size, light and sharpness; a slice may be empty.

    Args:
        sizes_px: `(n,)` shorter sides in pixels.
        lights: `(n,)` mean luminances, 0 to 255.
        sharpness: `(n,)`, see `crop_sharpness`.
        sharpness_bounds: bounds of the terciles, from `tercile_bounds`.
    """
    yield from _slice_by_range("face size", sizes_px, _SIZE_EDGES, " px")
    yield from _slice_by_range("light", lights, _LIGHT_EDGES, "")
    ranks = (sharpness > sharpness_bounds[0]).astype(int) + (
        sharpness > sharpness_bounds[1]
    )
    for rank, part in enumerate(("blurred third", "middle third", "sharp third")):
        yield "sharpness", part, ranks == rank


def _slice_predictions(predictions: Predictions) -> Iterator[FaceSlice]:
    qualities = (predictions.sizes_px, predictions.lights, predictions.sharpness)
    yield from slice_faces(*qualities, tercile_bounds(predictions.sharpness))
    for source in sorted({str(source) for source in predictions.sources}):
        yield "source", source or "(none)", predictions.sources == source


def _slice_by_range(
    name: str, values: NDArray[np.float32], edges: tuple[float, ...], unit: str
) -> Iterator[FaceSlice]:
    for low, high in pairwise(edges):
        if low == 0:
            part = f"under {high:g}{unit}"
        elif high == math.inf:
            part = f"{low:g}{unit} and more"
        else:
            part = f"{low:g} to {high:g}{unit}"
        yield name, part, (values >= low) & (values < high)
