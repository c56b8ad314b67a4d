"""Whether an analyzer's confidence can be believed, and the temperature that helps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.metrics.calibration import (
    TEMPERATURES,
    Reliability,
    fit_temperature,
    reliability,
    top_label,
    with_temperature,
)
from maskdet.metrics.estimate import Estimate
from maskdet.metrics.labelling import Labelling
from maskdet.metrics.numbers import calibration_error
from maskdet.tune.drawn import picture_weights
from maskdet.tune.judging import NO_FACE, Outcome
from maskdet.tune.scored import Numbers, Rows

_SEED: Final = 0
"""Of the two halves of the pictures."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A temperature, and what it does to the confidence of the labels.

    Attributes:
        temperature: fitted on all faces found whose class is known; above 1 the
            analyzer was too sure.
        n: how many faces those are.
        before: how often the likeliest class is right, by confidence, as it was.
        after: the same with a temperature; that of each half of the pictures was
            fitted on the other half, so that nothing is promised that was fitted.
        ece_before: expected calibration error as it was.
        ece_after: the same for `after`.
        bounded: whether the temperature says nothing: no face is called wrong, or it
            stands at an end of the range searched.
    """

    temperature: float
    n: int
    before: Reliability
    after: Reliability
    ece_before: Estimate
    ece_after: Estimate
    bounded: bool


def temperature(outcome: Outcome) -> Fitted:
    """Fit a temperature on the faces that an outcome shows, whatever it has itself.

    Raises:
        ValueError: it shows no face whose class is known.
    """
    judged = (outcome.actual >= 0) & (outcome.actual != NO_FACE)
    rows = outcome.shown[judged]
    labels = Labelling(outcome.actual[judged], outcome.scored.probs[rows])
    if not len(rows):
        raise ValueError("no face is found whose class is known: nothing to calibrate")
    pictures = outcome.scored.faces.pictures[rows]
    fitted = fit_temperature(labels.truths, labels.probs)
    tempered = Labelling(labels.truths, _crossed(labels, pictures, outcome.pictures))
    (before, ece_before), (after, ece_after) = (
        _judged(one, pictures, outcome.pictures) for one in (labels, tempered)
    )
    ends = [math.isclose(fitted, end, rel_tol=0.01) for end in TEMPERATURES]
    bounded = any(ends) or bool(top_label(labels)[0].all())
    return Fitted(fitted, len(rows), before, after, ece_before, ece_after, bounded)


def _crossed(labels: Labelling, pictures: Rows, n: int) -> Numbers:
    """Return the probabilities, each half tempered by what fits the other half."""
    order = np.random.default_rng(_SEED).permutation(n)
    first = np.isin(pictures, order[: n // 2])
    probs = labels.probs.copy()
    for side in (first, ~first):
        # A half without faces teaches nothing: the other one stays as it is.
        if side.any() and not side.all():
            degree = fit_temperature(labels.truths[~side], labels.probs[~side])
            probs[side] = with_temperature(labels.probs[side], degree)
    return probs


def _judged(labels: Labelling, pictures: Rows, n: int) -> tuple[Reliability, Estimate]:
    right, confidence = top_label(labels)
    weights = picture_weights(n)[:, pictures]
    return reliability(right, confidence), calibration_error(weights, right, confidence)
