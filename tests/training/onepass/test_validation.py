"""Validation metrics of the single-stage network, and detection with Keras."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskdet.types import Faces
from tests.training.onepass.fakes import encode_maps, make_packed_image

pytestmark = pytest.mark.slow

CROWD = [[10, 10, 50, 60], [60, 10, 100, 60], [120, 80, 130, 92]]


def make_detections(boxes, scores, labels):
    from maskdet.training.onepass.validation import OnePassDetections

    probs = np.eye(3, dtype=np.float32)[labels]
    return OnePassDetections(Faces(np.float32(boxes), np.float32(scores)), probs)


def test_perfect_detections_score_one_and_a_missing_class_nan():
    from maskdet.training.onepass.validation import compute_onepass_metrics

    detections = make_detections(CROWD, [0.9, 0.8, 0.7], [0, 1, 0])
    result = compute_onepass_metrics(
        [make_packed_image(CROWD, [0, 1, 0])], [detections]
    )
    assert (result.faces, result.large, result.mean, result.right) == (1, 1, 1, 1)
    assert (result.mask, result.no_mask) == (1, 1)
    assert math.isnan(result.incorrect)
    assert "faces 1.000" in str(result)


def test_wrong_labels_and_missed_small_faces_affect_their_metrics():
    from maskdet.training.onepass.validation import compute_onepass_metrics

    detections = make_detections(CROWD[:2], [0.9, 0.8], [0, 0])
    result = compute_onepass_metrics(
        [make_packed_image(CROWD, [0, 1, 0])], [detections]
    )
    assert result.faces < 1
    assert result.large == 1
    # One of two masks is detected; the no_mask scores are equal for both faces.
    assert (result.mask, result.no_mask) == (0.5, 0.5)
    assert result.right == 0.5


def test_a_face_of_unknown_class_is_ignored():
    from maskdet.training.onepass.data import NO_LABEL
    from maskdet.training.onepass.validation import compute_onepass_metrics

    scene = make_packed_image(CROWD[:2], [1, NO_LABEL])
    perfect = compute_onepass_metrics([scene], [make_detections(CROWD[:1], [0.5], [1])])
    # The unlabelled face is detected with a higher score and the same class.
    with_unlabelled = compute_onepass_metrics(
        [scene], [make_detections(CROWD[:2], [0.5, 0.9], [1, 1])]
    )
    assert str(with_unlabelled) == str(perfect)
    assert (
        with_unlabelled.faces,
        with_unlabelled.large,
        with_unlabelled.no_mask,
        with_unlabelled.right,
    ) == (1, 1, 1, 1)


def test_metrics_without_faces_are_nan():
    from maskdet.training.onepass.validation import compute_onepass_metrics

    result = compute_onepass_metrics(
        [make_packed_image([])], [make_detections(np.zeros((0, 4)), [], [])]
    )
    assert math.isnan(result.right)
    assert math.isnan(result.mean)


class EncodingNetwork:
    """Network that returns the encoded boxes, and records its input."""

    def __init__(self, boxes, labels):
        self.boxes, self.labels = np.float32(boxes), np.array(labels)

    def predict_on_batch(self, images):

        self.images = images
        maps = encode_maps(self.boxes, self.labels, images.shape[1:3])
        return [feature_map[None] for feature_map in maps]


def test_boxes_are_in_pixels_of_the_image():
    from maskdet.training.onepass.validation import detect_with_keras, evaluate_onepass

    # 160 x 120 is scaled to 128 x 96
    model = EncodingNetwork([[8, 8, 40, 48]], [1])
    detections = detect_with_keras(model, make_packed_image([]).image, 128)
    assert model.images.shape == (1, 96, 128, 3)
    np.testing.assert_allclose(detections.faces.boxes, [[10, 10, 50, 60]], atol=0.01)
    assert detections.probs.argmax(axis=1).tolist() == [1]
    result = evaluate_onepass(model, [make_packed_image([[10, 10, 50, 60]], [1])], 128)
    assert (result.faces, result.no_mask, result.right) == (1, 1, 1)


def test_padding_is_black():
    from maskdet.training.onepass.validation import detect_with_keras

    model = EncodingNetwork(np.zeros((0, 4)), [])
    detect_with_keras(model, make_packed_image([]).image[:60], 160)
    assert model.images.shape == (1, 128, 160, 3)
    assert model.images[0, 60:].max() == 0
    assert model.images[0, :60].min() >= 60
