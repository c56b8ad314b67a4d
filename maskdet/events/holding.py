"""How long something has been known of each person, so that a flicker is no news."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from maskdet.types import UNTRACKED, Label, Scene

GONE_S = 65.0
"""Who was in no scene for so long is gone, whether or not the tracker said so: no
tracker remembers for longer (`Settings.memory_s`)."""


@dataclass(frozen=True)
class Held:
    """What is known of a person now.

    Attributes:
        label: by the last view; `UNKNOWN` where that was not sure enough.
        confidence: how sure it was, in [0, 1].
        for_s: how long the label has stood without a break, counting only time in
            which the person was seen.
        came_s: when the person came.
        seen_s: when the person was last seen.
        here_s: when the person was last in a scene, seen or not.
        viewed: seen in that scene, and not only followed.
    """

    label: Label
    confidence: float
    for_s: float
    came_s: float
    seen_s: float
    here_s: float
    viewed: bool


class Holding:
    """What is known of every person in a stream, and for how long."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._people: dict[int, Held] = {}
        self._last_s = -math.inf

    def update(self, scene: Scene, min_confidence: float) -> dict[int, Held]:
        """Look at the next scene; return what is known of the people in it.

        Somebody who turned away is in the scene without being seen: what was known
        of them stays as it was, and no time is counted; no more is it counted for
        somebody who was not in the scene before this one.

        Args:
            scene: rows that nobody tracks are passed over.
            min_confidence: a label less certain is `UNKNOWN`, in [0, 1].
        """
        found: dict[int, Held] = {}
        winners = scene.probs.argmax(axis=1).tolist() if len(scene) else []
        confidences: list[float] = scene.confidences.tolist()
        unseen: list[float] = np.asarray(scene.unseen_s).tolist()
        rows = zip(person_ids(scene), winners, confidences, unseen, strict=True)
        for person, winner, confidence, unseen_s in rows:
            if person == UNTRACKED:
                continue
            label = Label(winner) if confidence >= min_confidence else Label.UNKNOWN
            if unseen_s > 0:
                found[person] = self._followed(person, scene.time_s)
            else:
                found[person] = self._seen(person, label, confidence, scene.time_s)
        self._people.update(found)
        self._last_s = scene.time_s
        return found

    def gone(self, time_s: float) -> tuple[int, ...]:
        """Return who was in no scene for so long that they will not come back."""
        return tuple(
            person
            for person, held in self._people.items()
            if time_s - held.here_s > GONE_S
        )

    def forget(self, people: Iterable[int]) -> dict[int, Held]:
        """Forget people who left; return what was known of those that were known."""
        known = {person: self._people.pop(person, None) for person in people}
        return {person: held for person, held in known.items() if held is not None}

    def everybody(self) -> tuple[int, ...]:
        """Return all who are known."""
        return tuple(self._people)

    def _seen(self, person: int, label: Label, confidence: float, now_s: float) -> Held:
        before = self._people.get(person)
        if before is None:
            return Held(label, confidence, 0.0, now_s, now_s, now_s, True)
        for_s = before.for_s if label is before.label else 0.0
        # Who was in no scene in between was not seen for that time.
        if label is before.label and before.viewed and before.here_s == self._last_s:
            for_s += now_s - before.here_s
        return Held(label, confidence, for_s, before.came_s, now_s, now_s, True)

    def _followed(self, person: int, now_s: float) -> Held:
        before = self._people.get(person)
        if before is None:
            return Held(Label.UNKNOWN, 0.0, 0.0, now_s, now_s, now_s, False)
        return Held(
            before.label,
            before.confidence,
            before.for_s,
            before.came_s,
            before.seen_s,
            now_s,
            False,
        )


def person_ids(scene: Scene) -> list[int]:
    """Return the track id of every row, as plain numbers."""
    ids: list[int] = np.asarray(scene.track_ids).tolist()
    return ids
