"""Alert rules on sequences of scenes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from maskdet.alerts import AlertDetector, AlertRule
from maskdet.events import Event, StreamInfo
from maskdet.types import UNTRACKED, Label
from tests.events.scenes import ObservedStream, make_pair, make_tracked_scene

MASK, NO_MASK, INCORRECT = Label.MASK, Label.NO_MASK, Label.INCORRECT
START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
FPS = 10


def alerts(*rules: AlertRule) -> ObservedStream:
    return ObservedStream(AlertDetector(StreamInfo("Door", START, "run"), rules))


def second(event: Event) -> float:
    return (event.at - START).total_seconds()


def play(
    detector: ObservedStream,
    until_s: float,
    people_at,
    *,
    from_s: float = 0.0,
    pairs_at=None,
):
    """Show people who depend on the time at 10 frames per second; return the alerts."""
    raised: list[Event] = []
    for number in range(round((until_s - from_s) * FPS)):
        time_s = from_s + number / FPS
        pairs = pairs_at(time_s) if pairs_at else []
        raised += detector.update(
            make_tracked_scene(time_s, people_at(time_s), person_pairs=pairs)
        )
    return raised


@pytest.mark.parametrize(
    ("kind", "label"), [("no_mask", NO_MASK), ("incorrect", INCORRECT)]
)
def test_each_person_alerts_once_and_only_after_a_while(kind, label) -> None:
    rule = AlertRule(kind, for_s=2.0)
    people = [(1, label, 0.9), (2, MASK, 0.95), (3, label, 0.85)]
    raised = play(alerts(rule), 20, lambda s: people[: 2 if s < 5 else 3])
    assert [(event.person, event.label) for event in raised] == [(1, label), (3, label)]
    assert [round(second(event), 1) for event in raised] == [2.0, 7.0]
    assert {(event.kind, event.rule) for event in raised} == {("alert", kind)}
    assert raised[0].confidence == pytest.approx(0.9)
    assert raised[0].for_s == pytest.approx(2.0)


def test_low_confidence_and_flicker_raise_no_alert() -> None:
    rule = AlertRule("no_mask", for_s=2.0, min_confidence=0.8)
    assert play(alerts(rule), 20, lambda s: [(1, NO_MASK, 0.79)]) == []
    flicker = play(
        alerts(rule), 20, lambda s: [(1, MASK if s % 2 > 1.8 else NO_MASK, 0.95)]
    )
    assert flicker == []


def test_the_same_person_alerts_again_after_a_mask_and_the_cool_down() -> None:
    rule = AlertRule("no_mask", for_s=1.0, cooldown_s=30.0)

    def mostly_unmasked(time_s: float):
        masked = 5 <= time_s < 10 or 20 <= time_s < 25
        return [(1, MASK if masked else NO_MASK, 0.95)]

    raised = play(alerts(rule), 60, mostly_unmasked)
    # Unmasked again at 11 s, within the cool-down, which is over at 31 s.
    assert [round(second(event)) for event in raised] == [1, 31]
    never_masked = play(alerts(rule), 100, lambda s: [(1, NO_MASK, 0.95)])
    assert [round(second(event)) for event in never_masked] == [1]


def test_a_person_who_left_is_forgotten() -> None:
    detector = alerts(AlertRule("no_mask", for_s=1.0))
    assert len(play(detector, 3, lambda s: [(1, NO_MASK, 0.95)])) == 1
    assert detector.update(make_tracked_scene(6.0, removed_ids=(1,))) == ()
    (state,) = detector.observer._rule_states
    assert (state._last_alert_s, state._rearmed_ids) == ({}, set())


def test_time_without_a_detection_does_not_count_for_a_rule() -> None:
    detector = alerts(AlertRule("no_mask", for_s=2.0))
    assert play(detector, 1.6, lambda s: [(1, NO_MASK, 0.95)]) == []
    for number in range(20):
        time_s = 1.6 + number / FPS
        turned = make_tracked_scene(
            time_s, [(1, NO_MASK, 0.95)], unseen_s=[time_s - 1.5]
        )
        assert detector.update(turned) == ()
    raised = play(detector, 6, lambda s: [(1, NO_MASK, 0.95)], from_s=3.6)
    assert [second(event) for event in raised] == pytest.approx([4.1], abs=0.11)


def test_the_time_of_an_absence_raises_no_alert() -> None:
    detector = alerts(AlertRule("no_mask", for_s=2.0))
    unmasked = [(1, NO_MASK, 0.95)]
    raised = play(detector, 6, lambda s: unmasked if s < 0.05 or s > 2.95 else [])
    # One frame at 0 s, then stable from 3 s on.
    assert [second(event) for event in raised] == pytest.approx([5.0], abs=0.11)
    assert raised[0].for_s == pytest.approx(2.0, abs=0.11)
    others = [(2, MASK, 0.95)]
    detector = alerts(AlertRule("no_mask", for_s=2.0))
    raised = play(detector, 4, lambda s: unmasked if s < 0.05 or s > 2.95 else others)
    assert raised == []


def test_a_contact_alerts_once_for_the_unmasked_person() -> None:
    rule = AlertRule("close", for_s=2.0)
    people = [(1, MASK, 0.95), (2, NO_MASK, 0.95)]

    def contact_pairs(time_s: float):
        return [make_pair(1.1, time_s - 3, in_contact=True)] if time_s >= 3 else []

    raised = play(alerts(rule), 20, lambda s: people, pairs_at=contact_pairs)
    assert [(event.person, event.other) for event in raised] == [(2, 1)]
    assert second(raised[0]) == pytest.approx(5.0)
    assert (raised[0].distance, raised[0].unit, raised[0].rule) == (1.1, "m", "close")
    both = [(1, NO_MASK, 0.95), (2, NO_MASK, 0.95)]
    assert len(play(alerts(rule), 20, lambda s: both, pairs_at=contact_pairs)) == 1
    masked = [(1, MASK, 0.95), (2, INCORRECT, 0.95)]
    assert play(alerts(rule), 20, lambda s: masked, pairs_at=contact_pairs) == []
    apart = play(
        alerts(rule),
        20,
        lambda s: people,
        pairs_at=lambda s: [make_pair(3, s, in_contact=False)],
    )
    assert apart == []


def test_a_crowd_without_masks_raises_one_alert() -> None:
    rule = AlertRule("crowd", for_s=2.0, more_than=2, cooldown_s=10.0)

    def crowd(time_s: float):
        n_unmasked = 3 if 5 <= time_s < 15 or time_s >= 20 else 2
        labels = [NO_MASK] * n_unmasked + [MASK] * 2
        return [(number, label, 0.9) for number, label in enumerate(labels)]

    raised = play(alerts(rule), 40, crowd)
    assert [round(second(event)) for event in raised] == [7, 22]
    assert {(event.count, event.person) for event in raised} == {(3, UNTRACKED)}


@pytest.mark.parametrize(("gap_s", "raised_s"), [(0.1, [2]), (0.4, [2]), (0.8, [4])])
def test_a_short_drop_in_confidence_does_not_end_a_crowd(gap_s, raised_s) -> None:
    rule = AlertRule("crowd", for_s=2.0, more_than=2)

    def crowd(time_s: float):
        unsure = 1.2 - 1e-6 < time_s < 1.2 + gap_s - 1e-6
        confidences = [0.9, 0.9, 0.5 if unsure else 0.9]
        return [(number, NO_MASK, sure) for number, sure in enumerate(confidences)]

    raised = play(alerts(rule), 10, crowd)
    assert [round(second(event)) for event in raised] == raised_s


def test_untracked_faces_raise_no_alert() -> None:
    rules = [
        AlertRule(kind, for_s=0.0, more_than=0)
        for kind in ("no_mask", "crowd", "close")
    ]
    people = [(UNTRACKED, NO_MASK, 0.99), (UNTRACKED, NO_MASK, 0.99)]
    assert (
        play(alerts(*rules), 5, lambda s: people, pairs_at=lambda s: [make_pair(1, s)])
        == []
    )


@pytest.mark.parametrize(
    "changed", [{"for_s": 2.0}, {"min_confidence": 0.7}, {"cooldown_s": 90.0}]
)
def test_changed_values_of_a_rule_repeat_no_alert(changed) -> None:
    rule = AlertRule("no_mask", for_s=1.0)
    detector = alerts(rule)
    unmasked = [(1, NO_MASK, 0.95)]
    assert len(play(detector, 3, lambda s: unmasked)) == 1
    detector.observer.set_rules([replace(rule, **changed)])
    raised = play(detector, 9, lambda s: [*unmasked, (2, NO_MASK, 0.95)], from_s=3)
    assert [event.person for event in raised] == [2]


def test_changed_values_of_a_rule_keep_the_duration() -> None:
    rule = AlertRule("no_mask", for_s=20.0)
    detector = alerts(rule)
    assert play(detector, 5, lambda s: [(1, NO_MASK, 0.95)]) == []
    detector.observer.set_rules([replace(rule, for_s=4.0)])
    raised = play(detector, 6, lambda s: [(1, NO_MASK, 0.95)], from_s=5)
    assert [second(event) for event in raised] == pytest.approx([5.0])


@pytest.mark.parametrize("min_confidence", [0.75, 0.85, 0.95])
def test_another_threshold_keeps_the_duration_of_confident_labels(
    min_confidence,
) -> None:
    """The label was above each threshold for 5, 3 and 1 s."""

    def grow_sure(time_s: float):
        return [(1, NO_MASK, 0.8 if time_s < 2 else 0.9 if time_s < 4 else 0.99)]

    detector = alerts(AlertRule("no_mask", for_s=60.0))
    assert play(detector, 5, grow_sure) == []
    rule = AlertRule("no_mask", for_s=0.5, min_confidence=min_confidence)
    detector.observer.set_rules([rule])
    (alert,) = play(detector, 5.1, grow_sure, from_s=5)
    expected_s = {0.75: 5.0, 0.85: 3.0, 0.95: 1.0}[min_confidence]
    assert alert.for_s == pytest.approx(expected_s)


def test_a_new_rule_counts_the_time_before_it() -> None:
    detector = alerts()
    assert play(detector, 5, lambda s: [(1, NO_MASK, 0.95)]) == []
    detector.observer.set_rules([AlertRule("no_mask", for_s=3.0)])
    raised = play(detector, 6, lambda s: [(1, NO_MASK, 0.95)], from_s=5)
    assert [second(event) for event in raised] == pytest.approx([5.0])


def test_two_rules_of_a_kind_are_independent() -> None:
    soon, late = AlertRule("no_mask", for_s=1.0), AlertRule("no_mask", for_s=4.0)
    detector = alerts(soon, late)
    unmasked = [(1, NO_MASK, 0.95)]
    assert [
        round(second(event)) for event in play(detector, 3, lambda s: unmasked)
    ] == [1]
    detector.observer.set_rules([replace(soon, cooldown_s=90.0), late])
    raised = play(detector, 9, lambda s: unmasked, from_s=3)
    assert [round(second(event)) for event in raised] == [4]


def test_a_changed_rule_keeps_the_state_of_the_others() -> None:
    no_mask_rule, incorrect_rule = (
        AlertRule("no_mask", for_s=1.0),
        AlertRule("incorrect", for_s=1.0),
    )
    detector = alerts(no_mask_rule)
    assert len(play(detector, 3, lambda s: [(1, NO_MASK, 0.95)])) == 1
    detector.observer.set_rules([no_mask_rule, incorrect_rule])
    assert play(detector, 6, lambda s: [(1, NO_MASK, 0.95)], from_s=3) == []
    detector.observer.set_rules([])
    assert play(detector, 9, lambda s: [(2, NO_MASK, 0.95)], from_s=6) == []


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"kind": "party"}, "kind must be one of no_mask, incorrect, close, crowd"),
        ({"kind": "no_mask", "for_s": -1.0}, "for_s must be a number from 0 to 3600"),
        (
            {"kind": "no_mask", "min_confidence": float("nan")},
            "min_confidence must be",
        ),
        ({"kind": "crowd", "more_than": -1}, "more_than must be a whole number from 0"),
    ],
)
def test_invalid_rules_are_rejected_with_the_field(values, line) -> None:
    with pytest.raises(ValueError, match=line):
        AlertRule(**values)
