"""What the player of a result gets: lanes, marks, events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from maskdet.events import Event
from maskdet.people import LabelSpan, Person
from maskdet.style import Style
from maskdet.types import Contact, Label
from maskdet.video import VideoReport
from maskdet.web.video import player
from maskdet.web.video.player import build_player, describe_left_out

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NO_TIMES = dict.fromkeys(Label, 0.0)
MASK, NO_MASK, INCORRECT, UNKNOWN = Label


def make_person(track_id: int, first_s: float, seen_s: float = 1.0) -> Person:
    return Person(
        track_id, first_s, first_s + seen_s, seen_s, MASK, 0.9, dict(NO_TIMES)
    )


def make_report(**changes: object) -> VideoReport:
    report: dict[str, object] = {
        "people": (make_person(1, 0.0, 5), make_person(2, 1.0, 4)),
        "label_spans": {
            1: (LabelSpan(0.0, 2.0, UNKNOWN), LabelSpan(2.0, 5.00049, NO_MASK)),
            2: (LabelSpan(1.0, 5.0, MASK),),
        },
        "analyzed_s": 5.0,
        "started_at": NOON,
    }
    return VideoReport("a.mp4", **{**report, **changes})


def test_each_person_has_a_lane_with_labels_over_time() -> None:
    data = build_player(make_report(), Style())
    keys = [kind["key"] for kind in data["classes"]]
    assert [lane["name"] for lane in data["lanes"]] == ["#1", "#2"]
    spans = [(start, end, keys[kind]) for start, end, kind in data["lanes"][0]["spans"]]
    assert spans == [(0.0, 2.0, "unknown"), (2.0, 5.0, "no_mask")]
    assert len({kind["line"] for kind in data["classes"]}) == 4
    assert data["duration"] == 5.0


def test_names_and_colours_are_those_of_the_style() -> None:
    style = Style(class_names={"mask": "Masked"}, class_colours={"mask": "#112233"})
    (mask,) = [
        kind
        for kind in build_player(make_report(), style)["classes"]
        if kind["key"] == "mask"
    ]
    assert (mask["title"], mask["colour"]) == ("Masked", "#112233")


def test_contacts_and_alerts_are_marks_on_the_lanes_of_both_people() -> None:
    contact = Contact(1, 2, 1.5, 3.0, 2.0, 0.0, 0.8, "m", True)
    at = NOON + timedelta(seconds=3.5)
    close = Event("close", at, "", "s", 1, MASK, other=2, distance=0.8, unit="m")
    left = Event("left", at, "", "s", 2, MASK)
    report = make_report(contacts=(contact,), events=(close, left), n_events=2)
    for lane, other in zip(build_player(report, Style())["lanes"], (2, 1), strict=True):
        (first_s, first, text), (then_s, then, _) = lane["marks"]
        assert (first_s, first, then_s, then) == (1.5, "contact", 3.5, "alert")
        assert text == f"first contact with person {other}, 3 s in all, closest 0.8 m"


def test_events_have_the_time_of_the_video() -> None:
    event = Event("left", NOON + timedelta(seconds=3.2), "", "s", 2, MASK, for_s=2.0)
    (row,) = build_player(make_report(events=(event,), n_events=1), Style())["events"]
    assert row == {"time": 3.2, "text": "Person 2 left after 2 s, Mask", "person": 2}


def test_people_without_spans_have_no_lane() -> None:
    report = make_report(label_spans={2: (LabelSpan(1.0, 5.0, MASK),)})
    assert [lane["id"] for lane in build_player(report, Style())["lanes"]] == [2]
    assert "1 of 2 people" in describe_left_out(report)


def test_many_people_and_events_are_cut_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(player, "MAX_LANES", 2)
    monkeypatch.setattr(player, "MAX_PLAYER_EVENTS", 1)
    people = (make_person(1, 0, 1), make_person(2, 1, 9), make_person(3, 2, 5))
    spans = {n: (LabelSpan(0.0, 1.0, MASK),) for n in (1, 2, 3)}
    events = tuple(Event("entered", NOON, "", "s", n) for n in (1, 2, 3))
    report = make_report(people=people, label_spans=spans, events=events, n_events=7)
    data = build_player(report, Style())
    assert [lane["id"] for lane in data["lanes"]] == [2, 3]
    assert len(data["events"]) == 1
    assert describe_left_out(report) == (
        "The time line has the 2 of 3 people seen longest. "
        "The table has 1 of 7 events; the CSV file has more."
    )


def test_nothing_is_left_out_of_a_usual_video() -> None:
    assert describe_left_out(make_report()) == ""
