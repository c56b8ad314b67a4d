"""How many faces have which score, beside the threshold that parts them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.resampled import Floats
from maskdet.tune.judging import ACTUAL, Outcome

What: TypeAlias = Literal["score", "confidence"]
"""What a histogram counts by."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many faces there are by score or confidence, split by what is true.

    Attributes:
        what: the score of the face, or the confidence of its label.
        edges: `(bins + 1,)` from 0 to 1; a bin holds its lower end, the last both.
        counts: `(4, bins)` int64, rows as in `judging.ACTUAL`.
        threshold: the present one.
    """

    what: What
    edges: Floats
    counts: NDArray[np.int64]
    threshold: float


def histogram(outcome: Outcome, what: What = "score", bins: int = 50) -> Histogram:
    """Count the faces by score or confidence, split by what is true.

    By score all faces count that were found and pass the other settings, also those
    below the present threshold, which the line then parts; by confidence those shown.

    Args:
        outcome: the present one.
        what: `score` or `confidence`.
        bins: of equal width from 0 to 1.

    Raises:
        ValueError: `what` is neither, or there is no bin.
    """
    if what not in get_args(What):
        raise ValueError(f"what must be score or confidence, not {what!r}")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    settings = outcome.settings
    if what == "score":
        floor = dataclasses.replace(settings, min_score=0)
        outcome = outcome.judge(
            floor, min_iou=outcome.min_iou, temperature=outcome.temperature
        )
        values, threshold = outcome.scores, settings.min_score
    else:
        values, threshold = outcome.confidences, settings.min_confidence
    # The threshold itself counts as above it, so a bin holds its lower end.
    edges = np.linspace(0, 1, bins + 1)
    places = np.searchsorted(edges.astype(np.float32), values, side="right") - 1
    counts = np.zeros((len(ACTUAL), bins), np.int64)
    judged = outcome.actual >= 0
    columns = np.clip(places[judged], 0, bins - 1)
    np.add.at(counts, (outcome.actual[judged], columns), 1)
    return Histogram(what, edges, counts, threshold)
