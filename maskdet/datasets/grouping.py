"""Pictures that look alike or are said to belong together, as groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from maskdet.datasets.examples import Example
from maskdet.datasets.looks import alike_pairs, joined


def with_groups(
    examples: Sequence[Example], hashes: Mapping[Path, int]
) -> list[Example]:
    """Return the examples, each with the group of all pictures it is alike with.

    Groups that the examples carry are kept and joined with what looks alike. The name
    of a group is the smallest hash in it, so it does not depend on their order.

    Args:
        examples: pictures; an empty `group` says nothing.
        hashes: the difference hash of each picture.
    """
    values = np.array([hashes[one.path] for one in examples], dtype=np.uint64)
    pairs = [tuple(pair) for pair in alike_pairs(values).tolist()]
    same: dict[str, list[int]] = {}
    for i, example in enumerate(examples):
        if example.group:
            same.setdefault(example.group, []).append(i)
    for members in same.values():
        pairs += pairwise(members)
    roots = joined(len(examples), pairs)
    names = np.full(len(examples), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(names, roots, values)
    return [
        dataclasses.replace(one, group=f"{int(names[root]):016x}")
        for one, root in zip(examples, roots, strict=True)
    ]
