"""Verdicts against numbers worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from maskdet.settings import SMOOTHING_METHODS
from maskdet.smoothing import LabelSmoother, SmoothedLabels, beta_to_window_s
from maskdet.types import UNTRACKED
from tests.smoothing.updates import (
    MASK,
    NO_MASK,
    UNCERTAIN,
    frame_times_at_rate,
    update_label,
    update_vote,
)

# At 5 frames a second each is a whole new view, as those of TrackEverything are.
WHOLE_S = 0.2


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_the_first_view_is_the_verdict_however_little_it_weighs(method) -> None:
    for weight in (1.0, 0.01):
        probs, evidence, age_s = update_vote(LabelSmoother(method), MASK, 3.0, weight)
        assert probs == pytest.approx(MASK, abs=0.02 if method == "log_pool" else 1e-6)
        assert evidence == pytest.approx(weight)
        assert age_s == 0


# x = 0.9 * 0.95 is what TrackEverything adds up for Mask: score times probability.
RAMP_WINDOW = [0.0855, 0.171, 0.2565, 0.342]
RAMP_EXPONENTIAL = [0.0855, 0.16245, 0.231705, 0.2940345]


@pytest.mark.parametrize(
    ("method", "window_s", "ramp", "weight_sums"),
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
def test_the_ramps_of_track_everything_divided_by_their_weights(
    method, window_s, ramp, weight_sums
) -> None:
    """What rises from zero there says 95 % here, from the first view on."""
    vote = LabelSmoother(method, window_s)
    for n, (biased, weight_sum) in enumerate(zip(ramp, weight_sums, strict=True)):
        probs, _, _ = update_vote(vote, MASK, n * WHOLE_S, 0.9)
        assert biased / weight_sum == pytest.approx(0.95)
        assert probs[0] == pytest.approx(biased / weight_sum, abs=1e-6)


@pytest.mark.parametrize(
    ("method", "window_s", "flips_at"),
    [
        # The four as measured on TrackEverything with N = 10 and beta = 0.9.
        ("latest", 2.0, 1),
        ("mean", 2.0, 13),
        ("window", 10 * WHOLE_S, 6),
        ("ema", beta_to_window_s(0.9, 5), 6),
        # Half the evidence is gone after 0.7 s: exp(-0.7) = 1 / 2.
        ("log_pool", 2.0, 4),
    ],
)
def test_after_twelve_masks_so_many_bare_views_flip_the_label(
    method, window_s, flips_at
) -> None:
    vote = LabelSmoother(method, window_s)
    for n in range(12):
        assert update_label(vote, MASK, n * WHOLE_S) == 0
    flipped = next(
        n for n in range(1, 40) if update_label(vote, NO_MASK, (11 + n) * WHOLE_S) == 1
    )
    assert flipped == flips_at


def test_cumulative_is_the_weighted_mean() -> None:
    vote = LabelSmoother("mean")
    update_vote(vote, (0.9, 0.1, 0.0), 0.0, 0.5)
    probs, evidence, _ = update_vote(vote, (0.3, 0.6, 0.1), 1.0, 1.0)
    assert probs == pytest.approx([0.5, 13 / 30, 1 / 15])
    assert evidence == pytest.approx(1.5)


def test_a_view_weighs_by_the_time_since_the_one_before() -> None:
    vote = LabelSmoother("mean")
    update_vote(vote, (1.0, 0.0, 0.0), 0.0)
    probs, evidence, _ = update_vote(vote, (0.0, 1.0, 0.0), 0.05)
    assert evidence == pytest.approx(1.25)
    assert probs == pytest.approx([0.8, 0.2, 0.0])


def test_the_window_forgets_at_its_edge() -> None:
    vote = LabelSmoother("window", 1.0)
    update_vote(vote, (1.0, 0.0, 0.0), 0.0)
    inside, evidence, _ = update_vote(vote, (0.0, 1.0, 0.0), 0.9)
    assert inside == pytest.approx([0.5, 0.5, 0.0])
    assert evidence == pytest.approx(2)
    outside, evidence, _ = update_vote(vote, (0.0, 1.0, 0.0), 1.0)
    assert outside == pytest.approx([0.0, 1.0, 0.0])
    assert evidence == pytest.approx(1.5)


def test_exponential_falls_to_1_e_within_half_the_window() -> None:
    vote = LabelSmoother("ema", 2.0)
    update_vote(vote, (1.0, 0.0, 0.0), 0.0)
    probs, evidence, _ = update_vote(vote, (0.0, 1.0, 0.0), 1.0)
    assert evidence == pytest.approx(1 + math.exp(-1))
    assert probs[0] == pytest.approx(math.exp(-1) / (1 + math.exp(-1)))


def test_beta_of_a_window_is_what_it_keeps_from_frame_to_frame() -> None:
    vote = LabelSmoother("ema", beta_to_window_s(0.9, 30))
    update_vote(vote, (1.0, 0.0, 0.0), 0.0)
    _, evidence, _ = update_vote(vote, (0.0, 1.0, 0.0), 1 / 30)
    assert evidence == pytest.approx(0.9 + (1 / 30) / WHOLE_S)


def test_sure_pools_logarithms_and_grows_surer_with_agreement() -> None:
    vote = LabelSmoother("log_pool", 2.0)
    update_vote(vote, (0.7, 0.2, 0.1), 0.0)
    probs, evidence, _ = update_vote(vote, (0.7, 0.2, 0.1), 1.0)
    n = 1 + math.exp(-1)
    powers = np.array([0.7, 0.2, 0.1]) ** (n / (1 + (n - 1) / 2))
    assert evidence == pytest.approx(n)
    assert probs == pytest.approx(powers / powers.sum(), abs=1e-6)
    assert probs[0] > 0.74


def test_sure_never_takes_many_views_for_more_than_two_witnesses() -> None:
    vote = LabelSmoother("log_pool", 60.0)
    for time_s in frame_times_at_rate(30, 60):
        probs, _, _ = update_vote(vote, (0.7, 0.2, 0.1), time_s)
    assert 0.85 < probs[0] < 0.49 / 0.54


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_no_row_of_ones_and_zeros_breaks_a_verdict(method) -> None:
    vote = LabelSmoother(method)
    for n, row in enumerate(np.eye(3)):
        probs, _, _ = update_vote(vote, row, n * 0.1)
        assert np.isfinite(probs).all()
        assert probs.sum() == pytest.approx(1)


def test_an_unreadable_view_is_no_vote_and_the_verdict_ages() -> None:
    vote = LabelSmoother()
    _, evidence, _ = update_vote(vote, MASK, 0.0)
    probs, still, age_s = update_vote(vote, NO_MASK, 1.0, 0.0)
    assert probs.argmax() == 0
    assert still == pytest.approx(evidence)
    assert age_s == pytest.approx(1)


def test_whoever_was_never_readable_comes_back_as_they_are() -> None:
    probs, evidence, _ = update_vote(LabelSmoother(), UNCERTAIN, 0.0, 0.0)
    assert probs == pytest.approx(UNCERTAIN)
    assert evidence == 0


def test_a_class_without_effect_has_no_vote_and_half_an_effect_half_a_vote() -> None:
    deaf = LabelSmoother("mean", class_weights=(1.0, 0.0, 1.0))
    update_vote(deaf, MASK, 0.0)
    probs, evidence, age_s = update_vote(deaf, (0.0, 1.0, 0.0), 0.001)
    assert probs == pytest.approx(MASK, abs=1e-6)
    assert age_s == pytest.approx(0.001)
    assert evidence == pytest.approx(0.96)
    half = LabelSmoother("mean", class_weights=(1.0, 0.5, 1.0))
    update_vote(half, (1.0, 0.0, 0.0), 0.0)
    probs, evidence, _ = update_vote(half, (0.0, 1.0, 0.0), 1.0)
    assert probs == pytest.approx([2 / 3, 1 / 3, 0])
    assert evidence == pytest.approx(1.5)


def test_people_do_not_hear_each_other_and_rows_keep_their_order() -> None:
    vote = LabelSmoother("mean")
    rows = np.array([MASK, NO_MASK, UNCERTAIN], np.float32)
    ids = np.array([4, 9, UNTRACKED])
    weights = np.array([0.9, 0.8, 0.3], np.float32)
    vote.update(ids, rows, weights, 0.0)
    verdicts = vote.update(ids[::-1], rows[::-1], weights[::-1], 1.0)
    assert verdicts.probs == pytest.approx(rows[::-1], abs=1e-6)
    assert verdicts.n_effective_views == pytest.approx([0.3, 1.6, 1.8])
    assert len(vote) == 2
    assert vote.predict_unseen([9, 4], 1.0).probs.argmax(axis=1).tolist() == [1, 0]


def test_the_forgotten_start_anew_and_strangers_are_unknown() -> None:
    vote = LabelSmoother("mean")
    for time_s in frame_times_at_rate(5, 3):
        update_vote(vote, MASK, time_s)
    vote.forget([7, 8])
    stranger = vote.predict_unseen([7], 3.0)
    assert stranger.probs[0] == pytest.approx([1 / 3] * 3)
    assert stranger.n_effective_views[0] == 0
    assert update_vote(vote, NO_MASK, 3.2)[0] == pytest.approx(NO_MASK)


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.permutations(SMOOTHING_METHODS, 2))
)
def test_changing_the_method_keeps_what_is_known(before, after) -> None:
    vote = LabelSmoother(before)
    for time_s in frame_times_at_rate(10, 2):
        update_vote(vote, MASK, time_s)
    vote.method = after
    assert vote.predict_unseen([7], 2.0).probs[0].argmax() == 0
    probs, _, _ = update_vote(vote, UNCERTAIN if after == "latest" else NO_MASK, 2.0)
    assert probs.argmax() == 0


def test_no_face_gives_empty_verdicts() -> None:
    empty = LabelSmoother().update(
        np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 0
    )
    for verdicts in (empty, LabelSmoother().predict_unseen([], 0.0)):
        assert isinstance(verdicts, SmoothedLabels)
        assert verdicts.probs.shape == (0, 3)
        assert verdicts.n_effective_views.shape == verdicts.ages_s.shape == (0,)


@pytest.mark.parametrize("time_s", [0.5, math.nan])
def test_time_going_back_is_refused(time_s) -> None:
    vote = LabelSmoother()
    update_vote(vote, MASK, 1.0)
    with pytest.raises(ValueError, match="time must not go back"):
        update_vote(vote, MASK, time_s)
    with pytest.raises(ValueError, match="time must not go back"):
        vote.predict_unseen([7], time_s)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"method": "majority"}, "smoothing must be one of log_pool"),
        ({"window_s": 0}, "window_s must be above 0"),
        ({"memory_s": math.inf}, "memory_s must be above 0"),
        ({"class_weights": (1, 1, 2)}, "class_weights must be 3 numbers"),
        ({"class_weights": (1, 1)}, "class_weights must be 3 numbers"),
    ],
)
def test_a_bad_argument_is_refused_by_name(arguments, line) -> None:
    with pytest.raises(ValueError, match=line):
        LabelSmoother(**arguments)
