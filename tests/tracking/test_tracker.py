"""What happens to people's numbers, told by boxes alone."""

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


def still(*names: str, score: float = 0.9) -> Heads:
    return {
        name: (80 + 120 * place, 100, 50, score) for place, name in enumerate(names)
    }


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_face_gets_its_number_after_a_moment_and_keeps_it(rate_hz) -> None:
    seen = play_story(Tracker(), lambda t: still("ann"), frame_times(0, 2, rate_hz))
    for (ids, tracks), time_s in zip(seen, frame_times(0, 2, rate_hz), strict=True):
        assert tracks.is_visible.all()
        if time_s < 0.1499:
            assert ids["ann"] == UNTRACKED
        if time_s > 0.21:
            assert ids["ann"] == 1


def test_a_false_alarm_never_gets_a_number() -> None:
    tracker = Tracker()
    update_tracker(tracker, still("ghost"), 0)
    update_tracker(tracker, {}, 0.1)
    update_tracker(tracker, {}, 0.5)
    ids, tracks = update_tracker(tracker, still("ann"), 0.6)
    assert ids["ann"] == UNTRACKED
    assert not len(tracks.coasting_ids)
    ids, _ = play_story(tracker, lambda t: still("ann"), frame_times(0.7, 1, 10))[-1]
    assert ids["ann"] == 1


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_two_faces_cross(rate_hz) -> None:
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
def test_a_fast_face_keeps_its_number_though_its_boxes_do_not_overlap(rate_hz) -> None:
    speed = 6 * 40.0
    seen = play_story(
        Tracker(),
        lambda t: {"ann": (50 + speed * t, 100, 40, 0.9)},
        frame_times(0, 2, rate_hz / 2),
    )
    assert {ids["ann"] for ids, _ in seen} == {UNTRACKED, 1}


def test_both_rates_give_everybody_the_same_number() -> None:
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


def test_doubtful_faces_continue_people_but_make_none() -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: still("ann"), frame_times(0, 1, 10))
    both = {"ann": (80.0, 100.0, 50.0, 0.3), "ghost": (300.0, 100.0, 50.0, 0.31)}
    for time_s in frame_times(1, 2, 10):
        ids, tracks = update_tracker(tracker, both, time_s)
        assert ids == {"ann": 1, "ghost": UNTRACKED}
        assert tracks.is_visible.tolist() == [False, True]
        assert not len(tracks.coasting_ids)


def test_a_sure_face_wins_over_a_doubtful_one_nearer_by() -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: still("ann"), frame_times(0, 1, 10))
    cast = {"ann": (90.0, 100.0, 50.0, 0.9), "ghost": (80.0, 100.0, 50.0, 0.3)}
    ids, tracks = update_tracker(tracker, cast, 1.0)
    assert ids == {"ann": 1, "ghost": UNTRACKED}
    assert tracks.is_visible.tolist() == [True, False]


def test_faces_below_the_low_score_count_for_nothing() -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: still("ann"), frame_times(0, 1, 10))
    low = Tracker.low_threshold(0.5)
    assert 0 < low < 0.5
    ids, tracks = update_tracker(tracker, still("ann", score=low - 0.01), 1.0)
    assert ids["ann"] == UNTRACKED
    assert not tracks.is_visible.any()
    assert tracks.coasting_ids.tolist() == [1]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_who_is_not_seen_is_carried_then_forgotten(rate_hz) -> None:
    tracker = Tracker(memory_s=2.0)
    play_story(tracker, lambda t: still("ann"), frame_times(0, 1, rate_hz))
    last_s = frame_times(0, 1, rate_hz)[-1]
    carried, left = [], []
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
            carried.append(time_s)
        left += tracks.removed_ids
    assert carried[-1] == pytest.approx(last_s + 2, abs=1.01 / rate_hz)
    assert left == [1]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize(("away_s", "number"), [(0.3, 1), (2.5, 1), (5.0, 2)])
def test_one_leaves_and_returns(rate_hz, away_s, number) -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: still("ann"), frame_times(0, 2, rate_hz))
    play_story(tracker, lambda t: {}, frame_times(2, 2 + away_s, rate_hz))
    back = frame_times(2 + away_s, 3 + away_s, rate_hz)
    ids, _ = play_story(tracker, lambda t: still("ann"), back)[-1]
    assert ids["ann"] == number


@pytest.mark.parametrize("spot", [(280, 100, 50, 0.9), (80, 100, 140, 0.9)])
def test_somebody_elsewhere_or_much_larger_is_somebody_else(spot) -> None:
    tracker = Tracker()
    play_story(tracker, lambda t: still("ann"), frame_times(0, 1, 10))
    update_tracker(tracker, {}, 1.0)
    ids, _ = play_story(tracker, lambda t: {"ben": spot}, frame_times(1.1, 2, 10))[-1]
    assert ids["ben"] == 2


