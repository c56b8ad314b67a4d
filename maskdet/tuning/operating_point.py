"""What settings would show of a set, and what of that is right: counted at once.

Which boxes of a set touch each other: worked out once, asked at every slider.
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
from maskdet.metrics.calibration import apply_temperature
from maskdet.settings import Settings
from maskdet.tuning.predictions import (
    AnalyzerPredictions,
    Float32Array,
    IntArray,
    LabelledSet,
)
from maskdet.types import CLASSES, Label

BoolArray = NDArray[np.bool_]
"""One yes or no a row."""

_IouPairs = tuple[IntArray, IntArray, Float32Array]
"""Row, row and overlap of each pair."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of boxes of one image that overlap at all.

    Attributes:
        stronger: `(a,)` the found face of each pair that has the better score; of
            equal ones that of the lower row.
        weaker: `(a,)` the other one.
        overlap_ious: `(a,)` float32 intersection over union of the two.
        detection_rows: `(b,)` found face of each pair with a true one, rising; those of
            one face begin with the true face that it would take first.
        ground_truth_rows: `(b,)` the true face of that pair.
        match_ious: `(b,)` float32 intersection over union of the two.
        ranks: `(n,)` when each found face may choose its true face, 0 first.
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
        """Find the pairs of a set, image by image."""
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
        """Return the pairs of the chosen rows, counted anew: whole images only."""
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
        """Return which faces remain where of two that overlap too much one goes.

        The same as `boxes.nms` in each image, for all at once: in each round, who has
        no stronger rival stays for good and its weaker ones go.

        Args:
            is_kept: `(n,)` the faces that take part.
            max_iou: a face overlapping a better one by more than this goes.
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
        """Return the true face of each found one, -1 for none.

        The same as `metrics.detection.match_faces` in each image, for all at once:
        every face asks for the true face that it likes best among those left to it,
        and loses those that a face of better rank asks for, until nobody loses.

        Args:
            is_kept: `(n,)` the faces that take part.
            min_iou: smallest overlap that counts as a match.
            n_ground_truth: how many true faces there are.
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
    """Return the rows of found and of true faces of each image."""
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
    """Return the pairs of found faces of one image, the stronger one first."""
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
    """Return the pairs of a found and a true face of one image."""
    if predictions.ground_truth.has_boxes:
        boxes, true_boxes = (
            predictions.faces.boxes[detections],
            predictions.ground_truth.faces.boxes[ground_truths],
        )
        face, ground_truth_index, ious = _iou_pairs(boxes, true_boxes)
        return detections[face], ground_truths[ground_truth_index], ious
    # The whole image is the box, so any face answers for it.
    face, ground_truth_index = (
        side.ravel() for side in np.meshgrid(detections, ground_truths, indexing="ij")
    )
    return face, ground_truth_index, np.ones(len(face), np.float32)


def _iou_pairs(boxes: Boxes, others: Boxes) -> _IouPairs:
    overlaps = iou_matrix(boxes, others)
    first, second = np.nonzero(overlaps)
    return first, second, overlaps[first, second]


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
    """Return the order of pairs: by face, known classes first, best fit first."""
    ignored = labelled_set.labels[ground_truths] == Label.UNKNOWN
    return np.lexsort((ground_truths, -ious, ignored, faces))


def _rank_detections(scores: Float32Array, best: Float32Array) -> IntArray:
    """Rank by falling score; of equal scores the better fitting one comes first."""
    order = np.lexsort((-best, -scores))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


MIN_IOU: Final = 0.5
"""A face counts as found when its box overlaps the true one so much, as is usual."""

FALSE_POSITIVE: Final = -1
"""In `Outcome.truths`: a face is shown where there is none."""

IGNORED_MATCH: Final = -2
"""In `Outcome.truths`: neither right nor wrong, see `Outcome`."""

ACTUAL_KEYS: Final = (*(label.key for label in CLASSES), "no_face")
"""The rows of `Outcome.confusion`: what is true."""

PREDICTED_KEYS: Final = (*(label.key for label in CLASSES), "unsure", "missed")
"""The columns of `Outcome.confusion`: what was said."""

NO_FACE: Final = ACTUAL_KEYS.index("no_face")
UNSURE: Final = PREDICTED_KEYS.index("unsure")
MISSED: Final = PREDICTED_KEYS.index("missed")


