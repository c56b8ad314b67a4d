"""The recipes say what the published systems did, and travel to disk and back."""

from __future__ import annotations

import dataclasses
import json

import pytest

from maskdet.classifier import CLASSIFIERS, DEFAULT_CONTEXT
from maskdet.training.classifier.recipes import RECIPES, ClassifierRecipe, Stage


def test_every_recipe_goes_to_json_and_back():
    for name, recipe in RECIPES.items():
        assert name == recipe.name
        known = json.loads(json.dumps(recipe.to_json() | {"command": "x"}))
        assert ClassifierRecipe.from_json(known) == recipe
    with pytest.raises(ValueError, match="no recipe of this version"):
        ClassifierRecipe.from_json({"name": "maskdet"})


def test_the_recipe_of_systems_001_and_002_has_their_values():
    recipe = RECIPES["tutorial"]
    (stage,) = recipe.stages
    assert (recipe.size_px, recipe.batch_size, recipe.dropout) == (224, 32, 0.5)
    assert (stage.epochs, stage.optimizer, stage.learning_rate) == (20, "adam", 1e-4)
    assert stage.train_from is None
    assert stage.decay == pytest.approx(5e-6)
    assert recipe.steps is None
    cnn = RECIPES["custom-cnn"]
    assert (cnn.views, cnn.weights, cnn.stages[0].train_from) == ("tutorial", None, 0)


def test_the_recipe_of_system_003_has_two_stages():
    recipe = RECIPES["finetune"]
    first, second = recipe.stages
    assert (recipe.size_px, recipe.dropout) == (160, 0.2)
    assert (first.optimizer, first.learning_rate, first.epochs) == ("adam", 1e-4, 10)
    assert first.train_from is None
    assert (second.optimizer, second.learning_rate) == ("rmsprop", 1e-5)
    assert (second.train_from, second.epochs) == (100, 10)
    assert not recipe.norm_learns


def test_the_recipe_of_system_004_watches_validation():
    recipe = RECIPES["early-stop"]
    assert (recipe.patience, recipe.keep, recipe.epochs) == (2, "loss", 100)
    assert recipe.shares == (0.7, 0.2, 0.1)
    assert recipe.stages[0].decay == pytest.approx(1e-6)


def test_the_crop_of_a_recipe_is_that_of_its_classifier():
    assert RECIPES["maskdet"].context == DEFAULT_CONTEXT
    assert {RECIPES[name].context for name in RECIPES if name != "maskdet"} == {1.0}
    for name, file in CLASSIFIERS.items():
        assert file.context == RECIPES[name].context


def test_epochs_are_shared_out_over_the_stages():
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
    ("knobs", "says"),
    [
        ({"size_px": 100}, "multiple of 16, not 100"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"stages": ()}, "at least one stage"),
    ],
)
def test_a_recipe_that_cannot_train_is_refused(knobs, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(RECIPES["maskdet"], **knobs)


def test_a_stage_that_cannot_train_is_refused():
    with pytest.raises(ValueError, match="epochs must be at least 1, not 0"):
        Stage(0, "adam", 1e-3, None)
    with pytest.raises(ValueError, match="learning_rate must be over 0, not 0"):
        Stage(1, "adam", 0, None)
