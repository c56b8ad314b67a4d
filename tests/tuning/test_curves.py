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

from maskdet.settings import Settings
from maskdet.tuning.curves import compute_precision_recall, compute_roc
from maskdet.tuning.operating_point import ACTUAL_KEYS, MISSED, NO_FACE, Evaluator
from maskdet.types import CLASSES, Label
from tests.tuning.counting_fakes import (
    ELSEWHERE,
    A,
    DetectedFace,
    TrueFace,
    make_counted_predictions,
    make_probs,
    make_random_predictions,
)

MASK, BARE = Label.MASK, Label.NO_MASK
SETTINGS = Settings(min_score=0.35, min_confidence=0.6, min_face_px=1)


def coco_precision(one, outcome):
    """Return COCO's average precision at 0.5 of the faces of an outcome."""
    wide = np.concatenate([one.ground_truth.faces.boxes, one.faces.boxes])
    wide[:, 2:] -= wide[:, :2]
    n = len(one.ground_truth.faces)
    names = range(1, len(one.ground_truth.names) + 1)
    truth, images = COCO(), [{"id": number} for number in names]
    truth.dataset = {
        "images": images,
        "categories": [{"id": 1}],
        "annotations": [
            {
                "id": row + 1,
                "image_id": int(one.ground_truth.faces.image_indices[row]) + 1,
                "category_id": 1,
                "bbox": wide[row].tolist(),
                # It ignores what lies outside its range of areas.
                "area": 1e9 if one.ground_truth.labels[row] == Label.UNKNOWN else 100.0,
                "iscrowd": 0,
            }
            for row in range(n)
        ],
    }
    found = [
        {
            "image_id": int(one.faces.image_indices[row]) + 1,
            "category_id": 1,
            "bbox": wide[n + row].tolist(),
            "score": float(one.scores[row]),
        }
        for row in outcome.shown_rows
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found), "bbox")
        judge.params.iouThrs = np.array([0.5])
        judge.params.recThrs = np.linspace(0, 1, 10001)
        judge.params.maxDets = [1, 10, 1000]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e8]], ["all"]
        judge.evaluate()
        judge.accumulate()
    return float(judge.eval["precision"][0, :, 0, 0, -1].mean())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_area_of_faces_is_what_coco_says(seed):
    one = make_random_predictions(seed)
    judge = Evaluator(one)
    area = compute_precision_recall(judge, SETTINGS).area
    shown = judge(dataclasses.replace(SETTINGS, min_score=0))
    assert area.value == pytest.approx(coco_precision(one, shown), abs=2e-3)
    assert area.low < area.value < area.high
    assert area.n == (one.ground_truth.labels != Label.UNKNOWN).sum()


@pytest.mark.parametrize("label", [None, *CLASSES])
@pytest.mark.parametrize("equal_scores", [False, True])
def test_each_point_of_precision_and_recall_is_what_the_table_would_say(
    label, equal_scores
):
    judge = Evaluator(make_random_predictions(4, equal_scores=equal_scores))
    curve = compute_precision_recall(judge, SETTINGS, label, temperature=1.5)
    assert (np.diff(curve.thresholds) < 0).all()
    for at in range(0, len(curve.x), 7):
        settings = dataclasses.replace(SETTINGS, min_score=float(curve.thresholds[at]))
        counts = judge(settings, temperature=1.5).confusion
        if label is None:
            hits, said = counts[:NO_FACE, :MISSED].sum(), counts[:, :MISSED].sum()
            true = counts[:NO_FACE].sum()
        else:
            hits, said = counts[label, label], counts[:, label].sum()
            true = counts[label].sum()
        assert curve.x[at] == pytest.approx(hits / true)
        assert curve.y[at] == pytest.approx(hits / said)
    places = np.flatnonzero(np.asarray(curve.thresholds) >= np.float32(0.35))
    assert curve.point == (curve.x[places[-1]], curve.y[places[-1]])


