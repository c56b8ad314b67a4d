"""Stratified split: whole images, about half of every class in each half."""

from __future__ import annotations

import numpy as np

from maskdet.tuning.goal_search import count_classes_per_image, split_stratified
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

PROBS = (1, 0, 0)


def test_true_faces_are_counted_by_image_and_class():
    ground_truth = make_goal_predictions(
        [
            (0, Label.NO_MASK, 0.9, PROBS),
            (0, Label.NO_MASK, None, PROBS),
            (0, Label.UNKNOWN, 0.9, PROBS),
            (0, None, 0.9, PROBS),
            (2, Label.INCORRECT, 0.9, PROBS),
        ]
    ).ground_truth
    assert count_classes_per_image(ground_truth).tolist() == [
        [0, 2, 0],
        [0, 0, 0],
        [0, 0, 1],
    ]


def test_each_class_is_split_in_halves():
    ground_truth = make_crowded_set(200, no_mask_fraction=0.1).ground_truth
    counts, selected = (
        count_classes_per_image(ground_truth),
        split_stratified(ground_truth),
    )
    gaps = np.abs(counts[selected].sum(axis=0) - counts[~selected].sum(axis=0))
    # A class that was assigned before is only balanced by the images of later ones.
    assert (gaps <= 0.1 * counts.sum(axis=0) + 2).all()
    assert abs(int(selected.sum()) - int((~selected).sum())) <= 0.1 * len(selected)


def test_two_images_with_the_rarest_class_go_to_different_halves():
    many = [(index, Label.MASK, 0.9, PROBS) for index in range(20)]
    for rare in ((0, 1), (5, 17), (18, 19)):
        faces = [*many, *((index, Label.INCORRECT, 0.9, PROBS) for index in rare)]
        selected = split_stratified(make_goal_predictions(faces).ground_truth)
        assert selected[list(rare)].sum() == 1


def test_images_without_faces_are_split_in_halves():
    selected = split_stratified(make_goal_predictions([], 11).ground_truth)
    assert selected.sum() in (5, 6)


def test_the_split_depends_on_the_seed_only():
    ground_truth = make_crowded_set(50).ground_truth
    assert np.array_equal(
        split_stratified(ground_truth, seed=1), split_stratified(ground_truth, seed=1)
    )
    assert not np.array_equal(
        split_stratified(ground_truth, seed=1), split_stratified(ground_truth, seed=2)
    )
