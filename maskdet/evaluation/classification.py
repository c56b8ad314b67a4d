"""Evaluate classification on true boxes and on images of one face."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter

import numpy as np

from maskdet.analyzers.pipelines import Analyzer, TwoStage
from maskdet.boxes import Boxes, box_areas, sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example, read_dataset, select_split
from maskdet.detectors import Detector
from maskdet.evaluation.detection import match_predictions
from maskdet.evaluation.matching import (
    LARGE_PX,
    FacePredictions,
    median_or_zero,
    read_example,
)
from maskdet.metrics.classification import ClassificationResult, Json, Predictions
from maskdet.metrics.summary import ClassificationSummary, summarize_classification
from maskdet.settings import Settings
from maskdet.types import Image, Scene

FACES_TEST = "faces-test"
"""Name of the predictions on images of one face; scenes have their own names."""

ExampleProgress = Callable[[Sequence[Example]], Iterable[Example]]
"""A progress bar: yields the examples that it is given."""


@dataclass(frozen=True, eq=False)
class ClassificationReport:
    """Classification results on true boxes or on images of one face.

    Attributes:
        face_predictions: all predictions, with the places of the faces.
        n_detected: number of images with a detected face; 0 without a detector.
        median_ms: median time per image.
    """

    face_predictions: FacePredictions
    n_detected: int
    median_ms: float

    @property
    def classification(self) -> ClassificationResult:
        """Ground truth and predictions of all faces."""
        return self.face_predictions.predictions.classification

    @property
    def by_source(self) -> dict[str, ClassificationResult]:
        """Ground truth and predictions by source."""
        predictions = self.face_predictions.predictions
        return {
            str(source): predictions.select(
                predictions.sources == source
            ).classification
            for source in np.unique(predictions.sources)
        }

    @cached_property
    def summary(self) -> ClassificationSummary:
        """All metrics of the predictions."""
        return summarize_classification(self.classification)

    def to_json(self) -> Json:
        """Return all metrics with their intervals."""
        return {
            "labels": self.classification.to_json(),
            "summary": self.summary.to_json(),
            "by_source": {
                source: result.to_json() for source, result in self.by_source.items()
            },
            "n_detected": self.n_detected,
            "median_ms": round(self.median_ms, 2),
        }


def evaluate_boxes(
    classifier: Classifier, examples: Iterable[Example]
) -> ClassificationReport:
    """Evaluate a classifier on the true boxes of at least `LARGE_PX`."""
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
    """Evaluate the classification of images of one face.

    Args:
        analyzer: detects the face; the largest detection is used. None: the whole
            image is the face.
        classifier: classifies the whole image if no face is detected.
        examples: whole images with a label.
        settings: detection settings.
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


def collect_predictions(
    classifier: Classifier,
    detector: Detector,
    faces_index: Path,
    scenes: Mapping[str, Path],
    *,
    progress: ExampleProgress = iter,
) -> dict[str, Predictions]:
    """Return the predictions of a classifier on the data sets of `EVALUATION_SETS`.

    Args:
        classifier: the classifier.
        detector: detects the faces, with the default settings.
        faces_index: `index.csv` of images of one face; of its split `test`, the
            largest detected face of each image is used, else the whole image.
        scenes: COCO files by name, as in `kaggle-val`. Each gives two sets: the true
            boxes of at least `LARGE_PX` (`NAME/true`) and the detected faces that
            match such a box (`NAME/found`).
        progress: progress bar, called once for each pass.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file or image cannot be read; the message names it.
    """
    analyzer, settings = TwoStage(detector, classifier), Settings()
    faces = progress(select_split(read_dataset(faces_index), "test", faces_index))
    face_report = evaluate_faces(analyzer, classifier, faces, settings)
    predictions = {FACES_TEST: face_report.face_predictions.predictions}
    for name, path in scenes.items():
        examples = read_dataset(path)
        box_report = evaluate_boxes(classifier, progress(examples))
        predictions[f"{name}/true"] = box_report.face_predictions.predictions
        parts = []
        for example in progress(examples):
            image = read_example(example)
            scene = analyzer.analyze(image, settings)
            parts.append(match_predictions(example, image, scene, min_px=LARGE_PX))
        predictions[f"{name}/found"] = FacePredictions.concat(parts).predictions
    return predictions
