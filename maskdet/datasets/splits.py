"""Train, val and test, cut so that no group of images stands in two of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskdet.datasets.example import SPLITS, Example

DEFAULT_FRACTIONS = (0.7, 0.2, 0.1)
"""How much of the data goes to train, val and test unless asked otherwise."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Leakage:
    """Groups of alike images that stand on both sides of given splits.

    Attributes:
        n_groups: how many stand in train and also in val or test.
        dropped: their images in train, which are left out.
        n_val_test_groups: how many stand in val and test; they are left as they are.
    """

    n_groups: int = 0
    dropped: tuple[Path, ...] = ()
    n_val_test_groups: int = 0


def split_by_group(
    examples: Sequence[Example],
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    *,
    seed: int,
) -> list[Example]:
    """Return the examples, each with a split; a group stays in one.

    Groups are given away one by one, the largest first and equals in an order drawn by
    `seed`; each goes where it brings the number of faces of every class and source,
    and that of images, closest to the shares (least chi squared).

    Args:
        examples: images; those with an empty `group` stand alone. What split they
            carry does not count.
        fractions: of train, val and test; they sum to 1.
        seed: the same seed gives the same splits.

    Raises:
        ValueError: the shares are not three that sum to 1, with some for train.
    """
    target_fractions = _check_fractions(fractions)
    group_indices = _group_indices(examples)
    split_indices = _assign_splits(
        _count_faces_by_group(examples, group_indices), target_fractions, seed
    )
    return [
        dataclasses.replace(example, split=SPLITS[split_indices[group_index]])
        for example, group_index in zip(examples, group_indices, strict=True)
    ]


def drop_leaks(
    examples: Sequence[Example],
) -> tuple[list[Example], Leakage]:
    """Leave out of train what looks like an image of val or test.

    Val and test stay as they are, so that numbers measured on them stay comparable.

    Args:
        examples: images with splits and groups; no split means train.
    """
    splits_by_group: dict[str, set[str]] = {}
    for example in examples:
        if example.group:
            splits_by_group.setdefault(example.group, set()).add(
                example.split or SPLITS[0]
            )
    leaking = {
        name
        for name, group_splits in splits_by_group.items()
        if _is_leaking(group_splits)
    }
    dropped = [
        example
        for example in examples
        if example.group in leaking and _is_in_train(example)
    ]
    dropped_ids = {id(example) for example in dropped}
    return [example for example in examples if id(example) not in dropped_ids], Leakage(
        len(leaking),
        tuple(example.path for example in dropped),
        sum(
            {"val", "test"} <= group_splits for group_splits in splits_by_group.values()
        ),
    )


def _is_leaking(group_splits: set[str]) -> bool:
    return "train" in group_splits and len(group_splits) > 1


def _is_in_train(example: Example) -> bool:
    return example.split in ("", "train")


def _check_fractions(fractions: Sequence[float]) -> _Floats:
    values = np.array(fractions, dtype=np.float64)
    fits = values.shape == (len(SPLITS),) and (values >= 0).all()
    if not fits or not math.isclose(values.sum(), 1, abs_tol=1e-6) or values[0] == 0:
        raise ValueError(
            "shares of train, val and test must be three numbers that sum to 1, the "
            f"first above 0, not {', '.join(f'{fraction:g}' for fraction in fractions)}"
        )
    return values


def _group_indices(examples: Sequence[Example]) -> list[int]:
    group_indices: dict[str, int] = {}
    return [
        # The path is a key of its own where nothing is known of a group.
        group_indices.setdefault(
            example.group or f"\n{example.path}", len(group_indices)
        )
        for example in examples
    ]


def _count_faces_by_group(
    examples: Sequence[Example], group_indices: Sequence[int]
) -> _Floats:
    """Return the `(groups, columns)` numbers of images and of each kind of face."""
    columns = {
        kind: column
        for column, kind in enumerate(
            sorted(
                {
                    (example.source, label)
                    for example in examples
                    for label in example.labels
                }
            ),
            start=1,
        )
    }
    counts = np.zeros((max(group_indices, default=-1) + 1, len(columns) + 1))
    for example, group_index in zip(examples, group_indices, strict=True):
        counts[group_index, 0] += 1
        for label in example.labels:
            counts[group_index, columns[example.source, label]] += 1
    return counts


def _assign_splits(counts: _Floats, fractions: _Floats, seed: int) -> NDArray[np.int64]:
    """Return the `(groups,)` splits, as places in `SPLITS`."""
    # A rare class counts as much as a common one.
    counts = counts / np.maximum(counts.sum(axis=0), 1)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    open_splits = np.flatnonzero(fractions)
    remaining = np.repeat(fractions[:, None], counts.shape[1], axis=1)
    split_indices = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        # (missing - group)^2 - missing^2. Over the share, as in chi squared: else all
        # large groups would go to train, and val and test would hold no crowds.
        change = counts[group] @ counts[group] - 2 * (remaining @ counts[group])
        best = open_splits[(change[open_splits] / fractions[open_splits]).argmin()]
        split_indices[group] = best
        remaining[best] -= counts[group]
    return split_indices
