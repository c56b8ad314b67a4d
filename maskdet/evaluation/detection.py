"""Evaluate detection and classification on scenes: average precision and recall.

There are two rules for the classes of a detection in the average precision; papers
often do not state which one they use:

- `likeliest`: a detection counts for its most likely class only, with its detection
  score. A box has one class, as in VOC and COCO, so a wrong class is a false negative
  of the true class and a false positive of another. This rule reproduces the published
  results of the AIZOO network to within 0.006.
- `every`: a detection counts for every class, with its score times the probability of
  the class, as in the validation of YOLO networks ("multi label"). Errors with low
  confidence cost little, so these values are higher.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.pipelines import Analyzer, get_pipeline
from maskdet.boxes import Boxes, sizes_px
from maskdet.datasets import Example
from maskdet.evaluation.matching import (
    LARGE_PX,
    MIN_IOU,
    FacePredictions,
    median_or_zero,
    read_example,
)
from maskdet.metrics.classification import ClassificationResult, Json
from maskdet.metrics.detection import (
    DetectionMatches,
    match_detections,
    match_detections_in_image,
    mean_average_precision,
)
from maskdet.metrics.intervals import Estimate, proportion
from maskdet.metrics.summary import ClassificationSummary, summarize_classification
from maskdet.settings import Settings
from maskdet.types import CLASSES, Faces, Image, Label, Scene
from maskdet.wording import format_count

ClassRule: TypeAlias = Literal["likeliest", "every"]
"""The classes a detection counts for; see above."""

MIN_CURVE_SCORE = 0.02
"""Smallest detection score in the curves; lower ones would only change their tails."""


def face_average_precision(
    examples: Sequence[Example], scenes: Sequence[Scene], min_px: float
) -> Estimate:
    """Return the class-agnostic average precision.

    Args:
        examples: the true boxes.
        scenes: the detections in the same images.
        min_px: true boxes with a smaller side are ignored.
    """
    detections = [scene.faces for scene in scenes]
    ground_truth = [example.boxes for example in examples]
    return mean_average_precision(
        [_match_examples(examples, detections, ground_truth, min_px)]
    )


def class_average_precisions(
    examples: Sequence[Example],
    scenes: Sequence[Scene],
    min_px: float,
    rule: ClassRule = "likeliest",
) -> dict[str, Estimate]:
    """Return the average precision of each class, and their `mean`.

    Args:
        examples: the true boxes and labels.
        scenes: the detections in the same images.
        min_px: true boxes with a smaller side are ignored.
        rule: the classes that a detection counts for.
    """
    classes: list[DetectionMatches] = []
    for label in CLASSES:
        detections = [_faces_of_class(scene, label, rule) for scene in scenes]
        ground_truth = [
            example.boxes[example.label_values == label] for example in examples
        ]
        classes.append(_match_examples(examples, detections, ground_truth, min_px))
    class_aps = {
        label.key: mean_average_precision([matches])
        for label, matches in zip(CLASSES, classes, strict=True)
    }
    return {**class_aps, "mean": mean_average_precision(classes)}


def _match_examples(
    examples: Sequence[Example],
    detections: Sequence[Faces],
    ground_truth: Sequence[Boxes],
    min_px: float,
) -> DetectionMatches:
    """Match detections to true boxes; those on a box of unknown class are ignored."""
    ignored = [example.ignore_boxes for example in examples]
    return match_detections(
        detections, ground_truth, min_iou=MIN_IOU, min_px=min_px, ignored=ignored
    )


def _faces_of_class(scene: Scene, label: Label, rule: ClassRule) -> Faces:
    """Return the detections that count for a class, with their scores for it."""
    if rule == "likeliest":
        return scene.faces[scene.probs.argmax(axis=1) == label]
    return Faces(scene.faces.boxes, scene.faces.scores * scene.probs[:, label])


@dataclass(frozen=True, eq=False)
class DetectionReport:
    """How well an analyzer detects and classifies the faces of a data set.

    Examples:
        >>> report = maskdet.evaluate("scenes.json")
        >>> print(report.recall)
        1.000 [0.646, 1.000] n=7

    Attributes:
        images: number of images.
        ap: average precision of `faces`, of each class and their `mean`; a detection
            counts for its most likely class only, with its detection score.
        ap_large: the same, with faces smaller than `LARGE_PX` ignored.
        ap_every_class: of each class and their `mean`, where a detection counts for
            every class, with its score times the probability of that class.
        ap_every_class_large: the same, with faces smaller than `LARGE_PX` ignored.
        recall: fraction of the large faces that are detected, at the thresholds.
        precision: fraction of the detections that are faces of any size, at the
            thresholds.
        face_predictions: predictions for the detected large faces, and where they are.
        median_ms: time of one image, at the thresholds, in milliseconds.
        pipeline: detector and classifier, in one line.
    """

    images: int
    ap: dict[str, Estimate]
    ap_large: dict[str, Estimate]
    ap_every_class: dict[str, Estimate]
    ap_every_class_large: dict[str, Estimate]
    recall: Estimate
    precision: Estimate
    face_predictions: FacePredictions
    median_ms: float
    pipeline: str = ""

    def __str__(self) -> str:
        """Return a table of average precision, recall and precision."""
        rows = {f"AP {name}": value for name, value in self.ap.items()}
        large = f">= {LARGE_PX:g} px"
        rows |= {f"AP {name}, {large}": value for name, value in self.ap_large.items()}
        rows |= {f"recall, {large}": self.recall, "precision": self.precision}
        lines = [f"{name:24} {value}" for name, value in rows.items()]
        return "\n".join(
            [f"{format_count(self.images, 'image')}, IoU {MIN_IOU}", *lines]
        )

    @property
    def classification(self) -> ClassificationResult:
        """Predictions for the detected large faces at the thresholds."""
        return self.face_predictions.predictions.classification

    @cached_property
    def summary(self) -> ClassificationSummary:
        """All metrics of these predictions."""
        return summarize_classification(self.classification)

    def to_json(self) -> Json:
        """Return all metrics with their intervals."""
        return {
            "images": self.images,
            "pipeline": self.pipeline,
            "ap": _estimates_to_json(self.ap),
            "ap_large": _estimates_to_json(self.ap_large),
            "ap_every_class": _estimates_to_json(self.ap_every_class),
            "ap_every_class_large": _estimates_to_json(self.ap_every_class_large),
            "large_px": LARGE_PX,
            "recall": self.recall.to_json(),
            "precision": self.precision.to_json(),
            "labels": self.classification.to_json(),
            "summary": self.summary.to_json(),
            "median_ms": round(self.median_ms, 2),
        }


def evaluate_detection(
    analyzer: Analyzer, examples: Iterable[Example], settings: Settings
) -> DetectionReport:
    """Evaluate an analyzer on scenes with true boxes and labels.

    Each image is analysed twice: for the curves with all detections from
    `MIN_CURVE_SCORE`, of any size, and with the settings, timed. See the module for
    the two class rules; the report has both. A detection that matches a box of unknown
    class (`Example.ignore_boxes`) is neither correct nor wrong.

    Args:
        analyzer: the analyzer.
        examples: the scenes.
        settings: settings for recall, precision and classification; the curves use
            only its `nms_iou`.
    """
    results = [_analyze_example(analyzer, example, settings) for example in examples]
    used_examples, scenes = (
        [result.example for result in results],
        [result.unfiltered for result in results],
    )
    recall, precision = _recall_and_precision(
        used_examples, [result.filtered for result in results]
    )
    every_class, every_class_large = (
        class_average_precisions(used_examples, scenes, min_px, "every")
        for min_px in (0.0, LARGE_PX)
    )
    return DetectionReport(
        images=len(used_examples),
        ap=_average_precisions(used_examples, scenes, 0.0),
        ap_large=_average_precisions(used_examples, scenes, LARGE_PX),
        ap_every_class=every_class,
        ap_every_class_large=every_class_large,
        recall=recall,
        precision=precision,
        face_predictions=FacePredictions.concat(
            [result.face_predictions for result in results]
        ),
        median_ms=median_or_zero([result.took_ms for result in results]),
        pipeline=get_pipeline(analyzer),
    )


@dataclass(frozen=True, eq=False)
class _ExampleResult:
    """Unfiltered and filtered detections of an example, and the time they took."""

    example: Example
    unfiltered: Scene
    filtered: Scene
    face_predictions: FacePredictions
    took_ms: float


def _analyze_example(
    analyzer: Analyzer, example: Example, settings: Settings
) -> _ExampleResult:
    permissive = dataclasses.replace(
        settings, min_score=MIN_CURVE_SCORE, min_face_px=1, min_confidence=0
    )
    image = read_example(example)
    # The timed call is the second one: buffers of this size are then allocated.
    unfiltered = analyzer.analyze(image, permissive)
    start_s = perf_counter()
    filtered = analyzer.analyze(image, settings)
    took_ms = (perf_counter() - start_s) * 1e3
    face_predictions = match_predictions(example, image, filtered, min_px=LARGE_PX)
    return _ExampleResult(example, unfiltered, filtered, face_predictions, took_ms)


def match_predictions(
    example: Example, image: Image, scene: Scene, *, min_px: float
) -> FacePredictions:
    """Return the predictions of the detections that match a true box.

    Args:
        example: the true boxes and labels of the image.
        image: the image.
        scene: its detections.
        min_px: true boxes with a smaller side are ignored.
    """
    rows, matched = _matched_rows(example, scene, min_px)
    ground_truth = example.label_values[matched]
    boxes = scene.faces.boxes[rows]
    return FacePredictions.from_image(
        example, image, boxes, ground_truth, scene.probs[rows]
    )


def _matched_rows(
    example: Example, scene: Scene, min_px: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of matched detections and of their true boxes."""
    matched = _match_scene(example, scene)
    rows = np.flatnonzero((matched >= 0) & (matched < len(example.boxes)))
    rows = rows[sizes_px(example.boxes)[matched[rows]] >= min_px]
    return rows, matched[rows]


