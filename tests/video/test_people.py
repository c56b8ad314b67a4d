from __future__ import annotations

import numpy as np
import pytest

from maskdet.media import read_image
from maskdet.types import UNTRACKED, Label
from maskdet.video import summary as people_module
from maskdet.video.summary import ContactAggregator, PersonAggregator
from tests.video.scenes import make_people_pair, make_people_scene

MASK, BARE, UNSURE = Label.MASK, Label.NO_MASK, Label.UNKNOWN


def test_a_person_is_what_they_wore_for_longest() -> None:
    people = PersonAggregator()
    for time_s, label in ((0.0, UNSURE), (5.0, MASK), (6.0, BARE), (8.0, UNSURE)):
        people.add(
            make_people_scene(time_s, [(4, label)]), None, 2.0 if label is BARE else 1.0
        )
    (person,) = people.get_people()
    assert (person.track_id, person.label) == (4, BARE)
    assert person.confidence == pytest.approx(0.8)
    assert (person.first_s, person.last_s) == (0.0, 8.0)
    assert person.seen_s == pytest.approx(5.0)
    assert person.label_s[UNSURE] == pytest.approx(2.0)


def test_of_whom_nothing_is_known_stays_unsure() -> None:
    people = PersonAggregator()
    people.add(make_people_scene(0.0, [(1, UNSURE)]), None, 1.0)
    (person,) = people.get_people()
    assert person.label is UNSURE
    assert person.confidence == pytest.approx(0.4)


def test_a_turned_head_is_there_but_not_seen() -> None:
    people = PersonAggregator()
    people.add(make_people_scene(0.0, [(1, MASK)]), None, 1.0)
    people.add(make_people_scene(1.0, [(1, MASK)], seconds_unseen=[1.0]), None, 2.0)
    (person,) = people.get_people()
    assert (person.last_s, person.seen_s) == (0.0, pytest.approx(1.0))
    assert person.label_s[MASK] == pytest.approx(3.0)


def test_people_come_in_order_and_the_untracked_not_at_all() -> None:
    people = PersonAggregator()
    people.add(make_people_scene(0.0, [(7, MASK), (UNTRACKED, BARE)]), None, 1.0)
    people.add(make_people_scene(1.0, [(2, MASK)]), None, 1.0)
    assert [person.track_id for person in people.get_people()] == [7, 2]


def test_views_are_kept_only_if_wanted() -> None:
    image = np.full((60, 80, 3), 50, np.uint8)
    image[10:30, 20:36] = (0, 0, 250)
    for wanted in (False, True):
        people = PersonAggregator(keep_crops=wanted)
        people.add(make_people_scene(0.0, [(1, MASK), (2, MASK)]), image, 1.0)
        people.add(
            make_people_scene(1.0, [(1, MASK)], seconds_unseen=[1.0]), image, 1.0
        )
        first, second = people.get_people()
        assert bool(first.crop) == wanted
    assert read_image(first.crop)[:, :, 2].mean() < 100
    # The face, and a quarter of its size around it.
    view = read_image(second.crop)
    assert view.shape == (30, 24, 3)
    assert view[10:20, 10:16, 2].mean() > 200


def test_views_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(people_module, "_MAX_CROPS", 3)
    people = PersonAggregator(keep_crops=True)
    image = np.zeros((60, 80, 3), np.uint8)
    for number in range(6):
        people.add(make_people_scene(float(number), [(number, MASK)]), image, 1.0)
    assert [bool(one.crop) for one in people.get_people()] == [True] * 3 + [False] * 3


def test_contacts_add_up_and_the_unmasked_come_first() -> None:
    contacts = ContactAggregator()
    who = [(9, MASK), (3, MASK), (5, BARE)]
    near = [
        make_people_pair(0, 1, 0.8),
        make_people_pair(1, 2, 1.2),
        make_people_pair(0, 2, 4.0, is_near=False),
    ]
    contacts.add(make_people_scene(2.0, who, person_pairs=near), 1.0)
    contacts.add(
        make_people_scene(
            3.0, who, person_pairs=[make_people_pair(0, 1, 0.6, exceeds_limit=True)]
        ),
        4.0,
    )
    bare, masked = contacts.get_contacts()
    assert (bare.first_id, bare.second_id, bare.start_s) == (3, 5, 2.0)
    assert (bare.total_s, bare.unmasked_s, bare.exceeds_limit) == (1.0, 1.0, False)
    assert (masked.first_id, masked.second_id) == (3, 9)
    assert (masked.total_s, masked.unmasked_s, masked.min_distance) == (5.0, 0.0, 0.6)
    assert masked.exceeds_limit
    assert masked.unit == "m"


def test_faces_without_a_number_have_no_contacts() -> None:
    contacts = ContactAggregator()
    near = [make_people_pair(0, 1, 0.8)]
    contacts.add(
        make_people_scene(0.0, [(1, MASK), (UNTRACKED, MASK)], person_pairs=near), 1.0
    )
    assert contacts.get_contacts() == ()
