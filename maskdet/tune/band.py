"""The unsure band: two thresholds, and nothing is said of what lies between."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from maskdet.metrics.estimate import Estimate
from maskdet.tune.drawn import drawn_share
from maskdet.tune.judging import MIN_IOU, NO_FACE, Judge, Outcome
from maskdet.tune.overlaps import Chosen
from maskdet.types import Label, Settings


@dataclass(frozen=True)
class Band:
    """What two thresholds on the probability of "no mask" would do.

    A mask incorrectly worn counts as a mask, as everywhere in maskdet.

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
    """Return what the two thresholds would do with the faces that are shown.

    The confidence of the settings does not count: the band takes its place.

    Args:
        judge: of the set.
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
    open_ = dataclasses.replace(settings, min_confidence=0)
    outcome = judge(open_, min_iou=min_iou, temperature=temperature)
    return _counted(outcome, low, high)


def _counted(outcome: Outcome, low: float, high: float) -> Band:
    """Return what two thresholds would do with the faces of an outcome."""
    judged = outcome.actual >= 0
    pictures = outcome.scored.faces.pictures[outcome.shown[judged]]
    actual, p_bare = outcome.actual[judged], outcome.probs[judged, Label.NO_MASK]

    def told(hits: Chosen, of: Chosen) -> Estimate:
        each = (pictures[rows] for rows in (hits & of, of))
        counts = [np.bincount(rows, minlength=outcome.pictures) for rows in each]
        return drawn_share(counts[0], counts[1])

    known, bare = actual != NO_FACE, actual == Label.NO_MASK
    said_bare, said_mask = p_bare >= high, p_bare < low
    wrong = np.where(bare, said_mask, said_bare)
    return Band(
        low,
        high,
        between=told(~said_bare & ~said_mask, known),
        errors=told(wrong, known & (said_bare | said_mask)),
        errors_without=told(bare != (p_bare > 0.5), known),
        missed_bare=told(said_mask, bare),
        false_bare=told(~bare, said_bare),
    )
