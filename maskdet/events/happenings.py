"""Scenes in, events out: what happened to each person of a stream."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from maskdet.events.event import Event
from maskdet.events.holding import LabelHistory, LabelState, list_track_ids
from maskdet.events.origin import StreamInfo
from maskdet.types import UNTRACKED, Label, Scene

MIN_LABEL_DURATION_S = 1.0
"""A label that was seen for so long without a break is a verdict, in seconds."""

_CONTACT_GAP_S = (
    5.0  # Two people who were apart for less are still in the same contact.
)


class EventDetector:
    """What happens to the people of one stream, told once each."""

    def __init__(
        self,
        stream_info: StreamInfo,
        *,
        min_label_duration_s: float = MIN_LABEL_DURATION_S,
    ) -> None:
        """Start with nobody there.

        Args:
            stream_info: names the stream and says when it began.
            min_label_duration_s: how long a label must stand before it counts, in
                seconds.
        """
        self._stream_info = stream_info
        self._min_label_duration_s = min_label_duration_s
        self._label_history = LabelHistory()
        self._stable_states: dict[int, LabelState] = {}
        self._last_contact_s: dict[tuple[int, int], float] = {}

    def update(self, scene: Scene) -> tuple[Event, ...]:
        """Return what happened since the scene before.

        Args:
            scene: the next one, with track ids; rows nobody tracks make no events.
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
        """Return that everybody left, because the stream ended."""
        return self._remove_people(self._label_history.track_ids())

    def _detect_label_events(
        self, person: int, label_state: LabelState, time_s: float
    ) -> list[Event]:
        """Return that a label has stood long enough to be one, or to be another."""
        if (
            label_state.label is Label.UNKNOWN
            or label_state.stable_s < self._min_label_duration_s
        ):
            return []
        previous_label = self._stable_label(person)
        self._stable_states[person] = label_state
        if previous_label is label_state.label:
            return []
        kind = "verdict" if previous_label is Label.UNKNOWN else "changed"
        event = self._make_event(kind, person, time_s)
        changed_from = None if previous_label is Label.UNKNOWN else previous_label
        return [replace(event, before=changed_from, for_s=label_state.stable_s)]

    def _detect_contact_events(self, scene: Scene) -> list[Event]:
        """Return who is too close to whom for too long, once a contact."""
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
        """Return the pair with somebody without a mask first: there it matters."""
        first, second = pair
        is_unmasked = [self._stable_label(person) is Label.NO_MASK for person in pair]
        return (second, first) if is_unmasked == [False, True] else (first, second)

    def _remove_people(self, people: Collection[int]) -> tuple[Event, ...]:
        """Forget people; the event tells when each was last seen."""
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
        """Return an event of a person with the verdict on them so far."""
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
