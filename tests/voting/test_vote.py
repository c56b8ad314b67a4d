"""Verdicts against numbers worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from maskdet.settings import SMOOTHINGS
from maskdet.types import UNTRACKED
from maskdet.voting import Verdicts, Vote, window_of_beta
from tests.voting.seeing import BARE, MASK, WAVERING, label, see, times

# At 5 frames a second each is a whole new view, as those of TrackEverything are.
WHOLE_S = 0.2


@pytest.mark.parametrize("method", SMOOTHINGS)
def test_the_first_view_is_the_verdict_however_little_it_weighs(method) -> None:
    for weight in (1.0, 0.01):
        probs, evidence, age_s = see(Vote(method), MASK, 3.0, weight)
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
            window_of_beta(0.9, 5),
            RAMP_EXPONENTIAL,
            [0.9 * (1 - 0.9**n) for n in range(1, 5)],
        ),
    ],
)
def test_the_ramps_of_track_everything_divided_by_their_weights(
    method, window_s, ramp, weight_sums
) -> None:
    """What rises from zero there says 95 % here, from the first view on."""
    vote = Vote(method, window_s)
    for n, (biased, weight_sum) in enumerate(zip(ramp, weight_sums, strict=True)):
        probs, _, _ = see(vote, MASK, n * WHOLE_S, 0.9)
        assert biased / weight_sum == pytest.approx(0.95)
        assert probs[0] == pytest.approx(biased / weight_sum, abs=1e-6)


@pytest.mark.parametrize(
    ("method", "window_s", "flips_at"),
    [
        # The four as measured on TrackEverything with N = 10 and beta = 0.9.
        ("latest", 2.0, 1),
        ("mean", 2.0, 13),
        ("window", 10 * WHOLE_S, 6),
        ("ema", window_of_beta(0.9, 5), 6),
        # Half the evidence is gone after 0.7 s: exp(-0.7) = 1 / 2.
        ("log_pool", 2.0, 4),
    ],
)
def test_after_twelve_masks_so_many_bare_views_flip_the_label(
    method, window_s, flips_at
) -> None:
    vote = Vote(method, window_s)
    for n in range(12):
        assert label(vote, MASK, n * WHOLE_S) == 0
    flipped = next(
        n for n in range(1, 40) if label(vote, BARE, (11 + n) * WHOLE_S) == 1
    )
    assert flipped == flips_at


def test_cumulative_is_the_weighted_mean() -> None:
    vote = Vote("mean")
    see(vote, (0.9, 0.1, 0.0), 0.0, 0.5)
    probs, evidence, _ = see(vote, (0.3, 0.6, 0.1), 1.0, 1.0)
    assert probs == pytest.approx([0.5, 13 / 30, 1 / 15])
    assert evidence == pytest.approx(1.5)


def test_a_view_weighs_by_the_time_since_the_one_before() -> None:
    vote = Vote("mean")
    see(vote, (1.0, 0.0, 0.0), 0.0)
    probs, evidence, _ = see(vote, (0.0, 1.0, 0.0), 0.05)
    assert evidence == pytest.approx(1.25)
    assert probs == pytest.approx([0.8, 0.2, 0.0])


def test_the_window_forgets_at_its_edge() -> None:
    vote = Vote("window", 1.0)
    see(vote, (1.0, 0.0, 0.0), 0.0)
    inside, evidence, _ = see(vote, (0.0, 1.0, 0.0), 0.9)
    assert inside == pytest.approx([0.5, 0.5, 0.0])
    assert evidence == pytest.approx(2)
    outside, evidence, _ = see(vote, (0.0, 1.0, 0.0), 1.0)
    assert outside == pytest.approx([0.0, 1.0, 0.0])
    assert evidence == pytest.approx(1.5)


def test_exponential_falls_to_1_e_within_half_the_window() -> None:
    vote = Vote("ema", 2.0)
    see(vote, (1.0, 0.0, 0.0), 0.0)
    probs, evidence, _ = see(vote, (0.0, 1.0, 0.0), 1.0)
    assert evidence == pytest.approx(1 + math.exp(-1))
    assert probs[0] == pytest.approx(math.exp(-1) / (1 + math.exp(-1)))


def test_beta_of_a_window_is_what_it_keeps_from_frame_to_frame() -> None:
    vote = Vote("ema", window_of_beta(0.9, 30))
    see(vote, (1.0, 0.0, 0.0), 0.0)
    _, evidence, _ = see(vote, (0.0, 1.0, 0.0), 1 / 30)
    assert evidence == pytest.approx(0.9 + (1 / 30) / WHOLE_S)


def test_sure_pools_logarithms_and_grows_surer_with_agreement() -> None:
    vote = Vote("log_pool", 2.0)
    see(vote, (0.7, 0.2, 0.1), 0.0)
    probs, evidence, _ = see(vote, (0.7, 0.2, 0.1), 1.0)
    n = 1 + math.exp(-1)
    powers = np.array([0.7, 0.2, 0.1]) ** (n / (1 + (n - 1) / 2))
    assert evidence == pytest.approx(n)
    assert probs == pytest.approx(powers / powers.sum(), abs=1e-6)
    assert probs[0] > 0.74


def test_sure_never_takes_many_views_for_more_than_two_witnesses() -> None:
    vote = Vote("log_pool", 60.0)
    for time_s in times(30, 60):
        probs, _, _ = see(vote, (0.7, 0.2, 0.1), time_s)
    assert 0.85 < probs[0] < 0.49 / 0.54


@pytest.mark.parametrize("method", SMOOTHINGS)
def test_no_row_of_ones_and_zeros_breaks_a_verdict(method) -> None:
    vote = Vote(method)
    for n, row in enumerate(np.eye(3)):
        probs, _, _ = see(vote, row, n * 0.1)
        assert np.isfinite(probs).all()
        assert probs.sum() == pytest.approx(1)


def test_an_unreadable_view_is_no_vote_and_the_verdict_ages() -> None:
    vote = Vote()
    _, evidence, _ = see(vote, MASK, 0.0)
    probs, still, age_s = see(vote, BARE, 1.0, 0.0)
    assert probs.argmax() == 0
    assert still == pytest.approx(evidence)
    assert age_s == pytest.approx(1)


def test_whoever_was_never_readable_comes_back_as_they_are() -> None:
    probs, evidence, _ = see(Vote(), WAVERING, 0.0, 0.0)
    assert probs == pytest.approx(WAVERING)
    assert evidence == 0


def test_a_class_without_effect_has_no_vote_and_half_an_effect_half_a_vote() -> None:
    deaf = Vote("mean", class_weights=(1.0, 0.0, 1.0))
    see(deaf, MASK, 0.0)
    probs, evidence, age_s = see(deaf, (0.0, 1.0, 0.0), 0.001)
    assert probs == pytest.approx(MASK, abs=1e-6)
    assert age_s == pytest.approx(0.001)
    assert evidence == pytest.approx(0.96)
    half = Vote("mean", class_weights=(1.0, 0.5, 1.0))
    see(half, (1.0, 0.0, 0.0), 0.0)
    probs, evidence, _ = see(half, (0.0, 1.0, 0.0), 1.0)
    assert probs == pytest.approx([2 / 3, 1 / 3, 0])
    assert evidence == pytest.approx(1.5)


def test_people_do_not_hear_each_other_and_rows_keep_their_order() -> None:
    vote = Vote("mean")
    rows = np.array([MASK, BARE, WAVERING], np.float32)
    ids = np.array([4, 9, UNTRACKED])
    weights = np.array([0.9, 0.8, 0.3], np.float32)
    vote.update(ids, rows, weights, 0.0)
    verdicts = vote.update(ids[::-1], rows[::-1], weights[::-1], 1.0)
    assert verdicts.probs == pytest.approx(rows[::-1], abs=1e-6)
    assert verdicts.evidence == pytest.approx([0.3, 1.6, 1.8])
    assert len(vote) == 2
    assert vote.recall([9, 4], 1.0).probs.argmax(axis=1).tolist() == [1, 0]


def test_the_forgotten_start_anew_and_strangers_are_unknown() -> None:
    vote = Vote("mean")
    for time_s in times(5, 3):
        see(vote, MASK, time_s)
    vote.forget([7, 8])
    stranger = vote.recall([7], 3.0)
    assert stranger.probs[0] == pytest.approx([1 / 3] * 3)
    assert stranger.evidence[0] == 0
    assert see(vote, BARE, 3.2)[0] == pytest.approx(BARE)


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.permutations(SMOOTHINGS, 2))
)
def test_changing_the_method_keeps_what_is_known(before, after) -> None:
    vote = Vote(before)
    for time_s in times(10, 2):
        see(vote, MASK, time_s)
    vote.method = after
    assert vote.recall([7], 2.0).probs[0].argmax() == 0
    probs, _, _ = see(vote, WAVERING if after == "latest" else BARE, 2.0)
    assert probs.argmax() == 0


def test_no_face_gives_empty_verdicts() -> None:
    empty = Vote().update(
        np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros(0, np.float32), 0
    )
    for verdicts in (empty, Vote().recall([], 0.0)):
        assert isinstance(verdicts, Verdicts)
        assert verdicts.probs.shape == (0, 3)
        assert verdicts.evidence.shape == verdicts.ages_s.shape == (0,)


@pytest.mark.parametrize("time_s", [0.5, math.nan])
def test_time_going_back_is_refused(time_s) -> None:
    vote = Vote()
    see(vote, MASK, 1.0)
    with pytest.raises(ValueError, match="time must not go back"):
        see(vote, MASK, time_s)
    with pytest.raises(ValueError, match="time must not go back"):
        vote.recall([7], time_s)


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
        Vote(**arguments)
