"""Crops that are easy to tell apart, for the tests of the workshop."""

from __future__ import annotations

import numpy as np

from maskdet.training.samples import Samples
from maskdet.types import Label


def samples(counts: dict[tuple[Label, bool], int], side: int = 32) -> Samples:
    """Return samples with `counts` crops a (label, whole), each class in a colour."""
    labels = [label for (label, _), n in counts.items() for _ in range(n)]
    whole = [kind for (_, kind), n in counts.items() for _ in range(n)]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (len(labels), side, side, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., int(label)] += 180
    sources = np.array(["odd" if row % 2 else "even" for row in range(len(labels))])
    drawn = np.zeros(len(labels), np.bool_)
    return Samples(images, np.array(labels, np.int64), sources, np.array(whole), drawn)
