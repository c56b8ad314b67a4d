"""The tracker against plain IoU matching, on synthetic crowds with ground truth."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import tracking
from benchmarks.crowd_video import generate_crowd_video
from benchmarks.tracking import IouTracker, compare_trackers
from maskdet.tracking import Tracker
from maskdet.types import Faces


@pytest.mark.parametrize("rate_hz", [10, 30])
def test_the_tracker_beats_plain_iou_matching(rate_hz) -> None:
    candidates = {
        name: candidate
        for name, candidate in tracking._CANDIDATES.items()
        if name.startswith(("plain", "ours"))
    }
    results = compare_trackers(range(200, 203), rate_hz, candidates)
    scores = {name: result.score for name, result in results.items()}
    ours = scores["ours, faces"]
    for plain in (scores["plain IoU, faces"], scores["plain IoU 0.3, faces"]):
        assert ours.mota > plain.mota + 0.04
        assert ours.idf1 > plain.idf1 + 0.12
        assert ours.id_switches < plain.id_switches / 2
    heads = scores["ours, heads"]
    assert heads.idf1 > scores["ours, heads, no images"].idf1
    # Turned heads are in this ground truth; only coasting tracks cover them.
    assert (
        heads.false_negatives / heads.n_ground_truth
        < ours.false_negatives / ours.n_ground_truth
    )


def test_plain_matching_assigns_ids_by_iou() -> None:
    plain = IouTracker(memory_s=1.0)
    boxes = np.array([[0, 0, 10, 10], [50, 0, 60, 10]], np.float32)
    two = Faces(boxes, np.array([0.9, 0.8]))
    assert plain.update(two, 0)[0].tolist() == [1, 2]
    moved = Faces(
        boxes[::-1] + 3,
        np.array(
            [
                0.9,
                0.8,
            ]
        ),
    )
    assert plain.update(moved, 0.1)[0].tolist() == [2, 1]
    ids, tracked_boxes = plain.update(two, 2.0)
    assert ids.tolist() == [3, 4]
    assert tracked_boxes.tolist() == boxes.tolist()
    weak = Faces(boxes, np.array([0.9, 0.4]))
    assert len(plain.update(weak, 2.1)[0]) == 1


@pytest.mark.parametrize(
    ("baseline", "package"), [("ByteTrack", "trackers"), ("norfair", "norfair")]
)
def test_a_baseline_without_its_package_is_skipped_with_a_line(
    baseline, package, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(
        tracking.importlib.util,
        "find_spec",
        lambda name: None if name == package else 1,
    )
    names = tracking.list_candidates()
    assert not any(name.startswith(baseline) for name in names)
    assert len(names) == len(tracking._CANDIDATES) - 2
    assert "pip install" in capsys.readouterr().out


@pytest.mark.parametrize("baseline", tracking._PACKAGES)
def test_a_baseline_follows_two_people(baseline) -> None:
    pytest.importorskip(tracking._PACKAGES[baseline][0])
    video = list(generate_crowd_video(200, n_people=2, duration_s=5, frame_step=2))
    names = [name for name in tracking._CANDIDATES if name.startswith(baseline)]
    candidates = {name: tracking._CANDIDATES[name] for name in names}
    for candidate in candidates.values():
        frames = [*tracking.track_crowd(video, [None] * len(video), candidate, 15, [])]
        assert len(frames) == len(video)
        score = tracking.evaluate_tracking(frames)
        assert score.idf1 > 0.5


def test_every_face_has_a_row_in_the_given_order() -> None:
    tracker, removed, alive = Tracker(), set(), set()
    for frame in generate_crowd_video(1, frame_step=3):
        tracks = tracker.update(frame.detections, frame.time_s)
        n = len(frame.detections)
        assert tracks.ids.shape == tracks.is_visible.shape == (n,)
        assert tracks.is_visible[frame.detections.scores >= 0.5].all()
        assert tracks.is_visible[tracks.ids > 0].all()
        k = len(tracks.coasting_ids)
        assert tracks.coasting_boxes.shape == (k, 4)
        assert (
            tracks.coasting_boxes.dtype == tracks.coasting_unseen_s.dtype == np.float32
        )
        assert (tracks.coasting_unseen_s > 0).all()
        ids = [*tracks.ids[tracks.ids > 0].tolist(), *tracks.coasting_ids.tolist()]
        assert len(set(ids)) == len(ids)
        assert not removed & set(ids)
        assert set(tracks.removed_ids) <= alive
        alive |= set(ids)
        removed |= set(tracks.removed_ids)
    assert removed
