"""Tests of the presets from the three examples of ami-a/MaskDetection."""

from __future__ import annotations

import math

import pytest

from maskdet.settings import Settings
from maskdet.smoothing import (
    TRACKING_PRESETS,
    beta_to_window_s,
    frames_to_window_s,
    uncertainty_to_confidence,
)
from maskdet.types import Faces, Label, Scene


@pytest.mark.parametrize(
    ("name", "min_score", "smoothing", "min_confidence"),
    [
        ("track-head", 0.4, "window", 0.4),
        ("track-face", 0.12, "latest", 0.4),
        ("track-onepass", 0.4, "ema", 0.67),
    ],
)
def test_presets_have_the_published_values(name, min_score, smoothing, min_confidence):
    preset = TRACKING_PRESETS[name].settings
    assert preset.min_score == min_score
    assert preset.smoothing == smoothing
    assert preset.min_confidence == min_confidence
    assert preset.nms_iou == 0.3
    assert preset.memory_s * 30 == pytest.approx(10)


def test_frames_and_beta_are_converted_at_30_frames_per_second():
    assert TRACKING_PRESETS["track-head"].settings.smoothing_window_s == pytest.approx(
        1 / 3
    )
    window_s = TRACKING_PRESETS["track-onepass"].settings.smoothing_window_s
    assert math.exp(-(1 / 30) / (window_s / 2)) == pytest.approx(0.9)


def test_conversion_depends_on_the_frame_rate():
    assert frames_to_window_s(10, 25) == pytest.approx(0.4)
    assert beta_to_window_s(0.9, 10) == pytest.approx(3 * beta_to_window_s(0.9, 30))


def test_three_presets_survive_a_json_round_trip():
    assert len(TRACKING_PRESETS) == 3
    for preset in TRACKING_PRESETS.values():
        settings = preset.settings
        assert Settings.from_json(settings.to_json()) == settings


def test_uncertainty_is_rescaled_to_three_classes() -> None:
    assert uncertainty_to_confidence(0.0) == pytest.approx(1 / 3, abs=0.005)
    assert uncertainty_to_confidence(0.1) == 0.4
    assert uncertainty_to_confidence(0.5) == 0.67
    assert uncertainty_to_confidence(1.0) == 1.0


def test_the_confidence_threshold_has_an_effect() -> None:
    for preset in TRACKING_PRESETS.values():
        settings = preset.settings
        # The largest of three probabilities is at least 1/3.
        assert settings.min_confidence > 1 / 3
        uncertain_scene = Scene(
            Faces([[0, 0, 40, 40]], [0.9]), [[0.36, 0.33, 0.31]]
        ).filter(settings)
        assert uncertain_scene.labels == (Label.UNKNOWN,)
