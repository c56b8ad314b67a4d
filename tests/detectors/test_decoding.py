"""Tests of decoding in YuNet, CenterFace and SSD with known network outputs.

The expected values follow from the constants of the stand-ins.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskdet.detectors.centerface import CenterFace
from maskdet.detectors.ssd import SSD
from maskdet.detectors.yunet import YuNet
from maskdet.types import Image
from tests.helpers.fake_networks.contrast import patch_confidence
from tests.helpers.fake_networks.weights import use_stand_ins
from tests.helpers.fake_networks.yunet import OBJECTNESS

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    with use_stand_ins():
        return YuNet(640)


@pytest.fixture(scope="module")
def centerface() -> CenterFace:
    with use_stand_ins():
        return CenterFace()


@pytest.fixture(scope="module")
def ssd() -> SSD:
    with use_stand_ins():
        return SSD()


def paint_image(
    width: int, height: int, *patches: tuple[tuple[int, int, int, int], tuple]
) -> Image:
    """Return a black image with patches: `x1, y1, x2, y2` and B, G, R."""
    image = np.zeros((height, width, 3), np.uint8)
    for (left, top, right, bottom), bgr in patches:
        image[top:bottom, left:right] = bgr
    return image


def test_yunet_decodes_each_level_at_its_stride(yunet):
    image = paint_image(
        640,
        480,
        ((160, 80, 168, 88), BLUE),
        ((32, 320, 48, 336), GREEN),
        ((320, 192, 352, 224), RED),
    )
    faces, points = yunet.detect_landmarks(image)
    expected = {
        (154, 64, 170, 88): [(160, 80), (168, 80), (164, 84), (160, 88), (168, 88)],
        (20, 288, 52, 336): [(32, 320), (48, 320), (40, 328), (32, 336), (48, 336)],
        (296, 128, 360, 224): [
            (320, 192),
            (352, 192),
            (336, 208),
            (320, 224),
            (352, 224),
        ],
    }
    assert {tuple(box) for box in faces.boxes.round(3).tolist()} == set(expected)
    for box, rows in zip(faces.boxes.round(3).tolist(), points, strict=True):
        assert rows == pytest.approx(np.array(expected[tuple(box)]), abs=1e-3)


@pytest.mark.parametrize("contrast", [80, 100, 150, 255])
def test_yunet_scores_are_the_geometric_mean_of_class_and_object(yunet, contrast):
    faces = yunet.detect(paint_image(640, 480, ((160, 80, 168, 88), (contrast, 0, 0))))
    expected = math.sqrt(patch_confidence(contrast) * OBJECTNESS)
    assert faces.scores == pytest.approx([expected], abs=1e-5)


def test_yunet_drops_scores_below_the_minimum(yunet):
    # The minimum is 0.05: the score is above it at 48, below it at 20.
    assert len(yunet.detect(paint_image(640, 480, ((0, 0, 8, 8), (48, 0, 0))))) == 1
    assert len(yunet.detect(paint_image(640, 480, ((0, 0, 8, 8), (20, 0, 0))))) == 0


def test_yunet_nms_keeps_the_higher_score(yunet):
    # Boxes of 16 x 24 px, 8 px apart: IoU 1/2 below each other, 1/3 side by side.
    above, weaker = ((160, 80, 168, 88), BLUE), ((160, 88, 168, 96), (120, 0, 0))
    aside = ((168, 80, 176, 88), (120, 0, 0))
    assert yunet.detect(paint_image(640, 480, above, weaker)).boxes.tolist() == [
        [154, 64, 170, 88]
    ]
    boxes = yunet.detect(paint_image(640, 480, above, aside)).boxes
    assert boxes.tolist() == [[154, 64, 170, 88], [162, 64, 178, 88]]


@pytest.mark.parametrize(
    ("size_wh", "patch", "box"),
    [
        # Scaled by 1/2, and by 1/4 with black padding below: 250 rows become 256.
        ((1280, 960), (320, 160, 336, 176), (308, 128, 340, 176)),
        ((2560, 1000), (640, 320, 672, 352), (616, 256, 680, 352)),
        # Portrait format: the height is the long side, the padding is at the right.
        ((600, 1280), (320, 160, 336, 176), (308, 128, 340, 176)),
        # Scaled by 2; 400 rows become 416.
        ((320, 200), (80, 196, 84, 200), (77, 188, 85, 200)),
    ],
)
def test_boxes_of_yunet_are_in_pixels_of_the_image(yunet, size_wh, patch, box):
    faces, points = yunet.detect_landmarks(paint_image(*size_wh, (patch, BLUE)))
    assert faces.boxes == pytest.approx(np.array([box]), abs=1e-3)
    left, top, right, bottom = patch
    corners = [(left, top), (right, top), (left, bottom), (right, bottom)]
    assert points[0, [0, 1, 3, 4]] == pytest.approx(np.array(corners), abs=1e-3)


def test_yunet_resizes_to_the_given_long_side():
    with use_stand_ins():
        large = YuNet(1280)
    # The patch of 16 px becomes 32 px and fills a cell of the last level.
    faces = large.detect(paint_image(640, 480, ((160, 80, 176, 96), RED)))
    assert faces.boxes == pytest.approx(np.array([[148, 48, 180, 96]]), abs=1e-3)


def test_boxes_of_yunet_are_clipped_to_the_image(yunet):
    faces = yunet.detect(paint_image(640, 480, ((0, 0, 8, 8), BLUE)))
    assert faces.boxes.tolist() == [[0, 0, 10, 8]]


# Without the shift, the box is 155, 68, 171, 92.
CENTERFACE_PATCH = (160, 80, 164, 84)
CENTERFACE_BOX = [154.632, 70.28, 171.096, 93.32]


def test_centerface_boxes_match_the_shifted_network_output(centerface):
    faces = centerface.detect(paint_image(640, 480, (CENTERFACE_PATCH, BLUE)))
    assert faces.boxes == pytest.approx(np.array([CENTERFACE_BOX]), abs=1e-3)


@pytest.mark.parametrize("contrast", [80, 100, 150, 255])
def test_centerface_scores_match_the_network_output(centerface, contrast):
    faces = centerface.detect(
        paint_image(640, 480, (CENTERFACE_PATCH, (contrast, 0, 0)))
    )
    assert faces.scores == pytest.approx([patch_confidence(contrast)], abs=1e-4)


def test_centerface_drops_scores_below_the_minimum(centerface):
    # The minimum is 0.05: the score is above it at 64, below it at 62.
    for contrast, n_faces in (64, 1), (62, 0):
        image = paint_image(640, 480, (CENTERFACE_PATCH, (contrast, 0, 0)))
        assert len(centerface.detect(image)) == n_faces


def test_centerface_nms_keeps_the_higher_score(centerface):
    # Boxes 16 px wide: IoU 1/3 if they are 8 px apart, 1/7 if 12 px.
    weaker = (120, 0, 0)
    for left, n_faces in (168, 1), (172, 2):
        patch = (left, 80, left + 4, 84)
        faces = centerface.detect(
            paint_image(640, 480, (CENTERFACE_PATCH, BLUE), (patch, weaker))
        )
        assert len(faces) == n_faces
        assert faces.boxes[0] == pytest.approx(CENTERFACE_BOX, abs=1e-3)


def test_centerface_detects_each_face_of_a_crowd(centerface):
    lefts_tops = [
        (left, top) for left in range(0, 640, 16) for top in range(0, 480, 24)
    ]
    patches = [((x, y, x + 4, y + 4), BLUE) for x, y in lefts_tops]
    assert len(centerface.detect(paint_image(640, 480, *patches))) == len(lefts_tops)


@pytest.mark.parametrize(
    ("size_wh", "patch", "box"),
    [
        # Scaled by 1/2 and by 2.
        ((1280, 960), (320, 160, 328, 168), (309.264, 140.56, 342.192, 186.64)),
        ((320, 240), (80, 40, 82, 42), (77.316, 35.14, 85.548, 46.66)),
        # 250 rows are stretched to 256, and 10 to 64.
        ((640, 250), (160, 0, 164, 4), (154.632, 0, 171.096, 13.008)),
        ((10, 640), (0, 320, 10, 324), (0, 310.28, 1.734, 333.32)),
    ],
)
def test_boxes_of_centerface_are_in_pixels_of_the_image(
    centerface, size_wh, patch, box
):
    faces = centerface.detect(paint_image(*size_wh, (patch, BLUE)))
    assert faces.boxes[:1] == pytest.approx(np.array([box]), abs=1e-2)


def test_centerface_scores_do_not_depend_on_the_images_before(centerface):
    """OpenCV's fused layers would normalize again at each change of the size."""
    weaker = (CENTERFACE_PATCH, (110, 0, 0))
    for size_wh in (640, 320), (480, 640), (640, 480):
        faces = centerface.detect(paint_image(*size_wh, weaker))
        assert faces.scores == pytest.approx([patch_confidence(110)], abs=1e-4)


