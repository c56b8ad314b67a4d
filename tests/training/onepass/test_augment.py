"""Training samples: position and size of faces, targets, photometric changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from maskdet.training.onepass.augment import augment_photometric
from maskdet.training.onepass.batches import (
    FACE,
    IGNORED,
    SampleConfig,
    make_empty_sample,
    make_face_sample,
    make_targets,
)
from maskdet.types import Label
from tests.training.onepass.fakes import make_packed_image

CONFIG = SampleConfig(smoothing=0.0, teacher_fraction=0.0, ambiguous_fraction=0.0)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_target_is_at_the_position_of_the_face():
    scene = make_packed_image([[60, 40, 100, 90]])
    for seed in range(60):
        sample = make_face_sample(scene, 0, 128, rng(seed), CONFIG)
        assert sample.image.shape == (128, 128, 3)
        row = sample.targets[0]
        if row[4] != FACE or min(row[2:4] - row[:2]) < 14:
            continue
        # The face is white on grey; photometric changes do not move it.
        x1, y1, x2, y2 = np.rint(row[:4]).astype(int)
        inside = sample.image[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].mean()
        ring = sample.image[:, max(0, x1 - 6) : max(1, x1 - 3)]
        assert inside > sample.image.mean() or ring.size == 0 or inside > ring.mean()
        left = sample.image[y1 + 3 : y2 - 3, max(0, x1 - 8) : max(0, x1 - 3)]
        if left.size:
            assert inside > left.mean() + 2


def test_faces_are_sampled_from_small_to_large():
    scene = make_packed_image([[60, 40, 100, 90]])
    samples = [make_face_sample(scene, 0, 128, rng(seed), CONFIG) for seed in range(80)]
    widths = [sample.targets[0, 2] - sample.targets[0, 0] for sample in samples]
    assert min(widths) < 30
    assert max(widths) > 70


def test_samples_are_reproducible():
    scene = make_packed_image([[60, 40, 100, 90]])
    for seed in range(20):
        first, second = (
            make_face_sample(scene, 0, 64, rng(seed), CONFIG) for _ in range(2)
        )
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.targets, second.targets)


def test_an_empty_sample_has_no_face_and_is_none_if_faces_fill_the_image():
    sample = make_empty_sample(make_packed_image([[0, 0, 40, 40]]), 64, rng(1), CONFIG)
    assert sample is not None
    assert sample.image.shape == (64, 64, 3)
    assert len(sample.targets) == 0
    assert (
        make_empty_sample(make_packed_image([[0, 0, 160, 120]]), 64, rng(1), CONFIG)
        is None
    )


def test_targets_are_clipped_or_ignored():
    scene = make_packed_image([[0, 0, 1, 1]] * 5, [0, 1, 2, -1, 0])
    boxes = np.float32(
        [
            [-5, 10, 25, 40],  # five sixths are inside
            [-25, 10, 5, 40],  # one sixth
            [10, 10, 15, 15],  # too small
            [10, 10, 40, 40],  # of unknown class
            [70, 70, 90, 90],  # outside
        ]
    )
    targets = make_targets(scene, boxes, 64, CONFIG)
    assert targets[:, 4].tolist() == [FACE, IGNORED, IGNORED, IGNORED]
    assert targets[0, :4].tolist() == [0, 10, 25, 40]
    assert targets[0, 5:8].tolist() == [1, 0, 0]
    assert targets[1, 5:8].tolist() == [0, 1, 0]


def test_labels_are_smoothed_distilled_and_weighted():
    scene = make_packed_image([[0, 0, 1, 1]] * 2, [Label.NO_MASK, Label.MASK])
    teacher_probs = np.float32([[0.4, 0.6, 0.0], [np.nan] * 3])
    scene = dataclasses.replace(scene, teacher_probs=teacher_probs)
    config = dataclasses.replace(
        CONFIG, smoothing=0.3, teacher_fraction=0.5, class_weights=(1.0, 2.0, 3.0)
    )
    targets = make_targets(
        scene, np.float32([[0, 0, 40, 40], [0, 0, 12.5, 30]]), 64, config
    )
    # smoothing gives (0.1, 0.8, 0.1), which is averaged with the teacher's
    np.testing.assert_allclose(targets[0, 5:8], [0.25, 0.7, 0.05], atol=1e-6)
    np.testing.assert_allclose(targets[1, 5:8], [0.8, 0.1, 0.1], atol=1e-6)
    # the second is halfway between 5 and 20 px wide
    np.testing.assert_allclose(targets[:, 8], [2.0, 0.5], atol=1e-6)


def test_mask_and_incorrect_are_mixed_for_tiny_faces():
    scene = make_packed_image(
        [[0, 0, 1, 1]] * 3, [Label.MASK, Label.INCORRECT, Label.NO_MASK]
    )
    config = dataclasses.replace(CONFIG, ambiguous_fraction=0.2, ambiguous_px=(10, 30))
    for side, part in ((9, 0.2), (20, 0.1), (30, 0.0)):
        boxes = np.tile(np.float32([[0, 0, side, side]]), (3, 1))
        probs = make_targets(scene, boxes, 64, config)[:, 5:8]
        expected = [[1 - part, 0, part], [part, 0, 1 - part], [0, 1, 0]]
        np.testing.assert_allclose(probs, expected, atol=1e-6)


def test_the_box_weight_depends_on_the_source():
    config = dataclasses.replace(CONFIG, borders=(("drawn", 0.0), ("town", 0.5)))
    scene = make_packed_image([[0, 0, 30, 30]])
    for source, weight in (("town", 0.5), ("drawn", 0.0), ("other", 1.0)):
        image = dataclasses.replace(scene, source=source)
        assert make_targets(image, scene.boxes, 64, config)[0, 9] == weight
    with pytest.raises(ValueError, match="border weight of town must be from 0 to 1"):
        SampleConfig(borders=(("town", 2.0),))


def test_photometric_changes_keep_the_size_and_the_original():
    image = np.full((48, 40, 3), 120, np.uint8)
    augmented = [augment_photometric(image, rng(seed)) for seed in range(60)]
    assert {(result.shape, result.dtype.name) for result in augmented} == {
        ((48, 40, 3), "uint8")
    }
    assert (image == 120).all()
    same = [np.array_equal(result, image) for result in augmented]
    assert 5 <= sum(same) <= 30
    means = [result.mean() for result in augmented]
    assert min(means) < 60  # a night
    again = augment_photometric(image, rng(7))
    np.testing.assert_array_equal(again, augmented[7])
