"""Look-alikes: predictions for clear face shields and mouths printed on masks.

Neither is a plain face without a mask; at least the confidence must be low.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.detectors import LandmarkDetector
from maskdet.metrics.intervals import Estimate, MetricsReport, proportion_of
from maskdet.robustness.occlusion import unmasked_faces
from maskdet.synthetic import LOOKALIKES, Lookalike, render_lookalike
from maskdet.types import Image, Label


@dataclass(frozen=True)
class LookalikeReport(MetricsReport):
    """Rates of the prediction "no mask", unmodified and with each look-alike.

    Attributes:
        min_confidence: the confidence threshold.
        baseline: rate of "no mask" for the unmodified faces: higher is better.
        predicted_no_mask: the same for each look-alike: lower is better.
        unknown: rate of `UNKNOWN` for each look-alike.
    """

    min_confidence: float
    baseline: Estimate
    predicted_no_mask: dict[Lookalike, Estimate]
    unknown: dict[Lookalike, Estimate]


def evaluate_lookalikes(
    classifier: Classifier,
    detector: LandmarkDetector,
    examples: Iterable[Example],
    *,
    min_confidence: float,
    seed: int = 0,
) -> LookalikeReport:
    """Render each of `LOOKALIKES` on every unmasked face and count the predictions.

    Args:
        classifier: the classifier.
        detector: detects the landmarks; faces that are not detected are skipped.
        examples: scenes or images of one face that are not training data.
        min_confidence: below it a face is `UNKNOWN`, in [0, 1].
        seed: random seed of the rendering.
    """
    rng = np.random.default_rng(seed)
    baseline_labels: list[Label] = []
    predicted: dict[Lookalike, list[Label]] = {kind: [] for kind in LOOKALIKES}
    for image, box, landmarks in unmasked_faces(detector, examples):
        baseline_labels.append(_predict_label(classifier, image, box, min_confidence))
        for kind in LOOKALIKES:
            altered = render_lookalike(image, landmarks, kind, box=box, rng=rng)
            predicted[kind].append(
                _predict_label(classifier, altered, box, min_confidence)
            )

    def fractions(target: Label) -> dict[Lookalike, Estimate]:
        return {
            kind: _label_fraction(labels, target) for kind, labels in predicted.items()
        }

    return LookalikeReport(
        min_confidence,
        _label_fraction(baseline_labels, Label.NO_MASK),
        predicted_no_mask=fractions(Label.NO_MASK),
        unknown=fractions(Label.UNKNOWN),
    )


def _predict_label(
    classifier: Classifier,
    image: Image,
    box: NDArray[np.float32],
    min_confidence: float,
) -> Label:
    probs = classifier.predict(image, box[None])[0]
    likeliest = Label(int(probs.argmax()))
    return likeliest if probs[likeliest] >= min_confidence else Label.UNKNOWN


def _label_fraction(labels: list[Label], target: Label) -> Estimate:
    return proportion_of([label is target for label in labels])
