"""Alert rules, and `AlertDetector`, which applies them to the scenes of a stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

from annotated_types import Interval

from maskdet.events.detection import LabelHistory, LabelState, list_track_ids
from maskdet.events.event import Event, StreamInfo
from maskdet.settings import Fraction
from maskdet.types import UNTRACKED, Label, Scene
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
    """Applies alert rules to one stream.

    A person raises the next alert of a rule only after the state has ended, has begun
    again, and the cool-down is over.
    """

    def __init__(
        self, stream_info: StreamInfo, rules: Iterable[AlertRule] = ()
    ) -> None:
        """Start without people.

        Args:
            stream_info: name and start of the stream.
            rules: alert rules; see `set_rules`.
        """
        self._stream_info = stream_info
        self._rule_states: dict[AlertRule, _RuleState] = {}
        self.set_rules(rules)

    def set_rules(self, rules: Iterable[AlertRule]) -> None:
        """Replace the rules.

        A rule of a kind that was already active keeps its state, also if its values
        change: moving a slider does not repeat alerts.
        """
        new_rules = tuple(dict.fromkeys(rules))
        unchanged = {
            rule: self._rule_states[rule]
            for rule in new_rules
            if rule in self._rule_states
        }
        changed = {
            rule.kind: state
            for rule, state in self._rule_states.items()
            if rule not in new_rules
        }
        for rule in new_rules:
            if rule not in unchanged:
                unchanged[rule] = changed.pop(rule.kind, _RuleState())
        self._rule_states = {rule: unchanged[rule] for rule in new_rules}

    def update(self, scene: Scene) -> tuple[Event, ...]:
        """Return the alerts of the next scene as events.

        Args:
            scene: next scene, with track IDs; untracked rows raise no alerts.
        """
        template = Event(
            "alert",
            self._stream_info.to_utc(scene.time_s),
            self._stream_info.camera,
            self._stream_info.session,
        )
        return tuple(
            alert
            for rule, state in self._rule_states.items()
            for alert in state.update(rule, scene, template)
        )


class _RuleState:
    """State of one rule, whose values may change: label history and past alerts."""

    def __init__(self) -> None:
        self._label_history = LabelHistory()
        self._last_alert_s: dict[int, float] = {}
        self._rearmed_ids: set[int] = set()
        self._crowd_since_s: float | None = None
        self._crowd_last_seen_s = -math.inf

    def update(self, rule: AlertRule, scene: Scene, template: Event) -> list[Event]:
        """Return the alerts of `rule`; `template` has their common fields."""
        label_states = self._label_history.update(scene, rule.min_confidence)
        template = replace(template, rule=rule.kind)
        if rule.kind == "crowd":
            alerts = self._check_crowd(rule, scene, label_states, template)
        elif rule.kind == "close":
            alerts = self._check_contacts(rule, scene, label_states, template)
        else:
            alerts = self._check_labels(rule, scene, label_states, template)
        removed_ids = (
            *scene.removed_ids,
            *self._label_history.find_expired(scene.time_s),
        )
        for person in self._label_history.forget(removed_ids):
            self._last_alert_s.pop(person, None)
            self._rearmed_ids.discard(person)
        return alerts

    def _check_labels(
        self,
        rule: AlertRule,
        scene: Scene,
        label_states: dict[int, LabelState],
        template: Event,
    ) -> list[Event]:
        """Return an alert for each person who had the label of the rule long enough."""
        alert_label = Label.NO_MASK if rule.kind == "no_mask" else Label.INCORRECT
        alerts: list[Event] = []
        for person, label_state in label_states.items():
            if label_state.label is Label.UNKNOWN or label_state.stable_s < rule.for_s:
                continue
            if label_state.label is not alert_label:
                self._rearmed_ids.add(person)
            elif self._should_alert(rule, person, scene.time_s):
                alerts.append(_make_person_alert(template, person, label_state))
        return alerts

    def _check_contacts(
        self,
        rule: AlertRule,
        scene: Scene,
        label_states: dict[int, LabelState],
        template: Event,
    ) -> list[Event]:
        """Return an alert for each long enough contact with an unmasked person."""
        ids, alerts, people_in_contact = list_track_ids(scene), [], set()
        for person_pair in scene.pairs:
            pair = [ids[person_pair.first], ids[person_pair.second]]
            if not person_pair.in_contact or UNTRACKED in pair:
                continue
            people_in_contact.update(pair)
            unmasked = [
                person for person in pair if _is_unmasked(rule, label_states[person])
            ]
            if person_pair.contact_s < rule.for_s or not unmasked:
                continue
            # Call it for both people (no short circuit): a pair raises one alert.
            if any(
                [self._should_alert(rule, person, scene.time_s) for person in unmasked]
            ):
                person = unmasked[0]
                other = pair[1] if person == pair[0] else pair[0]
                alerts.append(
                    replace(
                        _make_person_alert(template, person, label_states[person]),
                        other=other,
                        distance=person_pair.distance,
                        unit=person_pair.unit,
                        for_s=person_pair.contact_s,
                    )
                )
        self._rearmed_ids |= label_states.keys() - people_in_contact
        return alerts

    def _check_crowd(
        self,
        rule: AlertRule,
        scene: Scene,
        label_states: dict[int, LabelState],
        template: Event,
    ) -> list[Event]:
        """Return an alert if too many people are unmasked for long enough."""
        unmasked = [
            label_state
            for label_state in label_states.values()
            if label_state.label is Label.NO_MASK
        ]
        if len(unmasked) <= rule.more_than:
            if scene.time_s - self._crowd_last_seen_s > _CROWD_GAP_S:
                self._crowd_since_s = None
                self._rearmed_ids.add(UNTRACKED)
            return []
        if self._crowd_since_s is None:
            self._crowd_since_s = scene.time_s
        self._crowd_last_seen_s = scene.time_s
        for_s = scene.time_s - self._crowd_since_s
        if for_s < rule.for_s or not self._should_alert(rule, UNTRACKED, scene.time_s):
            return []
        min_confidence = min(label_state.confidence for label_state in unmasked)
        return [
            replace(
                template,
                label=Label.NO_MASK,
                confidence=min_confidence,
                for_s=for_s,
                count=len(unmasked),
            )
        ]

    def _should_alert(self, rule: AlertRule, person: int, now_s: float) -> bool:
        """Return whether a person may raise an alert now, and record it if so."""
        last_alert_s = self._last_alert_s.get(person)
        if last_alert_s is not None:
            is_cooled_down = now_s - last_alert_s >= rule.cooldown_s
            if person not in self._rearmed_ids or not is_cooled_down:
                return False
        self._last_alert_s[person] = now_s
        self._rearmed_ids.discard(person)
        return True


def _is_unmasked(rule: AlertRule, label_state: LabelState) -> bool:
    return label_state.label is Label.NO_MASK and label_state.stable_s >= rule.for_s


def _make_person_alert(template: Event, person: int, label_state: LabelState) -> Event:
    return replace(
        template,
        person=person,
        label=label_state.label,
        confidence=label_state.confidence,
        for_s=label_state.stable_s,
    )
