"""Settings for a goal: chosen on one half, told on the other, with all they cost."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.tuning.class_metrics import ClassPerformance, PerformanceChange
from maskdet.tuning.goal_search import (
    PER_IMAGE_NOTE,
    propose_settings,
    split_stratified,
)
from maskdet.tuning.goals import GOAL_KINDS, Goal
from maskdet.tuning.operating_point import Evaluator
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

BARE, MASKED = (0.05, 0.9, 0.05), (0.9, 0.05, 0.05)


@pytest.fixture(scope="module")
def judge():
    return Evaluator(make_crowded_set(120))


@pytest.mark.parametrize("kind", list(GOAL_KINDS))
def test_what_is_told_is_what_judging_says_of_the_other_half(judge, kind):
    now = Settings(min_score=0.6, memory_s=2, nms_iou=0.3)
    proposal = propose_settings(judge, now, Goal(kind, recall=0.7))
    here = split_stratified(judge.predictions.ground_truth)
    assert np.array_equal(proposal.selection_mask, here)
    untouched = dataclasses.replace(
        proposal.settings_after,
        **{
            name: getattr(now, name)
            for name in ("min_score", "min_confidence", "min_face_px")
        },
    )
    assert untouched == now
    for half, told in (
        (~here, proposal.performance_after),
        (here, proposal.selection_performance),
    ):
        outcome = judge.select_images(half)(proposal.settings_after)
        row, column = outcome.confusion[1], outcome.confusion[:, 1]
        assert told.true_positives == row[1]
        assert told.false_negatives == row.sum() - row[1]
        assert told.false_positives == column.sum() - row[1]
        assert told.recall.value == pytest.approx(row[1] / row.sum())
        assert told.precision.value == pytest.approx(row[1] / column.sum())
        assert told.n_images == half.sum()
        assert told.false_positives_per_image.value == pytest.approx(
            told.false_positives / half.sum()
        )
    change = proposal.change
    assert (
        change.gained - change.lost
        == proposal.performance_after.true_positives
        - proposal.performance_before.true_positives
    )
    more = change.false_positives_added - change.false_positives_removed
    assert (
        more
        == proposal.performance_after.false_positives
        - proposal.performance_before.false_positives
    )


def test_a_goal_is_reached_where_it_is_chosen(judge):
    proposal = propose_settings(judge, Settings(), Goal("recall", recall=0.7))
    assert proposal.reached
    assert proposal.selection_performance.recall.value >= 0.7
    assert proposal.guarantee.target == 0.7
    assert proposal.guarantee.measured == proposal.performance_after.recall


def test_what_no_settings_reach_is_said(judge):
    proposal = propose_settings(judge, Settings(), Goal("recall", recall=0.999))
    assert not proposal.reached
    assert any("No settings reach 99.9 %" in line for line in proposal.warnings)
    assert proposal.guarantee.state != "kept"


def test_a_promise_that_holds_is_kept():
    faces = [(at, Label.NO_MASK, 0.9, BARE) for at in range(400)]
    faces += [(at, None, 0.3, BARE) for at in range(400)]
    now = Settings(min_score=0.1)
    proposal = propose_settings(
        Evaluator(make_goal_predictions(faces)), now, Goal("recall", recall=0.95)
    )
    assert proposal.guarantee.state == "kept"
    assert proposal.settings_after.min_score == pytest.approx(0.31)
    assert proposal.change == PerformanceChange(0, 0, 200, 0)
    assert proposal.messages[2] == "False positives of the class: 200 fewer, 0 more."
    assert proposal.warnings == (PER_IMAGE_NOTE,)


def test_few_faces_are_never_hidden():
    faces = [(at, Label.NO_MASK, 0.9, BARE) for at in range(10)]
    proposal = propose_settings(
        Evaluator(make_goal_predictions(faces)), Settings(), Goal("recall")
    )
    assert proposal.performance_after.recall.value == 1
    assert proposal.guarantee.state == "open"
    assert "Too few faces to promise 95 %" in proposal.messages[0]
    assert any("only 5 true faces of the class" in line for line in proposal.messages)


@pytest.mark.parametrize("images", [[], [0, 0, 0]])
def test_one_picture_is_too_few_to_choose_and_to_check(pictures):
    faces = [(at, Label.NO_MASK, 0.9, BARE) for at in pictures]
    faces += [(at, Label.MASK, 0.9, MASKED) for at in range(5)]
    with pytest.raises(ValueError, match="at least two images"):
        propose_settings(Evaluator(make_goal_predictions(faces)), Settings(), Goal())


def test_the_smallest_face_changes_only_where_it_surely_helps():
    rows = []
    for at in range(120):
        rows += [(at, Label.NO_MASK, 0.9, BARE), (at, None, 0.9, BARE)]
    given = make_goal_predictions(rows)
    boxes = given.faces.boxes.copy()
    alarms = np.arange(len(boxes)) % 2 == 1
    boxes[alarms, 2] = boxes[alarms, 0] + 14
    small = dataclasses.replace(given.faces, boxes=boxes)
    judge = Evaluator(dataclasses.replace(given, faces=small))
    assert propose_settings(judge, Settings(), Goal()).settings_after.min_face_px == 16
    # Without small false positives, nothing is to be won.
    assert (
        propose_settings(
            Evaluator(given), Settings(), Goal()
        ).settings_after.min_face_px
        == 12
    )


def test_what_else_it_costs_is_said():
    rows = []
    for at in range(120):
        rows += [
            (at, Label.NO_MASK, 0.9, BARE),
            (at, Label.MASK, 0.4, MASKED),
            (at, None, 0.45, BARE),
        ]
    now = Settings(min_score=0.3)
    proposal = propose_settings(Evaluator(make_goal_predictions(rows)), now, Goal())
    assert proposal.settings_after.min_score == pytest.approx(0.46)
    assert proposal.warnings == (
        "Fewer faces are shown at all: 50 % of the true ones of every class instead of "
        "100 %.",
        "Counted image by image; Live judges people over time, so shares there differ.",
    )
    back = propose_settings(
        Evaluator(make_goal_predictions(rows)), Settings(), Goal(label=Label.MASK)
    )
    assert any("boxes show no face: 1.00 an image" in line for line in back.warnings)


def test_faces_of_unknown_class_count_neither_way():
    faces = [(at, Label.NO_MASK, 0.9, BARE) for at in range(4)]
    unknown = [(at, Label.UNKNOWN, 0.9, BARE) for at in range(4)]
    both = np.ones(4, np.bool_)
    alone, beside = (
        ClassPerformance.from_result(
            Evaluator(make_goal_predictions(rows))(Settings()), Label.NO_MASK, both
        )
        for rows in (faces, faces + unknown)
    )
    assert alone == beside


def test_the_same_seed_the_same_proposal(judge):
    one, other, third = (
        propose_settings(judge, Settings(), Goal(), seed=seed) for seed in (4, 4, 5)
    )
    assert one.messages == other.messages
    assert not np.array_equal(one.selection_mask, third.selection_mask)


def test_all_of_it_goes_into_json(judge):
    proposal = propose_settings(judge, Settings(), Goal("cost", cost=2))
    content = json.loads(json.dumps(proposal.to_json()))
    assert content["goal"]["label"] == "no_mask"
    assert content["goal"]["cost"] == 2
    assert content["settings"]["min_score"] == proposal.settings_after.min_score
    assert content["then"]["recall"]["n"] == proposal.performance_after.recall.n
    assert content["promise"]["state"] == proposal.guarantee.state
    assert content["change"]["gained"] == proposal.change.gained


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"kind": "luck"}, "a goal must be one of f1, recall, cost, equal"),
        ({"recall": 1.0}, "above 0 and below 1"),
        ({"recall": float("nan")}, "above 0 and below 1"),
        ({"cost": 0}, "above 0"),
        ({"cost": float("inf")}, "above 0"),
        ({"label": Label.UNKNOWN}, "a goal needs a class"),
    ],
)
def test_what_cannot_be_wanted_is_refused(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        Goal(**words)


def test_a_goal_says_the_name_that_somebody_gave_the_class():
    goal = Goal("recall", recall=0.7)
    assert "of “No mask” found" in goal.title()
    assert "of “口罩” found" in goal.title(Style(class_names={"no_mask": "口罩"}))


def test_what_was_found_names_no_class_so_that_every_style_can_show_it():
    proposal = propose_settings(
        Evaluator(make_crowded_set(60)), Settings(), Goal("recall", recall=0.999)
    )
    for line in proposal.messages:
        assert not any(f"“{label.title}”" in line for label in Label)
