"""Stories told to a vote: changes, mistakes, frame rates, gaps, turned backs."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.settings import SMOOTHING_METHODS
from maskdet.smoothing import LabelSmoother
from tests.smoothing.updates import (
    MASK,
    NO_MASK,
    UNCERTAIN,
    frame_times_at_rate,
    update_label,
    update_vote,
)


@pytest.mark.parametrize("per_s", [5, 10, 30])
@pytest.mark.parametrize("method", ["log_pool", "window", "ema", "mean"])
def test_one_wrong_picture_in_ten_flips_nothing(method, per_s) -> None:
    vote = LabelSmoother(method)
    for n, time_s in enumerate(frame_times_at_rate(per_s, 4)):
        assert update_label(vote, NO_MASK if n % 10 == 5 else MASK, time_s) == 0


@pytest.mark.parametrize("method", ["log_pool", "window", "ema"])
def test_a_real_change_is_told_within_the_window(method) -> None:
    vote = LabelSmoother(method, 2.0)
    for time_s in frame_times_at_rate(15, 5):
        update_vote(vote, MASK, time_s)
    told_s = next(
        t
        for t in frame_times_at_rate(15, 5, 5.0)
        if update_label(vote, NO_MASK, t) == 1
    )
    assert told_s - 5.0 < 2.0


def verdicts_of(method: str, per_s: int) -> dict[float, np.ndarray]:
    """The verdicts on a video of 6 s, seen so many times a second, at tenths of it."""
    vote, found = LabelSmoother(method), {}
    for time_s in frame_times_at_rate(per_s, 6):
        turn = time_s % 3
        row = MASK if turn < 1.5 else UNCERTAIN if turn < 2 else NO_MASK
        probs, evidence, _ = update_vote(vote, row, time_s, 0.8)
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
    regular, irregular = LabelSmoother(method), LabelSmoother(method)
    for time_s in frame_times_at_rate(20, 4):
        probs, evidence, _ = update_vote(
            regular, MASK if time_s < 3 else NO_MASK, time_s
        )
    for time_s in frame_times_at_rate(20, 4):
        late = time_s + (0.04 if round(time_s * 20) % 2 else 0.0)
        other, much, _ = update_vote(irregular, MASK if late < 3 else NO_MASK, late)
    assert other == pytest.approx(probs, abs=0.03)
    assert much == pytest.approx(evidence, rel=0.1)


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_pictures_of_the_same_moment_add_nothing_but_in_none(method) -> None:
    vote = LabelSmoother(method)
    before, much, _ = update_vote(vote, MASK, 1.0)
    after, still, _ = update_vote(vote, NO_MASK, 1.0)
    assert still == pytest.approx(much)
    assert after == pytest.approx(NO_MASK if method == "latest" else before, abs=1e-6)


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_whoever_comes_back_after_long_is_judged_by_what_is_seen_now(method) -> None:
    vote = LabelSmoother(method, 2.0)
    update_vote(vote, MASK, 0.0)
    probs, _, age_s = update_vote(vote, NO_MASK, 1e6)
    assert age_s == 0
    assert np.isfinite(probs).all()
    if method != "mean":
        assert probs == pytest.approx(NO_MASK, abs=0.02)


@pytest.mark.parametrize("method", SMOOTHING_METHODS)
def test_a_verdict_fades_to_unknown_while_nobody_sees_the_face(method) -> None:
    vote = LabelSmoother(method, memory_s=3.0)
    seen, _, _ = update_vote(vote, MASK, 10.0)
    third = vote.predict_unseen([7], 11.5)
    assert third.ages_s[0] == pytest.approx(1.5)
    assert third.probs[0] == pytest.approx(0.75 * seen + 0.25 / 3, abs=1e-6)
    assert vote.predict_unseen([7], 12.0).probs[0].max() > 0.6
    assert vote.predict_unseen([7], 12.4).probs[0].max() < 0.6
    for time_s in (13.0, 20.0):
        gone = vote.predict_unseen([7], time_s)
        assert gone.probs[0] == pytest.approx([1 / 3] * 3)


def test_even_a_certain_verdict_is_unsure_well_before_it_is_forgotten() -> None:
    vote = LabelSmoother("latest", memory_s=10.0)
    update_vote(vote, (1.0, 0.0, 0.0), 0.0)
    assert vote.predict_unseen([7], 7.7).probs[0].max() > 0.6
    assert vote.predict_unseen([7], 7.8).probs[0].max() < 0.6


def test_recalling_counts_no_view() -> None:
    asked, quiet = LabelSmoother(), LabelSmoother()
    for vote in (asked, quiet):
        update_vote(vote, MASK, 0.0, 0.7)
    for time_s in frame_times_at_rate(10, 1, 0.1):
        assert asked.predict_unseen([7], time_s).n_effective_views[0] == pytest.approx(
            0.7
        )
    a, b = update_vote(asked, NO_MASK, 1.5), update_vote(quiet, NO_MASK, 1.5)
    assert a[0] == pytest.approx(b[0])
    assert a[1:] == b[1:]
