from __future__ import annotations

import contextlib
import dataclasses
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import precision_score, recall_score, roc_auc_score, roc_curve

from maskdet.evaluation.operating_point import ACTUAL_KEYS, MISSED, NO_FACE, Evaluator
from maskdet.settings import Settings
from maskdet.tuning.class_metrics import compute_class_metrics
from maskdet.tuning.curves import compute_curve, compute_threshold_rates
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
SETTINGS = Settings(min_score=0.35, min_confidence=0.6, min_face_px=1)


def coco_precision(predictions, result):
    """Return COCO's average precision at 0.5 of the faces of a result."""
    boxes_wh = np.concatenate(
        [predictions.ground_truth.faces.boxes, predictions.faces.boxes]
    )
    boxes_wh[:, 2:] -= boxes_wh[:, :2]
    n = len(predictions.ground_truth.faces)
    names = range(1, len(predictions.ground_truth.names) + 1)
    truth, images = COCO(), [{"id": number} for number in names]
    truth.dataset = {
        "images": images,
        "categories": [{"id": 1}],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(predictions.ground_truth.faces.image_indices[row]) + 1,
                "category_id": 1,
                "bbox": boxes_wh[row].tolist(),
                # pycocotools ignores faces outside its area range.
                "area": 1e9
                if predictions.ground_truth.labels[row] == Label.UNKNOWN
                else 100.0,
                "iscrowd": 0,
            }
            for row in range(n)
        ],
    }
    detected = [
        {
            "image_id": int(predictions.faces.image_indices[row]) + 1,
            "category_id": 1,
            "bbox": boxes_wh[n + row].tolist(),
            "score": float(predictions.scores[row]),
        }
        for row in result.shown_rows
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        coco_eval = COCOeval(truth, truth.loadRes(detected), "bbox")
        coco_eval.params.iouThrs = np.array([0.5])
        coco_eval.params.recThrs = np.linspace(0, 1, 10001)
        coco_eval.params.maxDets = [1, 10, 1000]
        coco_eval.params.areaRng, coco_eval.params.areaRngLbl = [[0, 1e8]], ["all"]
        coco_eval.evaluate()
        coco_eval.accumulate()
    return float(coco_eval.eval["precision"][0, :, 0, 0, -1].mean())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_area_of_faces_agrees_with_pycocotools(seed):
    predictions = make_random_predictions(seed)
    evaluator = Evaluator(predictions)
    area = compute_curve(evaluator(SETTINGS), "precision_recall").area
    shown = evaluator(dataclasses.replace(SETTINGS, min_score=0))
    assert area.value == pytest.approx(coco_precision(predictions, shown), abs=2e-3)
    assert area.low < area.value < area.high
    assert area.n == (predictions.ground_truth.labels != Label.UNKNOWN).sum()


@pytest.mark.parametrize("label", [None, *CLASSES])
@pytest.mark.parametrize("equal_scores", [False, True])
def test_each_precision_recall_point_equals_the_confusion_matrix(label, equal_scores):
    evaluator = Evaluator(make_random_predictions(4, equal_scores=equal_scores))
    curve = compute_curve(
        evaluator(SETTINGS, temperature=1.5), "precision_recall", label
    )
    assert (np.diff(curve.thresholds) < 0).all()
    for index in range(0, len(curve.x), 7):
        settings = dataclasses.replace(
            SETTINGS, min_score=float(curve.thresholds[index])
        )
        counts = evaluator(settings, temperature=1.5).confusion
        if label is None:
            correct, predicted = (
                counts[:NO_FACE, :MISSED].sum(),
                counts[:, :MISSED].sum(),
            )
            true = counts[:NO_FACE].sum()
        else:
            correct, predicted = counts[label, label], counts[:, label].sum()
            true = counts[label].sum()
        assert curve.x[index] == pytest.approx(correct / true)
        assert curve.y[index] == pytest.approx(correct / predicted)
    indices = np.flatnonzero(np.asarray(curve.thresholds) >= np.float32(0.35))
    assert curve.point == (curve.x[indices[-1]], curve.y[indices[-1]])


@pytest.mark.parametrize("label", CLASSES)
def test_precision_and_recall_of_a_class_agree_with_scikit_learn(label):
    evaluator = Evaluator(make_random_predictions(5))
    result = evaluator(SETTINGS)
    predicted = result.predicted_columns.tolist() + [MISSED] * int(
        result.confusion[:, MISSED].sum()
    )
    missed_rows = np.repeat(np.arange(len(ACTUAL_KEYS)), result.confusion[:, MISSED])
    actual = np.array(result.actual.tolist() + missed_rows.tolist())
    counted = actual >= 0
    actual, predicted = actual[counted], np.array(predicted)[counted]
    recall, precision = compute_curve(
        evaluator(SETTINGS), "precision_recall", label
    ).point
    assert recall == pytest.approx(recall_score(actual == label, predicted == label))
    assert precision == pytest.approx(
        precision_score(actual == label, predicted == label)
    )


@pytest.mark.parametrize("label", CLASSES)
def test_roc_of_a_class_agrees_with_scikit_learn(label):
    evaluator = Evaluator(make_random_predictions(6, 80))
    result = evaluator(SETTINGS)
    detected = result.matched_ground_truth >= 0
    true, scores = result.actual[detected] == label, result.probs[detected, label]
    curve = compute_curve(evaluator(SETTINGS), "roc", label)
    x, y, thresholds = roc_curve(true, scores, drop_intermediate=False)
    assert curve.x == pytest.approx(x[1:])
    assert curve.y == pytest.approx(y[1:])
    assert curve.thresholds == pytest.approx(thresholds[1:])
    assert curve.area.value == pytest.approx(roc_auc_score(true, scores))
    assert curve.area.low <= curve.area.value <= curve.area.high
    # A class with a probability above 0.5 is the likeliest: the point is on the curve.
    index = (
        np.count_nonzero(curve.thresholds >= np.float32(SETTINGS.min_confidence)) - 1
    )
    assert curve.point == pytest.approx((curve.x[index], curve.y[index]))


def test_the_froc_curve_has_false_positives_per_image():
    evaluator = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK), TrueFace(1, A, NO_MASK)],
            [
                DetectedFace(0, A, 0.9, make_probs(MASK)),
                DetectedFace(0, ELSEWHERE, 0.8, make_probs(MASK)),
                DetectedFace(1, A, 0.6, make_probs(MASK)),
                DetectedFace(1, ELSEWHERE, 0.3, make_probs(MASK)),
            ],
            n_images=2,
        )
    )
    curve = compute_curve(evaluator(Settings(min_score=0.7, min_face_px=1)), "roc")
    assert curve.thresholds == pytest.approx([0.9, 0.8, 0.6, 0.3])
    assert curve.x.tolist() == [0, 0.5, 0.5, 1]
    assert curve.y.tolist() == [0.5, 0.5, 1, 1]
    assert curve.point == (0.5, 0.5)
    # Recall is 0.5 up to 0.5 false positives per image, and 1 from there to 1.
    assert curve.area.value == pytest.approx(0.75)
    assert curve.area.n == 2


