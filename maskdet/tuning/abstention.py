"""The unsure band: two thresholds, and nothing is said of what lies between."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from maskdet.metrics.intervals import Estimate
from maskdet.settings import Settings
from maskdet.tuning.bootstrap import bootstrap_proportion
from maskdet.tuning.operating_point import (
    MIN_IOU,
    NO_FACE,
    BoolArray,
    EvaluationResult,
    Evaluator,
)
from maskdet.types import Label


@dataclass(frozen=True)
class AbstentionBand:
    """What two thresholds on the probability of "no mask" would do.

    A mask incorrectly worn counts as a mask, as everywhere in maskdet.

    Attributes:
        low: below it a face is said to wear a mask.
        high: from it on a face is said to wear none.
        abstention_rate: share of the true faces found that lie between: nothing is
            said; n is how many are found.
        error_rate: share of those outside that are said wrong; n is how many lie there.
        error_rate_without_band: the same with no band, said at 0.5; n as for
            `abstention_rate`.
        missed_no_mask_rate: share of the bare faces found that are said to wear a mask.
        false_no_mask_rate: share of the faces said to wear none that do, or are no
            faces.
    """

    low: float
    high: float
    abstention_rate: Estimate
    error_rate: Estimate
    error_rate_without_band: Estimate
    missed_no_mask_rate: Estimate
    false_no_mask_rate: Estimate


def evaluate_band(
    evaluator: Evaluator,
    settings: Settings,
    low: float,
    high: float,
    *,
    min_iou: float = MIN_IOU,
    temperature: float = 1.0,
) -> AbstentionBand:
    """Return what the two thresholds would do with the faces that are shown.

    The confidence of the settings does not count: the band takes its place.

    Args:
        evaluator: of the set.
        settings: which faces are shown.
        low: a face with a lower probability of "no mask" is said to wear one.
        high: a face from this probability on is said to wear none.
        min_iou: smallest overlap that counts as found.
        temperature: of the probabilities.

    Raises:
        ValueError: not 0 <= low <= high <= 1.
    """
    if not 0 <= low <= high <= 1:
        raise ValueError(f"the band must rise within 0 to 1, not from {low} to {high}")
    without_confidence = dataclasses.replace(settings, min_confidence=0)
    result = evaluator(without_confidence, min_iou=min_iou, temperature=temperature)
    return _count_band(result, low, high)


def _count_band(result: EvaluationResult, low: float, high: float) -> AbstentionBand:
    """Return what two thresholds would do with the faces of an outcome."""
    counted_faces = result.actual >= 0
    image_indices = result.predictions.faces.image_indices[
        result.shown_rows[counted_faces]
    ]
    actual, no_mask_probs = (
        result.actual[counted_faces],
        result.probs[counted_faces, Label.NO_MASK],
    )

    def bootstrap_rate(numerator: BoolArray, denominator: BoolArray) -> Estimate:
        row_sets = (
            image_indices[rows] for rows in (numerator & denominator, denominator)
        )
        counts = [np.bincount(rows, minlength=result.n_images) for rows in row_sets]
        return bootstrap_proportion(counts[0], counts[1])

    is_face, no_mask = actual != NO_FACE, actual == Label.NO_MASK
    predicted_no_mask, predicted_mask = no_mask_probs >= high, no_mask_probs < low
    wrong = np.where(no_mask, predicted_mask, predicted_no_mask)
    return AbstentionBand(
        low,
        high,
        abstention_rate=bootstrap_rate(~predicted_no_mask & ~predicted_mask, is_face),
        error_rate=bootstrap_rate(
            wrong, is_face & (predicted_no_mask | predicted_mask)
        ),
        error_rate_without_band=bootstrap_rate(
            no_mask != (no_mask_probs > 0.5), is_face
        ),
        missed_no_mask_rate=bootstrap_rate(predicted_mask, no_mask),
        false_no_mask_rate=bootstrap_rate(~no_mask, predicted_no_mask),
    )
