"""Tests of decoding feature maps to boxes, scores and probabilities."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from maskdet.analyzers.onepass import (
    MIN_CANDIDATE_SCORE,
    N_CHANNELS,
    OUTPUT_NAMES,
    STRIDES_PX,
    decode_maps,
)
from maskdet.boxes import nms


def make_maps(
    size_hw: tuple[int, int] = (64, 96), logit: float = -20.0
) -> list[np.ndarray]:
    """Return maps without a face."""
    return [
        np.full((size_hw[0] // s, size_hw[1] // s, N_CHANNELS), logit, np.float32)
        for s in STRIDES_PX
    ]


def noise(seed: int, size_hw: tuple[int, int] = (96, 160)) -> list[np.ndarray]:
    """Return random maps with candidates of all scores."""
    rng = np.random.default_rng(seed)
    return [
        rng.normal(-1, 2, feature_map.shape).astype(np.float32)
        for feature_map in make_maps(size_hw)
    ]


def decode_naively(feature_maps, min_score):
    """Decode cell by cell in double precision."""
    rows = []
    for stride, feature_map in zip(STRIDES_PX, feature_maps, strict=True):
        for y in range(feature_map.shape[0]):
            for x in range(feature_map.shape[1]):
                cls, obj, dx, dy, log_w, log_h, *mask = map(float, feature_map[y, x])
                score = 1 / math.sqrt((1 + math.exp(-cls)) * (1 + math.exp(-obj)))
                if score < min_score:
                    continue
                middle_x, middle_y = (x + dx) * stride, (y + dy) * stride
                w, h = math.exp(log_w) * stride, math.exp(log_h) * stride
                total = sum(math.exp(value) for value in mask)
                rows.append(
                    [
                        middle_x - w / 2,
                        middle_y - h / 2,
                        middle_x + w / 2,
                        middle_y + h / 2,
                        score,
                        *(math.exp(value) / total for value in mask),
                    ]
                )
    return np.array(rows)


def test_one_face_is_decoded_at_its_position():
    feature_maps = make_maps()
    # Row 1, column 2 at stride 16: centre (2.25, 1.5) cells, 24 x 32 px.
    cell = [9, 9, 0.25, 0.5, math.log(24 / 16), math.log(2), 0, math.log(3), 0]
    feature_maps[1][1, 2] = cell
    boxes, scores, probs = decode_maps(feature_maps)
    assert boxes[0] == pytest.approx([24, 8, 48, 40])
    assert scores[0] == pytest.approx(1 / (1 + math.exp(-9)))
    assert probs[0] == pytest.approx([0.2, 0.6, 0.2])
    assert (boxes.dtype, scores.dtype, probs.dtype) == (np.float32,) * 3


@pytest.mark.parametrize("min_score", [MIN_CANDIDATE_SCORE, 0.3, 0.7])
def test_decode_maps_agrees_with_a_naive_implementation(min_score):
    for seed in range(5):
        boxes, scores, probs = decode_maps(noise(seed), min_score)
        expected = decode_naively(noise(seed), min_score)
        assert len(boxes) == len(expected) > 0
        np.testing.assert_allclose(boxes, expected[:, :4], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(scores, expected[:, 4], rtol=1e-5)
        np.testing.assert_allclose(probs, expected[:, 5:], atol=1e-6)


def test_a_face_needs_both_class_and_object():
    feature_maps = make_maps()
    feature_maps[0][0, 0, :2] = [9, -20]
    feature_maps[0][0, 1, :2] = [-20, 9]
    assert len(decode_maps(feature_maps)[0]) == 0


def test_no_candidates_give_empty_arrays_of_the_right_shape():
    boxes, scores, probs = decode_maps(make_maps())
    assert (boxes.shape, scores.shape, probs.shape) == ((0, 4), (0,), (0, 3))


@pytest.mark.parametrize(("min_score", "n"), [(0.0, 126), (1.0, 0)])
def test_decode_maps_accepts_min_score_0_and_1(min_score, n):
    assert len(decode_maps(make_maps(), min_score)[0]) == n


def test_extreme_outputs_give_finite_values():
    for logit in (-1000.0, 1000.0):
        for array in decode_maps(make_maps(logit=logit), 0.0):
            assert np.isfinite(array).all()


@pytest.mark.parametrize(
    ("feature_maps", "message"),
    [
        (make_maps()[:2], "expected 3 maps, got 2"),
        (
            [*make_maps()[:2], np.zeros((2, 3, 8))],
            r"must be \(h, w, 9\), got \(2, 3, 8\)",
        ),
    ],
)
def test_maps_of_other_shapes_are_rejected(feature_maps, message):
    with pytest.raises(ValueError, match=message):
        decode_maps(feature_maps)


def test_nms_agrees_with_opencv():
    for seed in range(10):
        boxes, scores, _ = decode_maps(noise(seed), 0.3)
        sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        opencv_indices = cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, 0.5)
        assert nms(boxes, scores, 0.5).tolist() == list(opencv_indices)


def test_output_names():
    assert OUTPUT_NAMES == (
        "stride8__mask__no_mask__incorrect",
        "stride16__mask__no_mask__incorrect",
        "stride32__mask__no_mask__incorrect",
    )
