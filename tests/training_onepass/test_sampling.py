"""Which faces are shown how often, and scenes that come back from their file."""

from __future__ import annotations

import dataclasses
import logging

import cv2
import numpy as np
import pytest

from maskdet.datasets import Example
from maskdet.training.onepass.drawing import draw_places
from maskdet.training.onepass.sampling import CLASS_SHARES, Sampler, face_chances
from maskdet.training.onepass.scenes import (
    LONGEST_PX,
    Scenes,
    load_places,
    read_places,
    read_scenes,
    save_scenes,
)
from maskdet.types import CLASSES, Faces, Label
from tests.training_onepass.fakes import place


@pytest.fixture
def scenes():
    crowd = place([[10, 10, 34, 34], [40, 10, 64, 34], [80, 10, 104, 34]], [0, 0, 1])
    wrong = place([[60, 40, 100, 90]], [2])
    other = dataclasses.replace(place([[5, 5, 29, 29]], [0]), source="other")
    unknown = place([[20, 20, 60, 60]], [-1])
    return Scenes.of([crowd, wrong, other, unknown, place([])])


def test_classes_get_their_share_and_a_source_the_root_of_its_faces(scenes):
    chances = face_chances(scenes)
    assert chances.sum() == pytest.approx(1)
    for label in CLASSES:
        share = chances[scenes.labels == label].sum()
        assert share == pytest.approx(CLASS_SHARES[label])
    assert chances[0] == chances[1]
    # two masks are of `town`, one of `other`: the roots are 1.414 to 1
    assert (chances[0] + chances[1]) / chances[4] == pytest.approx(np.sqrt(2))
    assert chances[5] == 0


def test_large_faces_are_shown_more_often():
    chances = face_chances(Scenes.of([place([[0, 0, 24, 24], [30, 0, 78, 48]])]))
    assert chances[1] / chances[0] == pytest.approx(2)


def test_faces_that_an_detection_teacher_hardly_sees_are_shown_more_often():
    one = place([[0, 0, 24, 24], [30, 0, 54, 24]])
    one = dataclasses.replace(one, seen=np.float32([1.0, 0.5]))
    chances = face_chances(Scenes.of([one]))
    assert chances[1] / chances[0] == pytest.approx(1 + 5 * 0.25)


def test_no_known_face_is_refused():
    with pytest.raises(ValueError, match="no picture to train on holds a face"):
        face_chances(Scenes.of([place([[0, 0, 24, 24]], [-1])]))


def test_batches_are_the_same_for_the_same_seed_epoch_and_step(scenes):
    sampler = Sampler(scenes, 3, 1)
    first, again = sampler.batch(2, 5), sampler.batch(2, 5)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.truth, again.truth)
    assert not np.array_equal(sampler.batch(2, 6).images[0, 0], first.images[0, 0])
    side = first.images.shape[1]
    assert first.images.shape[1:] == (side, side, 3)
    assert first.images.dtype == np.uint8
    assert first.truth.shape[2] == 10
    assert first.truth[..., :4].max() <= side


def test_an_epoch_yields_all_its_steps_in_order(scenes):
    sampler = Sampler(scenes, 1, 1)
    for steps in (2, 6):
        batches = list(sampler.epoch(0, steps))
        assert len(batches) == steps
        wanted = sampler.batch(0, steps - 1)
        np.testing.assert_array_equal(batches[-1].images, wanted.images)


