"""One moment of a video, read back from the rows that were written of it."""

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
    """Return nobody at first, then one, two and three people, who are near."""
    names = [(7, Label.MASK), (9, Label.NO_MASK), (-1, Label.UNKNOWN)][: frame // 10]
    near = [make_people_pair(0, 1, 1.5, exceeds_limit=True)] if len(names) > 1 else []
    return make_people_scene(frame / HZ, names, person_pairs=near)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    with VideoCsvFile(path) as file:
        for frame in range(300):
            here = people(frame)
            here = replace(here, positions=POSITIONS[: len(here)])
            file.add("a, b.mp4", here)
        file.commit()
    return path


@pytest.mark.parametrize("frame", [0, 1, 9, 10, 11, 19, 20, 29, 30, 31, 150, 299])
def test_every_moment_is_found_again(rows, frame) -> None:
    wanted = people(frame)
    got = read_scene_at(rows, frame / HZ, 0.6)
    assert got is not None
    assert got.time_s == pytest.approx(frame / HZ)
    assert list(got.track_ids) == list(wanted.track_ids)
    assert got.labels == wanted.labels
    np.testing.assert_allclose(got.faces.boxes, wanted.faces.boxes)
    np.testing.assert_allclose(got.probs, wanted.probs, atol=1e-3)
    np.testing.assert_allclose(got.positions, POSITIONS[: len(wanted)])


def test_between_two_pictures_the_first_is_shown_and_after_the_end_the_last(
    rows,
) -> None:
    between = read_scene_at(rows, 100.7 / HZ, 0.6)
    after = read_scene_at(rows, 1e6, 0.6)
    assert between is not None
    assert after is not None
    assert between.time_s == pytest.approx(100 / HZ)
    assert after.time_s == pytest.approx(299 / HZ)
    assert read_scene_at(rows, -1, 0.6) is None


def test_who_is_near_whom_comes_back(rows) -> None:
    got = read_scene_at(rows, 200 / HZ, 0.6)
    assert got is not None
    (one,) = got.pairs
    assert (one.first, one.second, one.distance, one.unit) == (0, 1, 1.5, "m")
    assert one.in_contact
    assert one.exceeds_limit


def test_a_film_without_distances_has_no_positions(tmp_path) -> None:
    path = tmp_path / "rows.csv"
    with VideoCsvFile(path) as file:
        file.add("a.mp4", people(25))
        file.commit()
    got = read_scene_at(path, 1.0, 0.6)
    assert got is not None
    assert len(got) == 2
    assert got.positions.shape == (0, 2)


def test_a_film_without_a_picture_has_no_moment(tmp_path) -> None:
    path = tmp_path / "rows.csv"
    with VideoCsvFile(path) as file:
        file.commit()
    assert read_scene_at(path, 0.0, 0.6) is None
