"""How many faces have which score, beside the threshold that parts them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.resampled import Floats
from maskdet.tune.judging import ACTUAL_KEYS, EvaluationResult

HistogramQuantity: TypeAlias = Literal["score", "confidence"]
"""What a histogram counts by."""


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """How many faces there are by score or confidence, split by what is true.

    Attributes:
        quantity: the score of the face, or the confidence of its label.
        edges: `(bins + 1,)` from 0 to 1; a bin holds its lower end, the last both.
        counts: `(4, bins)` int64, rows as in `judging.ACTUAL`.
        threshold: the present one.
    """

    quantity: HistogramQuantity
    edges: Floats
    counts: NDArray[np.int64]
    threshold: float


def compute_histogram(
    result: EvaluationResult, quantity: HistogramQuantity = "score", bins: int = 50
) -> ScoreHistogram:
    """Count the faces by score or confidence, split by what is true.

    By score all faces count that were found and pass the other settings, also those
    below the present threshold, which the line then parts; by confidence those shown.

    Args:
        result: the present one.
        quantity: `score` or `confidence`.
        bins: of equal width from 0 to 1.

    Raises:
        ValueError: `quantity` is neither, or there is no bin.
    """
    if quantity not in get_args(HistogramQuantity):
        raise ValueError(f"what must be score or confidence, not {quantity!r}")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    settings = result.settings
    if quantity == "score":
        unfiltered = dataclasses.replace(settings, min_score=0)
        result = result.evaluator(
            unfiltered, min_iou=result.min_iou, temperature=result.temperature
        )
        values, threshold = result.scores, settings.min_score
    else:
        values, threshold = result.confidences, settings.min_confidence
    # The threshold itself counts as above it, so a bin holds its lower end.
    edges = np.linspace(0, 1, bins + 1)
    bin_indices = np.searchsorted(edges.astype(np.float32), values, side="right") - 1
    counts = np.zeros((len(ACTUAL_KEYS), bins), np.int64)
    counted_faces = result.actual >= 0
    columns = np.clip(bin_indices[counted_faces], 0, bins - 1)
    np.add.at(counts, (result.actual[counted_faces], columns), 1)
    return ScoreHistogram(quantity, edges, counts, threshold)
