from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks.crowd_video import BASE_HZ, draw_crowd_frame, generate_crowd_video


def test_the_same_seed_gives_the_same_video() -> None:
    for a, b in zip(
        generate_crowd_video(3, duration_s=2),
        generate_crowd_video(3, duration_s=2),
        strict=True,
    ):
        np.testing.assert_array_equal(a.head_boxes, b.head_boxes)
        np.testing.assert_array_equal(a.detections.boxes, b.detections.boxes)


def test_a_lower_rate_only_skips_frames() -> None:
    full = list(generate_crowd_video(5, duration_s=3))
    third = list(generate_crowd_video(5, duration_s=3, frame_step=3))
    assert len(full) == 3 * BASE_HZ
    assert len(third) == BASE_HZ
    for a, b in zip(full[::3], third, strict=True):
        assert a.time_s == b.time_s
        np.testing.assert_array_equal(a.detections.boxes, b.detections.boxes)
        np.testing.assert_array_equal(a.person_ids, b.person_ids)


def test_videos_have_turned_and_occluded_heads() -> None:
    video = [moment for seed in range(4) for moment in generate_crowd_video(seed)]
    turned = np.concatenate([moment.turn_fractions for moment in video])
    hidden = np.concatenate([moment.occlusions for moment in video])
    scores = np.concatenate([moment.detections.scores for moment in video])
    heads = len(turned)
    assert 0.03 < np.mean(turned == 1) < 0.4
    assert np.count_nonzero(hidden > 0.5) > 0.01 * heads
    assert 0.05 < np.mean(scores < 0.5) < 0.5
    assert len(scores) < heads


def test_heads_are_drawn_at_their_boxes_and_backs_differ() -> None:
    video = list(generate_crowd_video(2))
    moment = next(
        m for m in video if len(m.person_ids) == 1 and (m.turn_fractions == 0).all()
    )
    image = draw_crowd_frame(moment, 2)
    x1, y1, x2, y2 = moment.head_boxes[0].round().astype(int)
    turned = dataclasses.replace(moment, turn_fractions=np.ones(1))
    back = draw_crowd_frame(turned, 2)
    changed = (image != back).any(axis=2)
    assert changed[max(y1, 0) : y2, max(x1, 0) : x2].mean() > 0.6
    changed[max(y1 - 1, 0) : y2 + 1, max(x1 - 1, 0) : x2 + 1] = False
    assert not changed.any()
