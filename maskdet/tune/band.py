"""The unsure band: two thresholds, and nothing is said of what lies between."""

from __future__ import annotations

from dataclasses import dataclass

from maskdet.metrics.estimate import Estimate
from maskdet.tune.judging import MIN_IOU, Judge
from maskdet.types import Settings


@dataclass(frozen=True)
class Band:
    """What two thresholds on the probability of "no mask" would do.

    A mask worn wrongly counts as a mask, as everywhere in maskdet.

    Attributes:
        low: below it a face is said to wear a mask.
        high: from it on a face is said to wear none.
        between: share of the true faces found that lie between: nothing is said; n is
            how many are found.
        errors: share of those outside that are said wrong; n is how many lie there.
        errors_without: the same with no band, said at 0.5; n as for `between`.
        missed_bare: share of the bare faces found that are said to wear a mask.
        false_bare: share of the faces said to wear none that do, or are no faces.
    """

    low: float
    high: float
    between: Estimate
    errors: Estimate
    errors_without: Estimate
    missed_bare: Estimate
    false_bare: Estimate


def band(
    judge: Judge,
    settings: Settings,
    low: float,
    high: float,
    *,
    min_iou: float = MIN_IOU,
    temperature: float = 1.0,
) -> Band:
    """Return what the two thresholds would do."""
    raise NotImplementedError
