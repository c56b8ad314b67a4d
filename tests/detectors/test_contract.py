"""Tests of the behaviour that all face detectors have in common.

Detectors without bundled weights are tested with stand-ins, which detect painted
patches as faces, and also with the published weights if they are on this machine.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import skimage.data

from maskdet.boxes import iou_matrix
from maskdet.detectors import DETECTORS, Detector, load_detector
from maskdet.types import Image
from tests.helpers.fake_networks.weights import (
    PUBLISHED,
    STAND_IN,
    available_kinds,
    marks_of,
    use_weights,
)

# The face of NASA's astronaut (public domain) from forehead to chin, measured by eye.
# The detectors' boxes are tighter or wider, so an IoU of 0.55 is enough.
FACE = (180, 66, 270, 178)
TOLERANCE_IOU = 0.55
# Eyes, nose and corners of the mouth, measured by eye.
POINTS = ((204, 100), (248, 103), (225, 127), (203, 140), (245, 141))

# Current box of the first face of each detector, in pixels.
GOLDEN = {
    "centerface": (177.7, 72.8, 271.5, 184.4),
    "haar": (183.8, 79.0, 261.3, 166.8),
    "haar-live": (184.7, 79.4, 259.9, 164.6),
    "mtcnn": (181.7, 75.3, 267.9, 179.0),
    "ssd": (179.2, 57.9, 271.6, 177.2),
    "yunet": (181.3, 53.8, 273.8, 178.1),
}
FETCHED = {"centerface", "ssd", "yunet"}
SIZES_HW = [(1, 1), (5, 300), (37, 501), (501, 37), (480, 640), (3000, 4000)]


class Portrait(NamedTuple):
    """A square image of one face, and the position of the face."""

    image: Image
    face: tuple[float, ...]
    points: tuple[tuple[float, float], ...]
    golden: tuple[float, ...]


class Painted(NamedTuple):
    """A patch of one colour on grey that a stand-in detects as a face."""

    side_px: int
    patch: tuple[slice, slice]
    bgr: tuple[int, int, int]
    golden: tuple[float, ...]
    points: tuple[tuple[float, float], ...] = ()


# Boxes and points follow from the constants of each stand-in.
PAINTED = {
    # At the left border, where the patch fills a cell in images of any width.
    "centerface": Painted(
        640,
        (slice(320, 324), slice(0, 4)),
        (255, 0, 0),
        (0, 310.28, 11.096, 333.32),
    ),
    "ssd": Painted(
        300,
        (slice(120, 150), slice(150, 180)),
        (255, 0, 0),
        (148.5, 102, 193.5, 162),
    ),
    "yunet": Painted(
        640,
        (slice(320, 352), slice(192, 224)),
        (0, 0, 255),
        (168, 256, 232, 352),
        ((192, 320), (224, 320), (208, 336), (192, 352), (224, 352)),
    ),
}


def params(*names: str, stand_ins: bool = True) -> list[object]:
    """Return the parameters of `case`: a detector, and which weights it runs."""
    rows: list[object] = []
    for name in names:
        if name in FETCHED:
            rows += [
                pytest.param((name, kind), id=f"{name}-{kind}", marks=marks_of(kind))
                for kind in available_kinds(name)
                if stand_ins or kind != STAND_IN
            ]
        else:
            rows.append(pytest.param((name, PUBLISHED), id=name))
    return rows


WITH_LANDMARKS = params("mtcnn", "yunet")
IN_COLOUR = params("centerface", "mtcnn", "ssd", "yunet")
OF_PHOTOGRAPHS = params(*DETECTORS, stand_ins=False)


@pytest.fixture(scope="module", params=params(*DETECTORS))
def case(request) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="module")
def portrait(case) -> Portrait:
    name, kind = case
    if kind == PUBLISHED:
        image = np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])
        return Portrait(image, FACE, POINTS, GOLDEN[name])
    pattern = PAINTED[name]
    image = np.full((pattern.side_px, pattern.side_px, 3), 128, np.uint8)
    image[pattern.patch] = pattern.bgr
    return Portrait(image, pattern.golden, pattern.points, pattern.golden)


@pytest.fixture(scope="module")
def detector(case) -> Detector:
    name, kind = case
    with use_weights(kind):
        return load_detector(name)


def noise(size_hw: tuple[int, int]) -> Image:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8)


def as_boxes(box: tuple[float, ...]):
    return np.array([box], np.float32)


def test_a_face_is_detected_at_its_position(detector, portrait):
    faces = detector.detect(portrait.image)
    assert faces.scores[0] > 0.9
    assert iou_matrix(faces.boxes[:1], as_boxes(portrait.face))[0, 0] > TOLERANCE_IOU
    assert (faces.scores[1:] < 0.5).all(), "the image has one face"


def test_the_box_matches_the_golden_value(detector, portrait):
    box = detector.detect(portrait.image).boxes[0]
    assert box == pytest.approx(portrait.golden, abs=2)


# Not with the stand-ins: their boxes have one size in the pixels of the network, and
# the wider image is scaled by another factor.
@pytest.mark.parametrize("case", OF_PHOTOGRAPHS, indirect=True)
def test_boxes_follow_a_shifted_face(detector, portrait):
    original = detector.detect(portrait.image).boxes[0]
    shifted = np.zeros((512, 712, 3), np.uint8)
    shifted[:, 200:] = portrait.image
    moved = detector.detect(shifted).boxes[0] - np.array([200, 0, 200, 0], np.float32)
    assert iou_matrix(moved[None], original[None])[0, 0] > 0.75


def test_boxes_of_a_large_image_are_in_its_pixels(detector, portrait):
    large = cv2.resize(portrait.image, (3000, 3000), interpolation=cv2.INTER_LINEAR)
    faces = detector.detect(large)
    face = as_boxes(portrait.face) * (3000 / len(portrait.image))
    assert iou_matrix(faces.boxes[:1], face)[0, 0] > TOLERANCE_IOU


@pytest.mark.parametrize("case", IN_COLOUR, indirect=True)
def test_colours_are_not_swapped(detector, portrait):
    swapped = np.ascontiguousarray(portrait.image[:, :, ::-1])
    original, swapped_faces = detector.detect(portrait.image), detector.detect(swapped)
    assert not np.array_equal(original.scores, swapped_faces.scores)
    assert original.scores[0] >= swapped_faces.scores.max(initial=0)


@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_any_image_size_gives_valid_boxes(detector, size_hw):
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
def test_a_uniform_image_has_no_face(detector, size_hw, shade):
    faces = detector.detect(np.full((*size_hw, 3), shade, np.uint8))
    assert (faces.scores <= 0.5).all()


def test_detection_is_deterministic(detector, portrait):
    first = detector.detect(portrait.image)
    detector.detect(noise((240, 320)))
    again = detector.detect(portrait.image)
    assert np.array_equal(first.boxes, again.boxes)
    assert np.array_equal(first.scores, again.scores)


def test_views_and_read_only_images_are_accepted(detector, portrait):
    view = portrait.image[::2, ::2]
    frozen = np.ascontiguousarray(view)
    frozen.flags.writeable = False
    assert np.array_equal(detector.detect(view).boxes, detector.detect(frozen).boxes)


def test_detect_is_thread_safe(detector, portrait):
    images = [portrait.image[:, : 300 + 20 * index].copy() for index in range(6)]
    alone = [detector.detect(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(detector.detect, images))
    for single, other in zip(alone, together, strict=True):
        assert len(single) > 0
        assert np.array_equal(single.boxes, other.boxes)


@pytest.mark.parametrize("case", WITH_LANDMARKS, indirect=True)
def test_landmarks_are_in_the_face_in_order(detector, portrait):
    faces, points = detector.detect_landmarks(portrait.image)
    assert np.array_equal(faces.boxes, detector.detect(portrait.image).boxes)
    assert points.shape == (len(faces), 5, 2)
    assert points.dtype == np.float32
    assert points[0] == pytest.approx(np.array(portrait.points), abs=8)


@pytest.mark.parametrize("case", WITH_LANDMARKS, indirect=True)
def test_landmarks_of_an_empty_image_are_empty(detector):
    faces, points = detector.detect_landmarks(np.zeros((4, 4, 3), np.uint8))
    assert len(faces) == 0
    assert points.shape == (0, 5, 2)
