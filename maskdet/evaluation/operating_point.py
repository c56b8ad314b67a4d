"""Evaluation of settings on stored predictions of a set, without running a model.

The IoU of box pairs is computed once, so NMS and matching are fast for any settings.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, iou_matrix, sizes_px
from maskdet.evaluation.predictions import (
    AnalyzerPredictions,
    Float32Array,
    IntArray,
    LabelledSet,
)
from maskdet.metrics.calibration import apply_temperature
from maskdet.settings import Settings
from maskdet.types import CLASSES, Label

BoolArray = NDArray[np.bool_]
"""A mask with one element for each row."""

_IouPairs = tuple[IntArray, IntArray, Float32Array]
"""Row, row and IoU of each pair."""

MIN_IOU: Final = 0.5
"""Default lowest IoU at which a detection matches a true face."""

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


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of boxes in an image with an IoU above 0.

    Attributes:
        stronger: `(a,)` the detected face of each pair with the higher score; for
            equal scores the one in the lower row.
        weaker: `(a,)` the other detected face of the pair.
        overlap_ious: `(a,)` float32 IoU of the two.
        detection_rows: `(b,)` detected face of each pair with a true face, ascending;
            the pairs of one face are in the order of its preference.
        ground_truth_rows: `(b,)` the true face of that pair.
        match_ious: `(b,)` float32 IoU of the two.
        ranks: `(n,)` order in which the detected faces are matched, from 0.
    """

    stronger: IntArray
    weaker: IntArray
    overlap_ious: Float32Array
    detection_rows: IntArray
    ground_truth_rows: IntArray
    match_ious: Float32Array
    ranks: IntArray

    @classmethod
    def from_predictions(cls, predictions: AnalyzerPredictions) -> Overlaps:
        """Compute the pairs of a set, image by image."""
        row_pairs = _rows_by_image(predictions)
        overlapping = _join_pairs(
            [_overlapping_pairs(predictions, detections) for detections, _ in row_pairs]
        )
        faces, ground_truths, ious = _join_pairs(
            [_matching_pairs(predictions, *rows) for rows in row_pairs]
        )
        best = np.zeros(len(predictions.faces), np.float32)
        np.maximum.at(best, faces, ious)
        order = _preference_order(predictions.ground_truth, faces, ground_truths, ious)
        ranks = _rank_detections(predictions.scores, best)
        return cls(*overlapping, faces[order], ground_truths[order], ious[order], ranks)

    def select_rows(
        self, detection_mask: BoolArray, ground_truth_mask: BoolArray
    ) -> Overlaps:
        """Return the pairs of the selected rows, renumbered; select whole images."""
        new_detection_rows, new_ground_truth_rows = (
            np.cumsum(detection_mask) - 1,
            np.cumsum(ground_truth_mask) - 1,
        )
        kept_overlaps, kept_matches = (
            detection_mask[self.stronger],
            detection_mask[self.detection_rows],
        )
        order = np.argsort(self.ranks[detection_mask], kind="stable")
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return dataclasses.replace(
            self,
            stronger=new_detection_rows[self.stronger[kept_overlaps]],
            weaker=new_detection_rows[self.weaker[kept_overlaps]],
            overlap_ious=self.overlap_ious[kept_overlaps],
            detection_rows=new_detection_rows[self.detection_rows[kept_matches]],
            ground_truth_rows=new_ground_truth_rows[
                self.ground_truth_rows[kept_matches]
            ],
            match_ious=self.match_ious[kept_matches],
            ranks=ranks,
        )

    def nms(self, is_kept: BoolArray, max_iou: float) -> BoolArray:
        """Return a mask of the faces that remain after non-maximum suppression.

        Equal to `boxes.nms` in each image, but for all images at once: each round keeps
        the faces without a stronger neighbour and suppresses their weaker neighbours.

        Args:
            is_kept: `(n,)` the candidates.
            max_iou: faces with a higher IoU with a stronger face are suppressed.
        """
        is_kept = is_kept.copy()
        is_active = (
            is_kept[self.stronger]
            & is_kept[self.weaker]
            & (self.overlap_ious > max_iou)
        )
        stronger, weaker = self.stronger[is_active], self.weaker[is_active]
        while len(stronger):
            has_stronger = np.zeros(len(is_kept), np.bool_)
            has_stronger[weaker] = True
            is_kept[weaker[~has_stronger[stronger]]] = False
            still_active = is_kept[stronger] & is_kept[weaker]
            stronger, weaker = stronger[still_active], weaker[still_active]
        return is_kept

    def match(
        self, is_kept: BoolArray, min_iou: float, n_ground_truth: int
    ) -> IntArray:
        """Return the row of the matching true face of each detected face, -1 for none.

        Equal to `metrics.detection.match_detections_in_image`, but for all images at
        once: in each round, every face proposes to its preferred true face, and pairs
        are dropped whose true face has a proposal of a better rank, until none is
        dropped (deferred acceptance).

        Args:
            is_kept: `(n,)` the faces to match.
            min_iou: lowest IoU of a match.
            n_ground_truth: number of true faces.
        """
        is_candidate = is_kept[self.detection_rows] & (self.match_ious >= min_iou)
        faces, ground_truths = (
            self.detection_rows[is_candidate],
            self.ground_truth_rows[is_candidate],
        )
        matches = np.full(len(is_kept), -1, np.int64)
        while True:
            is_first_choice = np.diff(faces, prepend=-1) != 0
            best_ranks = np.full(n_ground_truth, len(is_kept), np.int64)
            np.minimum.at(
                best_ranks,
                ground_truths[is_first_choice],
                self.ranks[faces[is_first_choice]],
            )
            is_available = self.ranks[faces] <= best_ranks[ground_truths]
            if is_available.all():
                matches[faces[is_first_choice]] = ground_truths[is_first_choice]
                return matches
            faces, ground_truths = faces[is_available], ground_truths[is_available]


