from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest

from maskdet.metrics.detection import (
    average_precision,
    average_precisions,
    match_detections,
    match_detections_in_image,
    mean_average_precision,
    precision_recall_curve,
)
from maskdet.metrics.matching import BoxRows, MatchCandidates
from maskdet.types import Faces
from tests.helpers.greedy_matching import match_greedily

NO_BOXES = np.zeros((0, 4), np.float32)


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def faces(*rows):
    """Rows of x1, y1, x2, y2, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Faces(table[:, :4], table[:, 4])


A = (0, 0, 10, 10)
B = (20, 0, 30, 10)
C = (40, 0, 50, 10)
ELSEWHERE = (100, 100, 110, 110)


def ap(found, truths, **rules):
    return average_precision(match_detections(found, truths, **rules))


@pytest.mark.parametrize(
    ("found", "truths", "expected"),
    [
        ([faces((*A, 0.9))], [boxes(A)], 1.0),
        ([faces((*A, 0.9), (*ELSEWHERE, 0.1))], [boxes(A)], 1.0),
        ([faces((*A, 0.1), (*ELSEWHERE, 0.9))], [boxes(A)], 0.5),
        # right, wrong, right of 2 truths: 1/2 * 1 + 1/2 * 2/3
        ([faces((*A, 0.9), (*ELSEWHERE, 0.5), (*B, 0.1))], [boxes(A, B)], 5 / 6),
        # wrong, right, right of 3: the envelope lifts 1/2 to 2/3, and 1/3 is missed
        ([faces((*ELSEWHERE, 0.9), (*A, 0.5), (*B, 0.1))], [boxes(A, B, C)], 4 / 9),
        ([faces()], [boxes(A)], 0.0),
        # a threshold cannot part equal scores: one point, precision 1/2
        ([faces((*A, 0.5), (*ELSEWHERE, 0.5))], [boxes(A)], 0.5),
    ],
)
def test_average_precision_of_worked_examples(found, truths, expected):
    assert ap(found, truths) == pytest.approx(expected)


def test_average_precision_is_nan_without_true_boxes():
    assert math.isnan(ap([], []))
    assert math.isnan(ap([Faces.empty()], [NO_BOXES]))
    assert math.isnan(ap([faces((*A, 0.9))], [NO_BOXES]))


def test_an_image_without_detections_lowers_recall():
    matches = match_detections([faces((*A, 0.9)), Faces.empty()], [boxes(A), boxes(B)])
    assert precision_recall_curve(matches).recalls.tolist() == [0.5]
    assert average_precision(matches) == pytest.approx(0.5)


def test_a_class_without_detections_counts_zero_in_the_mean():
    found_class = match_detections(
        [faces((*A, 0.9)), Faces.empty()], [boxes(A), NO_BOXES]
    )
    lost_class = match_detections([Faces.empty(), Faces.empty()], [NO_BOXES, boxes(B)])
    absent_class = match_detections(
        [faces((*A, 0.3)), Faces.empty()], [NO_BOXES, NO_BOXES]
    )
    mean = mean_average_precision([found_class, lost_class, absent_class])
    assert mean.value == pytest.approx(0.5)
    assert mean.n == 2


def test_the_order_of_faces_and_images_does_not_matter():
    rng = np.random.default_rng(3)
    truths = [boxes(A, B), boxes(A), boxes(B, C)]
    rows = [
        # Scores of one decimal, so that many are equal, within and across images.
        [
            (*(np.array(box) + rng.integers(-4, 5, 4)), rng.integers(1, 5) / 10)
            for box in (A, B, C, A, B)
        ]
        for _ in truths
    ]
    expected = ap([faces(*image) for image in rows], truths)
    assert 0 < expected < 1
    for _ in range(20):
        order = rng.permutation(3)
        shuffled = [faces(*rng.permutation(rows[index])) for index in order]
        assert ap(shuffled, [truths[index] for index in order]) == expected


def test_matching_starts_with_the_highest_score():
    right, wrong = faces((*A, 0.9)), faces((*ELSEWHERE, 0.1))
    assert ap([right, wrong], [boxes(A), NO_BOXES]) == 1.0
    assert ap([wrong, right], [NO_BOXES, boxes(A)]) == 1.0


def test_a_second_box_on_the_same_face_is_a_false_positive():
    found = faces((*A, 0.9), (0, 0, 10, 9, 0.8))
    assert match_detections([found], [boxes(A)]).correct.tolist() == [True, False]


def test_the_best_unmatched_true_box_is_used():
    truths = boxes((0, 0, 10, 10), (0, 3, 10, 13))
    # Both have the highest IoU with the first true box; the second gets another one.
    found = faces((0, 0, 10, 10, 0.9), (0, 1, 10, 11, 0.8))
    assert match_detections_in_image(found, truths).tolist() == [0, 1]


def test_an_iou_equal_to_the_limit_is_a_match():
    found = faces((0, 0, 10, 5, 0.9))
    assert match_detections_in_image(found, boxes(A), min_iou=0.5).tolist() == [0]
    assert match_detections_in_image(found, boxes(A), min_iou=0.51).tolist() == [-1]


def test_small_true_boxes_are_ignored():
    small, large = (0, 0, 5, 5), (20, 0, 50, 30)
    found = faces((*small, 0.9), (60, 0, 64, 4, 0.8), (*large, 0.7), (*C, 0.6))
    judged = match_detections([found], [boxes(small, large)], min_px=10)
    # left: the large one, and the 10 px one on nothing
    assert judged.scores.tolist() == pytest.approx([0.7, 0.6])
    assert judged.correct.tolist() == [True, False]
    assert judged.n_ground_truth.tolist() == [1]
    assert average_precision(judged) == 1.0


def test_an_ignored_box_is_matched_only_if_no_other_fits():
    found, truths = (
        BoxRows.concat([boxes(A)]),
        BoxRows.concat([boxes(A, (0, 0, 10, 8))]),
    )
    candidates = MatchCandidates.from_boxes(
        found, np.ones(1, np.float32), truths, is_ignored=np.array([True, False])
    )
    assert candidates.match(np.ones(1, bool), 0.5).tolist() == [1]
    assert candidates.match(np.ones(1, bool), 0.9).tolist() == [0]


@pytest.mark.parametrize("seed", range(3))
def test_matching_of_a_part_equals_a_loop_over_the_faces(seed):
    found, truths = random_scenes(seed)
    rng = np.random.default_rng(seed)
    rows, true_rows = (
        BoxRows.concat([image.boxes for image in found]),
        BoxRows.concat(truths),
    )
    candidates = MatchCandidates.from_boxes(
        rows,
        np.ones(len(rows), np.float32),
        true_rows,
        is_ignored=np.zeros(len(true_rows), bool),
    )
    # Other scores, and another part of both.
    scores = rng.random(len(rows)).astype(np.float32)
    is_kept, is_true = rng.random(len(rows)) < 0.8, rng.random(len(true_rows)) < 0.8
    is_ignored = rng.random(len(true_rows)) < 0.3
    matched = candidates.prioritize(scores, is_ignored, is_true).match(is_kept, 0.3)
    assert (matched[~is_kept] == -1).all()
    assert len(set(matched[matched >= 0])) == np.count_nonzero(matched >= 0) > 20
    for image_index in range(len(truths)):
        part = np.flatnonzero(is_kept & (rows.image_indices == image_index))
        true_part = np.flatnonzero(is_true & (true_rows.image_indices == image_index))
        part = part[np.argsort(-scores[part])]
        expected = match_greedily(
            Faces(rows.boxes[part], scores[part]),
            true_rows.boxes[true_part],
            min_iou=0.3,
            ignored=is_ignored[true_part],
        )
        assert matched[part].tolist() == [
            -1 if match < 0 else true_part[match] for match in expected
        ]


def test_a_large_detection_on_a_small_true_box_is_ignored():
    found = faces((0, 0, 11, 11, 0.9))
    judged = match_detections([found], [boxes((0, 0, 9, 9))], min_px=10)
    assert len(judged.scores) == 0
    assert math.isnan(average_precision(judged))


def test_the_numbers_of_images_must_be_equal():
    with pytest.raises(ValueError, match="same number of images, got 2 and 1"):
        match_detections([Faces.empty(), Faces.empty()], [NO_BOXES])
    with pytest.raises(ValueError, match="same number of images, got 2 and 1"):
        match_detections([Faces.empty()], [NO_BOXES], ignored=[NO_BOXES, NO_BOXES])
    one, two = match_detections([Faces.empty()], [NO_BOXES]), match_detections([], [])
    with pytest.raises(ValueError, match="have the same images"):
        mean_average_precision([one, two])


def random_scenes(seed, images=40):
    rng = np.random.default_rng(seed)
    found, truths = [], []
    for _ in range(images):
        m = rng.integers(0, 7)
        corners = rng.uniform(0, 120, (m, 2))
        true = np.concatenate([corners, corners + rng.uniform(5, 40, (m, 2))], axis=1)
        near = np.repeat(true, 2, axis=0) + rng.normal(0, 3, (2 * m, 4))
        near = near[rng.random(2 * m) < 0.7]
        corners = rng.uniform(0, 120, (3, 2))
        far = np.concatenate([corners, corners + rng.uniform(5, 40, (3, 2))], axis=1)
        both = np.concatenate([near, far])
        both[:, 2:] = np.maximum(both[:, 2:], both[:, :2] + 1)
        scores = rng.random(len(both))
        found.append(Faces(both.astype(np.float32), scores.astype(np.float32)))
        truths.append(true.astype(np.float32))
    return found, truths


def coco_records(found, truths):
    """The same boxes as COCO's lists; its `area` is our shorter side squared."""

    def record(index, box):
        sides = box[2:] - box[:2]
        return {
            "image_id": index,
            "category_id": 1,
            "bbox": [*map(float, box[:2]), *map(float, sides)],
            "area": float(min(sides)) ** 2,
            "iscrowd": 0,
        }

    true = [record(i, box) for i, image in enumerate(truths) for box in image]
    seen = [
        record(i, box) | {"score": float(score)}
        for i, image in enumerate(found)
        for box, score in zip(image.boxes, image.scores, strict=True)
    ]
    for number, item in enumerate(true, start=1):
        item["id"] = number
    return true, seen


