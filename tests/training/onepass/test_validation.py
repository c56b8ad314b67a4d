"""What a network is judged by: found faces and right labels, in true pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskdet.types import Faces
from tests.training.onepass.fakes import make_packed_image

pytestmark = pytest.mark.slow

CROWD = [[10, 10, 50, 60], [60, 10, 100, 60], [120, 80, 130, 92]]


def answer(boxes, scores, labels):
    from maskdet.training.onepass.validation import OnePassDetections

    probs = np.eye(3, dtype=np.float32)[labels]
    return OnePassDetections(Faces(np.float32(boxes), np.float32(scores)), probs)


def test_perfect_answers_score_one_and_a_class_that_is_missing_none():
    from maskdet.training.onepass.validation import compute_onepass_metrics

    found = answer(CROWD, [0.9, 0.8, 0.7], [0, 1, 0])
    result = compute_onepass_metrics([make_packed_image(CROWD, [0, 1, 0])], [found])
    assert (result.faces, result.large, result.mean, result.right) == (1, 1, 1, 1)
    assert (result.mask, result.no_mask) == (1, 1)
    assert math.isnan(result.incorrect)
    assert "faces 1.000" in str(result)


def test_a_wrong_label_costs_its_classes_and_a_missed_small_face_only_all_faces():
    from maskdet.training.onepass.validation import compute_onepass_metrics

    found = answer(CROWD[:2], [0.9, 0.8], [0, 0])
    result = compute_onepass_metrics([make_packed_image(CROWD, [0, 1, 0])], [found])
    assert result.faces < 1
    assert result.large == 1
    # Of two masks one is found; nobody said no mask, so both faces are as likely.
    assert (result.mask, result.no_mask) == (0.5, 0.5)
    assert result.right == 0.5


def test_a_face_of_unknown_class_is_neither_right_nor_wrong():
    from maskdet.training.onepass.data import NO_LABEL
    from maskdet.training.onepass.validation import compute_onepass_metrics

    scene = make_packed_image(CROWD[:2], [1, NO_LABEL])
    perfect = compute_onepass_metrics([scene], [answer(CROWD[:1], [0.5], [1])])
    # The stranger is found with the better score, and called what the other one is.
    also = compute_onepass_metrics([scene], [answer(CROWD[:2], [0.5, 0.9], [1, 1])])
    assert str(also) == str(perfect)
    assert (also.faces, also.large, also.no_mask, also.right) == (1, 1, 1, 1)


def test_nothing_to_be_right_about_is_no_number():
    from maskdet.training.onepass.validation import compute_onepass_metrics

    result = compute_onepass_metrics(
        [make_packed_image([])], [answer(np.zeros((0, 4)), [], [])]
    )
    assert math.isnan(result.right)
    assert math.isnan(result.mean)


class Encoded:
    """A network that answers what was encoded, and remembers its input."""

    def __init__(self, boxes, labels):
        self.boxes, self.labels = np.float32(boxes), np.array(labels)

    def predict_on_batch(self, images):
        from maskdet.training.onepass.targets import encode_maps

        self.seen = images
        maps = encode_maps(self.boxes, self.labels, images.shape[1:3])
        return [one[None] for one in maps]


def test_boxes_come_back_in_pixels_of_the_picture():
    from maskdet.training.onepass.validation import detect_with_keras, evaluate_onepass

    # 160 x 120 is seen at 128 x 96, four fifths as large
    model = Encoded([[8, 8, 40, 48]], [1])
    found = detect_with_keras(model, make_packed_image([]).image, 128)
    assert model.seen.shape == (1, 96, 128, 3)
    np.testing.assert_allclose(found.faces.boxes, [[10, 10, 50, 60]], atol=0.01)
    assert found.probs.argmax(axis=1).tolist() == [1]
    result = evaluate_onepass(model, [make_packed_image([[10, 10, 50, 60]], [1])], 128)
    assert (result.faces, result.no_mask, result.right) == (1, 1, 1)


def test_what_is_filled_up_is_black():
    from maskdet.training.onepass.validation import detect_with_keras

    model = Encoded(np.zeros((0, 4)), [])
    detect_with_keras(model, make_packed_image([]).image[:60], 160)
    assert model.seen.shape == (1, 128, 160, 3)
    assert model.seen[0, 60:].max() == 0
    assert model.seen[0, :60].min() >= 60
