"""Two halves of a set: settings are chosen on one and reported on the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskdet.tune.scored import LabelledSet
from maskdet.types import CLASSES


def class_counts(truth: LabelledSet) -> NDArray[np.int64]:
    """Return `(p, 3)` how many true faces of each class each picture has."""
    counts = np.zeros((len(truth.names), len(CLASSES)), np.int64)
    known = truth.labels >= 0
    np.add.at(counts, (truth.faces.pictures[known], truth.labels[known]), 1)
    return counts


def halves(truth: LabelledSet, *, seed: int = 0) -> NDArray[np.bool_]:
    """Return `(p,)` which pictures settings are chosen on; the others report.

    Whole pictures go to one side, as the faces of one share its light and camera. The
    rarest class is dealt out first, the pictures with most of it before the others,
    each to the side that has less of it yet; so both sides get about half of every
    class. Source: K. Sechidis et al., "On the stratification of multi-label data",
    ECML PKDD 2011, for two sides.

    Args:
        truth: the set.
        seed: of the order among pictures alike; the same seed, the same halves.
    """
    counts = class_counts(truth)
    order = np.random.default_rng(seed).permutation(len(counts))
    sides = np.full(len(counts), -1, np.int64)
    had = np.zeros((2, counts.shape[1] + 1), np.int64)  # the last column: pictures
    for label in (*np.argsort(counts.sum(axis=0), kind="stable"), -1):
        column = counts[order, label] if label >= 0 else np.ones(len(order), np.int64)
        for picture in order[np.argsort(-column, kind="stable")]:
            if sides[picture] >= 0 or (label >= 0 and not counts[picture, label]):
                continue
            # Of what this deals out first, then of pictures; the first side at last.
            side = min((0, 1), key=lambda s: (had[s, label], had[s, -1], s))
            sides[picture] = side
            had[side] += (*counts[picture], 1)
    chosen: NDArray[np.bool_] = sides == 0
    return chosen