def _match_scene(example: Example, scene: Scene) -> NDArray[np.int64]:
    """Return the matched box of each detection: true boxes first, then ignored ones."""
    boxes = np.concatenate([example.boxes, example.ignore_boxes])
    ignored = np.arange(len(boxes)) >= len(example.boxes)
    return match_detections_in_image(
        scene.faces, boxes, min_iou=MIN_IOU, ignored=ignored
    )


def _average_precisions(
    examples: list[Example], scenes: list[Scene], min_px: float
) -> dict[str, Estimate]:
    faces_ap = face_average_precision(examples, scenes, min_px)
    return {"faces": faces_ap, **class_average_precisions(examples, scenes, min_px)}


def _estimates_to_json(estimates: dict[str, Estimate]) -> Json:
    return {name: value.to_json() for name, value in estimates.items()}


def _recall_and_precision(
    examples: list[Example], scenes: list[Scene]
) -> tuple[Estimate, Estimate]:
    """Return recall and precision at the thresholds."""
    n_large = n_large_detected = n_detected = n_correct = 0
    for example, scene in zip(examples, scenes, strict=True):
        n_large += int((sizes_px(example.boxes) >= LARGE_PX).sum())
        n_large_detected += len(_matched_rows(example, scene, LARGE_PX)[0])
        n_detected += int((_match_scene(example, scene) < len(example.boxes)).sum())
        n_correct += len(_matched_rows(example, scene, 0.0)[0])
    return proportion(n_large_detected, n_large), proportion(n_correct, n_detected)
