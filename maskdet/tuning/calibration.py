"""Calibration of an analyzer's confidence by temperature scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.evaluation.operating_point import NO_FACE, EvaluationResult
from maskdet.metrics.calibration import (
    TEMPERATURE_RANGE,
    ReliabilityCurve,
    apply_temperature,
    correct_and_confidence,
    fit_temperature,
    reliability_curve,
)
from maskdet.metrics.classification import ClassificationResult
from maskdet.metrics.intervals import Estimate, draw_bootstrap_weights
from maskdet.metrics.matching import Float32Array, IntArray
from maskdet.metrics.summary import calibration_error

_CALIBRATION_SEED: Final = 0
"""Random seed of the split for cross-fitting."""


@dataclass(frozen=True, eq=False)
class CalibrationFit:
    """A fitted temperature, and the calibration without and with it.

    Attributes:
        temperature: fitted on all detected faces of known class; above 1 the analyzer
            is overconfident. 1, which changes nothing, if the fit is degenerate.
        n: number of these faces.
        before: reliability curve of the likeliest class, uncalibrated.
        after: the same after temperature scaling; the temperature of each half of the
            images is fitted on the other half, so the curve is on held-out data.
        ece_before: expected calibration error of `before`.
        ece_after: expected calibration error of `after`.
        is_degenerate: whether no temperature can be fitted: there are no faces, all
            are classified correctly, or the best one is at an end of the search range.
    """

    temperature: float
    n: int
    before: ReliabilityCurve
    after: ReliabilityCurve
    ece_before: Estimate
    ece_after: Estimate
    is_degenerate: bool


def fit_calibration(result: EvaluationResult) -> CalibrationFit:
    """Fit a temperature on the shown faces, from their unscaled probabilities."""
    counted_faces = (result.actual >= 0) & (result.actual != NO_FACE)
    rows = result.shown_rows[counted_faces]
    labels = ClassificationResult(
        result.actual[counted_faces], result.predictions.probs[rows]
    )
    image_indices = result.image_indices[counted_faces]
    temperature = _fit_within_range(labels)
    tempered = labels
    if temperature is not None:
        probs = _cross_fit_probs(labels, image_indices, result.n_images)
        tempered = ClassificationResult(labels.ground_truth, probs)
    (before, ece_before), (after, ece_after) = (
        _measure_calibration(label_pair, image_indices, result.n_images)
        for label_pair in (labels, tempered)
    )
    return CalibrationFit(
        1.0 if temperature is None else temperature,
        len(rows),
        before,
        after,
        ece_before,
        ece_after,
        is_degenerate=temperature is None,
    )


def _fit_within_range(labels: ClassificationResult) -> float | None:
    """Return the fitted temperature; None if there is no best one."""
    if correct_and_confidence(labels)[0].all():  # also without faces
        return None
    best = fit_temperature(labels.ground_truth, labels.probs)
    is_at_end = any(math.isclose(best, end, rel_tol=0.01) for end in TEMPERATURE_RANGE)
    return None if is_at_end else best


def _cross_fit_probs(
    labels: ClassificationResult, image_indices: IntArray, n: int
) -> Float32Array:
    """Scale each half of the images with the temperature of the other half."""
    order = np.random.default_rng(_CALIBRATION_SEED).permutation(n)
    first = np.isin(image_indices, order[: n // 2])
    probs = labels.probs.copy()
    for side in (first, ~first):
        # If one half has no faces, the other half stays unscaled.
        if side.any() and not side.all():
            temperature_of_other = fit_temperature(
                labels.ground_truth[~side], labels.probs[~side]
            )
            probs[side] = apply_temperature(labels.probs[side], temperature_of_other)
    return probs


def _measure_calibration(
    labels: ClassificationResult, image_indices: IntArray, n: int
) -> tuple[ReliabilityCurve, Estimate]:
    correct, confidence = correct_and_confidence(labels)
    weights = draw_bootstrap_weights(n)[:, image_indices]
    return reliability_curve(correct, confidence), calibration_error(
        weights, correct, confidence
    )
