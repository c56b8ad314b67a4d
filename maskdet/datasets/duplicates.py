"""Find and group near-duplicate images with difference hashes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.datasets.example import Example
from maskdet.media import read_image
from maskdet.types import Image

NEAR_DUPLICATE_BITS = 3
"""Largest Hamming distance of the 64-bit hashes of near-duplicates: images that were
saved again, scaled or recoloured. Larger distances also match unrelated images."""

Hashes = NDArray[np.uint64]
"""`(n,)` difference hashes, 64 bits each."""

PathProgress = Callable[[Sequence[Path]], Iterable[Path]]
"""A progress bar such as `tqdm`: yields the paths that it is given."""

_BLOCK = 256
"""Hashes compared with all others at once: 2 MB for every thousand others."""


def difference_hash(image: Image) -> int:
    """Return the 64-bit difference hash of an image.

    The image is scaled to 9 x 8 grey pixels; each bit is set if a pixel is darker than
    its right neighbour, row by row, the first in the highest bit. This is the dHash of
    N. Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013.
    """
    small = cv2.resize(image, (9, 8), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    return int.from_bytes(np.packbits(grey[:, :-1] < grey[:, 1:]).tobytes())


def hash_images(
    paths: Sequence[Path], progress: PathProgress = iter
) -> dict[Path, int | str]:
    """Read all images and return their hashes, or why an image cannot be read.

    Threads are enough: the decoders release the GIL.
    """

    def read_hash(path: Path) -> int | str:
        try:
            return difference_hash(read_image(path))
        except (OSError, ValueError) as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        results = pool.map(read_hash, paths)
        return dict(zip(progress(paths), results, strict=True))


def find_near_duplicates(
    hashes: Hashes, max_bits: int = NEAR_DUPLICATE_BITS
) -> NDArray[np.int64]:
    """Return the pairs of hashes that differ in at most `max_bits` bits.

    Returns:
        `(m, 2)` indices, the smaller first.
    """
    pairs = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK, None]
        distances = np.bitwise_count(block ^ hashes[None, start:])
        matches = np.argwhere(distances <= max_bits)
        pairs.append(matches[matches[:, 0] < matches[:, 1]] + start)
    return np.concatenate(pairs)


def group_duplicates(
    examples: Sequence[Example], hashes: Mapping[Path, int]
) -> list[Example]:
    """Return the examples with their groups of near-duplicates.

    Existing groups are merged with the near-duplicates of their images. The name of a
    group is its smallest hash, so it does not depend on the order of the examples.

    Args:
        examples: images; an empty `group` means no known group.
        hashes: the difference hash of each image.
    """
    # Slow to load, and only needed to prepare training data.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    values = np.array([hashes[item.path] for item in examples], dtype=np.uint64)
    pairs = find_near_duplicates(values).tolist()
    members_by_group: dict[str, list[int]] = {}
    for i, example in enumerate(examples):
        if example.group:
            members_by_group.setdefault(example.group, []).append(i)
    for members in members_by_group.values():
        pairs += pairwise(members)
    edges = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(edges.shape[1]), edges), (len(values), len(values)))
    n_components, components = connected_components(graph, directed=False)
    names = np.full(n_components, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(names, components, values)
    return [
        dataclasses.replace(item, group=f"{int(names[component]):016x}")
        for item, component in zip(examples, components, strict=True)
    ]
