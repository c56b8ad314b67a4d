"""The table of an outcome: each class, and parts of the set, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.metrics.estimate import Estimate, poisson_rate, proportion
from maskdet.metrics.slices import (
    MIN_COMPARED_FACES,
    proportion_difference,
    slice_faces,
    tercile_bounds,
)
from maskdet.tune.drawn import PerImageCounts, bootstrap_precision_recall
from maskdet.tune.judging import FALSE_POSITIVE, EvaluationResult
from maskdet.tune.overlaps import BoolArray
from maskdet.tune.scored import FaceRows, Float32Array, IntArray
from maskdet.types import CLASSES, Label


@dataclass(frozen=True)
class ClassMetrics:
    """How well one class, or faces whatever their class, are told.

    Attributes:
        label: the class, None for faces whatever their class.
        precision: share of the faces called so that are; n is how many were.
        recall: share of the true ones called so; n is how many there are.
        f1: harmonic mean of the two; n as for recall.
        false_positives_per_image: faces called so that are not, a picture; n is
            pictures.
    """

    label: Label | None
    precision: Estimate
    recall: Estimate
    f1: Estimate
    false_positives_per_image: Estimate


@dataclass(frozen=True)
class SliceMetrics:
    """How well a part of the true faces does, and whether worse than the rest.

    Attributes:
        name: what the set was cut by: `face size`, `light`, `sharpness`.
        part: which part of it, in words.
        detection_recall: share of its true faces that are found.
        correct_rate: share of its true faces that are found and called right.
        precision: share of the faces shown in this part that are faces.
        difference: `correct_rate` minus that of all other faces, with its interval.
        worse: whether it does worse than the rest by more than the interval allows.
    """

    name: str
    part: str
    detection_recall: Estimate
    correct_rate: Estimate
    precision: Estimate
    difference: Estimate
    worse: bool


def compute_class_metrics(result: EvaluationResult) -> tuple[ClassMetrics, ...]:
    """Return the rows: faces whatever their class first, then each class.

    Faces count as found whatever they are called, also unsure; a class counts what is
    called so, surely enough. A false alarm of a class is also a face of another class.
    Intervals of shares come from drawing pictures.
    """
    labels = (None, *CLASSES)
    tallies = [count_per_image(result, label) for label in labels]
    return tuple(
        ClassMetrics(
            label,
            scores.precision,
            scores.recall,
            scores.f1,
            false_positives_per_image=poisson_rate(
                (counts.predicted - counts.true_positives).tolist()
            ),
        )
        for label, counts, scores in zip(
            labels, tallies, bootstrap_precision_recall(*tallies), strict=True
        )
    )


def compute_slice_metrics(evaluation: EvaluationResult) -> tuple[SliceMetrics, ...]:
    """Cut the set by size, light and sharpness of the faces; empty parts go.

    A true face lies in the part of its true box; a false alarm in that of its own.
    For sharpness the true faces are cut in three equal parts.
    """
    ground_truth, predictions = (
        evaluation.predictions.ground_truth,
        evaluation.predictions,
    )
    labelled_rows = np.flatnonzero(ground_truth.labels != Label.UNKNOWN)
    wrong = evaluation.shown_rows[evaluation.matched_ground_truth == FALSE_POSITIVE]
    is_detected = evaluation.matched_detections[labelled_rows] >= 0
    is_correct = (
        evaluation.ground_truth_columns[labelled_rows]
        == ground_truth.labels[labelled_rows]
    )
    sizes, lights, sharpness = (
        np.concatenate([actual_values, wrong_values])
        for actual_values, wrong_values in zip(
            _slice_features(ground_truth.faces, labelled_rows),
            _slice_features(predictions.faces, wrong),
            strict=True,
        )
    )
    cut = tercile_bounds(sharpness[: len(labelled_rows)])
    result = []
    for name, part, face_mask in slice_faces(sizes, lights, sharpness, cut):
        in_slice, wrong_values = (
            face_mask[: len(labelled_rows)],
            int(face_mask[len(labelled_rows) :].sum()),
        )
        if in_slice.any():
            result.append(
                SliceMetrics(
                    name,
                    part,
                    *_measure_slice(in_slice, wrong_values, is_detected, is_correct),
                )
            )
    return tuple(result)


def count_per_image(result: EvaluationResult, label: Label | None) -> PerImageCounts:
    """Count in each picture what is shown, true and right of a class, None for faces.

    What is neither right nor wrong is left out.
    """
    ground_truth = result.predictions.ground_truth
    if label is None:
        predicted, true_positives = result.actual >= 0, result.matched_ground_truth >= 0
        actual = ground_truth.labels != Label.UNKNOWN
    else:
        predicted = (result.actual >= 0) & (result.predicted == label)
        true_positives = predicted & (result.actual == label)
        actual = ground_truth.labels == label
    image_indices = result.predictions.faces.image_indices[result.shown_rows]
    return PerImageCounts(
        *(
            np.bincount(rows, minlength=result.n_images)
            for rows in (
                image_indices[true_positives],
                image_indices[predicted],
                ground_truth.faces.image_indices[actual],
            )
        )
    )


def _slice_features(
    faces: FaceRows, rows: IntArray
) -> tuple[Float32Array, Float32Array, Float32Array]:
    sizes = sizes_px(faces.boxes[rows])
    return sizes, faces.lights[rows], faces.sharpness[rows]


def _measure_slice(
    in_slice: BoolArray,
    n_false_positives: int,
    is_detected: BoolArray,
    is_correct: BoolArray,
) -> tuple[Estimate, Estimate, Estimate, Estimate, bool]:
    """Return all that `SliceMetrics` tells of the true faces `in_slice`."""
    n, others = int(in_slice.sum()), int((~in_slice).sum())
    n_detected = int(is_detected[in_slice].sum())
    correct_rate = proportion(int(is_correct[in_slice].sum()), n)
    gap = proportion_difference(
        correct_rate, proportion(int(is_correct[~in_slice].sum()), others)
    )
    worse = min(n, others) >= MIN_COMPARED_FACES and gap.high < 0
    return (
        proportion(n_detected, n),
        correct_rate,
        proportion(n_detected, n_detected + n_false_positives),
        gap,
        worse,
    )
