from __future__ import annotations

import math

import pytest

from maskdet.analyzer import TwoStage
from maskdet.stream import Stream
from maskdet.types import UNTRACKED, Label, Settings
from tests.fakes import FakeClassifier, FakeDetector, grey


def stream(settings: Settings | None = None) -> Stream:
    detector = FakeDetector([[5, 5, 30, 40]], [0.9])
    return Stream(TwoStage(detector, FakeClassifier((0.2, 0.7, 0.1))), settings)


def test_a_step_returns_the_scene_with_its_time() -> None:
    scene = stream().step(grey(), 1.5)
    assert scene.time_s == 1.5
    assert scene.labels == (Label.NO_MASK,)
    assert scene.track_ids.tolist() == [UNTRACKED]


def test_new_settings_act_on_the_next_step() -> None:
    running = stream(Settings())
    assert len(running.step(grey(), 0)) == 1
    running.settings = Settings(min_certainty=0.9)
    assert running.step(grey(), 0.1).labels == (Label.UNKNOWN,)
    running.settings = Settings(min_score=0.95)
    assert len(running.step(grey(), 0.2)) == 0


@pytest.mark.parametrize("time_s", [0.9, -1.0, math.nan])
def test_time_going_back_is_refused(time_s) -> None:
    running = stream()
    running.step(grey(), 1.0)
    with pytest.raises(ValueError, match="time must not go back"):
        running.step(grey(), time_s)


def test_two_images_may_share_a_time() -> None:
    running = stream()
    running.step(grey(), 1.0)
    assert len(running.step(grey(), 1.0)) == 1