def test_centerface_gets_rgb_images(centerface):
    assert not len(centerface.detect(paint_image(640, 480, (CENTERFACE_PATCH, RED))))


def test_ssd_boxes_match_the_network_output(ssd):
    image = paint_image(
        300, 300, ((120, 60, 150, 90), BLUE), ((30, 240, 60, 270), BLUE)
    )
    boxes = ssd.detect(image).boxes
    assert boxes[np.argsort(boxes[:, 1])] == pytest.approx(
        np.array([[118.5, 42, 163.5, 102], [28.5, 222, 73.5, 282]]), abs=1e-2
    )


@pytest.mark.parametrize("contrast", [64, 100, 120, 255])
def test_ssd_scores_match_the_network_output(ssd, contrast):
    # The score would change without the subtracted mean, and with swapped channels.
    faces = ssd.detect(paint_image(300, 300, ((120, 60, 150, 90), (contrast, 0, 0))))
    assert faces.scores == pytest.approx([patch_confidence(contrast)], abs=1e-4)


def test_ssd_drops_scores_below_the_minimum(ssd):
    # The minimum is 0.05; the network reports boxes from 0.01.
    assert patch_confidence(50) < 0.05
    assert not len(ssd.detect(paint_image(300, 300, ((120, 60, 150, 90), (50, 0, 0)))))


