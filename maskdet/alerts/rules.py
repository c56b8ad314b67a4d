"""The rules of alerts: what must stand for how long before somebody is told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from maskdet.events.detection import LabelHistory, LabelState, list_track_ids
from maskdet.events.event import Event, StreamInfo
from maskdet.types import UNTRACKED, Label, Scene

RULE_KINDS: Final[Mapping[str, str]] = {
    "no_mask": "No mask",
    "incorrect": "Mask worn incorrectly",
    "close": "Too close without a mask",
    "crowd": "Several people without a mask",
}
"""The kinds of rules: the name in files, and the name shown to people."""

_CROWD_GAP_S: Final = 0.5
"""A crowd may be too small for so long and goes on: one unsure face is no news."""

_RANGES: Final = (
    ("for_s", 0.0, 3600.0),
    ("min_confidence", 0.0, 1.0),
    ("cooldown_s", 0.0, 86_400.0),
    ("more_than", 0, 1000),
)


@dataclass(frozen=True)
class AlertRule:
    """When somebody is told.

    Attributes:
        kind: a name in `RULE_KINDS`.
        for_s: it must have stood for so long, in seconds.
        min_confidence: views less certain do not count, in [0, 1].
        cooldown_s: the same person raises no other alert of this rule for so long.
        more_than: for `crowd`: so many without a mask are still no alert.

    Raises:
        ValueError: a value is out of its range; the message names field and value.
    """

    kind: str
    for_s: float = 3.0
    min_confidence: float = 0.8
    cooldown_s: float = 300.0
    more_than: int = 3

    def __post_init__(self) -> None:
        """Refuse unknown kinds and values out of range."""
        if self.kind not in RULE_KINDS:
            kinds = ", ".join(RULE_KINDS)
            raise ValueError(f"kind must be one of {kinds}, not {self.kind!r}")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"{name} must lie from {low} to {high}, not {value}")


class AlertDetector:
    """What the rules say of one stream: each person once, and not again too soon.

    A person who raised an alert raises the next one of the same rule only when what
    it was about has ended meanwhile, came again, and the cool-down is over.
    """

    def __init__(
        self, stream_info: StreamInfo, rules: Iterable[AlertRule] = ()
    ) -> None:
        """Start with nobody there.

        Args:
            stream_info: names the stream and says when it began.
            rules: what to look for; more under `set_rules`.
        """
        self._stream_info = stream_info
        self._rule_states: dict[AlertRule, _RuleState] = {}
        self.set_rules(rules)

    def set_rules(self, rules: Iterable[AlertRule]) -> None:
        """Go by these rules from now on.

        Those that stay remember who was told of, also with other numbers: who moves a
        slider is not told of everybody once more.
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
        """Return the alerts that the next scene raises, each an event.

        Args:
            scene: the next one, with track ids; rows nobody tracks raise none.
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
    """What one rule has seen, and whom it told of; the rule's numbers may change."""

    def __init__(self) -> None:
        self._label_history = LabelHistory()
        self._last_alert_s: dict[int, float] = {}
        self._rearmed_ids: set[int] = set()
        self._crowd_since_s: float | None = None
        self._crowd_last_seen_s = -math.inf

    def update(self, rule: AlertRule, scene: Scene, template: Event) -> list[Event]:
        """Return the alerts by `rule`; `template` has what all of them share."""
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
        """Return who wears none, or wears it wrongly, for long enough."""
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
        """Return pairs that are near for long enough, one of them without a mask."""
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
            # Both are told of at once: the second of a pair is no other alert.
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
        """Return that too many wear none, for long enough."""
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
        """Return whether a person may raise an alert now, and note that they did."""
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
