from __future__ import annotations

import numpy as np
import pytest

from maskdet.boxes import nms
from maskdet.detectors.mtcnn import nms_opencv


def random_boxes(rng, n):
    corners = rng.uniform(0, 80, (n, 2))
    sides = rng.uniform(5, 40, (n, 2))
    return np.concatenate([corners, corners + sides], 1).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_nms_opencv_agrees_with_nms(seed):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 60)
    scores = rng.uniform(0.01, 1, 60).astype(np.float32)
    kept = nms_opencv(boxes, scores, 0.4, limit=60)
    assert kept.tolist() == nms(boxes, scores, 0.4).tolist()


def test_limit_keeps_the_best_scores():
    boxes = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(5)], np.float32)
    scores = np.array([0.1, 0.5, 0.3, 0.9, 0.2], np.float32)
    assert nms_opencv(boxes, scores, 0.4, limit=3).tolist() == [3, 1, 2]


def test_no_boxes_give_no_indices():
    indices = nms_opencv(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.4, limit=5
    )
    assert indices.shape == (0,)
    assert indices.dtype == np.int64
