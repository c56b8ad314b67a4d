"""AIZOO's anchors and decoding by hand, and its network where it is here."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from maskdet.aizoo import Aizoo, anchors, decoded
from maskdet.datasets import read_coco
from maskdet.media import read_image
from maskdet.metrics.detection import match, mean_average_precision
from maskdet.types import Label, Settings

ALL = Settings.permissive()

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


@pytest.fixture(scope="module")
def aizoo() -> Aizoo:
    try:
        return Aizoo()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_there_are_as_many_anchors_as_answers():
    # SEEDS of the network: 4 on each cell of 33, 17, 9, 5 and 3 squared.
    assert anchors().shape == (4 * (33**2 + 17**2 + 9**2 + 5**2 + 3**2), 4)
    assert anchors().dtype == np.float32


def test_the_anchors_of_a_cell_have_the_published_sizes():
    made = anchors()
    second = made[4:8]
    centres = (second[:, :2] + second[:, 2:]) / 2
    np.testing.assert_allclose(centres, [[1.5 / 33, 0.5 / 33]] * 4, rtol=1e-5)
    root, low = math.sqrt(0.62), math.sqrt(0.42)
    wanted = [
        [0.04, 0.04],
        [0.056, 0.056],
        [0.04 * root, 0.04 / root],
        [0.04 * low, 0.04 / low],
    ]
    np.testing.assert_allclose(second[:, 2:] - second[:, :2], wanted, rtol=1e-4)
    largest = made[-3, 2:] - made[-3, :2]
    np.testing.assert_allclose(largest, [0.72, 0.72], rtol=1e-5)


def test_shifts_move_and_stretch_an_anchor():
    anchor = np.array([[0.2, 0.2, 0.4, 0.6]], np.float32)
    still = np.zeros((1, 4), np.float32)
    np.testing.assert_allclose(decoded(anchor, still), anchor, rtol=1e-6)
    shifts = np.array([[1, -1, 5 * math.log(2), 0]], np.float32)
    np.testing.assert_allclose(
        decoded(anchor, shifts), [[0.12, 0.16, 0.52, 0.56]], rtol=1e-5
    )


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "label"), [("portrait-mask", Label.MASK), ("portrait-bare", Label.NO_MASK)]
)
def test_it_labels_the_samples(aizoo, name, label):
    scene = aizoo.analyze(read_image(SAMPLES / f"{name}.jpg"), Settings())
    assert scene.labels == (label,)
    assert scene.probs[0, Label.INCORRECT] == 0


@pytest.mark.shared
@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(min_score=0.1, min_face_px=1, nms_iou=1)],
)
def test_choosing_early_equals_choosing_late(aizoo, settings):
    image = read_image(SAMPLES / "group.jpg")
    early, late = (
        aizoo.analyze(image, settings),
        aizoo.analyze(image, ALL).filter(settings),
    )
    assert early.faces.boxes.tolist() == late.faces.boxes.tolist()
    assert early.probs.tolist() == late.probs.tolist()
    assert early.blur_boxes.tolist() == late.blur_boxes.tolist()
    assert len(early) > 1


@pytest.mark.shared
def test_a_grey_picture_of_any_size_has_no_face(aizoo):
    for size_hw in ((1, 1), (37, 501), (480, 640)):
        image = np.full((*size_hw, 3), 128, np.uint8)
        assert len(aizoo.analyze(image, Settings())) == 0
        assert (image == 128).all()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("kaggle", {"faces": (0.562, 0.818), "mask": (0.336, 0.653)}),
        ("ilc", {"faces": (0.646, 0.713), "mask": (0.362, 0.448)}),
    ],
)
def test_it_is_as_good_as_others_measured_it(aizoo, name, published):
    """Measured elsewhere from score 0.1 on, with the better class as the label."""
    path = SAMPLES.parents[1] / "shared" / "data" / "scenes" / f"{name}-val.json"
    if not path.is_file():
        pytest.skip("the labelled scenes are not here")
    rules = Settings(min_score=0.1, min_face_px=1, min_confidence=0)
    examples = read_coco(path)
    found = [aizoo.analyze(read_image(one.path), rules) for one in examples]
    masked = [one[np.flatnonzero(one.probs.argmax(axis=1) == 0)] for one in found]
    masks = [one.boxes[one.label_values == Label.MASK] for one in examples]
    for row, min_px in enumerate((0.0, 20.0)):
        for kind, scenes, truths in (
            ("faces", found, [one.boxes for one in examples]),
            ("mask", masked, masks),
        ):
            faces = [one.faces for one in scenes]
            matches = match(faces, truths, min_iou=0.5, min_px=min_px)
            value = mean_average_precision([matches]).value
            assert value == pytest.approx(published[kind][row], abs=0.005)
