"""The log of the people and contacts of a stream."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from maskdet.media import read_image
from maskdet.people import PersonLog
from maskdet.people import log as people_module
from maskdet.types import UNTRACKED, Image, Label, PersonPair, Scene
from tests.video.scenes import make_people_pair, make_people_scene

MASK, NO_MASK, UNKNOWN = Label.MASK, Label.NO_MASK, Label.UNKNOWN


def show(
    log: PersonLog, scene: Scene, duration_s: float, image: Image | None = None
) -> None:
    """Add a scene, and count it for a time, at most 1 s."""
    log.add(scene, image)
    log.advance(scene.time_s + duration_s)


def test_the_class_of_a_person_is_the_longest_known_one() -> None:
    people = PersonLog()
    for time_s, label in ((0.0, UNKNOWN), (5.0, MASK), (6.0, NO_MASK), (8.0, UNKNOWN)):
        scene = make_people_scene(time_s, [(4, label)])
        show(people, scene, 1.0 if label is NO_MASK else 0.5)
    (person,) = people.list_people()
    assert (person.track_id, person.label) == (4, NO_MASK)
    assert person.confidence == pytest.approx(0.8)
    assert (person.first_s, person.last_s) == (0.0, 8.0)
    assert person.seen_s == pytest.approx(2.5)
    assert person.label_s[UNKNOWN] == pytest.approx(1.0)


def test_a_person_without_a_known_class_is_unknown() -> None:
    people = PersonLog()
    show(people, make_people_scene(0.0, [(1, UNKNOWN)]), 1.0)
    (person,) = people.list_people()
    assert person.label is UNKNOWN
    assert person.confidence == pytest.approx(0.4)


def test_a_person_who_has_just_entered_is_listed_without_a_class() -> None:
    """Their only scene counts once its duration is known."""
    people = PersonLog()
    people.add(make_people_scene(0.0, [(1, MASK)]))
    (person,) = people.list_people()
    assert (person.label, person.confidence, person.seen_s) == (UNKNOWN, 0.0, 0.0)


def test_an_unseen_head_counts_as_present_but_not_as_seen() -> None:
    people = PersonLog()
    show(people, make_people_scene(0.0, [(1, MASK)]), 1.0)
    show(people, make_people_scene(1.0, [(1, MASK)], unseen_s=[1.0]), 0.5)
    (person,) = people.list_people()
    assert (person.last_s, person.seen_s) == (0.0, pytest.approx(1.0))
    assert person.label_s[MASK] == pytest.approx(1.5)


def test_people_are_in_order_and_untracked_faces_ignored() -> None:
    people = PersonLog()
    show(people, make_people_scene(0.0, [(7, MASK), (UNTRACKED, NO_MASK)]), 1.0)
    show(people, make_people_scene(1.0, [(2, MASK)]), 1.0)
    assert [person.track_id for person in people.list_people()] == [7, 2]


def test_crops_are_kept_only_on_request() -> None:
    image = np.full((60, 80, 3), 50, np.uint8)
    image[10:30, 20:36] = (0, 0, 250)
    for keep_crops in (False, True):
        people = PersonLog(keep_crops=keep_crops)
        show(people, make_people_scene(0.0, [(1, MASK), (2, MASK)]), 1.0, image)
        show(people, make_people_scene(1.0, [(1, MASK)], unseen_s=[1.0]), 1.0, image)
        first, second = people.list_people()
        assert bool(first.crop) == keep_crops
    assert read_image(first.crop)[:, :, 2].mean() < 100
    # The face, and a quarter of its size around it.
    crop = read_image(second.crop)
    assert crop.shape == (30, 24, 3)
    assert crop[10:20, 10:16, 2].mean() > 200


def test_the_number_of_crops_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(people_module, "_MAX_CROPS", 3)
    people = PersonLog(keep_crops=True)
    image = np.zeros((60, 80, 3), np.uint8)
    for track_id in range(6):
        show(people, make_people_scene(float(track_id), [(track_id, MASK)]), 1.0, image)
    assert [bool(person.crop) for person in people.list_people()] == (
        [True] * 3 + [False] * 3
    )


def test_contacts_are_summed_and_unmasked_ones_come_first() -> None:
    people = PersonLog()
    labels = [(9, MASK), (3, MASK), (5, NO_MASK)]
    pairs = [
        make_people_pair(0, 1, 0.8),
        make_people_pair(1, 2, 1.2),
        make_people_pair(0, 2, 4.0, in_contact=False),
    ]
    show(people, make_people_scene(2.0, labels, person_pairs=pairs), 0.25)
    too_long = [make_people_pair(0, 1, 0.6, exceeds_limit=True)]
    show(people, make_people_scene(3.0, labels, person_pairs=too_long), 1.0)
    unmasked, masked = people.list_contacts()
    assert (unmasked.first_id, unmasked.second_id, unmasked.start_s) == (3, 5, 2.0)
    assert (unmasked.total_s, unmasked.unmasked_s, unmasked.exceeds_limit) == (
        0.25,
        0.25,
        False,
    )
    assert (masked.first_id, masked.second_id) == (3, 9)
    assert (masked.total_s, masked.unmasked_s, masked.min_distance) == (1.25, 0.0, 0.6)
    assert masked.exceeds_limit
    assert masked.unit == "m"


def test_a_frame_counts_for_at_most_a_second() -> None:
    people = PersonLog()
    show(people, make_people_scene(0.0, [(1, MASK)]), 60.0)
    assert people.list_people()[0].seen_s == 1.0


def pair_of(contact_s: float) -> list[PersonPair]:
    return [make_people_pair(0, 1, 0.8)._replace(contact_s=contact_s)]


def test_contact_times_add_up_and_the_longest_is_kept() -> None:
    people = PersonLog()
    both = [(1, MASK), (2, MASK)]
    for start_s, n_s in ((0, 90), (200, 30)):
        for second in range(n_s + 1):
            pairs = pair_of(float(second))
            people.update(
                make_people_scene(float(start_s + second), both, person_pairs=pairs)
            )
        people.update(make_people_scene(start_s + n_s + 1.0, both))
    (contact,) = people.list_contacts()
    assert (contact.first_id, contact.second_id) == (1, 2)
    assert contact.total_s == 122
    assert contact.start_s == 0
    assert contact.longest_s == 90


def test_the_longest_contact_comes_first_and_new_ones_are_listed_at_once() -> None:
    people = PersonLog()
    labels = [(1, MASK), (2, MASK), (3, NO_MASK)]
    seen = []
    for number in range(20):
        pairs = [make_people_pair(0, 1, 0.8)] if number < 12 else []
        pairs += [make_people_pair(1, 2, 0.9)] if number > 9 else []
        people.update(make_people_scene(number / 10, labels, person_pairs=pairs))
        seen.append([(entry.first_id, entry.second_id) for entry in people.contacts])
    assert seen[2] == [(1, 2)]
    assert seen[11] == [(1, 2), (2, 3)]


def test_untracked_faces_have_no_contacts() -> None:
    people = PersonLog()
    pairs = [make_people_pair(0, 1, 0.8)]
    labels = [(1, MASK), (UNTRACKED, MASK)]
    show(people, make_people_scene(0.0, labels, person_pairs=pairs), 1.0)
    assert people.list_contacts() == ()
    assert people.contact_pairs == []


def test_the_log_tells_who_has_entered_left_and_is_present() -> None:
    people = PersonLog()
    story = []
    for time_s, ids in ((0.0, (1,)), (1.0, (1, 2)), (2.0, (2,)), (3.0, (2,))):
        scene = make_people_scene(time_s, [(track_id, MASK) for track_id in ids])
        removed_ids = (1,) if time_s == 3.0 else ()
        people.update(dataclasses.replace(scene, removed_ids=removed_ids))
        entered = [person for person in people.present if person.has_entered]
        story.append(
            tuple(
                [person.track_id for person in persons]
                for persons in (people.present, entered, people.left)
            )
        )
    assert story == [
        ([1], [], []),
        ([1, 2], [1], []),
        ([2], [2], []),
        ([2], [], [1]),
    ]
    people.end(4.0)
    assert [person.track_id for person in people.left] == [2]
    assert (people.scene, people.present) == (None, [])
    people.end(4.0)
    assert people.left == []
    assert [person.seen_s for person in people.list_people()] == [2.0, 3.0]


def test_a_person_enters_once_seen_for_half_a_second() -> None:
    people = PersonLog()
    story = []
    for number in range(5):
        time_s = number / 5
        people.update(make_people_scene(time_s, [(1, MASK), (10 + number, MASK)]))
        story.append(
            [(person.has_entered, person.is_confirmed) for person in people.present]
        )
    assert [persons[0] for persons in story] == [
        (False, False),
        (False, False),
        (False, False),
        (True, True),
        (False, True),
    ]
    assert {persons[1] for persons in story} == {(False, False)}


def test_a_label_is_stable_for_each_threshold_since_it_was_last_below_it() -> None:
    person = people_module.PersonState(1, 0.0, 0.0, 0.0)
    for number, confidence in enumerate((0.9, 0.95, 0.7, 0.8, 0.99, 0.99)):
        person._detect(MASK, confidence, float(number), 1.0 if number else 0.0)
    thresholds = (0.0, 0.6, 0.7, 0.75, 0.8, 0.9, 0.99, 0.999)
    stable_s = [person.get_stable_s(threshold) for threshold in thresholds]
    assert stable_s == [5, 5, 5, 2, 2, 1, 1, 0]
    assert [person.get_label(threshold) for threshold in (0.99, 0.999)] == [
        MASK,
        UNKNOWN,
    ]
    person._detect(NO_MASK, 0.9, 6.0, 1.0)
    assert person.get_stable_s(0.0) == 0
