"""Abstention band: faces between two thresholds get no decision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskdet.evaluation.operating_point import NO_FACE, EvaluationResult
from maskdet.metrics.intervals import Estimate, clustered_proportion
from maskdet.metrics.matching import BoolArray
from maskdet.types import Label


@dataclass(frozen=True)
class AbstentionBand:
    """Error and abstention rates of two thresholds on the probability of "no mask".

    An incorrectly worn mask counts as a mask, as everywhere in maskdet.

    Attributes:
        low: faces below it are predicted as masked.
        high: faces at or above it are predicted as unmasked.
        abstention_rate: fraction of the detected true faces between the thresholds; n
            is the number of detected true faces.
        error_rate: fraction of wrong decisions; n is the number of detected true faces
            outside the band.
        error_rate_without_band: the error rate with one threshold at 0.5; n as for
            `abstention_rate`.
        missed_no_mask_rate: fraction of the detected unmasked faces that are predicted
            as masked.
        false_no_mask_rate: fraction of the faces predicted as unmasked that are masked
            or not a face.
    """

    low: float
    high: float
    abstention_rate: Estimate
    error_rate: Estimate
    error_rate_without_band: Estimate
    missed_no_mask_rate: Estimate
    false_no_mask_rate: Estimate


def evaluate_band(result: EvaluationResult, low: float, high: float) -> AbstentionBand:
    """Compute the error and abstention rates of a band on the shown faces.

    The confidence threshold of the settings is ignored: the band replaces it.

    Args:
        result: the shown faces of a set, with their probabilities.
        low: faces with a lower probability of "no mask" are predicted as masked.
        high: faces with at least this probability are predicted as unmasked.

    Raises:
        ValueError: not 0 <= low <= high <= 1.
    """
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"the band must satisfy 0 <= low <= high <= 1, got {low} to {high}"
        )
    counted_faces = result.actual >= 0
    image_indices = result.image_indices[counted_faces]
    actual = result.actual[counted_faces]
    no_mask_probs = result.probs[counted_faces, Label.NO_MASK]

    def estimate_rate(numerator: BoolArray, denominator: BoolArray) -> Estimate:
        return clustered_proportion(
            result.count_images(image_indices[numerator & denominator]),
            result.count_images(image_indices[denominator]),
        )

    is_face, no_mask = actual != NO_FACE, actual == Label.NO_MASK
    predicted_no_mask, predicted_mask = no_mask_probs >= high, no_mask_probs < low
    wrong = np.where(no_mask, predicted_mask, predicted_no_mask)
    return AbstentionBand(
        low,
        high,
        abstention_rate=estimate_rate(~predicted_no_mask & ~predicted_mask, is_face),
        error_rate=estimate_rate(wrong, is_face & (predicted_no_mask | predicted_mask)),
        error_rate_without_band=estimate_rate(
            no_mask != (no_mask_probs > 0.5), is_face
        ),
        missed_no_mask_rate=estimate_rate(predicted_mask, no_mask),
        false_no_mask_rate=estimate_rate(~no_mask, predicted_no_mask),
    )
