"""Aggregation of people and contacts over a video."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.media import read_image
from maskdet.types import UNTRACKED, Label
from maskdet.video import summary as people_module
from maskdet.video.summary import ContactAggregator, PersonAggregator
from tests.video.scenes import make_people_pair, make_people_scene

MASK, NO_MASK, UNKNOWN = Label.MASK, Label.NO_MASK, Label.UNKNOWN


def test_the_class_of_a_person_is_the_longest_known_one() -> None:
    people = PersonAggregator()
    for time_s, label in ((0.0, UNKNOWN), (5.0, MASK), (6.0, NO_MASK), (8.0, UNKNOWN)):
        people.add(
            make_people_scene(time_s, [(4, label)]),
            None,
            2.0 if label is NO_MASK else 1.0,
        )
    (person,) = people.get_people()
    assert (person.track_id, person.label) == (4, NO_MASK)
    assert person.confidence == pytest.approx(0.8)
    assert (person.first_s, person.last_s) == (0.0, 8.0)
    assert person.seen_s == pytest.approx(5.0)
    assert person.label_s[UNKNOWN] == pytest.approx(2.0)


def test_a_person_without_a_known_class_is_unknown() -> None:
    people = PersonAggregator()
    people.add(make_people_scene(0.0, [(1, UNKNOWN)]), None, 1.0)
    (person,) = people.get_people()
    assert person.label is UNKNOWN
    assert person.confidence == pytest.approx(0.4)


def test_an_unseen_head_counts_as_present_but_not_as_seen() -> None:
    people = PersonAggregator()
    people.add(make_people_scene(0.0, [(1, MASK)]), None, 1.0)
    people.add(make_people_scene(1.0, [(1, MASK)], unseen_s=[1.0]), None, 2.0)
    (person,) = people.get_people()
    assert (person.last_s, person.seen_s) == (0.0, pytest.approx(1.0))
    assert person.label_s[MASK] == pytest.approx(3.0)


def test_people_are_in_order_and_untracked_faces_ignored() -> None:
    people = PersonAggregator()
    people.add(make_people_scene(0.0, [(7, MASK), (UNTRACKED, NO_MASK)]), None, 1.0)
    people.add(make_people_scene(1.0, [(2, MASK)]), None, 1.0)
    assert [person.track_id for person in people.get_people()] == [7, 2]


def test_crops_are_kept_only_on_request() -> None:
    image = np.full((60, 80, 3), 50, np.uint8)
    image[10:30, 20:36] = (0, 0, 250)
    for keep_crops in (False, True):
        people = PersonAggregator(keep_crops=keep_crops)
        people.add(make_people_scene(0.0, [(1, MASK), (2, MASK)]), image, 1.0)
        people.add(make_people_scene(1.0, [(1, MASK)], unseen_s=[1.0]), image, 1.0)
        first, second = people.get_people()
        assert bool(first.crop) == keep_crops
    assert read_image(first.crop)[:, :, 2].mean() < 100
    # The face, and a quarter of its size around it.
    crop = read_image(second.crop)
    assert crop.shape == (30, 24, 3)
    assert crop[10:20, 10:16, 2].mean() > 200


def test_the_number_of_crops_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(people_module, "_MAX_CROPS", 3)
    people = PersonAggregator(keep_crops=True)
    image = np.zeros((60, 80, 3), np.uint8)
    for track_id in range(6):
        people.add(make_people_scene(float(track_id), [(track_id, MASK)]), image, 1.0)
    assert [bool(person.crop) for person in people.get_people()] == (
        [True] * 3 + [False] * 3
    )


def test_contacts_are_summed_and_unmasked_ones_come_first() -> None:
    contacts = ContactAggregator()
    labels = [(9, MASK), (3, MASK), (5, NO_MASK)]
    pairs = [
        make_people_pair(0, 1, 0.8),
        make_people_pair(1, 2, 1.2),
        make_people_pair(0, 2, 4.0, in_contact=False),
    ]
    contacts.add(make_people_scene(2.0, labels, person_pairs=pairs), 1.0)
    contacts.add(
        make_people_scene(
            3.0, labels, person_pairs=[make_people_pair(0, 1, 0.6, exceeds_limit=True)]
        ),
        4.0,
    )
    unmasked, masked = contacts.get_contacts()
    assert (unmasked.first_id, unmasked.second_id, unmasked.start_s) == (3, 5, 2.0)
    assert (unmasked.total_s, unmasked.unmasked_s, unmasked.exceeds_limit) == (
        1.0,
        1.0,
        False,
    )
    assert (masked.first_id, masked.second_id) == (3, 9)
    assert (masked.total_s, masked.unmasked_s, masked.min_distance) == (5.0, 0.0, 0.6)
    assert masked.exceeds_limit
    assert masked.unit == "m"


def test_untracked_faces_have_no_contacts() -> None:
    contacts = ContactAggregator()
    pairs = [make_people_pair(0, 1, 0.8)]
    contacts.add(
        make_people_scene(0.0, [(1, MASK), (UNTRACKED, MASK)], person_pairs=pairs), 1.0
    )
    assert contacts.get_contacts() == ()
