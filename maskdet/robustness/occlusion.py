"""Hard negatives: does anything before the mouth of a bare face pass for a mask?"""

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
from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import Estimate, proportion
from maskdet.synthetic import OCCLUDERS, Occluder, render_occluder
from maskdet.types import Image, Label

MIN_OCCLUDED_PX: Final = 32.0
"""Shorter side from which a face is drawn on: below, a hand is a few pixels."""

# The face that a detector sees is the labelled one if they overlap at least so much.
_SAME_FACE_IOU: Final = 0.3


@dataclass(frozen=True)
class OcclusionReport:
    """How often a bare face is called masked, with and without something before it.

    Attributes:
        baseline: share called masked as the faces are.
        occluders: the same for each thing drawn before the mouth.
        overall: over all things.
    """

    baseline: Estimate
    occluders: dict[Occluder, Estimate]
    overall: Estimate

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "untouched": self.baseline.to_json(),
            "things": {
                name: estimate.to_json() for name, estimate in self.occluders.items()
            },
            "together": self.overall.to_json(),
        }


def evaluate_occlusion(
    classifier: Classifier,
    detector: LandmarkDetector,
    examples: Iterable[Example],
    *,
    seed: int = 0,
) -> OcclusionReport:
    """Draw each of `OCCLUDERS` before every bare mouth and count who is called masked.

    Args:
        classifier: gives the labels; incorrectly worn counts as masked.
        detector: finds the landmarks; faces it does not see are left out.
        examples: scenes or images of one face that were not trained on.
        seed: fixes what is drawn.
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
        baseline=proportion(sum(baseline_masked), len(baseline_masked)),
        occluders={
            occluder: proportion(sum(masked_flags), len(masked_flags))
            for occluder, masked_flags in occluded_masked.items()
        },
        overall=proportion(sum(all_masked), len(all_masked)),
    )


def unmasked_faces(
    detector: LandmarkDetector, examples: Iterable[Example]
) -> Iterator[tuple[Image, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield image, box and landmarks of every bare face that is large enough."""
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
            if row.max() >= _SAME_FACE_IOU:
                yield image, box, landmark_sets[int(row.argmax())]


def is_predicted_masked(
    classifier: Classifier, image: Image, box: NDArray[np.float32]
) -> bool:
    """Return whether one face is said to wear a mask, rightly or wrongly."""
    probs = classifier.predict(image, box[None])
    return bool(probs[0, Label.NO_MASK] <= 0.5)
