"""Predictions for individual faces, with their places and image quality."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, sizes_px
from maskdet.classifier import crop_face
from maskdet.datasets import Example
from maskdet.media import read_image
from maskdet.metrics.classification import Predictions
from maskdet.metrics.slices import MEASURED_PX, crop_light, crop_sharpness
from maskdet.types import CLASSES, Image

LARGE_PX = 20.0
"""Smallest shorter side of a face whose class is evaluated; the annotators of the
public data sets disagree on smaller ones."""

MIN_IOU = 0.5
"""Smallest IoU of a detection and a true box that match, as usual."""


@dataclass(frozen=True, eq=False)
class FacePredictions:
    """Predictions with the place of each face.

    Attributes:
        predictions: ground truth and prediction of each face.
        paths: the image of each face.
        boxes: `(n, 4)` box of the face in its image, as passed to the classifier.
    """

    predictions: Predictions
    paths: tuple[Path, ...]
    boxes: Boxes

    @classmethod
    def from_image(
        cls,
        example: Example,
        image: Image,
        boxes: Boxes,
        ground_truth: NDArray[np.int64],
        probs: NDArray[np.float32],
    ) -> FacePredictions:
        """Create the predictions of one image; measure size, light and sharpness.

        Light and sharpness are measured on the box, extended to a square, not on the
        wider crop of the classifier.
        """
        lights, sharpness = measure_crop_quality(image, boxes)
        predictions = Predictions(
            ground_truth=np.asarray(ground_truth, np.int64),
            probs=np.asarray(probs, np.float32).reshape(-1, len(CLASSES)),
            sizes_px=sizes_px(boxes).astype(np.float32),
            lights=lights,
            sharpness=sharpness,
            sources=np.array([example.source] * len(boxes), np.str_),
        )
        return cls(predictions, (example.path,) * len(boxes), boxes)

    @classmethod
    def concat(cls, parts: Iterable[FacePredictions]) -> FacePredictions:
        """Concatenate the predictions of several images; may be none."""
        items = [_empty_predictions(), *parts]
        return cls(
            Predictions.concat(part.predictions for part in items),
            tuple(path for part in items for path in part.paths),
            np.concatenate([part.boxes for part in items]),
        )


def measure_crop_quality(
    image: Image, boxes: Boxes
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return light and sharpness of each box, extended to a square."""
    crops = [crop_face(image, box, MEASURED_PX, context=1.0) for box in boxes]
    lights = np.array([crop_light(crop) for crop in crops], np.float32)
    return lights, np.array([crop_sharpness(crop) for crop in crops], np.float32)


def read_example(example: Example) -> Image:
    """Return the image of an example.

    Raises:
        ValueError: it cannot be read; skipping it would give metrics of another set.
    """
    try:
        return read_image(example.path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{example.path}: {error}") from None


def median_or_zero(times_ms: list[float]) -> float:
    """Return the median time; 0 for an empty list."""
    return statistics.median(times_ms) if times_ms else 0.0


def _empty_predictions() -> FacePredictions:
    no_values = np.zeros(0, np.float32)
    predictions = Predictions(
        np.zeros(0, np.int64),
        np.zeros((0, len(CLASSES)), np.float32),
        no_values,
        no_values,
        no_values,
        np.zeros(0, np.str_),
    )
    return FacePredictions(predictions, (), np.zeros((0, 4), np.float32))