def test_recall_is_constant_after_the_last_false_positive():
    alone = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK)], [DetectedFace(0, A, 0.9, make_probs(MASK))]
        )
    )
    assert compute_curve(alone(SETTINGS), "roc").area.value == 1
    missed = Evaluator(make_counted_predictions([TrueFace(0, A, MASK)], []))
    assert compute_curve(missed(SETTINGS), "roc").area.value == 0
    assert compute_curve(missed(SETTINGS), "roc").point == (0, 0)


@pytest.mark.parametrize("kind", ["precision_recall", "roc"])
def test_the_point_moves_to_another_threshold(kind):
    evaluator = Evaluator(make_random_predictions(8))
    curve = compute_curve(evaluator(SETTINGS), kind)
    for min_score in (0.1, float(curve.thresholds[3]), 0.8, 1.0):
        settings = dataclasses.replace(SETTINGS, min_score=min_score)
        expected = compute_curve(evaluator(settings), kind).point
        assert curve.move_point(min_score).point == pytest.approx(expected, nan_ok=True)
    assert curve.move_point(1.1).point == pytest.approx(curve.start, nan_ok=True)


def test_areas_without_true_faces_are_nan():
    evaluator, empty = (
        Evaluator(
            make_counted_predictions([], [DetectedFace(0, A, 0.9, make_probs(MASK))])
        ),
        make_counted_predictions([], []),
    )
    for case in (evaluator, Evaluator(empty)):
        for curve in (
            compute_curve(case(SETTINGS), "precision_recall"),
            compute_curve(case(SETTINGS), "roc"),
        ):
            assert math.isnan(curve.area.value)
            assert curve.area.n == 0
    assert math.isnan(compute_curve(evaluator(SETTINGS), "roc", NO_MASK).area.value)
    with pytest.raises(ValueError, match=r"label must be one of .*, not 'unknown'"):
        compute_curve(evaluator(SETTINGS), "roc", Label.UNKNOWN)


def test_the_same_seed_gives_the_same_interval():
    evaluator = Evaluator(make_random_predictions(7))
    first, same, other_seed = (
        compute_curve(evaluator(SETTINGS), "precision_recall", NO_MASK, seed=seed).area
        for seed in (0, 0, 1)
    )
    assert first == same
    assert first != other_seed
    assert first.value == other_seed.value


def test_rates_by_threshold_are_those_of_the_evaluator():
    evaluator = Evaluator(make_random_predictions(8))
    settings = Settings(min_confidence=0.4, min_face_px=1)
    for label in (None, Label.MASK):
        rates = compute_threshold_rates(evaluator(settings), label)
        for threshold in (0.02, 0.3, 0.55, 0.8):
            step = int(np.abs(rates.thresholds - threshold).argmin())
            result = evaluator(dataclasses.replace(settings, min_score=threshold))
            row = next(
                row for row in compute_class_metrics(result) if row.label == label
            )
            assert rates.recalls[step] == pytest.approx(row.recall.value)
            assert rates.precisions[step] == pytest.approx(row.precision.value)
            assert rates.f1s[step] == pytest.approx(row.f1.value)
            assert rates.f1_at(threshold) == pytest.approx(row.f1.value)
        best = rates.f1_at(rates.best_threshold)
        assert best == pytest.approx(np.nanmax(rates.f1s))


def test_of_equally_good_thresholds_the_middle_one_is_optimal():
    def compute_rates(place):
        predictions = make_counted_predictions(
            [TrueFace(0, A, MASK)],
            [DetectedFace(0, place, 0.8, make_probs(MASK, 0.9))],
        )
        return compute_threshold_rates(Evaluator(predictions)(Settings(min_face_px=1)))

    # From 0.02 to 0.80 the face is detected.
    rates = compute_rates(A)
    assert rates.best_threshold == pytest.approx(0.41)
    assert rates.recalls[-1] == 0.0
    assert np.isnan(rates.f1s[-1])
    assert compute_rates(B).best_threshold is None
