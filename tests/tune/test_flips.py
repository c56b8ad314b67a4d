from __future__ import annotations

import dataclasses

import pytest

from maskdet.tune.flips import flips, nearest
from maskdet.tune.judging import MISSED, UNSURE, Hit, Judge
from maskdet.types import Label, Settings
from tests.tune.counting_fakes import (
    ELSEWHERE,
    A,
    B,
    C,
    Found,
    Real,
    by_chance,
    probs,
    scored,
)

MASK, BARE = Label.MASK, Label.NO_MASK
SETTINGS = Settings(min_score=0.5, min_confidence=0.6, min_face_px=10)


def with_(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def test_a_lower_score_shows_faces_and_alarms_nearest_first():
    judge = Judge(
        scored(
            [Real(0, A, MASK), Real(0, B, MASK), Real(0, C, BARE)],
            [
                Found(0, A, 0.9, probs(MASK)),
                Found(0, B, 0.35, probs(MASK)),
                Found(0, C, 0.4, probs(MASK)),
                Found(0, ELSEWHERE, 0.32, probs(MASK)),
            ],
        )
    )
    found = flips(judge(SETTINGS), judge(with_(min_score=0.3)))
    assert [flip.hit for flip in found] == [Hit(0, 3, -1), Hit(0, 1, 1), Hit(0, 2, 2)]
    assert [flip.distance for flip in found] == pytest.approx([0.02, 0.05, 0.1])
    assert {flip.change for flip in found} == {"appeared"}
    # A mask that is called so is better, one called wrong is as bad as one missed.
    assert [flip.better for flip in found] == [False, True, None]
    assert [(flip.before, flip.after) for flip in found] == [(MISSED, MASK)] * 3
    back = flips(judge(with_(min_score=0.3)), judge(SETTINGS))
    assert {flip.change for flip in back} == {"vanished"}
    assert {flip.hit: flip.better for flip in back} == {
        Hit(0, 3, -1): True,
        Hit(0, 1, 1): False,
        Hit(0, 2, 2): None,
    }


def test_more_confidence_makes_unsure_and_that_is_better_only_for_what_was_wrong():
    judge = Judge(
        scored(
            [Real(0, A, MASK), Real(0, B, BARE)],
            [
                Found(0, A, 0.9, probs(MASK, 0.7)),
                Found(0, B, 0.9, probs(MASK, 0.75)),
                Found(0, C, 0.9, probs(MASK, 0.72)),
            ],
        )
    )
    found = flips(judge(SETTINGS), judge(with_(min_confidence=0.8)))
    assert [flip.hit.found_row for flip in found] == [1, 2, 0]
    assert [flip.better for flip in found] == [True, None, False]
    assert {(flip.change, flip.after) for flip in found} == {("label", UNSURE)}
    assert found[0].distance == pytest.approx(0.05)


def test_sizes_lie_apart_as_shares_of_the_threshold():
    judge = Judge(scored([Real(0, A, MASK)], [Found(0, A, 0.9, probs(MASK))]))
    (flip,) = flips(judge(SETTINGS), judge(with_(min_face_px=25)))
    assert flip.change == "vanished"
    assert flip.distance == pytest.approx(0.2)


def test_a_second_box_crosses_no_threshold():
    second = (2, 0, 22, 20)
    found = [Found(0, A, 0.9, probs(MASK)), Found(0, second, 0.8, probs(MASK))]
    judge = Judge(scored([Real(0, A, MASK)], found))
    (flip,) = flips(judge(SETTINGS), judge(with_(nms_iou=0.9)))
    assert flip.hit == Hit(0, 1, -1)
    assert (flip.change, flip.better, flip.distance) == ("appeared", False, 1)


def test_a_stricter_overlap_turns_a_face_into_an_alarm():
    moved = (0, 5, 20, 25)
    judge = Judge(scored([Real(0, A, MASK)], [Found(0, moved, 0.9, probs(MASK))]))
    before, after = judge(SETTINGS, min_iou=0.5), judge(SETTINGS, min_iou=0.7)
    (flip,) = flips(before, after)
    assert (flip.change, flip.better) == ("verdict", False)
    assert (flip.before, flip.after) == (MASK, MASK)


def test_the_same_settings_flip_nothing_and_other_faces_cannot_be_compared():
    judge, other = Judge(by_chance(1)), Judge(by_chance(2))
    assert flips(judge(SETTINGS), judge(SETTINGS)) == ()
    with pytest.raises(ValueError, match="same found faces"):
        flips(judge(SETTINGS), other(SETTINGS))


def test_each_kind_of_mistake_that_a_small_move_would_mend():
    small = (150, 0, 159, 20)
    judge = Judge(
        scored(
            [
                Real(0, A, MASK),
                Real(0, B, BARE),
                Real(0, C, MASK),
                Real(0, small, MASK),
                Real(1, A, MASK),
                Real(1, B, Label.UNKNOWN),
            ],
            [
                Found(0, A, 0.45, probs(MASK)),
                Found(0, B, 0.9, probs(MASK, 0.62)),
                Found(0, C, 0.9, probs(MASK, 0.59)),
                Found(0, small, 0.8, probs(MASK)),
                Found(0, ELSEWHERE, 0.53, probs(MASK)),
                Found(1, A, 0.9, probs(MASK)),
                Found(1, B, 0.4, probs(MASK)),
            ],
            pictures=2,
        )
    )
    found = nearest(judge(SETTINGS))
    assert [(near.setting, near.hit.found_row) for near in found] == [
        ("min_confidence", 2),
        ("min_confidence", 1),
        ("min_score", 4),
        ("min_score", 0),
        ("min_face_px", 3),
    ]
    assert [near.distance for near in found] == pytest.approx(
        [0.01, 0.02, 0.03, 0.05, 0.1], abs=1e-6
    )
    assert [near.threshold for near in found] == [0.6, 0.6, 0.5, 0.5, 10]
    assert found[4].value == 9
    assert nearest(judge(SETTINGS), most=2) == found[:2]
