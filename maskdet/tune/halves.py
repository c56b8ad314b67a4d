"""Two halves of a set: settings are chosen on one and reported on the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskdet.tune.scored import LabelledSet
from maskdet.types import CLASSES


def count_classes_per_image(ground_truth: LabelledSet) -> NDArray[np.int64]:
    """Return `(p, 3)` how many true faces of each class each picture has."""
    counts = np.zeros((len(ground_truth.names), len(CLASSES)), np.int64)
    has_class = ground_truth.labels >= 0
    np.add.at(
        counts,
        (ground_truth.faces.image_indices[has_class], ground_truth.labels[has_class]),
        1,
    )
    return counts


def split_stratified(ground_truth: LabelledSet, *, seed: int = 0) -> NDArray[np.bool_]:
    """Return `(p,)` which pictures settings are chosen on; the others report.

    Whole pictures go to one side, as the faces of one share its light and camera. The
    rarest class is dealt out first, the pictures with most of it before the others,
    each to the side that has less of it yet; so both sides get about half of every
    class. Source: K. Sechidis et al., "On the stratification of multi-label data",
    ECML PKDD 2011, for two sides.

    Args:
        ground_truth: the set.
        seed: of the order among pictures alike; the same seed, the same halves.
    """
    counts = count_classes_per_image(ground_truth)
    order = np.random.default_rng(seed).permutation(len(counts))
    sides = np.full(len(counts), -1, np.int64)
    side_counts = np.zeros(
        (2, counts.shape[1] + 1), np.int64
    )  # the last column: pictures
    for label in (*np.argsort(counts.sum(axis=0), kind="stable"), -1):
        column = counts[order, label] if label >= 0 else np.ones(len(order), np.int64)
        for image_index in order[np.argsort(-column, kind="stable")]:
            if sides[image_index] >= 0 or (
                label >= 0 and not counts[image_index, label]
            ):
                continue
            # Of what this deals out first, then of pictures; the first side at last.
            side = min(
                (0, 1), key=lambda s: (side_counts[s, label], side_counts[s, -1], s)
            )
            sides[image_index] = side
            side_counts[side] += (*counts[image_index], 1)
    first_half: NDArray[np.bool_] = sides == 0
    return first_half
