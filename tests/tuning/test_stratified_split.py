"""Two halves: whole images, about half of every class on each side."""

from __future__ import annotations

import numpy as np

from maskdet.tuning.goal_search import count_classes_per_image, split_stratified
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

SURE = (1, 0, 0)


def test_true_faces_are_counted_by_picture_and_class():
    truth = make_goal_predictions(
        [
            (0, Label.NO_MASK, 0.9, SURE),
            (0, Label.NO_MASK, None, SURE),
            (0, Label.UNKNOWN, 0.9, SURE),
            (0, None, 0.9, SURE),
            (2, Label.INCORRECT, 0.9, SURE),
        ]
    ).ground_truth
    assert count_classes_per_image(truth).tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_each_class_is_halved_to_within_a_picture():
    truth = make_crowded_set(200, no_mask_fraction=0.1).ground_truth
    counts, here = count_classes_per_image(truth), split_stratified(truth)
    gaps = np.abs(counts[here].sum(axis=0) - counts[~here].sum(axis=0))
    # A class that was dealt out before can only be met by what comes with others.
    assert (gaps <= 0.1 * counts.sum(axis=0) + 2).all()
    assert abs(int(here.sum()) - int((~here).sum())) <= 0.1 * len(here)


def test_two_pictures_with_the_rarest_class_go_to_two_sides():
    many = [(at, Label.MASK, 0.9, SURE) for at in range(20)]
    for rare in ((0, 1), (5, 17), (18, 19)):
        faces = [*many, *((at, Label.INCORRECT, 0.9, SURE) for at in rare)]
        here = split_stratified(make_goal_predictions(faces).ground_truth)
        assert here[list(rare)].sum() == 1


def test_pictures_without_faces_are_halved_too():
    here = split_stratified(make_goal_predictions([], 11).ground_truth)
    assert here.sum() in (5, 6)


def test_the_seed_decides_and_nothing_else():
    truth = make_crowded_set(50).ground_truth
    assert np.array_equal(
        split_stratified(truth, seed=1), split_stratified(truth, seed=1)
    )
    assert not np.array_equal(
        split_stratified(truth, seed=1), split_stratified(truth, seed=2)
    )
