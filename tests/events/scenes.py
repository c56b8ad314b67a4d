"""Scenes of people who are tracked, made of what a story says of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskdet.types import CLASSES, Faces, Label, Near, Scene


def scene(
    time_s: float,
    people: Sequence[tuple[int, Label, float]] = (),
    *,
    unseen_s: Sequence[float] = (),
    near: Sequence[Near] = (),
    min_certainty: float = 0.6,
) -> Scene:
    """Return a scene of people, each a track id, a label and its certainty."""
    n = len(people)
    probs = np.zeros((n, len(CLASSES)), np.float32)
    for row, (_, label, certainty) in enumerate(people):
        probs[row] = (1 - certainty) / 2
        probs[row, label] = certainty
    boxes = np.array([[60 * row, 0, 60 * row + 50, 50] for row in range(n)], np.float32)
    return Scene(
        Faces(boxes.reshape(n, 4), np.full(n, 0.9, np.float32)),
        probs,
        track_ids=np.array([person for person, _, _ in people], np.int64),
        time_s=time_s,
        min_certainty=min_certainty,
        seen_s=np.array(unseen_s or [0.0] * n, np.float32),
        near=tuple(near),
    )


def near(
    distance: float = 1.2,
    for_s: float = 0.0,
    *,
    is_near: bool = True,
    too: bool = False,
) -> Near:
    """Return that the first two people of a scene are so far apart."""
    return Near(0, 1, distance, "m", is_near, for_s, too)
