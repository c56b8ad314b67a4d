"""Faces whose decision changes with the settings, and mistakes near a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.evaluation.operating_point import (
    FALSE_POSITIVE,
    IGNORED_MATCH,
    MISSED,
    UNSURE,
    EvaluationResult,
    FaceRef,
)
from maskdet.metrics.matching import Float32Array, IntArray
from maskdet.settings import Settings
from maskdet.types import Label

DecisionChangeKind: TypeAlias = Literal["appeared", "vanished", "label", "match"]
"""A face is shown only now, is shown no more, has another label, or has the same label
but matches another true face."""

ThresholdName: TypeAlias = Literal["min_score", "min_face_px", "min_confidence"]
"""The fields of `Settings` that are thresholds on a quantity of a face."""

NO_THRESHOLD_CROSSED: Final = 1.0
"""The distance of a face that did not cross a threshold."""


@dataclass(frozen=True)
class DecisionChange:
    """One detected face whose decision differs between two settings.

    Attributes:
        face: the face, with the true face that it matches after or before the change.
        kind: the kind of change.
        before: column of `operating_point.PREDICTED_KEYS`, `MISSED` if not shown.
        after: the same after the change.
        better: whether that is better (True) or worse (False); None for neither.
        distance: distance from the crossed threshold as a fraction of the slider's
            range (for sizes, of the threshold); 1 if NMS or matching decided instead.
    """

    face: FaceRef
    kind: DecisionChangeKind
    before: int
    after: int
    better: bool | None
    distance: float


@dataclass(frozen=True)
class NearMiss:
    """One mistake that a small change of a threshold would correct.

    Attributes:
        face: the face.
        setting: the field of `Settings` to change.
        value: value of the face on that scale.
        threshold: current value of the setting.
        distance: distance between the two, as in `DecisionChange`.
    """

    face: FaceRef
    setting: ThresholdName
    value: float
    threshold: float
    distance: float


def find_decision_changes(
    before: EvaluationResult, after: EvaluationResult
) -> tuple[DecisionChange, ...]:
    """Return the detected faces whose decision changed, nearest to a threshold first.

    For a true face, correct is better than unsure, and unsure is better than missed or
    wrong, which are equal; a false positive is worse than none.

    Args:
        before: result with the previous settings.
        after: result of the same detections with the new settings.

    Raises:
        ValueError: the results are of different detections.
    """
    predictions, other = after.predictions, before.predictions
    if not (predictions is other or np.array_equal(predictions.scores, other.scores)):
        raise ValueError("the two results must be of the same detections")
    predicted_before, match_before = _spread_over_detections(before)
    predicted_after, match_after = _spread_over_detections(after)
    both = (predicted_before != MISSED) & (predicted_after != MISSED)
    changed = np.flatnonzero(
        (predicted_before != predicted_after) | (both & (match_before != match_after))
    )
    distances = _distances_to_crossed(before, after)
    order = np.lexsort((-predictions.scores[changed], distances[changed]))
    rows = changed[order]
    ground_truth_rows = np.where(match_after >= 0, match_after, match_before)
    gains = _rate_decisions(after, ground_truth_rows, match_after) - _rate_decisions(
        before, ground_truth_rows, match_before
    )
    return tuple(
        DecisionChange(
            FaceRef(
                int(predictions.faces.image_indices[row]),
                int(row),
                max(int(ground_truth_rows[row]), -1),
            ),
            _change_kind(int(predicted_before[row]), int(predicted_after[row])),
            int(predicted_before[row]),
            int(predicted_after[row]),
            None if gains[row] == 0 else bool(gains[row] > 0),
            float(distances[row]),
        )
        for row in rows
    )


def find_near_misses(
    result: EvaluationResult, max_count: int = 200
) -> tuple[NearMiss, ...]:
    """Return the mistakes that a small threshold change would correct, nearest first.

    They are true faces missed because of their score or size alone, false positives,
    unsure faces whose likeliest class is correct, and faces with a wrong label, which a
    higher confidence threshold would make unsure.

    Args:
        result: result at the current settings.
        max_count: largest number of mistakes to return.
    """
    near_misses = [
        *_find_suppressed(result, "min_score"),
        *_find_suppressed(result, "min_face_px"),
        *_find_false_positives(result),
        *_find_confidence_errors(result),
    ]
    return tuple(
        sorted(near_misses, key=lambda near_miss: near_miss.distance)[:max_count]
    )


def _find_suppressed(
    result: EvaluationResult, slider: ThresholdName
) -> Iterator[NearMiss]:
    """Yield the missed faces that a change of this slider alone would show."""
    lowest = 0 if slider == "min_score" else 1
    unfiltered = result.change_settings(**{slider: lowest})
    labels = result.predictions.ground_truth.labels
    gained = (
        (result.matched_detections < 0)
        & (unfiltered.matched_detections >= 0)
        & (labels != Label.UNKNOWN)
    )
    values = _shown_values(unfiltered, slider)
    for index in unfiltered.matched_detections[gained].tolist():
        # Skip a face that lost to a stronger box, which this slider now shows.
        if values[index] < getattr(result.settings, slider):
            yield _near_miss(
                unfiltered.shown_face(index), slider, values[index], result.settings
            )


def _find_false_positives(result: EvaluationResult) -> Iterator[NearMiss]:
    """Yield the false positives, with the slider that would remove them first."""
    scores = _shown_values(result, "min_score")
    sizes = _shown_values(result, "min_face_px")
    for index in np.flatnonzero(result.matched_ground_truth == FALSE_POSITIVE).tolist():
        face, settings = result.shown_face(index), result.settings
        by_score = _near_miss(face, "min_score", scores[index], settings)
        by_size = _near_miss(face, "min_face_px", sizes[index], settings)
        yield min(by_score, by_size, key=lambda near_miss: near_miss.distance)


def _find_confidence_errors(result: EvaluationResult) -> Iterator[NearMiss]:
    """Yield unsure faces whose likeliest class is correct, and wrong labels."""
    is_correct = result.probs.argmax(axis=1) == result.actual
    is_unsure = result.predicted_columns == UNSURE
    values = _shown_values(result, "min_confidence")
    for index in np.flatnonzero(
        (result.matched_ground_truth >= 0) & (is_correct == is_unsure)
    ).tolist():
        face, value = result.shown_face(index), values[index]
        yield _near_miss(face, "min_confidence", value, result.settings)


def _shown_values(result: EvaluationResult, slider: ThresholdName) -> Float32Array:
    """Return the value of each shown face on a slider."""
    if slider == "min_score":
        return result.scores
    if slider == "min_confidence":
        return result.confidences
    return sizes_px(result.predictions.faces.boxes[result.shown_rows])


def _near_miss(
    face: FaceRef, slider: ThresholdName, value: float, settings: Settings
) -> NearMiss:
    threshold = float(getattr(settings, slider))
    gap = abs(float(value) - threshold) / _slider_range(slider, threshold)
    return NearMiss(face, slider, float(value), threshold, gap)


def _spread_over_detections(result: EvaluationResult) -> tuple[IntArray, IntArray]:
    """Return the predicted column and the match of each detected face."""
    predicted = np.full(len(result.predictions.faces), MISSED, np.int64)
    matches = np.full(len(predicted), IGNORED_MATCH, np.int64)
    predicted[result.shown_rows] = result.predicted_columns
    matches[result.shown_rows] = result.matched_ground_truth
    return predicted, matches


def _rate_decisions(
    result: EvaluationResult, ground_truth_rows: IntArray, matched: IntArray
) -> IntArray:
    """Return the value of the decision for each detected face; higher is better.

    Args:
        result: result with the decisions.
        ground_truth_rows: `(n,)` the true face that counts for each detected face,
            below 0 for none.
        matched: `(n,)` match of each detected face in this result.
    """
    labels = result.predictions.ground_truth.labels
    is_unsure = (result.ground_truth_columns == UNSURE) & (labels != Label.UNKNOWN)
    # The last element, at index -1, is for faces without a true face.
    levels = np.append(2 * result.is_correct.astype(np.int64) + is_unsure, 0)
    values: IntArray = levels[np.maximum(ground_truth_rows, -1)] - (
        matched == FALSE_POSITIVE
    )
    return values


def _distances_to_crossed(
    before: EvaluationResult, after: EvaluationResult
) -> Float32Array:
    """Return the distance of each detected face to the nearest crossed threshold."""
    n = len(after.predictions.faces)
    distances = np.full(n, NO_THRESHOLD_CROSSED, np.float32)
    for slider in get_args(ThresholdName):
        old_threshold, new_threshold = (
            float(getattr(result.settings, slider)) for result in (before, after)
        )
        old_values, new_values = (
            _all_values(result, slider) for result in (before, after)
        )
        crossed = (old_values >= old_threshold) != (new_values >= new_threshold)
        crossed &= ~np.isnan(old_values + new_values)
        gaps = np.abs(new_values - new_threshold) / _slider_range(slider, new_threshold)
        distances[crossed] = np.minimum(distances, gaps)[crossed]
    return distances


def _all_values(result: EvaluationResult, slider: ThresholdName) -> Float32Array:
    """Return the value of each detected face on a slider, NaN if it is not known."""
    if slider == "min_score":
        return result.predictions.scores
    if slider == "min_face_px":
        return sizes_px(result.predictions.faces.boxes)
    values = np.full(len(result.predictions.faces), np.nan, np.float32)
    values[result.shown_rows] = result.confidences
    return values


def _slider_range(slider: ThresholdName, threshold: float) -> float:
    return threshold if slider == "min_face_px" else 1.0


def _change_kind(before: int, after: int) -> DecisionChangeKind:
    if before == MISSED:
        return "appeared"
    if after == MISSED:
        return "vanished"
    return "label" if before != after else "match"
