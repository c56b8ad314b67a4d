"""Occlusion: unmasked faces with hands or other objects at the mouth.

`training.classifier.crops` renders the same objects with the same code, on other faces:
the classifier knows such drawings, so expect higher rates in photographs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, iou_matrix, sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.detectors import LandmarkDetector
from maskdet.media import read_image
from maskdet.metrics.classification import is_predicted_unmasked
from maskdet.metrics.intervals import Estimate, MetricsReport, proportion_of
from maskdet.synthetic import OCCLUDERS, Occluder, render_occluder
from maskdet.types import Image, Label

MIN_OCCLUDED_PX: Final = 32.0
"""Smallest shorter side of a face for occluders: below, a hand is a few pixels."""

SAME_FACE_IOU: Final = 0.3
"""Smallest IoU at which a detection is the labelled face."""


@dataclass(frozen=True)
class OcclusionReport(MetricsReport):
    """Rates of unmasked faces that are predicted masked, with and without occluders.

    Attributes:
        baseline: rate for the unmodified faces.
        occluders: rate for each occluder.
        overall: rate over all occluders.
    """

    baseline: Estimate
    occluders: dict[Occluder, Estimate]
    overall: Estimate


def evaluate_occlusion(
    classifier: Classifier,
    detector: LandmarkDetector,
    examples: Iterable[Example],
    *,
    seed: int = 0,
) -> OcclusionReport:
    """Render each of `OCCLUDERS` on every unmasked face and count false masks.

    Args:
        classifier: the classifier; incorrectly worn counts as masked.
        detector: detects the landmarks; faces that are not detected are skipped.
        examples: scenes or images of one face that are not training data.
        seed: random seed of the rendering.
    """
    rng = np.random.default_rng(seed)
    baseline_masked: list[bool] = []
    occluded_masked: dict[Occluder, list[bool]] = {
        occluder: [] for occluder in OCCLUDERS
    }
    for image, box, landmarks in unmasked_faces(detector, examples):
        baseline_masked.append(is_predicted_masked(classifier, image, box))
        for occluder in OCCLUDERS:
            occluded = render_occluder(image, landmarks, occluder, box=box, rng=rng)
            occluded_masked[occluder].append(
                is_predicted_masked(classifier, occluded, box)
            )
    all_masked = [
        is_masked for kind_flags in occluded_masked.values() for is_masked in kind_flags
    ]
    return OcclusionReport(
        baseline=proportion_of(baseline_masked),
        occluders={
            occluder: proportion_of(masked_flags)
            for occluder, masked_flags in occluded_masked.items()
        },
        overall=proportion_of(all_masked),
    )


def unmasked_faces(
    detector: LandmarkDetector, examples: Iterable[Example]
) -> Iterator[tuple[Image, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield image, box and landmarks of every unmasked face that is large enough."""
    for example in examples:
        unmasked = example.label_values == Label.NO_MASK
        if not unmasked.any():
            continue
        image = read_image(example.path)
        faces, landmark_sets = detector.detect_landmarks(image)
        if example.is_crop:
            boxes: Boxes = faces.boxes[:1]
        else:
            boxes = example.boxes[unmasked]
        boxes = boxes[sizes_px(boxes) >= MIN_OCCLUDED_PX]
        if not len(faces) or not len(boxes):
            continue
        ious = iou_matrix(boxes, faces.boxes)
        for box, row in zip(boxes, ious, strict=True):
            if row.max() >= SAME_FACE_IOU:
                yield image, box, landmark_sets[int(row.argmax())]


def is_predicted_masked(
    classifier: Classifier, image: Image, box: NDArray[np.float32]
) -> bool:
    """Return whether a face is predicted to wear a mask, correctly or not."""
    return not is_predicted_unmasked(classifier.predict(image, box[None]))[0]
