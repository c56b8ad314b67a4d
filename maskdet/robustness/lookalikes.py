"""Look-alikes: predictions for clear face shields and mouths printed on masks.

Neither is a plain face without a mask; at least the confidence must be low.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.pipelines import Analyzer
from maskdet.boxes import iou_matrix
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.detectors import LandmarkDetector
from maskdet.metrics.intervals import Estimate, MetricsReport, proportion_of
from maskdet.robustness.occlusion import SAME_FACE_IOU, unmasked_faces
from maskdet.settings import Settings
from maskdet.synthetic import LOOKALIKES, Lookalike, render_lookalike
from maskdet.types import Image, Label


@dataclass(frozen=True)
class LookalikeReport(MetricsReport):
    """Rates of the prediction "no mask", unmodified and with each look-alike.

    Attributes:
        baseline: rate of "no mask" for the unmodified faces: higher is better.
        predicted_no_mask: the same for each look-alike: lower is better.
        unknown: rate of `UNKNOWN` for each look-alike.
    """

    baseline: Estimate
    predicted_no_mask: dict[Lookalike, Estimate]
    unknown: dict[Lookalike, Estimate]


Box: TypeAlias = NDArray[np.float32]
"""`(4,)` `x1, y1, x2, y2` of a face."""

FaceLabeller: TypeAlias = Callable[[Image, Box], Label]
"""Returns the label of the face in a box of an image."""


def label_by_classifier(
    classifier: Classifier, min_confidence: float, image: Image, box: Box
) -> Label:
    """Return the class of a face, or `UNKNOWN` below the confidence threshold."""
    probs = classifier.predict(image, box[None])[0]
    likeliest = Label(int(probs.argmax()))
    return likeliest if probs[likeliest] >= min_confidence else Label.UNKNOWN


def label_by_analyzer(
    analyzer: Analyzer, settings: Settings, image: Image, box: Box
) -> Label:
    """Return the label of the detection at a face; `UNKNOWN` if there is none."""
    scene = analyzer.analyze(image, settings)
    ious = iou_matrix(box[None], scene.faces.boxes)[0]
    is_detected = ious.max(initial=0) >= SAME_FACE_IOU
    return scene.labels[int(ious.argmax())] if is_detected else Label.UNKNOWN


def evaluate_lookalikes(
    label_face: FaceLabeller,
    detector: LandmarkDetector,
    examples: Iterable[Example],
    *,
    seed: int = 0,
) -> LookalikeReport:
    """Render each of `LOOKALIKES` on every unmasked face and count the labels.

    Args:
        label_face: labels a face, such as `partial(label_by_classifier, classifier,
            0.6)`.
        detector: detects the landmarks; faces that are not detected are skipped.
        examples: scenes or images of one face that are not training data.
        seed: random seed of the rendering.
    """
    rng = np.random.default_rng(seed)
    baseline_labels: list[Label] = []
    labels: dict[Lookalike, list[Label]] = {kind: [] for kind in LOOKALIKES}
    for image, box, landmarks in unmasked_faces(detector, examples):
        baseline_labels.append(label_face(image, box))
        for kind in LOOKALIKES:
            altered = render_lookalike(image, landmarks, kind, box=box, rng=rng)
            labels[kind].append(label_face(altered, box))

    def fractions(target: Label) -> dict[Lookalike, Estimate]:
        return {
            kind: _label_fraction(of_kind, target) for kind, of_kind in labels.items()
        }

    return LookalikeReport(
        _label_fraction(baseline_labels, Label.NO_MASK),
        predicted_no_mask=fractions(Label.NO_MASK),
        unknown=fractions(Label.UNKNOWN),
    )


def _label_fraction(labels: list[Label], target: Label) -> Estimate:
    return proportion_of([label is target for label in labels])
