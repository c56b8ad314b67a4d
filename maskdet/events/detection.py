"""`SceneObserver`, which turns the scenes of a stream into events, and `EventDetector`.

An observer is called after each scene of a stream and at its end. It reads the
stream's `PersonLog` and returns events:

    stream.step(image, time_s)
    events = observe_safely(observer, stream.people)

`EventDetector`, `maskdet.alerts.AlertDetector` and `AlertMonitor`'s observers, which
record and send what these two return, are observers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Protocol

from maskdet.events.event import Event, StreamInfo
from maskdet.log_filter import RepeatedFailureFilter
from maskdet.people import ContactPair, PersonLog, PersonState
from maskdet.types import Label, Scene

logger = logging.getLogger(__name__)
logger.addFilter(RepeatedFailureFilter())


class SceneObserver(Protocol):
    """Receives every scene of one stream."""

    @property
    def stream_info(self) -> StreamInfo:
        """The name of the stream in events, and its start time."""
        ...

    def observe(self, people: PersonLog) -> Sequence[Event]:
        """Process the last scene, or the end of the stream, and return its events.

        Args:
            people: the log of the stream; its `scene` is None at the end.
        """
        ...


def observe_safely(observer: SceneObserver, people: PersonLog) -> Sequence[Event]:
    """Call an observer in the loop of a stream, which must not stop: log its errors."""
    try:
        return observer.observe(people)
    except Exception:
        # An observer need not be hashable, which a source must be.
        logger.exception("events of a scene were lost", extra={"source": people})
        return ()


class EventDetector:
    """Detects the events of one stream; each event is reported once.

    Attributes:
        stream_info: name and start of the stream.
    """

    def __init__(self, stream_info: StreamInfo) -> None:
        """Start at the beginning of a stream; see the attribute."""
        self.stream_info = stream_info

    def observe(self, people: PersonLog) -> tuple[Event, ...]:
        """Return the events of the last scene; at the end, everybody leaves.

        A person seen for less than `MIN_PRESENCE_S` neither enters nor leaves.
        """
        scene = people.scene
        events: list[Event] = []
        if scene is not None:
            for person in people.present:
                events += self._list_person_events(person, scene)
            events += [
                self._make_contact_event(contact_pair, scene.time_s)
                for contact_pair in people.new_contact_pairs
            ]
        events += [
            self._make_left_event(person)
            for person in people.left
            if person.is_confirmed
        ]
        return tuple(events)

    def _list_person_events(self, person: PersonState, scene: Scene) -> list[Event]:
        """Return an event if a person has entered, or their stable label changed."""
        events = []
        if person.has_entered:
            event = self._make_event("entered", person, person.entered_s)
            # The label may be known already; it has an event of its own.
            events.append(replace(event, label=Label.UNKNOWN, confidence=0.0))
        if person.previous_label is not None:
            is_first = person.previous_label is Label.UNKNOWN
            kind = "classified" if is_first else "changed"
            event = self._make_event(kind, person, scene.time_s)
            before = None if is_first else person.previous_label
            stable_s = person.get_stable_s(scene.min_confidence)
            events.append(replace(event, before=before, for_s=stable_s))
        return events

    def _make_contact_event(self, contact_pair: ContactPair, time_s: float) -> Event:
        """Return the event of a contact, with the person without a mask first."""
        first, second, pair = contact_pair
        person, other = sorted((first, second), key=attrgetter("track_id"))
        if person.label is not Label.NO_MASK and other.label is Label.NO_MASK:
            person, other = other, person
        return replace(
            self._make_event("close", person, time_s),
            other=other.track_id,
            distance=pair.distance,
            unit=pair.unit,
            for_s=pair.contact_s,
        )

    def _make_left_event(self, person: PersonState) -> Event:
        """Return the event of a person who left, at their last detection."""
        return replace(
            self._make_event("left", person, person.last_detected_s),
            for_s=person.last_detected_s - person.entered_s,
        )

    def _make_event(self, kind: str, person: PersonState, time_s: float) -> Event:
        """Return an event of a person with their stable label."""
        return Event(
            kind,
            self.stream_info.to_utc(time_s),
            self.stream_info.camera,
            self.stream_info.session,
            person.track_id,
            label=person.label,
            confidence=person.label_confidence,
        )
