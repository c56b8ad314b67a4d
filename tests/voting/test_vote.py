"""Verdicts against numbers worked out by hand, and stories with known ends."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from maskdet.settings import VOTES
from maskdet.types import UNTRACKED
from maskdet.voting import Verdicts, Vote, window_of_beta

MASK = (0.95, 0.04, 0.01)
BARE = (0.04, 0.95, 0.01)
WAVERING = (0.40, 0.35, 0.25)

# At 5 pictures a second each is a whole new view, as an older system's frames are.
WHOLE_S = 0.2


def see(vote: Vote, probs, time_s: float, weight: float = 1.0, who: int = 7):
    """Show one face; return its probabilities, evidence and age."""
    verdicts = vote.update(
        np.array([who]),
        np.array([probs], np.float32),
        np.array([weight], np.float32),
        time_s,
    )
    return verdicts.probs[0], float(verdicts.evidence[0]), float(verdicts.ages_s[0])


def label(vote: Vote, probs, time_s: float) -> int:
    return int(see(vote, probs, time_s)[0].argmax())


def times(per_s: float, seconds: float, start_s: float = 0.0) -> list[float]:
    return [start_s + n / per_s for n in range(round(per_s * seconds))]


@pytest.mark.parametrize("method", VOTES)
def test_the_first_view_is_the_verdict_however_little_it_weighs(method) -> None:
    for weight in (1.0, 0.01):
        probs, evidence, age_s = see(Vote(method), MASK, 3.0, weight)
        assert probs == pytest.approx(MASK, abs=0.02 if method == "sure" else 1e-6)
        assert evidence == pytest.approx(weight)
        assert age_s == 0


# x = 0.9 * 0.95 is what system 000 adds up for Mask: face score times probability.
RAMP_WINDOW = [0.0855, 0.171, 0.2565, 0.342]
RAMP_EXPONENTIAL = [0.0855, 0.16245, 0.231705, 0.2940345]


@pytest.mark.parametrize(
    ("method", "window_s", "ramp", "weight_sums"),
    [
        ("window", 2.0, RAMP_WINDOW, [0.9 * n / 10 for n in range(1, 5)]),
        (
            "exponential",
            window_of_beta(0.9, 5),
            RAMP_EXPONENTIAL,
            [0.9 * (1 - 0.9**n) for n in range(1, 5)],
        ),
    ],
)
def test_the_ramps_of_system_000_divided_by_their_weights(
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
        # The four as measured on system 000 with N = 10 and beta = 0.9.
        ("none", 2.0, 1),
        ("cumulative", 2.0, 13),
        ("window", 10 * WHOLE_S, 6),
        ("exponential", window_of_beta(0.9, 5), 6),
        # Half the evidence is gone after 0.7 s: exp(-0.7) = 1 / 2.
        ("sure", 2.0, 4),
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
    vote = Vote("cumulative")
    see(vote, (0.9, 0.1, 0.0), 0.0, 0.5)
    probs, evidence, _ = see(vote, (0.3, 0.6, 0.1), 1.0, 1.0)
    assert probs == pytest.approx([0.5, 13 / 30, 1 / 15])
    assert evidence == pytest.approx(1.5)


def test_a_view_weighs_by_the_time_since_the_one_before() -> None:
    vote = Vote("cumulative")
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
    vote = Vote("exponential", 2.0)
    see(vote, (1.0, 0.0, 0.0), 0.0)
    probs, evidence, _ = see(vote, (0.0, 1.0, 0.0), 1.0)
    assert evidence == pytest.approx(1 + math.exp(-1))
    assert probs[0] == pytest.approx(math.exp(-1) / (1 + math.exp(-1)))


def test_beta_of_a_window_is_what_it_keeps_from_frame_to_frame() -> None:
    vote = Vote("exponential", window_of_beta(0.9, 30))
    see(vote, (1.0, 0.0, 0.0), 0.0)
    _, evidence, _ = see(vote, (0.0, 1.0, 0.0), 1 / 30)
    assert evidence == pytest.approx(0.9 + (1 / 30) / WHOLE_S)


def test_sure_pools_logarithms_and_grows_surer_with_agreement() -> None:
    vote = Vote("sure", 2.0)
    see(vote, (0.7, 0.2, 0.1), 0.0)
    probs, evidence, _ = see(vote, (0.7, 0.2, 0.1), 1.0)
    n = 1 + math.exp(-1)
    powers = np.array([0.7, 0.2, 0.1]) ** (n / (1 + (n - 1) / 2))
    assert evidence == pytest.approx(n)
    assert probs == pytest.approx(powers / powers.sum(), abs=1e-6)
    assert probs[0] > 0.74


def test_sure_never_takes_many_views_for_more_than_two_witnesses() -> None:
    vote = Vote("sure", 60.0)
    for time_s in times(30, 60):
        probs, _, _ = see(vote, (0.7, 0.2, 0.1), time_s)
    assert 0.85 < probs[0] < 0.49 / 0.54


@pytest.mark.parametrize("method", VOTES)
def test_no_row_of_ones_and_zeros_breaks_a_verdict(method) -> None:
    vote = Vote(method)
    for n, row in enumerate(np.eye(3)):
        probs, _, _ = see(vote, row, n * 0.1)
        assert np.isfinite(probs).all()
        assert probs.sum() == pytest.approx(1)


@pytest.mark.parametrize("per_s", [5, 10, 30])
@pytest.mark.parametrize("method", ["sure", "window", "exponential", "cumulative"])
def test_one_wrong_picture_in_ten_flips_nothing(method, per_s) -> None:
    vote = Vote(method)
    for n, time_s in enumerate(times(per_s, 4)):
        assert label(vote, BARE if n % 10 == 5 else MASK, time_s) == 0


@pytest.mark.parametrize("method", ["sure", "window", "exponential"])
def test_a_real_change_is_told_within_the_window(method) -> None:
    vote = Vote(method, 2.0)
    for time_s in times(15, 5):
        see(vote, MASK, time_s)
    told_s = next(t for t in times(15, 5, 5.0) if label(vote, BARE, t) == 1)
    assert told_s - 5.0 < 2.0


def verdicts_of(method: str, per_s: int) -> dict[float, np.ndarray]:
    """The verdicts on a film of 6 s, seen so many times a second, at tenths of it."""
    vote, found = Vote(method), {}
    for time_s in times(per_s, 6):
        turn = time_s % 3
        row = MASK if turn < 1.5 else WAVERING if turn < 2 else BARE
        probs, evidence, _ = see(vote, row, time_s, 0.8)
        if abs(time_s * 10 - round(time_s * 10)) < 1e-6:
            found[round(time_s, 1)] = np.append(probs, evidence)
    return found


@pytest.mark.parametrize("method", ["sure", "window", "exponential", "cumulative"])
def test_ten_and_thirty_pictures_a_second_give_the_same_verdicts(method) -> None:
    slow, fast = verdicts_of(method, 10), verdicts_of(method, 30)
    assert len(slow) == len(fast) == 60
    labels = {time_s: one[:3].argmax() for time_s, one in fast.items()}
    for time_s, one in slow.items():
        # Whoever looks ten times a second may be a tenth of a second off.
        near = [labels.get(round(time_s + late, 1)) for late in (-0.1, 0.0, 0.1)]
        assert one[:3].argmax() in near
        assert one[3] == pytest.approx(fast[time_s][3], rel=0.15)
    gaps = np.abs([slow[time_s][:3] - fast[time_s][:3] for time_s in slow])
    assert gaps.mean() < 0.03


@pytest.mark.parametrize("method", ["sure", "window", "exponential", "cumulative"])
def test_irregular_times_weigh_as_regular_ones(method) -> None:
    regular, irregular = Vote(method), Vote(method)
    for time_s in times(20, 4):
        probs, evidence, _ = see(regular, MASK if time_s < 3 else BARE, time_s)
    for time_s in times(20, 4):
        late = time_s + (0.04 if round(time_s * 20) % 2 else 0.0)
        other, much, _ = see(irregular, MASK if late < 3 else BARE, late)
    assert other == pytest.approx(probs, abs=0.03)
    assert much == pytest.approx(evidence, rel=0.1)


@pytest.mark.parametrize("method", VOTES)
def test_pictures_of_the_same_moment_add_nothing_but_in_none(method) -> None:
    vote = Vote(method)
    before, much, _ = see(vote, MASK, 1.0)
    after, still, _ = see(vote, BARE, 1.0)
    assert still == pytest.approx(much)
    assert after == pytest.approx(BARE if method == "none" else before, abs=1e-6)


@pytest.mark.parametrize("method", VOTES)
def test_whoever_comes_back_after_long_is_judged_by_what_is_seen_now(method) -> None:
    vote = Vote(method, 2.0)
    see(vote, MASK, 0.0)
    probs, _, age_s = see(vote, BARE, 1e6)
    assert age_s == 0
    assert np.isfinite(probs).all()
    if method != "cumulative":
        assert probs == pytest.approx(BARE, abs=0.02)


@pytest.mark.parametrize("method", VOTES)
def test_a_verdict_fades_to_unknown_while_nobody_sees_the_face(method) -> None:
    vote = Vote(method, memory_s=3.0)
    seen, _, _ = see(vote, MASK, 10.0)
    third = vote.recall([7], 11.5)
    assert third.ages_s[0] == pytest.approx(1.5)
    assert third.probs[0] == pytest.approx(0.75 * seen + 0.25 / 3, abs=1e-6)
    assert vote.recall([7], 12.0).probs[0].max() > 0.6
    assert vote.recall([7], 12.4).probs[0].max() < 0.6
    for time_s in (13.0, 20.0):
        gone = vote.recall([7], time_s)
        assert gone.probs[0] == pytest.approx([1 / 3] * 3)


def test_even_a_certain_verdict_is_unsure_well_before_it_is_forgotten() -> None:
    vote = Vote("none", memory_s=10.0)
    see(vote, (1.0, 0.0, 0.0), 0.0)
    assert vote.recall([7], 7.7).probs[0].max() > 0.6
    assert vote.recall([7], 7.8).probs[0].max() < 0.6


def test_recalling_counts_no_view() -> None:
    asked, quiet = Vote(), Vote()
    for vote in (asked, quiet):
        see(vote, MASK, 0.0, 0.7)
    for time_s in times(10, 1, 0.1):
        assert asked.recall([7], time_s).evidence[0] == pytest.approx(0.7)
    a, b = see(asked, BARE, 1.5), see(quiet, BARE, 1.5)
    assert a[0] == pytest.approx(b[0])
    assert a[1:] == b[1:]


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
    deaf = Vote("cumulative", class_effect=(1.0, 0.0, 1.0))
    see(deaf, MASK, 0.0)
    probs, evidence, age_s = see(deaf, (0.0, 1.0, 0.0), 0.001)
    assert probs == pytest.approx(MASK, abs=1e-6)
    assert age_s == pytest.approx(0.001)
    assert evidence == pytest.approx(0.96)
    half = Vote("cumulative", class_effect=(1.0, 0.5, 1.0))
    see(half, (1.0, 0.0, 0.0), 0.0)
    probs, evidence, _ = see(half, (0.0, 1.0, 0.0), 1.0)
    assert probs == pytest.approx([2 / 3, 1 / 3, 0])
    assert evidence == pytest.approx(1.5)


def test_people_do_not_hear_each_other_and_rows_keep_their_order() -> None:
    vote = Vote("cumulative")
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
    vote = Vote("cumulative")
    for time_s in times(5, 3):
        see(vote, MASK, time_s)
    vote.forget([7, 8])
    stranger = vote.recall([7], 3.0)
    assert stranger.probs[0] == pytest.approx([1 / 3] * 3)
    assert stranger.evidence[0] == 0
    assert see(vote, BARE, 3.2)[0] == pytest.approx(BARE)


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(VOTES, 2)))
def test_changing_the_method_keeps_what_is_known(before, after) -> None:
    vote = Vote(before)
    for time_s in times(10, 2):
        see(vote, MASK, time_s)
    vote.method = after
    assert vote.recall([7], 2.0).probs[0].argmax() == 0
    probs, _, _ = see(vote, WAVERING if after == "none" else BARE, 2.0)
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
        ({"method": "majority"}, "vote must be one of sure"),
        ({"window_s": 0}, "window_s must be above 0"),
        ({"memory_s": math.inf}, "memory_s must be above 0"),
        ({"class_effect": (1, 1, 2)}, "class_effect must be 3 numbers"),
        ({"class_effect": (1, 1)}, "class_effect must be 3 numbers"),
    ],
)
def test_a_bad_argument_is_refused_by_name(arguments, line) -> None:
    with pytest.raises(ValueError, match=line):
        Vote(**arguments)
