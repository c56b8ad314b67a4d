"""Low light: loss of accuracy on darkened faces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.detectors import Detector
from maskdet.evaluation import LARGE_PX
from maskdet.media import read_image
from maskdet.metrics.intervals import (
    Estimate,
    MetricsReport,
    draw_bootstrap_weights,
    proportion_of,
)
from maskdet.metrics.summary import bootstrap_mean
from maskdet.robustness.occlusion import is_predicted_masked
from maskdet.types import Image, Label

DARK_LUMINANCE: Final = 40.0
"""A face whose mean luminance (0 to 255) is below this counts as in low light."""

_MIN_LUMINANCE: Final = 12.0


@dataclass(frozen=True)
class LowLightReport(MetricsReport):
    """Accuracy of mask against no mask on the same faces, unmodified and darkened.

    Attributes:
        baseline: accuracy on the unmodified faces.
        darkened: accuracy on the darkened faces.
        accuracy_loss: the difference, with a paired bootstrap interval over the faces.
    """

    baseline: Estimate
    darkened: Estimate
    accuracy_loss: Estimate


def evaluate_low_light(
    classifier: Classifier,
    detector: Detector,
    examples: Iterable[Example],
    *,
    seed: int = 0,
) -> LowLightReport:
    """Darken every face to a mean luminance below 40, with noise, and compare.

    Args:
        classifier: the classifier.
        detector: detects the face in images of one face.
        examples: scenes or images of one face that are not training data.
        seed: random seed of darkness and noise.
    """
    rng = np.random.default_rng(seed)
    baseline_correct: list[bool] = []
    darkened_correct: list[bool] = []
    for example in examples:
        image = read_image(example.path)
        for box, label in _labelled_faces(example, image, detector):
            dark_image = darken(image, box, rng)
            for view, correct in (
                (image, baseline_correct),
                (dark_image, darkened_correct),
            ):
                is_masked = is_predicted_masked(classifier, view, box)
                correct.append(is_masked != (label == Label.NO_MASK))
    differences = np.subtract(baseline_correct, darkened_correct, dtype=np.float64)
    return LowLightReport(
        baseline=proportion_of(baseline_correct),
        darkened=proportion_of(darkened_correct),
        accuracy_loss=bootstrap_mean(
            draw_bootstrap_weights(len(differences), seed=seed), differences
        ),
    )


def _labelled_faces(
    example: Example, image: Image, detector: Detector
) -> list[tuple[NDArray[np.float32], int]]:
    if not example.is_crop:
        large = sizes_px(example.boxes) >= LARGE_PX
        pairs = zip(example.boxes[large], example.label_values[large], strict=True)
        return [(box, int(label)) for box, label in pairs]
    height, width = image.shape[:2]
    boxes = detector.detect(image).boxes[:1]
    box = boxes[0] if len(boxes) else np.array([0, 0, width, height], np.float32)
    return [(box, int(example.labels[0]))]


def darken(image: Image, box: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Simulate low light, so that the mean luminance of the face is below 40.

    The image is scaled; shot noise, which grows with the square root of the light, and
    constant read noise are added (Healey and Kondepudy 1994); the result is compressed
    as JPEG.

    Args:
        image: `(h, w, 3)` uint8 BGR.
        box: `(4,)` box of the face.
        rng: random generator of darkness and noise.
    """
    x1, y1, x2, y2 = np.clip(np.rint(box).astype(int), 0, None)
    face = cv2.cvtColor(image[y1 : y2 + 1, x1 : x2 + 1], cv2.COLOR_BGR2GRAY)
    target_luminance = rng.uniform(_MIN_LUMINANCE, DARK_LUMINANCE - 2)
    factor = min(1.0, target_luminance / max(float(face.mean()), 1.0))
    scaled = image.astype(np.float32) * factor
    noise = rng.normal(size=image.shape) * np.sqrt(0.15 * scaled + 2.0)
    noisy = np.clip(scaled + noise, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
