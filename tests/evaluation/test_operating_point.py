from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from maskdet.evaluation.operating_point import (
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
from maskdet.metrics.calibration import apply_temperature
from maskdet.settings import Settings
from maskdet.types import Faces, Label, Scene
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
from tests.helpers.greedy_matching import match_greedily

MASK, NO_MASK, INCORRECT, UNKNOWN = (
    Label.MASK,
    Label.NO_MASK,
    Label.INCORRECT,
    Label.UNKNOWN,
)
PERMISSIVE = Settings(min_score=0, min_confidence=0, min_face_px=1, nms_iou=1)
SEVERAL = (
    Settings(),
    PERMISSIVE,
    Settings(min_score=0.1, nms_iou=0.9, min_face_px=20, min_confidence=0.8),
    Settings(min_score=0, nms_iou=0, min_face_px=1),
    Settings(min_score=1, min_confidence=1),
)


def test_every_kind_of_prediction_has_its_cell():
    evaluator = Evaluator(
        make_counted_predictions(
            [
                TrueFace(0, A, MASK),
                TrueFace(0, B, NO_MASK),
                TrueFace(1, A, INCORRECT),
                TrueFace(1, B, UNKNOWN),
                TrueFace(2, A, NO_MASK),
            ],
            [
                DetectedFace(0, A, 0.9, make_probs(MASK)),
                DetectedFace(0, B, 0.8, make_probs(MASK)),
                DetectedFace(0, C, 0.7, make_probs(NO_MASK, 0.5)),
                DetectedFace(1, A, 0.9, make_probs(INCORRECT, 0.5)),
                DetectedFace(1, B, 0.9, make_probs(MASK)),
                DetectedFace(2, A, 0.4, make_probs(NO_MASK)),
            ],
            n_images=3,
        )
    )
    result = evaluator(Settings(min_score=0.5, min_confidence=0.6))
    assert ACTUAL_KEYS == ("mask", "no_mask", "incorrect", "no_face")
    assert PREDICTED_KEYS == ("mask", "no_mask", "incorrect", "unsure", "missed")
    assert result.confusion.tolist() == [
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0],
    ]
    assert result.shown_rows.tolist() == [0, 1, 2, 3, 4]
    assert result.predicted.tolist() == [MASK, MASK, UNKNOWN, UNKNOWN, MASK]
    assert result.matched_ground_truth.tolist() == [
        0,
        1,
        FALSE_POSITIVE,
        2,
        IGNORED_MATCH,
    ]
    assert result.matched_detections.tolist() == [0, 1, 3, 4, -1]
    assert result.faces_in_cell(NO_MASK, MISSED) == (FaceRef(2, -1, 4),)
    assert result.faces_in_cell(NO_MASK, MASK) == (FaceRef(0, 1, 1),)
    assert result.faces_in_cell(NO_FACE, UNSURE) == (FaceRef(0, 2, -1),)
    assert result.faces_in_cell(NO_FACE, MISSED) == ()
    with pytest.raises(ValueError, match="cell 4, 0 is outside the matrix"):
        result.faces_in_cell(4, 0)


@pytest.mark.parametrize("equal_scores", [False, True])
@pytest.mark.parametrize("settings", SEVERAL)
@pytest.mark.parametrize("min_iou", [0.3, 0.5, 0.75])
def test_evaluation_equals_scene_filter_and_matching_by_image(
    equal_scores, settings, min_iou
):
    predictions = make_random_predictions(1, equal_scores=equal_scores)
    result = Evaluator(predictions)(settings, min_iou=min_iou)
    labels = predictions.ground_truth.labels
    for image_index in range(len(predictions.ground_truth.names)):
        detected = np.flatnonzero(predictions.faces.image_indices == image_index)
        true = np.flatnonzero(
            predictions.ground_truth.faces.image_indices == image_index
        )
        # A scene sorts its faces; the track IDs carry the original rows.
        order = detected[np.argsort(-predictions.scores[detected], kind="stable")]
        scene = Scene(
            Faces(predictions.faces.boxes[detected], predictions.scores[detected]),
            predictions.probs[order],
            track_ids=order,
        ).filter(settings)
        indices = np.flatnonzero(
            predictions.faces.image_indices[result.shown_rows] == image_index
        )
        assert sorted(scene.track_ids) == result.shown_rows[indices].tolist()
        predicted_labels = dict(zip(scene.track_ids, scene.labels, strict=True))
        matched = match_greedily(
            scene.faces,
            predictions.ground_truth.faces.boxes[true],
            min_iou=min_iou,
            ignored=labels[true] == UNKNOWN,
        )
        expected = {
            int(row): FALSE_POSITIVE if match < 0 else int(true[match])
            for row, match in zip(scene.track_ids, matched, strict=True)
        }
        for index in indices:
            row = int(result.shown_rows[index])
            assert result.predicted[index] == predicted_labels[row]
            row_truth = expected[row]
            unknown = row_truth >= 0 and labels[row_truth] == UNKNOWN
            assert result.matched_ground_truth[index] == (
                IGNORED_MATCH if unknown else row_truth
            )


