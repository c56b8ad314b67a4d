"""Sampling probabilities, batches, packed scenes and synthetic images."""

from __future__ import annotations

import dataclasses
import logging

import cv2
import numpy as np
import pytest

from maskdet.datasets import Example
from maskdet.training.classifier.crops import UNDECIDABLE
from maskdet.training.onepass.augment import draw_training_images
from maskdet.training.onepass.batches import (
    CLASS_FRACTIONS,
    UNDECIDABLE_FRACTION,
    OnePassSampler,
    compute_face_probabilities,
)
from maskdet.training.onepass.data import (
    MAX_SIDE_PX,
    PackedImages,
    load_training_images,
    read_packed_images,
    read_training_images,
    save_packed_images,
)
from maskdet.types import CLASSES, Faces, Label
from tests.training.onepass.fakes import make_packed_image


@pytest.fixture
def scenes():
    crowd = make_packed_image(
        [[10, 10, 34, 34], [40, 10, 64, 34], [80, 10, 104, 34]], [0, 0, 1]
    )
    wrong = make_packed_image([[60, 40, 100, 90]], [2])
    other = dataclasses.replace(
        make_packed_image([[5, 5, 29, 29]], [0]), source="other"
    )
    unknown = make_packed_image([[20, 20, 60, 60]], [-1])
    return PackedImages.pack([crowd, wrong, other, unknown, make_packed_image([])])


def test_classes_have_fixed_fractions_and_sources_the_root_of_their_faces(scenes):
    probabilities = compute_face_probabilities(scenes)
    assert probabilities.sum() == pytest.approx(1)
    for label in CLASSES:
        fraction = probabilities[scenes.labels == label].sum()
        assert fraction == pytest.approx(CLASS_FRACTIONS[label])
    assert probabilities[0] == probabilities[1]
    # two masks are of `town`, one of `other`: the roots are 1.414 to 1
    assert (probabilities[0] + probabilities[1]) / probabilities[4] == pytest.approx(
        np.sqrt(2)
    )
    assert probabilities[5] == 0


def test_undecidable_faces_are_sampled_besides_the_classes():
    covered = make_packed_image([[5, 5, 29, 29], [30, 5, 54, 29]], [UNDECIDABLE, 0])
    probabilities = compute_face_probabilities(PackedImages.pack([covered]))
    assert probabilities[0] / probabilities[1] == pytest.approx(
        UNDECIDABLE_FRACTION / CLASS_FRACTIONS[Label.MASK]
    )


def test_large_faces_are_sampled_more_often():
    probabilities = compute_face_probabilities(
        PackedImages.pack([make_packed_image([[0, 0, 24, 24], [30, 0, 78, 48]])])
    )
    assert probabilities[1] / probabilities[0] == pytest.approx(2)


def test_faces_with_low_teacher_scores_are_sampled_more_often():
    image = make_packed_image([[0, 0, 24, 24], [30, 0, 54, 24]])
    image = dataclasses.replace(image, detector_scores=np.float32([1.0, 0.5]))
    probabilities = compute_face_probabilities(PackedImages.pack([image]))
    assert probabilities[1] / probabilities[0] == pytest.approx(1 + 5 * 0.25)


def test_scenes_without_a_known_class_are_rejected():
    with pytest.raises(ValueError, match="no training image has a face"):
        compute_face_probabilities(
            PackedImages.pack([make_packed_image([[0, 0, 24, 24]], [-1])])
        )


def test_batches_are_the_same_for_the_same_seed_epoch_and_step(scenes):
    sampler = OnePassSampler(scenes, 3, 1)
    first, again = sampler.make_batch(2, 5), sampler.make_batch(2, 5)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.targets, again.targets)
    assert not np.array_equal(sampler.make_batch(2, 6).images[0, 0], first.images[0, 0])
    side = first.images.shape[1]
    assert first.images.shape[1:] == (side, side, 3)
    assert first.images.dtype == np.uint8
    assert first.targets.shape[2] == 10
    assert first.targets[..., :4].max() <= side


def test_an_epoch_yields_all_its_steps_in_order(scenes):
    sampler = OnePassSampler(scenes, 1, 1)
    for steps in (2, 6):
        batches = list(sampler.iter_batches(0, steps))
        assert len(batches) == steps
        expected = sampler.make_batch(0, steps - 1)
        np.testing.assert_array_equal(batches[-1].images, expected.images)


