"""Factories of scenes with tracked people, and a stream of them with an observer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskdet.events import Event, SceneObserver
from maskdet.people import PersonLog
from maskdet.types import CLASSES, Faces, Label, PersonPair, Scene


def make_tracked_scene(
    time_s: float,
    people: Sequence[tuple[int, Label, float]] = (),
    *,
    unseen_s: Sequence[float] = (),
    person_pairs: Sequence[PersonPair] = (),
    min_confidence: float = 0.6,
    removed_ids: Sequence[int] = (),
) -> Scene:
    """Return a scene of people, each a track id, a label and its confidence."""
    n = len(people)
    probs = np.zeros((n, len(CLASSES)), np.float32)
    for row, (_, label, confidence) in enumerate(people):
        probs[row] = (1 - confidence) / 2
        probs[row, label] = confidence
    boxes = np.array([[60 * row, 0, 60 * row + 50, 50] for row in range(n)], np.float32)
    return Scene(
        Faces(boxes.reshape(n, 4), np.full(n, 0.9, np.float32)),
        probs,
        track_ids=np.array([person for person, _, _ in people], np.int64),
        time_s=time_s,
        min_confidence=min_confidence,
        unseen_s=np.array(unseen_s or [0.0] * n, np.float32),
        pairs=tuple(person_pairs),
        removed_ids=tuple(removed_ids),
    )


def make_pair(
    distance: float = 1.2,
    for_s: float = 0.0,
    *,
    in_contact: bool = True,
    exceeds_limit: bool = False,
) -> PersonPair:
    """Return the pair of the first two people of a scene."""
    return PersonPair(0, 1, distance, "m", in_contact, for_s, exceeds_limit)


class ObservedStream:
    """Passes scenes to an observer, as the loops of videos and cameras do."""

    def __init__(self, observer: SceneObserver, people: PersonLog | None = None):
        self.observer = observer
        self.people = people or PersonLog()

    def update(self, scene: Scene) -> Sequence[Event]:
        """Return the events of the next scene."""
        self.people.update(scene)
        return self.observer.observe(self.people)

    def end(self) -> Sequence[Event]:
        """Return the events at the end."""
        self.people.end()
        return self.observer.observe(self.people)
