"""Scenes with known people, for the tests of video analysis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskdet.people import PersonLog
from maskdet.settings import Settings
from maskdet.types import Faces, Image, Label, PersonPair, Scene

PROBS = {
    Label.MASK: (0.9, 0.06, 0.04),
    Label.NO_MASK: (0.1, 0.8, 0.1),
    Label.INCORRECT: (0.1, 0.2, 0.7),
    Label.UNKNOWN: (0.4, 0.3, 0.3),
}


def make_people_scene(
    time_s: float,
    people: Sequence[tuple[int, Label]] = (),
    *,
    unseen_s: Sequence[float] = (),
    person_pairs: Sequence[PersonPair] = (),
) -> Scene:
    """Return a scene with one box for each person, side by side."""
    n = len(people)
    boxes = [[20 * row, 10, 20 * row + 16, 30] for row in range(n)]
    return Scene(
        Faces(np.array(boxes, np.float32).reshape(-1, 4), np.full(n, 0.9)),
        np.array([PROBS[label] for _, label in people], np.float32).reshape(-1, 3),
        np.array([track_id for track_id, _ in people], np.int64),
        time_s,
        min_confidence=0.6,
        unseen_s=np.array(unseen_s if len(unseen_s) else np.zeros(n), np.float32),
        pairs=tuple(person_pairs),
    )


def make_people_pair(
    first: int,
    second: int,
    distance: float,
    *,
    in_contact: bool = True,
    exceeds_limit=False,
) -> PersonPair:
    return PersonPair(first, second, distance, "m", in_contact, 1.0, exceeds_limit)


class ScriptedStream:
    """Replaces `Stream`: returns the scene of a script for each time."""

    script = staticmethod(lambda time_s: make_people_scene(time_s))

    def __init__(
        self, analyzer: object, settings: Settings, *, people: PersonLog
    ) -> None:
        self.people = people

    def step(self, image: Image, time_s: float) -> Scene:
        scene = self.script(time_s)
        self.people.update(scene, image)
        return scene
