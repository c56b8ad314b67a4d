"""Detect events in the scenes of a stream.

`LabelHistory` tracks how long each person has had a label, so that a label that
flickers raises no event. `EventDetector` turns scenes into events.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np

from maskdet.events.event import Event, StreamInfo
from maskdet.types import UNTRACKED, Label, Scene

EXPIRE_AFTER_S = 65.0
"""A person who is in no scene for so long has left, even if the tracker did not report
it: no tracker remembers people for longer (`Settings.memory_s`). In seconds."""

MIN_LABEL_DURATION_S = 1.0
"""How long a label must be stable until it raises an event, in seconds."""

_CONTACT_GAP_S = 5.0  # A shorter interruption does not end a contact.


@dataclass(frozen=True)
class LabelState:
    """Label of a person and its history.

    Attributes:
        label: label of the last detection; `UNKNOWN` below the confidence threshold.
        confidence: confidence of that label, in [0, 1].
        stable_s: for how long the label has not changed, counting only time in which
            the person was detected.
        entered_s: time of the first scene with the person.
        last_detected_s: time of the last detection.
        last_present_s: time of the last scene with the person, detected or coasting.
        is_detected: whether the person was detected in that scene.
    """

    label: Label
    confidence: float
    stable_s: float
    entered_s: float
    last_detected_s: float
    last_present_s: float
    is_detected: bool


class LabelHistory:
    """Label states of all people in a stream."""

    def __init__(self) -> None:
        """Start without people."""
        self._states: dict[int, LabelState] = {}
        self._last_scene_s = -math.inf

    def update(self, scene: Scene, min_confidence: float) -> dict[int, LabelState]:
        """Process the next scene and return the states of the people in it.

        A person whose track is coasting keeps the state, and the time does not count.
        It does not count either for a person who was not in the previous scene.

        Args:
            scene: next scene; untracked rows are ignored.
            min_confidence: below it a label is `UNKNOWN`, in [0, 1].
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
        """Return the IDs of people who have been absent for `EXPIRE_AFTER_S`."""
        return tuple(
            person
            for person, state in self._states.items()
            if time_s - state.last_present_s > EXPIRE_AFTER_S
        )

    def forget(self, people: Iterable[int]) -> dict[int, LabelState]:
        """Remove people, and return the states of those that were known."""
        removed_states = {person: self._states.pop(person, None) for person in people}
        return {
            person: state
            for person, state in removed_states.items()
            if state is not None
        }

    def track_ids(self) -> tuple[int, ...]:
        """Return the IDs of all known people."""
        return tuple(self._states)

    def _advance_detected(
        self, person: int, label: Label, confidence: float, now_s: float
    ) -> LabelState:
        previous = self._states.get(person)
        if previous is None:
            return LabelState(label, confidence, 0.0, now_s, now_s, now_s, True)
        stable_s = previous.stable_s if label is previous.label else 0.0
        # Time counts only if the person was also in the previous scene.
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
    """Return the track IDs of all rows as Python integers."""
    ids: list[int] = np.asarray(scene.track_ids).tolist()
    return ids