def test_ssd_sorts_faces_by_score(ssd):
    patches = [
        ((30, 30, 60, 60), (110, 0, 0)),
        ((120, 120, 150, 150), (200, 0, 0)),
        ((210, 210, 240, 240), (150, 0, 0)),
    ]
    scores = ssd.detect(paint_image(300, 300, *patches)).scores
    assert scores == pytest.approx(
        [patch_confidence(contrast) for contrast in (200, 150, 110)], abs=1e-4
    )


@pytest.mark.parametrize(
    ("size_wh", "patch", "box"),
    [
        # Scaled by 1/2 in width; by 1/2 in both; by 2 in height.
        ((600, 300), (240, 60, 300, 90), (237, 42, 327, 102)),
        ((600, 600), (240, 120, 300, 180), (237, 84, 327, 204)),
        ((300, 150), (120, 30, 150, 45), (118.5, 21, 163.5, 51)),
    ],
)
def test_boxes_of_ssd_are_in_pixels_of_the_image(ssd, size_wh, patch, box):
    faces = ssd.detect(paint_image(*size_wh, (patch, BLUE)))
    assert faces.boxes == pytest.approx(np.array([box]), abs=1e-2)


def test_boxes_of_ssd_are_clipped_to_the_image(ssd):
    faces = ssd.detect(paint_image(300, 300, ((270, 270, 300, 300), BLUE)))
    assert faces.boxes == pytest.approx(np.array([[268.5, 252, 300, 300]]), abs=1e-2)


def test_ssd_gets_bgr_images(ssd):
    assert not len(ssd.detect(paint_image(300, 300, ((120, 60, 150, 90), RED))))
