from __future__ import annotations

import pytest

from maskdet.types import UNTRACKED, Label
from maskdet.video.summary import LABELS, Timeline
from tests.video.scenes import make_people_pair, make_people_scene

MASK, BARE, WRONG, UNSURE = LABELS


def test_people_are_counted_by_time_not_by_picture() -> None:
    timeline = Timeline()
    timeline.add(make_people_scene(0.0, [(1, MASK), (2, BARE)]), 0.75)
    timeline.add(make_people_scene(0.75, [(1, MASK)]), 0.25)
    timeline.add(make_people_scene(1.0, [(1, UNSURE)]), 1.0)
    first, second = timeline.get_bins()
    assert (first.start_s, first.length_s) == (0.0, 1.0)
    assert first.counts == pytest.approx({MASK: 1.0, BARE: 0.75, WRONG: 0, UNSURE: 0})
    assert first.mask_rate == pytest.approx(1 / 1.75)
    assert second.start_s == 1.0
    assert second.counts[UNSURE] == pytest.approx(1.0)
    assert second.mask_rate is None


def test_the_same_film_at_two_rates_gives_the_same() -> None:
    counted = []
    for rate in (10, 30):
        timeline = Timeline()
        for number in range(3 * rate):
            time_s = number / rate
            who = [(1, MASK)] if time_s < 1.5 else [(1, MASK), (2, WRONG)]
            timeline.add(make_people_scene(time_s, who), 1 / rate)
        counted.append([moment.counts for moment in timeline.get_bins()])
    for slow, quick in zip(*counted, strict=True):
        assert slow == pytest.approx(quick, abs=1e-6)
    assert counted[0][1][WRONG] == pytest.approx(0.5)


def test_faces_that_nobody_follows_are_not_people_yet() -> None:
    timeline = Timeline()
    timeline.add(make_people_scene(0.0, [(UNTRACKED, MASK)]), 1.0)
    assert timeline.get_bins()[0].counts[MASK] == 0


def test_nearness_is_the_most_at_once() -> None:
    who = [(1, MASK), (2, MASK), (3, BARE)]
    timeline = Timeline()
    close = [
        make_people_pair(0, 1, 0.5, exceeds_limit=True),
        make_people_pair(1, 2, 0.9),
        make_people_pair(0, 2, 3, is_near=False),
    ]
    timeline.add(make_people_scene(0.0, who, person_pairs=close), 0.1)
    timeline.add(make_people_scene(0.1, who), 0.1)
    moment = timeline.get_bins()[0]
    assert (moment.n_contacts, moment.n_over_limit) == (2, 1)


def test_long_films_get_longer_moments_not_more() -> None:
    timeline = Timeline(max_bins=8)
    for second in range(100):
        timeline.add(make_people_scene(float(second), [(1, MASK)] * (second % 2)), 1.0)
    moments = timeline.get_bins()
    assert len(moments) <= 8
    assert moments[0].length_s == 16.0
    assert sum(m.counts[MASK] * m.length_s for m in moments[:-1]) == pytest.approx(48)
    assert moments[0].counts[MASK] == pytest.approx(0.5)


def test_times_without_a_picture_are_left_out() -> None:
    timeline = Timeline()
    timeline.add(make_people_scene(0.0), 1.0)
    timeline.add(make_people_scene(7.5), 1.0)
    assert [moment.start_s for moment in timeline.get_bins()] == [0.0, 7.0]
    assert Timeline().get_bins() == ()
    assert Label.UNKNOWN in LABELS
