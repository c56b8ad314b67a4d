"""Whether an analyzer's certainty can be believed, and the temperature that helps."""

from __future__ import annotations

from dataclasses import dataclass

from maskdet.metrics.calibration import Reliability
from maskdet.metrics.estimate import Estimate
from maskdet.tune.judging import Outcome


@dataclass(frozen=True, eq=False)
class Fitted:
    """A temperature, and what it does to the certainty of the labels.

    Attributes:
        temperature: fitted on all faces found whose class is known; above 1 the
            analyzer was too sure.
        n: how many faces those are.
        before: how often the likeliest class is right, by certainty, as it was.
        after: the same with a temperature; that of each half of the pictures was
            fitted on the other half, so that nothing is promised that was fitted.
        ece_before: expected calibration error as it was.
        ece_after: the same for `after`.
        bounded: whether the temperature stands at an end of the range searched, as
            when no face is called wrong: then it says nothing.
    """

    temperature: float
    n: int
    before: Reliability
    after: Reliability
    ece_before: Estimate
    ece_after: Estimate
    bounded: bool


def temperature(outcome: Outcome) -> Fitted:
    """Fit a temperature on the faces that an outcome shows."""
    raise NotImplementedError
