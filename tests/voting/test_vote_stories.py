"""Stories told to a vote: changes, mistakes, frame rates, gaps, turned backs."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.settings import SMOOTHINGS
from maskdet.voting import Vote
from tests.voting.seeing import BARE, MASK, WAVERING, label, see, times


@pytest.mark.parametrize("per_s", [5, 10, 30])
@pytest.mark.parametrize("method", ["log_pool", "window", "ema", "mean"])
def test_one_wrong_picture_in_ten_flips_nothing(method, per_s) -> None:
    vote = Vote(method)
    for n, time_s in enumerate(times(per_s, 4)):
        assert label(vote, BARE if n % 10 == 5 else MASK, time_s) == 0


@pytest.mark.parametrize("method", ["log_pool", "window", "ema"])
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


@pytest.mark.parametrize("method", ["log_pool", "window", "ema", "mean"])
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


@pytest.mark.parametrize("method", ["log_pool", "window", "ema", "mean"])
def test_irregular_times_weigh_as_regular_ones(method) -> None:
    regular, irregular = Vote(method), Vote(method)
    for time_s in times(20, 4):
        probs, evidence, _ = see(regular, MASK if time_s < 3 else BARE, time_s)
    for time_s in times(20, 4):
        late = time_s + (0.04 if round(time_s * 20) % 2 else 0.0)
        other, much, _ = see(irregular, MASK if late < 3 else BARE, late)
    assert other == pytest.approx(probs, abs=0.03)
    assert much == pytest.approx(evidence, rel=0.1)


@pytest.mark.parametrize("method", SMOOTHINGS)
def test_pictures_of_the_same_moment_add_nothing_but_in_none(method) -> None:
    vote = Vote(method)
    before, much, _ = see(vote, MASK, 1.0)
    after, still, _ = see(vote, BARE, 1.0)
    assert still == pytest.approx(much)
    assert after == pytest.approx(BARE if method == "latest" else before, abs=1e-6)


@pytest.mark.parametrize("method", SMOOTHINGS)
def test_whoever_comes_back_after_long_is_judged_by_what_is_seen_now(method) -> None:
    vote = Vote(method, 2.0)
    see(vote, MASK, 0.0)
    probs, _, age_s = see(vote, BARE, 1e6)
    assert age_s == 0
    assert np.isfinite(probs).all()
    if method != "mean":
        assert probs == pytest.approx(BARE, abs=0.02)


@pytest.mark.parametrize("method", SMOOTHINGS)
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
    vote = Vote("latest", memory_s=10.0)
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
