"""Counts of the tracked people of live video."""

from __future__ import annotations

import numpy as np

from maskdet.people import PersonLog
from maskdet.types import UNTRACKED, Faces, Label, Scene
from maskdet.web.live.state import PeopleCount, count_people

MASK, UNMASKED, UNSURE = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.4, 0.3, 0.3)


def scene(
    *people: tuple[int, tuple[float, float, float]],
    turned: int = 0,
    removed: tuple[int, ...] = (),
) -> Scene:
    """Return a scene of (ID, probabilities) without the last `turned` faces."""
    n = len(people)
    return Scene(
        Faces(np.tile([10.0, 10, 40, 50], (n, 1)), np.full(n, 0.9)),
        np.array([probs for _, probs in people], np.float32).reshape(-1, 3),
        track_ids=np.array([number for number, _ in people], np.int64),
        min_confidence=0.6,
        removed_ids=removed,
        unseen_s=np.array([0.0] * (n - turned) + [1.5] * turned),
    )


class Counter:
    def __init__(self) -> None:
        self.people = PersonLog()

    def update(self, scene: Scene) -> PeopleCount:
        self.people.update(scene)
        return count_people(self.people)


def counted(people: PeopleCount) -> tuple[dict[str, int], dict[str, int]]:
    return tuple(
        {label.key: n for label, n in counts.items() if n}
        for counts in (people.current, people.total)
    )


def test_each_track_counts_once() -> None:
    counter = Counter()
    for _ in range(50):
        people = counter.update(scene((1, MASK)))
    assert counted(people) == ({"mask": 1}, {"mask": 1})
    people = counter.update(scene((1, MASK), (2, UNMASKED)))
    assert counted(people) == ({"mask": 1, "no_mask": 1},) * 2


def test_people_who_left_count_in_the_total() -> None:
    counter = Counter()
    counter.update(scene((1, MASK), (2, UNMASKED)))
    people = counter.update(scene((2, UNMASKED), removed=(1,)))
    assert counted(people) == ({"no_mask": 1}, {"mask": 1, "no_mask": 1})
    people = counter.update(scene(removed=(2, 77)))
    assert counted(people) == ({}, {"mask": 1, "no_mask": 1})


def test_the_total_uses_the_last_label_other_than_unsure() -> None:
    counter = Counter()
    assert counted(counter.update(scene((1, UNSURE)))) == ({"unknown": 1},) * 2
    counter.update(scene((1, MASK)))
    assert counted(counter.update(scene((1, UNSURE)))) == ({"unknown": 1}, {"mask": 1})
    assert counted(counter.update(scene((1, UNMASKED)))) == ({"no_mask": 1},) * 2


def test_a_face_without_a_track_id_does_not_count() -> None:
    assert counted(Counter().update(scene((UNTRACKED, MASK)))) == ({}, {})


def test_people_turned_away_count_with_their_last_label() -> None:
    people = Counter().update(scene((1, MASK), (2, UNMASKED), turned=1))
    assert people.turned_away == 1
    assert people.current[Label.NO_MASK] == 1
    assert Counter().update(scene((UNTRACKED, UNMASKED), turned=1)).turned_away == 0
