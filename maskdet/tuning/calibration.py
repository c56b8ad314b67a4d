"""Whether an analyzer's confidence can be believed, and the temperature that helps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.metrics.calibration import (
    TEMPERATURE_RANGE,
    ReliabilityCurve,
    apply_temperature,
    correct_and_confidence,
    fit_temperature,
    reliability_curve,
)
from maskdet.metrics.classification import ClassificationResult
from maskdet.metrics.intervals import Estimate
from maskdet.metrics.summary import calibration_error
from maskdet.tuning.bootstrap import bootstrap_weights
from maskdet.tuning.operating_point import NO_FACE, EvaluationResult
from maskdet.tuning.predictions import Float32Array, IntArray

_CALIBRATION_SEED: Final = 0
"""Of the two halves of the images."""


@dataclass(frozen=True, eq=False)
class CalibrationFit:
    """A temperature, and what it does to the confidence of the labels.

    Attributes:
        temperature: fitted on all faces found whose class is known; above 1 the
            analyzer was too sure.
        n: how many faces those are.
        before: how often the likeliest class is right, by confidence, as it was.
        after: the same with a temperature; that of each half of the images was
            fitted on the other half, so that nothing is promised that was fitted.
        ece_before: expected calibration error as it was.
        ece_after: the same for `after`.
        is_degenerate: whether the temperature says nothing: no face is called wrong, or
            it stands at an end of the range searched.
    """

    temperature: float
    n: int
    before: ReliabilityCurve
    after: ReliabilityCurve
    ece_before: Estimate
    ece_after: Estimate
    is_degenerate: bool


def fit_calibration(result: EvaluationResult) -> CalibrationFit:
    """Fit a temperature on the faces that an outcome shows, whatever it has itself.

    Raises:
        ValueError: it shows no face whose class is known.
    """
    counted_faces = (result.actual >= 0) & (result.actual != NO_FACE)
    rows = result.shown_rows[counted_faces]
    labels = ClassificationResult(
        result.actual[counted_faces], result.predictions.probs[rows]
    )
    if not len(rows):
        raise ValueError("no face is found whose class is known: nothing to calibrate")
    image_indices = result.predictions.faces.image_indices[rows]
    best_temperature = fit_temperature(labels.ground_truth, labels.probs)
    tempered = ClassificationResult(
        labels.ground_truth, _cross_fit_probs(labels, image_indices, result.n_images)
    )
    (before, ece_before), (after, ece_after) = (
        _measure_calibration(label_pair, image_indices, result.n_images)
        for label_pair in (labels, tempered)
    )
    ends = [
        math.isclose(best_temperature, end, rel_tol=0.01) for end in TEMPERATURE_RANGE
    ]
    bounded = any(ends) or bool(correct_and_confidence(labels)[0].all())
    return CalibrationFit(
        best_temperature, len(rows), before, after, ece_before, ece_after, bounded
    )


def _cross_fit_probs(
    labels: ClassificationResult, image_indices: IntArray, n: int
) -> Float32Array:
    """Return the probabilities, each half tempered by what fits the other half."""
    order = np.random.default_rng(_CALIBRATION_SEED).permutation(n)
    first = np.isin(image_indices, order[: n // 2])
    probs = labels.probs.copy()
    for side in (first, ~first):
        # A half without faces teaches nothing: the other one stays as it is.
        if side.any() and not side.all():
            temperature_of_other = fit_temperature(
                labels.ground_truth[~side], labels.probs[~side]
            )
            probs[side] = apply_temperature(labels.probs[side], temperature_of_other)
    return probs


def _measure_calibration(
    labels: ClassificationResult, image_indices: IntArray, n: int
) -> tuple[ReliabilityCurve, Estimate]:
    right, confidence = correct_and_confidence(labels)
    weights = bootstrap_weights(n)[:, image_indices]
    return reliability_curve(right, confidence), calibration_error(
        weights, right, confidence
    )
