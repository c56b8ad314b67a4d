"""Faces of unknown class are ignored, from matching to the report."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.datasets import Example
from maskdet.evaluation import evaluate_detection
from maskdet.media import encode_png
from maskdet.metrics.detection import average_precision, match_detections
from maskdet.settings import Settings
from maskdet.types import Faces, Label, Scene
from tests.helpers.fakes import make_grey_image

A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def faces(*rows):
    """Return faces from rows of x1, y1, x2, y2, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Faces(table[:, :4], table[:, 4])


def test_a_detection_on_an_ignored_box_is_not_a_false_positive():
    found = faces((*A, 0.9), (*B, 0.8), (0, 0, 10, 9, 0.7), (*C, 0.6))
    judged = match_detections([found], [boxes(B)], ignored=[boxes(A)])
    # A second detection on the ignored face is a false positive, as on other faces.
    assert judged.scores.tolist() == pytest.approx([0.8, 0.7, 0.6])
    assert judged.correct.tolist() == [True, False, False]
    assert judged.n_ground_truth.tolist() == [1]
    assert average_precision(judged) == 1.0
    assert average_precision(match_detections([found], [boxes(B)])) == 0.5


def test_true_boxes_are_matched_before_ignored_boxes():
    # It has a higher IoU with the ignored box, but only it matches the true one.
    found = faces((0, 0, 10, 10, 0.9))
    judged = match_detections([found], [boxes((0, 0, 10, 8))], ignored=[boxes(A)])
    assert judged.correct.tolist() == [True]
    missed = match_detections([Faces.empty()], [boxes(A)], ignored=[boxes(B)])
    assert average_precision(missed) == 0


class Sees:
    """Detects an unlabelled and a labelled face, both masked."""

    def analyze(self, image, settings=None):
        found = faces((40, 0, 70, 30, 0.9), (0, 0, 30, 30, 0.8))
        return Scene(found, np.tile(np.float32([0.8, 0.2, 0]), (2, 1))).filter(settings)


def test_faces_of_unknown_class_are_ignored_in_the_report(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encode_png(make_grey_image(100, 60)))
    known = Example(path, boxes((0, 0, 30, 30)), (Label.MASK,))
    stranger = boxes((40, 0, 70, 30))
    beside = Example(path, known.boxes, known.labels, ignore_boxes=stranger)
    report = evaluate_detection(Sees(), [beside], Settings())
    assert {report.ap[key].value for key in ("faces", "mask", "mean")} == {1}
    assert {report.ap_large[key].value for key in ("faces", "mask", "mean")} == {1}
    assert {report.ap_every_class[key].value for key in ("mask", "mean")} == {1}
    assert (report.precision.value, report.precision.n) == (1, 1)
    assert (report.recall.value, report.recall.n) == (1, 1)
    assert report.classification.ground_truth.tolist() == [Label.MASK]
    # Without the ignored box, it is a false positive.
    alarmed = evaluate_detection(Sees(), [known], Settings())
    assert (alarmed.ap["faces"].value, alarmed.precision.value) == (0.5, 0.5)
