"""The store of the scenes of a video."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskdet.types import Label, Scene
from maskdet.video import SceneStore
from tests.video.scenes import make_people_pair, make_people_scene

HZ = 25.0
POSITIONS = np.array([[-0.5, 2.0], [0.75, 3.25], [1.0, 4.0]])


def make_scene(frame: int) -> Scene:
    """Return no people at first, then one, two and three, who are in contact."""
    labels = [(7, Label.MASK), (9, Label.NO_MASK), (-1, Label.UNKNOWN)][: frame // 10]
    pairs = [make_people_pair(0, 1, 1.5, exceeds_limit=True)] if len(labels) > 1 else []
    pairs += [make_people_pair(0, 2, 4.0, in_contact=False)] if len(labels) > 2 else []
    scene = make_people_scene(
        frame / HZ,
        labels,
        unseen_s=[0.25 * row for row in range(len(labels))],
        person_pairs=pairs,
    )
    return replace(scene, positions=POSITIONS[: len(scene)])


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SceneStore:
    with SceneStore(tmp_path_factory.mktemp("store") / "scenes") as written:
        for frame in range(300):
            written.add(make_scene(frame))
    return written


@pytest.mark.parametrize("frame", [0, 1, 9, 10, 11, 19, 20, 29, 30, 31, 150, 299])
def test_every_scene_is_found_unchanged(store, frame) -> None:
    expected, scene = make_scene(frame), store.find(frame / HZ)
    assert scene is not None
    assert (scene.time_s, scene.min_confidence) == (frame / HZ, 0.6)
    for name in ("boxes", "scores", "probs", "track_ids", "unseen_s", "positions"):
        np.testing.assert_array_equal(getattr(scene, name), getattr(expected, name))
        assert getattr(scene, name).dtype == getattr(expected, name).dtype
    assert scene.labels == expected.labels


def test_the_last_frame_before_a_time_is_found(store) -> None:
    times_s = [100.7 / HZ, 1e6, 100 / HZ - 1e-9]
    assert [store.find(time_s).time_s for time_s in times_s] == [4.0, 299 / HZ, 4.0]
    assert store.find(-1) is None


def test_only_pairs_in_contact_are_stored(store) -> None:
    scene = store.find(200 / HZ)
    assert scene.pairs == make_scene(200).pairs[:1]


def test_a_video_without_distances_has_no_positions(tmp_path) -> None:
    with SceneStore(tmp_path / "scenes") as written:
        written.add(replace(make_scene(25), positions=np.zeros((0, 2))))
    scene = written.find(1.0)
    assert len(scene) == 2
    assert scene.positions.shape == (0, 2)


def test_a_video_without_frames_has_no_scene(tmp_path) -> None:
    with SceneStore(tmp_path / "scenes") as written:
        pass
    assert written.find(0.0) is None


def test_a_crowd_takes_less_than_100_bytes_a_person(tmp_path) -> None:
    path, labels = tmp_path / "scenes", [(number, Label.MASK) for number in range(30)]
    with SceneStore(path) as written:
        for frame in range(100):
            written.add(make_people_scene(frame / HZ, labels))
    assert path.stat().st_size < 100 * 30 * 100
