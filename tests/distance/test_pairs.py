from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from maskdet.distance import FACE_HEIGHT_M, ContactTracker, find_highest_risk_pair
from maskdet.settings import Settings
from maskdet.types import UNTRACKED, Faces, Label, PersonPair, Scene

WH = (640, 480)
FOCAL_PX = 320.0
LIMITS = Settings(distance="pinhole", field_of_view_deg=90.0, contact_distance_m=2.0)
AWAY_M = 4.0

Row = tuple[int, float]
"""Track id and how far right somebody stands, in metres, 4 m before the camera."""


def boxes_of(rows: Sequence[Row]) -> np.ndarray:
    height = FOCAL_PX * FACE_HEIGHT_M / AWAY_M
    middles = [320 + FOCAL_PX * x / AWAY_M for _, x in rows]
    return np.array(
        [[u - 5, 240 - height / 2, u + 5, 240 + height / 2] for u in middles],
        np.float32,
    ).reshape(-1, 4)


def play(
    story: Callable[[float], Sequence[Row]],
    times_s: Sequence[float],
    settings: Settings = LIMITS,
    proximity: ContactTracker | None = None,
) -> list[tuple[PersonPair, ...]]:
    proximity = ContactTracker() if proximity is None else proximity
    shown = []
    for time_s in times_s:
        rows = story(time_s)
        ids = np.array([one for one, _ in rows], np.int64)
        shown.append(proximity.update(boxes_of(rows), ids, time_s, WH, settings))
    return shown


def still(apart_m: float) -> Callable[[float], list[Row]]:
    return lambda _: [(7, 0.0), (3, apart_m)]


def every(step_s: float, until_s: float) -> list[float]:
    return [round(step * step_s, 6) for step in range(round(until_s / step_s) + 1)]


def test_near_for_longer_than_allowed_is_too_long() -> None:
    settings = Settings(**{**vars(LIMITS), "contact_duration_s": 2.0})
    shown = play(still(1.0), every(0.1, 3.0), settings)
    first, last = shown[0][0], shown[-1][0]
    assert (first.first, first.second, first.unit) == (0, 1, "m")
    assert first.distance == pytest.approx(1.0, rel=0.02)
    assert (first.in_contact, first.contact_s, first.exceeds_limit) == (
        True,
        0.0,
        False,
    )
    assert (last.in_contact, last.exceeds_limit) == (True, True)
    assert last.contact_s == pytest.approx(3.0)
    assert not shown[19][0].exceeds_limit
    assert shown[20][0].exceeds_limit


def test_pairs_come_nearest_first_and_not_from_far_away() -> None:
    (shown,) = play(lambda _: [(1, 0.0), (2, 3.0), (3, 1.2), (4, -3.9)], [0.0])
    assert [(pair.first, pair.second) for pair in shown] == [
        (0, 2),
        (1, 2),
        (0, 1),
        (0, 3),
    ]
    assert [pair.in_contact for pair in shown] == [True, True, False, False]


def test_at_the_limit_nothing_flickers() -> None:
    def swaying(time_s: float) -> list[Row]:
        return [(1, 0.0), (2, 1.9 + 0.3 * np.sin(2 * time_s))]

    shown = play(swaying, every(0.1, 10.0))
    near = [pairs[0].in_contact for pairs in shown]
    assert all(near)
    assert shown[-1][0].contact_s == pytest.approx(10.0)


def test_further_than_the_limit_is_not_near_before_they_met() -> None:
    assert not play(still(2.15), every(0.1, 2.0))[-1][0].in_contact
    assert not play(still(2.15), every(0.1, 2.0))[-1][0].exceeds_limit


def test_who_walks_away_is_no_longer_near() -> None:
    shown = play(lambda t: [(1, 0.0), (2, 1.0 if t < 2 else 2.6)], every(0.1, 5.0))
    assert shown[19][0].in_contact
    assert not shown[-1][0].in_contact
    assert shown[-1][0].contact_s == 0


