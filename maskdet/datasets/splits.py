"""Train, val and test, cut so that no group of pictures stands in two of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskdet.datasets.examples import SPLITS, Example

SHARES = (0.7, 0.2, 0.1)
"""How much of the data goes to train, val and test unless asked otherwise."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Straddling:
    """Groups of alike pictures that stand on both sides of given splits.

    Attributes:
        groups: how many stand in train and also in val or test.
        dropped: their pictures in train, which are left out.
        held_out: how many stand in val and test; they are left as they are.
    """

    groups: int = 0
    dropped: tuple[Path, ...] = ()
    held_out: int = 0


def split_by_group(
    examples: Sequence[Example], shares: Sequence[float] = SHARES, *, seed: int
) -> list[Example]:
    """Return the examples, each with a split; a group stays in one.

    Groups are given away one by one, the largest first and equals in an order drawn by
    `seed`; each goes where it brings the number of faces of every class and source,
    and that of pictures, closest to the shares (least chi squared).

    Args:
        examples: pictures; those with an empty `group` stand alone. What split they
            carry does not count.
        shares: of train, val and test; they sum to 1.
        seed: the same seed gives the same splits.

    Raises:
        ValueError: the shares are not three that sum to 1, with some for train.
    """
    wanted = _checked(shares)
    numbers = _group_numbers(examples)
    chosen = _chosen(_counts(examples, numbers), wanted, seed)
    return [
        dataclasses.replace(one, split=SPLITS[chosen[number]])
        for one, number in zip(examples, numbers, strict=True)
    ]


def without_straddlers(
    examples: Sequence[Example],
) -> tuple[list[Example], Straddling]:
    """Leave out of train what looks like a picture of val or test.

    Val and test stay as they are, so that numbers measured on them stay comparable.

    Args:
        examples: pictures with splits and groups; no split means train.
    """
    sides: dict[str, set[str]] = {}
    for one in examples:
        if one.group:
            sides.setdefault(one.group, set()).add(one.split or SPLITS[0])
    leaking = {name for name, found in sides.items() if _leaks(found)}
    dropped = [one for one in examples if one.group in leaking and _in_train(one)]
    gone = {id(one) for one in dropped}
    return [one for one in examples if id(one) not in gone], Straddling(
        len(leaking),
        tuple(one.path for one in dropped),
        sum({"val", "test"} <= found for found in sides.values()),
    )


def _leaks(sides: set[str]) -> bool:
    return "train" in sides and len(sides) > 1


def _in_train(example: Example) -> bool:
    return example.split in ("", "train")


def _checked(shares: Sequence[float]) -> _Floats:
    wanted = np.array(shares, dtype=np.float64)
    fits = wanted.shape == (len(SPLITS),) and (wanted >= 0).all()
    if not fits or not math.isclose(wanted.sum(), 1, abs_tol=1e-6) or wanted[0] == 0:
        raise ValueError(
            "shares of train, val and test must be three numbers that sum to 1, the "
            f"first above 0, not {', '.join(f'{share:g}' for share in shares)}"
        )
    return wanted


def _group_numbers(examples: Sequence[Example]) -> list[int]:
    numbers: dict[str, int] = {}
    return [
        # The path is a key of its own where nothing is known of a group.
        numbers.setdefault(one.group or f"\n{one.path}", len(numbers))
        for one in examples
    ]


def _counts(examples: Sequence[Example], numbers: Sequence[int]) -> _Floats:
    """Return the `(groups, columns)` numbers of pictures and of each kind of face."""
    kinds = {
        kind: column
        for column, kind in enumerate(
            sorted({(one.source, label) for one in examples for label in one.labels}),
            start=1,
        )
    }
    counts = np.zeros((max(numbers, default=-1) + 1, len(kinds) + 1))
    for one, number in zip(examples, numbers, strict=True):
        counts[number, 0] += 1
        for label in one.labels:
            counts[number, kinds[one.source, label]] += 1
    return counts


def _chosen(counts: _Floats, shares: _Floats, seed: int) -> NDArray[np.int64]:
    """Return the `(groups,)` splits, as places in `SPLITS`."""
    # A rare class counts as much as a common one.
    counts = counts / np.maximum(counts.sum(axis=0), 1)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    open_splits = np.flatnonzero(shares)
    missing = np.repeat(shares[:, None], counts.shape[1], axis=1)
    chosen = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        # (missing - group)^2 - missing^2. Over the share, as in chi squared: else all
        # large groups would go to train, and val and test would hold no crowds.
        change = counts[group] @ counts[group] - 2 * (missing @ counts[group])
        best = open_splits[(change[open_splits] / shares[open_splits]).argmin()]
        chosen[group] = best
        missing[best] -= counts[group]
    return chosen
