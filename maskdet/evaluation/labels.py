"""Is the label right, for faces that need not be found among others?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter

import numpy as np

from maskdet.analyzer import Analyzer
from maskdet.boxes import Boxes, box_areas, sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.evaluation.judged import (
    LARGE_PX,
    FacePredictions,
    median_or_zero,
    read_example,
)
from maskdet.metrics.labelling import ClassificationResult, Json
from maskdet.metrics.numbers import ClassificationSummary, summarize_classification
from maskdet.types import Image, Scene, Settings


@dataclass(frozen=True, eq=False)
class ClassificationReport:
    """The answers for faces that did not have to be found among others.

    Attributes:
        face_predictions: all answers, and where the faces are.
        n_detected: of how many pictures the finder saw the face; 0 where none was
            asked.
        median_ms: time for one picture.
    """

    face_predictions: FacePredictions
    n_detected: int
    median_ms: float

    @property
    def classification(self) -> ClassificationResult:
        """All answers."""
        return self.face_predictions.predictions.classification

    @property
    def by_source(self) -> dict[str, ClassificationResult]:
        """The answers for each collection the pictures are from."""
        predictions = self.face_predictions.predictions
        return {
            str(source): predictions.select(
                predictions.sources == source
            ).classification
            for source in np.unique(predictions.sources)
        }

    @cached_property
    def summary(self) -> ClassificationSummary:
        """Every number about these answers."""
        return summarize_classification(self.classification)

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "labels": self.classification.to_json(),
            "numbers": self.summary.to_json(),
            "by_source": {
                source: result.to_json() for source, result in self.by_source.items()
            },
            "found": self.n_detected,
            "median_ms": round(self.median_ms, 2),
        }


def evaluate_boxes(
    classifier: Classifier, examples: Iterable[Example]
) -> ClassificationReport:
    """Measure a classifier on the true boxes of at least `LARGE_PX`."""
    parts, times_ms = [], []
    for example in examples:
        image = read_example(example)
        large = sizes_px(example.boxes) >= LARGE_PX
        boxes = example.boxes[large]
        start_s = perf_counter()
        probs = classifier.predict(image, boxes)
        times_ms.append((perf_counter() - start_s) * 1e3)
        ground_truth = example.label_values[large]
        parts.append(
            FacePredictions.from_image(example, image, boxes, ground_truth, probs)
        )
    return ClassificationReport(
        FacePredictions.concat(parts), 0, median_or_zero(times_ms)
    )


def evaluate_faces(
    analyzer: Analyzer | None,
    classifier: Classifier,
    examples: Iterable[Example],
    settings: Settings,
) -> ClassificationReport:
    """Measure the label of pictures that show one face.

    Args:
        analyzer: finds the face, the largest one if several; None to take the whole
            picture as the face.
        classifier: labels the whole picture where no face was found.
        examples: whole pictures with a label.
        settings: what counts as found.
    """
    parts, times_ms, n_detected = [], [], 0
    for example in examples:
        image = read_example(example)
        start_s = perf_counter()
        scene = Scene.empty() if analyzer is None else analyzer.analyze(image, settings)
        if len(scene):
            n_detected += 1
            largest = [int(box_areas(scene.faces.boxes).argmax())]
            boxes, probs = scene.faces.boxes[largest], scene.probs[largest]
        else:
            boxes = _whole_image_box(image)
            probs = classifier.predict(image, boxes)
        times_ms.append((perf_counter() - start_s) * 1e3)
        parts.append(
            FacePredictions.from_image(
                example, image, boxes, example.label_values, probs
            )
        )
    return ClassificationReport(
        FacePredictions.concat(parts), n_detected, median_or_zero(times_ms)
    )


def _whole_image_box(image: Image) -> Boxes:
    height, width = image.shape[:2]
    return np.array([[0, 0, width, height]], np.float32)
