"""Scenes in, events out: what happened to each person of a stream."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from maskdet.events.event import Event
from maskdet.events.holding import Held, Holding, person_ids
from maskdet.events.origin import Origin
from maskdet.types import UNTRACKED, Label, Scene

HOLD_S = 1.0
"""A label that was seen for so long without a break is a verdict, in seconds."""

_APART_S = 5.0  # Two people who were apart for less are still in the same contact.


class Happenings:
    """What happens to the people of one stream, told once each."""

    def __init__(self, origin: Origin, *, hold_s: float = HOLD_S) -> None:
        """Start with nobody there.

        Args:
            origin: names the stream and says when it began.
            hold_s: how long a label must stand before it counts, in seconds.
        """
        self._origin = origin
        self._hold_s = hold_s
        self._holding = Holding()
        self._verdicts: dict[int, Held] = {}
        self._contacts: dict[tuple[int, int], float] = {}

    def update(self, scene: Scene) -> tuple[Event, ...]:
        """Return what happened since the scene before.

        Args:
            scene: the next one, with track ids; rows nobody tracks make no events.
        """
        before = set(self._holding.everybody())
        found = self._holding.update(scene, scene.min_confidence)
        events: list[Event] = []
        for person, held in found.items():
            if person not in before:
                events.append(self._event("entered", person, scene.time_s))
            events += self._verdict(person, held, scene.time_s)
        events += self._close(scene)
        gone = self._holding.gone(scene.time_s)
        return (*events, *self._left((*scene.removed_ids, *gone)))

    def end(self) -> tuple[Event, ...]:
        """Return that everybody left, because the stream ended."""
        return self._left(self._holding.everybody())

    def _verdict(self, person: int, held: Held, time_s: float) -> list[Event]:
        """Return that a label has stood long enough to be one, or to be another."""
        if held.label is Label.UNKNOWN or held.for_s < self._hold_s:
            return []
        before = self._label(person)
        self._verdicts[person] = held
        if before is held.label:
            return []
        kind = "verdict" if before is Label.UNKNOWN else "changed"
        event = self._event(kind, person, time_s)
        changed_from = None if before is Label.UNKNOWN else before
        return [replace(event, before=changed_from, for_s=held.for_s)]

    def _close(self, scene: Scene) -> list[Event]:
        """Return who is too close to whom for too long, once a contact."""
        events: list[Event] = []
        now_s, ids = scene.time_s, person_ids(scene)
        for near in scene.pairs:
            first, second = sorted((ids[near.first], ids[near.second]))
            pair = (first, second)
            if UNTRACKED in pair:
                continue
            if near.exceeds_limit and pair not in self._contacts:
                person, other = self._barer_first(pair)
                event = self._event("close", person, now_s)
                events.append(
                    replace(
                        event,
                        other=other,
                        distance=near.distance,
                        unit=near.unit,
                        for_s=near.contact_s,
                    )
                )
            if near.exceeds_limit or (near.in_contact and pair in self._contacts):
                self._contacts[pair] = now_s
        self._contacts = {
            pair: last_s
            for pair, last_s in self._contacts.items()
            if now_s - last_s <= _APART_S
        }
        return events

    def _barer_first(self, pair: tuple[int, int]) -> tuple[int, int]:
        """Return the pair with somebody without a mask first: there it matters."""
        first, second = pair
        bare = [self._label(person) is Label.NO_MASK for person in pair]
        return (second, first) if bare == [False, True] else (first, second)

    def _left(self, people: Collection[int]) -> tuple[Event, ...]:
        """Forget people; the event tells when each was last seen."""
        known = self._holding.forget(people)
        events = tuple(
            replace(
                self._event("left", person, held.seen_s),
                for_s=held.seen_s - held.came_s,
            )
            for person, held in known.items()
        )
        for person in known:
            self._verdicts.pop(person, None)
        return events

    def _label(self, person: int) -> Label:
        held = self._verdicts.get(person)
        return Label.UNKNOWN if held is None else held.label

    def _event(self, kind: str, person: int, time_s: float) -> Event:
        """Return an event of a person with the verdict on them so far."""
        verdict = self._verdicts.get(person)
        return Event(
            kind,
            self._origin.at(time_s),
            self._origin.camera,
            self._origin.session,
            person,
            label=self._label(person),
            confidence=0.0 if verdict is None else verdict.confidence,
        )