def coco_evaluation(found, truths, min_px):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    true, seen = coco_records(found, truths)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": 1, "name": "face"}],
            "annotations": true,
        }
        truth.createIndex()
        # `loadRes` sets `area` to width x height, in the very dicts it is given.
        result = truth.loadRes([dict(item) for item in seen])
        for item, wanted in zip(result.dataset["annotations"], seen, strict=True):
            item["area"] = wanted["area"]
        evaluation = cocoeval.COCOeval(truth, result, "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.maxDets = [1000]
        evaluation.params.areaRng = [[min_px**2, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("min_px", [0, 20])
def test_matches_agree_with_pycocotools(seed, min_px):
    found, truths = random_scenes(seed)
    matches = match_detections(found, truths, min_px=min_px)
    evaluation = coco_evaluation(found, truths, min_px)
    theirs = [image for image in evaluation.evalImgs if image is not None]
    scores = np.concatenate([image["dtScores"] for image in theirs])
    judged = ~np.concatenate([image["dtIgnore"][0] for image in theirs])
    right = np.concatenate([image["dtMatches"][0] > 0 for image in theirs])
    order = np.argsort(-scores[judged])
    assert matches.scores == pytest.approx(scores[judged][order])
    assert matches.correct.tolist() == right[judged][order].tolist()
    counted = sum(np.count_nonzero(image["gtIgnore"] == 0) for image in theirs)
    assert matches.n_ground_truth.sum() == counted > 20


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("min_px", [0, 20])
def test_the_curve_agrees_with_pycocotools_at_101_recalls(seed, min_px):
    found, truths = random_scenes(seed)
    ours = precision_recall_curve(match_detections(found, truths, min_px=min_px))
    theirs = coco_evaluation(found, truths, min_px)
    envelope = np.maximum.accumulate(ours.precisions[::-1])[::-1]
    places = np.searchsorted(ours.recalls, theirs.params.recThrs, side="left")
    sampled = np.append(envelope, 0.0)[places]
    assert sampled == pytest.approx(theirs.eval["precision"][0, :, 0, 0, 0], abs=1e-9)
    assert ours.recalls[-1] == pytest.approx(theirs.eval["recall"][0, 0, 0, 0])
    exact = ap(found, truths, min_px=min_px)
    # 101 samples of a falling curve are off by at most one step of 1/100.
    assert exact == pytest.approx(sampled.mean(), abs=0.01)


def test_resampling_equals_repeating_the_images():
    found, truths = random_scenes(11, images=6)
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 0, 0], [0, 0, 0, 0, 6, 0]])
    together = average_precisions(match_detections(found, truths), weights)
    for times, value in zip(weights, together, strict=True):
        drawn = np.repeat(np.arange(6), times)
        again = ap([found[i] for i in drawn], [truths[i] for i in drawn])
        assert value == pytest.approx(again, nan_ok=True)


def test_the_interval_is_reproducible_and_contains_the_value():
    found, truths = random_scenes(2)
    matches = match_detections(found, truths)
    first = mean_average_precision([matches])
    assert first == mean_average_precision([matches])
    assert first != mean_average_precision([matches], seed=1)
    assert first.value == pytest.approx(average_precision(matches))
    assert first.low < first.value < first.high
    assert 0.02 < first.high - first.low < 0.3
    assert first.n == sum(len(image) for image in truths)


def test_more_images_give_a_narrower_interval():
    few = mean_average_precision([match_detections(*random_scenes(5, images=20))])
    many = mean_average_precision([match_detections(*random_scenes(5, images=320))])
    assert (many.high - many.low) < (few.high - few.low) / 2
