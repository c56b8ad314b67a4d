"""Matching of detected to true faces, and non-maximum suppression, on many images.

The rules of the matching are those of COCO:

- detected faces are matched by falling score;
- each is matched to the unmatched true face of its image with the highest IoU, if that
  is high enough (the older VOC rule also considers matched faces and counts these as
  errors);
- each true face is matched once, so a second box on the same face is a false positive;
- true faces may be ignored: they are matched only if no other fits, and a detected face
  that matches one counts neither as correct nor as wrong.

The IoU of the pairs is computed once, so other thresholds take microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, iou_matrix

MIN_IOU = 0.5
"""Default lowest IoU at which a detected face matches a true face, as usual."""

IntArray = NDArray[np.int64]
Float32Array = NDArray[np.float32]

BoolArray = NDArray[np.bool_]
"""A mask with one element for each row."""

_IouPairs = tuple[IntArray, IntArray, Float32Array]
"""Row, row and IoU of each pair."""


@dataclass(frozen=True, eq=False)
class BoxRows:
    """Boxes of many images: row i is the same box in every array.

    Attributes:
        image_indices: `(n,)` int64 index of the image of each box, ascending.
        boxes: `(n, 4)` float32 `x1, y1, x2, y2` in pixels of the image.
    """

    image_indices: IntArray
    boxes: Boxes

    def __post_init__(self) -> None:
        """Convert and check shapes and order."""
        indices = np.asarray(self.image_indices, np.int64).reshape(-1)
        boxes = np.asarray(self.boxes, np.float32).reshape(-1, 4)
        object.__setattr__(self, "image_indices", indices)
        object.__setattr__(self, "boxes", boxes)
        if len(indices) != len(boxes):
            raise ValueError("faces must have one row in every array")
        if len(indices) and (np.diff(indices) < 0).any():
            raise ValueError("faces must be sorted by image")

    @classmethod
    def concat(cls, boxes_by_image: Sequence[Boxes]) -> BoxRows:
        """Return the boxes of several images, in their order."""
        counts = [len(boxes) for boxes in boxes_by_image]
        no_boxes = np.zeros((0, 4), np.float32)
        return BoxRows(
            np.repeat(np.arange(len(counts)), counts),
            np.concatenate([no_boxes, *boxes_by_image]),
        )

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.image_indices)


@dataclass(frozen=True, eq=False)
class OverlappingPairs:
    """Pairs of detected faces of an image with an IoU above 0.

    Attributes:
        stronger: `(a,)` the face of each pair with the higher score; for equal scores
            the one in the lower row.
        weaker: `(a,)` the other face of the pair.
        ious: `(a,)` float32 IoU of the two.
    """

    stronger: IntArray
    weaker: IntArray
    ious: Float32Array

    @classmethod
    def from_boxes(cls, detections: BoxRows, scores: Float32Array) -> OverlappingPairs:
        """Compute the pairs image by image."""
        first, second, ious = _join_pairs(
            (rows, rows, iou_matrix(detections.boxes[rows], detections.boxes[rows]))
            for rows, _ in _rows_by_image(detections, detections)
        )
        ranks = _invert_order(np.argsort(-scores, kind="stable"))
        is_ordered = ranks[first] < ranks[second]
        return cls(first[is_ordered], second[is_ordered], ious[is_ordered])

    def select_rows(self, row_mask: BoolArray) -> OverlappingPairs:
        """Return the pairs of the selected rows, renumbered; select whole images."""
        new_rows, kept = np.cumsum(row_mask) - 1, row_mask[self.stronger]
        return OverlappingPairs(
            new_rows[self.stronger[kept]], new_rows[self.weaker[kept]], self.ious[kept]
        )

    def suppress(self, is_kept: BoolArray, max_iou: float) -> BoolArray:
        """Return a mask of the faces that remain after non-maximum suppression.

        Equal to `boxes.nms` in each image, but for all images at once: each round keeps
        the faces without a stronger neighbour and suppresses their weaker neighbours.

        Args:
            is_kept: `(n,)` the candidates.
            max_iou: faces with a higher IoU with a stronger face are suppressed.
        """
        is_kept = is_kept.copy()
        is_active = (
            is_kept[self.stronger] & is_kept[self.weaker] & (self.ious > max_iou)
        )
        stronger, weaker = self.stronger[is_active], self.weaker[is_active]
        while len(stronger):
            has_stronger = np.zeros(len(is_kept), np.bool_)
            has_stronger[weaker] = True
            is_kept[weaker[~has_stronger[stronger]]] = False
            still_active = is_kept[stronger] & is_kept[weaker]
            stronger, weaker = stronger[still_active], weaker[still_active]
        return is_kept


@dataclass(frozen=True, eq=False)
class MatchCandidates:
    """Pairs of a detected and a true face of an image with an IoU above 0.

    Attributes:
        detection_rows: `(b,)` detected face of each pair, ascending; the pairs of one
            face are in the order of its preference.
        ground_truth_rows: `(b,)` the true face of each pair.
        ious: `(b,)` float32 IoU of the two.
        ranks: `(n,)` order in which the detected faces are matched, from 0: by falling
            score, and equal scores by falling best IoU.
        n_ground_truth: number of true faces.
    """

    detection_rows: IntArray
    ground_truth_rows: IntArray
    ious: Float32Array
    ranks: IntArray
    n_ground_truth: int

    @classmethod
    def from_boxes(
        cls,
        detections: BoxRows,
        scores: Float32Array,
        ground_truth: BoxRows,
        *,
        is_ignored: BoolArray,
        has_boxes: bool = True,
    ) -> MatchCandidates:
        """Compute the pairs image by image.

        Args:
            detections: the detected faces.
            scores: `(n,)` their scores.
            ground_truth: the true faces.
            is_ignored: `(t,)` mask of the ignored true faces.
            has_boxes: whether the true faces have boxes; if not, the true box is the
                whole image, so that any detected face matches it.
        """
        faces, true_faces, ious = _join_pairs(
            (
                rows,
                true_rows,
                iou_matrix(detections.boxes[rows], ground_truth.boxes[true_rows])
                if has_boxes
                else np.ones((len(rows), len(true_rows)), np.float32),
            )
            for rows, true_rows in _rows_by_image(detections, ground_truth)
        )
        pairs = cls(faces, true_faces, ious, np.arange(0), len(ground_truth))
        return pairs.prioritize(scores, is_ignored)

    def prioritize(
        self,
        scores: Float32Array,
        is_ignored: BoolArray,
        is_true: BoolArray | None = None,
    ) -> MatchCandidates:
        """Return the pairs for other scores or another selection of the true faces.

        Args:
            scores: `(n,)` scores of the detected faces.
            is_ignored: `(t,)` mask of the ignored true faces.
            is_true: `(t,)` mask of the true faces to match, ignored ones included; all
                by default.
        """
        faces, true_faces, ious = self.detection_rows, self.ground_truth_rows, self.ious
        if is_true is not None:
            kept = is_true[true_faces]
            faces, true_faces, ious = faces[kept], true_faces[kept], ious[kept]
        order = np.lexsort((true_faces, -ious, is_ignored[true_faces], faces))
        best = np.zeros(len(scores), np.float32)
        np.maximum.at(best, faces, ious)
        return MatchCandidates(
            faces[order],
            true_faces[order],
            ious[order],
            _invert_order(np.lexsort((-best, -scores))),
            self.n_ground_truth,
        )

    def select_rows(
        self, row_mask: BoolArray, ground_truth_mask: BoolArray
    ) -> MatchCandidates:
        """Return the pairs of the selected rows, renumbered; select whole images."""
        new_rows = np.cumsum(row_mask) - 1
        new_true_rows = np.cumsum(ground_truth_mask) - 1
        kept = row_mask[self.detection_rows]
        return MatchCandidates(
            new_rows[self.detection_rows[kept]],
            new_true_rows[self.ground_truth_rows[kept]],
            self.ious[kept],
            _invert_order(np.argsort(self.ranks[row_mask], kind="stable")),
            int(ground_truth_mask.sum()),
        )

    def match(self, is_kept: BoolArray, min_iou: float) -> IntArray:
        """Return the row of the matching true face of each detected face, -1 for none.

        All images are matched at once: in each round, every face proposes to its
        preferred true face, and pairs are dropped whose true face has a proposal of a
        better rank, until none is dropped (deferred acceptance). That gives the same as
        going through the faces by rank.

        Args:
            is_kept: `(n,)` the faces to match.
            min_iou: lowest IoU of a match.
        """
        is_candidate = is_kept[self.detection_rows] & (self.ious >= min_iou)
        faces = self.detection_rows[is_candidate]
        ground_truths = self.ground_truth_rows[is_candidate]
        matches = np.full(len(is_kept), -1, np.int64)
        while True:
            is_first_choice = np.diff(faces, prepend=-1) != 0
            best_ranks = np.full(self.n_ground_truth, len(is_kept), np.int64)
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


def _invert_order(order: IntArray) -> IntArray:
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _rows_by_image(
    detections: BoxRows, others: BoxRows
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the rows of both of each image that has some of both."""
    n_images = max(
        (int(rows.image_indices[-1]) + 1 for rows in (detections, others) if len(rows)),
        default=0,
    )
    edges = np.arange(n_images + 1)
    starts = np.searchsorted(detections.image_indices, edges).tolist()
    other_starts = np.searchsorted(others.image_indices, edges).tolist()
    for image_index in range(n_images):
        first, end = starts[image_index : image_index + 2]
        other_first, other_end = other_starts[image_index : image_index + 2]
        if first < end and other_first < other_end:
            yield np.arange(first, end), np.arange(other_first, other_end)


def _join_pairs(
    parts: Iterator[tuple[IntArray, IntArray, Float32Array]],
) -> _IouPairs:
    """Return the pairs with an IoU above 0 of several images.

    Args:
        parts: of each image the `(n,)` and `(m,)` rows and their `(n, m)` IoU.
    """
    no_rows, no_ious = np.zeros(0, np.int64), np.zeros(0, np.float32)
    pairs = [(no_rows, no_rows, no_ious)]
    for rows, other_rows, ious in parts:
        first, second = np.nonzero(ious)
        pairs.append((rows[first], other_rows[second], ious[first, second]))
    first, second, ious = (
        np.concatenate(column) for column in zip(*pairs, strict=True)
    )
    return first, second, ious
