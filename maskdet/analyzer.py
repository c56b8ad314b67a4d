"""Analyzers: an image in, a scene out. Two stages for now: find faces, then label."""

from __future__ import annotations

from time import perf_counter
from typing import Protocol

import numpy as np

from maskdet.classifier import DEFAULT_CLASSIFIER, Classifier, load_classifier
from maskdet.detectors import Detector, load_detector
from maskdet.types import Image, Scene, Settings, accepted

ANALYZERS: dict[str, str] = {
    "mtcnn": "MTCNN finds, our classifier labels",
    "haar": "Haar cascades find, our classifier labels",
    "yunet": "YuNet finds, our classifier labels",
    "ssd": "ResNet-10 SSD finds, our classifier labels",
}
"""Analyzer name to one line that says what it does."""

DEFAULT_ANALYZER = "mtcnn"
"""The embedded finder that does best on the validation scenes; see README."""


class Analyzer(Protocol):
    """Something that finds the faces of an image and labels them."""

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Return the scene in `image`, which is not changed.

        Args:
            image: `(h, w, 3)` uint8, BGR.
            settings: faces that they refuse are dropped before they cost a label.
                Without, every face the finder reports is labelled. Either way,
                `analyze(image, settings)` equals `analyze(image).select(settings)`.
        """
        ...


class TwoStage:
    """A face finder followed by a classifier over all faces in one call."""

    def __init__(self, detector: Detector, classifier: Classifier) -> None:
        """Join the two stages.

        Args:
            detector: finds the faces.
            classifier: gives each face its probabilities.
        """
        self.detector = detector
        self.classifier = classifier

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Find, choose, then label; see `Analyzer.analyze`."""
        started = perf_counter()
        faces = self.detector.detect(image)
        if settings is not None:
            faces = faces.keep(accepted(faces, settings))
        found = perf_counter()
        probs = self.classifier.predict(image, faces.boxes)
        labelled = perf_counter()
        return Scene(
            faces,
            probs,
            min_certainty=0.0 if settings is None else settings.min_certainty,
            stage_ms={
                "find": (found - started) * 1e3,
                "label": (labelled - found) * 1e3,
            },
        )


def load_analyzer(
    name: str = DEFAULT_ANALYZER, classifier: str = DEFAULT_CLASSIFIER
) -> Analyzer:
    """Load an analyzer and run it once, so that the first picture is not slow.

    Args:
        name: who finds the faces, a name in `ANALYZERS`.
        classifier: who labels them; see `load_classifier`.

    Raises:
        ValueError: there is no such analyzer or classifier.
        FileNotFoundError: a model file is missing; the message says how to get it.
        RuntimeError: a model file is not the one that was published.
    """
    if name not in ANALYZERS:
        known = ", ".join(ANALYZERS)
        raise ValueError(f"analyzer must be one of {known}, not {name!r}")
    analyzer = TwoStage(load_detector(name), load_classifier(classifier))
    analyzer.analyze(np.zeros((48, 64, 3), np.uint8))
    return analyzer
