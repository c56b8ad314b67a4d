"""Search for the settings that reach a goal, such as 95 % recall of a class.

Settings are selected on one half of the images by a grid search over detection and
confidence threshold, and reported on the other half (holdout).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.evaluation.operating_point import (
    EvaluationResult,
    Evaluator,
    PerImageCounts,
)
from maskdet.evaluation.predictions import LabelledSet
from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import (
    Estimate,
    draw_bootstrap_weights,
    percentile_estimate,
    safe_divide,
)
from maskdet.metrics.matching import MIN_IOU, BoolArray, IntArray
from maskdet.metrics.summary import FaceWeights, Floats
from maskdet.settings import Settings
from maskdet.tuning.class_metrics import (
    ClassPerformance,
    PerformanceChange,
)
from maskdet.tuning.goals import (
    Goal,
    Guarantee,
    format_rate,
    guarantee_gain,
    guarantee_recall,
)
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count, pluralize

CountArray = NDArray[np.int64] | NDArray[np.float32]
"""Numbers of faces, as integers or as sums of resampled images."""

# Steps of 0.01, as on the sliders. The likeliest of 3 classes has at least 1/3.
_SCORE_GRID: Final = np.arange(2, 100) / 100

_CONFIDENCE_GRID: Final = np.arange(33, 100) / 100

_MIN_FACE_PX_CANDIDATES: Final = (8.0, 12.0, 16.0, 20.0, 24.0, 32.0, 48.0)
"""Minimum face sizes to try besides the current one."""

FEW_FACES: Final = 30
"""Below this number of faces of a class, a warning is added."""

PER_IMAGE_NOTE: Final = (
    "Measured on single images; Live smooths labels over time, so its rates differ."
)
"""Note for all metrics on a set of images."""

_MIN_NOTABLE_CHANGE: Final = 0.03
"""Smallest change of a rate that gets a warning."""

_SIDE_EFFECTS: Final = (
    (
        "detection_recall",
        -1,
        "Fewer faces of any class are detected: {} instead of {}.",
        format_rate,
    ),
    (
        "unsure_rate",
        1,
        "More detected faces are unsure: {} instead of {}.",
        format_rate,
    ),
    (
        "non_faces_per_image",
        1,
        "More boxes are not a face: {} per image instead of {}.",
        "{:.2f}".format,
    ),
)
"""Rate, sign of a change for the worse, warning and format of its two values."""


def count_classes_per_image(ground_truth: LabelledSet) -> NDArray[np.int64]:
    """Return the `(p, 3)` number of true faces of each class in each image."""
    counts = np.zeros((len(ground_truth.names), len(CLASSES)), np.int64)
    has_class = ground_truth.labels >= 0
    np.add.at(
        counts,
        (ground_truth.faces.image_indices[has_class], ground_truth.labels[has_class]),
        1,
    )
    return counts


def split_stratified(ground_truth: LabelledSet, *, seed: int = 0) -> NDArray[np.bool_]:
    """Return a `(p,)` mask of the images for selection; the others are the holdout.

    Whole images are assigned, because the faces of an image have its light and camera
    in common. The rarest class is assigned first, and the images with most of it before
    the others, each to the side that has less of it so far; so both sides get about
    half of every class. Source: K. Sechidis et al., "On the stratification of
    multi-label data", ECML PKDD 2011, for two sides.

    Args:
        ground_truth: the set.
        seed: random seed of the order of equal images.
    """
    counts = count_classes_per_image(ground_truth)
    order = np.random.default_rng(seed).permutation(len(counts))
    sides = np.full(len(counts), -1, np.int64)
    side_counts = np.zeros(
        (2, counts.shape[1] + 1), np.int64
    )  # the last column: images
    for label in (*np.argsort(counts.sum(axis=0), kind="stable"), -1):
        column = counts[order, label] if label >= 0 else np.ones(len(order), np.int64)
        for image_index in order[np.argsort(-column, kind="stable")]:
            if sides[image_index] >= 0 or (
                label >= 0 and not counts[image_index, label]
            ):
                continue
            # Compare by the class, then by the number of images, then by the side.
            side = min(
                (0, 1), key=lambda s: (side_counts[s, label], side_counts[s, -1], s)
            )
            sides[image_index] = side
            side_counts[side] += (*counts[image_index], 1)
    first_half: NDArray[np.bool_] = sides == 0
    return first_half


@dataclass(frozen=True, eq=False)
class GridSearch:
    """Counts of one class at every pair of detection and confidence threshold.

    Attributes:
        scores: `(s,)` detection thresholds, ascending.
        confidences: `(c,)` confidence thresholds, ascending.
        true_positives: `(s, c)` int64 true faces of the class predicted as the class.
        false_positives: `(s, c)` int64 faces wrongly predicted as the class.
        n: number of true faces of the class.
    """

    scores: Floats
    confidences: Floats
    true_positives: IntArray
    false_positives: IntArray
    n: int

    @classmethod
    def from_result(
        cls, result: EvaluationResult, label: Label, image_mask: BoolArray
    ) -> GridSearch:
        """Count on the selected images.

        NMS and matching go by descending score, so the decisions above a detection
        threshold do not depend on the faces below: one result is enough for all.

        Args:
            result: result with the lowest detection threshold and no confidence
                threshold.
            label: the class.
            image_mask: `(p,)` the images that count.
        """
        scores, confidences = _SCORE_GRID, _CONFIDENCE_GRID
        is_counted = image_mask[result.image_indices]
        predicted = (result.probs.argmax(axis=1) == label) & is_counted

        def count_grid(face_mask: NDArray[np.bool_]) -> IntArray:
            rows = np.flatnonzero(predicted & face_mask)
            # As float32, because thresholds are compared with float32 scores.
            cells = np.stack(
                [
                    np.searchsorted(edges.astype(np.float32), values[rows], "right") - 1
                    for edges, values in (
                        (scores, result.scores),
                        (confidences, result.confidences),
                    )
                ]
            )
            counts = np.zeros((len(scores), len(confidences)), np.int64)
            np.add.at(counts, tuple(cells[:, (cells >= 0).all(axis=0)]), 1)
            return counts[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]

        ground_truth = result.predictions.ground_truth
        is_actual = (ground_truth.labels == label) & image_mask[
            ground_truth.faces.image_indices
        ]
        is_correct = result.actual == label
        false_positive = (result.actual >= 0) & ~is_correct
        return cls(
            scores,
            confidences,
            count_grid(is_correct),
            count_grid(false_positive),
            int(is_actual.sum()),
        )

    def select_best(self, goal: Goal, current: Settings) -> tuple[float, float]:
        """Return the best detection and confidence threshold for a goal.

        Ties go to the thresholds nearest to the current ones.

        Args:
            goal: the goal.
            current: the current settings.
        """
        distances = np.hypot(
            (self.scores - current.min_score)[:, None],
            (self.confidences - current.min_confidence)[None, :],
        )
        sort_keys = [
            *_goal_sort_keys(goal, self.true_positives, self.false_positives, self.n),
            distances.round(9),
        ]
        order = np.lexsort([sort_key.ravel() for sort_key in reversed(sort_keys)])
        row, column = np.unravel_index(order[0], self.true_positives.shape)
        return float(self.scores[row]), float(self.confidences[column])


def is_recall_reached(goal: Goal, true_positives: int, n: int) -> bool:
    """Return whether the true positives of `n` faces reach the recall of the goal."""
    return goal.kind != "recall" or true_positives >= goal.recall * n - 1e-9


def compute_goal_losses(
    goal: Goal,
    true_positives: CountArray,
    false_negatives: CountArray,
    false_positives: CountArray,
) -> Floats:
    """Return the loss of a goal other than `recall` for each of `(b,)` sums.

    The loss is 1 - F1 for `f1`, the cost for `cost`, and the larger of false negatives
    and false positives for `equal`, which is smallest when both are equal.
    """
    loss: Floats
    if goal.kind == "cost":
        loss = goal.cost * false_negatives.astype(np.float64) + false_positives
    elif goal.kind == "equal":
        loss = np.maximum(false_negatives, false_positives).astype(np.float64)
    else:
        doubled = 2 * true_positives.astype(np.float64)
        loss = 1 - safe_divide(doubled, doubled + false_negatives + false_positives)
    return loss


def _goal_sort_keys(
    goal: Goal, true_positives: IntArray, false_positives: IntArray, n: int
) -> list[Floats]:
    """Return the values to minimize, the most important first."""
    if goal.kind == "recall":
        recall_shortfall = np.maximum(goal.recall * n - 1e-9 - true_positives, 0)
        return [
            recall_shortfall,
            false_positives.astype(np.float64),
            -true_positives.astype(np.float64),
        ]
    false_negatives = n - true_positives
    loss = compute_goal_losses(goal, true_positives, false_negatives, false_positives)
    return [loss.round(12), (false_negatives + false_positives).astype(np.float64)]


@dataclass(frozen=True, eq=False)
class Proposal:
    """Settings for a goal, and their performance on the holdout half.

    Attributes:
        goal: the goal.
        settings_before: the current settings.
        settings_after: the proposed settings; only detection threshold, confidence
            threshold and, if it helps significantly, minimum face size differ.
        selection_mask: `(p,)` the images for selection; the others are the holdout.
        selection_performance: `settings_after` on the selection half, which is
            optimistic.
        performance_before: `settings_before` on the holdout half.
        performance_after: `settings_after` on the holdout half.
        change: faces of the holdout half whose decision changes, in both directions.
        guarantee: whether the goal is guaranteed.
    """

    goal: Goal
    settings_before: Settings
    settings_after: Settings
    selection_mask: BoolArray
    selection_performance: ClassPerformance
    performance_before: ClassPerformance
    performance_after: ClassPerformance
    change: PerformanceChange
    guarantee: Guarantee

    @property
    def reached(self) -> bool:
        """Whether the settings reach the recall of the goal on the selection half."""
        performance = self.selection_performance
        return is_recall_reached(
            self.goal, performance.true_positives, performance.recall.n
        )

    @property
    def improves(self) -> bool:
        """Whether the goal is served better on the holdout half than before.

        For `recall`, fewer faces are missing to the target; if none is missing before
        and after, there are fewer false positives.
        """
        if self.settings_after == self.settings_before:
            return False
        if self.goal.kind != "recall":
            return self.guarantee.measured.value > 0
        before, after = (
            (
                max(0.0, self.goal.recall * half.recall.n - half.true_positives),
                half.false_positives,
            )
            for half in (self.performance_before, self.performance_after)
        )
        return after < before

    @property
    def warnings(self) -> tuple[str, ...]:
        """Side effects and limitations, one sentence each."""
        lines = []
        recall = self.selection_performance.recall
        if not self.reached:
            lines.append(
                f"No settings reach {format_rate(self.goal.recall)}: the highest "
                f"recall is {format_rate(recall.value)} in the selection half."
            )
        n_faces = min(recall.n, self.performance_after.recall.n)
        if n_faces < FEW_FACES:
            lines.append(
                f"There {pluralize(n_faces, 'is', 'are')} only "
                f"{format_count(n_faces, 'true face')} of the class in one half: each "
                f"face changes the rates by {format_rate(1 / n_faces)}."
            )
        for name, sign, text, format_value in _SIDE_EFFECTS:
            before, after = (
                getattr(performance, name).value
                for performance in (self.performance_before, self.performance_after)
            )
            if sign * (after - before) > _MIN_NOTABLE_CHANGE:
                lines.append(text.format(format_value(after), format_value(before)))
        return (*lines, PER_IMAGE_NOTE)

    @property
    def messages(self) -> tuple[str, ...]:
        """Guarantee, changes in both directions, and warnings, as sentences."""
        return (self.guarantee.text, *self.change.messages(), *self.warnings)

    def to_json(self) -> Json:
        """Return everything but the images."""
        guarantee = dataclasses.asdict(self.guarantee)
        measured = self.guarantee.measured.to_json()
        return {
            "goal": {**dataclasses.asdict(self.goal), "label": self.goal.label.key},
            "settings": dataclasses.asdict(self.settings_after),
            "reached": self.reached,
            "selection": self.selection_performance.to_json(),
            "before": self.performance_before.to_json(),
            "after": self.performance_after.to_json(),
            "change": dataclasses.asdict(self.change),
            "guarantee": {**guarantee, "measured": measured},
            "warnings": list(self.warnings),
        }


def propose_settings(
    evaluator: Evaluator,
    settings: Settings,
    goal: Goal,
    *,
    seed: int = 0,
    min_iou: float = MIN_IOU,
) -> Proposal:
    """Return settings for a goal: selected on one half, reported on the other.

    Confidences are uncalibrated: Live and Video do not apply a temperature, and one
    fitted on this set would have used the holdout half.

    Args:
        evaluator: evaluator of the set and its predictions.
        settings: the current settings; all but three fields are kept.
        goal: the goal.
        seed: random seed of the split; see `split_stratified`.
        min_iou: lowest IoU of a match.

    Raises:
        ValueError: fewer than two images have a face of the class, so one half would
            have none.
    """
    ground_truth = evaluator.predictions.ground_truth
    selection_mask = split_stratified(ground_truth, seed=seed)
    counts = count_classes_per_image(ground_truth)[:, goal.label]
    if not counts[selection_mask].sum() or not counts[~selection_mask].sum():
        raise ValueError(
            "a goal needs faces of its class in at least two images, one for selection "
            f"and one for holdout; this set has them in {int((counts > 0).sum())}"
        )
    search = _SettingsSearch(evaluator, goal, selection_mask, min_iou)
    before, after = search(settings), search(search.find_best(settings))
    holdout_mask = ~selection_mask
    selection_performance, performance_before, performance_after = (
        ClassPerformance.from_result(result, goal.label, half)
        for result, half in (
            (after, selection_mask),
            (before, holdout_mask),
            (after, holdout_mask),
        )
    )
    return Proposal(
        goal,
        settings,
        after.settings,
        selection_mask,
        selection_performance,
        performance_before,
        performance_after,
        PerformanceChange.from_results(before, after, goal.label, holdout_mask),
        _guarantee_goal(
            goal,
            performance_after,
            *(
                result.count_per_image(goal.label).select_images(holdout_mask)
                for result in (before, after)
            ),
        ),
    )


@dataclass(frozen=True, eq=False)
class _SettingsSearch:
    """Evaluates settings and searches for better ones on the selection half."""

    evaluator: Evaluator
    goal: Goal
    selection_mask: BoolArray
    min_iou: float

    def __call__(self, settings: Settings) -> EvaluationResult:
        return self.evaluator(settings, min_iou=self.min_iou)

    def find_best(self, current: Settings) -> Settings:
        """Return the best settings; change the face size if significantly better."""
        best = self._search_thresholds(current, current.min_face_px)
        for face_px in _MIN_FACE_PX_CANDIDATES:
            if face_px == current.min_face_px:
                continue
            other = self._search_thresholds(current, face_px)
            if self._is_significantly_better(other, best):
                best = other
        return best

    def _search_thresholds(self, current: Settings, face_px: float) -> Settings:
        permissive = dataclasses.replace(
            current, min_score=0.0, min_confidence=0.0, min_face_px=face_px
        )
        grid = GridSearch.from_result(
            self(permissive), self.goal.label, self.selection_mask
        )
        score, confidence = grid.select_best(self.goal, current)
        return dataclasses.replace(
            permissive, min_score=score, min_confidence=confidence
        )

    def _is_significantly_better(self, candidate: Settings, current: Settings) -> bool:
        before, after = (
            self(settings)
            .count_per_image(self.goal.label)
            .select_images(self.selection_mask)
            for settings in (current, candidate)
        )
        n = int(after.actual.sum())
        reached_before, reached_after = (
            is_recall_reached(self.goal, int(counts.true_positives.sum()), n)
            for counts in (before, after)
        )
        if reached_before != reached_after:
            return reached_after
        gain = _estimate_gain(self.goal, before, after, reached=reached_after)
        return gain.low > 0


def _estimate_gain(
    goal: Goal, before: PerImageCounts, after: PerImageCounts, *, reached: bool = True
) -> Estimate:
    """Return the decrease of the loss of a goal, with a bootstrap interval.

    The unit is F1, cost per image, or errors per face of the class. For `recall`, it is
    false positives per image if the goal is reached, else false negatives per image.
    """
    n = len(after.true_positives)
    faces = int(after.actual.sum())

    def compute_loss(counts: PerImageCounts, weights: FaceWeights) -> Floats:
        sums = [
            weights @ part.astype(np.float32)
            for part in (
                counts.true_positives,
                counts.false_negatives,
                counts.false_positives,
            )
        ]
        if goal.kind == "recall":
            return np.asarray(sums[2] if reached else sums[1], np.float64) / n
        unit = {"f1": 1, "cost": n, "equal": max(faces, 1)}[goal.kind]
        return compute_goal_losses(goal, *sums) / unit

    weights = draw_bootstrap_weights(n)
    unweighted = np.ones((1, n), np.float32)
    value = compute_loss(before, unweighted) - compute_loss(after, unweighted)
    resampled = compute_loss(before, weights) - compute_loss(after, weights)
    return percentile_estimate(float(value[0]), resampled, faces)


def _guarantee_goal(
    goal: Goal,
    performance_after: ClassPerformance,
    before: PerImageCounts,
    after: PerImageCounts,
) -> Guarantee:
    if goal.kind == "recall":
        return guarantee_recall(performance_after.recall, goal.recall)
    metric, unit = {
        "f1": ("F1", ""),
        "cost": ("cost saved", " per image"),
        "equal": ("errors saved", " per face"),
    }[goal.kind]
    return guarantee_gain(_estimate_gain(goal, before, after), metric, unit)
