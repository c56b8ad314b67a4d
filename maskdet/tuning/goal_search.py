"""A goal, such as 95 % of the bare faces: which settings reach it, and at what cost.

Two halves of a set: settings are chosen on one and reported on the other.

Every pair of face score and confidence at once, and the best of them for a goal.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import Estimate, percentile_estimate
from maskdet.metrics.summary import FaceWeights, Floats, divide_or_nan
from maskdet.settings import Settings
from maskdet.tuning.bootstrap import bootstrap_weights
from maskdet.tuning.class_metrics import (
    ClassCounts,
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
from maskdet.tuning.operating_point import (
    MIN_IOU,
    BoolArray,
    EvaluationResult,
    Evaluator,
)
from maskdet.tuning.predictions import IntArray, LabelledSet
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count, pluralize


def count_classes_per_image(ground_truth: LabelledSet) -> NDArray[np.int64]:
    """Return `(p, 3)` how many true faces of each class each image has."""
    counts = np.zeros((len(ground_truth.names), len(CLASSES)), np.int64)
    has_class = ground_truth.labels >= 0
    np.add.at(
        counts,
        (ground_truth.faces.image_indices[has_class], ground_truth.labels[has_class]),
        1,
    )
    return counts


def split_stratified(ground_truth: LabelledSet, *, seed: int = 0) -> NDArray[np.bool_]:
    """Return `(p,)` which images settings are chosen on; the others report.

    Whole images go to one side, as the faces of one share its light and camera. The
    rarest class is dealt out first, the images with most of it before the others,
    each to the side that has less of it yet; so both sides get about half of every
    class. Source: K. Sechidis et al., "On the stratification of multi-label data",
    ECML PKDD 2011, for two sides.

    Args:
        ground_truth: the set.
        seed: of the order among images alike; the same seed, the same halves.
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
            # Of what this deals out first, then of images; the first side at last.
            side = min(
                (0, 1), key=lambda s: (side_counts[s, label], side_counts[s, -1], s)
            )
            sides[image_index] = side
            side_counts[side] += (*counts[image_index], 1)
    first_half: NDArray[np.bool_] = sides == 0
    return first_half


CountArray = NDArray[np.int64] | NDArray[np.float32]
"""Whole numbers of faces, as integers or as sums of drawn images."""

# In hundredths, as on the sliders. The likeliest of three classes is never below 1/3.
_SCORE_GRID: Final = np.arange(2, 100) / 100
_CONFIDENCE_GRID: Final = np.arange(33, 100) / 100


@dataclass(frozen=True, eq=False)
class GridSearch:
    """What happens to one class at every pair of face score and confidence.

    Attributes:
        scores: `(s,)` lowest face scores, rising.
        confidences: `(c,)` lowest confidences, rising.
        true_positives: `(s, c)` int64 true faces of the class that are said to be of
            it.
        false_positives: `(s, c)` int64 faces said to be of the class that are none.
        n: how many true faces of the class there are.
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
        """Count on the chosen images.

        Overlaps are settled and faces matched by falling score, so what is shown and
        right among the faces above a score does not depend on those below: one
        outcome tells all.

        Args:
            result: with the lowest face score and no confidence.
            label: the class.
            image_mask: `(p,)` which images count.
        """
        scores, confidences = _SCORE_GRID, _CONFIDENCE_GRID
        image_indices = result.predictions.faces.image_indices[result.shown_rows]
        predicted = (result.probs.argmax(axis=1) == label) & image_mask[image_indices]
        shown_scores = result.predictions.scores[result.shown_rows]

        def count_grid(face_mask: NDArray[np.bool_]) -> IntArray:
            rows = np.flatnonzero(predicted & face_mask)
            # As float32, because settings are compared with scores so.
            score_indices = (
                np.searchsorted(scores.astype(np.float32), shown_scores[rows], "right")
                - 1
            )
            confidence_edges = confidences.astype(np.float32)
            confidence_indices = (
                np.searchsorted(confidence_edges, result.confidences[rows], "right") - 1
            )
            counts = np.zeros((len(scores), len(confidences)), np.int64)
            is_in_grid = (score_indices >= 0) & (confidence_indices >= 0)
            np.add.at(
                counts, (score_indices[is_in_grid], confidence_indices[is_in_grid]), 1
            )
            total: IntArray = (
                counts[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
            )
            return total

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
        """Return the best face score and confidence; of equal ones the nearest to now.

        Args:
            goal: what is wanted.
            current: the settings of now.
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
    """Return whether so many hits of `n` faces are as many as the goal wants."""
    return goal.kind != "recall" or true_positives >= goal.recall * n - 1e-9


