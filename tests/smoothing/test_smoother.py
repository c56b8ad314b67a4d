"""Tests of label smoothing against values computed by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from maskdet.settings import SMOOTHING_METHODS, Settings
from maskdet.smoothing import SmoothedLabels, beta_to_window_s
from maskdet.types import UNTRACKED
from tests.smoothing.updates import (
    MASK,
    NO_MASK,
    UNCERTAIN,
    frame_times_at_rate,
    make_smoother,
    update_label,
    update_smoother,
)

# At 5 frames per second each observation counts in full, as in TrackEverything.
INDEPENDENT_S = 0.2


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_the_first_observation_counts_in_full_at_any_weight(method) -> None:
    for weight in (1.0, 0.01):
        probs, n_views, age_s = update_smoother(
            make_smoother(method), MASK, 3.0, weight
        )
        assert probs == pytest.approx(MASK, abs=0.02 if method == "log_pool" else 1e-6)
        assert n_views == pytest.approx(weight)
        assert age_s == 0


# TrackEverything adds score times probability: x = 0.9 * 0.95 for the class mask.
RAMP_WINDOW = [0.0855, 0.171, 0.2565, 0.342]
RAMP_EXPONENTIAL = [0.0855, 0.16245, 0.231705, 0.2940345]


@pytest.mark.parametrize(
    ("method", "window_s", "biased_sums", "weight_sums"),
    [
        ("window", 2.0, RAMP_WINDOW, [0.9 * n / 10 for n in range(1, 5)]),
        (
            "ema",
            beta_to_window_s(0.9, 5),
            RAMP_EXPONENTIAL,
            [0.9 * (1 - 0.9**n) for n in range(1, 5)],
        ),
    ],
)
def test_trackeverything_sums_divided_by_their_weights_are_the_mean(
    method, window_s, biased_sums, weight_sums
) -> None:
    """The biased sums start near 0; the weighted mean is 95 % from the start."""
    smoother = make_smoother(method, window_s)
    for n, (biased, weight_sum) in enumerate(
        zip(biased_sums, weight_sums, strict=True)
    ):
        probs, _, _ = update_smoother(smoother, MASK, n * INDEPENDENT_S, 0.9)
        assert biased / weight_sum == pytest.approx(0.95)
        assert probs[0] == pytest.approx(biased / weight_sum, abs=1e-6)


@pytest.mark.parametrize(
    ("method", "window_s", "expected_flip"),
    [
        # The four as measured on TrackEverything with N = 10 and beta = 0.9.
        ("latest", 2.0, 1),
        ("mean", 2.0, 13),
        ("window", 10 * INDEPENDENT_S, 6),
        ("ema", beta_to_window_s(0.9, 5), 6),
        # Half of the weight is gone after 0.7 s: exp(-0.7) = 1 / 2.
        ("log_pool", 2.0, 4),
    ],
)
def test_number_of_no_mask_observations_that_change_the_label(
    method, window_s, expected_flip
) -> None:
    smoother = make_smoother(method, window_s)
    for n in range(12):
        assert update_label(smoother, MASK, n * INDEPENDENT_S) == 0
    flipped = next(
        n
        for n in range(1, 40)
        if update_label(smoother, NO_MASK, (11 + n) * INDEPENDENT_S) == 1
    )
    assert flipped == expected_flip


def test_mean_is_the_weighted_mean() -> None:
    smoother = make_smoother("mean")
    update_smoother(smoother, (0.9, 0.1, 0.0), 0.0, 0.5)
    probs, n_views, _ = update_smoother(smoother, (0.3, 0.6, 0.1), 1.0, 1.0)
    assert probs == pytest.approx([0.5, 13 / 30, 1 / 15])
    assert n_views == pytest.approx(1.5)


def test_the_weight_grows_with_the_time_since_the_last_observation() -> None:
    smoother = make_smoother("mean")
    update_smoother(smoother, (1.0, 0.0, 0.0), 0.0)
    probs, n_views, _ = update_smoother(smoother, (0.0, 1.0, 0.0), 0.05)
    assert n_views == pytest.approx(1.25)
    assert probs == pytest.approx([0.8, 0.2, 0.0])


def test_the_window_drops_observations_at_its_edge() -> None:
    smoother = make_smoother("window", 1.0)
    update_smoother(smoother, (1.0, 0.0, 0.0), 0.0)
    inside, n_views, _ = update_smoother(smoother, (0.0, 1.0, 0.0), 0.9)
    assert inside == pytest.approx([0.5, 0.5, 0.0])
    assert n_views == pytest.approx(2)
    outside, n_views, _ = update_smoother(smoother, (0.0, 1.0, 0.0), 1.0)
    assert outside == pytest.approx([0.0, 1.0, 0.0])
    assert n_views == pytest.approx(1.5)


def test_ema_weights_fall_to_1_e_within_half_the_window() -> None:
    smoother = make_smoother("ema", 2.0)
    update_smoother(smoother, (1.0, 0.0, 0.0), 0.0)
    probs, n_views, _ = update_smoother(smoother, (0.0, 1.0, 0.0), 1.0)
    assert n_views == pytest.approx(1 + math.exp(-1))
    assert probs[0] == pytest.approx(math.exp(-1) / (1 + math.exp(-1)))


def test_beta_is_the_decay_per_frame() -> None:
    smoother = make_smoother("ema", beta_to_window_s(0.9, 30))
    update_smoother(smoother, (1.0, 0.0, 0.0), 0.0)
    _, n_views, _ = update_smoother(smoother, (0.0, 1.0, 0.0), 1 / 30)
    assert n_views == pytest.approx(0.9 + (1 / 30) / INDEPENDENT_S)


def test_log_pool_averages_logarithms_and_agreement_raises_confidence() -> None:
    smoother = make_smoother("log_pool", 2.0)
    update_smoother(smoother, (0.7, 0.2, 0.1), 0.0)
    probs, n_views, _ = update_smoother(smoother, (0.7, 0.2, 0.1), 1.0)
    n = 1 + math.exp(-1)
    powers = np.array([0.7, 0.2, 0.1]) ** (n / (1 + (n - 1) / 2))
    assert n_views == pytest.approx(n)
    assert probs == pytest.approx(powers / powers.sum(), abs=1e-6)
    assert probs[0] > 0.74


def test_log_pool_counts_many_observations_as_at_most_two() -> None:
    smoother = make_smoother("log_pool", 60.0)
    for time_s in frame_times_at_rate(30, 60):
        probs, _, _ = update_smoother(smoother, (0.7, 0.2, 0.1), time_s)
    assert 0.85 < probs[0] < 0.49 / 0.54


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_one_hot_rows_give_finite_probabilities(method) -> None:
    smoother = make_smoother(method)
    for n, row in enumerate(np.eye(3)):
        probs, _, _ = update_smoother(smoother, row, n * 0.1)
        assert np.isfinite(probs).all()
        assert probs.sum() == pytest.approx(1)


def test_an_observation_with_weight_0_only_ages_the_label() -> None:
    smoother = make_smoother()
    _, n_views, _ = update_smoother(smoother, MASK, 0.0)
    probs, unchanged, age_s = update_smoother(smoother, NO_MASK, 1.0, 0.0)
    assert probs.argmax() == 0
    assert unchanged == pytest.approx(n_views)
    assert age_s == pytest.approx(1)


def test_a_track_without_observations_keeps_its_frame_probabilities() -> None:
    probs, n_views, _ = update_smoother(make_smoother(), UNCERTAIN, 0.0, 0.0)
    assert probs == pytest.approx(UNCERTAIN)
    assert n_views == 0


def test_class_weights_scale_observations() -> None:
    zero_weight = make_smoother("mean", class_weights=(1.0, 0.0, 1.0))
    update_smoother(zero_weight, MASK, 0.0)
    probs, n_views, age_s = update_smoother(zero_weight, (0.0, 1.0, 0.0), 0.001)
    assert probs == pytest.approx(MASK, abs=1e-6)
    assert age_s == pytest.approx(0.001)
    assert n_views == pytest.approx(0.96)
    half = make_smoother("mean", class_weights=(1.0, 0.5, 1.0))
    update_smoother(half, (1.0, 0.0, 0.0), 0.0)
    probs, n_views, _ = update_smoother(half, (0.0, 1.0, 0.0), 1.0)
    assert probs == pytest.approx([2 / 3, 1 / 3, 0])
    assert n_views == pytest.approx(1.5)


def test_tracks_are_independent_and_rows_keep_their_order() -> None:
    smoother = make_smoother("mean")
    rows = np.array([MASK, NO_MASK, UNCERTAIN], np.float32)
    ids = np.array([4, 9, UNTRACKED])
    weights = np.array([0.9, 0.8, 0.3], np.float32)
    smoother.update(ids, rows, weights, 0.0)
    labels = smoother.update(ids[::-1], rows[::-1], weights[::-1], 1.0)
    assert labels.probs == pytest.approx(rows[::-1], abs=1e-6)
    assert labels.n_effective_views == pytest.approx([0.3, 1.6, 1.8])
    assert len(smoother) == 2
    assert smoother.predict_unseen([9, 4], 1.0).probs.argmax(axis=1).tolist() == [1, 0]


def test_forgotten_tracks_start_again_and_unknown_ids_are_uniform() -> None:
    smoother = make_smoother("mean")
    for time_s in frame_times_at_rate(5, 3):
        update_smoother(smoother, MASK, time_s)
    smoother.forget([7, 8])
    unknown_track = smoother.predict_unseen([7], 3.0)
    assert unknown_track.probs[0] == pytest.approx([1 / 3] * 3)
    assert unknown_track.n_effective_views[0] == 0
    assert update_smoother(smoother, NO_MASK, 3.2)[0] == pytest.approx(NO_MASK)


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.permutations(SMOOTHING_METHODS, 2))
)
def test_changing_the_method_keeps_the_label(before, after) -> None:
    smoother = make_smoother(before)
    for time_s in frame_times_at_rate(10, 2):
        update_smoother(smoother, MASK, time_s)
    smoother.settings = Settings(smoothing=after)
    assert smoother.predict_unseen([7], 2.0).probs[0].argmax() == 0
    probs, _, _ = update_smoother(
        smoother, UNCERTAIN if after == "latest" else NO_MASK, 2.0
    )
    assert probs.argmax() == 0


def test_no_faces_give_empty_labels() -> None:
    empty = make_smoother().update(
        np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 0
    )
    for labels in (empty, make_smoother().predict_unseen([], 0.0)):
        assert isinstance(labels, SmoothedLabels)
        assert labels.probs.shape == (0, 3)
        assert labels.n_effective_views.shape == labels.ages_s.shape == (0,)
