"""What settings do for one class, on some of the pictures of a set."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.estimate import Estimate, clustered_proportion, poisson_rate
from maskdet.metrics.labelling import Json
from maskdet.tune.drawn import PerImageCounts, bootstrap_precision_recall
from maskdet.tune.judging import NO_FACE, UNSURE, EvaluationResult
from maskdet.tune.scored import IntArray
from maskdet.types import CLASSES, Label

BoolArray = NDArray[np.bool_]
"""`(p,)` which pictures of a set count."""


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """What happened in each picture for one class.

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
        """Count in every picture of a set."""
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
        """Return the counts of the chosen pictures."""
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
    """What settings do for one class on some pictures.

    Shares have Wilson's interval, widened where the faces of a picture go together;
    F1 is resampled by pictures; see `metrics.estimate`.

    Attributes:
        label: the class.
        n_images: how many pictures these are.
        true_positives: true faces of the class that are said to be of it.
        false_negatives: true faces of the class that are not.
        false_positives: faces said to be of the class that are none: of another class,
            or no face at all.
        recall: share of the true ones that are hits.
        precision: share of those said to be of the class that are.
        f1: the harmonic mean of both.
        false_positives_per_image: false alarms in a picture, in the mean.
        detection_recall: share of all true faces of known class that are shown,
            whatever is said.
        unsure_rate: share of these shown faces that are called unsure.
        non_faces_per_image: boxes in a picture, in the mean, that show no face,
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
        """Measure on the chosen pictures of a set."""
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
        false_positives_removed: false alarms that are there only before.
        false_positives_added: false alarms that are there only after.
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
        """Compare two outcomes of the same faces on the chosen pictures."""
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
            f"False alarms of the class: {false_positive_text}.",
        )


def _format_change(first: int, gain: str, second: int, loss: str) -> str:
    return f"{first} {gain}, {second} {loss}"
