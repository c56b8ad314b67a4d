"""A detection teacher: unlabelled faces are ignored instead of background."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.training.onepass.data import (
    NO_LABEL,
    apply_detection_teacher,
    fuse_detections,
)
from maskdet.types import Faces
from tests.training.onepass.fakes import make_packed_image


def faces(boxes, scores):
    return Faces(np.float32(boxes).reshape(-1, 4), np.float32(scores))


def test_detections_are_fused_with_weighted_mean_scores():
    large = faces([[10, 10, 30, 30], [50, 50, 70, 70]], [0.8, 0.6])
    small = faces([[11, 10, 31, 30], [80, 10, 90, 20]], [0.9, 0.5])
    fused = fuse_detections([large, small], [1.0, 1.0])
    assert fused.scores.tolist() == pytest.approx([0.85, 0.3, 0.25])
    assert fused.boxes[0].tolist() == [11, 10, 31, 30]  # the box with the higher score
    assert fused.boxes[1].tolist() == [50, 50, 70, 70]
    weighted = fuse_detections([large, small], [3.0, 1.0])
    assert weighted.scores.tolist() == pytest.approx([0.825, 0.45, 0.125])
    assert len(fuse_detections([Faces.empty(), Faces.empty()], [1.0, 1.0])) == 0


class TeacherStub:
    """Detection teacher that returns fixed faces."""

    def __init__(self, faces):
        self.faces = faces

    def detect(self, image):
        return self.faces


def test_likely_faces_without_a_label_are_ignored():
    scene = make_packed_image([[10, 10, 40, 50], [130, 80, 150, 100]], [1, 0])
    detected = faces(
        [[12, 12, 38, 48], [60, 40, 90, 80], [100, 10, 120, 30]], [0.9, 0.5, 0.3]
    )
    (after,) = apply_detection_teacher([scene], TeacherStub(detected))
    assert after.labels.tolist() == [1, 0, NO_LABEL]
    assert after.boxes[:2].tolist() == scene.boxes.tolist()
    assert after.boxes[2].tolist() == [60, 40, 90, 80]
    assert np.isnan(after.teacher_probs[2]).all()
    assert after.detector_scores.tolist() == pytest.approx([0.9, 0.0, 1.0])
    (empty,) = apply_detection_teacher(
        [make_packed_image([])], TeacherStub(Faces.empty())
    )
    assert len(empty.boxes) == 0
