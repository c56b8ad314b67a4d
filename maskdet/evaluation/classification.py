"""Evaluate classification on true boxes and on images of one face."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from maskdet.analyzers.pipelines import Analyzer, TwoStage
from maskdet.boxes import Boxes, box_areas, sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example, read_dataset, select_split
from maskdet.detectors import Detector
from maskdet.media import read_image
from maskdet.metrics.classification import ClassificationResult, Json, Predictions
from maskdet.metrics.summary import ClassificationSummary, summarize_classification
from maskdet.settings import Settings
from maskdet.types import Image, Scene

if TYPE_CHECKING:
    from maskdet.evaluation.scoring import FacePredictions

LARGE_PX = 20.0
"""Smallest shorter side of a face whose class is evaluated; the annotators of the
public data sets disagree on smaller ones."""

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
    # Imported here, as `import maskdet` loads this module and does not need it.
    from maskdet.evaluation.predictions import MeasuredBoxes
    from maskdet.evaluation.scoring import ClassifiedFaces, FacePredictions

    images, times_ms = [], []
    for example in examples:
        image = read_example(example)
        large = sizes_px(example.boxes) >= LARGE_PX
        boxes = example.boxes[large]
        start_s = perf_counter()
        probs = classifier.predict(image, boxes)
        times_ms.append((perf_counter() - start_s) * 1e3)
        faces = MeasuredBoxes.from_image(image, boxes)
        ground_truth = example.label_values[large]
        images.append(ClassifiedFaces(example, faces, ground_truth, probs))
    return ClassificationReport(
        FacePredictions.from_images(images), 0, median_or_zero(times_ms)
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
    from maskdet.evaluation.predictions import MeasuredBoxes
    from maskdet.evaluation.scoring import ClassifiedFaces, FacePredictions

    images, times_ms, n_detected = [], [], 0
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
        faces = MeasuredBoxes.from_image(image, boxes)
        images.append(ClassifiedFaces(example, faces, example.label_values, probs))
    return ClassificationReport(
        FacePredictions.from_images(images), n_detected, median_or_zero(times_ms)
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
    from maskdet.evaluation.operating_point import Evaluator
    from maskdet.evaluation.scoring import FacePredictions, predict_examples

    analyzer, settings = TwoStage(detector, classifier), Settings()
    faces = progress(select_split(read_dataset(faces_index), "test", faces_index))
    face_report = evaluate_faces(analyzer, classifier, faces, settings)
    predictions = {FACES_TEST: face_report.face_predictions.predictions}
    for name, path in scenes.items():
        examples = read_dataset(path)
        box_report = evaluate_boxes(classifier, progress(examples))
        predictions[f"{name}/true"] = box_report.face_predictions.predictions
        scored = predict_examples(analyzer, progress(examples), settings)
        result = Evaluator(*scored.by_settings)(settings)
        found = FacePredictions.from_result(result, scored.examples)
        predictions[f"{name}/found"] = found.predictions
    return predictions


def read_example(example: Example) -> Image:
    """Return the image of an example.

    Raises:
        ValueError: it cannot be read; skipping it would give metrics of another set.
    """
    try:
        return read_image(example.path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{example.path}: {error}") from None


def median_or_zero(times_ms: Sequence[float]) -> float:
    """Return the median time; 0 without times."""
    return statistics.median(times_ms) if times_ms else 0.0
