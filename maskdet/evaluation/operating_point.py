"""Evaluation of settings on stored predictions of a set, without running a model.

The pairs of boxes are computed once, so any settings take microseconds.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.evaluation.predictions import AnalyzerPredictions
from maskdet.metrics.calibration import apply_temperature
from maskdet.metrics.matching import (
    MIN_IOU,
    BoolArray,
    Float32Array,
    IntArray,
    MatchCandidates,
    OverlappingPairs,
)
from maskdet.settings import Settings
from maskdet.types import CLASSES, Label

FALSE_POSITIVE: Final = -1
"""Value of `EvaluationResult.matched_ground_truth`: no true face matches."""

IGNORED_MATCH: Final = -2
"""Value of `EvaluationResult.matched_ground_truth`: neither right nor wrong."""

ACTUAL_KEYS: Final = (*(label.key for label in CLASSES), "no_face")
"""The rows of `EvaluationResult.confusion`."""

PREDICTED_KEYS: Final = (*(label.key for label in CLASSES), "unsure", "missed")
"""The columns of `EvaluationResult.confusion`."""

NO_FACE: Final = ACTUAL_KEYS.index("no_face")

UNSURE: Final = PREDICTED_KEYS.index("unsure")

MISSED: Final = PREDICTED_KEYS.index("missed")


@dataclass(frozen=True)
class FaceRef:
    """Reference to one face of a set.

    Attributes:
        image_index: index of its image.
        detection_row: its row in `AnalyzerPredictions.faces`, -1 if it was missed.
        ground_truth_row: its row in `LabelledSet.faces`, -1 if it has no true face.
    """

    image_index: int
    detection_row: int
    ground_truth_row: int


@dataclass(frozen=True, eq=False)
class PerImageCounts:
    """Counts of one class, or of faces of any class, in each image.

    Attributes:
        true_positives: `(p,)` true faces of the class that are predicted as it.
        predicted: `(p,)` faces predicted as the class, correctly or not.
        actual: `(p,)` true faces of the class.
    """

    true_positives: IntArray
    predicted: IntArray
    actual: IntArray

    @property
    def false_positives(self) -> IntArray:
        """`(p,)` faces predicted as the class that are not of it."""
        return self.predicted - self.true_positives

    @property
    def false_negatives(self) -> IntArray:
        """`(p,)` true faces of the class that are not predicted as it."""
        return self.actual - self.true_positives

    def select_images(self, image_mask: BoolArray) -> PerImageCounts:
        """Return the counts of the selected images."""
        return PerImageCounts(
            self.true_positives[image_mask],
            self.predicted[image_mask],
            self.actual[image_mask],
        )


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """The faces that settings show in a set, matched with the true faces.

    A face that matches a true face of unknown class is neither right nor wrong. The
    same applies to additional faces of a labelled image in a set without boxes. A true
    face that is too small for the settings counts as missed.

    Attributes:
        predictions: predictions of the analyzer.
        settings: settings that select the shown faces.
        min_iou: lowest IoU of a match.
        temperature: divisor of the logits of the probabilities; 1 for no scaling.
        shown_rows: `(k,)` int64 rows of `predictions.faces` that are shown, ascending.
        probs: `(k, 3)` float32 after temperature scaling.
        predicted: `(k,)` int64 values of `Label`, `UNKNOWN` below the confidence
            threshold.
        matched_ground_truth: `(k,)` int64 rows of `predictions.ground_truth.faces` that
            match the shown faces, `FALSE_POSITIVE` or `IGNORED_MATCH`.
        matched_detections: `(t,)` int64 index in `shown_rows` of the match of each true
            face, also of unknown class; -1 if it is missed.
        evaluator: the evaluator that computed it, for other settings.
    """

    predictions: AnalyzerPredictions
    settings: Settings
    min_iou: float
    temperature: float
    shown_rows: IntArray
    probs: Float32Array
    predicted: IntArray
    matched_ground_truth: IntArray
    matched_detections: IntArray
    evaluator: Evaluator = field(repr=False)

    @property
    def n_images(self) -> int:
        """Number of images in the set."""
        return len(self.predictions.ground_truth.names)

    @cached_property
    def actual(self) -> IntArray:
        """`(k,)` row of `confusion` of each shown face; -1 for ignored matches."""
        actual = np.where(self.matched_ground_truth == IGNORED_MATCH, -1, NO_FACE)
        is_matched = self.matched_ground_truth >= 0
        labels = self.predictions.ground_truth.labels
        actual[is_matched] = labels[self.matched_ground_truth[is_matched]]
        return actual

    @cached_property
    def confusion(self) -> IntArray:
        """`(4, 5)` counts of the faces that are not ignored.

        The rows are as in `ACTUAL_KEYS`, the columns as in `PREDICTED_KEYS`.
        """
        counts = np.zeros((len(ACTUAL_KEYS), len(PREDICTED_KEYS)), np.int64)
        counted = self.actual >= 0
        np.add.at(counts, (self.actual[counted], self.predicted_columns[counted]), 1)
        missed = self.predictions.ground_truth.labels[self.matched_detections < 0]
        np.add.at(counts[:, MISSED], missed[missed != Label.UNKNOWN], 1)
        return counts

    @cached_property
    def predicted_columns(self) -> IntArray:
        """`(k,)` column of `confusion` of each shown face."""
        return np.where(self.predicted == Label.UNKNOWN, UNSURE, self.predicted)

    @cached_property
    def ground_truth_columns(self) -> IntArray:
        """`(t,)` column of `confusion` of each true face."""
        columns = np.full(len(self.matched_detections), MISSED, np.int64)
        is_matched = self.matched_detections >= 0
        columns[is_matched] = self.predicted_columns[
            self.matched_detections[is_matched]
        ]
        return columns

    @cached_property
    def is_correct(self) -> BoolArray:
        """`(t,)` whether each true face is detected with its class."""
        labels = self.predictions.ground_truth.labels
        is_correct: BoolArray = (self.ground_truth_columns == labels) & (
            labels != Label.UNKNOWN
        )
        return is_correct

    @property
    def image_indices(self) -> IntArray:
        """`(k,)` index of the image of each shown face."""
        return self.predictions.faces.image_indices[self.shown_rows]

    @property
    def scores(self) -> Float32Array:
        """`(k,)` detection score of each shown face."""
        return self.predictions.scores[self.shown_rows]

    @property
    def confidences(self) -> Float32Array:
        """`(k,)` probability of the likeliest class of each shown face."""
        confidences: Float32Array = self.probs.max(axis=1, initial=0)
        return confidences

    def select_class(
        self, label: Label | None
    ) -> tuple[BoolArray, BoolArray, BoolArray]:
        """Return masks of the predicted, correct and actual faces of a class.

        For faces of any class, every shown face counts, also unsure ones. For a class,
        only faces at or above the confidence threshold count, and a face of another
        class is a false positive too. Ignored matches are left out.

        Args:
            label: the class, None for faces of any class.

        Returns:
            Two `(k,)` masks of the shown faces, and a `(t,)` mask of the true faces.
        """
        labels = self.predictions.ground_truth.labels
        if label is None:
            actual = labels != Label.UNKNOWN
            return self.actual >= 0, self.matched_ground_truth >= 0, actual
        predicted = (self.actual >= 0) & (self.predicted == label)
        return predicted, predicted & (self.actual == label), labels == label

    def count_per_image(
        self, label: Label | None, is_counted: BoolArray | None = None
    ) -> PerImageCounts:
        """Count predicted, actual and correct faces of a class in each image.

        See `select_class` for what counts.

        Args:
            label: the class, None for faces of any class.
            is_counted: `(t,)` mask of the true faces that count; all by default. Shown
                faces that match others are not true positives.
        """
        predicted, correct, actual = self.select_class(label)
        if is_counted is not None:
            actual = actual & is_counted
            correct[correct] = is_counted[self.matched_ground_truth[correct]]
        true_image_indices = self.predictions.ground_truth.faces.image_indices
        return PerImageCounts(
            self.count_images(self.image_indices[correct]),
            self.count_images(self.image_indices[predicted]),
            self.count_images(true_image_indices[actual]),
        )

    def count_images(self, image_indices: IntArray) -> IntArray:
        """Return how often each image of the set occurs among the indices."""
        return np.bincount(image_indices, minlength=self.n_images)

    def change_settings(self, **changes: Any) -> EvaluationResult:
        """Return the result with other values of some settings."""
        return self.evaluator(
            dataclasses.replace(self.settings, **changes),
            min_iou=self.min_iou,
            temperature=self.temperature,
        )

    def faces_in_cell(self, actual: int, predicted: int) -> tuple[FaceRef, ...]:
        """Return the faces that one cell of `confusion` counts.

        Detected faces are in the order of descending confidence, missed faces of
        descending size.

        Args:
            actual: row, as in `ACTUAL_KEYS`.
            predicted: column, as in `PREDICTED_KEYS`.

        Raises:
            ValueError: the cell is out of range.
        """
        if not (
            0 <= actual < len(ACTUAL_KEYS) and 0 <= predicted < len(PREDICTED_KEYS)
        ):
            raise ValueError(
                f"cell {actual}, {predicted} is outside the matrix of "
                f"{len(ACTUAL_KEYS)} rows and {len(PREDICTED_KEYS)} columns"
            )
        ground_truth = self.predictions.ground_truth
        if predicted == MISSED:
            is_missed = (self.matched_detections < 0) & (ground_truth.labels == actual)
            rows = np.flatnonzero(is_missed & (actual != NO_FACE))
            order = np.argsort(-sizes_px(ground_truth.faces.boxes[rows]), kind="stable")
            return tuple(self.missed_face(int(row)) for row in rows[order])
        indices = np.flatnonzero(
            (self.actual == actual) & (self.predicted_columns == predicted)
        )
        order = np.argsort(-self.confidences[indices], kind="stable")
        return tuple(self.shown_face(int(index)) for index in indices[order])

    def shown_face(self, index: int) -> FaceRef:
        """Return the shown face at an index of `shown_rows`."""
        row = int(self.shown_rows[index])
        image_index = int(self.predictions.faces.image_indices[row])
        return FaceRef(image_index, row, max(int(self.matched_ground_truth[index]), -1))

    def missed_face(self, ground_truth_row: int) -> FaceRef:
        """Return a true face as a missed face."""
        ground_truth = self.predictions.ground_truth
        image_index = int(ground_truth.faces.image_indices[ground_truth_row])
        return FaceRef(image_index, -1, ground_truth_row)


class Evaluator:
    """Evaluates any settings on the stored predictions of one set.

    Args:
        predictions: predictions of an analyzer on the set.
        overlaps: overlapping pairs of the predictions; computed by default.
        candidates: pairs of detected and true faces; computed by default.
    """

    def __init__(
        self,
        predictions: AnalyzerPredictions,
        *,
        overlaps: OverlappingPairs | None = None,
        candidates: MatchCandidates | None = None,
    ) -> None:
        """Compute the box pairs unless they are given."""
        faces, ground_truth = predictions.faces, predictions.ground_truth
        self.predictions = predictions
        self._overlaps = overlaps or OverlappingPairs.from_boxes(
            faces, predictions.scores
        )
        self.candidates = candidates or MatchCandidates.from_boxes(
            faces,
            predictions.scores,
            ground_truth.faces,
            is_ignored=ground_truth.labels == Label.UNKNOWN,
            has_boxes=ground_truth.has_boxes,
        )
        self._sizes_px = sizes_px(faces.boxes)

    def __call__(
        self,
        settings: Settings,
        *,
        min_iou: float = MIN_IOU,
        temperature: float = 1.0,
    ) -> EvaluationResult:
        """Select the shown faces as `Scene.filter` does, and match them.

        Faces are matched by the rules of `metrics.matching`.

        Args:
            settings: `min_score`, `min_face_px`, `nms_iou` and `min_confidence` apply.
            min_iou: lowest IoU of a match, above 0 and at most 1.
            temperature: see `metrics.calibration.apply_temperature`.

        Raises:
            ValueError: `min_iou` or `temperature` is out of range.
        """
        if not 0 < min_iou <= 1:
            raise ValueError(f"min_iou must be above 0 and at most 1, not {min_iou}")
        predictions = self.predictions
        is_candidate = predictions.scores >= settings.min_score
        is_candidate &= self._sizes_px >= settings.min_face_px
        is_kept = self._overlaps.suppress(is_candidate, settings.nms_iou)
        shown = np.flatnonzero(is_kept)
        matches = self.candidates.match(is_kept, min_iou)[shown]
        probs = predictions.probs[shown]
        if temperature != 1:
            probs = apply_temperature(probs, temperature)
        is_confident = probs.max(axis=1, initial=0) >= settings.min_confidence
        matched_detections = np.full(len(predictions.ground_truth.faces), -1, np.int64)
        is_matched = matches >= 0
        matched_detections[matches[is_matched]] = np.flatnonzero(is_matched)
        return EvaluationResult(
            predictions,
            settings,
            min_iou,
            temperature,
            shown,
            probs,
            np.where(is_confident, probs.argmax(axis=1), Label.UNKNOWN),
            self._mark_ignored(shown, matches),
            matched_detections,
            self,
        )

    def select_images(self, selected: BoolArray) -> Evaluator:
        """Return an evaluator of some images of the set, which are renumbered.

        Args:
            selected: `(p,)` mask of the images.

        Raises:
            ValueError: the mask has the wrong shape.
        """
        predictions, ground_truth = self.predictions, self.predictions.ground_truth
        image_mask = np.asarray(selected, np.bool_)
        if image_mask.shape != (len(ground_truth.names),):
            n_images = len(ground_truth.names)
            raise ValueError(
                f"the image mask must have shape ({n_images},), not {image_mask.shape}"
            )
        detection_mask = image_mask[predictions.faces.image_indices]
        ground_truth_mask = image_mask[ground_truth.faces.image_indices]
        return Evaluator(
            predictions.select_images(image_mask),
            overlaps=self._overlaps.select_rows(detection_mask),
            candidates=self.candidates.select_rows(detection_mask, ground_truth_mask),
        )

    def _mark_ignored(self, shown: IntArray, matched: IntArray) -> IntArray:
        ground_truth = self.predictions.ground_truth
        marked = matched.copy()
        is_matched = matched >= 0
        unknown = ground_truth.labels[matched[is_matched]] == Label.UNKNOWN
        marked[np.flatnonzero(is_matched)[unknown]] = IGNORED_MATCH
        if not ground_truth.has_boxes:
            has_face = np.zeros(len(ground_truth.names), np.bool_)
            has_face[ground_truth.faces.image_indices] = True
            is_extra = (
                ~is_matched & has_face[self.predictions.faces.image_indices[shown]]
            )
            marked[is_extra] = IGNORED_MATCH
        return marked
