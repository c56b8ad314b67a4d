"""Unit tests of the tracking modules on small arrays."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.tracking.association import (
    UNMATCHED,
    compute_costs,
    compute_occlusion,
    match_min_cost,
)
from maskdet.tracking.config import VELOCITY_DECAY_S
from maskdet.tracking.kalman import KalmanFilter
from maskdet.tracking.optical_flow import downscale_to_grey, track_boxes
from maskdet.tracking.shots import is_same_shot, make_thumbnail
from tests.tracking.scenarios import draw_heads


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize("rate_hz", [5, 10, 30])
def test_the_kalman_filter_estimates_the_velocity_at_any_frame_rate(rate_hz) -> None:
    motion = KalmanFilter()
    motion.add(boxes((0, 0, 40, 40)))
    for frame in range(1, 2 * rate_hz + 1):
        motion.predict(1 / rate_hz)
        x = 60 * frame / rate_hz
        motion.update(np.array([0]), boxes((x, 0, x + 40, 40)), 0.06)
    np.testing.assert_allclose(motion.boxes[0], [120, 0, 160, 40], atol=1.5)
    assert motion.velocities[0, 0] == pytest.approx(60, rel=0.1)
    assert abs(motion.velocities[0, 1]) < 0.5


def test_predictions_and_their_std_do_not_depend_on_the_number_of_steps() -> None:
    ends = []
    for steps in (1, 10, 100):
        motion = KalmanFilter()
        motion.add(boxes((0, 0, 40, 40)))
        motion.velocities[0, 0] = 80.0
        for _ in range(steps):
            motion.predict(1.0 / steps)
        ends.append((motion.boxes[0, 0], motion.velocities[0, 0], motion.std[0, 0]))
    decay_s = VELOCITY_DECAY_S
    assert ends[0][0] == pytest.approx(80 * decay_s * (1 - np.exp(-1 / decay_s)))
    for position, velocity, _ in ends:
        assert position == pytest.approx(ends[0][0], abs=1e-3)
        assert velocity == pytest.approx(ends[0][1])
    assert ends[1][2] == pytest.approx(ends[2][2], rel=0.1)


def test_precise_measurements_have_a_larger_gain() -> None:
    positions = []
    for measurement_std in (0.06, 0.5):
        motion = KalmanFilter()
        motion.add(boxes((0, 0, 40, 40)))
        motion.predict(0.1)
        motion.update(np.array([0]), boxes((20, 0, 60, 40)), measurement_std)
        positions.append(motion.boxes[0, 0])
    assert 20 > positions[0] > positions[1] > 0


def test_a_new_frame_size_rescales_the_boxes() -> None:
    motion = KalmanFilter()
    motion.add(boxes((10, 20, 50, 80)))
    motion.rescale(2, 0.5)
    np.testing.assert_allclose(motion.boxes, boxes((20, 10, 100, 40)), atol=1e-3)


def test_costs_of_known_pairs() -> None:
    heads = boxes((0, 0, 40, 40))
    faces = boxes((0, 0, 40, 40), (40, 0, 80, 40), (0, 90, 40, 130), (-30, -30, 70, 70))
    result = compute_costs(heads, faces, np.array([2.0]), 2.0)
    np.testing.assert_allclose(result, [[0.0, 0.75, np.inf, np.inf]], atol=1e-6)


def test_pairs_above_the_maximum_cost_are_not_matched() -> None:
    result = match_min_cost(np.array([[0.5, np.inf], [1.3, np.inf]]), max_cost=1.2)
    assert result.tolist() == [0, UNMATCHED]


def test_the_occluded_fraction_of_each_head() -> None:
    heads = boxes((0, 0, 10, 10), (100, 0, 110, 10))
    np.testing.assert_allclose(
        compute_occlusion(heads, boxes((5, 0, 50, 50))), [[0.5], [0]]
    )
    assert compute_occlusion(heads, boxes()).shape == (2, 0)


def test_flow_tracks_a_head_that_moves_and_grows() -> None:
    previous, current = (
        draw_heads(1, [(5, 100, 100, 50)]),
        draw_heads(1, [(5, 110, 96, 53)]),
    )
    result = track_boxes(
        downscale_to_grey(previous),
        downscale_to_grey(current),
        boxes((75, 75, 125, 125)),
        1.0,
    )
    assert result.is_tracked.tolist() == [True]
    np.testing.assert_allclose(result.boxes[0], [83.5, 69.5, 136.5, 122.5], atol=2)


def test_flow_of_large_frames_is_in_original_pixels() -> None:
    previous, current = (
        np.kron(draw_heads(1, [(5, x, 100, 50)]), np.ones((4, 4, 1), np.uint8))
        for x in (100, 106)
    )
    grey = downscale_to_grey(previous)
    assert grey.shape == (240, 320)
    result = track_boxes(
        grey, downscale_to_grey(current), boxes((300, 300, 500, 500)), 0.25
    )
    np.testing.assert_allclose(result.boxes[0], [324, 300, 524, 500], atol=4)


@pytest.mark.parametrize("empty", [draw_heads(1), np.full((240, 320, 3), 90, np.uint8)])
def test_flow_marks_a_head_that_is_gone_as_lost(empty) -> None:
    previous = downscale_to_grey(draw_heads(1, [(5, 100, 100, 50)]))
    start = boxes((75, 75, 125, 125))
    result = track_boxes(previous, downscale_to_grey(empty), start, 1.0)
    assert result.is_tracked.tolist() == [False]


def test_flow_without_boxes_or_between_frame_sizes() -> None:
    grey = downscale_to_grey(draw_heads(1))
    assert len(track_boxes(grey, grey, boxes(), 1.0).boxes) == 0
    other = track_boxes(grey, grey[:100], boxes((0, 0, 50, 50)), 1.0)
    assert other.is_tracked.tolist() == [False]


@pytest.mark.parametrize("seed", range(5))
def test_different_scenes_are_different_shots(seed) -> None:
    frame = downscale_to_grey(draw_heads(seed))
    thumb = make_thumbnail(frame)
    assert is_same_shot(thumb, make_thumbnail((frame * 0.6).astype(np.uint8)))
    assert is_same_shot(thumb, make_thumbnail(np.roll(frame, 15, axis=1)))
    assert not is_same_shot(
        thumb, make_thumbnail(downscale_to_grey(draw_heads(seed + 10)))
    )


def test_blank_frames_match_each_other_and_no_scene() -> None:
    dark = make_thumbnail(np.zeros((240, 320), np.uint8))
    bright = make_thumbnail(np.full((240, 320), 200, np.uint8))
    assert is_same_shot(dark, bright)
    assert not is_same_shot(dark, make_thumbnail(downscale_to_grey(draw_heads(1))))
