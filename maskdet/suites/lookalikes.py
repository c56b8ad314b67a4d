"""Look-alikes: is a clear shield, or a mouth printed on a mask, called "no mask"?

Neither is a plainly bare face. The least that is asked is that it is unsure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.detectors import LandmarkFinder
from maskdet.metrics.estimate import Estimate, share
from maskdet.metrics.labelling import Json
from maskdet.suites.hard import bare_faces
from maskdet.synthetic import LOOKALIKES, Lookalike, wear_lookalike
from maskdet.types import Image, Label


@dataclass(frozen=True)
class LookalikeReport:
    """How often a face is called "no mask", bare and with each look-alike.

    Attributes:
        untouched: rate of "no mask" for the bare faces as they are: higher is better.
        called_bare: the same for each look-alike: lower is better.
        unsure: rate of `UNKNOWN` for each look-alike.
        min_confidence: the confidence threshold.
    """

    untouched: Estimate
    called_bare: dict[Lookalike, Estimate]
    unsure: dict[Lookalike, Estimate]
    min_confidence: float

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "min_confidence": self.min_confidence,
            "untouched": self.untouched.rounded(),
            "called_bare": {
                name: one.rounded() for name, one in self.called_bare.items()
            },
            "unsure": {name: one.rounded() for name, one in self.unsure.items()},
        }


def lookalikes(
    classifier: Classifier,
    finder: LandmarkFinder,
    examples: Iterable[Example],
    *,
    min_confidence: float,
    seed: int = 0,
) -> LookalikeReport:
    """Draw each of `LOOKALIKES` on every bare face and count what they are called.

    Args:
        classifier: gives the classes.
        finder: finds the landmarks; faces it does not see are left out.
        examples: scenes or images of one face that were not trained on.
        min_confidence: below it a face is `UNKNOWN`, in [0, 1].
        seed: fixes what is drawn.
    """
    rng = np.random.default_rng(seed)
    untouched: list[Label] = []
    said: dict[Lookalike, list[Label]] = {kind: [] for kind in LOOKALIKES}
    for image, box, points in bare_faces(finder, examples):
        untouched.append(_said(classifier, image, box, min_confidence))
        for kind in LOOKALIKES:
            worn = wear_lookalike(image, points, kind, box=box, rng=rng)
            said[kind].append(_said(classifier, worn, box, min_confidence))
    return LookalikeReport(
        untouched=_rate(untouched, Label.NO_MASK),
        called_bare={kind: _rate(one, Label.NO_MASK) for kind, one in said.items()},
        unsure={kind: _rate(one, Label.UNKNOWN) for kind, one in said.items()},
        min_confidence=min_confidence,
    )


def _said(
    classifier: Classifier,
    image: Image,
    box: NDArray[np.float32],
    min_confidence: float,
) -> Label:
    boxes: Boxes = box[None]
    probs = classifier.predict(image, boxes)[0]
    likeliest = Label(int(probs.argmax()))
    return likeliest if probs[likeliest] >= min_confidence else Label.UNKNOWN


def _rate(labels: list[Label], wanted: Label) -> Estimate:
    return share(sum(label is wanted for label in labels), len(labels))
