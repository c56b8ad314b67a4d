"""What was found in data before anybody trains on it, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from maskdet.datasets.balance import ClassBalance, balance_lines, compute_balance
from maskdet.datasets.checks import CheckedExamples
from maskdet.datasets.examples import Example
from maskdet.datasets.looks import NEAR_DUPLICATE_BITS, HashedImage
from maskdet.datasets.splits import Leakage
from maskdet.wording import format_count

_MAX_LISTED = 20
"""Files named in the text; the JSON names them all."""


@dataclass(frozen=True)
class DuplicateStats:
    """Groups of pictures that look alike or are said to belong together.

    Attributes:
        n_groups: how many have more than one picture.
        n_images: how many pictures are in these.
        largest_group: pictures in the largest; 0 without any.
    """

    n_groups: int
    n_images: int
    largest_group: int


@dataclass(frozen=True)
class DataReport:
    """What the checks of some data found.

    Attributes:
        unreadable: pictures that cannot be opened, each with the reason.
        n_repeated: how often a picture was listed again; it counts once.
        duplicates: copies among the pictures.
        leakage: copies on both sides of the splits that the data carry.
        balance: one row for each split and source.
        notes: what else a person should know, a sentence each.
        issues: what was left out of the labels, a line each.
    """

    unreadable: tuple[HashedImage, ...]
    n_repeated: int
    duplicates: DuplicateStats
    leakage: Leakage
    balance: tuple[ClassBalance, ...]
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
                f"{format_count(self.n_repeated, 'picture')}, counted once"
                if self.n_repeated
                else "none"
            ),
            self._duplicates_line(),
            *self._leakage_lines(),
            *self.notes,
        ]

    def to_json(self) -> dict[str, object]:
        """Return everything, with every file that the text leaves out."""
        return {
            "balance": [row.to_json() for row in self.balance],
            "unreadable": [
                {"path": str(hashed_image.path), "reason": hashed_image.reason}
                for hashed_image in self.unreadable
            ],
            "repeated": self.n_repeated,
            "alike": {
                "bits": NEAR_DUPLICATE_BITS,
                "groups": self.duplicates.n_groups,
                "pictures": self.duplicates.n_images,
                "largest": self.duplicates.largest_group,
            },
            "straddling": {
                "groups": self.leakage.n_groups,
                "dropped": [str(path) for path in self.leakage.dropped],
                "held_out": self.leakage.n_val_test_groups,
            },
            "notes": list(self.notes),
            "issues": list(self.issues),
        }

    def _unreadable_lines(self) -> list[str]:
        if not self.unreadable:
            return ["unreadable: none"]
        return [
            f"unreadable: {format_count(len(self.unreadable), 'picture')}, left out",
            *(
                f"  {hashed_image.path}: {hashed_image.reason}"
                for hashed_image in self.unreadable[:_MAX_LISTED]
            ),
            *_remainder_line(len(self.unreadable)),
        ]

    def _duplicates_line(self) -> str:
        if not self.duplicates.n_groups:
            return "alike: none"
        return (
            f"alike: {format_count(self.duplicates.n_images, 'picture')} in "
            f"{format_count(self.duplicates.n_groups, 'group')}, "
            f"the largest of {self.duplicates.largest_group}"
        )

    def _leakage_lines(self) -> list[str]:
        leakage_found = self.leakage
        lines = ["on both sides of a split: none"]
        if leakage_found.n_groups:
            lines = [
                "on both sides of a split: "
                f"{format_count(leakage_found.n_groups, 'group')}; "
                f"{format_count(len(leakage_found.dropped), 'picture')} left out of "
                "train",
                *(f"  {path}" for path in leakage_found.dropped[:_MAX_LISTED]),
                *_remainder_line(len(leakage_found.dropped)),
            ]
        if leakage_found.n_val_test_groups:
            lines.append(
                "in val and test: "
                f"{format_count(leakage_found.n_val_test_groups, 'group')}, left as "
                "they are"
            )
        return lines


def build_report(
    checked_examples: CheckedExamples,
    kept: Sequence[Example],
    leakage: Leakage,
    notes: Iterable[str] = (),
) -> DataReport:
    """Return the report of checked data, of which `kept` is what is used."""
    return DataReport(
        checked_examples.unreadable,
        checked_examples.n_repeated,
        _duplicate_stats(checked_examples.examples),
        leakage,
        compute_balance(kept),
        (*checked_examples.notes, *notes),
        checked_examples.issues,
    )


def _duplicate_stats(examples: Iterable[Example]) -> DuplicateStats:
    sizes = [
        n for n in Counter(example.group for example in examples).values() if n > 1
    ]
    return DuplicateStats(len(sizes), sum(sizes), max(sizes, default=0))


def _remainder_line(n: int) -> list[str]:
    return [f"  and {n - _MAX_LISTED:,} more"] if n > _MAX_LISTED else []
