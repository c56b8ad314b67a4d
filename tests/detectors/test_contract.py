"""What every face finder promises, whichever it is."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from maskdet.boxes import iou_matrix, sizes_px
from maskdet.detectors import DETECTORS, Detector, load_detector
from maskdet.types import Image

# The face of NASA's portrait of Eileen Collins, forehead to chin.
FACE = np.array([[180, 64, 270, 178]], np.float32)


@cache
def detector(name: str) -> Detector:
    try:
        return load_detector(name)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@cache
def portrait() -> Image:
    skimage_data = pytest.importorskip("skimage.data")
    return cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2BGR)


@pytest.fixture(params=DETECTORS)
def finder(request: pytest.FixtureRequest) -> Detector:
    return detector(request.param)


def test_the_portrait_has_one_sure_face_in_the_right_place(finder) -> None:
    faces = finder.detect(portrait())
    assert faces.scores[0] > 0.8
    assert iou_matrix(faces.boxes[:1], FACE)[0, 0] > 0.6
    assert (faces.scores >= 0.5).sum() == 1


def test_boxes_and_scores_have_the_promised_form(finder) -> None:
    image = portrait()
    faces = finder.detect(image)
    height, width = image.shape[:2]
    assert faces.boxes.dtype == faces.scores.dtype == np.float32
    assert (np.diff(faces.scores) <= 0).all()
    assert faces.boxes.min() >= 0
    assert faces.boxes[:, [0, 2]].max() <= width
    assert faces.boxes[:, [1, 3]].max() <= height
    assert sizes_px(faces.boxes).min() > 0


def test_the_image_is_not_changed(finder) -> None:
    image = portrait().copy()
    finder.detect(image)
    np.testing.assert_array_equal(image, portrait())


def test_the_same_image_gives_the_same_faces(finder) -> None:
    first, second = finder.detect(portrait()), finder.detect(portrait())
    np.testing.assert_array_equal(first.boxes, second.boxes)
    np.testing.assert_array_equal(first.scores, second.scores)


def test_a_view_of_a_larger_image_is_as_good_as_a_copy(finder) -> None:
    view = portrait()[20:300, 100:400]
    assert not view.flags.c_contiguous
    faces = finder.detect(view)
    expected = FACE - np.array([100, 20, 100, 20], np.float32)
    assert iou_matrix(faces.boxes[:1], expected)[0, 0] > 0.5


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (2, 300), (300, 2), (37, 501), (501, 37), (64, 48)]
)
def test_odd_sizes_are_fine(finder, width, height) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    faces = finder.detect(noise)
    if len(faces):
        assert faces.boxes.min() >= 0
        assert (faces.boxes <= [width, height, width, height]).all()


def test_a_large_picture_is_fine(finder) -> None:
    large = cv2.resize(portrait(), (3000, 3000))
    faces = finder.detect(large)
    assert iou_matrix(faces.boxes[:1], FACE * (3000 / 512))[0, 0] > 0.5


def test_a_grey_picture_has_no_face(finder) -> None:
    faces = finder.detect(np.full((480, 640, 3), 128, np.uint8))
    assert not (faces.scores >= 0.5).any()
