from __future__ import annotations

import cv2
import numpy as np
import pytest

from maskdet.boxes import (
    Boxes,
    box_areas,
    clip_boxes,
    iou_matrix,
    nms,
    scale_boxes,
    sizes_px,
)


def boxes(*rows: tuple[float, float, float, float]) -> Boxes:
    return np.array(rows, np.float32).reshape(-1, 4)


def random_boxes(rng: np.random.Generator, n: int) -> Boxes:
    corners = rng.uniform(0, 80, (n, 2))
    return np.concatenate([corners, corners + rng.uniform(1, 40, (n, 2))], 1).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (0, 0, 5, 5), 0.25),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),
        ((0, 0, 10, 10), (3, 3, 3, 9), 0.0),
        ((5, 5, 2, 2), (5, 5, 2, 2), 0.0),
    ],
)
def test_iou_of_known_pairs(a, b, expected) -> None:
    assert iou_matrix(boxes(a), boxes(b))[0, 0] == pytest.approx(expected)


def test_iou_is_symmetric_and_has_the_shape_of_its_arguments() -> None:
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 7), random_boxes(rng, 4)
    assert iou_matrix(a, b).shape == (7, 4)
    np.testing.assert_allclose(iou_matrix(a, b), iou_matrix(b, a).T)
    assert iou_matrix(a, boxes()).shape == (7, 0)


def test_nms_agrees_with_opencv_on_200_random_sets() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        n = int(rng.integers(1, 30))
        random_boxes_xyxy = random_boxes(rng, n)
        scores = rng.permutation(np.linspace(0.1, 0.9, n)).astype(np.float32)
        xywh = np.concatenate(
            [
                random_boxes_xyxy[:, :2],
                random_boxes_xyxy[:, 2:] - random_boxes_xyxy[:, :2],
            ],
            axis=1,
        )
        expected = cv2.dnn.NMSBoxes(xywh.tolist(), scores.tolist(), 0.0, 0.4)
        assert (
            nms(random_boxes_xyxy, scores, 0.4).tolist() == np.ravel(expected).tolist()
        )


def test_nms_of_no_boxes_is_empty() -> None:
    assert nms(boxes(), np.zeros(0, np.float32), 0.5).tolist() == []


def test_nms_with_max_iou_1_keeps_all_boxes() -> None:
    identical_boxes = boxes((0, 0, 10, 10), (0, 0, 10, 10))
    assert nms(identical_boxes, np.array([0.5, 0.9], np.float32), 1.0).tolist() == [
        1,
        0,
    ]


def test_sizes_and_areas_of_an_inverted_box_are_zero() -> None:
    random_boxes_xyxy = boxes((0, 0, 10, 4), (9, 9, 3, 12))
    assert sizes_px(random_boxes_xyxy).tolist() == [4, 0]
    assert box_areas(random_boxes_xyxy).tolist() == [40, 0]


def test_scale_boxes_keeps_the_centre_and_scales_the_sides() -> None:
    assert scale_boxes(boxes((10, 20, 30, 40)), 1.5).tolist() == [[5, 15, 35, 45]]


def test_scaled_and_clipped_boxes_are_inside_the_image() -> None:
    random_boxes_xyxy = clip_boxes(
        scale_boxes(random_boxes(np.random.default_rng(2), 50), 3.0), 100, 60
    )
    assert random_boxes_xyxy.min() >= 0
    assert random_boxes_xyxy[:, [0, 2]].max() <= 100
    assert random_boxes_xyxy[:, [1, 3]].max() <= 60
