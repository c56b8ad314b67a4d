"""Tests of `Stream`: tracks, smoothed labels and blurring over scripted scenes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.types import UNTRACKED, Image, Label
from tests.helpers.fakes import (
    FakeClassifier,
    FakeDetector,
    ScriptedAnalyzer,
    ScriptedFace,
    make_grey_image,
)
from tests.helpers.streams import (
    LEFT,
    MASK,
    NO_MASK,
    NOISE,
    RIGHT,
    play_script,
    turn_away,
)


def make_constant_stream(*faces: ScriptedFace) -> Stream:
    return Stream(ScriptedAnalyzer(lambda _: faces))


def make_two_stage_stream(
    settings: Settings | None = None, *, track: bool = False
) -> Stream:
    detector = FakeDetector([[5, 5, 30, 40]], [0.9])
    analyzer = TwoStage(detector, FakeClassifier((0.2, 0.7, 0.1)))
    return Stream(analyzer, settings, track=track)


@pytest.mark.parametrize("track", [False, True])
def test_a_step_returns_the_scene_with_its_time(track) -> None:
    scene = make_two_stage_stream(track=track).step(make_grey_image(), 1.5)
    assert scene.time_s == 1.5
    assert scene.labels == (Label.NO_MASK,)
    assert scene.probs[0] == pytest.approx([0.2, 0.7, 0.1])
    assert scene.track_ids.tolist() == [UNTRACKED]


@pytest.mark.parametrize("track", [False, True])
def test_settings_of_a_step_act_on_that_step_only(track) -> None:
    stream = make_two_stage_stream(Settings(), track=track)
    assert len(stream.step(make_grey_image(), 0)) == 1
    low_confidence = stream.step(make_grey_image(), 0.1, Settings(min_confidence=0.9))
    assert low_confidence.labels == (Label.UNKNOWN,)
    assert len(stream.step(make_grey_image(), 0.2, Settings(min_face_px=30))) == 0
    assert len(stream.step(make_grey_image(), 0.3)) == 1


def test_without_tracking_each_frame_is_analyzed_alone() -> None:
    stream = Stream(
        ScriptedAnalyzer(lambda _: [ScriptedFace(LEFT, MASK, 0.3)]), track=False
    )
    for time_s in (0.0, 0.5, 1.0):
        assert len(stream.step(NOISE, time_s)) == 0
    scene = stream.step(NOISE, 1.5, Settings(min_score=0.2))
    assert scene.track_ids.tolist() == [UNTRACKED]
    assert set(scene.stage_ms) == {"detect", "classify"}


@pytest.mark.parametrize("time_s", [0.9, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("track", [False, True])
def test_decreasing_time_is_rejected(track, time_s) -> None:
    stream = make_two_stage_stream(track=track)
    stream.step(make_grey_image(), 1.0)
    with pytest.raises(ValueError, match="time must not decrease"):
        stream.step(make_grey_image(), time_s)


def test_two_frames_may_have_the_same_time() -> None:
    stream = make_two_stage_stream(track=True)
    for _ in range(3):
        assert len(stream.step(make_grey_image(), 1.0)) == 1


def test_the_analyzer_gets_a_lower_threshold_and_its_stage_times_are_kept() -> None:
    analyzer = ScriptedAnalyzer(lambda _: [ScriptedFace(LEFT, MASK)])
    settings = Settings(min_score=0.5, nms_iou=0.3)
    scene = Stream(analyzer, settings).step(NOISE, 0.0)
    assert analyzer.requested_settings[0].min_score < 0.5
    assert (
        dataclasses.replace(analyzer.requested_settings[0], min_score=0.5) == settings
    )
    assert list(scene.stage_ms) == ["detect", "classify", "track"]
    assert scene.stage_ms["detect"] == 1.0
    assert scene.stage_ms["track"] > 0


def test_a_low_score_face_without_a_track_is_dropped_and_blurred() -> None:
    stream = make_constant_stream(
        ScriptedFace(LEFT, MASK, 0.3), ScriptedFace(RIGHT, NO_MASK, 0.8)
    )
    for time_s in (0.0, 0.2, 0.4):
        scene = stream.step(NOISE, time_s)
        assert scene.labels == (Label.NO_MASK,)
        assert scene.blur_boxes.tolist() == [list(LEFT)]


@pytest.mark.parametrize("track", [False, True])
def test_small_faces_are_blurred(track) -> None:
    stream = Stream(
        ScriptedAnalyzer(lambda _: [ScriptedFace(LEFT, MASK, 0.9)]),
        Settings(min_face_px=200),
        track=track,
    )
    scene = stream.step(NOISE, 0.0)
    assert len(scene) == 0
    assert scene.blur_boxes.tolist() == [list(LEFT)]


def test_a_lost_track_is_blurred_until_it_is_removed() -> None:
    other = np.random.default_rng(8).integers(0, 255, NOISE.shape).astype(np.uint8)
    analyzer = ScriptedAnalyzer(turn_away)
    stream = Stream(analyzer, Settings(memory_s=2.0))
    for number in range(40):
        analyzer.time_s = time_s = number / 10
        image = NOISE.copy()
        if time_s >= 1:
            # The head's region changes, so that optical flow cannot track it.
            image[50:140, 30:110] = other[50:140, 30:110]
        scene = stream.step(image, time_s)
        if time_s < 1:
            assert not len(scene.blur_boxes)
        elif time_s < 2.85:
            assert not len(scene)
            assert np.abs(scene.blur_boxes - LEFT).max() < 3
            assert len(scene.blur_boxes)
    assert not len(scene.blur_boxes)


def test_an_occluded_head_is_blurred() -> None:
    front = ScriptedFace((60.0, 85.0, 120.0, 155.0), NO_MASK)
    scene = play_script(lambda time_s: [front, *turn_away(time_s)], 1.2)[1.1]
    assert scene.labels == (Label.NO_MASK,)
    assert np.abs(scene.blur_boxes - LEFT).max() < 3
    assert len(scene.blur_boxes)


def test_an_unconfirmed_face_keeps_its_own_probabilities() -> None:
    rows = {0.0: NO_MASK, 0.1: MASK}
    scenes = play_script(
        lambda time_s: [ScriptedFace(LEFT, rows.get(round(time_s, 1), MASK))], 0.2
    )
    for time_s, row in rows.items():
        assert scenes[time_s].track_ids.tolist() == [UNTRACKED]
        assert scenes[time_s].probs[0] == pytest.approx(row)


@pytest.mark.parametrize("per_s", [10, 30])
def test_a_coasting_track_keeps_its_class_then_is_unknown_then_removed(per_s) -> None:
    scenes = play_script(turn_away, 5, per_s, Settings(memory_s=3.0))
    last_s = max(time_s for time_s in scenes if time_s < 1.0)
    number = scenes[last_s].track_ids[0]
    assert number != UNTRACKED
    states = []
    for time_s, scene in scenes.items():
        if time_s < 1.0:
            assert scene.labels == (Label.MASK,)
            assert scene.unseen_s[0] == 0
            continue
        states.append(scene.labels)
        if not len(scene):
            continue
        assert scene.track_ids.tolist() == [number]
        assert scene.faces.scores.tolist() == [0]
        assert scene.unseen_s[0] == pytest.approx(time_s - last_s, abs=2e-3)
        assert scene.faces.boxes[0] == pytest.approx(LEFT, abs=3)
    states_in_order = [
        state for n, state in enumerate(states) if n == 0 or state != states[n - 1]
    ]
    assert states_in_order == [(Label.MASK,), (Label.UNKNOWN,), ()]
    assert scenes[3.0].labels == (Label.MASK,)
    assert scenes[3.5].labels == (Label.UNKNOWN,)


@pytest.mark.parametrize("per_s", [2, 3, 5])
def test_coasting_does_not_depend_on_the_frame_rate(per_s) -> None:
    def turn_back(time_s: float) -> list[ScriptedFace]:
        # At every frame rate the last detection is at 2 s.
        return [ScriptedFace(LEFT, MASK)] if time_s < 2.01 else []

    slow, fast = (
        play_script(turn_back, 7, rate, Settings(memory_s=4)) for rate in (per_s, 30)
    )
    for time_s, scene in slow.items():
        if time_s > 1:
            assert scene.track_ids.tolist() == fast[time_s].track_ids.tolist()
            assert scene.labels == fast[time_s].labels
            assert scene.unseen_s == pytest.approx(fast[time_s].unseen_s, abs=1e-3)
    assert [len(slow[t]) for t in (4.0, 5.0, 6.0)] == [1, 1, 1]


def test_the_confidence_of_a_coasting_track_only_falls() -> None:
    scenes = play_script(turn_away, 3)
    coasting_scenes = [scene for time_s, scene in scenes.items() if time_s >= 1.0]
    confidences = [float(scene.confidences[0]) for scene in coasting_scenes]
    assert confidences == sorted(confidences, reverse=True)
    assert {float(scene.n_effective_views[0]) for scene in coasting_scenes} == {
        float(scenes[0.9].n_effective_views[0])
    }


def test_a_new_class_after_coasting_shows_at_once() -> None:
    scenes = play_script(
        lambda time_s: (
            turn_away(time_s) if time_s < 3 else [ScriptedFace(LEFT, NO_MASK)]
        ),
        4,
    )
    assert scenes[2.9].labels == (Label.MASK,)
    assert scenes[3.0].labels == (Label.NO_MASK,)
    assert scenes[3.0].track_ids.tolist() == scenes[0.9].track_ids.tolist()


@pytest.mark.parametrize("per_s", [10, 30])
def test_one_wrong_frame_does_not_change_the_label(per_s) -> None:
    def wrong_once(time_s: float) -> list[ScriptedFace]:
        wrong = abs(time_s - 1.5) < 0.5 / per_s
        return [ScriptedFace(LEFT, NO_MASK if wrong else MASK)]

    for scene in play_script(wrong_once, 3, per_s).values():
        assert scene.labels == (Label.MASK,)
    alone = play_script(wrong_once, 3, per_s, Settings(smoothing="latest"))
    assert Label.NO_MASK in {scene.labels[0] for scene in alone.values()}


def test_results_agree_at_10_and_30_frames_per_second() -> None:
    def states_in_order(time_s: float) -> list[ScriptedFace]:
        first = [ScriptedFace(LEFT, MASK if time_s < 2 else NO_MASK)]
        second = [ScriptedFace(RIGHT, NO_MASK)] if 0.5 <= time_s < 2.5 else []
        return first + second

    slow, fast = (
        play_script(states_in_order, 6, 10),
        play_script(states_in_order, 6, 30),
    )
    for time_s in (0.0, 0.4, 1.0, 1.9, 3.0, 4.0, 4.6, 5.2, 5.9):
        assert slow[time_s].labels == fast[time_s].labels
        assert slow[time_s].track_ids.tolist() == fast[time_s].track_ids.tolist()
        assert slow[time_s].confidences == pytest.approx(
            fast[time_s].confidences, abs=0.05
        )


def test_a_track_survives_a_drop_of_the_score() -> None:
    scenes = play_script(
        lambda time_s: [ScriptedFace(LEFT, MASK, 0.3 if 1 <= time_s < 2 else 0.9)], 3
    )
    number = scenes[0.9].track_ids[0]
    for time_s, scene in scenes.items():
        if time_s < 0.5:
            continue
        assert scene.track_ids.tolist() == [number]
        assert scene.labels == (Label.MASK,)
        assert scene.unseen_s[0] == 0
        assert scene.faces.scores[0] == pytest.approx(0.3 if 1 <= time_s < 2 else 0.9)


def test_a_raised_detection_threshold_removes_coasting_tracks_at_once() -> None:
    left, right = ScriptedFace(LEFT, MASK, 0.9), ScriptedFace(RIGHT, MASK, 0.6)
    analyzer = ScriptedAnalyzer(lambda time_s: [left, right] if time_s < 1 else [left])
    stream = Stream(analyzer)
    for number in range(15):
        analyzer.time_s = number / 10
        scene = stream.step(NOISE, analyzer.time_s)
    before = scene.track_ids.tolist()
    assert len(before) == 2
    removed: list[int] = []
    for number in range(15, 20):
        analyzer.time_s = number / 10
        scene = stream.step(NOISE, analyzer.time_s, Settings(min_score=0.8))
        assert scene.track_ids.tolist() == before[:1]
        assert scene.unseen_s.tolist() == [0]
        removed += scene.removed_ids
    assert removed == before[1:]


def test_a_raised_threshold_does_not_forget_a_head_above_it_that_turned_away() -> None:
    face = ScriptedFace(LEFT, MASK, 0.9)
    analyzer = ScriptedAnalyzer(lambda time_s: [face] if time_s < 1 else [])
    stream = Stream(analyzer)
    for number in range(20):
        analyzer.time_s = number / 10
        settings = Settings(min_score=0.5 if number < 15 else 0.8)
        scene = stream.step(NOISE, analyzer.time_s, settings)
    assert len(scene) == 1
    assert scene.unseen_s[0] > 0.5


def test_a_face_below_a_raised_threshold_has_no_row_and_is_blurred() -> None:
    stream = make_constant_stream(
        ScriptedFace(LEFT, MASK, 0.9), ScriptedFace(RIGHT, MASK, 0.6)
    )
    for number in range(10):
        assert len(stream.step(NOISE, number / 10)) == 2
    for number in range(10, 15):
        scene = stream.step(NOISE, number / 10, Settings(min_score=0.8))
        assert len(scene) == 1
        assert np.abs(scene.blur_boxes - RIGHT).max(axis=1).min() < 3


def test_a_removed_person_is_reported_once_and_returns_with_a_new_id() -> None:
    analyzer = ScriptedAnalyzer(
        lambda time_s: [ScriptedFace(LEFT, MASK)] if time_s < 1 or time_s > 6 else []
    )
    stream = Stream(analyzer)
    removed_ids: list[int] = []
    ids: list[int] = []
    for number in range(80):
        analyzer.time_s = number / 10
        scene = stream.step(NOISE, analyzer.time_s)
        removed_ids += scene.removed_ids
        ids += [new_id for new_id in scene.track_ids.tolist() if new_id not in ids]
    first, second = (track_id for track_id in ids if track_id != UNTRACKED)
    assert removed_ids == [first]
    assert second != first


def test_coasting_rows_follow_faces_and_rows_stay_aligned() -> None:
    scenes = play_script(
        lambda time_s: [
            *turn_away(time_s),
            ScriptedFace(RIGHT, NO_MASK, 0.6),
        ],
        2,
    )
    scene = scenes[1.8]
    assert scene.labels == (Label.NO_MASK, Label.MASK)
    assert scene.faces.scores == pytest.approx([0.6, 0.0])
    assert scene.unseen_s == pytest.approx([0.0, 0.9], abs=1e-4)
    assert scene.faces.boxes[0] == pytest.approx(RIGHT)


def test_the_image_is_not_changed() -> None:
    image: Image = NOISE.copy()
    image.flags.writeable = False
    stream = make_constant_stream(ScriptedFace(LEFT, MASK))
    for time_s in (0.0, 0.1, 0.2):
        stream.step(image, time_s)
    assert np.array_equal(image, NOISE)


def test_no_face_gives_an_empty_scene() -> None:
    scene = make_constant_stream().step(NOISE, 0.0)
    assert len(scene) == 0
    assert scene.probs.shape == (0, 3)
    assert scene.pairs == ()


def test_observations_of_a_class_with_weight_0_are_ignored() -> None:
    """With a weight of 0 for no mask, the earlier class mask stays."""

    def take_mask_off(time_s: float) -> list[ScriptedFace]:
        return [ScriptedFace(LEFT, MASK if time_s < 2 else NO_MASK)]

    settings = Settings(smoothing="mean", memory_s=10)
    default_scenes = play_script(take_mask_off, 6.0, settings=settings)
    zero_weight_settings = dataclasses.replace(settings, class_weights=(1.0, 0.0, 1.0))
    zero_weight_scenes = play_script(take_mask_off, 6.0, settings=zero_weight_settings)
    assert default_scenes[5.9].labels == (Label.NO_MASK,)
    assert zero_weight_scenes[5.9].labels == (Label.MASK,)
