"""Which box the label means, and when somebody should look at it."""

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


def doubts(tmp_path, *rows: tuple[list[int], float], probs=(0.9, 0.1, 0.0)) -> str:
    """Return the doubt about one image; boxes are shown to the plain look only."""
    write_image(tmp_path / "set" / "mask" / "a.jpg")
    found = faces(*rows)
    finder = OneLook(found)
    (boxed,) = auto_label_faces(
        read_dataset(tmp_path / "set"), finder, FakeClassifier(probs), AutoLabelRules()
    )
    return boxed.review_reason


class OneLook(FakeDetector):
    """Finds its faces in every first image and nothing in every second one."""

    def __init__(self, found: Faces) -> None:
        super().__init__(found.boxes.tolist(), found.scores.tolist())

    def detect(self, image: Image) -> Faces:
        return super().detect(image) if not self.calls % 2 else self._nothing()

    def _nothing(self) -> Faces:
        self.calls += 1
        return Faces.empty()


def test_the_largest_of_those_nearly_as_sure_as_the_best_is_meant():
    seen = faces((SMALL, 0.9), (FACE, 0.8), ([0, 0, 89, 79], 0.7))
    rows, others = select_labelled_face(seen, AutoLabelRules())
    assert seen.boxes[rows].tolist() == [FACE]
    assert SMALL in seen.boxes[others].tolist()


def test_without_a_sure_face_the_best_is_meant():
    seen = faces((SMALL, 0.5), (FACE, 0.4))
    rows, others = select_labelled_face(seen, AutoLabelRules())
    assert seen.boxes[rows].tolist() == [SMALL]
    assert seen.boxes[others].tolist() == [FACE]


def test_parts_of_the_face_and_hardly_anything_are_no_other_faces():
    seen = faces((FACE, 0.9), ([25, 15, 45, 35], 0.8), (SMALL, 0.1))
    assert len(select_labelled_face(seen, AutoLabelRules())[1]) == 0


def test_nothing_found_gives_no_rows():
    rows, others = select_labelled_face(Faces.empty(), AutoLabelRules())
    assert (len(rows), len(others)) == (0, 0)


def test_a_sure_face_is_not_doubted(tmp_path):
    assert doubts(tmp_path, (FACE, 0.9), (SMALL, 0.9)) == ""


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no face"),
        ([(FACE, 0.5)], "low score"),
        ([([20, 10, 31, 60], 0.9)], "too small"),
        ([([20, 10, 50, 60], 0.9), ([55, 10, 80, 60], 0.7)], "several faces"),
    ],
)
def test_what_is_unclear_is_doubted(tmp_path, rows, says):
    assert doubts(tmp_path, *rows) == says


def test_a_classifier_that_is_sure_of_something_else_is_heard(tmp_path):
    says = doubts(tmp_path, (FACE, 0.9), probs=(0.05, 0.95, 0.0))
    assert says == "classifier disagrees"


def test_a_look_with_room_around_is_moved_back():
    class Corner:
        """Finds one face, at the same distance from the image's middle."""

        def detect(self, image: Image) -> Faces:
            height, width = image.shape[:2]
            x, y = width / 2, height / 2
            box = np.array([[x - 10, y - 8, x + 10, y + 8]], np.float32)
            return Faces(box, np.array([0.5 + width / 1000], np.float32))

    seen = detect_with_border(Corner(), make_grey_image(64, 48))
    assert seen.boxes.tolist() == [[22, 16, 42, 32]]
    assert seen.scores[0] == pytest.approx(0.628)


def test_what_is_settled_carries_the_label_and_ignores_the_others(tmp_path):
    write_image(tmp_path / "set" / "no_mask" / "a.jpg")
    finder = OneLook(faces((FACE, 0.9), (SMALL, 0.3)))
    (boxed,) = auto_label_faces(
        read_dataset(tmp_path / "set"), finder, None, AutoLabelRules()
    )
    scene = to_example(boxed)
    assert boxed.image_wh == (90, 80)
    assert scene.boxes.tolist() == [FACE]
    assert scene.labels == (Label.NO_MASK,)
    assert scene.ignore_boxes.tolist() == [SMALL]
    assert not scene.is_crop


def test_pictures_with_boxes_are_refused(tmp_path):
    path = write_image(tmp_path / "a.jpg")
    boxed = Example(path, np.array([FACE], np.float32), (Label.MASK,))
    with pytest.raises(ValueError, match=r"a\.jpg: has boxes already"):
        list(auto_label_faces([boxed], FakeDetector(), None, AutoLabelRules()))


def test_a_broken_picture_is_left_to_people(tmp_path):
    (tmp_path / "set" / "mask").mkdir(parents=True)
    (tmp_path / "set" / "mask" / "bad.jpg").write_bytes(b"")
    examples = read_dataset(tmp_path / "set")
    (boxed,) = auto_label_faces(examples, FakeDetector(), None, AutoLabelRules())
    assert boxed.review_reason == "cannot be read"
    assert boxed.boxes.shape == (0, 4)