def compute_goal_losses(
    goal: Goal,
    true_positives: CountArray,
    false_negatives: CountArray,
    false_positives: CountArray,
) -> Floats:
    """Return what a goal other than `recall` wants little of, for each of `(b,)` sums.

    For `f1` that is what F1 lacks of 1; for `cost` the cost; for `equal` the larger
    of misses and alarms, which is smallest where both are equal.
    """
    if goal.kind == "cost":
        cost: Floats = goal.cost * false_negatives.astype(np.float64) + false_positives
        return cost
    if goal.kind == "equal":
        larger: Floats = np.maximum(false_negatives, false_positives).astype(np.float64)
        return larger
    true_positive_counts = true_positives.astype(np.float64)
    f1_loss: Floats = 1 - divide_or_nan(
        2 * true_positive_counts,
        2 * true_positive_counts + false_negatives + false_positives,
    )
    return f1_loss


def _goal_sort_keys(
    goal: Goal, true_positives: IntArray, false_positives: IntArray, n: int
) -> list[Floats]:
    """Return what is to be small, the most important first."""
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


_MIN_FACE_PX_CANDIDATES: Final = (8.0, 12.0, 16.0, 20.0, 24.0, 32.0, 48.0)
"""Smallest faces that are tried besides that of now."""

FEW_FACES: Final = 30
"""Faces of a class below which its numbers are said to move with every face."""

PER_IMAGE_NOTE: Final = (
    "Counted image by image; Live judges people over time, so shares there differ."
)
"""What holds for every number of a set of images."""

