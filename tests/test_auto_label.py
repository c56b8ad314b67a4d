"""Tests of automatic annotation: the labelled face, and reasons for manual review."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.auto_label import (
    AutoLabelRules,
    auto_label_faces,
    detect_with_border,
    select_labelled_face,
    to_example,
)
from maskdet.datasets import Example, read_dataset
from maskdet.types import Faces, Image, Label
from tests.helpers.datasets import write_image
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image

FACE = [20, 10, 60, 60]
SMALL = [70, 10, 90, 32]


def faces(*rows: tuple[list[int], float]) -> Faces:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Faces(boxes, np.array([score for _, score in rows], np.float32))


def get_review_reason(
    tmp_path, *rows: tuple[list[int], float], probs=(0.9, 0.1, 0.0)
) -> str:
    """Return the review reason of one image with these detections."""
    write_image(tmp_path / "set" / "mask" / "a.jpg")
    detected_faces = faces(*rows)
    detector = FirstCallDetector(detected_faces)
    (auto_label,) = auto_label_faces(
        read_dataset(tmp_path / "set"),
        detector,
        FakeClassifier(probs),
        AutoLabelRules(),
    )
    return auto_label.review_reason


class FirstCallDetector(FakeDetector):
    """Detects its faces in the image but not in the padded copy."""

    def __init__(self, detected_faces: Faces) -> None:
        super().__init__(detected_faces.boxes.tolist(), detected_faces.scores.tolist())

    def detect(self, image: Image) -> Faces:
        return super().detect(image) if not self.calls % 2 else self._return_no_faces()

    def _return_no_faces(self) -> Faces:
        self.calls += 1
        return Faces.empty()


def test_the_largest_face_with_a_score_close_to_the_best_is_selected():
    detected = faces((SMALL, 0.9), (FACE, 0.8), ([0, 0, 89, 79], 0.7))
    rows, others = select_labelled_face(detected, AutoLabelRules())
    assert detected.boxes[rows].tolist() == [FACE]
    assert SMALL in detected.boxes[others].tolist()


def test_the_best_face_is_selected_if_all_scores_are_low():
    detected = faces((SMALL, 0.5), (FACE, 0.4))
    rows, others = select_labelled_face(detected, AutoLabelRules())
    assert detected.boxes[rows].tolist() == [SMALL]
    assert detected.boxes[others].tolist() == [FACE]


def test_parts_of_the_face_and_very_low_scores_are_not_other_faces():
    detected = faces((FACE, 0.9), ([25, 15, 45, 35], 0.8), (SMALL, 0.1))
    assert len(select_labelled_face(detected, AutoLabelRules())[1]) == 0


def test_no_detections_give_no_rows():
    rows, others = select_labelled_face(Faces.empty(), AutoLabelRules())
    assert (len(rows), len(others)) == (0, 0)


def test_a_face_with_a_high_score_needs_no_review(tmp_path):
    assert get_review_reason(tmp_path, (FACE, 0.9), (SMALL, 0.9)) == ""


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no face"),
        ([(FACE, 0.5)], "low score"),
        ([([20, 10, 31, 60], 0.9)], "too small"),
        ([([20, 10, 50, 60], 0.9), ([55, 10, 80, 60], 0.7)], "several faces"),
    ],
)
def test_an_unclear_face_has_a_review_reason(tmp_path, rows, reason):
    assert get_review_reason(tmp_path, *rows) == reason


def test_a_disagreeing_classifier_is_a_review_reason(tmp_path):
    reason = get_review_reason(tmp_path, (FACE, 0.9), probs=(0.05, 0.95, 0.0))
    assert reason == "classifier disagrees"


def test_boxes_in_the_padded_image_are_shifted_back():
    class CentreDetector:
        """Detects one face at a fixed distance from the image centre."""

        def detect(self, image: Image) -> Faces:
            height, width = image.shape[:2]
            x, y = width / 2, height / 2
            box = np.array([[x - 10, y - 8, x + 10, y + 8]], np.float32)
            return Faces(box, np.array([0.5 + width / 1000], np.float32))

    detected = detect_with_border(CentreDetector(), make_grey_image(64, 48))
    assert detected.boxes.tolist() == [[22, 16, 42, 32]]
    assert detected.scores[0] == pytest.approx(0.628)


def test_the_example_has_the_labelled_box_and_ignores_the_others(tmp_path):
    write_image(tmp_path / "set" / "no_mask" / "a.jpg")
    detector = FirstCallDetector(faces((FACE, 0.9), (SMALL, 0.3)))
    (auto_label,) = auto_label_faces(
        read_dataset(tmp_path / "set"), detector, None, AutoLabelRules()
    )
    scene = to_example(auto_label)
    assert auto_label.image_wh == (90, 80)
    assert scene.boxes.tolist() == [FACE]
    assert scene.labels == (Label.NO_MASK,)
    assert scene.ignore_boxes.tolist() == [SMALL]
    assert not scene.is_crop


def test_images_with_boxes_are_rejected(tmp_path):
    path = write_image(tmp_path / "a.jpg")
    auto_label = Example(path, np.array([FACE], np.float32), (Label.MASK,))
    with pytest.raises(ValueError, match=r"a\.jpg: already has boxes"):
        list(auto_label_faces([auto_label], FakeDetector(), None, AutoLabelRules()))


def test_an_unreadable_image_needs_review(tmp_path):
    (tmp_path / "set" / "mask").mkdir(parents=True)
    (tmp_path / "set" / "mask" / "bad.jpg").write_bytes(b"")
    examples = read_dataset(tmp_path / "set")
    (auto_label,) = auto_label_faces(examples, FakeDetector(), None, AutoLabelRules())
    assert auto_label.review_reason == "cannot be read"
    assert auto_label.boxes.shape == (0, 4)
