"""How long something has been known of each person, so that a flicker is no news."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from maskdet.types import UNTRACKED, Label, Scene

EXPIRE_AFTER_S = 65.0
"""Who was in no scene for so long is gone, whether or not the tracker said so: no
tracker remembers for longer (`Settings.memory_s`)."""


@dataclass(frozen=True)
class LabelState:
    """What is known of a person now.

    Attributes:
        label: by the last view; `UNKNOWN` where that was not sure enough.
        confidence: how sure it was, in [0, 1].
        stable_s: how long the label has stood without a break, counting only time in
            which the person was seen.
        entered_s: when the person came.
        last_detected_s: when the person was last seen.
        last_present_s: when the person was last in a scene, seen or not.
        is_detected: seen in that scene, and not only followed.
    """

    label: Label
    confidence: float
    stable_s: float
    entered_s: float
    last_detected_s: float
    last_present_s: float
    is_detected: bool


class LabelHistory:
    """What is known of every person in a stream, and for how long."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._states: dict[int, LabelState] = {}
        self._last_scene_s = -math.inf

    def update(self, scene: Scene, min_confidence: float) -> dict[int, LabelState]:
        """Look at the next scene; return what is known of the people in it.

        Somebody who turned away is in the scene without being seen: what was known
        of them stays as it was, and no time is counted; no more is it counted for
        somebody who was not in the scene before this one.

        Args:
            scene: rows that nobody tracks are passed over.
            min_confidence: a label less certain is `UNKNOWN`, in [0, 1].
        """
        present_states: dict[int, LabelState] = {}
        winners = scene.probs.argmax(axis=1).tolist() if len(scene) else []
        confidences: list[float] = scene.confidences.tolist()
        unseen_times_s: list[float] = np.asarray(scene.unseen_s).tolist()
        rows = zip(
            list_track_ids(scene), winners, confidences, unseen_times_s, strict=True
        )
        for person, winner, confidence, unseen_s in rows:
            if person == UNTRACKED:
                continue
            label = Label(winner) if confidence >= min_confidence else Label.UNKNOWN
            if unseen_s > 0:
                present_states[person] = self._advance_coasting(person, scene.time_s)
            else:
                present_states[person] = self._advance_detected(
                    person, label, confidence, scene.time_s
                )
        self._states.update(present_states)
        self._last_scene_s = scene.time_s
        return present_states

    def find_expired(self, time_s: float) -> tuple[int, ...]:
        """Return who was in no scene for so long that they will not come back."""
        return tuple(
            person
            for person, state in self._states.items()
            if time_s - state.last_present_s > EXPIRE_AFTER_S
        )

    def forget(self, people: Iterable[int]) -> dict[int, LabelState]:
        """Forget people who left; return what was known of those that were known."""
        removed_states = {person: self._states.pop(person, None) for person in people}
        return {
            person: state
            for person, state in removed_states.items()
            if state is not None
        }

    def track_ids(self) -> tuple[int, ...]:
        """Return all who are known."""
        return tuple(self._states)

    def _advance_detected(
        self, person: int, label: Label, confidence: float, now_s: float
    ) -> LabelState:
        previous = self._states.get(person)
        if previous is None:
            return LabelState(label, confidence, 0.0, now_s, now_s, now_s, True)
        stable_s = previous.stable_s if label is previous.label else 0.0
        # Who was in no scene in between was not seen for that time.
        if (
            label is previous.label
            and previous.is_detected
            and previous.last_present_s == self._last_scene_s
        ):
            stable_s += now_s - previous.last_present_s
        return LabelState(
            label, confidence, stable_s, previous.entered_s, now_s, now_s, True
        )

    def _advance_coasting(self, person: int, now_s: float) -> LabelState:
        previous = self._states.get(person)
        if previous is None:
            return LabelState(Label.UNKNOWN, 0.0, 0.0, now_s, now_s, now_s, False)
        return LabelState(
            previous.label,
            previous.confidence,
            previous.stable_s,
            previous.entered_s,
            previous.last_detected_s,
            now_s,
            False,
        )


def list_track_ids(scene: Scene) -> list[int]:
    """Return the track id of every row, as plain numbers."""
    ids: list[int] = np.asarray(scene.track_ids).tolist()
    return ids
