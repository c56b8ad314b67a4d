"""Synthetic sets with detections and known mistakes."""

from __future__ import annotations

import numpy as np

from maskdet.evaluation.predictions import AnalyzerPredictions, FaceRows, LabelledSet
from maskdet.types import Label

SIDE = 40.0


def make_goal_predictions(
    faces, n_images=None, *, boxed=True, name="made-up", analyzer="fake"
):
    """Return a set from rows (image, label or None, detection score or None, probs).

    A row without a label is a false positive, a row without a score a missed face. The
    boxes of the rows do not overlap.
    """
    faces = sorted(faces, key=lambda row: row[0])
    n_images = n_images or (max((row[0] for row in faces), default=-1) + 1)
    boxes = np.array(
        [
            [50 * row_index, 0, 50 * row_index + SIDE, SIDE]
            for row_index in range(len(faces))
        ],
        np.float32,
    ).reshape(-1, 4)
    true_rows = [row_index for row_index, row in enumerate(faces) if row[1] is not None]
    detected_rows = [
        row_index for row_index, row in enumerate(faces) if row[2] is not None
    ]
    image_rows = np.array([row[0] for row in faces], np.int64)
    ground_truth = LabelledSet(
        name,
        tuple(f"{row_index}.png" for row_index in range(n_images)),
        np.tile([50 * max(len(faces), 1), 50], (n_images, 1)),
        _make_face_rows(image_rows, boxes, true_rows),
        np.array([faces[row_index][1] for row_index in true_rows], np.int64),
        boxed,
    )
    return AnalyzerPredictions(
        ground_truth,
        analyzer,
        _make_face_rows(image_rows, boxes, detected_rows),
        np.array([faces[row_index][2] for row_index in detected_rows], np.float32),
        np.array(
            [faces[row_index][3] for row_index in detected_rows], np.float32
        ).reshape(-1, 3),
    )


def make_crowded_set(n_images=60, seed=0, *, no_mask_fraction=0.4, noise=1.0):
    """Return a set in which accuracy rises with score and confidence."""
    rng = np.random.default_rng(seed)
    faces = []
    for image in range(n_images):
        for _ in range(rng.integers(1, 6)):
            label = rng.choice(3, p=[0.9 - no_mask_fraction, no_mask_fraction, 0.1])
            logits = rng.normal(0, noise, 3)
            logits[label] += 2
            score = None if rng.random() < 0.05 else float(rng.beta(5, 2))
            faces.append((image, Label(int(label)), score, softmax(logits)))
        for _ in range(rng.poisson(0.7)):
            score = float(rng.beta(2, 5))
            faces.append((image, None, score, softmax(rng.normal(0, noise, 3))))
    return make_goal_predictions(faces, n_images)


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum()


def _make_face_rows(image_rows, boxes, row_indices):
    lights = np.linspace(10, 200, len(boxes))[row_indices] if len(boxes) else []
    sharpness = np.linspace(1, 900, len(boxes))[row_indices] if len(boxes) else []
    return FaceRows(image_rows[row_indices], boxes[row_indices], lights, sharpness)
