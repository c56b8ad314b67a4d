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
from maskdet.detectors import LandmarkFinder
from maskdet.media import read_image
from maskdet.metrics.estimate import Estimate, share
from maskdet.metrics.labelling import Json
from maskdet.synthetic import THINGS, Thing, cover_mouth
from maskdet.types import Image, Label

HARD_PX: Final = 32.0
"""Shorter side from which a face is drawn on: below, a hand is a few pixels."""

# The face that a finder sees is the labelled one if they overlap at least so much.
_SAME_FACE_IOU: Final = 0.3


@dataclass(frozen=True)
class HardReport:
    """How often a bare face is called masked, with and without something before it.

    Attributes:
        untouched: share called masked as the faces are.
        things: the same for each thing drawn before the mouth.
        together: over all things.
    """

    untouched: Estimate
    things: dict[Thing, Estimate]
    together: Estimate

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "untouched": self.untouched.rounded(),
            "things": {name: one.rounded() for name, one in self.things.items()},
            "together": self.together.rounded(),
        }


def hard_negatives(
    classifier: Classifier,
    finder: LandmarkFinder,
    examples: Iterable[Example],
    *,
    seed: int = 0,
) -> HardReport:
    """Draw each of `THINGS` before every bare mouth and count who is called masked.

    Args:
        classifier: gives the labels; incorrectly worn counts as masked.
        finder: finds the landmarks; faces it does not see are left out.
        examples: scenes or pictures of one face that were not trained on.
        seed: fixes what is drawn.
    """
    rng = np.random.default_rng(seed)
    untouched: list[bool] = []
    covered: dict[Thing, list[bool]] = {thing: [] for thing in THINGS}
    for image, box, points in bare_faces(finder, examples):
        untouched.append(called_masked(classifier, image, box))
        for thing in THINGS:
            changed = cover_mouth(image, points, thing, box=box, rng=rng)
            covered[thing].append(called_masked(classifier, changed, box))
    every = [answer for answers in covered.values() for answer in answers]
    return HardReport(
        untouched=share(sum(untouched), len(untouched)),
        things={thing: share(sum(one), len(one)) for thing, one in covered.items()},
        together=share(sum(every), len(every)),
    )


def bare_faces(
    finder: LandmarkFinder, examples: Iterable[Example]
) -> Iterator[tuple[Image, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield picture, box and landmarks of every bare face that is large enough."""
    for example in examples:
        bare = example.label_values == Label.NO_MASK
        if not bare.any():
            continue
        image = read_image(example.path)
        faces, points = finder.landmarks(image)
        if example.whole:
            wanted: Boxes = faces.boxes[:1]
        else:
            wanted = example.boxes[bare]
        wanted = wanted[sizes_px(wanted) >= HARD_PX]
        if not len(faces) or not len(wanted):
            continue
        overlaps = iou_matrix(wanted, faces.boxes)
        for box, row in zip(wanted, overlaps, strict=True):
            if row.max() >= _SAME_FACE_IOU:
                yield image, box, points[int(row.argmax())]


def called_masked(
    classifier: Classifier, image: Image, box: NDArray[np.float32]
) -> bool:
    """Return whether one face is said to wear a mask, rightly or wrongly."""
    probs = classifier.predict(image, box[None])
    return bool(probs[0, Label.NO_MASK] <= 0.5)