def test_mosaics_keep_targets_in_their_tiles(scenes, monkeypatch):
    monkeypatch.setattr("maskdet.training.onepass.batches.MOSAIC_GRIDS", {2: 1.0})
    monkeypatch.setattr("maskdet.training.onepass.batches.EMPTY_FRACTION", 0.0)
    batch = OnePassSampler(scenes, 4, 3).make_batch(0, 0)
    half = batch.images.shape[1] // 2
    rows = batch.targets[batch.targets[..., 4] != 0]
    tiles = {tuple(tile) for tile in (rows[:, :2] // half).astype(int).tolist()}
    assert tiles == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert ((rows[:, 2:4] - 1e-3) // half == rows[:, :2] // half).all()


def test_packed_scenes_are_loaded_only_with_the_same_fingerprint(scenes, tmp_path):
    path = tmp_path / "scenes.npz"
    assert read_packed_images(path, "a") is None
    save_packed_images(scenes, path, "a")
    assert read_packed_images(path, "b") is None
    packed = read_packed_images(path, "a")
    assert len(packed) == 5
    for index, image in enumerate(load_training_images(path)):
        expected = scenes.get(index)
        for loaded in (image, packed.get(index)):
            for name in ("image", "boxes", "labels", "teacher_probs"):
                values = getattr(loaded, name)
                np.testing.assert_array_equal(values, getattr(expected, name))
            assert loaded.source == expected.source
            assert loaded.detector_scores.tolist() == [1] * len(expected.boxes)


class TeacherStub:
    """Classifier that always predicts a mask, and counts the faces."""

    n_faces: int = 0

    def predict(self, image, boxes):
        self.n_faces += len(boxes)
        return np.tile(np.float32([0.8, 0.1, 0.1]), (len(boxes), 1))


def test_images_are_read_downscaled_and_classified(tmp_path, caplog):
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.full((300, 1280, 3), 90, np.uint8))
    boxes = np.float32([[100, 100, 200, 200], [300, 100, 310, 110]])
    labels = (Label.NO_MASK, Label.MASK)
    ignored = np.float32([[400, 10, 480, 90]])
    large = Example(path, boxes, labels, "town", ignore_boxes=ignored)
    whole = Example(path, np.zeros((0, 4), np.float32), (Label.MASK,))
    teacher = TeacherStub()
    with caplog.at_level(logging.WARNING):
        (image,) = read_training_images([whole, large], teacher=teacher)
    assert "skipped 1 images without boxes" in caplog.text
    assert image.image.shape == (150, MAX_SIDE_PX, 3)
    assert image.boxes[0].tolist() == [50, 50, 100, 100]
    assert image.labels.tolist() == [1, 0, -1]
    assert teacher.n_faces == 1  # not the tiny face, nor the face of unknown class
    np.testing.assert_allclose(image.teacher_probs[0], [0.8, 0.1, 0.1])
    assert np.isnan(image.teacher_probs[1:]).all()
    with pytest.raises(ValueError, match="maskdet label"):
        read_training_images([whole])


class LandmarkDetectorStub:
    """Detector that returns fixed boxes with the landmarks of an upright face."""

    def __init__(self, boxes):
        self.boxes = np.float32(boxes).reshape(-1, 4)

    def detect_landmarks(self, image):
        fractions = np.float32(
            [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]
        )
        corners, sides = (
            self.boxes[:, None, :2],
            np.ptp(self.boxes.reshape(-1, 2, 2), axis=1),
        )
        points = corners + fractions * sides[:, None]
        return Faces(self.boxes, np.ones(len(self.boxes), np.float32)), points


def test_objects_are_rendered_on_unmasked_faces_only():
    unmasked, masked = [60, 40, 110, 100], [5, 40, 55, 100]
    scene = make_packed_image([unmasked, masked], [1, 0])
    teacher_probs = np.full((2, 3), 1 / 3, np.float32)
    scene = dataclasses.replace(scene, teacher_probs=teacher_probs)
    before = scene.image.copy()
    synthetic = draw_training_images(
        [scene], LandmarkDetectorStub([unmasked, masked]), 12, seed=1
    )
    assert len(synthetic) == 12
    np.testing.assert_array_equal(scene.image, before)
    assert scene.labels.tolist() == [1, 0]
    for image in synthetic:
        assert image.source == "drawn"
        assert image.labels[1] == Label.MASK
        assert np.isnan(image.teacher_probs[0]).all()
        assert not np.array_equal(image.image[40:100, 60:110], before[40:100, 60:110])
    assert {int(image.labels[0]) for image in synthetic} >= {0, 2}
    assert draw_training_images([scene], LandmarkDetectorStub([]), 3, seed=1) == []
    assert (
        draw_training_images(
            [make_packed_image([masked], [0])],
            LandmarkDetectorStub([masked]),
            3,
            seed=1,
        )
        == []
    )