def test_mosaics_put_every_truth_into_its_own_tile(scenes, monkeypatch):
    monkeypatch.setattr("maskdet.training.onepass.sampling.GRIDS", {2: 1.0})
    monkeypatch.setattr("maskdet.training.onepass.sampling.EMPTY_SHARE", 0.0)
    truth = Sampler(scenes, 4, 3).batch(0, 0)
    half = truth.images.shape[1] // 2
    rows = truth.truth[truth.truth[..., 4] != 0]
    tiles = {tuple(tile) for tile in (rows[:, :2] // half).astype(int).tolist()}
    assert tiles == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert ((rows[:, 2:4] - 1e-3) // half == rows[:, :2] // half).all()


def test_scenes_come_back_from_their_file_only_if_made_of_the_same(scenes, tmp_path):
    path = tmp_path / "scenes.npz"
    assert read_scenes(path, "a") is None
    save_scenes(scenes, path, "a")
    assert read_scenes(path, "b") is None
    back = read_scenes(path, "a")
    assert len(back) == 5
    for index, one in enumerate(load_places(path)):
        wanted = scenes.place(index)
        for other in (one, back.place(index)):
            for name in ("image", "boxes", "labels", "taught"):
                kept = getattr(other, name)
                np.testing.assert_array_equal(kept, getattr(wanted, name))
            assert other.source == wanted.source
            assert other.seen.tolist() == [1] * len(wanted.boxes)


class Sure:
    """A classifier that sees a mask everywhere, and remembers what it was asked."""

    asked: int = 0

    def predict(self, image, boxes):
        self.asked += len(boxes)
        return np.tile(np.float32([0.8, 0.1, 0.1]), (len(boxes), 1))


def test_pictures_are_read_shrunk_and_taught(tmp_path, caplog):
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.full((300, 1280, 3), 90, np.uint8))
    boxes = np.float32([[100, 100, 200, 200], [300, 100, 310, 110]])
    labels = (Label.NO_MASK, Label.MASK)
    ignored = np.float32([[400, 10, 480, 90]])
    large = Example(path, boxes, labels, "town", ignored=ignored)
    whole = Example(path, np.zeros((0, 4), np.float32), (Label.MASK,))
    teacher = Sure()
    with caplog.at_level(logging.WARNING):
        (found,) = read_places([whole, large], teacher=teacher)
    assert "left out 1 pictures without boxes" in caplog.text
    assert found.image.shape == (150, LONGEST_PX, 3)
    assert found.boxes[0].tolist() == [50, 50, 100, 100]
    assert found.labels.tolist() == [1, 0, -1]
    assert teacher.asked == 1  # neither the tiny face nor the one of unknown class
    np.testing.assert_allclose(found.taught[0], [0.8, 0.1, 0.1])
    assert np.isnan(found.taught[1:]).all()
    with pytest.raises(ValueError, match="maskdet label"):
        read_places([whole])


class Finder:
    """Finds the faces that it was told of, with the points of an upright face."""

    def __init__(self, boxes):
        self.boxes = np.float32(boxes).reshape(-1, 4)

    def landmarks(self, image):
        shares = np.float32(
            [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]
        )
        corners, sides = (
            self.boxes[:, None, :2],
            np.ptp(self.boxes.reshape(-1, 2, 2), axis=1),
        )
        points = corners + shares * sides[:, None]
        return Faces(self.boxes, np.ones(len(self.boxes), np.float32)), points


def test_things_are_drawn_on_bare_faces_only():
    bare, masked = [60, 40, 110, 100], [5, 40, 55, 100]
    scene = place([bare, masked], [1, 0])
    taught = np.full((2, 3), 1 / 3, np.float32)
    scene = dataclasses.replace(scene, taught=taught)
    before = scene.image.copy()
    made = draw_places([scene], Finder([bare, masked]), 12, seed=1)
    assert len(made) == 12
    np.testing.assert_array_equal(scene.image, before)
    assert scene.labels.tolist() == [1, 0]
    for one in made:
        assert one.source == "drawn"
        assert one.labels[1] == Label.MASK
        assert np.isnan(one.taught[0]).all()
        assert not np.array_equal(one.image[40:100, 60:110], before[40:100, 60:110])
    assert {int(one.labels[0]) for one in made} >= {0, 2}
    assert draw_places([scene], Finder([]), 3, seed=1) == []
    assert draw_places([place([masked], [0])], Finder([masked]), 3, seed=1) == []
