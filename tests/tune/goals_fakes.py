"""Made-up sets whose faces are found and labelled with known mistakes."""

from __future__ import annotations

import numpy as np

from maskdet.tune.scored import FaceRows, LabelledSet, Scored
from maskdet.types import Label

SIDE = 40.0


def scored(faces, n_pictures=None, *, boxed=True, name="made-up", analyzer="fake"):
    """Return a set from rows (picture, truth or None, face score or None, probs).

    Without a truth the row is a box on nothing, without a score a missed face. Each
    row has a place of its own, so that no two overlap.
    """
    faces = sorted(faces, key=lambda row: row[0])
    n_pictures = n_pictures or (max((row[0] for row in faces), default=-1) + 1)
    boxes = np.array(
        [[50 * at, 0, 50 * at + SIDE, SIDE] for at in range(len(faces))], np.float32
    ).reshape(-1, 4)
    true = [at for at, row in enumerate(faces) if row[1] is not None]
    found = [at for at, row in enumerate(faces) if row[2] is not None]
    pictures = np.array([row[0] for row in faces], np.int64)
    truth = LabelledSet(
        name,
        tuple(f"{at}.png" for at in range(n_pictures)),
        np.tile([50 * max(len(faces), 1), 50], (n_pictures, 1)),
        _rows(pictures, boxes, true),
        np.array([faces[at][1] for at in true], np.int64),
        boxed,
    )
    return Scored(
        truth,
        analyzer,
        _rows(pictures, boxes, found),
        np.array([faces[at][2] for at in found], np.float32),
        np.array([faces[at][3] for at in found], np.float32).reshape(-1, 3),
    )


def crowd(n_pictures=60, seed=0, *, bare=0.4, noise=1.0):
    """Return a set in which higher scores and confidences are right more often."""
    rng = np.random.default_rng(seed)
    faces = []
    for picture in range(n_pictures):
        for _ in range(rng.integers(1, 6)):
            label = rng.choice(3, p=[0.9 - bare, bare, 0.1])
            logits = rng.normal(0, noise, 3)
            logits[label] += 2
            score = None if rng.random() < 0.05 else float(rng.beta(5, 2))
            faces.append((picture, Label(int(label)), score, soft(logits)))
        for _ in range(rng.poisson(0.7)):
            score = float(rng.beta(2, 5))
            faces.append((picture, None, score, soft(rng.normal(0, noise, 3))))
    return scored(faces, n_pictures)


def soft(logits):
    powers = np.exp(logits)
    return powers / powers.sum()


def _rows(pictures, boxes, chosen):
    lights = np.linspace(10, 200, len(boxes))[chosen] if len(boxes) else []
    sharp = np.linspace(1, 900, len(boxes))[chosen] if len(boxes) else []
    return FaceRows(pictures[chosen], boxes[chosen], lights, sharp)
