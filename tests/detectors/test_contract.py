"""What every face finder promises, checked on each of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import skimage.data

from maskdet.boxes import iou_matrix
from maskdet.detectors import DETECTORS, Detector, load_detector
from maskdet.types import Image

# The face of NASA's astronaut (public domain), from the forehead to the chin: read off
# the picture by eye. The finders draw it tighter or wider, so 0.55 must be enough.
FACE = np.array([[180, 66, 270, 178]], np.float32)
TOLERANCE_IOU = 0.55

# Box of the first face as each finder gives it today, in pixels.
GOLDEN = {
    "haar": (183.8, 79.0, 261.3, 166.8),
    "mtcnn": (181.7, 75.3, 267.9, 179.0),
    "ssd": (179.2, 57.9, 271.6, 177.2),
    "yunet": (181.3, 53.8, 273.8, 178.1),
}
FETCHED = {"ssd", "yunet"}


def params(*names: str):
    return [
        pytest.param(name, marks=pytest.mark.shared if name in FETCHED else ())
        for name in names
    ]


WITH_LANDMARKS = params("mtcnn", "yunet")
IN_COLOUR = params("mtcnn", "ssd", "yunet")
SIZES_HW = [(1, 1), (5, 300), (37, 501), (501, 37), (480, 640), (3000, 4000)]


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])


@pytest.fixture(scope="module", params=params(*DETECTORS))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def detector(name) -> Detector:
    try:
        return load_detector(name)
    except FileNotFoundError as error:
        if name not in FETCHED:
            raise
        pytest.skip(str(error))


def noise(size_hw: tuple[int, int]) -> Image:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8)


def test_a_face_is_found_where_it_is(detector, astronaut):
    faces = detector.detect(astronaut)
    assert faces.scores[0] > 0.9
    assert iou_matrix(faces.boxes[:1], FACE)[0, 0] > TOLERANCE_IOU
    assert (faces.scores[1:] < 0.5).all(), "the picture has one face"


def test_the_golden_box_has_not_moved(name, detector, astronaut):
    assert detector.detect(astronaut).boxes[0] == pytest.approx(GOLDEN[name], abs=2)


def test_boxes_follow_the_face_when_the_picture_moves(detector, astronaut):
    at_home = detector.detect(astronaut).boxes[0]
    shifted = np.zeros((512, 712, 3), np.uint8)
    shifted[:, 200:] = astronaut
    moved = detector.detect(shifted).boxes[0] - np.array([200, 0, 200, 0], np.float32)
    assert iou_matrix(moved[None], at_home[None])[0, 0] > 0.75


def test_boxes_of_a_large_picture_are_in_its_own_pixels(detector, astronaut):
    large = cv2.resize(astronaut, (3000, 3000), interpolation=cv2.INTER_LINEAR)
    faces = detector.detect(large)
    assert iou_matrix(faces.boxes[:1], FACE * (3000 / 512))[0, 0] > TOLERANCE_IOU


@pytest.mark.parametrize("name", IN_COLOUR, indirect=True)
def test_colours_are_not_swapped(detector, astronaut):
    swapped = np.ascontiguousarray(astronaut[:, :, ::-1])
    seen, seen_swapped = detector.detect(astronaut), detector.detect(swapped)
    assert not np.array_equal(seen.scores, seen_swapped.scores)
    assert seen.scores[0] >= seen_swapped.scores[0]


@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_any_size_gives_sound_boxes(detector, size_hw):
    image = noise(size_hw)
    before = image.copy()
    faces = detector.detect(image)
    height, width = size_hw
    assert faces.boxes.dtype == np.float32
    assert faces.scores.dtype == np.float32
    assert faces.boxes.shape == (len(faces), 4)
    assert (np.diff(faces.scores) <= 0).all()
    assert (faces.boxes >= 0).all()
    assert (faces.boxes[:, 2:] <= (width, height)).all()
    assert (faces.boxes[:, 2:] > faces.boxes[:, :2]).all()
    assert np.array_equal(image, before), "the image was changed"


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_plain_picture_has_no_face(detector, size_hw, shade):
    faces = detector.detect(np.full((*size_hw, 3), shade, np.uint8))
    assert (faces.scores <= 0.5).all()


def test_the_same_picture_gives_the_same_faces(detector, astronaut):
    first = detector.detect(astronaut)
    detector.detect(noise((240, 320)))
    again = detector.detect(astronaut)
    assert np.array_equal(first.boxes, again.boxes)
    assert np.array_equal(first.scores, again.scores)


def test_a_view_and_a_read_only_picture_are_fine(detector, astronaut):
    view = astronaut[::2, ::2]
    frozen = np.ascontiguousarray(view)
    frozen.flags.writeable = False
    assert np.array_equal(detector.detect(view).boxes, detector.detect(frozen).boxes)


def test_threads_may_share_a_detector(detector, astronaut):
    face = astronaut[40:220]  # small pictures, as each is looked at twice
    pictures = [face[:, : 300 + 20 * index].copy() for index in range(6)]
    alone = [detector.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(detector.detect, pictures))
    for one, other in zip(alone, together, strict=True):
        assert len(one) > 0
        assert np.array_equal(one.boxes, other.boxes)


@pytest.mark.parametrize("name", WITH_LANDMARKS, indirect=True)
def test_landmarks_lie_in_the_face_in_their_order(detector, astronaut):
    faces, points = detector.landmarks(astronaut)
    assert np.array_equal(faces.boxes, detector.detect(astronaut).boxes)
    assert points.shape == (len(faces), 5, 2)
    assert points.dtype == np.float32
    # Eyes, nose and corners of the mouth, read off the picture by eye.
    seen = [(204, 100), (248, 103), (225, 127), (203, 140), (245, 141)]
    assert points[0] == pytest.approx(np.array(seen), abs=8)


@pytest.mark.parametrize("name", WITH_LANDMARKS, indirect=True)
def test_landmarks_of_an_empty_picture_are_empty(detector):
    faces, points = detector.landmarks(np.zeros((4, 4, 3), np.uint8))
    assert len(faces) == 0
    assert points.shape == (0, 5, 2)
