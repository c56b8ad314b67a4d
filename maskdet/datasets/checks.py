"""Listed pictures become usable ones: each once, each readable, copies grouped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskdet.datasets.examples import SPLITS, Example
from maskdet.datasets.grouping import with_groups
from maskdet.datasets.looks import Look, Progress, look_at


@dataclass(frozen=True, eq=False)
class Checked:
    """Examples that can be trained on, and what was left out.

    Attributes:
        examples: each picture once; all carry a group.
        unreadable: pictures that cannot be opened, each with the reason.
        repeated: how often a picture was listed again.
        notes: what else a person should know, a sentence each.
        issues: what was left out of the labels, a line each.
    """

    examples: list[Example]
    unreadable: tuple[Look, ...]
    repeated: int
    notes: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()


def checked(examples: Sequence[Example], progress: Progress = iter) -> Checked:
    """Keep each picture once, leave out what cannot be opened, and group copies.

    Raises:
        ValueError: a picture is listed twice with different faces.
    """
    single = each_once(examples)
    looks = look_at([one.path for one in single], progress)
    hashes = {seen.path: seen.hash for seen in looks if not seen.reason}
    return Checked(
        with_groups([one for one in single if one.path in hashes], hashes),
        tuple(seen for seen in looks if seen.reason),
        len(examples) - len(single),
    )


def each_once(examples: Sequence[Example]) -> list[Example]:
    """Return the examples without those whose picture was listed before.

    Where the splits differ, the later of train, val and test counts, so that what is
    held out anywhere is held out.

    Raises:
        ValueError: a picture is listed twice with different faces.
    """
    found: dict[Path, Example] = {}
    for one in examples:
        place = one.path.resolve()
        first = found.setdefault(place, one)
        if first is one:
            continue
        if first.labels != one.labels or not np.array_equal(first.boxes, one.boxes):
            raise ValueError(f"{one.path}: listed twice with different faces")
        split = max(first.split, one.split, key=("", *SPLITS).index)
        found[place] = dataclasses.replace(first, split=split)
    return list(found.values())