def test_a_short_miss_is_bridged_and_a_long_one_parts() -> None:
    def missing(gap_s: float) -> Callable[[float], list[Row]]:
        return lambda t: [(1, 0.0), (2, 1.0)][: 1 if 2 < t < 2 + gap_s else 2]

    times = every(0.1, 5.0)
    assert play(missing(0.8), times)[-1][0].contact_s == pytest.approx(5.0)
    assert play(missing(1.5), times)[-1][0].contact_s == pytest.approx(1.5)


def test_few_pictures_are_no_break() -> None:
    """Two seconds between images, and nobody missed in one of them."""
    shown = play(still(1.0), [0.0, 2.0, 4.0, 6.0])
    assert shown[-1][0].contact_s == 6.0


@pytest.mark.parametrize("times_s", [every(1 / 30, 4.0), every(0.1, 4.0)])
def test_irregular_times_and_any_rate_count_the_same(times_s: list[float]) -> None:
    rng = np.random.default_rng(1)
    shaken = sorted({0.0, 4.0, *rng.choice(times_s, len(times_s) // 2).tolist()})
    for times in (times_s, shaken):
        proximity = ContactTracker()
        shown = play(still(1.0), times, proximity=proximity)
        assert shown[-1][0].contact_s == pytest.approx(4.0)
        assert proximity.contact_s[3] == pytest.approx(4.0)


@pytest.mark.parametrize("step_s", [1 / 30, 0.1])
def test_a_jump_is_followed_in_seconds_not_in_pictures(step_s: float) -> None:
    shown = play(
        lambda t: [(1, 0.0), (2, 1.0 if t < 0.95 else 3.0)], every(step_s, 1.4)
    )
    # From 0.95 s (image at 1.0 or 0.967) on, one time constant of 0.4 s passed.
    assert shown[-1][0].distance == pytest.approx(3 - 2 * np.exp(-1.1), abs=0.12)


def test_shaking_boxes_give_steady_metres() -> None:
    rng = np.random.default_rng(2)
    proximity, raw, smooth = ContactTracker(), [], []
    for time_s in every(1 / 30, 6.0):
        boxes = boxes_of([(1, 0.0), (2, 1.5)]).astype(np.float64)
        boxes[:, [1, 3]] += rng.normal(0, 0.3, (2, 2))
        ids = np.array([1, 2])
        smooth.append(proximity.update(boxes, ids, time_s, WH, LIMITS)[0].distance)
        raw.append(ContactTracker().update(boxes, ids, time_s, WH, LIMITS)[0].distance)
    assert np.std(smooth[30:]) < 0.4 * np.std(raw[30:])
    assert np.mean(smooth[30:]) == pytest.approx(1.5, rel=0.03)


def test_untracked_rows_have_distances_and_no_times() -> None:
    shown = play(lambda _: [(UNTRACKED, 0.0), (UNTRACKED, 1.0)], every(0.5, 9.0))
    pair = shown[-1][0]
    assert (pair.in_contact, pair.contact_s, pair.exceeds_limit) == (True, 0.0, False)
    assert pair.distance == pytest.approx(1.0, rel=0.02)


def test_untracked_rows_are_not_smoothed_into_each_other() -> None:
    shown = play(
        lambda t: [(UNTRACKED, 0.0), (UNTRACKED, 1.0 if t == 0 else 3.0)], [0.0, 0.1]
    )
    assert shown[1][0].distance == pytest.approx(3.0, rel=0.02)


def test_rows_may_change_places_people_do_not() -> None:
    shown = play(
        lambda t: [(1, 0.0), (2, 1.0)] if round(10 * t) % 2 else [(2, 1.0), (1, 0.0)],
        every(0.1, 2.0),
    )
    assert shown[-1][0].contact_s == pytest.approx(2.0)
    assert shown[-1][0].distance == pytest.approx(1.0, rel=0.02)


def test_positions_are_those_of_the_rows() -> None:
    proximity = ContactTracker()
    play(lambda _: [(1, -1.0), (UNTRACKED, 2.0)], [0.0, 0.1], proximity=proximity)
    assert proximity.positions == pytest.approx(
        np.array([[-1.0, AWAY_M], [2.0, AWAY_M]]), rel=0.02
    )


def test_a_moved_limit_keeps_the_meeting_another_way_of_measuring_does_not() -> None:
    proximity = ContactTracker()
    play(still(1.0), every(0.1, 2.0), proximity=proximity)
    closer = Settings(**{**vars(LIMITS), "contact_distance_m": 1.5})
    assert play(still(1.0), [2.1], closer, proximity)[0][0].contact_s == pytest.approx(
        2.1
    )
    heads = Settings(distance="relative", contact_distance_m=2.0)
    assert play(still(1.0), [2.2], heads, proximity)[0][0].contact_s == 0
    assert proximity.contact_s[3] == pytest.approx(2.1)


def test_off_measures_nothing() -> None:
    proximity = ContactTracker()
    assert play(still(1.0), [0.0, 1.0], Settings(), proximity) == [(), ()]
    assert proximity.contacts == ()


@pytest.mark.parametrize("time_s", [0.5, float("nan")])
def test_time_never_goes_back(time_s: float) -> None:
    with pytest.raises(ValueError, match="must not decrease"):
        play(still(1.0), [1.0, time_s])


def test_a_floor_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="four points"):
        play(still(1.0), [0.0], Settings(distance="ground_plane"))


def scene_of(labels: Sequence[Label], near: tuple[PersonPair, ...]) -> Scene:
    n = len(labels)
    probs = np.full((n, 3), 0.01, np.float32)
    for row, label in enumerate(labels):
        if label is Label.UNKNOWN:
            probs[row] = 1 / 3
        else:
            probs[row, label] = 0.98
    boxes = np.zeros((n, 4), np.float32)
    faces = Faces(boxes, np.linspace(0.9, 0.5, n).astype(np.float32))
    return Scene(faces, probs, min_confidence=0.6, pairs=near)


def pair(first: int, second: int, distance: float, **changed: bool) -> PersonPair:
    known = {"in_contact": True, "exceeds_limit": False, **changed}
    return PersonPair(first, second, distance, "m", contact_s=1.0, **known)


MASK, BARE, WRONG, UNSURE = Label.MASK, Label.NO_MASK, Label.INCORRECT, Label.UNKNOWN


@pytest.mark.parametrize(
    ("labels", "near", "wanted"),
    [
        ([MASK, MASK], (pair(0, 1, 0.5),), None),
        ([MASK, UNSURE], (pair(0, 1, 0.5),), None),
        ([MASK, BARE], (pair(0, 1, 0.5, in_contact=False),), None),
        ([MASK, BARE], (pair(0, 1, 0.5),), 0),
        ([MASK, MASK, BARE], (pair(0, 1, 0.5), pair(1, 2, 1.5)), 1),
        ([MASK, BARE, BARE], (pair(0, 1, 0.5), pair(1, 2, 1.5)), 1),
        ([BARE, MASK, WRONG], (pair(1, 2, 0.5), pair(0, 1, 1.5)), 1),
        ([MASK, BARE, MASK], (pair(0, 1, 0.5), pair(1, 2, 0.4)), 1),
        ([MASK, BARE, BARE], (pair(1, 2, 0.5), pair(0, 1, 1.5, exceeds_limit=True)), 1),
    ],
)
def test_the_pair_that_matters_most(
    labels: list[Label], near: tuple[PersonPair, ...], wanted: int | None
) -> None:
    found = find_highest_risk_pair(scene_of(labels, near))
    assert found == (None if wanted is None else near[wanted])
