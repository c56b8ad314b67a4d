"""Alert rules, and `AlertDetector`, which applies them to the scenes of a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Final, TypeAlias

from annotated_types import Interval

from maskdet.events.event import Event, StreamInfo
from maskdet.people import PersonLog, PersonState
from maskdet.settings import Fraction
from maskdet.types import UNTRACKED, Label
from maskdet.validation import check_fields

RULE_KINDS: Final[Mapping[str, str]] = {
    "no_mask": "No mask",
    "incorrect": "Mask worn incorrectly",
    "close": "Too close without a mask",
    "crowd": "Several people without a mask",
}
"""Kinds of rules: the key in files, and the title shown to users."""

_CROWD_GAP_S: Final = 0.5
"""A crowd may be too small for so long without ending, in seconds: one face with a low
confidence must not end it."""


@dataclass(frozen=True)
class AlertRule:
    """Condition of an alert.

    Attributes:
        kind: a name in `RULE_KINDS`.
        for_s: how long the state must last, in seconds.
        min_confidence: confidence threshold of labels, in [0, 1].
        cooldown_s: minimum time between two alerts of a person, in seconds.
        more_than: for `crowd`: alert if more people than this wear no mask.

    Raises:
        ValueError: a value is out of its range; the message names field and value.
    """

    kind: str
    for_s: Annotated[float, Interval(ge=0, le=3600)] = 3.0
    min_confidence: Fraction = 0.8
    cooldown_s: Annotated[float, Interval(ge=0, le=86_400)] = 300.0
    more_than: Annotated[int, Interval(ge=0, le=1000)] = 3

    def __post_init__(self) -> None:
        """Reject unknown kinds and values out of range."""
        if self.kind not in RULE_KINDS:
            kinds = ", ".join(RULE_KINDS)
            raise ValueError(f"kind must be one of {kinds}, not {self.kind!r}")
        check_fields(self)


class AlertDetector:
    """Applies alert rules to one stream; a `maskdet.events.SceneObserver`.

    A person raises the next alert of a rule only after the state has ended, has begun
    again, and the cool-down is over.

    Attributes:
        stream_info: name and start of the stream.
    """

    def __init__(
        self, stream_info: StreamInfo, rules: Iterable[AlertRule] = ()
    ) -> None:
        """Start without people.

        Args:
            stream_info: name and start of the stream.
            rules: alert rules; see `set_rules`.
        """
        self.stream_info = stream_info
        self._rule_states: list[_RuleState] = []
        self.set_rules(rules)

    def set_rules(self, rules: Iterable[AlertRule]) -> None:
        """Replace the rules.

        A rule of a kind that was already active keeps its state, also if its values
        change: moving a slider does not repeat alerts.
        """
        new_rules = tuple(dict.fromkeys(rules))
        states = {state.rule: state for state in self._rule_states}
        changed = {rule.kind: states[rule] for rule in states if rule not in new_rules}
        self._rule_states = []
        for rule in new_rules:
            state = states.get(rule) or changed.pop(rule.kind, None) or _RuleState(rule)
            state.rule = rule
            self._rule_states.append(state)

    def observe(self, people: PersonLog) -> tuple[Event, ...]:
        """Return the alerts of the last scene as events; none at the end."""
        if people.scene is None:
            return ()
        now_s = people.scene.time_s
        make_alert = partial(
            Event,
            "alert",
            self.stream_info.to_utc(now_s),
            self.stream_info.camera,
            self.stream_info.session,
        )
        return tuple(
            alert
            for state in self._rule_states
            for alert in state.update(people, now_s, make_alert)
        )


_MakeAlert: TypeAlias = Callable[..., Event]
"""Makes an alert of the current scene from the fields that differ."""


class _RuleState:
    """A rule, whose values may change, and its past alerts."""

    def __init__(self, rule: AlertRule) -> None:
        self.rule = rule
        self._last_alert_s: dict[int, float] = {}
        self._rearmed_ids: set[int] = set()
        self._crowd_since_s: float | None = None
        self._crowd_last_seen_s = -math.inf

    def update(
        self, people: PersonLog, now_s: float, make_alert: _MakeAlert
    ) -> list[Event]:
        """Return the alerts of the rule; `make_alert` adds their common fields."""
        checks = {"crowd": self._check_crowd, "close": self._check_contacts}
        check = checks.get(self.rule.kind, self._check_labels)
        alerts = check(people, now_s, partial(make_alert, rule=self.rule.kind))
        for person in people.left:
            self._last_alert_s.pop(person.track_id, None)
            self._rearmed_ids.discard(person.track_id)
        return alerts

    def _check_labels(
        self, people: PersonLog, now_s: float, make_alert: _MakeAlert
    ) -> list[Event]:
        """Return an alert for each person who had the label of the rule long enough."""
        is_no_mask = self.rule.kind == "no_mask"
        alert_label = Label.NO_MASK if is_no_mask else Label.INCORRECT
        alerts: list[Event] = []
        for person in people.present:
            label = self._get_stable_label(person)
            if label is Label.UNKNOWN:
                continue
            if label is not alert_label:
                self._rearmed_ids.add(person.track_id)
            elif self._should_alert(person.track_id, now_s):
                alerts.append(self._make_person_alert(make_alert, person))
        return alerts

    def _check_contacts(
        self, people: PersonLog, now_s: float, make_alert: _MakeAlert
    ) -> list[Event]:
        """Return an alert for each long enough contact with an unmasked person."""
        alerts: list[Event] = []
        ids_in_contact: set[int] = set()
        for first, second, pair in people.contact_pairs:
            ids_in_contact.update((first.track_id, second.track_id))
            unmasked = [
                person
                for person in (first, second)
                if self._get_stable_label(person) is Label.NO_MASK
            ]
            if pair.contact_s < self.rule.for_s or not unmasked:
                continue
            # Call it for both people (no short circuit): a pair raises one alert.
            if any([self._should_alert(person.track_id, now_s) for person in unmasked]):
                person = unmasked[0]
                other = second if person is first else first
                alert = replace(
                    self._make_person_alert(make_alert, person),
                    other=other.track_id,
                    distance=pair.distance,
                    unit=pair.unit,
                    for_s=pair.contact_s,
                )
                alerts.append(alert)
        present_ids = {person.track_id for person in people.present}
        self._rearmed_ids |= present_ids - ids_in_contact
        return alerts

    def _check_crowd(
        self, people: PersonLog, now_s: float, make_alert: _MakeAlert
    ) -> list[Event]:
        """Return an alert if too many people are unmasked for long enough."""
        rule = self.rule
        unmasked = [
            person
            for person in people.present
            if person.get_label(rule.min_confidence) is Label.NO_MASK
        ]
        if len(unmasked) <= rule.more_than:
            if now_s - self._crowd_last_seen_s > _CROWD_GAP_S:
                self._crowd_since_s = None
                self._rearmed_ids.add(UNTRACKED)
            return []
        if self._crowd_since_s is None:
            self._crowd_since_s = now_s
        self._crowd_last_seen_s = now_s
        for_s = now_s - self._crowd_since_s
        if for_s < rule.for_s or not self._should_alert(UNTRACKED, now_s):
            return []
        return [
            make_alert(
                label=Label.NO_MASK,
                confidence=min(person.confidence for person in unmasked),
                for_s=for_s,
                count=len(unmasked),
            )
        ]

    def _should_alert(self, person: int, now_s: float) -> bool:
        """Return whether a person may raise an alert now, and record it if so."""
        last_alert_s = self._last_alert_s.get(person)
        if last_alert_s is not None:
            is_cooled_down = now_s - last_alert_s >= self.rule.cooldown_s
            if person not in self._rearmed_ids or not is_cooled_down:
                return False
        self._last_alert_s[person] = now_s
        self._rearmed_ids.discard(person)
        return True

    def _get_stable_label(self, person: PersonState) -> Label:
        """Return the label of a person; `UNKNOWN` if it is not old enough."""
        stable_s = person.get_stable_s(self.rule.min_confidence)
        is_stable = stable_s >= self.rule.for_s
        return (
            person.get_label(self.rule.min_confidence) if is_stable else Label.UNKNOWN
        )

    def _make_person_alert(self, make_alert: _MakeAlert, person: PersonState) -> Event:
        return make_alert(
            person=person.track_id,
            label=person.get_label(self.rule.min_confidence),
            confidence=person.confidence,
            for_s=person.get_stable_s(self.rule.min_confidence),
        )
