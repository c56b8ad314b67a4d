"""Recipes have the values of the published systems and can be stored as JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from maskdet.classifier import CLASSIFIERS, DEFAULT_CONTEXT
from maskdet.training.classifier.recipes import RECIPES, ClassifierRecipe, Stage


def test_every_recipe_survives_a_json_round_trip():
    for name, recipe in RECIPES.items():
        assert name == recipe.name
        stored = json.loads(json.dumps(recipe.to_json() | {"command": "x"}))
        assert ClassifierRecipe.from_json(stored) == recipe
    with pytest.raises(ValueError, match="not a recipe of this version"):
        ClassifierRecipe.from_json({"name": "maskdet"})


def test_split_fractions_keep_their_stored_key():
    stored = RECIPES["early-stop"].to_json()
    assert stored["shares"] == (0.7, 0.2, 0.1)
    assert "split_fractions" not in stored
    back = ClassifierRecipe.from_json(json.loads(json.dumps(stored)))
    assert back.split_fractions == (0.7, 0.2, 0.1)


def test_the_tutorial_and_custom_cnn_recipes_have_the_published_values():
    recipe = RECIPES["tutorial"]
    (stage,) = recipe.stages
    assert (recipe.size_px, recipe.batch_size, recipe.dropout) == (224, 32, 0.5)
    assert (stage.epochs, stage.optimizer, stage.learning_rate) == (20, "adam", 1e-4)
    assert stage.train_from is None
    assert stage.decay == pytest.approx(5e-6)
    assert recipe.steps is None
    cnn = RECIPES["custom-cnn"]
    assert (cnn.views, cnn.weights, cnn.stages[0].train_from) == ("tutorial", None, 0)


def test_the_finetune_recipe_has_two_stages():
    recipe = RECIPES["finetune"]
    first, second = recipe.stages
    assert (recipe.size_px, recipe.dropout) == (160, 0.2)
    assert (first.optimizer, first.learning_rate, first.epochs) == ("adam", 1e-4, 10)
    assert first.train_from is None
    assert (second.optimizer, second.learning_rate) == ("rmsprop", 1e-5)
    assert (second.train_from, second.epochs) == (100, 10)
    assert not recipe.norm_learns


def test_the_early_stop_recipe_monitors_validation():
    recipe = RECIPES["early-stop"]
    assert (recipe.patience, recipe.keep, recipe.epochs) == (2, "loss", 100)
    assert recipe.split_fractions == (0.7, 0.2, 0.1)
    assert recipe.stages[0].decay == pytest.approx(1e-6)


def test_recipe_and_classifier_have_the_same_crop():
    assert RECIPES["maskdet"].context == DEFAULT_CONTEXT
    assert {RECIPES[name].context for name in RECIPES if name != "maskdet"} == {1.0}
    for name, file in CLASSIFIERS.items():
        assert file.context == RECIPES[name].context


def test_epochs_are_distributed_over_the_stages():
    recipe = RECIPES["finetune"]
    assert [recipe.stage_index(epoch) for epoch in (0, 9, 10, 19)] == [0, 0, 1, 1]
    for epochs in (2, 3, 5, 20, 31):
        longer = recipe.with_epochs(epochs)
        assert longer.epochs == epochs
        assert min(stage.epochs for stage in longer.stages) >= 1
    assert [stage.epochs for stage in recipe.with_epochs(6).stages] == [3, 3]
    with pytest.raises(ValueError, match="at least 2, not 1"):
        recipe.with_epochs(1)
    with pytest.raises(ValueError, match="20 epochs"):
        recipe.stage_index(20)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"size_px": 100}, "multiple of 16, not 100"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"stages": ()}, "at least one stage"),
    ],
)
def test_invalid_recipe_values_are_rejected(knobs, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(RECIPES["maskdet"], **knobs)


def test_invalid_stage_values_are_rejected():
    with pytest.raises(ValueError, match="epochs must be at least 1, not 0"):
        Stage(0, "adam", 1e-3, None)
    with pytest.raises(
        ValueError, match="learning_rate must be a number greater than 0, not 0"
    ):
        Stage(1, "adam", 0, None)
