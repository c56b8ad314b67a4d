"""Endless cameras: memory is bounded, and evicted people and pairs are in the sums."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from maskdet.cli.video import summarize_video
from maskdet.people import EvictedContacts, EvictedPeople, PersonLog
from maskdet.people import log as people_module
from maskdet.types import Label
from maskdet.video import VideoReport, reports_to_json
from tests.people.test_log import show
from tests.video.scenes import make_people_pair, make_people_scene

MASK, NO_MASK = Label.MASK, Label.NO_MASK


def test_of_thirty_thousand_people_ten_thousand_are_kept() -> None:
    people = PersonLog()
    for number in range(30_000):
        label = MASK if number % 3 else NO_MASK
        show(people, make_people_scene(float(number), [(number, label)]), 0.5)
    kept, evicted = people.list_people(), people.evicted_people
    assert [person.track_id for person in kept] == list(range(20_000, 30_000))
    assert evicted.n_people == 20_000
    assert (evicted.label_counts[NO_MASK], evicted.label_counts[MASK]) == (
        6_667,
        13_333,
    )
    assert evicted.label_s[NO_MASK] == pytest.approx(6_667 * 0.5)


def test_memory_does_not_grow_with_the_number_of_people(monkeypatch) -> None:
    monkeypatch.setattr(people_module, "MAX_PEOPLE", 1000)
    people = PersonLog()
    sizes = []
    # Threads of earlier tests allocate memory too, so only that of the log counts.
    only_log = [tracemalloc.Filter(True, people_module.__file__)]
    tracemalloc.start()
    for number in range(3000):
        show(people, make_people_scene(float(number), [(number, MASK)]), 0.5)
        if number in (1499, 2999):
            traces = tracemalloc.take_snapshot().filter_traces(only_log).traces
            sizes.append(sum(trace.size for trace in traces))
    tracemalloc.stop()
    # Up to a tenth more than the limit are kept; without a limit it would be doubled.
    assert sizes[1] < 1.3 * sizes[0]


def test_people_who_are_still_present_are_not_evicted(monkeypatch) -> None:
    monkeypatch.setattr(people_module, "MAX_PEOPLE", 10)
    people = PersonLog()
    for number in range(1, 200):
        show(
            people,
            make_people_scene(float(number), [(0, MASK), (number, NO_MASK)]),
            1.0,
        )
    kept = people.list_people()
    assert [person.track_id for person in kept] == [0, *range(191, 200)]
    assert kept[0].seen_s == pytest.approx(199)
    assert people.evicted_people.label_counts[NO_MASK] == 190


def test_crops_of_evicted_people_make_room_for_others(monkeypatch) -> None:
    monkeypatch.setattr(people_module, "_MAX_CROPS", 3)
    monkeypatch.setattr(people_module, "MAX_PEOPLE", 3)
    people = PersonLog(keep_crops=True)
    image = np.zeros((60, 80, 3), np.uint8)
    for step in range(40):
        show(people, make_people_scene(float(step), [(step // 2, MASK)]), 1.0, image)
    assert [bool(person.crop) for person in people.list_people()] == [True] * 3


def test_the_most_important_pairs_are_kept(monkeypatch) -> None:
    monkeypatch.setattr(people_module, "MAX_CONTACTS", 10)
    contacts = PersonLog()
    for number in range(1000):
        label = NO_MASK if number == 3 else MASK
        labels = [(2 * number, label), (2 * number + 1, MASK)]
        pairs = [make_people_pair(0, 1, 0.7, exceeds_limit=number in (5, 6))]
        # A minute later the pair is no longer in contact.
        show(
            contacts, make_people_scene(100.0 * number, labels, person_pairs=pairs), 0.5
        )
    kept = contacts.list_contacts()
    assert len(kept) == 10
    assert kept[0].first_id == 6, "without a mask"
    assert {contact.first_id for contact in kept if contact.exceeds_limit} == {10, 12}
    assert contacts.evicted_contacts == EvictedContacts(990, 0, 495.0, 0.0)


def test_pairs_in_contact_are_not_evicted(monkeypatch) -> None:
    monkeypatch.setattr(people_module, "MAX_CONTACTS", 3)
    contacts = PersonLog()
    for step in range(50):
        labels = [(0, MASK), (1, MASK), (100 + step, MASK)]
        pairs = [make_people_pair(0, 1, 0.7), make_people_pair(1, 2, 1.0)]
        show(
            contacts, make_people_scene(100.0 * step, labels, person_pairs=pairs), 0.25
        )
    kept = {
        (contact.first_id, contact.second_id): contact.total_s
        for contact in contacts.list_contacts()
    }
    assert kept[0, 1] == pytest.approx(12.5)
    assert contacts.evicted_contacts.n_contacts == 51 - 3


def make_report(monkeypatch) -> VideoReport:
    monkeypatch.setattr(people_module, "MAX_PEOPLE", 2)
    monkeypatch.setattr(people_module, "MAX_CONTACTS", 1)
    people = PersonLog()
    for number in range(8):
        label = NO_MASK if number == 1 else MASK
        labels = [(2 * number, label), (2 * number + 1, MASK)]
        scene = make_people_scene(
            100.0 * number,
            labels,
            person_pairs=[make_people_pair(0, 1, 0.7, exceeds_limit=True)],
        )
        show(people, scene, 1.0)
    return VideoReport(
        "door",
        analyzed_s=701.0,
        people=people.list_people(),
        contacts=people.list_contacts(),
        evicted_people=people.evicted_people,
        evicted_contacts=people.evicted_contacts,
    )


def test_the_sums_of_a_report_include_evicted_people(monkeypatch) -> None:
    report = make_report(monkeypatch)
    assert (report.n_people, len(report.people)) == (16, 2)
    assert (report.label_counts[MASK], report.label_counts[NO_MASK]) == (15, 1)
    assert report.label_s[MASK] == pytest.approx(15.0)
    assert report.mask_rate == pytest.approx(15 / 16)
    assert report.n_over_limit == 8
    (record,) = json.loads(reports_to_json([report]))["videos"]
    assert record["label_s"]["mask"] == 15.0
    assert record["evicted"] == {
        "n_people": 14,
        "label_counts": {"mask": 13, "no_mask": 1, "incorrect": 0, "unknown": 0},
        "n_contacts": 7,
        "n_over_limit": 7,
        "total_s": 7.0,
        "unmasked_s": 1.0,
    }


def test_the_summary_counts_people_who_are_not_listed(monkeypatch) -> None:
    lines = summarize_video(make_report(monkeypatch))
    assert lines[0].startswith("door: 16 people in 701.0 s, 94 % of the time")
    assert lines[1] == "  the newest 2 of them:"
    assert lines[-1] == "  and 7 pairs more were close"
    assert len(lines) == 6


def test_few_people_are_not_evicted() -> None:
    people = PersonLog()
    show(people, make_people_scene(0.0, [(1, MASK)]), 1.0)
    people.list_people()
    assert people.evicted_people == EvictedPeople()