def test_dropped_images_cost_nobody_their_number() -> None:
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


def test_time_may_stand_still_but_not_go_back() -> None:
    tracker = Tracker()
    for time_s in (0, 0, 0, 0.2, 0.2, 0.2):
        ids, _ = update_tracker(tracker, still("ann"), time_s)
    assert ids["ann"] == 1
    with pytest.raises(ValueError, match="must not decrease"):
        update_tracker(tracker, still("ann"), 0.1)
    with pytest.raises(ValueError, match="nan"):
        update_tracker(tracker, still("ann"), float("nan"))


def test_memory_may_change_at_any_time() -> None:
    tracker = Tracker(memory_s=10)
    play_story(tracker, lambda t: still("ann"), frame_times(0, 1, 10))
    update_tracker(tracker, {}, 3.0)
    tracker.memory_s = 1.0
    assert update_tracker(tracker, {}, 3.1)[1].removed_ids == (1,)


def test_a_slow_camera_gives_numbers_too() -> None:
    seen = play_story(Tracker(), lambda t: still("ann", "ben"), frame_times(0, 4, 1))
    assert [ids["ann"] for ids, _ in seen] == [UNTRACKED, 1, 1, 1]
    assert [ids["ben"] for ids, _ in seen] == [UNTRACKED, 2, 2, 2]


@pytest.mark.parametrize("memory_s", [0.1, 0.3])
def test_a_memory_shorter_than_a_step_does_not_lose_who_is_there(memory_s) -> None:
    tracker = Tracker(memory_s=memory_s)
    seen = play_story(tracker, lambda t: still("ann"), frame_times(0, 4, 2))
    assert [ids["ann"] for ids, _ in seen] == [UNTRACKED] + [1] * 7
    gone = [update_tracker(tracker, {}, time_s)[1] for time_s in (4.0, 4.5)]
    assert not any(len(tracks.coasting_ids) for tracks in gone)
    assert [tracks.removed_ids for tracks in gone] == [(), (1,)]


def test_two_trackers_count_for_themselves() -> None:
    for tracker in (Tracker(), Tracker()):
        ids, _ = play_story(tracker, lambda t: still("ann"), frame_times(0, 1, 10))[-1]
        assert ids["ann"] == 1


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("way", [-1, 1])
def test_who_is_hidden_by_somebody_comes_out_as_the_same_person(rate_hz, way) -> None:
    """Of a face that goes behind another, less is seen with each image, then nothing.

    Its box then moves and shrinks as the face itself does not.
    """

    def story(t: float) -> Heads:
        front, ann = 20 * t, 66 - 28 * t
        cast: Heads = {"front": (300 + way * front, 100.0, 60.0, 0.9)}
        if t < 1.9:  # the half that looks out on one side
            left, right = max(ann - 28, front + 30), ann + 28
        else:
            left, right = ann - 28, min(ann + 28, front - 30)
        if right - left > 28:
            middle = (left + right) / 2
            cast["ann"] = (300 + way * middle, 100.0, right - left, 0.8)
        return cast

    at = frame_times(0, 4.5, rate_hz)
    seen = play_story(Tracker(), story, at)
    gone = [t for (ids, _), t in zip(seen, at, strict=True) if "ann" not in ids]
    assert gone[-1] - gone[0] > 0.5
    first = seen[round(0.6 * rate_hz)][0]
    assert sorted(first.values()) == [1, 2]
    assert seen[-1][0] == first


def test_whoever_hides_somebody_may_be_missed_for_a_moment() -> None:
    """The one behind is not looked for in the image of the one in front."""
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


def test_who_is_hidden_does_not_take_the_face_of_whoever_hides_them() -> None:
    """They may be nearer to where the one who is hidden is thought to be."""

    def story(t: float) -> Heads:
        cast: Heads = {"front": (200.0 if t < 0.75 else 194.0, 100.0, 60.0, 0.9)}
        if t < 0.6:
            cast["ann"] = (150.0 + 60 * t, 100.0, 57.0, 0.8)
        return cast

    seen = play_story(Tracker(), story, frame_times(0, 2.5, 30))
    assert len({ids["front"] for ids, _ in seen[6:]}) == 1


def test_a_stranger_beside_whoever_hides_somebody_is_not_them() -> None:
    """Somebody twice as large is not who was hidden, however near they come out."""

    def story(t: float) -> Heads:
        cast: Heads = {"front": (200.0, 100.0, 60.0, 0.9)}
        if t < 0.6:
            cast["ann"] = (140.0 + 60 * t, 100.0, 30.0, 0.8)
        if t > 1.2:
            cast["ben"] = (260.0, 100.0, 70.0, 0.8)
        return cast

    seen = play_story(Tracker(), story, frame_times(0, 2, 30))
    assert {ids["ben"] for ids, _ in seen if "ben" in ids} == {UNTRACKED, 3}