@dataclass(frozen=True)
class FaceRef:
    """One face to look at.

    Attributes:
        image_index: which image of the set it is in.
        detection_row: its row in `AnalyzerPredictions.faces`, -1 where nothing was
            found.
        ground_truth_row: its row in `LabelledSet.faces`, -1 where there is no such
            face.
    """

    image_index: int
    detection_row: int
    ground_truth_row: int


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What settings show of a set, and what of that is right.

    A face that matches a true one of unknown class is neither right nor wrong; nor is,
    in a set without boxes, a further face in an image that has been answered for.
    A true face that is too small for the settings counts as missed.

    Attributes:
        predictions: what was found.
        settings: what is shown of it.
        min_iou: smallest overlap that counts as found.
        temperature: that the probabilities were divided by, as logits; 1 as they were.
        shown_rows: `(k,)` int64 rows of `predictions.faces` that are shown, rising.
        probs: `(k, 3)` float32 after the temperature.
        predicted: `(k,)` int64 values of `Label`, `UNKNOWN` below the confidence.
        matched_ground_truth: `(k,)` int64 rows of `predictions.truth.faces` that the
            faces shown match, `FALSE_POSITIVE` or `IGNORED_MATCH`.
        matched_detections: `(t,)` int64 place in `shown_rows` of the face that matches
            each true one, also those of unknown class; -1 where it is not found.
        confusion: `(4, 5)` int64, rows as in `ACTUAL_KEYS`, columns as in
            `PREDICTED_KEYS`; what is neither right nor wrong is left out.
        evaluator: who judged, to ask for other settings.
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
        """How many images the set has."""
        return len(self.predictions.ground_truth.names)

    @cached_property
    def actual(self) -> IntArray:
        """`(k,)` row of `confusion` that each face shown counts in; -1 for neither."""
        return _find_actual_rows(
            self.matched_ground_truth, self.predictions.ground_truth.labels
        )

    @cached_property
    def predicted_columns(self) -> IntArray:
        """`(k,)` column of `confusion` that each face shown counts in."""
        return np.where(self.predicted == Label.UNKNOWN, UNSURE, self.predicted)

    @cached_property
    def ground_truth_columns(self) -> IntArray:
        """`(t,)` column of `confusion` that each true face counts in."""
        columns = np.full(len(self.matched_detections), MISSED, np.int64)
        is_matched = self.matched_detections >= 0
        columns[is_matched] = self.predicted_columns[
            self.matched_detections[is_matched]
        ]
        return columns

    @property
    def scores(self) -> Float32Array:
        """`(k,)` score of each face shown."""
        return self.predictions.scores[self.shown_rows]

    @property
    def confidences(self) -> Float32Array:
        """`(k,)` probability of the likeliest class of each face shown."""
        best: Float32Array = self.probs.max(axis=1, initial=0)
        return best

    def faces_in_cell(self, actual: int, predicted: int) -> tuple[FaceRef, ...]:
        """Return the faces that one cell of `confusion` counts.

        Faces found come by falling confidence, missed ones by falling size.

        Args:
            actual: row, as in `ACTUAL_KEYS`.
            predicted: column, as in `PREDICTED_KEYS`.

        Raises:
            ValueError: there is no such cell.
        """
        if not (
            0 <= actual < len(ACTUAL_KEYS) and 0 <= predicted < len(PREDICTED_KEYS)
        ):
            raise ValueError(
                f"there is no cell {actual}, {predicted} in 4 rows, 5 columns"
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
        """Return the face at a place of `shown_rows`."""
        row = int(self.shown_rows[index])
        image_index = int(self.predictions.faces.image_indices[row])
        return FaceRef(image_index, row, max(int(self.matched_ground_truth[index]), -1))

    def missed_face(self, truth_row: int) -> FaceRef:
        """Return a true face, as one that was not found."""
        return FaceRef(
            int(self.predictions.ground_truth.faces.image_indices[truth_row]),
            -1,
            truth_row,
        )


class Evaluator:
    """Judges any settings on one set without looking at an image again.

    Args:
        predictions: what was found; overlaps are worked out once, here.
    """

    def __init__(
        self, predictions: AnalyzerPredictions, *, overlaps: Overlaps | None = None
    ) -> None:
        """Work out which boxes overlap, unless that is known."""
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
        """Return what the settings show, as `Scene.select` does, and what is right.

        Faces take true ones by falling score, as in `metrics.detection.match_faces`.

        Args:
            settings: `min_score`, `min_face_px`, `nms_iou` and `min_confidence` count.
            min_iou: smallest overlap that counts as found, above 0 and at most 1.
            temperature: see `metrics.calibration.with_temperature`.

        Raises:
            ValueError: the overlap or the temperature is out of its range.
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
        """Return the judge of some images of the set, which are counted anew.

        Args:
            selected: `(p,)` whether each image takes part.
        """
        predictions, ground_truth = self.predictions, self.predictions.ground_truth
        image_mask = np.asarray(selected, np.bool_)
        if image_mask.shape != (len(ground_truth.names),):
            n_images = len(ground_truth.names)
            raise ValueError(f"{image_mask.shape} choices do not fit {n_images} images")
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
