"""The table of an outcome: each class, and parts of the set, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

from maskdet.metrics.estimate import Estimate
from maskdet.tune.judging import Outcome
from maskdet.types import Label


@dataclass(frozen=True)
class ClassRow:
    """How well one class, or faces whatever their class, are told.

    Attributes:
        label: the class, None for faces whatever their class.
        precision: share of the faces called so that are; n is how many were.
        recall: share of the true ones called so; n is how many there are.
        f1: harmonic mean of the two; n as for recall.
        false_alarms: faces called so that are not, a picture; n is pictures.
    """

    label: Label | None
    precision: Estimate
    recall: Estimate
    f1: Estimate
    false_alarms: Estimate


@dataclass(frozen=True)
class Part:
    """How well a part of the true faces does, and whether worse than the rest.

    Attributes:
        name: what the set was cut by: `face size`, `light`, `sharpness`.
        part: which part of it, in words.
        found: share of its true faces that are found.
        right: share of its true faces that are found and called right.
        precision: share of the faces shown in this part that are faces.
        difference: `right` minus that of all other faces, with its interval.
        worse: whether it does worse than the rest by more than the interval allows.
    """

    name: str
    part: str
    found: Estimate
    right: Estimate
    precision: Estimate
    difference: Estimate
    worse: bool


def class_rows(outcome: Outcome) -> tuple[ClassRow, ...]:
    """Return the rows: faces first, then each class."""
    raise NotImplementedError


def parts(outcome: Outcome) -> tuple[Part, ...]:
    """Return the parts of the set that have faces."""
    raise NotImplementedError
