"""Which boxes of a set touch each other: worked out once, asked at every slider."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, iou_matrix
from maskdet.tune.scored import AnalyzerPredictions, Float32Array, IntArray, LabelledSet
from maskdet.types import Label

BoolArray = NDArray[np.bool_]
"""One yes or no a row."""

_IouPairs = tuple[IntArray, IntArray, Float32Array]
"""Row, row and overlap of each pair."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of boxes of one picture that overlap at all.

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
        """Find the pairs of a set, picture by picture."""
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
        """Return the pairs of the chosen rows, counted anew: whole pictures only."""
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

        The same as `boxes.nms` in each picture, for all at once: in each round, who has
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

        The same as `metrics.detection.match_faces` in each picture, for all at once:
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
    """Return the rows of found and of true faces of each picture."""
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
    """Return the pairs of found faces of one picture, the stronger one first."""
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
    """Return the pairs of a found and a true face of one picture."""
    if predictions.ground_truth.has_boxes:
        boxes, true_boxes = (
            predictions.faces.boxes[detections],
            predictions.ground_truth.faces.boxes[ground_truths],
        )
        face, ground_truth_index, ious = _iou_pairs(boxes, true_boxes)
        return detections[face], ground_truths[ground_truth_index], ious
    # The whole picture is the box, so any face answers for it.
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
