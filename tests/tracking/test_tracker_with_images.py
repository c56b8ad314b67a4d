"""Tracking with frames: turned heads, people who leave the frame, and cuts."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.tracking import Tracker
from maskdet.types import Image
from tests.tracking.scenarios import (
    Heads,
    draw_heads,
    frame_times,
    play_story,
    update_tracker,
)

HOME, ELSEWHERE = 1, 2
RATES_HZ = [10, 30]
ANN = 5


def walk(t: float) -> float:
    return 60 + 40 * t


def faces(t: float) -> Heads:
    return {"ann": (walk(t), 120, 48, 0.9)}


def home(t: float) -> Image:
    return draw_heads(HOME, [(ANN, walk(t), 120, 48)])


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_flow_follows_a_person_who_turns_away_and_walks_back(rate_hz) -> None:
    def place(t: float) -> float:
        return walk(t) if t < 1 else walk(1) - 30 * (t - 1)

    def draw(t: float) -> Image:
        return draw_heads(HOME, [(ANN, place(t), 120, 48)])

    tracker = Tracker()
    seen = lambda t: {"ann": (place(t), 120, 48, 0.9)}  # noqa: E731
    play_story(tracker, seen, frame_times(0, 1, rate_hz), draw)
    for time_s in frame_times(1, 3, rate_hz):
        _, tracks = update_tracker(tracker, {}, time_s, draw(time_s))
        assert tracks.coasting_ids.tolist() == [1]
        # The velocity alone would move the box in the other direction.
        assert tracks.coasting_boxes[0, [0, 2]].mean() == pytest.approx(
            place(time_s), abs=6
        )
    ids, _ = update_tracker(tracker, seen(3), 3, draw(3))
    assert ids["ann"] == 1


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_coasting_head_that_approaches_grows(rate_hz) -> None:
    def side(t: float) -> float:
        return 40 if t < 1 else 40 * (1 + 0.3 * (t - 1))

    def draw(t: float) -> Image:
        return draw_heads(HOME, [(ANN, 160, 120, side(t))])

    tracker = Tracker()
    play_story(
        tracker,
        lambda t: {"ann": (160, 120, 40, 0.9)},
        frame_times(0, 1, rate_hz),
        draw,
    )
    for time_s in frame_times(1, 2.5, rate_hz):
        _, tracks = update_tracker(tracker, {}, time_s, draw(time_s))
    box = tracks.coasting_boxes[0]
    assert box[2] - box[0] == pytest.approx(side(time_s), rel=0.12)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_head_that_leaves_the_frame_stops_coasting(rate_hz) -> None:
    def place(t: float) -> float:
        return 240 + 60 * t

    def draw(t: float) -> Image:
        return draw_heads(HOME, [(ANN, place(t), 120, 48)])

    tracker = Tracker()
    story = lambda t: {"ann": (place(t), 120, 48, 0.9)}  # noqa: E731
    play_story(tracker, story, frame_times(0, 0.8, rate_hz), draw)
    n_coasting = [
        len(update_tracker(tracker, {}, t, draw(t))[1].coasting_ids)
        for t in frame_times(0.8, 3, rate_hz)
    ]
    assert n_coasting[0] == 1
    assert not any(n_coasting[len(n_coasting) // 2 :])


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_flow_does_not_track_the_background_of_a_vanished_head(rate_hz) -> None:
    tracker = Tracker()
    play_story(tracker, faces, frame_times(0, 1, rate_hz), home)
    for time_s in frame_times(1, 2, rate_hz):
        _, tracks = update_tracker(tracker, {}, time_s, draw_heads(HOME))
        assert not len(tracks.coasting_ids)
    # The ID is still in memory.
    assert update_tracker(tracker, faces(1.2), 2.0, home(1.2))[0]["ann"] == 1


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_after_a_cut_a_face_in_the_same_place_gets_a_new_id(rate_hz) -> None:
    tracker = Tracker()
    play_story(tracker, faces, frame_times(0, 1, rate_hz), home)
    other_scene = draw_heads(ELSEWHERE, [(9, walk(1), 120, 48)])
    story = lambda t: {"ben": (walk(1), 120, 48, 0.9)}  # noqa: E731
    seen = play_story(tracker, story, frame_times(1, 2, rate_hz), lambda t: other_scene)
    assert 1 not in {ids["ben"] for ids, _ in seen}
    assert seen[-1][0]["ben"] == 2
    assert not any(1 in tracks.coasting_ids for _, tracks in seen)


def test_tracks_of_the_previous_shot_expire() -> None:
    tracker = Tracker(memory_s=2.0)
    play_story(tracker, faces, frame_times(0, 1, 10), home)
    removed: list[int] = []
    for time_s in frame_times(1, 4, 10):
        _, tracks = update_tracker(tracker, {}, time_s, draw_heads(ELSEWHERE))
        assert not len(tracks.coasting_ids)
        removed += tracks.removed_ids
    assert removed == [1]


def test_ids_survive_a_broken_frame_and_a_cut_and_back() -> None:
    tracker = Tracker()
    play_story(tracker, faces, frame_times(0, 1, 10), home)
    update_tracker(tracker, {}, 1.0, np.full((240, 320, 3), 128, np.uint8))
    assert update_tracker(tracker, faces(1.1), 1.1, home(1.1))[0]["ann"] == 1
    play_story(
        tracker, lambda t: {}, frame_times(1.2, 2, 10), lambda t: draw_heads(ELSEWHERE)
    )
    assert update_tracker(tracker, faces(1.5), 2.0, home(1.5))[0]["ann"] == 1


def test_a_second_cut_removes_the_tracks_of_the_first_shot() -> None:
    tracker = Tracker()
    play_story(tracker, faces, frame_times(0, 1, 10), home)
    update_tracker(tracker, {}, 1.0, draw_heads(ELSEWHERE))
    assert update_tracker(tracker, {}, 1.1, draw_heads(3))[1].removed_ids == (1,)


def test_light_changes_and_camera_pans_are_not_cuts() -> None:
    tracker = Tracker()
    for frame in range(20):
        shifted = np.roll(draw_heads(HOME), 4 * frame, axis=1)
        dimmed = (shifted * (1 - 0.03 * frame)).astype(np.uint8)
        cast = {"ann": (60.0 + 4 * frame, 120.0, 48.0, 0.9)}
        ids, _ = update_tracker(tracker, cast, frame / 10, dimmed)
    assert ids["ann"] == 1


def test_an_occluded_head_does_not_move_with_its_occluder() -> None:
    def cast(t: float) -> Heads:
        return {"ben": (250 - 80 * t, 120, 56, 0.9)}

    def draw(t: float) -> Image:
        return draw_heads(HOME, [(ANN, 120, 120, 44), (7, 250 - 80 * t, 120, 56)])

    def both(t: float) -> Heads:
        return {"ann": (120, 120, 44, 0.8), **cast(t)}

    tracker = Tracker()
    play_story(tracker, both, frame_times(0, 1, 30), draw)
    for time_s in frame_times(1, 2.8, 30):
        ids, tracks = update_tracker(tracker, cast(time_s), time_s, draw(time_s))
        assert ids == {"ben": 2}
        ben_x = 250 - 80 * time_s
        if abs(ben_x - 120) < 20:
            assert not len(tracks.coasting_ids)
    ids, _ = update_tracker(tracker, both(2.8), 2.8, draw(2.8))
    assert ids == {"ann": 1, "ben": 2}


def test_ids_survive_a_change_of_the_frame_size() -> None:
    tracker = Tracker()
    play_story(tracker, faces, frame_times(0, 1, 10), home)
    large = np.repeat(np.repeat(home(1), 2, axis=0), 2, axis=1)
    ids, _ = update_tracker(tracker, {"ann": (2 * walk(1), 240, 96, 0.9)}, 1.0, large)
    assert ids["ann"] == 1


def test_frames_are_not_modified() -> None:
    tracker, frame = Tracker(), home(0)
    original = frame.copy()
    for index in range(5):
        update_tracker(tracker, faces(0) if index < 3 else {}, index / 10, frame)
    np.testing.assert_array_equal(frame, original)
