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
"""Track ID and x in metres of a person 4 m in front of the camera."""


def make_boxes(rows: Sequence[Row]) -> np.ndarray:
    height = FOCAL_PX * FACE_HEIGHT_M / AWAY_M
    middles = [320 + FOCAL_PX * x / AWAY_M for _, x in rows]
    return np.array(
        [[u - 5, 240 - height / 2, u + 5, 240 + height / 2] for u in middles],
        np.float32,
    ).reshape(-1, 4)


def play(
    script: Callable[[float], Sequence[Row]],
    times_s: Sequence[float],
    settings: Settings = LIMITS,
    contact_tracker: ContactTracker | None = None,
) -> list[tuple[PersonPair, ...]]:
    contact_tracker = ContactTracker() if contact_tracker is None else contact_tracker
    results = []
    for time_s in times_s:
        rows = script(time_s)
        ids = np.array([track_id for track_id, _ in rows], np.int64)
        results.append(
            contact_tracker.update(make_boxes(rows), ids, time_s, WH, settings)[0]
        )
    return results


def stand_apart(apart_m: float) -> Callable[[float], list[Row]]:
    return lambda _: [(7, 0.0), (3, apart_m)]


def make_times(step_s: float, until_s: float) -> list[float]:
    return [round(step * step_s, 6) for step in range(round(until_s / step_s) + 1)]


def test_a_long_contact_exceeds_the_limit() -> None:
    settings = Settings(**{**vars(LIMITS), "contact_duration_s": 2.0})
    results = play(stand_apart(1.0), make_times(0.1, 3.0), settings)
    first, last = results[0][0], results[-1][0]
    assert (first.first, first.second, first.unit) == (0, 1, "m")
    assert first.distance == pytest.approx(1.0, rel=0.02)
    assert (first.in_contact, first.contact_s, first.exceeds_limit) == (
        True,
        0.0,
        False,
    )
    assert (last.in_contact, last.exceeds_limit) == (True, True)
    assert last.contact_s == pytest.approx(3.0)
    assert not results[19][0].exceeds_limit
    assert results[20][0].exceeds_limit


def test_pairs_are_sorted_by_distance_and_distant_ones_dropped() -> None:
    (results,) = play(lambda _: [(1, 0.0), (2, 3.0), (3, 1.2), (4, -3.9)], [0.0])
    assert [(pair.first, pair.second) for pair in results] == [
        (0, 2),
        (1, 2),
        (0, 1),
        (0, 3),
    ]
    assert [pair.in_contact for pair in results] == [True, True, False, False]


def test_hysteresis_prevents_flicker_at_the_limit() -> None:
    def sway(time_s: float) -> list[Row]:
        return [(1, 0.0), (2, 1.9 + 0.3 * np.sin(2 * time_s))]

    results = play(sway, make_times(0.1, 10.0))
    assert all(pairs[0].in_contact for pairs in results)
    assert results[-1][0].contact_s == pytest.approx(10.0)


def test_hysteresis_does_not_start_a_contact() -> None:
    assert not play(stand_apart(2.15), make_times(0.1, 2.0))[-1][0].in_contact
    assert not play(stand_apart(2.15), make_times(0.1, 2.0))[-1][0].exceeds_limit


def test_a_contact_ends_when_a_person_walks_away() -> None:
    results = play(
        lambda t: [(1, 0.0), (2, 1.0 if t < 2 else 2.6)], make_times(0.1, 5.0)
    )
    assert results[19][0].in_contact
    assert not results[-1][0].in_contact
    assert results[-1][0].contact_s == 0


def test_a_short_gap_is_bridged_and_a_long_one_ends_the_contact() -> None:
    def interrupt(gap_s: float) -> Callable[[float], list[Row]]:
        return lambda t: [(1, 0.0), (2, 1.0)][: 1 if 2 < t < 2 + gap_s else 2]

    times = make_times(0.1, 5.0)
    assert play(interrupt(0.8), times)[-1][0].contact_s == pytest.approx(5.0)
    assert play(interrupt(1.5), times)[-1][0].contact_s == pytest.approx(1.5)


def test_a_low_frame_rate_does_not_end_a_contact() -> None:
    """Two seconds between frames do not end a contact without missed detections."""
    results = play(stand_apart(1.0), [0.0, 2.0, 4.0, 6.0])
    assert results[-1][0].contact_s == 6.0


