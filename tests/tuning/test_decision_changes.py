from __future__ import annotations

import dataclasses

import pytest

from maskdet.evaluation.operating_point import MISSED, UNSURE, Evaluator, FaceRef
from maskdet.settings import Settings
from maskdet.tuning.decision_changes import find_decision_changes, find_near_misses
from maskdet.types import Label
from tests.helpers.counting_fakes import (
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

MASK, NO_MASK = Label.MASK, Label.NO_MASK
SETTINGS = Settings(min_score=0.5, min_confidence=0.6, min_face_px=10)


def replace_settings(**values):
    return dataclasses.replace(SETTINGS, **values)


def test_a_lower_threshold_shows_faces_and_false_positives_nearest_first():
    evaluator = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK), TrueFace(0, B, MASK), TrueFace(0, C, NO_MASK)],
            [
                DetectedFace(0, A, 0.9, make_probs(MASK)),
                DetectedFace(0, B, 0.35, make_probs(MASK)),
                DetectedFace(0, C, 0.4, make_probs(MASK)),
                DetectedFace(0, ELSEWHERE, 0.32, make_probs(MASK)),
            ],
        )
    )
    changes = find_decision_changes(
        evaluator(SETTINGS), evaluator(replace_settings(min_score=0.3))
    )
    assert [change.face for change in changes] == [
        FaceRef(0, 3, -1),
        FaceRef(0, 1, 1),
        FaceRef(0, 2, 2),
    ]
    assert [change.distance for change in changes] == pytest.approx([0.02, 0.05, 0.1])
    assert {change.kind for change in changes} == {"appeared"}
    # A correct label is better than a miss; a wrong label is as bad as a miss.
    assert [change.better for change in changes] == [False, True, None]
    assert [(change.before, change.after) for change in changes] == [(MISSED, MASK)] * 3
    back = find_decision_changes(
        evaluator(replace_settings(min_score=0.3)), evaluator(SETTINGS)
    )
    assert {change.kind for change in back} == {"vanished"}
    assert {change.face: change.better for change in back} == {
        FaceRef(0, 3, -1): True,
        FaceRef(0, 1, 1): False,
        FaceRef(0, 2, 2): None,
    }


def test_a_higher_confidence_threshold_is_better_only_for_wrong_labels():
    evaluator = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK), TrueFace(0, B, NO_MASK)],
            [
                DetectedFace(0, A, 0.9, make_probs(MASK, 0.7)),
                DetectedFace(0, B, 0.9, make_probs(MASK, 0.75)),
                DetectedFace(0, C, 0.9, make_probs(MASK, 0.72)),
            ],
        )
    )
    changes = find_decision_changes(
        evaluator(SETTINGS), evaluator(replace_settings(min_confidence=0.8))
    )
    assert [change.face.detection_row for change in changes] == [1, 2, 0]
    assert [change.better for change in changes] == [True, None, False]
    assert {(change.kind, change.after) for change in changes} == {("label", UNSURE)}
    assert changes[0].distance == pytest.approx(0.05)


def test_size_distances_are_relative_to_the_threshold():
    evaluator = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK)], [DetectedFace(0, A, 0.9, make_probs(MASK))]
        )
    )
    (change,) = find_decision_changes(
        evaluator(SETTINGS), evaluator(replace_settings(min_face_px=25))
    )
    assert change.kind == "vanished"
    assert change.distance == pytest.approx(0.2)


def test_a_box_kept_by_nms_does_not_cross_a_threshold():
    second = (2, 0, 22, 20)
    changes = [
        DetectedFace(0, A, 0.9, make_probs(MASK)),
        DetectedFace(0, second, 0.8, make_probs(MASK)),
    ]
    evaluator = Evaluator(make_counted_predictions([TrueFace(0, A, MASK)], changes))
    (change,) = find_decision_changes(
        evaluator(SETTINGS), evaluator(replace_settings(nms_iou=0.9))
    )
    assert change.face == FaceRef(0, 1, -1)
    assert (change.kind, change.better, change.distance) == ("appeared", False, 1)


def test_a_higher_matching_iou_turns_a_match_into_a_false_positive():
    moved = (0, 5, 20, 25)
    evaluator = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK)], [DetectedFace(0, moved, 0.9, make_probs(MASK))]
        )
    )
    before, after = evaluator(SETTINGS, min_iou=0.5), evaluator(SETTINGS, min_iou=0.7)
    (change,) = find_decision_changes(before, after)
    assert (change.kind, change.better) == ("match", False)
    assert (change.before, change.after) == (MASK, MASK)


def test_equal_settings_change_nothing_and_other_detections_are_rejected():
    evaluator, other = (
        Evaluator(make_random_predictions(1)),
        Evaluator(make_random_predictions(2)),
    )
    assert find_decision_changes(evaluator(SETTINGS), evaluator(SETTINGS)) == ()
    with pytest.raises(ValueError, match="of the same detections"):
        find_decision_changes(evaluator(SETTINGS), other(SETTINGS))


def test_near_misses_cover_each_kind_of_mistake():
    small = (150, 0, 159, 20)
    evaluator = Evaluator(
        make_counted_predictions(
            [
                TrueFace(0, A, MASK),
                TrueFace(0, B, NO_MASK),
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
    changes = find_near_misses(evaluator(SETTINGS))
    assert [
        (near_miss.setting, near_miss.face.detection_row) for near_miss in changes
    ] == [
        ("min_confidence", 2),
        ("min_confidence", 1),
        ("min_score", 4),
        ("min_score", 0),
        ("min_face_px", 3),
    ]
    assert [near_miss.distance for near_miss in changes] == pytest.approx(
        [0.01, 0.02, 0.03, 0.05, 0.1], abs=1e-6
    )
    assert [near_miss.threshold for near_miss in changes] == [0.6, 0.6, 0.5, 0.5, 10]
    assert changes[4].value == 9
    assert find_near_misses(evaluator(SETTINGS), max_count=2) == changes[:2]
