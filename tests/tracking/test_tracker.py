"""Track IDs from boxes alone, without frames."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.tracking import Tracker
from maskdet.types import UNTRACKED
from tests.tracking.scenarios import (
    Heads,
    draw_heads,
    frame_times,
    play_story,
    update_tracker,
)

RATES_HZ = [10, 30]


def standing(*names: str, score: float = 0.9) -> Heads:
    return {
        name: (80 + 120 * place, 100, 50, score) for place, name in enumerate(names)
    }


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_track_is_confirmed_after_a_moment_and_keeps_its_id(rate_hz) -> None:
    seen = play_story(Tracker(), lambda t: standing("ann"), frame_times(0, 2, rate_hz))
    for (ids, tracks), time_s in zip(seen, frame_times(0, 2, rate_hz), strict=True):
        assert tracks.is_visible.all()
        if time_s < 0.1499:
            assert ids["ann"] == UNTRACKED
        if time_s > 0.21:
            assert ids["ann"] == 1


def test_a_false_positive_gets_no_id() -> None:
    tracker = Tracker()
    update_tracker(tracker, standing("ghost"), 0)
    update_tracker(tracker, {}, 0.1)
    update_tracker(tracker, {}, 0.5)
    ids, tracks = update_tracker(tracker, standing("ann"), 0.6)
    assert ids["ann"] == UNTRACKED
    assert not len(tracks.coasting_ids)
    ids, _ = play_story(tracker, lambda t: standing("ann"), frame_times(0.7, 1, 10))[-1]
    assert ids["ann"] == 1


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_two_people_who_cross_keep_their_ids(rate_hz) -> None:
    def story(t: float) -> Heads:
        ann, ben = 40 + 80 * t, 280 - 80 * t
        cast = {"ann": (ann, 100.0, 50.0, 0.9)}
        if abs(ann - ben) > 25:  # ann walks in front
            cast["ben"] = (ben, 104.0, 44.0, 0.8)
        return cast

    seen = play_story(Tracker(), story, frame_times(0, 3, rate_hz))
    assert seen[-1][0] == {"ann": 1, "ben": 2}
    assert max(max(ids.values()) for ids, _ in seen) == 2


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_fast_face_keeps_its_id_at_an_iou_of_zero(rate_hz) -> None:
    speed = 6 * 40.0
    seen = play_story(
        Tracker(),
        lambda t: {"ann": (50 + speed * t, 100, 40, 0.9)},
        frame_times(0, 2, rate_hz / 2),
    )
    assert {ids["ann"] for ids, _ in seen} == {UNTRACKED, 1}


def test_ids_do_not_depend_on_the_frame_rate() -> None:
    def story(t: float) -> Heads:
        cast: Heads = {"ann": (60 + 40 * t, 100, 50, 0.9)}
        if t > 0.45:
            cast["ben"] = (300 - 30 * t, 220, 60, 0.8)
        if t > 1.05 and not 2 < t < 3:
            cast["cem"] = (500, 100 + 20 * np.sin(t), 40, 0.7)
        return cast

    ends = [
        play_story(Tracker(), story, frame_times(0, 5, rate))[-1][0]
        for rate in RATES_HZ
    ]
    assert ends[0] == ends[1] == {"ann": 1, "ben": 2, "cem": 3}


def test_low_score_faces_continue_tracks_but_start_none() -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: standing("ann"), frame_times(0, 1, 10))
    both = {"ann": (80.0, 100.0, 50.0, 0.3), "ghost": (300.0, 100.0, 50.0, 0.31)}
    for time_s in frame_times(1, 2, 10):
        ids, tracks = update_tracker(tracker, both, time_s)
        assert ids == {"ann": 1, "ghost": UNTRACKED}
        assert tracks.is_visible.tolist() == [False, True]
        assert not len(tracks.coasting_ids)


def test_a_high_score_face_wins_over_a_closer_low_score_face() -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: standing("ann"), frame_times(0, 1, 10))
    cast = {"ann": (90.0, 100.0, 50.0, 0.9), "ghost": (80.0, 100.0, 50.0, 0.3)}
    ids, tracks = update_tracker(tracker, cast, 1.0)
    assert ids == {"ann": 1, "ghost": UNTRACKED}
    assert tracks.is_visible.tolist() == [True, False]


def test_faces_below_the_low_threshold_are_ignored() -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: standing("ann"), frame_times(0, 1, 10))
    low = Tracker.low_threshold(0.5)
    assert 0 < low < 0.5
    ids, tracks = update_tracker(tracker, standing("ann", score=low - 0.01), 1.0)
    assert ids["ann"] == UNTRACKED
    assert not tracks.is_visible.any()
    assert tracks.coasting_ids.tolist() == [1]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_an_unseen_track_coasts_and_is_then_removed(rate_hz) -> None:
    tracker = Tracker(memory_s=2.0)
    play_story(tracker, lambda t: standing("ann"), frame_times(0, 1, rate_hz))
    last_s = frame_times(0, 1, rate_hz)[-1]
    coasting, removed = [], []
    for time_s in frame_times(1, 4, rate_hz):
        _, tracks = update_tracker(tracker, {}, time_s)
        if len(tracks.coasting_ids):
            assert tracks.coasting_ids.tolist() == [1]
            assert tracks.coasting_unseen_s[0] == pytest.approx(
                time_s - last_s, abs=1e-4
            )
            np.testing.assert_allclose(
                tracks.coasting_boxes, [[55, 75, 105, 125]], atol=1
            )
            coasting.append(time_s)
        removed += tracks.removed_ids
    assert coasting[-1] == pytest.approx(last_s + 2, abs=1.01 / rate_hz)
    assert removed == [1]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize(("away_s", "track_id"), [(0.3, 1), (2.5, 1), (5.0, 2)])
def test_a_person_who_returns_within_memory_keeps_the_id(
    rate_hz, away_s, track_id
) -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: standing("ann"), frame_times(0, 2, rate_hz))
    play_story(tracker, lambda t: {}, frame_times(2, 2 + away_s, rate_hz))
    back = frame_times(2 + away_s, 3 + away_s, rate_hz)
    ids, _ = play_story(tracker, lambda t: standing("ann"), back)[-1]
    assert ids["ann"] == track_id


@pytest.mark.parametrize("spot", [(280, 100, 50, 0.9), (80, 100, 140, 0.9)])
def test_a_distant_or_much_larger_face_gets_a_new_id(spot) -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: standing("ann"), frame_times(0, 1, 10))
    update_tracker(tracker, {}, 1.0)
    ids, _ = play_story(tracker, lambda t: {"ben": spot}, frame_times(1.1, 2, 10))[-1]
    assert ids["ben"] == 2


def test_ids_survive_dropped_frames() -> None:
    rng = np.random.default_rng(0)
    kept = [t for t in frame_times(0, 4, 30) if t < 1 or rng.random() < 0.25]
    seen = play_story(
        Tracker(),
        lambda t: {
            "ann": (60 + 70 * t, 90, 50, 0.9),
            "ben": (400 - 60 * t, 200, 60, 0.8),
        },
        kept,
    )
    assert seen[-1][0] == {"ann": 1, "ben": 2}


def test_times_can_repeat() -> None:
    tracker = Tracker()
    for time_s in (0, 0, 0, 0.2, 0.2, 0.2):
        ids, _ = update_tracker(tracker, standing("ann"), time_s)
    assert ids["ann"] == 1


def test_memory_s_can_change_at_any_time() -> None:
    tracker = Tracker(memory_s=10)
    play_story(tracker, lambda t: standing("ann"), frame_times(0, 1, 10))
    update_tracker(tracker, {}, 3.0)
    tracker.memory_s = 1.0
    assert update_tracker(tracker, {}, 3.1)[1].removed_ids == (1,)


def test_ids_at_one_frame_per_second() -> None:
    seen = play_story(Tracker(), lambda t: standing("ann", "ben"), frame_times(0, 4, 1))
    assert [ids["ann"] for ids, _ in seen] == [UNTRACKED, 1, 1, 1]
    assert [ids["ben"] for ids, _ in seen] == [UNTRACKED, 2, 2, 2]


@pytest.mark.parametrize("memory_s", [0.1, 0.3])
def test_a_memory_shorter_than_the_frame_interval_keeps_visible_people(
    memory_s,
) -> None:
    tracker = Tracker(memory_s=memory_s)
    seen = play_story(tracker, lambda t: standing("ann"), frame_times(0, 4, 2))
    assert [ids["ann"] for ids, _ in seen] == [UNTRACKED] + [1] * 7
    gone = [update_tracker(tracker, {}, time_s)[1] for time_s in (4.0, 4.5)]
    assert not any(len(tracks.coasting_ids) for tracks in gone)
    assert [tracks.removed_ids for tracks in gone] == [(), (1,)]


def test_trackers_are_independent() -> None:
    for tracker in (Tracker(), Tracker()):
        ids, _ = play_story(tracker, lambda t: standing("ann"), frame_times(0, 1, 10))[
            -1
        ]
        assert ids["ann"] == 1


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("direction", [-1, 1])
def test_an_occluded_person_reappears_with_the_same_id(rate_hz, direction) -> None:
    """A face that is increasingly occluded: its box shrinks and moves."""

    def story(t: float) -> Heads:
        front, ann = 20 * t, 66 - 28 * t
        cast: Heads = {"front": (300 + direction * front, 100.0, 60.0, 0.9)}
        if t < 1.9:  # the visible part on one side of the occluder
            left, right = max(ann - 28, front + 30), ann + 28
        else:
            left, right = ann - 28, min(ann + 28, front - 30)
        if right - left > 28:
            middle = (left + right) / 2
            cast["ann"] = (300 + direction * middle, 100.0, right - left, 0.8)
        return cast

    times_s = frame_times(0, 4.5, rate_hz)
    seen = play_story(Tracker(), story, times_s)
    gone = [t for (ids, _), t in zip(seen, times_s, strict=True) if "ann" not in ids]
    assert gone[-1] - gone[0] > 0.5
    first = seen[round(0.6 * rate_hz)][0]
    assert sorted(first.values()) == [1, 2]
    assert seen[-1][0] == first


def test_an_occluder_can_be_missed_for_a_moment() -> None:
    """Optical flow does not track the occluder in place of the occluded head."""
    tracker = Tracker()

    def story(t: float) -> Heads:
        cast: Heads = {"front": (200.0, 100.0, 60.0, 0.9), "far": (400, 100, 60, 0.9)}
        if 0.63 < t < 0.69:
            del cast["front"]
        if t < 0.6:
            cast["ann"] = (150.0 + 60 * t, 100.0, 57.0, 0.8)
        return cast

    wall = draw_heads(3)
    for t in frame_times(0, 1, 30):
        ids, tracks = update_tracker(tracker, story(t), t, wall)
        if t > 0.62:
            assert 1 not in tracks.coasting_ids
    assert ids == {"front": 2, "far": 3}


def test_an_occluded_track_does_not_take_the_face_of_its_occluder() -> None:
    """The occluder may be closer to the prediction of the occluded track."""

    def story(t: float) -> Heads:
        cast: Heads = {"front": (200.0 if t < 0.75 else 194.0, 100.0, 60.0, 0.9)}
        if t < 0.6:
            cast["ann"] = (150.0 + 60 * t, 100.0, 57.0, 0.8)
        return cast

    seen = play_story(Tracker(), story, frame_times(0, 2.5, 30))
    assert len({ids["front"] for ids, _ in seen[6:]}) == 1


def test_a_larger_face_beside_an_occluder_is_a_new_person() -> None:
    """A face of twice the size does not match the occluded track."""

    def story(t: float) -> Heads:
        cast: Heads = {"front": (200.0, 100.0, 60.0, 0.9)}
        if t < 0.6:
            cast["ann"] = (140.0 + 60 * t, 100.0, 30.0, 0.8)
        if t > 1.2:
            cast["ben"] = (260.0, 100.0, 70.0, 0.8)
        return cast

    seen = play_story(Tracker(), story, frame_times(0, 2, 30))
    assert {ids["ben"] for ids, _ in seen if "ben" in ids} == {UNTRACKED, 3}
