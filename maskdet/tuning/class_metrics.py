"""What settings do for one class, on some of the images of a set.

The table of an outcome: each class, and parts of the set, with intervals.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import (
    Estimate,
    clustered_proportion,
    poisson_rate,
    proportion,
)
from maskdet.metrics.slices import (
    MIN_COMPARED_FACES,
    proportion_difference,
    slice_faces,
    tercile_bounds,
)
from maskdet.tuning.bootstrap import PerImageCounts, bootstrap_precision_recall
from maskdet.tuning.operating_point import (
    FALSE_POSITIVE,
    NO_FACE,
    UNSURE,
    BoolArray,
    EvaluationResult,
)
from maskdet.tuning.predictions import FaceRows, Float32Array, IntArray
from maskdet.types import CLASSES, Label


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """What happened in each image for one class.

    Attributes:
        true_positives: `(p,)` true faces of the class that are said to be of it.
        false_negatives: `(p,)` true faces of the class that are not.
        false_positives: `(p,)` faces said to be of the class that are none.
    """

    true_positives: IntArray
    false_negatives: IntArray
    false_positives: IntArray

    @classmethod
    def from_result(cls, result: EvaluationResult, label: Label) -> ClassCounts:
        """Count in every image of a set."""
        n, ground_truth = result.n_images, result.predictions.ground_truth
        is_true_positive, false_positive_rows = (
            find_true_positives(result, label),
            find_false_positives(result, label),
        )
        is_actual = ground_truth.labels == label
        return cls(
            np.bincount(
                ground_truth.faces.image_indices[is_true_positive], minlength=n
            ),
            np.bincount(
                ground_truth.faces.image_indices[is_actual & ~is_true_positive],
                minlength=n,
            ),
            np.bincount(
                result.predictions.faces.image_indices[false_positive_rows], minlength=n
            ),
        )

    def select_images(self, image_mask: BoolArray) -> ClassCounts:
        """Return the counts of the chosen images."""
        return ClassCounts(
            self.true_positives[image_mask],
            self.false_negatives[image_mask],
            self.false_positives[image_mask],
        )


def find_true_positives(result: EvaluationResult, label: Label) -> BoolArray:
    """Return `(t,)` which true faces are of the class and said to be of it."""
    is_true_positive: BoolArray = (result.predictions.ground_truth.labels == label) & (
        result.ground_truth_columns == label
    )
    return is_true_positive


def find_false_positives(result: EvaluationResult, label: Label) -> IntArray:
    """Return the rows of faces found that are said to be of the class and are none."""
    is_wrong = (result.actual >= 0) & (result.actual != label)
    rows: IntArray = result.shown_rows[is_wrong & (result.predicted == label)]
    return rows


@dataclass(frozen=True)
class ClassPerformance:
    """What settings do for one class on some images.

    Shares have Wilson's interval, widened where the faces of an image go together;
    F1 is resampled by images; see `metrics.estimate`.

    Attributes:
        label: the class.
        n_images: how many images these are.
        true_positives: true faces of the class that are said to be of it.
        false_negatives: true faces of the class that are not.
        false_positives: faces said to be of the class that are none: of another class,
            or no face at all.
        recall: share of the true ones that are hits.
        precision: share of those said to be of the class that are.
        f1: the harmonic mean of both.
        false_positives_per_image: false positives in an image, in the mean.
        detection_recall: share of all true faces of known class that are shown,
            whatever is said.
        unsure_rate: share of these shown faces that are called unsure.
        non_faces_per_image: boxes in an image, in the mean, that show no face,
            whatever is said.
    """

    label: Label
    n_images: int
    true_positives: int
    false_negatives: int
    false_positives: int
    recall: Estimate
    precision: Estimate
    f1: Estimate
    false_positives_per_image: Estimate
    detection_recall: Estimate
    unsure_rate: Estimate
    non_faces_per_image: Estimate

    @classmethod
    def from_result(
        cls, result: EvaluationResult, label: Label, image_mask: BoolArray
    ) -> ClassPerformance:
        """Measure on the chosen images of a set."""
        counts = ClassCounts.from_result(result, label).select_images(image_mask)
        true_positives, false_negatives, false_positives = (
            counts.true_positives,
            counts.false_negatives,
            counts.false_positives,
        )
        actual: IntArray = true_positives + false_negatives
        predicted: IntArray = true_positives + false_positives
        ground_truth, image_indices = (
            result.predictions.ground_truth,
            result.predictions.faces.image_indices,
        )
        shown_in = image_indices[result.shown_rows]

        def per_picture(image_rows: IntArray) -> IntArray:
            image_counts: IntArray = np.bincount(image_rows, minlength=result.n_images)[
                image_mask
            ]
            return image_counts

        faces = per_picture(ground_truth.faces.image_indices[ground_truth.labels >= 0])
        is_face = (result.actual >= 0) & (result.actual < len(CLASSES))
        n_detected = per_picture(shown_in[is_face])
        unsure = per_picture(shown_in[is_face & (result.predicted_columns == UNSURE)])
        return cls(
            label,
            len(true_positives),
            int(true_positives.sum()),
            int(false_negatives.sum()),
            int(false_positives.sum()),
            recall=clustered_proportion(true_positives, actual),
            precision=clustered_proportion(true_positives, predicted),
            f1=bootstrap_precision_recall(
                PerImageCounts(true_positives, predicted, actual)
            )[0].f1,
            false_positives_per_image=poisson_rate(false_positives.tolist()),
            detection_recall=clustered_proportion(n_detected, faces),
            unsure_rate=clustered_proportion(unsure, n_detected),
            non_faces_per_image=poisson_rate(
                per_picture(shown_in[result.actual == NO_FACE]).tolist()
            ),
        )

    def to_json(self) -> Json:
        """Return every number with its interval."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.to_json() if isinstance(value, Estimate) else value
            for name, value in {**values, "label": self.label.key}.items()
        }


