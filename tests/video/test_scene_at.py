"""Reading the scene of one frame back from the video CSV."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskdet.types import Label, Scene
from maskdet.video import VideoCsvFile, read_scene_at
from tests.video.scenes import make_people_pair, make_people_scene

HZ = 25.0
POSITIONS = np.array([[-0.5, 2.0], [0.75, 3.25], [1.0, 4.0]])


def people(frame: int) -> Scene:
    """Return no people at first, then one, two and three, who are in contact."""
    labels = [(7, Label.MASK), (9, Label.NO_MASK), (-1, Label.UNKNOWN)][: frame // 10]
    pairs = [make_people_pair(0, 1, 1.5, exceeds_limit=True)] if len(labels) > 1 else []
    return make_people_scene(frame / HZ, labels, person_pairs=pairs)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    with VideoCsvFile(path) as file:
        for frame in range(300):
            scene = people(frame)
            scene = replace(scene, positions=POSITIONS[: len(scene)])
            file.add("a, b.mp4", scene)
        file.commit()
    return path


@pytest.mark.parametrize("frame", [0, 1, 9, 10, 11, 19, 20, 29, 30, 31, 150, 299])
def test_every_scene_can_be_read_back(rows, frame) -> None:
    expected = people(frame)
    scene = read_scene_at(rows, frame / HZ, 0.6)
    assert scene is not None
    assert scene.time_s == pytest.approx(frame / HZ)
    assert list(scene.track_ids) == list(expected.track_ids)
    assert scene.labels == expected.labels
    np.testing.assert_allclose(scene.faces.boxes, expected.faces.boxes)
    np.testing.assert_allclose(scene.probs, expected.probs, atol=1e-3)
    np.testing.assert_allclose(scene.positions, POSITIONS[: len(expected)])


def test_the_last_frame_before_a_time_is_read(
    rows,
) -> None:
    between = read_scene_at(rows, 100.7 / HZ, 0.6)
    after = read_scene_at(rows, 1e6, 0.6)
    assert between is not None
    assert after is not None
    assert between.time_s == pytest.approx(100 / HZ)
    assert after.time_s == pytest.approx(299 / HZ)
    assert read_scene_at(rows, -1, 0.6) is None


def test_pairs_are_read_back(rows) -> None:
    scene = read_scene_at(rows, 200 / HZ, 0.6)
    assert scene is not None
    (pair,) = scene.pairs
    assert (pair.first, pair.second, pair.distance, pair.unit) == (0, 1, 1.5, "m")
    assert pair.in_contact
    assert pair.exceeds_limit


def test_a_video_without_distances_has_no_positions(tmp_path) -> None:
    path = tmp_path / "rows.csv"
    with VideoCsvFile(path) as file:
        file.add("a.mp4", people(25))
        file.commit()
    scene = read_scene_at(path, 1.0, 0.6)
    assert scene is not None
    assert len(scene) == 2
    assert scene.positions.shape == (0, 2)


def test_a_video_without_frames_has_no_scene(tmp_path) -> None:
    path = tmp_path / "rows.csv"
    with VideoCsvFile(path) as file:
        file.commit()
    assert read_scene_at(path, 0.0, 0.6) is None
