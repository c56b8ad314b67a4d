"""Made-up sets and scores for the Tune page: quick to make, and the same every time."""

from __future__ import annotations

import numpy as np

from maskdet.tune.scored import FaceRows, LabelledSet, Scored
from maskdet.types import CLASSES

SIDE_PX = 400


def truth(pictures: int = 60, *, seed: int = 0, name: str = "village") -> LabelledSet:
    """A set of three faces a picture: mostly masked, some bare, few incorrect."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(pictures), 3)
    n = len(numbers)
    sizes = rng.integers(8, 90, n)
    # Each in its own third, so that no two overlap.
    corners = np.stack([np.tile([5, 140, 275], pictures), rng.integers(5, 280, n)], 1)
    boxes = np.concatenate([corners, corners + sizes[:, None]], 1)
    faces = FaceRows(numbers, boxes, rng.uniform(20, 220, n), rng.uniform(0, 900, n))
    labels = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    sizes_wh = np.full((pictures, 2), SIDE_PX)
    names = tuple(f"{number}.jpg" for number in range(pictures))
    return LabelledSet(name, names, sizes_wh, faces, labels)


def scored(
    true: LabelledSet | None = None, analyzer: str = "onepass", *, seed: int = 1
) -> Scored:
    """What an analyzer said: most faces, mostly right, and a false alarm a picture."""
    true = true or truth()
    rng = np.random.default_rng(seed)
    seen = np.flatnonzero(rng.random(len(true.faces)) < 0.95)
    pictures = len(true.names)
    alarms = rng.integers(0, 300, (pictures, 2)).astype(np.float32)
    alarms[:, 1] = 375  # below all true faces
    boxes = np.concatenate(
        [
            true.faces.boxes[seen] + rng.normal(0, 1, (len(seen), 4)),
            np.concatenate([alarms, alarms + 20], 1),
        ]
    )
    right = np.eye(len(CLASSES))[true.labels[seen]]
    logits = np.concatenate(
        [3 * right + rng.normal(0, 1.2, right.shape), rng.normal(0, 1, (pictures, 3))]
    )
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = np.concatenate([rng.beta(5, 2, len(seen)), rng.beta(1, 6, pictures)])
    numbers = np.concatenate([true.faces.pictures[seen], np.arange(pictures)])
    order = np.lexsort((-scores, numbers))
    n = len(numbers)
    faces = FaceRows(numbers[order], boxes[order], np.full(n, 90.0), np.full(n, 90.0))
    return Scored(true, analyzer, faces, np.clip(scores[order], 0.02, 1), probs[order])
