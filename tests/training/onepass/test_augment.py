"""Training views: where faces come out, what counts, and what weather may do."""

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

RULES = SampleConfig(smoothing=0.0, taught_share=0.0, blurred_share=0.0)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_chosen_face_is_where_the_truth_says():
    scene = make_packed_image([[60, 40, 100, 90]])
    for seed in range(60):
        view = make_face_sample(scene, 0, 128, rng(seed), RULES)
        assert view.image.shape == (128, 128, 3)
        row = view.targets[0]
        if row[4] != FACE or min(row[2:4] - row[:2]) < 14:
            continue
        # The face is white before grey: weather may dim it, but not move it.
        x1, y1, x2, y2 = np.rint(row[:4]).astype(int)
        inside = view.image[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].mean()
        ring = view.image[:, max(0, x1 - 6) : max(1, x1 - 3)]
        assert inside > view.image.mean() or ring.size == 0 or inside > ring.mean()
        left = view.image[y1 + 3 : y2 - 3, max(0, x1 - 8) : max(0, x1 - 3)]
        if left.size:
            assert inside > left.mean() + 2


def test_faces_come_out_from_small_to_large():
    scene = make_packed_image([[60, 40, 100, 90]])
    views = [make_face_sample(scene, 0, 128, rng(seed), RULES) for seed in range(80)]
    widths = [view.targets[0, 2] - view.targets[0, 0] for view in views]
    assert min(widths) < 30
    assert max(widths) > 70


def test_the_same_chance_gives_the_same_view():
    scene = make_packed_image([[60, 40, 100, 90]])
    for seed in range(20):
        first, second = (
            make_face_sample(scene, 0, 64, rng(seed), RULES) for _ in range(2)
        )
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.targets, second.targets)


def test_an_empty_view_holds_no_face_and_none_is_found_where_faces_are_everywhere():
    view = make_empty_sample(make_packed_image([[0, 0, 40, 40]]), 64, rng(1), RULES)
    assert view is not None
    assert view.image.shape == (64, 64, 3)
    assert len(view.targets) == 0
    assert (
        make_empty_sample(make_packed_image([[0, 0, 160, 120]]), 64, rng(1), RULES)
        is None
    )


def test_what_counts_in_a_view():
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
    truth = make_targets(scene, boxes, 64, RULES)
    assert truth[:, 4].tolist() == [FACE, IGNORED, IGNORED, IGNORED]
    assert truth[0, :4].tolist() == [0, 10, 25, 40]
    assert truth[0, 5:8].tolist() == [1, 0, 0]
    assert truth[1, 5:8].tolist() == [0, 1, 0]


def test_labels_are_smoothed_taught_and_weighed():
    scene = make_packed_image([[0, 0, 1, 1]] * 2, [Label.NO_MASK, Label.MASK])
    taught = np.float32([[0.4, 0.6, 0.0], [np.nan] * 3])
    scene = dataclasses.replace(scene, teacher_probs=taught)
    rules = dataclasses.replace(
        RULES, smoothing=0.3, taught_share=0.5, class_weights=(1.0, 2.0, 3.0)
    )
    truth = make_targets(
        scene, np.float32([[0, 0, 40, 40], [0, 0, 12.5, 30]]), 64, rules
    )
    # 0.3 shared by three: (0.1, 0.8, 0.1); half of it and half of what was taught
    np.testing.assert_allclose(truth[0, 5:8], [0.25, 0.7, 0.05], atol=1e-6)
    np.testing.assert_allclose(truth[1, 5:8], [0.8, 0.1, 0.1], atol=1e-6)
    # the second is halfway between 5 and 20 px wide
    np.testing.assert_allclose(truth[:, 8], [2.0, 0.5], atol=1e-6)


def test_tiny_masks_may_be_worn_wrongly_for_all_that_can_be_seen():
    scene = make_packed_image(
        [[0, 0, 1, 1]] * 3, [Label.MASK, Label.INCORRECT, Label.NO_MASK]
    )
    rules = dataclasses.replace(RULES, blurred_share=0.2, blurred_px=(10, 30))
    for side, part in ((9, 0.2), (20, 0.1), (30, 0.0)):
        boxes = np.tile(np.float32([[0, 0, side, side]]), (3, 1))
        shares = make_targets(scene, boxes, 64, rules)[:, 5:8]
        wanted = [[1 - part, 0, part], [part, 0, 1 - part], [0, 1, 0]]
        np.testing.assert_allclose(shares, wanted, atol=1e-6)


def test_a_source_says_how_much_its_borders_count():
    rules = dataclasses.replace(RULES, borders=(("drawn", 0.0), ("town", 0.5)))
    scene = make_packed_image([[0, 0, 30, 30]])
    for source, weight in (("town", 0.5), ("drawn", 0.0), ("other", 1.0)):
        one = dataclasses.replace(scene, source=source)
        assert make_targets(one, scene.boxes, 64, rules)[0, 9] == weight
    with pytest.raises(ValueError, match="border weight of town must be from 0 to 1"):
        SampleConfig(borders=(("town", 2.0),))


def test_weather_keeps_the_size_and_the_original_and_is_chance():
    image = np.full((48, 40, 3), 120, np.uint8)
    seen = [augment_photometric(image, rng(seed)) for seed in range(60)]
    assert {(one.shape, one.dtype.name) for one in seen} == {((48, 40, 3), "uint8")}
    assert (image == 120).all()
    same = [np.array_equal(one, image) for one in seen]
    assert 5 <= sum(same) <= 30
    means = [one.mean() for one in seen]
    assert min(means) < 60  # a night
    again = augment_photometric(image, rng(7))
    np.testing.assert_array_equal(again, seen[7])
