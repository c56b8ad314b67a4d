from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.tracking_metrics import (
    TrackingFrame,
    combine_tracking_scores,
    evaluate_tracking,
)


def box(place: float) -> list[float]:
    return [place, 0, place + 10, 10]


def sighting(people: dict[int, float], tracks: dict[int, float]) -> TrackingFrame:
    """Return a frame from IDs and their positions on a line."""
    return TrackingFrame(
        np.array(list(people), np.int64),
        np.array([box(x) for x in people.values()], np.float32).reshape(-1, 4),
        np.array(list(tracks), np.int64),
        np.array([box(x) for x in tracks.values()], np.float32).reshape(-1, 4),
    )


def test_a_perfect_video() -> None:
    video = [sighting({1: 0, 2: 50}, {7: 0, 8: 50})] * 4
    score = evaluate_tracking(video)
    assert (score.mota, score.idf1, score.id_switches, score.motp) == (1, 1, 0, 1)
    assert (score.n_ground_truth, score.n_predicted, score.id_true_positives) == (
        8,
        8,
        8,
    )


def test_an_id_change_halfway_is_one_switch_and_half_of_the_frames() -> None:
    video = [sighting({1: 0}, {7: 0})] * 5 + [sighting({1: 0}, {8: 0})] * 5
    score = evaluate_tracking(video)
    assert score.id_switches == 1
    assert score.mota == pytest.approx(0.9)
    assert score.idf1 == pytest.approx(0.5)


def test_the_id_before_a_gap_is_remembered() -> None:
    seen, gone = sighting({1: 0}, {7: 0}), sighting({1: 0}, {})
    again, other = sighting({1: 0}, {7: 0}), sighting({1: 0}, {8: 0})
    assert evaluate_tracking([seen, gone, again]).id_switches == 0
    assert evaluate_tracking([seen, gone, other]).id_switches == 1


def test_a_track_after_a_gap_is_a_fragmentation() -> None:
    seen, gone = sighting({1: 0}, {7: 0}), sighting({1: 0}, {})
    absent = sighting({}, {})
    assert evaluate_tracking([gone, seen, seen, gone]).fragmentations == 0
    assert evaluate_tracking([seen, gone, gone, seen]).fragmentations == 1
    assert evaluate_tracking([seen, gone, absent, seen, gone, seen]).fragmentations == 2
    assert evaluate_tracking([seen, absent, seen]).fragmentations == 0
    other = sighting({1: 0}, {8: 0})
    assert evaluate_tracking([seen, other]).fragmentations == 0


def test_false_negatives_and_false_positives() -> None:
    video = [sighting({1: 0, 2: 50}, {7: 0, 9: 200})] * 2
    score = evaluate_tracking(video)
    assert (score.false_negatives, score.false_positives, score.id_switches) == (
        2,
        2,
        0,
    )
    assert score.mota == pytest.approx(0.0)
    assert (score.id_precision, score.id_recall) == (0.5, 0.5)


def test_swapped_ids_are_two_switches() -> None:
    video = [
        sighting({1: 0, 2: 50}, {7: 0, 8: 50}),
        sighting({1: 0, 2: 50}, {8: 0, 7: 50}),
    ]
    score = evaluate_tracking(video)
    assert score.id_switches == 2
    assert score.mota == pytest.approx(0.5)
    assert score.idf1 == pytest.approx(0.5)


def test_a_match_is_kept_although_another_has_a_higher_iou() -> None:
    video = [sighting({1: 0}, {7: 0}), sighting({1: 0}, {7: 3, 8: 0})]
    score = evaluate_tracking(video)
    assert (score.id_switches, score.false_positives) == (0, 1)
    assert score.motp == pytest.approx((1 + 7 / 13) / 2)


def test_a_low_iou_is_not_a_match() -> None:
    video = [sighting({1: 0}, {7: 5})]
    assert evaluate_tracking(video).false_negatives == 1
    assert evaluate_tracking(video, min_iou=0.3).false_negatives == 0


def test_an_empty_video_has_no_score() -> None:
    score = evaluate_tracking([])
    assert math.isnan(score.mota)
    assert math.isnan(score.idf1)
    assert math.isnan(score.motp)


def test_videos_are_combined_by_frame() -> None:
    right = evaluate_tracking([sighting({1: 0}, {7: 0})] * 3)
    wrong = evaluate_tracking([sighting({1: 0}, {})])
    total = combine_tracking_scores([right, wrong])
    assert total.mota == pytest.approx(0.75)
    assert total.idf1 == pytest.approx(2 * 3 / 7)
    assert total.motp == 1


@pytest.mark.parametrize(
    ("tracks", "message"), [([7, 7], "unique"), ([7], "one box each")]
)
def test_duplicate_ids_and_ids_without_a_box_are_rejected(tracks, message) -> None:
    boxes = np.array([box(0), box(50)], np.float32)
    nobody = np.zeros(0, np.int64), np.zeros((0, 4), np.float32)
    with pytest.raises(ValueError, match=message):
        TrackingFrame(*nobody, np.array(tracks, np.int64), boxes)
