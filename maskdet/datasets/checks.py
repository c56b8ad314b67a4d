"""Listed pictures become usable ones: each once, each readable, copies grouped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskdet.datasets.examples import SPLITS, Example
from maskdet.datasets.grouping import group_duplicates
from maskdet.datasets.looks import HashedImage, PathProgress, hash_images


@dataclass(frozen=True, eq=False)
class CheckedExamples:
    """Examples that can be trained on, and what was left out.

    Attributes:
        examples: each picture once; all carry a group.
        unreadable: pictures that cannot be opened, each with the reason.
        n_repeated: how often a picture was listed again.
        notes: what else a person should know, a sentence each.
        issues: what was left out of the labels, a line each.
    """

    examples: list[Example]
    unreadable: tuple[HashedImage, ...]
    n_repeated: int
    notes: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()


def check_examples(
    examples: Sequence[Example], progress: PathProgress = iter
) -> CheckedExamples:
    """Keep each picture once, leave out what cannot be opened, and group copies.

    Raises:
        ValueError: a picture is listed twice with different faces.
    """
    unique = deduplicate(examples)
    hashed_images = hash_images([example.path for example in unique], progress)
    hashes = {item.path: item.hash for item in hashed_images if not item.reason}
    return CheckedExamples(
        group_duplicates(
            [example for example in unique if example.path in hashes], hashes
        ),
        tuple(item for item in hashed_images if item.reason),
        len(examples) - len(unique),
    )


def deduplicate(examples: Sequence[Example]) -> list[Example]:
    """Return the examples without those whose picture was listed before.

    Where the splits differ, the later of train, val and test counts, so that what is
    held out anywhere is held out.

    Raises:
        ValueError: a picture is listed twice with different faces.
    """
    by_path: dict[Path, Example] = {}
    for example in examples:
        resolved = example.path.resolve()
        first = by_path.setdefault(resolved, example)
        if first is example:
            continue
        if first.labels != example.labels or not np.array_equal(
            first.boxes, example.boxes
        ):
            raise ValueError(f"{example.path}: listed twice with different faces")
        split = max(first.split, example.split, key=("", *SPLITS).index)
        by_path[resolved] = dataclasses.replace(first, split=split)
    return list(by_path.values())
