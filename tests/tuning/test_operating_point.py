from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from maskdet.metrics.calibration import apply_temperature
from maskdet.metrics.detection import match_detections_in_image
from maskdet.settings import Settings
from maskdet.tuning.operating_point import (
    ACTUAL_KEYS,
    FALSE_POSITIVE,
    IGNORED_MATCH,
    MISSED,
    NO_FACE,
    PREDICTED_KEYS,
    UNSURE,
    Evaluator,
    FaceRef,
)
from maskdet.types import Faces, Label, Scene
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

MASK, BARE, WRONG, UNKNOWN = Label.MASK, Label.NO_MASK, Label.INCORRECT, Label.UNKNOWN
LAX = Settings(min_score=0, min_confidence=0, min_face_px=1, nms_iou=1)
SEVERAL = (
    Settings(),
    LAX,
    Settings(min_score=0.1, nms_iou=0.9, min_face_px=20, min_confidence=0.8),
    Settings(min_score=0, nms_iou=0, min_face_px=1),
    Settings(min_score=1, min_confidence=1),
)


def test_every_kind_of_answer_has_its_cell():
    judge = Evaluator(
        make_counted_predictions(
            [
                TrueFace(0, A, MASK),
                TrueFace(0, B, BARE),
                TrueFace(1, A, WRONG),
                TrueFace(1, B, UNKNOWN),
                TrueFace(2, A, BARE),
            ],
            [
                DetectedFace(0, A, 0.9, make_probs(MASK)),
                DetectedFace(0, B, 0.8, make_probs(MASK)),
                DetectedFace(0, C, 0.7, make_probs(BARE, 0.5)),
                DetectedFace(1, A, 0.9, make_probs(WRONG, 0.5)),
                DetectedFace(1, B, 0.9, make_probs(MASK)),
                DetectedFace(2, A, 0.4, make_probs(BARE)),
            ],
            n_images=3,
        )
    )
    outcome = judge(Settings(min_score=0.5, min_confidence=0.6))
    assert ACTUAL_KEYS == ("mask", "no_mask", "incorrect", "no_face")
    assert PREDICTED_KEYS == ("mask", "no_mask", "incorrect", "unsure", "missed")
    assert outcome.confusion.tolist() == [
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0],
    ]
    assert outcome.shown_rows.tolist() == [0, 1, 2, 3, 4]
    assert outcome.predicted.tolist() == [MASK, MASK, UNKNOWN, UNKNOWN, MASK]
    assert outcome.matched_ground_truth.tolist() == [
        0,
        1,
        FALSE_POSITIVE,
        2,
        IGNORED_MATCH,
    ]
    assert outcome.matched_detections.tolist() == [0, 1, 3, 4, -1]
    assert outcome.faces_in_cell(BARE, MISSED) == (FaceRef(2, -1, 4),)
    assert outcome.faces_in_cell(BARE, MASK) == (FaceRef(0, 1, 1),)
    assert outcome.faces_in_cell(NO_FACE, UNSURE) == (FaceRef(0, 2, -1),)
    assert outcome.faces_in_cell(NO_FACE, MISSED) == ()
    with pytest.raises(ValueError, match="no cell 4, 0"):
        outcome.faces_in_cell(4, 0)


@pytest.mark.parametrize("equal_scores", [False, True])
@pytest.mark.parametrize("settings", SEVERAL)
@pytest.mark.parametrize("min_iou", [0.3, 0.5, 0.75])
def test_it_shows_what_a_scene_shows_and_matches_as_evaluation_does(
    equal_scores, settings, min_iou
):
    one = make_random_predictions(1, equal_scores=equal_scores)
    outcome = Evaluator(one)(settings, min_iou=min_iou)
    labels = one.ground_truth.labels
    for picture in range(len(one.ground_truth.names)):
        found = np.flatnonzero(one.faces.image_indices == picture)
        true = np.flatnonzero(one.ground_truth.faces.image_indices == picture)
        # A scene sorts its faces, so its rows are told by what they carry.
        order = found[np.argsort(-one.scores[found], kind="stable")]
        scene = Scene(
            Faces(one.faces.boxes[found], one.scores[found]),
            one.probs[order],
            track_ids=order,
        ).filter(settings)
        places = np.flatnonzero(one.faces.image_indices[outcome.shown_rows] == picture)
        assert sorted(scene.track_ids) == outcome.shown_rows[places].tolist()
        said = dict(zip(scene.track_ids, scene.labels, strict=True))
        matched = match_detections_in_image(
            scene.faces,
            one.ground_truth.faces.boxes[true],
            min_iou=min_iou,
            ignored=labels[true] == UNKNOWN,
        )
        wanted = {
            int(row): FALSE_POSITIVE if at < 0 else int(true[at])
            for row, at in zip(scene.track_ids, matched, strict=True)
        }
        for place in places:
            row = int(outcome.shown_rows[place])
            assert outcome.predicted[place] == said[row]
            truth = wanted[row]
            unknown = truth >= 0 and labels[truth] == UNKNOWN
            assert outcome.matched_ground_truth[place] == (
                IGNORED_MATCH if unknown else truth
            )


