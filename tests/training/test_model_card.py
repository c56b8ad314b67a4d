"""The sentences of a classifier's model card describe the run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from maskdet.training.card import rare_class_sentence
from maskdet.training.classifier.card import _data_sentences, _training_sentences
from maskdet.training.classifier.recipes import RECIPES

METADATA = {
    "crops": 100,
    "class_counts": [60, 40, 0],
    "class_weights": [0.83, 1.25, 1.0],
    "start": "mobilenet.weights.h5",
    "data": ["faces"],
}


def make_log(*stages, losses=None, merits=None):
    """Return a log with one epoch for each stage in `stages`."""
    count = len(stages)
    return [
        {"epoch": n + 1, "stage": stage, "val_loss": loss, "merit": merit}
        for n, (stage, loss, merit) in enumerate(
            zip(stages, losses or [1.0] * count, merits or [0.5] * count, strict=True)
        )
    ]


def describe_training(recipe, log, **metadata):
    return " ".join(filter(None, _training_sentences(recipe, METADATA | metadata, log)))


def test_a_complete_run_is_described_by_its_recipe():
    text = describe_training(
        RECIPES["finetune"], make_log(*[1] * 10, *[2] * 10), crops=96
    )
    assert "initialized with the weights in `mobilenet.weights.h5`" in text
    assert "10 epochs of the head only, adam at 0.0001." in text
    assert "10 epochs of the head and the body from layer 100, rmsprop" in text
    assert "3 batches of 32 crops and uses each crop once." in text
    assert "0.83 for mask, 1.25 for no_mask." in text
    assert "The weights of the last epoch, 20, were kept." in text
    for word in ("Changes", "stopped", "incorrect", "resumed"):
        assert word not in text


@pytest.mark.parametrize(
    ("steps", "crops", "expected"),
    [
        (
            4,
            3345,
            "4 batches of 32 crops: it uses each of the 3,345 at most once and skips ",
        ),
        (
            None,
            100,
            "3 batches of 32 crops: it uses each of the 100 at most once and skips",
        ),
        (1, 8, "1 batch of 8 crops and uses each crop once."),
        (5, 8, "5 batches of 8 crops: 5 passes over them."),
        (7, 64, "7 batches of 32 crops: 3.5 passes over them."),
    ],
)
def test_the_card_states_how_often_an_epoch_uses_a_crop(steps, crops, expected):
    recipe = replace(RECIPES["tutorial"], steps=steps)
    text = describe_training(recipe, make_log(*[1] * 20), crops=crops)
    assert expected in text
    assert ("`steps`" in text) == (steps is not None)


def test_a_stopped_run_states_its_completed_epochs():
    text = describe_training(RECIPES["finetune"], make_log(*[1] * 7))
    assert "7 of 10 epochs of the head only" in text
    assert "0 of 10 epochs of the head and the body" in text
    assert "Training was stopped after 7 of 20 epochs." in text
    assert "last epoch, 7, were kept" in text


def test_early_stopping_states_the_reason_and_the_epoch():
    losses = [0.9, 0.4, 0.5, 0.6]
    recipe = RECIPES["early-stop"]
    text = describe_training(recipe, make_log(*[1] * 4, losses=losses))
    assert "4 of 100 epochs of the head only" in text
    assert "the validation loss had not decreased for 2 epochs." in text
    assert "lowest validation loss, 2, was kept." in text
    text = describe_training(recipe, make_log(*[1] * 3, losses=losses[:3]))
    assert "Training was stopped after 3 of 100 epochs." in text


def test_sampling_fractions_are_of_the_classes_that_occur():
    log = make_log(*[1] * 12, merits=[0.1] * 5 + [0.9, 0.9] + [0.2] * 5)
    recipe = RECIPES["maskdet"]
    text = describe_training(recipe, log)
    assert "140 batches of 64 randomly sampled crops" in text
    assert "on average, 50% mask, 50% no_mask." in text
    assert "best validation score, 6, was kept." in text
    assert "16% incorrect" in describe_training(recipe, log, class_counts=[1, 1, 1])
    assert "16% incorrect" in describe_training(recipe, log, class_counts=None)


def test_changes_to_the_recipe_and_initial_weights_are_stated():
    recipe = replace(RECIPES["tutorial"].with_epochs(2), size_px=96)
    log = make_log(1, 1)
    text = describe_training(recipe, log, start=None, planned_before=[[1, 1]])
    assert "`epochs` 2 instead of 20, `size_px` 96 instead of 224." in text
    assert "initialized with random weights" in text
    assert "resumed with another number of epochs" in text
    assert "ImageNet weights of Keras" in describe_training(
        recipe, log, start="imagenet"
    )
    assert "backend" not in describe_training(recipe, log, backends=["tensorflow"])
    both_backends = describe_training(recipe, log, backends=["torch", "tensorflow"])
    assert "The Keras backend was PyTorch and then TensorFlow;" in both_backends
    older = {k: v for k, v in METADATA.items() if k != "start"}
    assert "initialized" not in " ".join(_training_sentences(recipe, older, log))


def describe_data(recipe, test=None, **metadata):
    exported = SimpleNamespace(n_validation=50, test_metrics=test or {})
    return " ".join(
        filter(None, _data_sentences(recipe, METADATA | metadata, exported))
    )


def test_the_data_are_described():
    text = describe_data(RECIPES["tutorial"], val=["mine"], only_source="drawn")
    assert "100 crops (60 mask, 40 no_mask, 0 incorrect) from: faces, only" in text
    assert "only images of the source `drawn`." in text
    assert "an image of one face gives one, the whole image." in text
    assert "Validated on 50 crops from: mine." in text
    assert "There were no test images" in text
    assert "synthetic" not in text
    notes = ["no validation split in the data: split by group with seed 1"]
    text = describe_data(RECIPES["maskdet"], {"real": 1}, data_report={"notes": notes})
    assert "Notes on the data: no validation split in the data: split by group" in text
    assert (
        "gives two: the whole image, and the box of the detector if its score" in text
    )
    assert "up to 6,000 are synthetic" in text
    assert "The test images were not used for model selection." in text
    text = describe_data(RECIPES["maskdet"], detector="none", drawn_crops=12)
    assert "one, the whole image" in text
    assert "12 are synthetic" in text


def test_the_reliability_of_the_rarest_class_is_stated():
    assert "no incorrectly worn masks" in rare_class_sentence([3, 3, 0])
    assert "`incorrect` is the least reliable" in rare_class_sentence([3, 3, 1])
    assert "`incorrect` is the least reliable" in rare_class_sentence(None)