@pytest.mark.parametrize("times_s", [make_times(1 / 30, 4.0), make_times(0.1, 4.0)])
def test_contact_time_does_not_depend_on_the_frame_rate(times_s: list[float]) -> None:
    rng = np.random.default_rng(1)
    irregular = sorted({0.0, 4.0, *rng.choice(times_s, len(times_s) // 2).tolist()})
    for times in (times_s, irregular):
        results = play(stand_apart(1.0), times)
        assert results[-1][0].contact_s == pytest.approx(4.0)


@pytest.mark.parametrize("step_s", [1 / 30, 0.1])
def test_smoothing_depends_on_seconds_not_on_frames(step_s: float) -> None:
    results = play(
        lambda t: [(1, 0.0), (2, 1.0 if t < 0.95 else 3.0)], make_times(step_s, 1.4)
    )
    # About one time constant of 0.4 s passes after 0.95 s (frame at 1.0 or 0.967).
    assert results[-1][0].distance == pytest.approx(3 - 2 * np.exp(-1.1), abs=0.12)


def test_noisy_boxes_give_smooth_distances() -> None:
    rng = np.random.default_rng(2)
    contact_tracker, raw, smooth = ContactTracker(), [], []
    for time_s in make_times(1 / 30, 6.0):
        boxes = make_boxes([(1, 0.0), (2, 1.5)]).astype(np.float64)
        boxes[:, [1, 3]] += rng.normal(0, 0.3, (2, 2))
        ids = np.array([1, 2])
        smooth.append(
            contact_tracker.update(boxes, ids, time_s, WH, LIMITS)[0][0].distance
        )
        (pair,), _ = ContactTracker().update(boxes, ids, time_s, WH, LIMITS)
        raw.append(pair.distance)
    assert np.std(smooth[30:]) < 0.4 * np.std(raw[30:])
    assert np.mean(smooth[30:]) == pytest.approx(1.5, rel=0.03)


def test_untracked_rows_have_distances_but_no_times() -> None:
    results = play(lambda _: [(UNTRACKED, 0.0), (UNTRACKED, 1.0)], make_times(0.5, 9.0))
    pair = results[-1][0]
    assert (pair.in_contact, pair.contact_s, pair.exceeds_limit) == (True, 0.0, False)
    assert pair.distance == pytest.approx(1.0, rel=0.02)


def test_untracked_rows_are_not_smoothed_into_each_other() -> None:
    results = play(
        lambda t: [(UNTRACKED, 0.0), (UNTRACKED, 1.0 if t == 0 else 3.0)], [0.0, 0.1]
    )
    assert results[1][0].distance == pytest.approx(3.0, rel=0.02)


def test_rows_may_change_order() -> None:
    results = play(
        lambda t: [(1, 0.0), (2, 1.0)] if round(10 * t) % 2 else [(2, 1.0), (1, 0.0)],
        make_times(0.1, 2.0),
    )
    assert results[-1][0].contact_s == pytest.approx(2.0)
    assert results[-1][0].distance == pytest.approx(1.0, rel=0.02)


def test_positions_are_those_of_the_rows() -> None:
    contact_tracker, boxes = ContactTracker(), make_boxes([(1, -1.0), (2, 2.0)])
    for time_s in (0.0, 0.1):
        _, positions = contact_tracker.update(
            boxes, np.array([1, UNTRACKED]), time_s, WH, LIMITS
        )
    assert positions == pytest.approx(
        np.array([[-1.0, AWAY_M], [2.0, AWAY_M]]), rel=0.02
    )


def test_another_limit_keeps_contacts_but_another_method_resets_them() -> None:
    contact_tracker = ContactTracker()
    play(stand_apart(1.0), make_times(0.1, 2.0), contact_tracker=contact_tracker)
    closer = Settings(**{**vars(LIMITS), "contact_distance_m": 1.5})
    assert play(stand_apart(1.0), [2.1], closer, contact_tracker)[0][
        0
    ].contact_s == pytest.approx(2.1)
    heads = Settings(distance="relative", contact_distance_m=2.0)
    assert play(stand_apart(1.0), [2.2], heads, contact_tracker)[0][0].contact_s == 0


def test_distance_off_gives_no_pairs() -> None:
    assert play(stand_apart(1.0), [0.0, 1.0], Settings()) == [(), ()]


def test_ground_plane_without_points_is_rejected() -> None:
    with pytest.raises(ValueError, match="four points"):
        play(stand_apart(1.0), [0.0], Settings(distance="ground_plane"))


def make_scene(labels: Sequence[Label], pairs: tuple[PersonPair, ...]) -> Scene:
    n = len(labels)
    probs = np.full((n, 3), 0.01, np.float32)
    for row, label in enumerate(labels):
        if label is Label.UNKNOWN:
            probs[row] = 1 / 3
        else:
            probs[row, label] = 0.98
    boxes = np.zeros((n, 4), np.float32)
    faces = Faces(boxes, np.linspace(0.9, 0.5, n).astype(np.float32))
    return Scene(faces, probs, min_confidence=0.6, pairs=pairs)


def pair(first: int, second: int, distance: float, **changed: bool) -> PersonPair:
    fields = {"in_contact": True, "exceeds_limit": False, **changed}
    return PersonPair(first, second, distance, "m", contact_s=1.0, **fields)


MASK, NO_MASK, INCORRECT, UNKNOWN = (
    Label.MASK,
    Label.NO_MASK,
    Label.INCORRECT,
    Label.UNKNOWN,
)


@pytest.mark.parametrize(
    ("labels", "pairs", "expected"),
    [
        ([MASK, MASK], (pair(0, 1, 0.5),), None),
        ([MASK, UNKNOWN], (pair(0, 1, 0.5),), None),
        ([MASK, NO_MASK], (pair(0, 1, 0.5, in_contact=False),), None),
        ([MASK, NO_MASK], (pair(0, 1, 0.5),), 0),
        ([MASK, MASK, NO_MASK], (pair(0, 1, 0.5), pair(1, 2, 1.5)), 1),
        ([MASK, NO_MASK, NO_MASK], (pair(0, 1, 0.5), pair(1, 2, 1.5)), 1),
        ([NO_MASK, MASK, INCORRECT], (pair(1, 2, 0.5), pair(0, 1, 1.5)), 1),
        ([MASK, NO_MASK, MASK], (pair(0, 1, 0.5), pair(1, 2, 0.4)), 1),
        (
            [MASK, NO_MASK, NO_MASK],
            (pair(1, 2, 0.5), pair(0, 1, 1.5, exceeds_limit=True)),
            1,
        ),
    ],
)
def test_find_highest_risk_pair(
    labels: list[Label], pairs: tuple[PersonPair, ...], expected: int | None
) -> None:
    highest = find_highest_risk_pair(make_scene(labels, pairs))
    assert highest == (None if expected is None else pairs[expected])
