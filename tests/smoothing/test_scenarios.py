"""Tests of label smoothing over time: changes, errors, frame rates and gaps."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.settings import SMOOTHING_METHODS
from tests.smoothing.updates import (
    MASK,
    NO_MASK,
    UNCERTAIN,
    frame_times_at_rate,
    make_smoother,
    update_label,
    update_smoother,
)


@pytest.mark.parametrize("per_s", [5, 10, 30])
@pytest.mark.parametrize("method", ["log_pool", "window", "ema", "mean"])
def test_one_wrong_frame_in_ten_does_not_change_the_label(method, per_s) -> None:
    smoother = make_smoother(method)
    for n, time_s in enumerate(frame_times_at_rate(per_s, 4)):
        assert update_label(smoother, NO_MASK if n % 10 == 5 else MASK, time_s) == 0


@pytest.mark.parametrize("method", ["log_pool", "window", "ema"])
def test_a_real_change_shows_within_the_window(method) -> None:
    smoother = make_smoother(method, 2.0)
    for time_s in frame_times_at_rate(15, 5):
        update_smoother(smoother, MASK, time_s)
    changed_s = next(
        t
        for t in frame_times_at_rate(15, 5, 5.0)
        if update_label(smoother, NO_MASK, t) == 1
    )
    assert changed_s - 5.0 < 2.0


def collect_labels(method: str, per_s: int) -> dict[float, np.ndarray]:
    """Return the smoothed labels of a 6 s video at multiples of 0.1 s."""
    smoother, labels_by_time = make_smoother(method), {}
    for time_s in frame_times_at_rate(per_s, 6):
        phase_s = time_s % 3
        row = MASK if phase_s < 1.5 else UNCERTAIN if phase_s < 2 else NO_MASK
        probs, n_views, _ = update_smoother(smoother, row, time_s, 0.8)
        if abs(time_s * 10 - round(time_s * 10)) < 1e-6:
            labels_by_time[round(time_s, 1)] = np.append(probs, n_views)
    return labels_by_time


@pytest.mark.parametrize("method", ["log_pool", "window", "ema", "mean"])
def test_labels_agree_at_10_and_30_frames_per_second(method) -> None:
    slow, fast = collect_labels(method, 10), collect_labels(method, 30)
    assert len(slow) == len(fast) == 60
    labels = {time_s: row[:3].argmax() for time_s, row in fast.items()}
    for time_s, row in slow.items():
        # At 10 frames per second a change may be 0.1 s late.
        candidates = [labels.get(round(time_s + late, 1)) for late in (-0.1, 0.0, 0.1)]
        assert row[:3].argmax() in candidates
        assert row[3] == pytest.approx(fast[time_s][3], rel=0.15)
    gaps = np.abs([slow[time_s][:3] - fast[time_s][:3] for time_s in slow])
    assert gaps.mean() < 0.03


@pytest.mark.parametrize("method", ["log_pool", "window", "ema", "mean"])
def test_irregular_frame_times_give_the_same_weights(method) -> None:
    regular, irregular = make_smoother(method), make_smoother(method)
    for time_s in frame_times_at_rate(20, 4):
        probs, n_views, _ = update_smoother(
            regular, MASK if time_s < 3 else NO_MASK, time_s
        )
    for time_s in frame_times_at_rate(20, 4):
        late = time_s + (0.04 if round(time_s * 20) % 2 else 0.0)
        other, weight_sum, _ = update_smoother(
            irregular, MASK if late < 3 else NO_MASK, late
        )
    assert other == pytest.approx(probs, abs=0.03)
    assert weight_sum == pytest.approx(n_views, rel=0.1)


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_frames_at_the_same_time_add_nothing_except_for_latest(method) -> None:
    smoother = make_smoother(method)
    before, weight_sum, _ = update_smoother(smoother, MASK, 1.0)
    after, unchanged, _ = update_smoother(smoother, NO_MASK, 1.0)
    assert unchanged == pytest.approx(weight_sum)
    assert after == pytest.approx(NO_MASK if method == "latest" else before, abs=1e-6)


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_after_a_long_gap_the_new_observation_decides(method) -> None:
    smoother = make_smoother(method, 2.0)
    update_smoother(smoother, MASK, 0.0)
    probs, _, age_s = update_smoother(smoother, NO_MASK, 1e6)
    assert age_s == 0
    assert np.isfinite(probs).all()
    if method != "mean":
        assert probs == pytest.approx(NO_MASK, abs=0.02)


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_probabilities_fade_to_uniform_without_observations(method) -> None:
    smoother = make_smoother(method, memory_s=3.0)
    probs, _, _ = update_smoother(smoother, MASK, 10.0)
    faded = smoother.predict_unseen([7], 11.5)
    assert faded.ages_s[0] == pytest.approx(1.5)
    assert faded.probs[0] == pytest.approx(0.75 * probs + 0.25 / 3, abs=1e-6)
    assert smoother.predict_unseen([7], 12.0).probs[0].max() > 0.6
    assert smoother.predict_unseen([7], 12.4).probs[0].max() < 0.6
    for time_s in (13.0, 20.0):
        forgotten = smoother.predict_unseen([7], time_s)
        assert forgotten.probs[0] == pytest.approx([1 / 3] * 3)


def test_full_confidence_falls_below_the_threshold_before_the_end_of_memory() -> None:
    smoother = make_smoother("latest", memory_s=10.0)
    update_smoother(smoother, (1.0, 0.0, 0.0), 0.0)
    assert smoother.predict_unseen([7], 7.7).probs[0].max() > 0.6
    assert smoother.predict_unseen([7], 7.8).probs[0].max() < 0.6


def test_predict_unseen_adds_no_observation() -> None:
    queried, not_queried = make_smoother(), make_smoother()
    for smoother in (queried, not_queried):
        update_smoother(smoother, MASK, 0.0, 0.7)
    for time_s in frame_times_at_rate(10, 1, 0.1):
        assert queried.predict_unseen([7], time_s).n_effective_views[
            0
        ] == pytest.approx(0.7)
    a, b = (
        update_smoother(queried, NO_MASK, 1.5),
        update_smoother(not_queried, NO_MASK, 1.5),
    )
    assert a[0] == pytest.approx(b[0])
    assert a[1:] == b[1:]
