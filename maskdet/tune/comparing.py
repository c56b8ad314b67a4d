"""Two settings or two analyzers, face by face: what one gets right and not the other."""

from __future__ import annotations

from dataclasses import dataclass

from maskdet.metrics.estimate import Estimate
from maskdet.tune.judging import Outcome
from maskdet.tune.scored import Rows


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two outcomes on the same true faces; right is found and called right.

    Attributes:
        only_a: rows of the true faces that only the first gets right.
        only_b: rows of those that only the second gets right.
        both: how many both get right.
        neither: how many neither gets right.
        p: McNemar's exact p: how often chance alone would part two equally good ones
            at least so far. Faces are taken as independent of each other.
        right_a: share of the true faces that the first gets right.
        right_b: the same for the second.
        difference: `right_a` minus `right_b`, with a bootstrap interval over pictures.
        false_alarms_a: faces shown by the first that are none, a picture.
        false_alarms_b: the same for the second.
    """

    only_a: Rows
    only_b: Rows
    both: int
    neither: int
    p: float
    right_a: Estimate
    right_b: Estimate
    difference: Estimate
    false_alarms_a: Estimate
    false_alarms_b: Estimate


def compare(a: Outcome, b: Outcome) -> Comparison:
    """Return what each outcome gets right that the other does not."""
    raise NotImplementedError
