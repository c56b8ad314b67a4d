"""Maps become boxes, scores and probabilities exactly as the contract says."""

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


def maps(size_hw: tuple[int, int] = (64, 96), logit: float = -20.0) -> list[np.ndarray]:
    """Return maps in which no cell sees a face."""
    return [
        np.full((size_hw[0] // s, size_hw[1] // s, N_CHANNELS), logit, np.float32)
        for s in STRIDES_PX
    ]


def noise(seed: int, size_hw: tuple[int, int] = (96, 160)) -> list[np.ndarray]:
    """Return maps full of candidates of every score."""
    rng = np.random.default_rng(seed)
    return [rng.normal(-1, 2, one.shape).astype(np.float32) for one in maps(size_hw)]


def naive(answers, floor):
    """Do the same, cell by cell and number by number, in double precision."""
    rows = []
    for stride, one in zip(STRIDES_PX, answers, strict=True):
        for y in range(one.shape[0]):
            for x in range(one.shape[1]):
                cls, obj, dx, dy, log_w, log_h, *mask = map(float, one[y, x])
                score = 1 / math.sqrt((1 + math.exp(-cls)) * (1 + math.exp(-obj)))
                if score < floor:
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


def test_one_face_comes_out_where_it_was_put():
    answers = maps()
    # Row 1, column 2 at stride 16: centre (2.25, 1.5) cells, 24 x 32 px.
    cell = [9, 9, 0.25, 0.5, math.log(24 / 16), math.log(2), 0, math.log(3), 0]
    answers[1][1, 2] = cell
    boxes, scores, probs = decode_maps(answers)
    assert boxes[0] == pytest.approx([24, 8, 48, 40])
    assert scores[0] == pytest.approx(1 / (1 + math.exp(-9)))
    assert probs[0] == pytest.approx([0.2, 0.6, 0.2])
    assert (boxes.dtype, scores.dtype, probs.dtype) == (np.float32,) * 3


@pytest.mark.parametrize("floor", [MIN_CANDIDATE_SCORE, 0.3, 0.7])
def test_the_same_as_cell_by_cell(floor):
    for seed in range(5):
        boxes, scores, probs = decode_maps(noise(seed), floor)
        wanted = naive(noise(seed), floor)
        assert len(boxes) == len(wanted) > 0
        np.testing.assert_allclose(boxes, wanted[:, :4], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(scores, wanted[:, 4], rtol=1e-5)
        np.testing.assert_allclose(probs, wanted[:, 5:], atol=1e-6)


def test_a_face_needs_both_class_and_object():
    answers = maps()
    answers[0][0, 0, :2] = [9, -20]
    answers[0][0, 1, :2] = [-20, 9]
    assert len(decode_maps(answers)[0]) == 0


def test_nothing_gives_empty_arrays_of_the_right_shape():
    boxes, scores, probs = decode_maps(maps())
    assert (boxes.shape, scores.shape, probs.shape) == ((0, 4), (0,), (0, 3))


@pytest.mark.parametrize(("floor", "n"), [(0.0, 126), (1.0, 0)])
def test_the_ends_of_the_floor(floor, n):
    assert len(decode_maps(maps(), floor)[0]) == n


def test_wild_answers_stay_finite():
    for logit in (-1000.0, 1000.0):
        for array in decode_maps(maps(logit=logit), 0.0):
            assert np.isfinite(array).all()


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (maps()[:2], "wanted 3 maps, got 2"),
        ([*maps()[:2], np.zeros((2, 3, 8))], r"must be \(h, w, 9\), got \(2, 3, 8\)"),
    ],
)
def test_other_maps_are_refused(answers, says):
    with pytest.raises(ValueError, match=says):
        decode_maps(answers)


def test_overlaps_are_dropped_as_opencv_drops_them():
    for seed in range(10):
        boxes, scores, _ = decode_maps(noise(seed), 0.3)
        sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        theirs = cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, 0.5)
        assert nms(boxes, scores, 0.5).tolist() == list(theirs)


def test_the_names_of_the_outputs_are_the_contract():
    assert OUTPUT_NAMES == (
        "stride8__mask__no_mask__incorrect",
        "stride16__mask__no_mask__incorrect",
        "stride32__mask__no_mask__incorrect",
    )