def _rows_by_image(predictions: AnalyzerPredictions) -> list[tuple[IntArray, IntArray]]:
    """Return the rows of detected and of true faces of each image with detections."""
    image_indices = np.arange(len(predictions.ground_truth.names) + 1)
    detection_starts = np.searchsorted(predictions.faces.image_indices, image_indices)
    ground_truth_starts = np.searchsorted(
        predictions.ground_truth.faces.image_indices, image_indices
    )
    return [
        (
            np.arange(*detection_starts[image_index : image_index + 2]),
            np.arange(*ground_truth_starts[image_index : image_index + 2]),
        )
        for image_index in range(len(image_indices) - 1)
        if detection_starts[image_index] < detection_starts[image_index + 1]
    ]


def _overlapping_pairs(
    predictions: AnalyzerPredictions, detections: IntArray
) -> _IouPairs:
    """Return the pairs of detected faces of one image, the stronger one first."""
    boxes = predictions.faces.boxes[detections]
    first, second, ious = _iou_pairs(boxes, boxes)
    order = np.argsort(-predictions.scores[detections], kind="stable")
    rank = np.empty(len(detections), np.int64)
    rank[order] = np.arange(len(detections))
    is_ordered = rank[first] < rank[second]
    return (
        detections[first[is_ordered]],
        detections[second[is_ordered]],
        ious[is_ordered],
    )


def _matching_pairs(
    predictions: AnalyzerPredictions, detections: IntArray, ground_truths: IntArray
) -> _IouPairs:
    """Return the pairs of a detected and a true face of one image."""
    if predictions.ground_truth.has_boxes:
        boxes, true_boxes = (
            predictions.faces.boxes[detections],
            predictions.ground_truth.faces.boxes[ground_truths],
        )
        face, ground_truth_index, ious = _iou_pairs(boxes, true_boxes)
        return detections[face], ground_truths[ground_truth_index], ious
    # The true box is the whole image, so any face matches it.
    face, ground_truth_index = (
        side.ravel() for side in np.meshgrid(detections, ground_truths, indexing="ij")
    )
    return face, ground_truth_index, np.ones(len(face), np.float32)


def _iou_pairs(boxes: Boxes, others: Boxes) -> _IouPairs:
    ious = iou_matrix(boxes, others)
    first, second = np.nonzero(ious)
    return first, second, ious[first, second]


def _join_pairs(parts: list[_IouPairs]) -> _IouPairs:
    empty_rows = np.zeros(0, np.int64)
    first, second, ious = zip(
        (empty_rows, empty_rows, np.zeros(0, np.float32)), *parts, strict=True
    )
    return np.concatenate(first), np.concatenate(second), np.concatenate(ious)


def _preference_order(
    labelled_set: LabelledSet,
    faces: IntArray,
    ground_truths: IntArray,
    ious: Float32Array,
) -> IntArray:
    """Return the order of pairs: by face, then known classes, then descending IoU."""
    ignored = labelled_set.labels[ground_truths] == Label.UNKNOWN
    return np.lexsort((ground_truths, -ious, ignored, faces))


