"""Metrics of a result with intervals: by class, by slice of the set, and changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.evaluation.operating_point import (
    FALSE_POSITIVE,
    UNSURE,
    EvaluationResult,
    PerImageCounts,
)
from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import (
    Estimate,
    MetricsReport,
    bootstrap_ratio,
    clustered_proportion,
    poisson_rate,
    proportion,
    proportion_of,
)
from maskdet.metrics.matching import BoolArray
from maskdet.metrics.slices import (
    compare_with_rest,
    slice_faces,
    tercile_bounds,
)
from maskdet.types import CLASSES, Label


@dataclass(frozen=True)
class ClassMetrics:
    """Precision, recall and F1 of one class, or of faces of any class.

    Proportions have Wilson intervals, widened if the faces of an image are correlated;
    F1 is bootstrapped over images; see `metrics.intervals`.

    Attributes:
        label: the class, None for faces of any class.
        precision: fraction of the predicted faces that are correct; n is the number of
            predicted faces.
        recall: fraction of the true faces that are predicted as the class; n is the
            number of true faces.
        f1: harmonic mean of the two; n as for recall.
        false_positives_per_image: mean number of false positives in an image; n is the
            number of images.
    """

    label: Label | None
    precision: Estimate
    recall: Estimate
    f1: Estimate
    false_positives_per_image: Estimate

    @classmethod
    def from_counts(cls, label: Label | None, counts: PerImageCounts) -> ClassMetrics:
        """Compute the metrics of some images."""
        return ClassMetrics(
            label,
            clustered_proportion(counts.true_positives, counts.predicted),
            clustered_proportion(counts.true_positives, counts.actual),
            bootstrap_ratio(
                2 * counts.true_positives,
                counts.predicted + counts.actual,
                int(counts.actual.sum()),
            ),
            poisson_rate(counts.false_positives.tolist()),
        )

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The metrics by name."""
        names = ("precision", "recall", "f1", "false_positives_per_image")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class ClassPerformance(ClassMetrics, MetricsReport):
    """Metrics of settings for one class on some images.

    Attributes:
        n_images: number of images.
        true_positives: true faces of the class that are predicted as it.
        false_negatives: true faces of the class that are not.
        false_positives: faces predicted as the class that are of another class or not
            a face.
        detection_recall: fraction of all true faces of known class that are shown,
            whatever their predicted class.
        unsure_rate: fraction of these shown faces that are unsure.
        non_faces_per_image: mean number of shown boxes in an image that are not a face,
            whatever their predicted class.
    """

    label: Label
    n_images: int
    true_positives: int
    false_negatives: int
    false_positives: int
    detection_recall: Estimate
    unsure_rate: Estimate
    non_faces_per_image: Estimate

    @classmethod
    def from_result(
        cls, result: EvaluationResult, label: Label, image_mask: BoolArray
    ) -> ClassPerformance:
        """Compute the metrics on the selected images of a set."""
        counts = result.count_per_image(label).select_images(image_mask)
        faces = result.count_per_image(None).select_images(image_mask)
        is_unsure = (result.matched_ground_truth >= 0) & (
            result.predicted_columns == UNSURE
        )
        unsure = result.count_images(result.image_indices[is_unsure])[image_mask]
        return cls(
            **{**vars(ClassMetrics.from_counts(label, counts)), "label": label},
            n_images=len(counts.actual),
            true_positives=int(counts.true_positives.sum()),
            false_negatives=int(counts.false_negatives.sum()),
            false_positives=int(counts.false_positives.sum()),
            detection_recall=clustered_proportion(faces.true_positives, faces.actual),
            unsure_rate=clustered_proportion(unsure, faces.true_positives),
            non_faces_per_image=poisson_rate(faces.false_positives.tolist()),
        )

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {**super().to_json(), "label": self.label.key}


