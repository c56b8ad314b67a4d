"""A camera that never stops: memory stays as it is, and nobody is lost in the sums."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from maskdet.cli.video import summarize_video
from maskdet.types import Label
from maskdet.video import VideoReport, reports_to_json, summary
from maskdet.video.summary import (
    ContactAggregator,
    EvictedContacts,
    EvictedPeople,
    PersonAggregator,
)
from tests.video.scenes import make_people_pair, make_people_scene

MASK, BARE = Label.MASK, Label.NO_MASK


def test_thirty_thousand_people_are_counted_and_ten_thousand_kept() -> None:
    everybody = PersonAggregator()
    for number in range(30_000):
        label = MASK if number % 3 else BARE
        everybody.add(make_people_scene(float(number), [(number, label)]), None, 0.5)
    kept, earlier = everybody.get_people(), everybody.evicted
    assert [one.track_id for one in kept] == list(range(20_000, 30_000))
    assert earlier.n_people == 20_000
    assert (earlier.label_counts[BARE], earlier.label_counts[MASK]) == (6_667, 13_333)
    assert earlier.label_s[BARE] == pytest.approx(6_667 * 0.5)


def test_memory_does_not_grow_with_those_who_came() -> None:
    some = PersonAggregator(max_people=1000)
    half_way = 0
    tracemalloc.start()
    for number in range(3000):
        some.add(make_people_scene(float(number), [(number, MASK)]), None, 0.5)
        if number == 1500:
            half_way = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] / half_way
    tracemalloc.stop()
    assert grown < 1.1


def test_who_is_still_there_is_kept_however_early_they_came() -> None:
    some = PersonAggregator(max_people=10)
    for number in range(1, 200):
        some.add(
            make_people_scene(float(number), [(0, MASK), (number, BARE)]), None, 1.0
        )
    kept = some.get_people()
    assert [one.track_id for one in kept] == [0, *range(191, 200)]
    assert kept[0].seen_s == pytest.approx(199)
    assert some.evicted.label_counts[BARE] == 190


def test_views_of_those_who_are_not_kept_make_room_for_others(monkeypatch) -> None:
    monkeypatch.setattr(summary, "_MAX_CROPS", 3)
    some = PersonAggregator(keep_crops=True, max_people=3)
    image = np.zeros((60, 80, 3), np.uint8)
    for step in range(40):
        some.add(make_people_scene(float(step), [(step // 2, MASK)]), image, 1.0)
    assert [bool(one.crop) for one in some.get_people()] == [True] * 3


def test_of_very_many_pairs_those_who_matter_are_kept() -> None:
    contacts = ContactAggregator(max_contacts=10)
    for number in range(1000):
        label = BARE if number == 3 else MASK
        who = [(2 * number, label), (2 * number + 1, MASK)]
        near = [make_people_pair(0, 1, 0.7, exceeds_limit=number in (5, 6))]
        # A minute later nobody is near any more.
        contacts.add(make_people_scene(100.0 * number, who, person_pairs=near), 2.0)
    kept = contacts.get_contacts()
    assert len(kept) == 10
    assert kept[0].first_id == 6, "without a mask"
    assert {one.first_id for one in kept if one.exceeds_limit} == {10, 12}
    assert contacts.evicted == EvictedContacts(990, 0, 1980.0, 0.0)


def test_pairs_who_are_near_now_go_on_being_counted() -> None:
    contacts = ContactAggregator(max_contacts=3)
    for step in range(50):
        who = [(0, MASK), (1, MASK), (100 + step, MASK)]
        near = [make_people_pair(0, 1, 0.7), make_people_pair(1, 2, 1.0)]
        contacts.add(make_people_scene(100.0 * step, who, person_pairs=near), 0.25)
    kept = {
        (one.first_id, one.second_id): one.total_s for one in contacts.get_contacts()
    }
    assert kept[0, 1] == pytest.approx(12.5)
    assert contacts.evicted.n_contacts == 51 - 3


def report() -> VideoReport:
    some, contacts = PersonAggregator(max_people=2), ContactAggregator(max_contacts=1)
    for number in range(8):
        label = BARE if number == 1 else MASK
        who = [(2 * number, label), (2 * number + 1, MASK)]
        seen = make_people_scene(
            100.0 * number,
            who,
            person_pairs=[make_people_pair(0, 1, 0.7, exceeds_limit=True)],
        )
        some.add(seen, None, 1.0)
        contacts.add(seen, 1.0)
    return VideoReport(
        "door",
        analyzed_s=701.0,
        people=some.get_people(),
        contacts=contacts.get_contacts(),
        evicted_people=some.evicted,
        evicted_contacts=contacts.evicted,
    )


def test_a_report_has_everybody_in_its_sums() -> None:
    found = report()
    assert (found.n_people, len(found.people)) == (16, 2)
    assert (found.label_counts[MASK], found.label_counts[BARE]) == (15, 1)
    assert found.label_s[MASK] == pytest.approx(15.0)
    assert found.mask_rate == pytest.approx(15 / 16)
    assert found.n_over_limit == 8
    (film,) = json.loads(reports_to_json([found]))["videos"]
    assert film["seconds"]["mask"] == 15.0
    assert film["earlier"] == {
        "people": 14,
        "worn": {"mask": 13, "no_mask": 1, "incorrect": 0, "unknown": 0},
        "contacts": 7,
        "too_long": 7,
        "near_s": 7.0,
        "bare_s": 1.0,
    }


def test_the_summary_says_how_many_are_not_listed() -> None:
    lines = summarize_video(report())
    assert lines[0].startswith("door: 16 people in 701.0 s, 94 % of the time")
    assert lines[1] == "  the newest 2 of them:"
    assert lines[-1] == "  and 7 pairs more were close"
    assert len(lines) == 6


def test_a_film_of_few_has_nobody_who_is_only_counted() -> None:
    some = PersonAggregator()
    some.add(make_people_scene(0.0, [(1, MASK)]), None, 1.0)
    some.get_people()
    assert some.evicted == EvictedPeople()
