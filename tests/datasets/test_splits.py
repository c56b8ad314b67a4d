"""Splits by group: no leakage and balanced classes."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from maskdet.datasets import Example, count_faces_by_class, split_by_group
from maskdet.datasets.splits import drop_leaks
from maskdet.types import Label
from tests.helpers.datasets import make_example


def town(seed: int, n: int = 400) -> list[Example]:
    """Return images in groups of 1 to 12, one in twenty of a rare class."""
    rng = np.random.default_rng(seed)
    names = rng.choice(["mask", "no_mask", "incorrect"], n, p=[0.6, 0.35, 0.05])
    groups = rng.choice(n // 2, n) * rng.integers(0, 2, n)
    groups[:12] = n
    return [
        make_example(f"{i}.jpg", name, f"g{group}" if group else "")
        for i, (name, group) in enumerate(zip(names, groups, strict=True))
    ]


@pytest.mark.parametrize("seed", range(25))
def test_groups_stay_in_one_split_and_classes_are_balanced(seed):
    examples = town(seed)
    split = split_by_group(examples, (0.7, 0.2, 0.1), seed=seed)
    assert [one.path for one in split] == [one.path for one in examples]
    sides: dict[str, set[str]] = {}
    for one in split:
        if one.group:
            sides.setdefault(one.group, set()).add(one.split)
    assert all(len(found) == 1 for found in sides.values())
    totals = count_faces_by_class(examples)
    for name, fraction in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
        counts = count_faces_by_class(one for one in split if one.split == name)
        for label, n in counts.items():
            assert abs(n - fraction * totals[label]) <= 2, (name, label)


def test_the_split_depends_on_the_seed():
    examples = town(1)
    one, same, other = (
        [found.split for found in split_by_group(examples, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_crowds_are_in_every_split():
    crowds = [
        Example(
            make_example(f"{i}").path,
            np.tile(np.float32([0, 0, 9, 9]), (n, 1)),
            (Label.MASK,) * n,
        )
        for i, n in enumerate([30] * 20 + [1] * 200)
    ]
    split = split_by_group(crowds, seed=0)
    big = Counter(one.split for one in split if len(one.boxes) == 30)
    assert big == {"train": 14, "val": 4, "test": 2}


def test_small_data_sets_get_a_validation_split():
    few = [make_example(f"{i}", name) for i, name in enumerate(["mask", "no_mask"] * 5)]
    split = split_by_group(few, (0.8, 0.2, 0), seed=3)
    assert Counter(one.split for one in split) == {"train": 8, "val": 2}
    held = count_faces_by_class(one for one in split if one.split == "val")
    assert held[Label.MASK] == held[Label.NO_MASK] == 1
    assert split_by_group([], seed=0) == []


@pytest.mark.parametrize(
    "fractions", [(0.7, 0.3), (0.7, 0.2, 0.2), (0, 0.5, 0.5), (1.2, -0.1, -0.1)]
)
def test_invalid_fractions_are_rejected(fractions):
    with pytest.raises(ValueError, match="three numbers that sum to 1"):
        split_by_group([make_example("a")], fractions, seed=0)


def test_leaking_images_are_removed_from_train_only():
    rows = [
        ("a", "g", "train"),
        ("b", "g", "val"),
        ("c", "g", ""),
        ("d", "h", "val"),
        ("e", "h", "test"),
        ("f", "i", "train"),
        ("g", "", "train"),
        ("h", "", "val"),
        ("i", "j", "train"),
        ("j", "j", ""),
    ]
    examples = [
        make_example(name, group=group, split=split) for name, group, split in rows
    ]
    kept, found = drop_leaks(examples)
    assert [one.path.name for one in kept] == ["b", "d", "e", "f", "g", "h", "i", "j"]
    assert (found.n_groups, found.n_val_test_groups) == (1, 1)
    assert [path.name for path in found.dropped] == ["a", "c"]
    again = [dataclasses.replace(one) for one in kept]
    assert drop_leaks(again)[1].n_groups == 0