_MIN_NOTABLE_CHANGE: Final = 0.03
"""Shares that change by less are not worth a sentence."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """Settings for a goal, and what they do on images that they were not chosen on.

    Attributes:
        goal: what was wanted.
        settings_before: the settings of now.
        settings_after: the proposed ones; only face score, confidence and, where it
            surely helps, the smallest face differ.
        selection_mask: `(p,)` the images they were chosen on; all else is reported on
            the others.
        reached: whether any settings reached the goal where they were chosen; always
            true for goals other than `recall`.
        selection_performance: what `settings_after` does where it was chosen, which
            flatters it.
        performance_before: what `settings_before` does on the other half.
        performance_after: what `settings_after` does on the other half.
        change: the faces that change sides there, in both directions.
        guarantee: whether the goal can be promised.
        warnings: what else should be known, a sentence each.
    """

    goal: Goal
    settings_before: Settings
    settings_after: Settings
    selection_mask: BoolArray
    reached: bool
    selection_performance: ClassPerformance
    performance_before: ClassPerformance
    performance_after: ClassPerformance
    change: PerformanceChange
    guarantee: Guarantee
    warnings: tuple[str, ...]

    @property
    def messages(self) -> tuple[str, ...]:
        """What to tell a person: the promise, the cost both ways, the cautions."""
        return (self.guarantee.text, *self.change.messages(), *self.warnings)

    def to_json(self) -> Json:
        """Return everything but the images."""
        guarantee = dataclasses.asdict(self.guarantee)
        measured = self.guarantee.measured.to_json()
        return {
            "goal": {**dataclasses.asdict(self.goal), "label": self.goal.label.key},
            "settings": dataclasses.asdict(self.settings_after),
            "reached": self.reached,
            "chosen_on": self.selection_performance.to_json(),
            "now": self.performance_before.to_json(),
            "then": self.performance_after.to_json(),
            "change": dataclasses.asdict(self.change),
            "promise": {**guarantee, "measured": measured},
            "cautions": list(self.warnings),
        }


def propose_settings(
    evaluator: Evaluator,
    settings: Settings,
    goal: Goal,
    *,
    seed: int = 0,
    min_iou: float = MIN_IOU,
) -> Proposal:
    """Return settings for a goal: chosen on one half, reported on the other.

    Confidences are as the analyzer gives them: Live and the videos know no temperature,
    and one that was fitted on this set has seen the half that is reported.

    Args:
        evaluator: of the set and what an analyzer said about it.
        settings: those of now; all but three fields are kept.
        goal: what is wanted.
        seed: of the halves; see `split_stratified`.
        min_iou: from which overlap on a face counts as found.

    Raises:
        ValueError: fewer than two images have a face of the class, so that none
            would be left to check on.
    """
    selection_mask = split_stratified(evaluator.predictions.ground_truth, seed=seed)
    _check_enough_images(evaluator, goal, selection_mask)
    search = _SettingsSearch(evaluator, goal, selection_mask, min_iou)
    after = search.find_best(settings)
    return _build_proposal(goal, selection_mask, search(settings), search(after))


def _build_proposal(
    goal: Goal,
    selection_mask: BoolArray,
    result_before: EvaluationResult,
    result_after: EvaluationResult,
) -> Proposal:
    """Return what changes, and what that is worth on the images not chosen on."""
    counts = [
        ClassCounts.from_result(result, goal.label)
        for result in (result_before, result_after)
    ]
    selection_performance, performance_before, performance_after = (
        ClassPerformance.from_result(result, goal.label, half)
        for result, half in (
            (result_after, selection_mask),
            (result_before, ~selection_mask),
            (result_after, ~selection_mask),
        )
    )
    reached = is_recall_reached(
        goal,
        selection_performance.true_positives,
        selection_performance.true_positives + selection_performance.false_negatives,
    )
    return Proposal(
        goal,
        result_before.settings,
        result_after.settings,
        selection_mask,
        reached,
        selection_performance,
        performance_before,
        performance_after,
        PerformanceChange.from_results(
            result_before, result_after, goal.label, ~selection_mask
        ),
        _guarantee_goal(
            goal,
            performance_after,
            *(result.select_images(~selection_mask) for result in counts),
        ),
        tuple(
            _collect_warnings(
                goal,
                reached,
                selection_performance,
                performance_before,
                performance_after,
            )
        ),
    )


@dataclass(frozen=True, eq=False)
class _SettingsSearch:
    """Judges settings, and looks for better ones on the chosen images."""

    evaluator: Evaluator
    goal: Goal
    selection_mask: BoolArray
    min_iou: float

    def __call__(self, settings: Settings) -> EvaluationResult:
        return self.evaluator(settings, min_iou=self.min_iou)

    def find_best(self, current: Settings) -> Settings:
        """Return the best settings; another smallest face only if it surely helps."""
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
        candidate_counts, current_counts = (
            ClassCounts.from_result(self(settings), self.goal.label).select_images(
                self.selection_mask
            )
            for settings in (candidate, current)
        )
        n = int(
            (candidate_counts.true_positives + candidate_counts.false_negatives).sum()
        )
        is_reached = [
            is_recall_reached(self.goal, int(counts.true_positives.sum()), n)
            for counts in (candidate_counts, current_counts)
        ]
        if is_reached[0] != is_reached[1]:
            return is_reached[0]
        return (
            _estimate_gain(
                self.goal, current_counts, candidate_counts, reached=is_reached[0]
            ).low
            > 0
        )


def _estimate_gain(
    goal: Goal, before: ClassCounts, after: ClassCounts, *, reached: bool = True
) -> Estimate:
    """Return by how much less the goal has to suffer, on images drawn anew.

    In units of F1, of cost an image, or of errors a face of the class; for `recall`
    the alarms an image where it is reached, otherwise the misses.
    """
    n = len(after.true_positives)
    faces = int((after.true_positives + after.false_negatives).sum())

    def compute_loss(counts: ClassCounts, weights: FaceWeights) -> Floats:
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
        result: Floats = compute_goal_losses(goal, *sums) / unit
        return result

    weights = bootstrap_weights(n)
    unweighted = np.ones((1, n), np.float32)
    value = compute_loss(before, unweighted) - compute_loss(after, unweighted)
    resampled = compute_loss(before, weights) - compute_loss(after, weights)
    return percentile_estimate(float(value[0]), resampled, faces)


def _guarantee_goal(
    goal: Goal,
    performance_after: ClassPerformance,
    before: ClassCounts,
    after: ClassCounts,
) -> Guarantee:
    if goal.kind == "recall":
        return guarantee_recall(performance_after.recall, goal.recall)
    metric, unit = {
        "f1": ("F1", ""),
        "cost": ("cost saved", " an image"),
        "equal": ("errors saved", " a face"),
    }[goal.kind]
    return guarantee_gain(_estimate_gain(goal, before, after), metric, unit)


def _check_enough_images(
    evaluator: Evaluator, goal: Goal, selection_mask: BoolArray
) -> None:
    counts = count_classes_per_image(evaluator.predictions.ground_truth)[:, goal.label]
    if not counts[selection_mask].sum() or not counts[~selection_mask].sum():
        raise ValueError(
            "a goal needs faces of its class in at least two images, one to choose "
            "on and one to check on; this set has them in "
            f"{int((counts > 0).sum())}"
        )


def _collect_warnings(
    goal: Goal,
    reached: bool,
    selection_performance: ClassPerformance,
    performance_before: ClassPerformance,
    performance_after: ClassPerformance,
) -> list[str]:
    """Return what else should be known, a sentence each."""
    lines = []
    if not reached:
        lines.append(
            f"No settings reach {format_rate(goal.recall)}: this is the most that can "
            "be "
            f"found, {format_rate(selection_performance.recall.value)} where it was "
            "chosen."
        )
    n_faces = min(
        performance.true_positives + performance.false_negatives
        for performance in (selection_performance, performance_after)
    )
    if n_faces < FEW_FACES:
        lines.append(
            f"There {pluralize(n_faces, 'is', 'are')} only "
            f"{format_count(n_faces, 'true face')} of the "
            "class on one half: one face more or less moves the numbers by "
            f"{format_rate(1 / n_faces)}."
        )
    if (
        performance_after.detection_recall.value
        < performance_before.detection_recall.value - _MIN_NOTABLE_CHANGE
    ):
        lines.append(
            "Fewer faces are shown at all: "
            f"{format_rate(performance_after.detection_recall.value)} of the true "
            "ones of every class instead of "
            f"{format_rate(performance_before.detection_recall.value)}."
        )
    if (
        performance_after.unsure_rate.value
        > performance_before.unsure_rate.value + _MIN_NOTABLE_CHANGE
    ):
        lines.append(
            "More faces are called unsure: "
            f"{format_rate(performance_after.unsure_rate.value)} of those "
            f"shown instead of {format_rate(performance_before.unsure_rate.value)}."
        )
    non_faces_increase = (
        performance_after.non_faces_per_image.value
        - performance_before.non_faces_per_image.value
    )
    if non_faces_increase > _MIN_NOTABLE_CHANGE:
        lines.append(
            "More boxes show no face: "
            f"{performance_after.non_faces_per_image.value:.2f} an image instead of "
            f"{performance_before.non_faces_per_image.value:.2f}."
        )
    return [*lines, PER_IMAGE_NOTE]