@pytest.mark.parametrize("label", CLASSES)
def test_precision_and_recall_of_a_class_agree_with_scikit_learn(label):
    judge = Evaluator(make_random_predictions(5))
    outcome = judge(SETTINGS)
    said = outcome.predicted_columns.tolist() + [MISSED] * int(
        outcome.confusion[:, MISSED].sum()
    )
    lost = np.repeat(np.arange(len(ACTUAL_KEYS)), outcome.confusion[:, MISSED])
    actual = np.array(outcome.actual.tolist() + lost.tolist())
    counted = actual >= 0
    actual, said = actual[counted], np.array(said)[counted]
    recall, precision = compute_precision_recall(judge, SETTINGS, label).point
    assert recall == pytest.approx(recall_score(actual == label, said == label))
    assert precision == pytest.approx(precision_score(actual == label, said == label))


@pytest.mark.parametrize("label", CLASSES)
def test_roc_of_a_class_agrees_with_scikit_learn(label):
    judge = Evaluator(make_random_predictions(6, 80))
    outcome = judge(SETTINGS)
    found = outcome.matched_ground_truth >= 0
    true, scores = outcome.actual[found] == label, outcome.probs[found, label]
    curve = compute_roc(judge, SETTINGS, label)
    x, y, thresholds = roc_curve(true, scores, drop_intermediate=False)
    assert curve.x == pytest.approx(x[1:])
    assert curve.y == pytest.approx(y[1:])
    assert curve.thresholds == pytest.approx(thresholds[1:])
    assert curve.area.value == pytest.approx(roc_auc_score(true, scores))
    assert curve.area.low <= curve.area.value <= curve.area.high
    # Above a half, what is sure enough is the likeliest, so the point is on the curve.
    at = np.count_nonzero(curve.thresholds >= np.float32(SETTINGS.min_confidence)) - 1
    assert curve.point == pytest.approx((curve.x[at], curve.y[at]))


def test_faces_have_false_alarms_a_picture_instead_of_a_share():
    judge = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK), TrueFace(1, A, BARE)],
            [
                DetectedFace(0, A, 0.9, make_probs(MASK)),
                DetectedFace(0, ELSEWHERE, 0.8, make_probs(MASK)),
                DetectedFace(1, A, 0.6, make_probs(MASK)),
                DetectedFace(1, ELSEWHERE, 0.3, make_probs(MASK)),
            ],
            n_images=2,
        )
    )
    curve = compute_roc(judge, Settings(min_score=0.7, min_face_px=1))
    assert curve.thresholds == pytest.approx([0.9, 0.8, 0.6, 0.3])
    assert curve.x.tolist() == [0, 0.5, 0.5, 1]
    assert curve.y.tolist() == [0.5, 0.5, 1, 1]
    assert curve.point == (0.5, 0.5)
    # Half of the faces up to half an alarm an image, all of them from there to one.
    assert curve.area.value == pytest.approx(0.75)
    assert curve.area.n == 2


def test_recall_stays_after_the_last_alarm():
    alone = Evaluator(
        make_counted_predictions(
            [TrueFace(0, A, MASK)], [DetectedFace(0, A, 0.9, make_probs(MASK))]
        )
    )
    assert compute_roc(alone, SETTINGS).area.value == 1
    missed = Evaluator(make_counted_predictions([TrueFace(0, A, MASK)], []))
    assert compute_roc(missed, SETTINGS).area.value == 0
    assert compute_roc(missed, SETTINGS).point == (0, 0)


def test_where_nothing_is_true_nothing_is_promised():
    judge, empty = (
        Evaluator(
            make_counted_predictions([], [DetectedFace(0, A, 0.9, make_probs(MASK))])
        ),
        make_counted_predictions([], []),
    )
    for one in (judge, Evaluator(empty)):
        for curve in (
            compute_precision_recall(one, SETTINGS),
            compute_roc(one, SETTINGS),
        ):
            assert math.isnan(curve.area.value)
            assert curve.area.n == 0
    assert math.isnan(compute_roc(judge, SETTINGS, BARE).area.value)
    with pytest.raises(ValueError, match="no curve of 'unknown'"):
        compute_roc(judge, SETTINGS, Label.UNKNOWN)


def test_the_same_seed_gives_the_same_interval():
    judge = Evaluator(make_random_predictions(7))
    one, same, other = (
        compute_precision_recall(judge, SETTINGS, BARE, seed=seed).area
        for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other
    assert one.value == other.value
