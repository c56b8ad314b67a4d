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
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from maskdet.analyzers.pipelines import Analyzer, get_pipeline
from maskdet.boxes import sizes_px
from maskdet.datasets import Example
from maskdet.evaluation.classification import LARGE_PX, median_or_zero
from maskdet.metrics.classification import (
    ClassificationResult,
    ConfusionMatrix,
    Json,
)
from maskdet.metrics.detection import DetectionMatches, mean_average_precision
from maskdet.metrics.intervals import Estimate, clustered_proportion, estimates_to_json
from maskdet.metrics.matching import MIN_IOU, BoolArray, BoxRows, Float32Array
from maskdet.metrics.summary import ClassificationSummary, summarize_classification
from maskdet.settings import Settings
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.evaluation.operating_point import EvaluationResult
    from maskdet.evaluation.scoring import FacePredictions

CONFIDENCE_THRESHOLDS: Final = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Confidence thresholds that a report evaluates."""

ClassRule: TypeAlias = Literal["likeliest", "every"]
"""The classes a detection counts for; see above."""


def face_average_precision(result: EvaluationResult, min_px: float) -> Estimate:
    """Return the class-agnostic average precision.

    Args:
        result: the shown faces, without a detection threshold.
        min_px: true boxes with a smaller side are ignored.
    """
    predictions = result.predictions
    is_shown = np.zeros(len(predictions.faces), np.bool_)
    is_shown[result.shown_rows] = True
    is_true = predictions.ground_truth.labels != Label.UNKNOWN
    return mean_average_precision(
        [_match_class(result, is_shown, predictions.scores, is_true, min_px)]
    )


def class_average_precisions(
    result: EvaluationResult, min_px: float, rule: ClassRule = "likeliest"
) -> dict[str, Estimate]:
    """Return the average precision of each class, and their `mean`.

    Args:
        result: the shown faces, without a detection threshold.
        min_px: true boxes with a smaller side are ignored.
        rule: the classes that a detection counts for.
    """
    predictions = result.predictions
    matches: dict[str, DetectionMatches] = {}
    for label in CLASSES:
        is_candidate = np.zeros(len(predictions.faces), np.bool_)
        is_candidate[result.shown_rows] = True
        scores = predictions.scores
        if rule == "likeliest":
            is_candidate &= predictions.probs.argmax(axis=1) == label
        else:
            scores = scores * predictions.probs[:, label]
        is_true = predictions.ground_truth.labels == label
        matches[label.key] = _match_class(result, is_candidate, scores, is_true, min_px)
    class_aps = {key: mean_average_precision([item]) for key, item in matches.items()}
    return {**class_aps, "mean": mean_average_precision([*matches.values()])}


def _match_class(
    result: EvaluationResult,
    is_candidate: BoolArray,
    scores: Float32Array,
    is_true: BoolArray,
    min_px: float,
) -> DetectionMatches:
    """Match detections to the true faces of one class, or of any.

    Args:
        result: has the pairs of boxes.
        is_candidate: `(n,)` mask of the detections to match.
        scores: `(n,)` their scores.
        is_true: `(t,)` mask of the true faces of the class; those of unknown class are
            ignored, others do not exist.
        min_px: true faces with a smaller side are ignored, too.
    """
    faces, ground_truth = result.predictions.faces, result.predictions.ground_truth
    counted = is_true & (sizes_px(ground_truth.faces.boxes) >= min_px)
    candidates = result.evaluator.candidates.prioritize(
        scores, ~counted, is_true | (ground_truth.labels == Label.UNKNOWN)
    )
    return DetectionMatches.from_matched(
        BoxRows(faces.image_indices[is_candidate], faces.boxes[is_candidate]),
        scores[is_candidate],
        candidates.match(is_candidate, result.min_iou)[is_candidate],
        ground_truth.faces,
        counted,
        result.n_images,
        min_px=min_px,
    )


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

    @property
    def confusions_by_threshold(self) -> dict[float, ConfusionMatrix]:
        """Confusion of these predictions for each of `CONFIDENCE_THRESHOLDS`."""
        return {
            threshold: self.classification.confusion_from(threshold)
            for threshold in CONFIDENCE_THRESHOLDS
        }

    @cached_property
    def summary(self) -> ClassificationSummary:
        """All metrics of these predictions."""
        return summarize_classification(self.classification)

    def to_json(self) -> Json:
        """Return all metrics with their intervals."""
        return {
            "images": self.images,
            "pipeline": self.pipeline,
            "ap": estimates_to_json(self.ap),
            "ap_large": estimates_to_json(self.ap_large),
            "ap_every_class": estimates_to_json(self.ap_every_class),
            "ap_every_class_large": estimates_to_json(self.ap_every_class_large),
            "large_px": LARGE_PX,
            "recall": self.recall.to_json(),
            "precision": self.precision.to_json(),
            "labels": self.classification.to_json(),
            "by_min_confidence": {
                f"{threshold:g}": {
                    "unsure": confusion.abstention_rate.to_json(),
                    "accuracy_of_others": confusion.predicted_accuracy.to_json(),
                }
                for threshold, confusion in self.confusions_by_threshold.items()
            },
            "summary": self.summary.to_json(),
            "median_ms": round(self.median_ms, 2),
        }


def evaluate_detection(
    analyzer: Analyzer, examples: Iterable[Example], settings: Settings
) -> DetectionReport:
    """Evaluate an analyzer on scenes with true boxes and labels.

    Each image is analysed twice: for the curves with all detections from
    `MIN_STORED_SCORE`, of any size, and with the settings, timed. See the module for
    the two class rules; the report has both. A detection that matches a box of unknown
    class (`Example.ignore_boxes`) is neither correct nor wrong.

    Args:
        analyzer: the analyzer.
        examples: the scenes.
        settings: settings for recall, precision and classification; the curves use
            only its `nms_iou`.
    """
    # Imported here, as `import maskdet` loads this module and does not need them.
    from maskdet.evaluation.operating_point import Evaluator
    from maskdet.evaluation.scoring import (
        PERMISSIVE_SETTINGS,
        FacePredictions,
        predict_examples,
    )

    permissive = dataclasses.replace(PERMISSIVE_SETTINGS, nms_iou=settings.nms_iou)
    scored = predict_examples(analyzer, examples, permissive, settings)
    all_faces, result = (
        Evaluator(predictions)(item_settings)
        for predictions, item_settings in zip(
            scored.by_settings, (permissive, settings), strict=True
        )
    )
    is_large = sizes_px(result.predictions.ground_truth.faces.boxes) >= LARGE_PX
    recall = result.count_per_image(None, is_large)
    precision = result.count_per_image(None)
    return DetectionReport(
        images=len(scored.examples),
        ap=_average_precisions(all_faces, 0.0),
        ap_large=_average_precisions(all_faces, LARGE_PX),
        ap_every_class=class_average_precisions(all_faces, 0.0, "every"),
        ap_every_class_large=class_average_precisions(all_faces, LARGE_PX, "every"),
        recall=clustered_proportion(recall.true_positives, recall.actual),
        precision=clustered_proportion(precision.true_positives, precision.predicted),
        face_predictions=FacePredictions.from_result(result, scored.examples),
        median_ms=median_or_zero(scored.times_ms),
        pipeline=get_pipeline(analyzer),
    )


def _average_precisions(result: EvaluationResult, min_px: float) -> dict[str, Estimate]:
    faces_ap = face_average_precision(result, min_px)
    return {"faces": faces_ap, **class_average_precisions(result, min_px)}
