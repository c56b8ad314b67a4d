"""Event detection in sequences of scenes."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from maskdet.alerts import AlertRule
from maskdet.alerts.rules import AlertDetector
from maskdet.events import (
    Event,
    EventDetector,
    StreamInfo,
    describe_event,
    observe_safely,
)
from maskdet.people import PersonLog
from maskdet.types import UNTRACKED, Faces, Label, Scene
from tests.events.scenes import ObservedStream, make_pair, make_tracked_scene

MASK, NO_MASK, UNKNOWN = Label.MASK, Label.NO_MASK, Label.UNKNOWN
START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


def make_detector() -> ObservedStream:
    return ObservedStream(EventDetector(StreamInfo("Door", START, "run")), PersonLog())


def kinds_and_people(events: tuple[Event, ...]) -> list[tuple[str, int]]:
    return [(event.kind, event.person) for event in events]


def second(event: Event) -> float:
    return (event.at - START).total_seconds()


def play(
    detector: ObservedStream, fps: float, until_s: float, label_at, from_s: float = 0.0
) -> list[Event]:
    """Show person 7 with a label that depends on the time, and return all events."""
    all_events: list[Event] = []
    for number in range(round((until_s - from_s) * fps) + 1):
        time_s = from_s + number / fps
        all_events += detector.update(
            make_tracked_scene(time_s, [(7, label_at(time_s), 0.9)])
        )
    return all_events


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_events_do_not_depend_on_the_frame_rate(fps) -> None:
    detector = make_detector()
    events = play(detector, fps, 6, lambda s: MASK if s < 3 else NO_MASK)
    events += detector.update(make_tracked_scene(9.0, removed_ids=(7,)))
    kinds = ["entered", "classified", "changed", "left"]
    assert [event.kind for event in events] == kinds
    assert {event.person for event in events} == {7}
    assert [event.label for event in events] == [UNKNOWN, MASK, NO_MASK, NO_MASK]
    assert events[2].before is MASK
    assert second(events[0]) == 0
    assert second(events[1]) == pytest.approx(1, abs=1 / fps)
    assert second(events[2]) == pytest.approx(4, abs=2 / fps)
    assert second(events[3]) == pytest.approx(6), "left when last seen"
    assert events[3].for_s == pytest.approx(6)
    assert {(event.camera, event.session) for event in events} == {("Door", "run")}


def test_a_flickering_label_raises_no_event() -> None:
    flickers = play(
        make_detector(), 10, 6, lambda s: NO_MASK if int(s * 10) % 5 == 0 else MASK
    )
    assert kinds_and_people(tuple(flickers)) == [("entered", 7)]
    detector = make_detector()
    events = play(detector, 10, 6, lambda s: NO_MASK if 3 < s < 3.6 else MASK)
    assert kinds_and_people(tuple(events)) == [("entered", 7), ("classified", 7)]


def test_a_label_below_the_threshold_raises_no_event() -> None:
    detector = make_detector()
    uncertain_events = [
        detector.update(make_tracked_scene(s, [(1, NO_MASK, 0.5)])) for s in range(5)
    ]
    assert kinds_and_people(sum(uncertain_events, ())) == [("entered", 1)]
    confident_events = [
        detector.update(make_tracked_scene(s, [(1, NO_MASK, 0.9)])) for s in range(5, 8)
    ]
    assert kinds_and_people(sum(confident_events, ())) == [("classified", 1)]
    again = [
        detector.update(make_tracked_scene(s, [(1, NO_MASK, 0.5)]))
        for s in range(8, 11)
    ]
    again += [
        detector.update(make_tracked_scene(s, [(1, NO_MASK, 0.9)]))
        for s in range(11, 14)
    ]
    assert sum(again, ()) == ()


def test_the_time_of_an_absence_does_not_count(monkeypatch) -> None:
    monkeypatch.setattr("maskdet.people.log.MIN_LABEL_DURATION_S", 2.0)
    detector = make_detector()
    detector.update(make_tracked_scene(0.0, [(1, MASK, 0.9)]))
    for time_s in (1.0, 2.0):
        assert detector.update(make_tracked_scene(time_s, [])) == ()
    back = [
        detector.update(make_tracked_scene(s, [(1, MASK, 0.9)]))
        for s in (3.0, 4.0, 5.0)
    ]
    assert [kinds_and_people(events) for events in back] == [
        [("entered", 1)],
        [],
        [("classified", 1)],
    ]
    assert second(back[0][0]) == 0, "the time of the first detection"
    assert back[2][0].for_s == pytest.approx(2.0)


def test_the_time_without_a_detection_does_not_count(monkeypatch) -> None:
    monkeypatch.setattr("maskdet.people.log.MIN_LABEL_DURATION_S", 2.0)
    detector = make_detector()
    detector.update(make_tracked_scene(0.0, [(1, MASK, 0.9)]))
    detector.update(make_tracked_scene(0.5, [(1, MASK, 0.9)]))
    for time_s in (1.0, 2.0, 3.0):
        turned = make_tracked_scene(time_s, [(1, MASK, 0.9)], unseen_s=[time_s - 0.5])
        assert detector.update(turned) == ()
    assert detector.update(make_tracked_scene(3.5, [(1, MASK, 0.9)])) == ()
    assert detector.update(make_tracked_scene(4.5, [(1, MASK, 0.9)])) == ()
    assert kinds_and_people(
        detector.update(make_tracked_scene(5.1, [(1, MASK, 0.9)]))
    ) == [("classified", 1)]


def test_untracked_faces_raise_no_events(monkeypatch) -> None:
    still = Scene(
        Faces(np.float32([[0, 0, 9, 9]]), np.float32([0.9])), np.float32([[1, 0, 0]])
    )
    monkeypatch.setattr("maskdet.people.log.MIN_LABEL_DURATION_S", 0.0)
    detector = make_detector()
    assert detector.update(still) == ()
    both = make_tracked_scene(
        1.0,
        [(UNTRACKED, MASK, 0.9), (2, MASK, 0.9)],
        person_pairs=[make_pair(exceeds_limit=True)],
    )
    assert kinds_and_people(detector.update(both)) == [
        ("entered", 2),
        ("classified", 2),
    ]


def test_a_contact_is_reported_once_with_the_unmasked_person_first(monkeypatch) -> None:
    monkeypatch.setattr("maskdet.people.log.MIN_LABEL_DURATION_S", 0.5)
    detector = make_detector()
    pair = [(1, MASK, 0.9), (2, NO_MASK, 0.95)]
    all_events: list[Event] = []
    for number in range(80):
        time_s = number / 10
        too = time_s >= 3
        apart = 5.0 < time_s < 6.0  # a short step apart is the same contact
        close = make_pair(
            1.25, time_s, in_contact=not apart, exceeds_limit=too and not apart
        )
        all_events += detector.update(
            make_tracked_scene(time_s, pair, person_pairs=[close])
        )
    events = [event for event in all_events if event.kind == "close"]
    assert kinds_and_people(tuple(events)) == [("close", 2)]
    event = events[0]
    assert (event.other, event.distance, event.unit) == (1, 1.25, "m")
    assert (event.label, event.for_s, second(event)) == (NO_MASK, 3.0, 3.0)
    for time_s in (10.0, 16.0):
        assert detector.update(make_tracked_scene(time_s, pair)) == ()
    again = detector.update(
        make_tracked_scene(17.0, pair, person_pairs=[make_pair(exceeds_limit=True)])
    )
    assert kinds_and_people(again) == [("close", 2)]


def test_everybody_leaves_at_the_end_of_a_stream() -> None:
    detector = make_detector()
    for time_s in (0.0, 0.5):
        detector.update(make_tracked_scene(time_s, [(1, MASK, 0.9), (2, MASK, 0.9)]))
    detector.update(make_tracked_scene(4.0, [(1, MASK, 0.9)]))
    ended = detector.end()
    assert sorted(kinds_and_people(ended)) == [("left", 1), ("left", 2)]
    assert {event.person: event.for_s for event in ended} == {1: 4.0, 2: 0.5}
    assert detector.end() == ()


def test_a_person_who_was_not_confirmed_neither_enters_nor_leaves() -> None:
    detector = make_detector()
    events = [
        *detector.update(make_tracked_scene(0.0, [(1, MASK, 0.9)])),
        *detector.update(make_tracked_scene(0.4, [(1, MASK, 0.9), (2, MASK, 0.9)])),
        *detector.update(make_tracked_scene(0.5, [(3, MASK, 0.9)], removed_ids=(1,))),
        *detector.end(),
    ]
    assert events == []


def test_an_alert_of_a_person_who_was_not_confirmed_is_an_event() -> None:
    rule = AlertRule("no_mask", for_s=0.0)
    stream = ObservedStream(AlertDetector(StreamInfo("Door", START, "run"), (rule,)))
    events = stream.update(make_tracked_scene(0.0, [(1, NO_MASK, 0.9)]))
    assert kinds_and_people(events) == [("alert", 1)]
    assert events[0].label is NO_MASK


def test_an_absent_person_expires_without_the_tracker() -> None:
    detector = make_detector()
    for time_s in (0.0, 1.0):
        detector.update(make_tracked_scene(time_s, [(1, MASK, 0.9)]))
    assert detector.update(make_tracked_scene(60.0)) == ()
    assert kinds_and_people(detector.update(make_tracked_scene(70.0))) == [("left", 1)]


def test_a_person_whom_the_tracker_removes_after_a_long_gap_leaves_once() -> None:
    detector = make_detector()
    for time_s in (0.0, 1.0):
        detector.update(make_tracked_scene(time_s, [(1, MASK, 0.9)]))
    late = detector.update(make_tracked_scene(70.0, removed_ids=(1,)))
    assert kinds_and_people(late) == [("left", 1)]
    assert detector.end() == ()


def test_an_unknown_person_does_not_leave() -> None:
    assert make_detector().update(make_tracked_scene(0.0, removed_ids=(5, 6))) == ()


def test_times_are_wall_clock_times_in_utc() -> None:
    local = datetime(2025, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    stream = ObservedStream(EventDetector(StreamInfo("Door", local)))
    stream.update(make_tracked_scene(2.5, [(1, MASK, 0.9)]))
    event = stream.update(make_tracked_scene(3.0, [(1, MASK, 0.9)]))[0]
    assert event.at == START + timedelta(seconds=2.5)
    assert event.to_record()["at"] == "2025-03-01T12:00:02.500Z"
    with pytest.raises(ValueError, match="zone"):
        StreamInfo("Door", datetime(2025, 3, 1))
    with pytest.raises(ValueError, match="zone"):
        Event("left", datetime(2025, 3, 1), "", "")


def test_a_stream_that_starts_now_has_the_current_time() -> None:
    origin = StreamInfo.now("Door", clock_s=500.0)
    assert abs((origin.to_utc(500.0) - datetime.now(UTC)).total_seconds()) < 60
    assert StreamInfo.now("Door").session != origin.session


def test_a_camera_name_is_short_and_one_line() -> None:
    assert StreamInfo.now(" Front\n\x1b[31m door ").camera == "Front [31m door"
    assert len(StreamInfo.now("x" * 500).camera) == 60


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of entered"):
        Event("danced", START, "", "")


@pytest.mark.parametrize(
    ("event", "description"),
    [
        (Event("entered", START, "", "", 3), "Person 3 entered"),
        (Event("classified", START, "", "", 3, MASK), "Person 3: Mask"),
        (
            Event("changed", START, "", "", 3, NO_MASK, before=MASK),
            "Person 3: Mask, now No mask",
        ),
        (
            Event("close", START, "", "", 3, other=4, distance=1.24, unit="m"),
            "Person 3 and person 4, 1.2 m apart: too close",
        ),
        (
            Event("left", START, "", "", 3, for_s=12.3),
            "Person 3 left after 12 s, Unsure",
        ),
        (Event("alert", START, "Door", "", 3, NO_MASK), "Person 3: No mask (Door)"),
        (
            Event("alert", START, "Door", "", count=5, label=NO_MASK),
            "5 people without a mask (Door)",
        ),
        (
            Event("alert", START, "", "", 3, other=4),
            "Person 3 and person 4: too close without a mask",
        ),
    ],
)
def test_each_kind_of_event_has_a_description(event, description) -> None:
    assert describe_event(event) == description


def test_errors_1_10_100_of_each_stream_are_logged(caplog) -> None:
    @dataclasses.dataclass
    class Broken:  # not hashable
        name: str = ""
        stream_info = StreamInfo.now("Door")

        def observe(self, people):
            raise OSError("no more")

    first, second = PersonLog(), PersonLog()
    for _ in range(30):
        assert observe_safely(Broken(), first) == ()
    observe_safely(Broken(), second)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        f"events of a scene were lost ({number} so far)" for number in (1, 10, 1)
    ]
