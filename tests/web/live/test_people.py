"""People of the live image, counted once each."""

from __future__ import annotations

import numpy as np

from maskdet.types import UNTRACKED, Faces, Label, Scene
from maskdet.web.live.state import PeopleCount, PeopleCounter

MASK, BARE, DOUBT = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.4, 0.3, 0.3)


def scene(
    *people: tuple[int, tuple[float, float, float]],
    turned: int = 0,
    removed: tuple[int, ...] = (),
) -> Scene:
    """Return a scene of (number, probabilities); the last `turned` show no face."""
    n = len(people)
    return Scene(
        Faces(np.tile([10.0, 10, 40, 50], (n, 1)), np.full(n, 0.9)),
        np.array([probs for _, probs in people], np.float32).reshape(-1, 3),
        track_ids=np.array([number for number, _ in people], np.int64),
        min_confidence=0.6,
        removed_ids=removed,
        unseen_s=np.array([0.0] * (n - turned) + [1.5] * turned),
    )


def counted(people: PeopleCount) -> tuple[dict[str, int], dict[str, int]]:
    return tuple(
        {label.key: n for label, n in counts.items() if n}
        for counts in (people.current, people.total)
    )


def test_who_stays_is_one_person_and_who_comes_is_one_more() -> None:
    roll = PeopleCounter()
    for _ in range(50):
        people = roll.update(scene((1, MASK)))
    assert counted(people) == ({"mask": 1}, {"mask": 1})
    people = roll.update(scene((1, MASK), (2, BARE)))
    assert counted(people) == ({"mask": 1, "no_mask": 1},) * 2


def test_who_left_still_counts_since_start() -> None:
    roll = PeopleCounter()
    roll.update(scene((1, MASK), (2, BARE)))
    people = roll.update(scene((2, BARE), removed=(1,)))
    assert counted(people) == ({"no_mask": 1}, {"mask": 1, "no_mask": 1})
    people = roll.update(scene(removed=(2, 77)))
    assert counted(people) == ({}, {"mask": 1, "no_mask": 1})


def test_the_last_sure_label_counts_since_start() -> None:
    roll = PeopleCounter()
    assert counted(roll.update(scene((1, DOUBT)))) == ({"unknown": 1},) * 2
    roll.update(scene((1, MASK)))
    assert counted(roll.update(scene((1, DOUBT)))) == ({"unknown": 1}, {"mask": 1})
    assert counted(roll.update(scene((1, BARE)))) == ({"no_mask": 1},) * 2


def test_a_face_without_a_number_is_nobody_yet() -> None:
    assert counted(PeopleCounter().update(scene((UNTRACKED, MASK)))) == ({}, {})


def test_turned_people_are_in_view_with_what_was_seen_of_them() -> None:
    people = PeopleCounter().update(scene((1, MASK), (2, BARE), turned=1))
    assert people.turned_away == 1
    assert people.current[Label.NO_MASK] == 1
    assert PeopleCounter().update(scene((UNTRACKED, BARE), turned=1)).turned_away == 0
