from __future__ import annotations

import pytest

from maskdet.distance import pairs
from maskdet.distance.pairs import ContactLog


def test_contact_times_add_up_and_the_longest_is_kept() -> None:
    log = ContactLog()
    log.add((1, 2), 0.0, 30.0, since_s=0.0)
    log.add((1, 2), 30.0, 90.0, since_s=0.0)
    log.add((1, 2), 200.0, 230.0, since_s=200.0)
    (contact,) = log.contacts
    assert (contact.first_id, contact.second_id) == (1, 2)
    assert contact.total_s == 120
    assert contact.start_s == 0
    assert contact.longest_s == 90


def test_the_longest_contact_comes_first() -> None:
    log = ContactLog()
    log.add((1, 2), 0.0, 1.0, since_s=0.0)
    log.add((2, 3), 0.0, 5.0, since_s=0.0)
    assert [(contact.first_id, contact.second_id) for contact in log.contacts] == [
        (2, 3),
        (1, 2),
    ]


def test_a_contact_keeps_its_smallest_distance_and_unmasked_time() -> None:
    log = ContactLog()
    log.add((1, 2), 0.0, 4.0, since_s=0.0, distance=0.9, unmasked=True, limit_s=5.0)
    log.add((1, 2), 4.0, 6.0, since_s=0.0, distance=1.2, limit_s=5.0)
    log.add((3, 4), 0.0, 4.0, since_s=0.0, distance=0.5, unit="heads", limit_s=5.0)
    first, second = log.contacts
    assert (first.min_distance, first.unit, first.unmasked_s) == (0.9, "m", 4.0)
    assert first.exceeds_limit
    assert (second.min_distance, second.unit, second.unmasked_s) == (0.5, "heads", 0.0)
    assert not second.exceeds_limit


def test_simultaneous_contacts_of_a_person_count_once() -> None:
    log = ContactLog()
    for time_s in range(10):
        log.add((1, 2), time_s, time_s + 1, since_s=0.0)
        log.add((1, 3), time_s, time_s + 1, since_s=0.0)
    assert log.contact_s == {1: 10.0, 2: 10.0, 3: 10.0}


def test_successive_contacts_of_a_person_add_up() -> None:
    log = ContactLog()
    log.add((1, 2), 0.0, 4.0, since_s=0.0)
    log.add((1, 3), 6.0, 9.0, since_s=6.0)
    assert log.contact_s == {1: 7.0, 2: 4.0, 3: 3.0}


def test_the_log_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairs, "_MAX_LOGGED", 3)
    log = ContactLog()
    for person in range(0, 20, 2):
        log.add((person, person + 1), person, person + 1, since_s=person)
    assert sorted(contact.first_id for contact in log.contacts) == [14, 16, 18]
    assert len(log.contact_s) == 3


def test_current_contacts_are_not_removed_from_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairs, "_MAX_LOGGED", 6)
    log = ContactLog()
    for second in range(50):
        log.add((0, 1), second, second + 1, since_s=0.0)
        person = 10 + 2 * second
        log.add((person, person + 1), second, second + 1, since_s=second)
    assert log.contacts[0].total_s == 50.0
    assert {0, 1} <= log.contact_s.keys()
