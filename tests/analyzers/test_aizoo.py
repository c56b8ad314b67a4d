"""Tests of AIZOO: anchors, decoding, and its network or a stand-in for it.

Expected boxes and probabilities follow from the constants of the stand-in.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from maskdet.analyzers.aizoo import Aizoo, build_anchors, decode_boxes
from maskdet.datasets import read_dataset
from maskdet.media import read_image
from maskdet.metrics.detection import match_detections, mean_average_precision
from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE
from maskdet.settings import Settings
from maskdet.types import Image, Label
from tests.helpers.fake_networks.contrast import patch_confidence
from tests.helpers.fake_networks.weights import (
    DATA_DIR_VARIABLE,
    PUBLISHED,
    STAND_IN,
    find_extra_file,
    parametrize_kinds,
    use_stand_ins,
)

ALL = Settings.permissive()

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


# One patch each: `x1, y1, x2, y2` of 260 pixels, and B, G, R.
SMALL_MASK = ((160, 80, 168, 88), (0, 0, 255))
SMALL_NO_MASK = ((16, 200, 24, 208), (255, 0, 0))
LARGE_MASK = ((64, 64, 128, 128), (0, 255, 255))
LARGE_NO_MASK = ((64, 64, 128, 128), (255, 255, 0))


@pytest.fixture(scope="module")
def stand_in() -> Aizoo:
    with use_stand_ins():
        return Aizoo()


@pytest.fixture(scope="module")
def published() -> Aizoo:
    try:
        return Aizoo()
    except FileNotFoundError as error:
        pytest.skip(f"{error}, or name its folder in {MODEL_DIR_VARIABLE}")


@pytest.fixture
def aizoo(kind, request) -> Aizoo:
    """Return the network with this kind of weights."""
    return request.getfixturevalue({STAND_IN: "stand_in", PUBLISHED: "published"}[kind])


@pytest.fixture
def crowd_image(kind) -> Image:
    """Return an image in which this network detects more than one face."""
    if kind == PUBLISHED:
        return read_image(SAMPLES / "group.jpg")
    return paint_image(260, 260, SMALL_MASK, SMALL_NO_MASK, LARGE_MASK)


def test_the_number_of_anchors_matches_the_network_output():
    # The network has 4 anchors per cell of 33, 17, 9, 5 and 3 squared.
    assert build_anchors().shape == (4 * (33**2 + 17**2 + 9**2 + 5**2 + 3**2), 4)
    assert build_anchors().dtype == np.float32


def test_the_anchors_of_a_cell_have_the_published_sizes():
    anchors = build_anchors()
    second_cell = anchors[4:8]
    centres = (second_cell[:, :2] + second_cell[:, 2:]) / 2
    np.testing.assert_allclose(centres, [[1.5 / 33, 0.5 / 33]] * 4, rtol=1e-5)
    sqrt_062, sqrt_042 = math.sqrt(0.62), math.sqrt(0.42)
    expected = [
        [0.04, 0.04],
        [0.056, 0.056],
        [0.04 * sqrt_062, 0.04 / sqrt_062],
        [0.04 * sqrt_042, 0.04 / sqrt_042],
    ]
    np.testing.assert_allclose(
        second_cell[:, 2:] - second_cell[:, :2], expected, rtol=1e-4
    )
    largest = anchors[-3, 2:] - anchors[-3, :2]
    np.testing.assert_allclose(largest, [0.72, 0.72], rtol=1e-5)


def test_decode_boxes_shifts_and_scales_an_anchor():
    anchor = np.array([[0.2, 0.2, 0.4, 0.6]], np.float32)
    no_shift = np.zeros((1, 4), np.float32)
    np.testing.assert_allclose(decode_boxes(anchor, no_shift), anchor, rtol=1e-6)
    shifts = np.array([[1, -1, 5 * math.log(2), 0]], np.float32)
    np.testing.assert_allclose(
        decode_boxes(anchor, shifts), [[0.12, 0.16, 0.52, 0.56]], rtol=1e-5
    )


# Their boxes in fractions of the image, from the cell, the anchor, SHIFT and STRETCH.
SMALL_BOX = (
    (20.5 / 33 + 0.5 * 0.04 - 0.75 * 0.04),
    (10.5 / 33 - 0.25 * 0.04 - 1.25 * 0.04),
    (20.5 / 33 + 0.5 * 0.04 + 0.75 * 0.04),
    (10.5 / 33 - 0.25 * 0.04 + 1.25 * 0.04),
)
WIDE, TALL = 0.32 * math.sqrt(0.62), 0.32 / math.sqrt(0.62)
LARGE_BOX = (
    (1.5 / 5 + 0.5 * WIDE - 0.75 * WIDE),
    (1.5 / 5 - 0.25 * TALL - 1.25 * TALL),
    (1.5 / 5 + 0.5 * WIDE + 0.75 * WIDE),
    (1.5 / 5 - 0.25 * TALL + 1.25 * TALL),
)


def paint_image(width: int, height: int, *patches: tuple[tuple, tuple]) -> Image:
    """Return a black image with patches, given in pixels of a 260 x 260 image."""
    image = np.zeros((height, width, 3), np.uint8)
    scale = np.array([width, height] * 2) / 260
    for patch, bgr in patches:
        left, top, right, bottom = (patch * scale).astype(int)
        image[top:bottom, left:right] = bgr
    return image


@pytest.mark.parametrize(
    ("patch", "box", "label"),
    [
        (SMALL_MASK, SMALL_BOX, Label.MASK),
        (((160, 80, 168, 88), (255, 0, 0)), SMALL_BOX, Label.NO_MASK),
        (LARGE_MASK, LARGE_BOX, Label.MASK),
        (LARGE_NO_MASK, LARGE_BOX, Label.NO_MASK),
    ],
)
@pytest.mark.parametrize("size_wh", [(260, 260), (520, 260), (780, 1040)])
def test_boxes_and_labels_match_the_network_output(
    stand_in, patch, box, label, size_wh
):
    scene = stand_in.analyze(paint_image(*size_wh, patch), ALL)
    expected = np.clip(box, 0, 1) * np.array([*size_wh, *size_wh])
    assert scene.faces.boxes == pytest.approx(expected[None], abs=0.05)
    assert scene.labels == (label,)


def test_probabilities_are_both_columns_divided_by_their_sum(stand_in):
    # Red is 110 above green, blue is 80 above green.
    image = paint_image(260, 260, ((160, 80, 168, 88), (180, 100, 210)))
    scene = stand_in.analyze(image, ALL)
    mask, no_mask = patch_confidence(110), patch_confidence(80)
    assert scene.faces.scores == pytest.approx([mask], abs=1e-4)
    expected = [mask / (mask + no_mask), no_mask / (mask + no_mask), 0]
    assert scene.probs == pytest.approx(np.array([expected]), abs=1e-4)


def test_nms_keeps_the_box_with_the_higher_score(stand_in):
    # Boxes of 15.6 x 26 px, one cell (7.9 px) apart: IoU 0.53 below each other, 0.33
    # side by side.
    weaker, below = ((160, 80, 168, 88), (0, 0, 120)), ((160, 88, 168, 96), (0, 0, 200))
    scene = stand_in.analyze(paint_image(260, 260, weaker, below), ALL)
    assert scene.faces.scores == pytest.approx([patch_confidence(200)], abs=1e-4)
    aside = ((168, 88, 176, 96), (0, 0, 120))
    assert len(stand_in.analyze(paint_image(260, 260, aside, below), ALL)) == 2


def test_scores_below_the_minimum_are_dropped(stand_in):
    # The minimum is 0.02.
    above, below = ((160, 80, 168, 88), (0, 0, 60)), ((160, 80, 168, 88), (0, 0, 40))
    assert patch_confidence(60) > 0.02 > patch_confidence(40)
    assert len(stand_in.analyze(paint_image(260, 260, above), ALL)) == 1
    assert len(stand_in.analyze(paint_image(260, 260, below), ALL)) == 0


@parametrize_kinds("aizoo")
@pytest.mark.parametrize(
    ("name", "patch", "label"),
    [
        ("portrait-mask", SMALL_MASK, Label.MASK),
        ("portrait-bare", LARGE_NO_MASK, Label.NO_MASK),
    ],
)
def test_a_portrait_is_classified(aizoo, kind, name, patch, label):
    image = paint_image(260, 260, patch)
    if kind == PUBLISHED:
        image = read_image(SAMPLES / f"{name}.jpg")
    scene = aizoo.analyze(image, Settings())
    assert scene.labels == (label,)
    assert scene.probs[0, Label.INCORRECT] == 0


@parametrize_kinds("aizoo")
@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(min_score=0.1, min_face_px=1, nms_iou=1)],
)
def test_filtering_in_analyze_equals_filtering_later(aizoo, crowd_image, settings):
    filtered_early = aizoo.analyze(crowd_image, settings)
    filtered_late = aizoo.analyze(crowd_image, ALL).filter(settings)
    assert filtered_early.faces.boxes.tolist() == filtered_late.faces.boxes.tolist()
    assert filtered_early.probs.tolist() == filtered_late.probs.tolist()
    assert filtered_early.blur_boxes.tolist() == filtered_late.blur_boxes.tolist()
    assert len(filtered_early) > 1


@parametrize_kinds("aizoo")
def test_a_grey_image_of_any_size_has_no_face(aizoo):
    for size_hw in ((1, 1), (37, 501), (480, 640)):
        image = np.full((*size_hw, 3), 128, np.uint8)
        assert len(aizoo.analyze(image, Settings())) == 0
        assert (image == 128).all()


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "published_ap"),
    [
        ("kaggle", {"faces": (0.562, 0.818), "mask": (0.336, 0.653)}),
        ("ilc", {"faces": (0.646, 0.713), "mask": (0.362, 0.448)}),
    ],
)
def test_average_precision_matches_the_published_values(published, name, published_ap):
    """Measured elsewhere from score 0.1, with the likelier class as the label."""
    path = find_extra_file(DATA_DIR_VARIABLE, f"scenes/{name}-val.json")
    rules = Settings(min_score=0.1, min_face_px=1, min_confidence=0)
    examples = read_dataset(path)
    all_scenes = [
        published.analyze(read_image(example.path), rules) for example in examples
    ]
    mask_scenes = [
        scene[np.flatnonzero(scene.probs.argmax(axis=1) == 0)] for scene in all_scenes
    ]
    mask_boxes = [
        example.boxes[example.label_values == Label.MASK] for example in examples
    ]
    for row, min_px in enumerate((0.0, 20.0)):
        for kind, scenes, truths in (
            ("faces", all_scenes, [example.boxes for example in examples]),
            ("mask", mask_scenes, mask_boxes),
        ):
            faces = [scene.faces for scene in scenes]
            matches = match_detections(faces, truths, min_iou=0.5, min_px=min_px)
            value = mean_average_precision([matches]).value
            assert value == pytest.approx(published_ap[kind][row], abs=0.005)
