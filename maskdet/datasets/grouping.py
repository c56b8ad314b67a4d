"""Pictures that look alike or are said to belong together, as groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from maskdet.datasets.examples import Example
from maskdet.datasets.looks import connected_components, find_near_duplicates


def group_duplicates(
    examples: Sequence[Example], hashes: Mapping[Path, int]
) -> list[Example]:
    """Return the examples, each with the group of all pictures it is alike with.

    Groups that the examples carry are kept and joined with what looks alike. The name
    of a group is the smallest hash in it, so it does not depend on their order.

    Args:
        examples: pictures; an empty `group` says nothing.
        hashes: the difference hash of each picture.
    """
    values = np.array([hashes[item.path] for item in examples], dtype=np.uint64)
    pairs = [tuple(pair) for pair in find_near_duplicates(values).tolist()]
    members_by_group: dict[str, list[int]] = {}
    for i, example in enumerate(examples):
        if example.group:
            members_by_group.setdefault(example.group, []).append(i)
    for members in members_by_group.values():
        pairs += pairwise(members)
    roots = connected_components(len(examples), pairs)
    names = np.full(len(examples), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(names, roots, values)
    return [
        dataclasses.replace(item, group=f"{int(names[root]):016x}")
        for item, root in zip(examples, roots, strict=True)
    ]
