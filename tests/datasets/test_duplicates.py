"""Difference hashes and groups of near-duplicates."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from maskdet.datasets.duplicates import (
    NEAR_DUPLICATE_BITS,
    Hashes,
    difference_hash,
    find_near_duplicates,
    group_duplicates,
    hash_images,
)
from maskdet.datasets.loading import check_examples, deduplicate
from maskdet.media import encode_jpeg, read_image
from maskdet.types import Image
from tests.helpers.datasets import make_example, make_textured_image, write_image


def bits_apart(a: Image, b: Image) -> int:
    return (difference_hash(a) ^ difference_hash(b)).bit_count()


def hashes(*values: int) -> Hashes:
    return np.array(values, dtype=np.uint64)


def test_hash_bits_are_set_where_brightness_rises():
    ramp = np.arange(9, dtype=np.uint8)[None, :, None].repeat(8, 0).repeat(3, 2) * 20
    assert difference_hash(ramp) == 2**64 - 1
    assert difference_hash(ramp[:, ::-1].copy()) == 0
    one = np.zeros((8, 9, 3), np.uint8)
    one[0, 1] = 255  # brighter than its left neighbour only in the first row
    assert difference_hash(one) == 1 << 63
    assert difference_hash(np.full((50, 40, 3), 7, np.uint8)) == 0


def test_copies_are_near_duplicates_and_other_images_are_not():
    original = make_textured_image(1, 320, 240)
    copies = {
        "saved": read_image(encode_jpeg(original, 30)),
        "scaled": cv2.resize(original, (150, 113), interpolation=cv2.INTER_AREA),
        "shifted": np.roll(original, 1, axis=1),
        "darker": (original * 0.6).astype(np.uint8),
    }
    for name, copy in copies.items():
        assert bits_apart(original, copy) <= NEAR_DUPLICATE_BITS, name
    others = [
        bits_apart(original, make_textured_image(seed, 320, 240))
        for seed in range(2, 40)
    ]
    assert min(others) > 3 * NEAR_DUPLICATE_BITS


def test_pairs_agree_with_brute_force():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**63, 40, dtype=np.uint64)
    near = [int(v) ^ (1 << i) ^ (3 << 20) for i, v in enumerate(values[:9])]
    everything = [*map(int, values), *near, int(values[0])]
    wanted = [
        [i, j]
        for i in range(len(everything))
        for j in range(i + 1, len(everything))
        if (everything[i] ^ everything[j]).bit_count() <= NEAR_DUPLICATE_BITS
    ]
    assert len(wanted) >= 10
    assert find_near_duplicates(hashes(*everything)).tolist() == wanted


def test_pairs_across_blocks_are_found():
    values = np.arange(3000, dtype=np.uint64) << np.uint64(40)
    values = values * np.uint64(0x9E3779B1)  # spreads the bits
    values[2999] = values[0]
    assert [0, 2999] in find_near_duplicates(values, max_bits=0).tolist()
    assert find_near_duplicates(hashes()).shape == (0, 2)
    assert find_near_duplicates(hashes(0b1111, 0), 3).tolist() == []
    assert find_near_duplicates(hashes(0b0111, 0), 3).tolist() == [[0, 1]]


def test_a_chain_of_near_duplicates_is_one_group():
    looks = {Path("a"): 0, Path("b"): 0x3F, Path("c"): 0x3F << 8, Path("link"): 0x7}

    def list_groups(*names: str) -> list[str]:
        return [
            one.group for one in group_duplicates([*map(make_example, names)], looks)
        ]

    assert len(set(list_groups("a", "b", "c"))) == 3
    a, b, c, link = list_groups("a", "b", "c", "link")
    assert a == link == b != c
    assert list_groups() == []


def test_existing_groups_are_merged_with_near_duplicates():
    names = ["a", "b", "c", "d", "e"]
    groups = ["", "g", "g", "", "other"]
    examples = [make_example(n, group=g) for n, g in zip(names, groups, strict=True)]
    looks = dict(
        zip(map(Path, names), [1, 3, 0xFF00, 0xFFFF0000, 0xF0F0 << 40], strict=True)
    )
    found = [one.group for one in group_duplicates(examples, looks)]
    assert found[0] == found[1] == found[2] == f"{1:016x}"
    assert len(set(found)) == 3
    backwards = [one.group for one in group_duplicates(examples[::-1], looks)]
    assert backwards[::-1] == found


def test_unreadable_images_are_listed_with_the_reason(tmp_path):
    write_image(tmp_path / "good.jpg")
    (tmp_path / "text.jpg").write_text("words")
    whole = write_image(tmp_path / "cut.jpg", 3).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    paths = [tmp_path / name for name in ("text.jpg", "good.jpg", "cut.jpg", "no.jpg")]
    shown: list[Path] = []

    def progress(items):
        for item in items:
            shown.append(item)
            yield item

    results = hash_images(paths, progress)
    text, good, cut, gone = results.values()
    assert list(results) == shown == paths
    assert good == difference_hash(read_image(tmp_path / "good.jpg"))
    assert "not an image" in str(text)
    assert "damaged" in str(cut)
    assert "no such file" in str(gone)
    clean = check_examples([make_example(str(path)) for path in paths])
    assert [one.path.name for one in clean.examples] == ["good.jpg"]
    assert [path.name for path in clean.unreadable] == [
        "text.jpg",
        "cut.jpg",
        "no.jpg",
    ]


def test_a_repeated_image_counts_once_and_stays_held_out(tmp_path):
    here = str(write_image(tmp_path / "a.jpg"))
    there = str(tmp_path / "x" / ".." / "a.jpg")
    (tmp_path / "x").mkdir()
    both = [make_example(here, split="test"), make_example(there, split="train")]
    for order in (both, both[::-1]):
        (only,) = deduplicate(order)
        assert only.split == "test"
        assert check_examples(order).n_repeated == 1
    with pytest.raises(ValueError, match=r"a\.jpg: listed twice"):
        deduplicate([make_example(here), make_example(there, "no_mask")])
