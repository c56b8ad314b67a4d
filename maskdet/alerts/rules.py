"""The rules of alerts: what must stand for how long before somebody is told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from maskdet.events.event import Event
from maskdet.events.holding import Held, Holding, person_ids
from maskdet.events.origin import Origin
from maskdet.types import UNTRACKED, Label, Scene

RULES: Final[Mapping[str, str]] = {
    "no_mask": "No mask",
    "incorrect": "Mask worn incorrectly",
    "close": "Too close without a mask",
    "crowd": "Several people without a mask",
}
"""The kinds of rules: the name in files, and the name shown to people."""

_GAP_S: Final = 0.5
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
        kind: a name in `RULES`.
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
        if self.kind not in RULES:
            known = ", ".join(RULES)
            raise ValueError(f"kind must be one of {known}, not {self.kind!r}")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"{name} must lie from {low} to {high}, not {value}")


class Alerts:
    """What the rules say of one stream: each person once, and not again too soon.

    A person who raised an alert raises the next one of the same rule only when what
    it was about has ended meanwhile, came again, and the cool-down is over.
    """

    def __init__(self, origin: Origin, rules: Iterable[AlertRule] = ()) -> None:
        """Start with nobody there.

        Args:
            origin: names the stream and says when it began.
            rules: what to look for; more under `use`.
        """
        self._origin = origin
        self._watches: dict[AlertRule, _RuleWatch] = {}
        self.use(rules)

    def use(self, rules: Iterable[AlertRule]) -> None:
        """Go by these rules from now on.

        Those that stay remember who was told of, also with other numbers: who moves a
        slider is not told of everybody once more.
        """
        wanted = tuple(dict.fromkeys(rules))
        kept = {rule: self._watches[rule] for rule in wanted if rule in self._watches}
        changed = {
            rule.kind: watch
            for rule, watch in self._watches.items()
            if rule not in wanted
        }
        for rule in wanted:
            if rule not in kept:
                kept[rule] = changed.pop(rule.kind, _RuleWatch())
        self._watches = {rule: kept[rule] for rule in wanted}

    def update(self, scene: Scene) -> tuple[Event, ...]:
        """Return the alerts that the next scene raises, each an event.

        Args:
            scene: the next one, with track ids; rows nobody tracks raise none.
        """
        blank = Event(
            "alert",
            self._origin.at(scene.time_s),
            self._origin.camera,
            self._origin.session,
        )
        return tuple(
            alert
            for rule, watch in self._watches.items()
            for alert in watch.update(rule, scene, blank)
        )


class _RuleWatch:
    """What one rule has seen, and whom it told of; the rule's numbers may change."""

    def __init__(self) -> None:
        self._holding = Holding()
        self._told_s: dict[int, float] = {}
        self._ended: set[int] = set()
        self._crowd_since_s: float | None = None
        self._crowd_seen_s = -math.inf

    def update(self, rule: AlertRule, scene: Scene, blank: Event) -> list[Event]:
        """Return the alerts by `rule`; `blank` has what all of them share."""
        found = self._holding.update(scene, rule.min_confidence)
        blank = replace(blank, rule=rule.kind)
        if rule.kind == "crowd":
            alerts = self._crowd(rule, scene, found, blank)
        elif rule.kind == "close":
            alerts = self._close(rule, scene, found, blank)
        else:
            alerts = self._worn(rule, scene, found, blank)
        gone = (*scene.removed_ids, *self._holding.gone(scene.time_s))
        for person in self._holding.forget(gone):
            self._told_s.pop(person, None)
            self._ended.discard(person)
        return alerts

    def _worn(
        self, rule: AlertRule, scene: Scene, found: dict[int, Held], blank: Event
    ) -> list[Event]:
        """Return who wears none, or wears it wrongly, for long enough."""
        wanted = Label.NO_MASK if rule.kind == "no_mask" else Label.INCORRECT
        alerts: list[Event] = []
        for person, held in found.items():
            if held.label is Label.UNKNOWN or held.for_s < rule.for_s:
                continue
            if held.label is not wanted:
                self._ended.add(person)
            elif self._may_tell(rule, person, scene.time_s):
                alerts.append(_about(blank, person, held))
        return alerts

    def _close(
        self, rule: AlertRule, scene: Scene, found: dict[int, Held], blank: Event
    ) -> list[Event]:
        """Return pairs that are near for long enough, one of them without a mask."""
        ids, alerts, near_people = person_ids(scene), [], set()
        for near in scene.pairs:
            pair = [ids[near.first], ids[near.second]]
            if not near.in_contact or UNTRACKED in pair:
                continue
            near_people.update(pair)
            bare = [person for person in pair if _bare(rule, found[person])]
            if near.contact_s < rule.for_s or not bare:
                continue
            # Both are told of at once: the second of a pair is no other alert.
            if any([self._may_tell(rule, person, scene.time_s) for person in bare]):
                person = bare[0]
                other = pair[1] if person == pair[0] else pair[0]
                alerts.append(
                    replace(
                        _about(blank, person, found[person]),
                        other=other,
                        distance=near.distance,
                        unit=near.unit,
                        for_s=near.contact_s,
                    )
                )
        self._ended |= found.keys() - near_people
        return alerts

    def _crowd(
        self, rule: AlertRule, scene: Scene, found: dict[int, Held], blank: Event
    ) -> list[Event]:
        """Return that too many wear none, for long enough."""
        bare = [held for held in found.values() if held.label is Label.NO_MASK]
        if len(bare) <= rule.more_than:
            if scene.time_s - self._crowd_seen_s > _GAP_S:
                self._crowd_since_s = None
                self._ended.add(UNTRACKED)
            return []
        if self._crowd_since_s is None:
            self._crowd_since_s = scene.time_s
        self._crowd_seen_s = scene.time_s
        for_s = scene.time_s - self._crowd_since_s
        if for_s < rule.for_s or not self._may_tell(rule, UNTRACKED, scene.time_s):
            return []
        least = min(held.confidence for held in bare)
        return [
            replace(
                blank,
                label=Label.NO_MASK,
                confidence=least,
                for_s=for_s,
                count=len(bare),
            )
        ]

    def _may_tell(self, rule: AlertRule, person: int, now_s: float) -> bool:
        """Return whether a person may raise an alert now, and note that they did."""
        told_s = self._told_s.get(person)
        if told_s is not None:
            over = now_s - told_s >= rule.cooldown_s
            if person not in self._ended or not over:
                return False
        self._told_s[person] = now_s
        self._ended.discard(person)
        return True


def _bare(rule: AlertRule, held: Held) -> bool:
    return held.label is Label.NO_MASK and held.for_s >= rule.for_s


def _about(blank: Event, person: int, held: Held) -> Event:
    return replace(
        blank,
        person=person,
        label=held.label,
        confidence=held.confidence,
        for_s=held.for_s,
    )