class EventDetector:
    """Detects the events of one stream; each event is reported once."""

    def __init__(
        self,
        stream_info: StreamInfo,
        *,
        min_label_duration_s: float = MIN_LABEL_DURATION_S,
    ) -> None:
        """Start without people.

        Args:
            stream_info: name and start of the stream.
            min_label_duration_s: how long a label must be stable until it counts, in
                seconds.
        """
        self._stream_info = stream_info
        self._min_label_duration_s = min_label_duration_s
        self._label_history = LabelHistory()
        self._stable_states: dict[int, LabelState] = {}
        self._last_contact_s: dict[tuple[int, int], float] = {}

    def update(self, scene: Scene) -> tuple[Event, ...]:
        """Return the events since the previous scene.

        Args:
            scene: next scene, with track IDs; untracked rows raise no events.
        """
        previous_ids = set(self._label_history.track_ids())
        label_states = self._label_history.update(scene, scene.min_confidence)
        events: list[Event] = []
        for person, label_state in label_states.items():
            if person not in previous_ids:
                events.append(self._make_event("entered", person, scene.time_s))
            events += self._detect_label_events(person, label_state, scene.time_s)
        events += self._detect_contact_events(scene)
        expired_ids = self._label_history.find_expired(scene.time_s)
        return (*events, *self._remove_people((*scene.removed_ids, *expired_ids)))

    def end(self) -> tuple[Event, ...]:
        """Return a `left` event for each person, because the stream ended."""
        return self._remove_people(self._label_history.track_ids())

    def _detect_label_events(
        self, person: int, label_state: LabelState, time_s: float
    ) -> list[Event]:
        """Return an event if the label is stable and differs from the previous one."""
        if (
            label_state.label is Label.UNKNOWN
            or label_state.stable_s < self._min_label_duration_s
        ):
            return []
        previous_label = self._stable_label(person)
        self._stable_states[person] = label_state
        if previous_label is label_state.label:
            return []
        kind = "classified" if previous_label is Label.UNKNOWN else "changed"
        event = self._make_event(kind, person, time_s)
        changed_from = None if previous_label is Label.UNKNOWN else previous_label
        return [replace(event, before=changed_from, for_s=label_state.stable_s)]

    def _detect_contact_events(self, scene: Scene) -> list[Event]:
        """Return an event for each new contact that exceeds the limit."""
        events: list[Event] = []
        now_s, ids = scene.time_s, list_track_ids(scene)
        for person_pair in scene.pairs:
            first, second = sorted((ids[person_pair.first], ids[person_pair.second]))
            pair = (first, second)
            if UNTRACKED in pair:
                continue
            if person_pair.exceeds_limit and pair not in self._last_contact_s:
                person, other = self._order_unmasked_first(pair)
                event = self._make_event("close", person, now_s)
                events.append(
                    replace(
                        event,
                        other=other,
                        distance=person_pair.distance,
                        unit=person_pair.unit,
                        for_s=person_pair.contact_s,
                    )
                )
            if person_pair.exceeds_limit or (
                person_pair.in_contact and pair in self._last_contact_s
            ):
                self._last_contact_s[pair] = now_s
        self._last_contact_s = {
            pair: last_s
            for pair, last_s in self._last_contact_s.items()
            if now_s - last_s <= _CONTACT_GAP_S
        }
        return events

    def _order_unmasked_first(self, pair: tuple[int, int]) -> tuple[int, int]:
        """Return the pair with the person without a mask first."""
        first, second = pair
        is_unmasked = [self._stable_label(person) is Label.NO_MASK for person in pair]
        return (second, first) if is_unmasked == [False, True] else (first, second)

    def _remove_people(self, people: Collection[int]) -> tuple[Event, ...]:
        """Remove people and return their `left` events, at the last detection."""
        removed_states = self._label_history.forget(people)
        events = tuple(
            replace(
                self._make_event("left", person, label_state.last_detected_s),
                for_s=label_state.last_detected_s - label_state.entered_s,
            )
            for person, label_state in removed_states.items()
        )
        for person in removed_states:
            self._stable_states.pop(person, None)
        return events

    def _stable_label(self, person: int) -> Label:
        label_state = self._stable_states.get(person)
        return Label.UNKNOWN if label_state is None else label_state.label

    def _make_event(self, kind: str, person: int, time_s: float) -> Event:
        """Return an event of a person with their stable label."""
        label_state = self._stable_states.get(person)
        return Event(
            kind,
            self._stream_info.to_utc(time_s),
            self._stream_info.camera,
            self._stream_info.session,
            person,
            label=self._stable_label(person),
            confidence=0.0 if label_state is None else label_state.confidence,
        )
