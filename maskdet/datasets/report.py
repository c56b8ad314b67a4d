"""What was found in data before anybody trains on it, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from maskdet.datasets.balance import Balance, balance, balance_lines
from maskdet.datasets.checks import Checked
from maskdet.datasets.examples import Example
from maskdet.datasets.looks import ALIKE_BITS, Look
from maskdet.datasets.splits import Straddling
from maskdet.wording import counted

_SHOWN = 20
"""Files named in the text; the JSON names them all."""


@dataclass(frozen=True)
class Alike:
    """Groups of pictures that look alike or are said to belong together.

    Attributes:
        groups: how many have more than one picture.
        pictures: how many pictures are in these.
        largest: pictures in the largest; 0 without any.
    """

    groups: int
    pictures: int
    largest: int


@dataclass(frozen=True)
class DataReport:
    """What the checks of some data found.

    Attributes:
        unreadable: pictures that cannot be opened, each with the reason.
        repeated: how often a picture was listed again; it counts once.
        alike: copies among the pictures.
        straddling: copies on both sides of the splits that the data carry.
        balance: one row for each split and source.
        notes: what else a person should know, a sentence each.
        issues: what was left out of the labels, a line each.
    """

    unreadable: tuple[Look, ...]
    repeated: int
    alike: Alike
    straddling: Straddling
    balance: tuple[Balance, ...]
    notes: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the report for people, a few lines."""
        return [
            *balance_lines(self.balance),
            "",
            *(["issues in the labels:"] * bool(self.issues)),
            *(f"  {line}" for line in self.issues),
            *self._unreadable_lines(),
            "in several sets: "
            + (
                f"{counted(self.repeated, 'picture')}, counted once"
                if self.repeated
                else "none"
            ),
            self._alike_line(),
            *self._straddling_lines(),
            *self.notes,
        ]

    def to_json(self) -> dict[str, object]:
        """Return everything, with every file that the text leaves out."""
        return {
            "balance": [row.to_json() for row in self.balance],
            "unreadable": [
                {"path": str(one.path), "reason": one.reason} for one in self.unreadable
            ],
            "repeated": self.repeated,
            "alike": {
                "bits": ALIKE_BITS,
                "groups": self.alike.groups,
                "pictures": self.alike.pictures,
                "largest": self.alike.largest,
            },
            "straddling": {
                "groups": self.straddling.groups,
                "dropped": [str(path) for path in self.straddling.dropped],
                "held_out": self.straddling.held_out,
            },
            "notes": list(self.notes),
            "issues": list(self.issues),
        }

    def _unreadable_lines(self) -> list[str]:
        if not self.unreadable:
            return ["unreadable: none"]
        return [
            f"unreadable: {counted(len(self.unreadable), 'picture')}, left out",
            *(f"  {one.path}: {one.reason}" for one in self.unreadable[:_SHOWN]),
            *_more(len(self.unreadable)),
        ]

    def _alike_line(self) -> str:
        if not self.alike.groups:
            return "alike: none"
        return (
            f"alike: {counted(self.alike.pictures, 'picture')} in "
            f"{counted(self.alike.groups, 'group')}, "
            f"the largest of {self.alike.largest}"
        )

    def _straddling_lines(self) -> list[str]:
        found = self.straddling
        lines = ["on both sides of a split: none"]
        if found.groups:
            lines = [
                f"on both sides of a split: {counted(found.groups, 'group')}; "
                f"{counted(len(found.dropped), 'picture')} left out of train",
                *(f"  {path}" for path in found.dropped[:_SHOWN]),
                *_more(len(found.dropped)),
            ]
        if found.held_out:
            lines.append(
                f"in val and test: {counted(found.held_out, 'group')}, left as they are"
            )
        return lines


def report_on(
    clean: Checked,
    kept: Sequence[Example],
    straddling: Straddling,
    notes: Iterable[str] = (),
) -> DataReport:
    """Return the report of checked data, of which `kept` is what is used."""
    return DataReport(
        clean.unreadable,
        clean.repeated,
        _alike(clean.examples),
        straddling,
        balance(kept),
        (*clean.notes, *notes),
        clean.issues,
    )


def _alike(examples: Iterable[Example]) -> Alike:
    sizes = [n for n in Counter(one.group for one in examples).values() if n > 1]
    return Alike(len(sizes), sum(sizes), max(sizes, default=0))


def _more(n: int) -> list[str]:
    return [f"  and {n - _SHOWN:,} more"] if n > _SHOWN else []
