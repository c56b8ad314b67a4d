"""How many pictures and faces there are of each kind, and how large the faces are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.datasets.examples import SPLITS, Example, count_faces_by_class
from maskdet.types import CLASSES, Label

_SIZE_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class ClassBalance:
    """One part of the data: one split of one source.

    Attributes:
        split: `train`, `val`, `test` or empty.
        source: which collection.
        n_images: how many.
        n_faces: how many of each class.
        sizes_px: shorter sides of the boxes in pixels: smallest twentieth, half and
            largest twentieth lie below, between and above; empty without boxes.
    """

    split: str
    source: str
    n_images: int
    n_faces: dict[Label, int]
    sizes_px: tuple[float, ...]

    def to_json(self) -> dict[str, object]:
        """Return it with plain keys."""
        return {
            "split": self.split,
            "source": self.source,
            "pictures": self.n_images,
            "faces": {label.key: n for label, n in self.n_faces.items()},
            "sizes_px": list(self.sizes_px),
        }


def compute_balance(examples: Iterable[Example]) -> tuple[ClassBalance, ...]:
    """Return one row for each split and source, in the order of `SPLITS`."""
    parts: dict[tuple[str, str], list[Example]] = {}
    for example in examples:
        parts.setdefault((example.split, example.source), []).append(example)
    return tuple(
        _balance_row(*key, parts[key]) for key in sorted(parts, key=_balance_sort_key)
    )


def balance_lines(rows: Sequence[ClassBalance]) -> list[str]:
    """Return the rows as a table for people."""
    width = max([len(row.source) for row in rows], default=0) + 2
    titles = "".join(f"{label.key:>10}" for label in CLASSES)
    header = f"{'split':<7}{'source':<{width}}{'pictures':>9}{titles}  face sizes"
    return [header, *(_balance_line(row, width) for row in rows)]


def _balance_sort_key(key: tuple[str, str]) -> tuple[int, str]:
    split, source = key
    return (SPLITS.index(split) if split in SPLITS else -1, source)


def _balance_row(split: str, source: str, examples: Sequence[Example]) -> ClassBalance:
    sizes = np.concatenate([sizes_px(example.boxes) for example in examples])
    quantiles = np.quantile(sizes, _SIZE_QUANTILES).tolist() if len(sizes) else []
    return ClassBalance(
        split,
        source,
        len(examples),
        count_faces_by_class(examples),
        tuple(round(size, 1) for size in quantiles),
    )


def _balance_line(row: ClassBalance, width: int) -> str:
    counts = "".join(f"{row.n_faces[label]:>10,}" for label in CLASSES)
    sizes = "whole pictures"
    if row.sizes_px:
        low, half, high = row.sizes_px
        sizes = f"{low:.0f} to {high:.0f} px, half below {half:.0f}"
    prefix = f"{row.split or '-':<7}{row.source:<{width}}{row.n_images:>9,}"
    return f"{prefix}{counts}  {sizes}"
