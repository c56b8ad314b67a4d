"""Parts of a labelled set: small faces, dark ones, blurred ones, each source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.classification import ClassificationResult, Json, Predictions
from maskdet.metrics.intervals import Estimate, proportion
from maskdet.types import Image

MEASURED_PX = 64
"""Side that a face is scaled to before its light and sharpness are measured."""

MIN_COMPARED_FACES = 10
"""Faces in a part and in its rest from which one is called worse than the other: with
fewer, Newcombe's interval would accuse a single mistake."""

_SIZE_EDGES = (0.0, 32.0, 64.0, 128.0, math.inf)
_LIGHT_EDGES = (0.0, 40.0, 80.0, 160.0, math.inf)


@dataclass(frozen=True, eq=False)
class Slice:
    """One part of a set, and whether it does worse than the rest of the set.

    Attributes:
        name: what the set was cut by: `face size`, `light`, `sharpness`, `source`.
        part: which part of it, in words.
        classification: the answers for the faces in this part.
        difference: accuracy of mask against no mask here minus that of all other
            faces, with its interval; NaN where there is nothing to compare with.
        n_rest: how many faces the rest of the set has.
    """

    name: str
    part: str
    classification: ClassificationResult
    difference: Estimate
    n_rest: int

    @property
    def accuracy(self) -> Estimate:
        """Mask against no mask."""
        return self.classification.binary_confusion.accuracy

    @property
    def is_worse(self) -> bool:
        """Whether it does worse than the rest by more than the interval allows.

        One in forty parts that are no worse is called so by chance.
        """
        enough = min(self.difference.n, self.n_rest) >= MIN_COMPARED_FACES
        return enough and self.difference.high < 0

    def to_json(self) -> Json:
        """Return every number with its interval."""
        binary_confusion = self.classification.binary_confusion
        return {
            "name": self.name,
            "part": self.part,
            "n": binary_confusion.n,
            "mask_against_no_mask": binary_confusion.accuracy.to_json(),
            "masked_right": binary_confusion.recalls[0].to_json(),
            "bare_right": binary_confusion.recalls[1].to_json(),
            "three_states": self.classification.class_confusion.accuracy.to_json(),
            "difference_to_the_rest": self.difference.to_json(),
            "worse": self.is_worse,
        }


def evaluate_slices(predictions: Predictions) -> list[Slice]:
    """Cut a set by face size, light, sharpness and source; parts without faces go.

    Sizes are the shorter side in pixels, lights mean luminances of 0 to 255; for
    sharpness the set itself is cut in three equal parts.
    """
    classification = predictions.classification
    correct = (classification.probs[:, 1] > 0.5) == (classification.ground_truth == 1)
    result = []
    for name, part, selected in _slice_predictions(predictions):
        n, n_rest = int(selected.sum()), int((~selected).sum())
        if not n:
            continue
        hits, other_hits = int(correct[selected].sum()), int(correct[~selected].sum())
        gap = proportion_difference(proportion(hits, n), proportion(other_hits, n_rest))
        result.append(
            Slice(name, part, predictions.select(selected).classification, gap, n_rest)
        )
    return result


def proportion_difference(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two independent shares with its 95 % interval.

    Source: R. G. Newcombe, "Interval estimation for the difference between
    independent proportions", Statistics in Medicine 17 (1998), method 10.

    Args:
        first: a share with Wilson's interval, as `proportion` gives it.
        second: what is taken away from it.

    Returns:
        NaN where one of the two has nothing to measure; `n` is that of `first`.
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

    The crop is first scaled to `MEASURED_PX`, so that a small face counts as
    blurred: it shows as little. Source: J. L. Pech-Pacheco et al., "Diatom
    autofocusing in brightfield microscopy", ICPR 2000.
    """
    luma = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    if luma.shape != (MEASURED_PX, MEASURED_PX):
        shrinks = max(luma.shape) > MEASURED_PX
        rule = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        luma = cv2.resize(luma, (MEASURED_PX, MEASURED_PX), interpolation=rule)
    return float(cv2.Laplacian(luma, cv2.CV_64F).var())


FaceSlice = tuple[str, str, NDArray[np.bool_]]
"""What a set was cut by, which part, and the `(n,)` faces that are in it."""


def tercile_bounds(sharpness: NDArray[np.float32]) -> tuple[float, float]:
    """Return the two values that cut faces in three equal parts; NaN for no face."""
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
    """Cut faces by size, light and sharpness; a part may be empty.

    Args:
        sizes_px: `(n,)` shorter sides in pixels.
        lights: `(n,)` mean luminances, 0 to 255.
        sharpness: `(n,)`, see `crop_sharpness`.
        sharpness_bounds: where sharpness is cut, as `tercile_bounds` gives it.
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
