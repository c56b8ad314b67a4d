from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from maskdet.evaluation.operating_point import ACTUAL_KEYS, MISSED, NO_FACE, Evaluator
from maskdet.metrics.intervals import proportion
from maskdet.settings import Settings
from maskdet.tuning.class_metrics import compute_class_metrics, compute_slice_metrics
from maskdet.types import CLASSES, Label
from tests.helpers.counting_fakes import (
    ELSEWHERE,
    A,
    B,
    DetectedFace,
    TrueFace,
    make_counted_predictions,
    make_probs,
    make_random_predictions,
)

MASK, NO_MASK = Label.MASK, Label.NO_MASK
SETTINGS = Settings(min_score=0.4, min_face_px=1)


@pytest.mark.parametrize("seed", [1, 2])
def test_classes_agree_with_scikit_learn(seed):
    result = Evaluator(make_random_predictions(seed, 60))(SETTINGS)
    cells = [
        (actual, predicted)
        for (actual, predicted), count in np.ndenumerate(result.confusion)
        for _ in range(count)
    ]
    actual, predicted = np.array(cells).T
    expected = precision_recall_fscore_support(actual, predicted, labels=[0, 1, 2])
    faces, *classes = compute_class_metrics(result)
    assert [row.label for row in classes] == list(CLASSES)
    for row, precision, recall, f1, n in zip(classes, *expected, strict=True):
        assert row.precision.value == pytest.approx(precision)
        assert row.recall.value == pytest.approx(recall)
        assert row.f1.value == pytest.approx(f1)
        assert row.recall.n == row.f1.n == n
        for estimate in (row.precision, row.recall, row.f1):
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    true, shown = actual != NO_FACE, predicted != MISSED
    assert faces.label is None
    assert faces.precision.value == pytest.approx((true & shown).sum() / shown.sum())
    assert faces.recall.value == pytest.approx((true & shown).sum() / true.sum())
    wrong = result.confusion[NO_FACE].sum()
    assert faces.false_positives_per_image.value == pytest.approx(wrong / 60)
    assert faces.false_positives_per_image.n == 60


def test_a_false_positive_of_a_class_may_be_a_face_of_another():
    detections = [
        DetectedFace(0, A, 0.9, make_probs(NO_MASK)),
        DetectedFace(1, ELSEWHERE, 0.9, make_probs(NO_MASK)),
    ]
    evaluator = Evaluator(
        make_counted_predictions([TrueFace(0, A, MASK)], detections, n_images=4)
    )
    faces, mask, no_mask, _ = compute_class_metrics(evaluator(SETTINGS))
    assert faces.false_positives_per_image.value == 0.25
    assert no_mask.false_positives_per_image.value == 0.5
    assert mask.false_positives_per_image.value == 0
    assert math.isnan(no_mask.recall.value)
    assert (no_mask.precision.value, no_mask.precision.n) == (0, 2)


def test_a_perfect_rate_has_the_wilson_interval():
    true_faces = [TrueFace(image_index, A, MASK) for image_index in range(5)]
    detections = [
        DetectedFace(image_index, A, 0.9, make_probs(MASK)) for image_index in range(5)
    ]
    rows = compute_class_metrics(
        Evaluator(make_counted_predictions(true_faces, detections, n_images=5))(
            SETTINGS
        )
    )
    assert rows[1].recall == rows[1].precision == proportion(5, 5)


def test_correlated_faces_of_an_image_widen_the_interval():
    spread = [TrueFace(image_index, A, MASK) for image_index in range(40)]
    detections = [
        DetectedFace(image_index, A, 0.9, make_probs(MASK))
        for image_index in range(0, 40, 2)
    ]
    alone = compute_class_metrics(
        Evaluator(make_counted_predictions(spread, detections, n_images=40))(SETTINGS)
    )[0].recall
    boxes = [(30 * place, 0, 30 * place + 20, 20) for place in range(10)]
    crowds = [
        TrueFace(image_index, box, MASK) for image_index in range(4) for box in boxes
    ]
    crowd_detections = [
        DetectedFace(image_index, box, 0.9, make_probs(MASK))
        for image_index in (0, 2)
        for box in boxes
    ]
    crowd = compute_class_metrics(
        Evaluator(make_counted_predictions(crowds, crowd_detections, n_images=4))(
            SETTINGS
        )
    )[0].recall
    assert alone.value == crowd.value == 0.5
    assert crowd.high - crowd.low > 2 * (alone.high - alone.low)


def test_slices_separate_small_dark_and_blurred_faces():
    small, large = (100, 0, 110, 10), (0, 0, 70, 70)
    true_faces, detections = [], []
    for image_index in range(30):
        true_faces.append(TrueFace(image_index, large, MASK, light=200, sharpness=900))
        true_faces.append(
            TrueFace(image_index, small, NO_MASK, light=20, sharpness=image_index)
        )
        detections.append(DetectedFace(image_index, large, 0.9, make_probs(MASK)))
        if image_index < 6:
            detections.append(
                DetectedFace(image_index, small, 0.9, make_probs(NO_MASK))
            )
    detections.append(DetectedFace(29, (200, 0, 210, 10), 0.9, make_probs(MASK)))
    table = {
        (part.name, part.part): part
        for part in compute_slice_metrics(
            Evaluator(make_counted_predictions(true_faces, detections, n_images=30))(
                SETTINGS
            )
        )
    }
    assert ("face size", "32 to 64 px") not in table
    tiny, big = table["face size", "under 32 px"], table["face size", "64 to 128 px"]
    assert tiny.detection_recall == tiny.correct_rate == proportion(6, 30)
    assert tiny.precision == proportion(6, 7)
    assert tiny.worse
    assert tiny.difference.value == pytest.approx(-0.8)
    assert big.correct_rate == proportion(30, 30)
    assert not big.worse
    assert table["light", "under 40"].correct_rate == proportion(6, 30)
    thirds = [
        part.detection_recall.n
        for (name, _), part in table.items()
        if name == "sharpness"
    ]
    assert sum(thirds) == 60
    assert table["sharpness", "blurred third"].worse


def test_a_detected_face_with_a_wrong_label_is_detected_and_not_correct():
    detections = [
        DetectedFace(0, A, 0.9, make_probs(NO_MASK)),
        DetectedFace(0, B, 0.9, make_probs(MASK, 0.5)),
    ]
    evaluator = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK), TrueFace(0, B, MASK)], detections
        )
    )
    for part in compute_slice_metrics(evaluator(SETTINGS)):
        assert part.detection_recall.value == 1
        assert part.correct_rate.value == 0
        assert not part.worse


def test_an_empty_set_has_rows_and_no_slices():
    result = Evaluator(make_counted_predictions([], []))(SETTINGS)
    assert len(compute_class_metrics(result)) == len(ACTUAL_KEYS)
    assert compute_slice_metrics(result) == ()
