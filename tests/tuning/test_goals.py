"""Settings for a goal: selected on one half, reported on the other."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from maskdet.evaluation.operating_point import Evaluator
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.tuning.class_metrics import ClassPerformance, PerformanceChange
from maskdet.tuning.goal_search import (
    PER_IMAGE_NOTE,
    propose_settings,
    split_stratified,
)
from maskdet.tuning.goals import GOAL_KINDS, Goal
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

NO_MASK_PROBS, MASK_PROBS = (0.05, 0.9, 0.05), (0.9, 0.05, 0.05)


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator(make_crowded_set(120))


@pytest.mark.parametrize("kind", list(GOAL_KINDS))
def test_reported_performance_equals_the_evaluation_of_each_half(evaluator, kind):
    current = Settings(min_score=0.6, memory_s=2, nms_iou=0.3)
    proposal = propose_settings(evaluator, current, Goal(kind, recall=0.7))
    selection = split_stratified(evaluator.predictions.ground_truth)
    assert np.array_equal(proposal.selection_mask, selection)
    untouched = dataclasses.replace(
        proposal.settings_after,
        **{
            name: getattr(current, name)
            for name in ("min_score", "min_confidence", "min_face_px")
        },
    )
    assert untouched == current
    for half, performance in (
        (~selection, proposal.performance_after),
        (selection, proposal.selection_performance),
    ):
        result = evaluator.select_images(half)(proposal.settings_after)
        row, column = result.confusion[1], result.confusion[:, 1]
        assert performance.true_positives == row[1]
        assert performance.false_negatives == row.sum() - row[1]
        assert performance.false_positives == column.sum() - row[1]
        assert performance.recall.value == pytest.approx(row[1] / row.sum())
        assert performance.precision.value == pytest.approx(row[1] / column.sum())
        assert performance.n_images == half.sum()
        assert performance.false_positives_per_image.value == pytest.approx(
            performance.false_positives / half.sum()
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


def test_a_goal_is_reached_on_the_selection_half(evaluator):
    proposal = propose_settings(evaluator, Settings(), Goal("recall", recall=0.7))
    assert proposal.reached
    assert proposal.selection_performance.recall.value >= 0.7
    assert proposal.guarantee.target == 0.7
    assert proposal.guarantee.measured == proposal.performance_after.recall


def test_an_unreachable_recall_is_reported(evaluator):
    proposal = propose_settings(evaluator, Settings(), Goal("recall", recall=0.999))
    assert not proposal.reached
    assert any("No settings reach 99.9 %" in line for line in proposal.warnings)
    assert proposal.guarantee.state != "met"


def test_a_proposal_improves_only_what_it_is_asked_for(evaluator):
    unreachable = propose_settings(evaluator, Settings(), Goal("recall", recall=0.999))
    for goal in (Goal(), Goal("recall", recall=0.7), Goal("recall", recall=0.999)):
        proposal = propose_settings(evaluator, Settings(min_score=0.98), goal)
        assert proposal.improves, goal
        # The best settings are no improvement on themselves.
        again = propose_settings(evaluator, proposal.settings_after, goal)
        assert not again.improves, goal
    swapped = dataclasses.replace(
        unreachable,
        performance_before=unreachable.performance_after,
        performance_after=dataclasses.replace(
            unreachable.performance_after,
            true_positives=unreachable.performance_after.true_positives - 1,
        ),
    )
    assert not swapped.improves, "one face less"


def test_a_goal_with_enough_faces_is_guaranteed():
    faces = [
        (image_index, Label.NO_MASK, 0.9, NO_MASK_PROBS) for image_index in range(400)
    ]
    faces += [(image_index, None, 0.3, NO_MASK_PROBS) for image_index in range(400)]
    current = Settings(min_score=0.1)
    proposal = propose_settings(
        Evaluator(make_goal_predictions(faces)), current, Goal("recall", recall=0.95)
    )
    assert proposal.guarantee.state == "met"
    assert proposal.settings_after.min_score == pytest.approx(0.31)
    assert proposal.change == PerformanceChange(0, 0, 200, 0)
    assert proposal.messages[2] == "False positives of the class: 200 removed, 0 added."
    assert proposal.warnings == (PER_IMAGE_NOTE,)


def test_few_faces_are_reported():
    faces = [
        (image_index, Label.NO_MASK, 0.9, NO_MASK_PROBS) for image_index in range(10)
    ]
    proposal = propose_settings(
        Evaluator(make_goal_predictions(faces)), Settings(), Goal("recall")
    )
    assert proposal.performance_after.recall.value == 1
    assert proposal.guarantee.state == "inconclusive"
    assert "Too few faces to guarantee 95 %" in proposal.messages[0]
    assert any("only 5 true faces of the class" in line for line in proposal.messages)


@pytest.mark.parametrize("image_indices", [[], [0, 0, 0]])
def test_a_goal_needs_faces_in_two_images(image_indices):
    faces = [
        (image_index, Label.NO_MASK, 0.9, NO_MASK_PROBS)
        for image_index in image_indices
    ]
    faces += [(image_index, Label.MASK, 0.9, MASK_PROBS) for image_index in range(5)]
    with pytest.raises(ValueError, match="at least two images"):
        propose_settings(Evaluator(make_goal_predictions(faces)), Settings(), Goal())


def test_the_minimum_face_size_changes_only_for_a_significant_gain():
    rows = []
    for image_index in range(120):
        rows += [
            (image_index, Label.NO_MASK, 0.9, NO_MASK_PROBS),
            (image_index, None, 0.9, NO_MASK_PROBS),
        ]
    predictions = make_goal_predictions(rows)
    boxes = predictions.faces.boxes.copy()
    false_positives = np.arange(len(boxes)) % 2 == 1
    boxes[false_positives, 2] = boxes[false_positives, 0] + 14
    small = dataclasses.replace(predictions.faces, boxes=boxes)
    evaluator = Evaluator(dataclasses.replace(predictions, faces=small))
    assert (
        propose_settings(evaluator, Settings(), Goal()).settings_after.min_face_px == 16
    )
    # Without small false positives, there is no gain.
    assert (
        propose_settings(
            Evaluator(predictions), Settings(), Goal()
        ).settings_after.min_face_px
        == 12
    )


def test_side_effects_are_reported():
    rows = []
    for image_index in range(120):
        rows += [
            (image_index, Label.NO_MASK, 0.9, NO_MASK_PROBS),
            (image_index, Label.MASK, 0.4, MASK_PROBS),
            (image_index, None, 0.45, NO_MASK_PROBS),
        ]
    current = Settings(min_score=0.3)
    proposal = propose_settings(Evaluator(make_goal_predictions(rows)), current, Goal())
    assert proposal.settings_after.min_score == pytest.approx(0.46)
    assert proposal.warnings == (
        "Fewer faces of any class are detected: 50 % instead of 100 %.",
        "Measured on single images; Live smooths labels over time, so its rates "
        "differ.",
    )
    back = propose_settings(
        Evaluator(make_goal_predictions(rows)), Settings(), Goal(label=Label.MASK)
    )
    assert any("boxes are not a face: 1.00 per image" in line for line in back.warnings)


def test_faces_of_unknown_class_do_not_count():
    faces = [
        (image_index, Label.NO_MASK, 0.9, NO_MASK_PROBS) for image_index in range(4)
    ]
    unknown = [
        (image_index, Label.UNKNOWN, 0.9, NO_MASK_PROBS) for image_index in range(4)
    ]
    image_mask = np.ones(4, np.bool_)
    without_unknown, with_unknown = (
        ClassPerformance.from_result(
            Evaluator(make_goal_predictions(rows))(Settings()),
            Label.NO_MASK,
            image_mask,
        )
        for rows in (faces, faces + unknown)
    )
    assert without_unknown == with_unknown


def test_the_same_seed_gives_the_same_proposal(evaluator):
    first, second, third = (
        propose_settings(evaluator, Settings(), Goal(), seed=seed) for seed in (4, 4, 5)
    )
    assert first.messages == second.messages
    assert not np.array_equal(first.selection_mask, third.selection_mask)


def test_a_proposal_converts_to_json(evaluator):
    proposal = propose_settings(evaluator, Settings(), Goal("cost", cost=2))
    content = json.loads(json.dumps(proposal.to_json()))
    assert content["goal"]["label"] == "no_mask"
    assert content["goal"]["cost"] == 2
    assert content["settings"]["min_score"] == proposal.settings_after.min_score
    assert content["after"]["recall"]["n"] == proposal.performance_after.recall.n
    assert content["guarantee"]["state"] == proposal.guarantee.state
    assert content["change"]["gained"] == proposal.change.gained


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "luck"}, "a goal must be one of f1, recall, cost, equal"),
        ({"recall": 1.0}, "above 0 and below 1"),
        ({"recall": float("nan")}, "above 0 and below 1"),
        ({"cost": 0}, "above 0"),
        ({"cost": float("inf")}, "above 0"),
        ({"label": Label.UNKNOWN}, "the class of a goal must be mask"),
    ],
)
def test_invalid_goals_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        Goal(**options)


def test_the_title_of_a_goal_uses_the_custom_class_name():
    goal = Goal("recall", recall=0.7)
    assert "recall of “No mask”" in goal.title()
    assert "recall of “口罩”" in goal.title(Style(class_names={"no_mask": "口罩"}))


def test_messages_do_not_contain_class_names():
    proposal = propose_settings(
        Evaluator(make_crowded_set(60)), Settings(), Goal("recall", recall=0.999)
    )
    for line in proposal.messages:
        assert not any(f"“{label.title}”" in line for label in Label)
