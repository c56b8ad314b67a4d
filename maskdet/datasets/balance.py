"""How many pictures and faces there are of each kind, and how large the faces are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.datasets.examples import SPLITS, Example, class_counts
from maskdet.types import CLASSES, Label

_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Balance:
    """One part of the data: one split of one source.

    Attributes:
        split: `train`, `val`, `test` or empty.
        source: which collection.
        pictures: how many.
        faces: how many of each class.
        sizes_px: shorter sides of the boxes in pixels: smallest twentieth, half and
            largest twentieth lie below, between and above; empty without boxes.
    """

    split: str
    source: str
    pictures: int
    faces: dict[Label, int]
    sizes_px: tuple[float, ...]

    def to_json(self) -> dict[str, object]:
        """Return it with plain keys."""
        return {
            "split": self.split,
            "source": self.source,
            "pictures": self.pictures,
            "faces": {label.key: n for label, n in self.faces.items()},
            "sizes_px": list(self.sizes_px),
        }


def balance(examples: Iterable[Example]) -> tuple[Balance, ...]:
    """Return one row for each split and source, in the order of `SPLITS`."""
    parts: dict[tuple[str, str], list[Example]] = {}
    for one in examples:
        parts.setdefault((one.split, one.source), []).append(one)
    return tuple(_row(*key, parts[key]) for key in sorted(parts, key=_rank))


def balance_lines(rows: Sequence[Balance]) -> list[str]:
    """Return the rows as a table for people."""
    width = max([len(row.source) for row in rows], default=0) + 2
    titles = "".join(f"{label.key:>10}" for label in CLASSES)
    head = f"{'split':<7}{'source':<{width}}{'pictures':>9}{titles}  face sizes"
    return [head, *(_line(row, width) for row in rows)]


def _rank(key: tuple[str, str]) -> tuple[int, str]:
    split, source = key
    return (SPLITS.index(split) if split in SPLITS else -1, source)


def _row(split: str, source: str, examples: Sequence[Example]) -> Balance:
    sizes = np.concatenate([sizes_px(one.boxes) for one in examples])
    quantiles = np.quantile(sizes, _QUANTILES).tolist() if len(sizes) else []
    return Balance(
        split,
        source,
        len(examples),
        class_counts(examples),
        tuple(round(size, 1) for size in quantiles),
    )


def _line(row: Balance, width: int) -> str:
    counts = "".join(f"{row.faces[label]:>10,}" for label in CLASSES)
    sizes = "whole pictures"
    if row.sizes_px:
        low, half, high = row.sizes_px
        sizes = f"{low:.0f} to {high:.0f} px, half below {half:.0f}"
    head = f"{row.split or '-':<7}{row.source:<{width}}{row.pictures:>9,}"
    return f"{head}{counts}  {sizes}"
