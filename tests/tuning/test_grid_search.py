"""Grid search: equal to the evaluation of each pair of thresholds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score

from maskdet.evaluation.operating_point import Evaluator
from maskdet.settings import Settings
from maskdet.tuning.goal_search import GridSearch, is_recall_reached
from maskdet.tuning.goals import Goal
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

PERMISSIVE = Settings(min_score=0, min_confidence=0)


def search_grid(evaluator, label=Label.NO_MASK, image_mask=None, settings=PERMISSIVE):
    all_images = np.ones(len(evaluator.predictions.ground_truth.names), np.bool_)
    return GridSearch.from_result(
        evaluator(settings), label, all_images if image_mask is None else image_mask
    )


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator(make_crowded_set(80))


@pytest.mark.parametrize("label", [Label.MASK, Label.NO_MASK, Label.INCORRECT])
def test_every_grid_cell_equals_a_single_evaluation(evaluator, label):
    image_mask = np.arange(80) % 3 > 0
    grid = search_grid(evaluator, label, image_mask)
    rng = np.random.default_rng(3)
    for row, column in zip(
        rng.integers(0, 98, 40), rng.integers(0, 67, 40), strict=True
    ):
        settings = dataclasses.replace(
            PERMISSIVE,
            min_score=float(grid.scores[row]),
            min_confidence=float(grid.confidences[column]),
        )
        counts = evaluator(settings).count_per_image(label).select_images(image_mask)
        assert grid.true_positives[row, column] == counts.true_positives.sum()
        assert grid.false_positives[row, column] == counts.false_positives.sum()
        assert grid.n == (counts.true_positives + counts.false_negatives).sum()


def test_a_score_equal_to_the_threshold_is_shown():
    no_mask = (0.1, 0.8, 0.1)
    evaluator = Evaluator(
        make_goal_predictions(
            [(0, Label.NO_MASK, 0.3, no_mask), (0, None, 0.7, no_mask)]
        )
    )
    grid = search_grid(evaluator)
    rows = {round(float(score), 2): row for row, score in enumerate(grid.scores)}
    columns = {
        round(float(confidence), 2): column
        for column, confidence in enumerate(grid.confidences)
    }
    assert grid.true_positives[rows[0.3], columns[0.8]] == 1
    assert grid.true_positives[rows[0.31], columns[0.8]] == 0
    assert grid.true_positives[rows[0.3], columns[0.81]] == 0
    assert grid.false_positives[rows[0.7], columns[0.33]] == 1
    assert grid.false_positives[rows[0.71], columns[0.33]] == 0


def test_the_best_f1_agrees_with_scikit_learn(evaluator):
    result = evaluator(PERMISSIVE)
    ground_truth = evaluator.predictions.ground_truth
    missed = ground_truth.labels[result.matched_detections < 0] == Label.NO_MASK

    def oracle(score, confidence):
        predicted = result.probs.argmax(axis=1) == Label.NO_MASK
        predicted &= evaluator.predictions.scores[result.shown_rows] >= np.float32(
            score
        )
        predicted &= result.confidences >= np.float32(confidence)
        true = result.actual == Label.NO_MASK
        return f1_score(
            np.concatenate([true, missed]), np.concatenate([predicted, missed & False])
        )

    grid = search_grid(evaluator)
    best = oracle(*grid.select_best(Goal("f1"), Settings()))
    others = [oracle(a, b) for a in grid.scores[::8] for b in grid.confidences[::8]]
    assert best >= max(others)
    true_positives, false_positives = (
        table.astype(float) for table in (grid.true_positives, grid.false_positives)
    )
    f1_scores = 2 * true_positives / (true_positives + false_positives + grid.n)
    assert best == pytest.approx(np.nanmax(f1_scores), abs=1e-12)


def test_the_recall_goal_minimizes_false_positives(evaluator):
    grid = search_grid(evaluator)
    goal = Goal("recall", recall=0.7)
    score, confidence = grid.select_best(goal, Settings())
    row = int(np.flatnonzero(grid.scores == score)[0])
    column = int(np.flatnonzero(grid.confidences == confidence)[0])
    reached = grid.true_positives >= 0.7 * grid.n
    assert reached[row, column]
    assert grid.false_positives[row, column] == grid.false_positives[reached].min()


def test_the_highest_recall_is_selected_if_the_goal_is_unreachable(evaluator):
    grid = search_grid(evaluator)
    score, confidence = grid.select_best(Goal("recall", recall=0.999), Settings())
    row = int(np.flatnonzero(grid.scores == score)[0])
    column = int(np.flatnonzero(grid.confidences == confidence)[0])
    assert grid.true_positives[row, column] == grid.true_positives.max() < grid.n
    assert not is_recall_reached(
        Goal("recall", recall=0.999), int(grid.true_positives.max()), grid.n
    )


def test_a_higher_cost_never_lowers_recall(evaluator):
    grid = search_grid(evaluator)
    true_positive_counts = []
    for cost in (0.1, 1, 5, 50):
        score, confidence = grid.select_best(Goal("cost", cost=cost), Settings())
        row = int(np.flatnonzero(grid.scores == score)[0])
        column = int(np.flatnonzero(grid.confidences == confidence)[0])
        true_positives, false_positives = (
            grid.true_positives[row, column],
            grid.false_positives[row, column],
        )
        costs = cost * (grid.n - grid.true_positives) + grid.false_positives
        assert cost * (grid.n - true_positives) + false_positives == pytest.approx(
            costs.min()
        )
        true_positive_counts.append(int(true_positives))
    assert true_positive_counts == sorted(true_positive_counts)
    assert true_positive_counts[0] < true_positive_counts[-1]


def test_the_equal_goal_balances_the_errors(evaluator):
    grid = search_grid(evaluator)
    score, confidence = grid.select_best(Goal("equal"), Settings())
    row = int(np.flatnonzero(grid.scores == score)[0])
    column = int(np.flatnonzero(grid.confidences == confidence)[0])
    false_negatives, false_positives = (
        grid.n - grid.true_positives,
        grid.false_positives,
    )
    larger = np.maximum(false_negatives, false_positives)
    assert larger[row, column] == larger.min()
    assert (
        abs(int(false_negatives[row, column]) - int(false_positives[row, column]))
        <= 0.2 * grid.n
    )


def test_ties_go_to_the_thresholds_nearest_to_the_current_ones():
    no_mask, masked = (0.05, 0.9, 0.05), (0.9, 0.05, 0.05)
    faces = [(0, Label.NO_MASK, 0.8, no_mask), (1, Label.MASK, 0.8, masked)]
    current = Settings(min_score=0.44, min_confidence=0.61)
    assert search_grid(Evaluator(make_goal_predictions(faces))).select_best(
        Goal("f1"), current
    ) == (
        0.44,
        0.61,
    )
    current = Settings(min_score=0.95, min_confidence=0.2)
    assert search_grid(Evaluator(make_goal_predictions(faces))).select_best(
        Goal("f1"), current
    ) == (
        0.8,
        0.33,
    )