def _rank_detections(scores: Float32Array, best: Float32Array) -> IntArray:
    """Rank by descending score, and equal scores by descending best IoU."""
    order = np.lexsort((-best, -scores))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


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
        confusion: `(4, 5)` int64, rows as in `ACTUAL_KEYS`, columns as in
            `PREDICTED_KEYS`; ignored matches are left out.
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
    confusion: IntArray
    evaluator: Evaluator = field(repr=False)

    @property
    def n_images(self) -> int:
        """Number of images in the set."""
        return len(self.predictions.ground_truth.names)

    @cached_property
    def actual(self) -> IntArray:
        """`(k,)` row of `confusion` of each shown face; -1 for ignored matches."""
        return _find_actual_rows(
            self.matched_ground_truth, self.predictions.ground_truth.labels
        )

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

    @property
    def scores(self) -> Float32Array:
        """`(k,)` detection score of each shown face."""
        return self.predictions.scores[self.shown_rows]

    @property
    def confidences(self) -> Float32Array:
        """`(k,)` probability of the likeliest class of each shown face."""
        confidences: Float32Array = self.probs.max(axis=1, initial=0)
        return confidences

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
        overlaps: box pairs of the predictions; computed by default.
    """

    def __init__(
        self, predictions: AnalyzerPredictions, *, overlaps: Overlaps | None = None
    ) -> None:
        """Compute the box pairs unless they are given."""
        self.predictions = predictions
        self._overlaps = (
            Overlaps.from_predictions(predictions) if overlaps is None else overlaps
        )
        self._sizes_px = sizes_px(predictions.faces.boxes)

    def __call__(
        self,
        settings: Settings,
        *,
        min_iou: float = MIN_IOU,
        temperature: float = 1.0,
    ) -> EvaluationResult:
        """Select the shown faces as `Scene.filter` does, and match them.

        Faces are matched by descending score, as in
        `metrics.detection.match_detections_in_image`.

        Args:
            settings: `min_score`, `min_face_px`, `nms_iou` and `min_confidence` apply.
            min_iou: lowest IoU of a match, above 0 and at most 1.
            temperature: see `metrics.calibration.apply_temperature`.

        Raises:
            ValueError: `min_iou` or `temperature` is out of range.
        """
        _check_ranges(min_iou, temperature)
        predictions, labels = self.predictions, self.predictions.ground_truth.labels
        is_candidate = predictions.scores >= settings.min_score
        is_candidate &= self._sizes_px >= settings.min_face_px
        is_kept = self._overlaps.nms(is_candidate, settings.nms_iou)
        shown = np.flatnonzero(is_kept)
        matches = self._overlaps.match(is_kept, min_iou, len(labels))[shown]
        probs = self._scale_probs(shown, temperature)
        predicted = _predict_labels(probs, settings.min_confidence)
        matched_ground_truth = self._mark_ignored(shown, matches)
        matched_detections = _invert_matches(matches, len(labels))
        counts = _count_confusion(
            _find_actual_rows(matched_ground_truth, labels),
            predicted,
            labels[matched_detections < 0],
        )
        parameters = settings, min_iou, temperature
        return EvaluationResult(
            predictions,
            *parameters,
            shown,
            probs,
            predicted,
            matched_ground_truth,
            matched_detections,
            counts,
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
        detection_mask, ground_truth_mask = (
            image_mask[predictions.faces.image_indices],
            image_mask[ground_truth.faces.image_indices],
        )
        overlaps = self._overlaps.select_rows(detection_mask, ground_truth_mask)
        return Evaluator(predictions.select_images(image_mask), overlaps=overlaps)

    def _scale_probs(self, shown: IntArray, temperature: float) -> Float32Array:
        probs = self.predictions.probs[shown]
        return probs if temperature == 1 else apply_temperature(probs, temperature)

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


def _check_ranges(min_iou: float, temperature: float) -> None:
    if not 0 < min_iou <= 1:
        raise ValueError(f"min_iou must be above 0 and at most 1, not {min_iou}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"the temperature must be above 0, not {temperature}")


def _predict_labels(probs: Float32Array, min_confidence: float) -> IntArray:
    is_confident = probs.max(axis=1, initial=0) >= min_confidence
    return np.where(is_confident, probs.argmax(axis=1), Label.UNKNOWN)


def _invert_matches(matched: IntArray, n_ground_truth: int) -> IntArray:
    inverse = np.full(n_ground_truth, -1, np.int64)
    matched_rows = np.flatnonzero(matched >= 0)
    inverse[matched[matched_rows]] = matched_rows
    return inverse


def _find_actual_rows(matched_ground_truth: IntArray, labels: IntArray) -> IntArray:
    actual = np.where(matched_ground_truth == IGNORED_MATCH, -1, NO_FACE)
    is_matched = matched_ground_truth >= 0
    actual[is_matched] = labels[matched_ground_truth[is_matched]]
    return actual


def _count_confusion(
    actual: IntArray, predicted: IntArray, missed: IntArray
) -> IntArray:
    counts = np.zeros((len(ACTUAL_KEYS), len(PREDICTED_KEYS)), np.int64)
    is_counted = actual >= 0
    columns = np.where(predicted == Label.UNKNOWN, UNSURE, predicted)
    np.add.at(counts, (actual[is_counted], columns[is_counted]), 1)
    np.add.at(counts[:, MISSED], missed[missed != Label.UNKNOWN], 1)
    return counts
