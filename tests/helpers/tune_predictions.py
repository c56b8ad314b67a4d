"""Synthetic labelled sets and predictions for tests of the Tune page."""

from __future__ import annotations

import numpy as np

from maskdet.evaluation.predictions import AnalyzerPredictions, FaceRows, LabelledSet
from maskdet.types import CLASSES

SIDE_PX = 400


def make_labelled_set(
    n_images: int = 60, *, seed: int = 0, name: str = "village"
) -> LabelledSet:
    """Return a set with three faces per image: most masked, some not, few incorrect."""
    rng = np.random.default_rng(seed)
    image_rows = np.repeat(np.arange(n_images), 3)
    n = len(image_rows)
    sizes = rng.integers(8, 90, n)
    # Each face is in its own third of the image, so that none overlap.
    corners = np.stack([np.tile([5, 140, 275], n_images), rng.integers(5, 280, n)], 1)
    boxes = np.concatenate([corners, corners + sizes[:, None]], 1)
    faces = FaceRows(image_rows, boxes, rng.uniform(20, 220, n), rng.uniform(0, 900, n))
    labels = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    sizes_wh = np.full((n_images, 2), SIDE_PX)
    names = tuple(f"{number}.jpg" for number in range(n_images))
    return LabelledSet(name, names, sizes_wh, faces, labels)


def make_page_predictions(
    labelled_set: LabelledSet | None = None, analyzer: str = "onepass", *, seed: int = 1
) -> AnalyzerPredictions:
    """Return predictions: most faces, mostly right, and a false positive per image."""
    labelled_set = labelled_set or make_labelled_set()
    rng = np.random.default_rng(seed)
    detected = np.flatnonzero(rng.random(len(labelled_set.faces)) < 0.95)
    n_images = len(labelled_set.names)
    false_positives = rng.integers(0, 300, (n_images, 2)).astype(np.float32)
    false_positives[:, 1] = 375  # below all true faces
    boxes = np.concatenate(
        [
            labelled_set.faces.boxes[detected] + rng.normal(0, 1, (len(detected), 4)),
            np.concatenate([false_positives, false_positives + 20], 1),
        ]
    )
    one_hot = np.eye(len(CLASSES))[labelled_set.labels[detected]]
    logits = np.concatenate(
        [
            3 * one_hot + rng.normal(0, 1.2, one_hot.shape),
            rng.normal(0, 1, (n_images, 3)),
        ]
    )
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = np.concatenate([rng.beta(5, 2, len(detected)), rng.beta(1, 6, n_images)])
    image_rows = np.concatenate(
        [labelled_set.faces.image_indices[detected], np.arange(n_images)]
    )
    order = np.lexsort((-scores, image_rows))
    n = len(image_rows)
    faces = FaceRows(
        image_rows[order], boxes[order], np.full(n, 90.0), np.full(n, 90.0)
    )
    return AnalyzerPredictions(
        labelled_set, analyzer, faces, np.clip(scores[order], 0.02, 1), probs[order]
    )