@dataclass(frozen=True)
class PerformanceChange:
    """Faces of a class whose decision changes between two settings.

    Attributes:
        gained: true faces of the class that are true positives only after.
        lost: true faces of the class that are true positives only before.
        false_positives_removed: false positives only before.
        false_positives_added: false positives only after.
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
        """Compare two results of the same detections on the selected images."""
        true_image_indices = before.predictions.ground_truth.faces.image_indices
        hits, false_positives = [], []
        for result in (before, after):
            predicted, correct, _ = result.select_class(label)
            true_rows = result.matched_ground_truth[correct]
            true_rows = true_rows[image_mask[true_image_indices[true_rows]]]
            is_wrong = predicted & ~correct & image_mask[result.image_indices]
            hits.append(set(true_rows.tolist()))
            false_positives.append(set(result.shown_rows[is_wrong].tolist()))
        return cls(
            len(hits[1] - hits[0]),
            len(hits[0] - hits[1]),
            len(false_positives[0] - false_positives[1]),
            len(false_positives[1] - false_positives[0]),
        )

    def messages(self) -> tuple[str, ...]:
        """Return the gains and losses, one sentence each."""
        if self == PerformanceChange(0, 0, 0, 0):
            return (
                "The results for this class are the same as with the current settings.",
            )
        return (
            f"Compared with the current settings: {self.gained} true positives gained, "
            f"{self.lost} lost.",
            f"False positives of the class: {self.false_positives_removed} removed, "
            f"{self.false_positives_added} added.",
        )


@dataclass(frozen=True)
class SliceMetrics:
    """Metrics of one slice of the true faces, compared with the rest.

    Attributes:
        name: quantity that defines the slice: `face size`, `light`, `sharpness`.
        part: range of the quantity, in words.
        detection_recall: fraction of its true faces that are detected.
        precision: fraction of the faces shown in this slice that are faces.
        correct_rate: fraction of its true faces that are detected and have the correct
            class.
        difference: `correct_rate` minus that of all other faces, with its interval.
        worse: whether the slice is significantly worse than the rest.
    """

    name: str
    part: str
    detection_recall: Estimate
    precision: Estimate
    correct_rate: Estimate
    difference: Estimate
    worse: bool


def compute_class_metrics(result: EvaluationResult) -> tuple[ClassMetrics, ...]:
    """Return the metrics of faces of any class first, then of each class.

    See `EvaluationResult.select_class` for what counts.
    """
    return tuple(
        ClassMetrics.from_counts(label, result.count_per_image(label))
        for label in (None, *CLASSES)
    )


def compute_slice_metrics(evaluation: EvaluationResult) -> tuple[SliceMetrics, ...]:
    """Compute metrics by size, light and sharpness of the faces; omit empty slices.

    The ground-truth box assigns a true face to a slice; its own box assigns a false
    positive. Sharpness is divided at the terciles of the true faces.
    """
    predictions = evaluation.predictions
    ground_truth = predictions.ground_truth
    labelled_rows = np.flatnonzero(ground_truth.labels != Label.UNKNOWN)
    wrong = evaluation.shown_rows[evaluation.matched_ground_truth == FALSE_POSITIVE]
    is_detected = evaluation.matched_detections[labelled_rows] >= 0
    is_correct = evaluation.is_correct[labelled_rows]
    features = [
        (sizes_px(faces.boxes[rows]), faces.lights[rows], faces.sharpness[rows])
        for faces, rows in (
            (ground_truth.faces, labelled_rows),
            (predictions.faces, wrong),
        )
    ]
    sizes, lights, sharpness = map(np.concatenate, zip(*features, strict=True))
    n_labelled = len(labelled_rows)
    cut = tercile_bounds(sharpness[:n_labelled])
    result = []
    for name, part, face_mask in slice_faces(sizes, lights, sharpness, cut):
        in_slice, wrong_in_slice = face_mask[:n_labelled], face_mask[n_labelled:]
        if not in_slice.any():
            continue
        n_detected = int(is_detected[in_slice].sum())
        result.append(
            SliceMetrics(
                name,
                part,
                proportion_of(is_detected[in_slice]),
                proportion(n_detected, n_detected + int(wrong_in_slice.sum())),
                *compare_with_rest(is_correct, in_slice),
            )
        )
    return tuple(result)