def test_every_true_face_of_known_class_is_counted_once_and_cells_hold_the_faces():
    one = make_random_predictions(2)
    outcome = Evaluator(one)(Settings(min_score=0.3))
    classes = [
        (one.ground_truth.labels == label).sum() for label in (MASK, BARE, WRONG)
    ]
    assert outcome.confusion[:NO_FACE].sum(axis=1).tolist() == classes
    for actual in range(len(ACTUAL_KEYS)):
        for said in range(len(PREDICTED_KEYS)):
            hits = outcome.faces_in_cell(actual, said)
            assert len(set(hits)) == len(hits) == outcome.confusion[actual, said]
            assert all(
                (hit.ground_truth_row == -1) == (actual == NO_FACE) for hit in hits
            )
            assert all((hit.detection_row == -1) == (said == MISSED) for hit in hits)


def test_a_true_face_too_small_to_be_shown_is_missed():
    judge = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK)], [DetectedFace(0, A, 0.9, make_probs(MASK))]
        )
    )
    assert judge(Settings(min_face_px=20)).confusion[MASK, MASK] == 1
    assert judge(Settings(min_face_px=21)).confusion[MASK, MISSED] == 1


def test_a_picture_of_one_face_is_answered_by_the_best_face_wherever_it_is():
    whole = (0, 0, 300, 300)
    judge = Evaluator(
        make_counted_predictions(
            [
                TrueFace(0, whole, MASK),
                TrueFace(1, whole, BARE),
                TrueFace(2, whole, UNKNOWN),
            ],
            [
                DetectedFace(0, A, 0.6, make_probs(BARE)),
                DetectedFace(0, B, 0.9, make_probs(MASK)),
                DetectedFace(2, A, 0.9, make_probs(MASK)),
                DetectedFace(3, A, 0.9, make_probs(MASK)),
            ],
            n_images=4,
            boxed=False,
        )
    )
    outcome = judge(Settings())
    # Nobody said what the fourth image shows but no face: that one is an alarm.
    assert outcome.matched_ground_truth.tolist() == [
        IGNORED_MATCH,
        0,
        IGNORED_MATCH,
        FALSE_POSITIVE,
    ]
    assert outcome.matched_detections.tolist() == [1, -1, 2]
    assert outcome.confusion.sum() == 3
    assert outcome.confusion[BARE, MISSED] == 1


def test_temperature_changes_confidence_and_never_the_likeliest_class():
    one = make_random_predictions(3)
    plain, warm = (Evaluator(one)(LAX, temperature=t) for t in (1.0, 4.0))
    assert np.array_equal(plain.predicted, warm.predicted)
    assert np.allclose(warm.probs, apply_temperature(plain.probs, 4.0))
    sure = dataclasses.replace(LAX, min_confidence=0.9)
    counts = [Evaluator(one)(sure, temperature=t).confusion[:, UNSURE] for t in (1, 4)]
    assert counts[1].sum() > counts[0].sum()


def test_some_pictures_are_judged_as_if_there_were_no_others():
    one = make_random_predictions(4)
    judge, settings = Evaluator(one), Settings(min_score=0.2)
    half = np.arange(len(one.ground_truth.names)) % 3 == 0
    parts = [judge.select_images(half)(settings), judge.select_images(~half)(settings)]
    whole = judge(settings)
    assert (parts[0].confusion + parts[1].confusion == whole.confusion).all()
    for part in parts:
        anew = Evaluator(part.predictions)(settings)
        assert np.array_equal(anew.matched_ground_truth, part.matched_ground_truth)
        assert np.array_equal(anew.shown_rows, part.shown_rows)
    assert parts[0].predictions.ground_truth.names == tuple(one.ground_truth.names[::3])
    with pytest.raises(ValueError, match=r"\(2,\) choices do not fit 30 images"):
        judge.select_images(np.ones(2, np.bool_))


def test_nothing_found_and_nothing_true():
    nothing = Evaluator(make_counted_predictions([], []))(Settings())
    assert nothing.confusion.sum() == 0
    missed = Evaluator(make_counted_predictions([TrueFace(0, A, BARE)], []))(Settings())
    assert missed.confusion[BARE, MISSED] == missed.confusion.sum() == 1
    alarm = Evaluator(
        make_counted_predictions(
            [], [DetectedFace(0, ELSEWHERE, 0.9, make_probs(MASK))]
        )
    )(Settings())
    assert alarm.confusion[NO_FACE, MASK] == alarm.confusion.sum() == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"min_iou": 0}, "min_iou must be above 0"),
        ({"min_iou": 1.1}, "at most 1, not 1.1"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"temperature": float("nan")}, "temperature must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        Evaluator(make_counted_predictions([], []))(Settings(), **asked)