def test_every_true_face_of_known_class_is_in_one_cell():
    predictions = make_random_predictions(2)
    result = Evaluator(predictions)(Settings(min_score=0.3))
    classes = [
        (predictions.ground_truth.labels == label).sum()
        for label in (MASK, NO_MASK, INCORRECT)
    ]
    assert result.confusion[:NO_FACE].sum(axis=1).tolist() == classes
    for actual in range(len(ACTUAL_KEYS)):
        for column in range(len(PREDICTED_KEYS)):
            hits = result.faces_in_cell(actual, column)
            assert len(set(hits)) == len(hits) == result.confusion[actual, column]
            assert all(
                (hit.ground_truth_row == -1) == (actual == NO_FACE) for hit in hits
            )
            assert all((hit.detection_row == -1) == (column == MISSED) for hit in hits)


def test_a_true_face_too_small_to_be_shown_is_missed():
    evaluator = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK)], [DetectedFace(0, A, 0.9, make_probs(MASK))]
        )
    )
    assert evaluator(Settings(min_face_px=20)).confusion[MASK, MASK] == 1
    assert evaluator(Settings(min_face_px=21)).confusion[MASK, MISSED] == 1


def test_without_boxes_the_best_detection_matches_the_image():
    whole = (0, 0, 300, 300)
    evaluator = Evaluator(
        make_counted_predictions(
            [
                TrueFace(0, whole, MASK),
                TrueFace(1, whole, NO_MASK),
                TrueFace(2, whole, UNKNOWN),
            ],
            [
                DetectedFace(0, A, 0.6, make_probs(NO_MASK)),
                DetectedFace(0, B, 0.9, make_probs(MASK)),
                DetectedFace(2, A, 0.9, make_probs(MASK)),
                DetectedFace(3, A, 0.9, make_probs(MASK)),
            ],
            n_images=4,
            boxed=False,
        )
    )
    result = evaluator(Settings())
    # The fourth image has no face, so its detection is a false positive.
    assert result.matched_ground_truth.tolist() == [
        IGNORED_MATCH,
        0,
        IGNORED_MATCH,
        FALSE_POSITIVE,
    ]
    assert result.matched_detections.tolist() == [1, -1, 2]
    assert result.confusion.sum() == 3
    assert result.confusion[NO_MASK, MISSED] == 1


def test_temperature_changes_confidence_but_not_the_likeliest_class():
    predictions = make_random_predictions(3)
    plain, warm = (
        Evaluator(predictions)(PERMISSIVE, temperature=t) for t in (1.0, 4.0)
    )
    assert np.array_equal(plain.predicted, warm.predicted)
    assert np.allclose(warm.probs, apply_temperature(plain.probs, 4.0))
    strict = dataclasses.replace(PERMISSIVE, min_confidence=0.9)
    counts = [
        Evaluator(predictions)(strict, temperature=t).confusion[:, UNSURE]
        for t in (1, 4)
    ]
    assert counts[1].sum() > counts[0].sum()


def test_selected_images_are_evaluated_independently():
    predictions = make_random_predictions(4)
    evaluator, settings = Evaluator(predictions), Settings(min_score=0.2)
    half = np.arange(len(predictions.ground_truth.names)) % 3 == 0
    parts = [
        evaluator.select_images(half)(settings),
        evaluator.select_images(~half)(settings),
    ]
    whole = evaluator(settings)
    assert (parts[0].confusion + parts[1].confusion == whole.confusion).all()
    for part in parts:
        recomputed = Evaluator(part.predictions)(settings)
        assert np.array_equal(
            recomputed.matched_ground_truth, part.matched_ground_truth
        )
        assert np.array_equal(recomputed.shown_rows, part.shown_rows)
    assert parts[0].predictions.ground_truth.names == tuple(
        predictions.ground_truth.names[::3]
    )
    with pytest.raises(ValueError, match=r"shape \(30,\), not \(2,\)"):
        evaluator.select_images(np.ones(2, np.bool_))


def test_evaluation_without_detections_or_true_faces():
    nothing = Evaluator(make_counted_predictions([], []))(Settings())
    assert nothing.confusion.sum() == 0
    missed = Evaluator(make_counted_predictions([TrueFace(0, A, NO_MASK)], []))(
        Settings()
    )
    assert missed.confusion[NO_MASK, MISSED] == missed.confusion.sum() == 1
    false_positive = Evaluator(
        make_counted_predictions(
            [], [DetectedFace(0, ELSEWHERE, 0.9, make_probs(MASK))]
        )
    )(Settings())
    assert (
        false_positive.confusion[NO_FACE, MASK] == false_positive.confusion.sum() == 1
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_iou": 0}, "min_iou must be above 0"),
        ({"min_iou": 1.1}, "at most 1, not 1.1"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"temperature": float("nan")}, "temperature must be above 0"),
    ],
)
def test_invalid_parameters_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        Evaluator(make_counted_predictions([], []))(Settings(), **options)
