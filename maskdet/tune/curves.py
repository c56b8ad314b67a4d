"""Curves over every threshold, with the present one as a point on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.estimate import RESAMPLES, Estimate
from maskdet.tune.judging import MIN_IOU, Judge, Outcome
from maskdet.types import Label, Settings

Floats = NDArray[np.float64]

What: TypeAlias = Literal["score", "certainty"]
"""What a histogram counts by."""


@dataclass(frozen=True, eq=False)
class Curve:
    """What every threshold on a score would give.

    Attributes:
        label: the class, None for faces whatever their class.
        x: `(k,)` recall (precision-recall), share of the others (ROC), or false alarms
            a picture (ROC of faces).
        y: `(k,)` precision (precision-recall) or recall (ROC).
        thresholds: `(k,)` falling: what is at or above counts.
        area: under the curve, with a bootstrap interval over pictures.
        point: x and y at the present settings; NaN where there is none.
    """

    label: Label | None
    x: Floats
    y: Floats
    thresholds: Floats
    area: Estimate
    point: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many faces there are by score or certainty, split by what is true.

    Attributes:
        what: the score of the face, or the certainty of its label.
        edges: `(bins + 1,)` from 0 to 1; a bin holds its lower end, the last both.
        counts: `(4, bins)` int64, rows as in `judging.ACTUAL`.
        threshold: the present one.
    """

    what: What
    edges: Floats
    counts: NDArray[np.int64]
    threshold: float


def precision_recall(
    judge: Judge,
    settings: Settings,
    label: Label | None = None,
    *,
    min_iou: float = MIN_IOU,
    temperature: float = 1.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curve:
    """Return precision against recall."""
    raise NotImplementedError


def roc(
    judge: Judge,
    settings: Settings,
    label: Label | None = None,
    *,
    min_iou: float = MIN_IOU,
    temperature: float = 1.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curve:
    """Return recall against false alarms."""
    raise NotImplementedError


def histogram(outcome: Outcome, what: What = "score", bins: int = 50) -> Histogram:
    """Count the faces by score or certainty."""
    raise NotImplementedError
