"""Split examples by group into train, val and test, and remove data leakage."""

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
"""Default fractions of train, val and test."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Leakage:
    """Groups of near-duplicates that are in several splits.

    Attributes:
        n_groups: number of groups in train and also in val or test.
        dropped: their images in train, which are removed.
        n_val_test_groups: number of groups in val and test, which are kept.
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
    """Return the examples with new splits; all images of a group get the same one.

    Groups are assigned one by one, the largest first and equal ones in random order.
    Each goes to the split that brings the numbers of images and of faces of every
    class and source closest to the fractions (least chi squared).

    Args:
        examples: images; those with an empty `group` form groups of their own. Their
            current splits are ignored.
        fractions: of train, val and test; they sum to 1.
        seed: random seed.

    Raises:
        ValueError: the fractions are not three numbers that sum to 1, the first above
            0.
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
    """Remove training images that are near-duplicates of val or test images.

    Val and test do not change, so metrics on them stay comparable.

    Args:
        examples: images with splits and groups; an empty split means train.
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
        if "train" in group_splits and len(group_splits) > 1
    }
    kept: list[Example] = []
    dropped: list[Path] = []
    for example in examples:
        if example.group in leaking and example.split in ("", "train"):
            dropped.append(example.path)
        else:
            kept.append(example)
    n_val_test_groups = sum(
        {"val", "test"} <= group_splits for group_splits in splits_by_group.values()
    )
    return kept, Leakage(len(leaking), tuple(dropped), n_val_test_groups)


def _check_fractions(fractions: Sequence[float]) -> _Floats:
    values = np.array(fractions, dtype=np.float64)
    fits = values.shape == (len(SPLITS),) and (values >= 0).all()
    if not fits or not math.isclose(values.sum(), 1, abs_tol=1e-6) or values[0] == 0:
        raise ValueError(
            "the fractions of train, val and test must be three numbers that sum to 1, "
            "the first above 0, got "
            f"{', '.join(f'{fraction:g}' for fraction in fractions)}"
        )
    return values


def _group_indices(examples: Sequence[Example]) -> list[int]:
    group_indices: dict[str, int] = {}
    return [
        # Without a group, the path is the key.
        group_indices.setdefault(
            example.group or f"\n{example.path}", len(group_indices)
        )
        for example in examples
    ]


def _count_faces_by_group(
    examples: Sequence[Example], group_indices: Sequence[int]
) -> _Floats:
    """Return `(groups, columns)` counts of images and of faces by source and class."""
    kinds = {
        (example.source, label) for example in examples for label in example.labels
    }
    columns = {kind: column for column, kind in enumerate(sorted(kinds), start=1)}
    counts = np.zeros((max(group_indices, default=-1) + 1, len(columns) + 1))
    for example, group_index in zip(examples, group_indices, strict=True):
        counts[group_index, 0] += 1
        for label in example.labels:
            counts[group_index, columns[example.source, label]] += 1
    return counts


def _assign_splits(counts: _Floats, fractions: _Floats, seed: int) -> NDArray[np.int64]:
    """Return the `(groups,)` splits as indices in `SPLITS`."""
    # Give rare and common classes the same weight.
    counts = counts / np.maximum(counts.sum(axis=0), 1)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    open_splits = np.flatnonzero(fractions)
    remaining = np.repeat(fractions[:, None], counts.shape[1], axis=1)
    split_indices = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        # (missing - group)^2 - missing^2, divided by the fraction as in chi squared:
        # otherwise all large groups would go to train, and val and test would have no
        # crowds.
        change = counts[group] @ counts[group] - 2 * (remaining @ counts[group])
        best = open_splits[(change[open_splits] / fractions[open_splits]).argmin()]
        split_indices[group] = best
        remaining[best] -= counts[group]
    return split_indices