@dataclass(frozen=True)
class PerformanceChange:
    """Which faces change sides between two settings.

    Attributes:
        gained: true faces of the class that are hit only after.
        lost: true faces of the class that were hit only before.
        false_positives_removed: false positives that are there only before.
        false_positives_added: false positives that are there only after.
    """

    gained: int
    lost: int
    false_positives_removed: int
    false_positives_added: int

    @classmethod
    def from_results(
        cls,
        before: EvaluationResult,
        after: EvaluationResult,
        label: Label,
        image_mask: BoolArray,
    ) -> PerformanceChange:
        """Compare two outcomes of the same faces on the chosen images."""
        is_selected = image_mask[before.predictions.ground_truth.faces.image_indices]
        hits_before, hits_after = (
            find_true_positives(result, label) & is_selected
            for result in (before, after)
        )
        image_indices = before.predictions.faces.image_indices
        false_positive_sets = []
        for result in (before, after):
            rows = find_false_positives(result, label)
            false_positive_sets.append(
                set(rows[image_mask[image_indices[rows]]].tolist())
            )
        return cls(
            int((hits_after & ~hits_before).sum()),
            int((hits_before & ~hits_after).sum()),
            len(false_positive_sets[0] - false_positive_sets[1]),
            len(false_positive_sets[1] - false_positive_sets[0]),
        )

    def messages(self) -> tuple[str, ...]:
        """Return what is won and what it costs, one sentence each."""
        if self == PerformanceChange(0, 0, 0, 0):
            return ("Against the settings of now, nothing changes for the class.",)
        detection_text = _format_change(self.gained, "more found", self.lost, "lost")
        false_positive_text = _format_change(
            self.false_positives_removed, "fewer", self.false_positives_added, "more"
        )
        return (
            f"Against the settings of now: {detection_text} of the true faces of the "
            "class.",
            f"False positives of the class: {false_positive_text}.",
        )


def _format_change(first: int, gain: str, second: int, loss: str) -> str:
    return f"{first} {gain}, {second} {loss}"


@dataclass(frozen=True)
class ClassMetrics:
    """How well one class, or faces whatever their class, are told.

    Attributes:
        label: the class, None for faces whatever their class.
        precision: share of the faces called so that are; n is how many were.
        recall: share of the true ones called so; n is how many there are.
        f1: harmonic mean of the two; n as for recall.
        false_positives_per_image: faces called so that are not, an image; n is
            images.
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
    called so, surely enough. A false positive of a class is also a face of another
    class. Intervals of shares come from drawing images.
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

    A true face lies in the part of its true box; a false positive in that of its own.
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
    """Count in each image what is shown, true and right of a class, None for faces.

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
