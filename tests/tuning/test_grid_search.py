"""The whole grid of settings at once: the same as judging each of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score

from maskdet.settings import Settings
from maskdet.tuning.class_metrics import ClassCounts
from maskdet.tuning.goal_search import GridSearch, is_recall_reached
from maskdet.tuning.goals import Goal
from maskdet.tuning.operating_point import Evaluator
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

LAX = Settings(min_score=0, min_confidence=0)


def swept(judge, label=Label.NO_MASK, chosen=None, settings=LAX):
    everyone = np.ones(len(judge.predictions.ground_truth.names), np.bool_)
    return GridSearch.from_result(
        judge(settings), label, everyone if chosen is None else chosen
    )


@pytest.fixture(scope="module")
def judge():
    return Evaluator(make_crowded_set(80))


@pytest.mark.parametrize("label", [Label.MASK, Label.NO_MASK, Label.INCORRECT])
def test_every_cell_says_what_judging_says(judge, label):
    chosen = np.arange(80) % 3 > 0
    sweep = swept(judge, label, chosen)
    rng = np.random.default_rng(3)
    for row, column in zip(
        rng.integers(0, 98, 40), rng.integers(0, 67, 40), strict=True
    ):
        settings = dataclasses.replace(
            LAX,
            min_score=float(sweep.scores[row]),
            min_confidence=float(sweep.confidences[column]),
        )
        counts = ClassCounts.from_result(judge(settings), label).select_images(chosen)
        assert sweep.true_positives[row, column] == counts.true_positives.sum()
        assert sweep.false_positives[row, column] == counts.false_positives.sum()
        assert sweep.n == (counts.true_positives + counts.false_negatives).sum()


def test_a_score_that_stands_on_a_threshold_is_shown():
    bare = (0.1, 0.8, 0.1)
    judge = Evaluator(
        make_goal_predictions([(0, Label.NO_MASK, 0.3, bare), (0, None, 0.7, bare)])
    )
    sweep = swept(judge)
    at = {round(float(score), 2): row for row, score in enumerate(sweep.scores)}
    to = {round(float(one), 2): column for column, one in enumerate(sweep.confidences)}
    assert sweep.true_positives[at[0.3], to[0.8]] == 1
    assert sweep.true_positives[at[0.31], to[0.8]] == 0
    assert sweep.true_positives[at[0.3], to[0.81]] == 0
    assert sweep.false_positives[at[0.7], to[0.33]] == 1
    assert sweep.false_positives[at[0.71], to[0.33]] == 0


def test_the_best_f1_is_that_of_scikit_learn(judge):
    outcome = judge(LAX)
    truth = judge.predictions.ground_truth
    missed = truth.labels[outcome.matched_detections < 0] == Label.NO_MASK

    def oracle(score, confidence):
        said = outcome.probs.argmax(axis=1) == Label.NO_MASK
        said &= judge.predictions.scores[outcome.shown_rows] >= np.float32(score)
        said &= outcome.confidences >= np.float32(confidence)
        true = outcome.actual == Label.NO_MASK
        return f1_score(
            np.concatenate([true, missed]), np.concatenate([said, missed & False])
        )

    sweep = swept(judge)
    best = oracle(*sweep.select_best(Goal("f1"), Settings()))
    others = [oracle(a, b) for a in sweep.scores[::8] for b in sweep.confidences[::8]]
    assert best >= max(others)
    hits, alarms = (
        table.astype(float) for table in (sweep.true_positives, sweep.false_positives)
    )
    every = 2 * hits / (hits + alarms + sweep.n)
    assert best == pytest.approx(np.nanmax(every), abs=1e-12)


def test_recall_first_then_the_fewest_false_alarms(judge):
    sweep = swept(judge)
    goal = Goal("recall", recall=0.7)
    score, confidence = sweep.select_best(goal, Settings())
    row = int(np.flatnonzero(sweep.scores == score)[0])
    column = int(np.flatnonzero(sweep.confidences == confidence)[0])
    enough = sweep.true_positives >= 0.7 * sweep.n
    assert enough[row, column]
    assert sweep.false_positives[row, column] == sweep.false_positives[enough].min()


def test_the_most_there_is_where_no_settings_reach_the_recall(judge):
    sweep = swept(judge)
    score, confidence = sweep.select_best(Goal("recall", recall=0.999), Settings())
    row = int(np.flatnonzero(sweep.scores == score)[0])
    column = int(np.flatnonzero(sweep.confidences == confidence)[0])
    assert sweep.true_positives[row, column] == sweep.true_positives.max() < sweep.n
    assert not is_recall_reached(
        Goal("recall", recall=0.999), int(sweep.true_positives.max()), sweep.n
    )


def test_a_dearer_miss_never_finds_less(judge):
    sweep = swept(judge)
    found = []
    for cost in (0.1, 1, 5, 50):
        score, confidence = sweep.select_best(Goal("cost", cost=cost), Settings())
        row = int(np.flatnonzero(sweep.scores == score)[0])
        column = int(np.flatnonzero(sweep.confidences == confidence)[0])
        hits, alarms = (
            sweep.true_positives[row, column],
            sweep.false_positives[row, column],
        )
        spent = cost * (sweep.n - sweep.true_positives) + sweep.false_positives
        assert cost * (sweep.n - hits) + alarms == pytest.approx(spent.min())
        found.append(int(hits))
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_equal_errors_are_equal_where_they_can_be(judge):
    sweep = swept(judge)
    score, confidence = sweep.select_best(Goal("equal"), Settings())
    row = int(np.flatnonzero(sweep.scores == score)[0])
    column = int(np.flatnonzero(sweep.confidences == confidence)[0])
    misses, alarms = sweep.n - sweep.true_positives, sweep.false_positives
    larger = np.maximum(misses, alarms)
    assert larger[row, column] == larger.min()
    assert abs(int(misses[row, column]) - int(alarms[row, column])) <= 0.2 * sweep.n


def test_of_equally_good_ones_the_nearest_to_now_is_taken():
    bare, masked = (0.05, 0.9, 0.05), (0.9, 0.05, 0.05)
    faces = [(0, Label.NO_MASK, 0.8, bare), (1, Label.MASK, 0.8, masked)]
    now = Settings(min_score=0.44, min_confidence=0.61)
    assert swept(Evaluator(make_goal_predictions(faces))).select_best(
        Goal("f1"), now
    ) == (
        0.44,
        0.61,
    )
    now = Settings(min_score=0.95, min_confidence=0.2)
    assert swept(Evaluator(make_goal_predictions(faces))).select_best(
        Goal("f1"), now
    ) == (
        0.8,
        0.33,
    )
