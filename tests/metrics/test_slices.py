from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest

from maskdet.metrics.classification import Predictions
from maskdet.metrics.intervals import proportion
from maskdet.metrics.slices import (
    crop_light,
    crop_sharpness,
    evaluate_slices,
    proportion_difference,
)
from tests.helpers.predictions import random_predictions


def make_predictions(rows):
    """Rows of correct (bool), size, light, sharpness, source; all are masks."""
    right, sizes, lights, sharpness, sources = zip(*rows, strict=True)
    sure = np.where(np.array(right)[:, None], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0])
    return Predictions(
        np.zeros(len(rows), np.int64),
        sure.astype(np.float32),
        np.array(sizes, np.float32),
        np.array(lights, np.float32),
        np.array(sharpness, np.float32),
        np.array(sources),
    )


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        # Newcombe, "Interval estimation for the difference between independent
        # proportions", Statistics in Medicine 17 (1998), table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
)
def test_the_interval_of_a_difference_matches_the_paper(one, other, low, high):
    gap = proportion_difference(proportion(*one), proportion(*other))
    assert gap.value == pytest.approx(one[0] / one[1] - other[0] / other[1])
    assert (gap.low, gap.high) == pytest.approx((low, high), abs=5e-5)
    back = proportion_difference(proportion(*other), proportion(*one))
    assert (back.low, back.high) == pytest.approx((-high, -low), abs=5e-5)


def test_the_difference_is_nan_without_a_rest():
    assert math.isnan(proportion_difference(proportion(1, 2), proportion(0, 0)).value)
    assert math.isnan(proportion_difference(proportion(0, 0), proportion(1, 2)).low)


def test_slices_of_a_worked_example():
    parts = evaluate_slices(
        make_predictions(
            [
                (True, 20, 39, 1, "a"),
                (False, 32, 40, 2, "b"),
                (True, 64, 80, 3, "b"),
                (True, 500, 160, 4, ""),
            ]
        )
    )
    shown = {
        (one.name, one.part): (one.accuracy.value, one.accuracy.n) for one in parts
    }
    assert shown == {
        ("face size", "under 32 px"): (1, 1),
        ("face size", "32 to 64 px"): (0, 1),
        ("face size", "64 to 128 px"): (1, 1),
        ("face size", "128 px and more"): (1, 1),
        ("light", "under 40"): (1, 1),
        ("light", "40 to 80"): (0, 1),
        ("light", "80 to 160"): (1, 1),
        ("light", "160 and more"): (1, 1),
        ("sharpness", "blurred third"): (0.5, 2),
        ("sharpness", "middle third"): (1, 1),
        ("sharpness", "sharp third"): (1, 1),
        ("source", "(none)"): (1, 1),
        ("source", "a"): (1, 1),
        ("source", "b"): (0.5, 2),
    }
    # a single face is not significant
    assert parts[1].difference.value == -1
    assert not any(one.is_worse for one in parts)


def test_a_significantly_worse_slice_is_marked():
    dark = [(row % 2 == 0, 50, 20, 1, "a") for row in range(100)]
    bright = [(row % 20 != 0, 50, 100, 1, "a") for row in range(100)]
    parts = {one.part: one for one in evaluate_slices(make_predictions(dark + bright))}
    assert parts["under 40"].is_worse
    assert parts["under 40"].difference.value == pytest.approx(0.5 - 0.95)
    assert not parts["80 to 160"].is_worse
    # all faces are in this slice, so there is no rest
    assert not parts["32 to 64 px"].is_worse
    content = json.dumps([one.to_json() for one in parts.values()], allow_nan=False)
    row = json.loads(content)[1]
    assert (row["part"], row["n"], row["is_worse"]) == ("under 40", 100, True)
    assert row["unmasked_recall"]["n"] == 0


def test_every_attribute_contains_each_face_once():
    parts = evaluate_slices(random_predictions(157))
    for name in ("face size", "light", "sharpness", "source"):
        assert sum(one.accuracy.n for one in parts if one.name == name) == 157


def test_no_faces_have_no_slices():
    everything = random_predictions(5)
    assert evaluate_slices(everything.select(np.zeros(5, bool))) == []


def test_light_is_luminance():
    grey = np.full((20, 30, 3), 77, np.uint8)
    assert crop_light(grey) == pytest.approx(77)
    green, blue = np.zeros((2, 8, 8, 3), np.uint8)
    green[..., 1], blue[..., 0] = 255, 255
    assert crop_light(green) == pytest.approx(0.587 * 255, abs=1)
    assert crop_light(blue) == pytest.approx(0.114 * 255, abs=1)


def test_sharpness_decreases_with_blur_and_not_with_size():
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    sharp = cv2.resize(noise, (128, 128), interpolation=cv2.INTER_CUBIC)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 8)
    assert crop_sharpness(np.full((9, 9, 3), 50, np.uint8)) == 0
    assert crop_sharpness(blurred) < crop_sharpness(sharp) / 10
    larger = cv2.resize(sharp, (256, 256), interpolation=cv2.INTER_LINEAR)
    assert crop_sharpness(larger) == pytest.approx(crop_sharpness(sharp), rel=0.2)
