from __future__ import annotations

import dataclasses

import pytest

from maskdet.settings import Settings
from maskdet.tuning.decision_changes import find_decision_changes, find_near_misses
from maskdet.tuning.operating_point import MISSED, UNSURE, Evaluator, FaceRef
from maskdet.types import Label
from tests.tuning.counting_fakes import (
    ELSEWHERE,
    A,
    B,
    C,
    DetectedFace,
    TrueFace,
    make_counted_predictions,
    make_probs,
    make_random_predictions,
)

MASK, BARE = Label.MASK, Label.NO_MASK
SETTINGS = Settings(min_score=0.5, min_confidence=0.6, min_face_px=10)


def with_(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def test_a_lower_score_shows_faces_and_alarms_nearest_first():
    judge = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK), TrueFace(0, B, MASK), TrueFace(0, C, BARE)],
            [
                DetectedFace(0, A, 0.9, make_probs(MASK)),
                DetectedFace(0, B, 0.35, make_probs(MASK)),
                DetectedFace(0, C, 0.4, make_probs(MASK)),
                DetectedFace(0, ELSEWHERE, 0.32, make_probs(MASK)),
            ],
        )
    )
    found = find_decision_changes(judge(SETTINGS), judge(with_(min_score=0.3)))
    assert [flip.face for flip in found] == [
        FaceRef(0, 3, -1),
        FaceRef(0, 1, 1),
        FaceRef(0, 2, 2),
    ]
    assert [flip.distance for flip in found] == pytest.approx([0.02, 0.05, 0.1])
    assert {flip.kind for flip in found} == {"appeared"}
    # A mask that is called so is better, one called wrong is as bad as one missed.
    assert [flip.better for flip in found] == [False, True, None]
    assert [(flip.before, flip.after) for flip in found] == [(MISSED, MASK)] * 3
    back = find_decision_changes(judge(with_(min_score=0.3)), judge(SETTINGS))
    assert {flip.kind for flip in back} == {"vanished"}
    assert {flip.face: flip.better for flip in back} == {
        FaceRef(0, 3, -1): True,
        FaceRef(0, 1, 1): False,
        FaceRef(0, 2, 2): None,
    }


def test_more_confidence_makes_unsure_and_that_is_better_only_for_what_was_wrong():
    judge = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK), TrueFace(0, B, BARE)],
            [
                DetectedFace(0, A, 0.9, make_probs(MASK, 0.7)),
                DetectedFace(0, B, 0.9, make_probs(MASK, 0.75)),
                DetectedFace(0, C, 0.9, make_probs(MASK, 0.72)),
            ],
        )
    )
    found = find_decision_changes(judge(SETTINGS), judge(with_(min_confidence=0.8)))
    assert [flip.face.detection_row for flip in found] == [1, 2, 0]
    assert [flip.better for flip in found] == [True, None, False]
    assert {(flip.kind, flip.after) for flip in found} == {("label", UNSURE)}
    assert found[0].distance == pytest.approx(0.05)


def test_sizes_lie_apart_as_shares_of_the_threshold():
    judge = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK)], [DetectedFace(0, A, 0.9, make_probs(MASK))]
        )
    )
    (flip,) = find_decision_changes(judge(SETTINGS), judge(with_(min_face_px=25)))
    assert flip.kind == "vanished"
    assert flip.distance == pytest.approx(0.2)


def test_a_second_box_crosses_no_threshold():
    second = (2, 0, 22, 20)
    found = [
        DetectedFace(0, A, 0.9, make_probs(MASK)),
        DetectedFace(0, second, 0.8, make_probs(MASK)),
    ]
    judge = Evaluator(make_counted_predictions([TrueFace(0, A, MASK)], found))
    (flip,) = find_decision_changes(judge(SETTINGS), judge(with_(nms_iou=0.9)))
    assert flip.face == FaceRef(0, 1, -1)
    assert (flip.kind, flip.better, flip.distance) == ("appeared", False, 1)


def test_a_stricter_overlap_turns_a_face_into_an_alarm():
    moved = (0, 5, 20, 25)
    judge = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK)], [DetectedFace(0, moved, 0.9, make_probs(MASK))]
        )
    )
    before, after = judge(SETTINGS, min_iou=0.5), judge(SETTINGS, min_iou=0.7)
    (flip,) = find_decision_changes(before, after)
    assert (flip.kind, flip.better) == ("verdict", False)
    assert (flip.before, flip.after) == (MASK, MASK)


def test_the_same_settings_flip_nothing_and_other_faces_cannot_be_compared():
    judge, other = (
        Evaluator(make_random_predictions(1)),
        Evaluator(make_random_predictions(2)),
    )
    assert find_decision_changes(judge(SETTINGS), judge(SETTINGS)) == ()
    with pytest.raises(ValueError, match="same found faces"):
        find_decision_changes(judge(SETTINGS), other(SETTINGS))


def test_each_kind_of_mistake_that_a_small_move_would_mend():
    small = (150, 0, 159, 20)
    judge = Evaluator(
        make_counted_predictions(
            [
                TrueFace(0, A, MASK),
                TrueFace(0, B, BARE),
                TrueFace(0, C, MASK),
                TrueFace(0, small, MASK),
                TrueFace(1, A, MASK),
                TrueFace(1, B, Label.UNKNOWN),
            ],
            [
                DetectedFace(0, A, 0.45, make_probs(MASK)),
                DetectedFace(0, B, 0.9, make_probs(MASK, 0.62)),
                DetectedFace(0, C, 0.9, make_probs(MASK, 0.59)),
                DetectedFace(0, small, 0.8, make_probs(MASK)),
                DetectedFace(0, ELSEWHERE, 0.53, make_probs(MASK)),
                DetectedFace(1, A, 0.9, make_probs(MASK)),
                DetectedFace(1, B, 0.4, make_probs(MASK)),
            ],
            n_images=2,
        )
    )
    found = find_near_misses(judge(SETTINGS))
    assert [(near.setting, near.face.detection_row) for near in found] == [
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
    assert find_near_misses(judge(SETTINGS), max_count=2) == found[:2]
