"""Each sentence of a classifier's card is made of what was done."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from maskdet.training.classifier.card import (
    _data_sentences,
    _training_sentences,
    rare_class_sentence,
)
from maskdet.training.classifier.recipes import RECIPES

KNOWN = {
    "crops": 100,
    "class_counts": [60, 40, 0],
    "class_weights": [0.83, 1.25, 1.0],
    "start": "mobilenet.weights.h5",
    "data": ["faces"],
}


def rows(*stages, losses=None, merits=None):
    """Return a log with an epoch for each stage in `stages`."""
    count = len(stages)
    return [
        {"epoch": n + 1, "stage": stage, "val_loss": loss, "merit": merit}
        for n, (stage, loss, merit) in enumerate(
            zip(stages, losses or [1.0] * count, merits or [0.5] * count, strict=True)
        )
    ]


def trained(recipe, log, **known):
    return " ".join(filter(None, _training_sentences(recipe, KNOWN | known, log)))


def test_a_whole_run_says_what_its_recipe_says():
    said = trained(RECIPES["finetune"], rows(*[1] * 10, *[2] * 10), crops=96)
    assert "began with the weights in `mobilenet.weights.h5`" in said
    assert "10 epochs of the head alone, adam at 0.0001." in said
    assert "10 epochs of the head and the body from layer 100 on, rmsprop" in said
    assert "3 batches of 32 crops: it shows each crop once." in said
    assert "0.83 for mask, 1.25 for no_mask." in said
    assert "The last epoch was kept, number 20." in said
    for word in ("Otherwise", "stopped", "incorrect", "resumed"):
        assert word not in said


@pytest.mark.parametrize(
    ("steps", "crops", "says"),
    [
        (
            4,
            3345,
            "4 batches of 32 crops: it shows none of the 3,345 twice and leaves ",
        ),
        (None, 100, "3 batches of 32 crops: it shows none of the 100 twice and leaves"),
        (1, 8, "1 batch of 8 crops: it shows each crop once."),
        (5, 8, "5 batches of 8 crops: 5 passes over them."),
        (7, 64, "7 batches of 32 crops: 3.5 passes over them."),
    ],
)
def test_how_often_a_crop_is_seen_is_counted(steps, crops, says):
    recipe = replace(RECIPES["tutorial"], steps=steps)
    said = trained(recipe, rows(*[1] * 20), crops=crops)
    assert says in said
    assert ("`steps`" in said) == (steps is not None)


def test_a_stopped_run_says_how_far_it_came():
    said = trained(RECIPES["finetune"], rows(*[1] * 7))
    assert "7 of 10 epochs of the head alone" in said
    assert "0 of 10 epochs of the head and the body" in said
    assert "It was stopped after 7 of 20 epochs." in said
    assert "number 7" in said


def test_early_stopping_says_why_and_which_epoch():
    losses = [0.9, 0.4, 0.5, 0.6]
    recipe = RECIPES["early-stop"]
    said = trained(recipe, rows(*[1] * 4, losses=losses))
    assert "4 of 100 epochs of the head alone" in said
    assert "It ended by itself: 2 epochs had not lowered the validation loss." in said
    assert "lowest validation loss was kept, number 2." in said
    said = trained(recipe, rows(*[1] * 3, losses=losses[:3]))
    assert "It was stopped after 3 of 100 epochs." in said


def test_lots_are_drawn_from_the_classes_that_are_there():
    log = rows(*[1] * 12, merits=[0.1] * 5 + [0.9, 0.9] + [0.2] * 5)
    recipe = RECIPES["maskdet"]
    said = trained(recipe, log)
    assert "140 batches of 64 crops sampled at random" in said
    assert "each batch is 50% mask, 50% no_mask on average." in said
    assert "best validation was kept, number 6." in said
    assert "16% incorrect" in trained(recipe, log, class_counts=[1, 1, 1])
    assert "16% incorrect" in trained(recipe, log, class_counts=None)


def test_what_was_changed_and_what_the_body_began_with_is_said():
    recipe = replace(RECIPES["tutorial"].with_epochs(2), size_px=96)
    log = rows(1, 1)
    said = trained(recipe, log, start=None, planned_before=[[1, 1]])
    assert "`epochs` 2 instead of 20, `size_px` 96 instead of 224." in said
    assert "began with random weights" in said
    assert "resumed with another number of epochs" in said
    assert "ImageNet weights of Keras" in trained(recipe, log, start="imagenet")
    assert "Keras trained" not in trained(recipe, log, backends=["tensorflow"])
    both = trained(recipe, log, backends=["torch", "tensorflow"])
    assert "Keras trained with PyTorch and then TensorFlow;" in both
    older = {k: v for k, v in KNOWN.items() if k != "start"}
    assert "began" not in " ".join(_training_sentences(recipe, older, log))


def data(recipe, test=None, **known):
    exported = SimpleNamespace(n_validation=50, test_metrics=test or {})
    return " ".join(filter(None, _data_sentences(recipe, KNOWN | known, exported)))


def test_the_data_are_named_counted_and_noted():
    said = data(RECIPES["tutorial"], val=["mine"], only_source="drawn")
    assert "100 crops (60 mask, 40 no_mask, 0 incorrect) of: faces, only" in said
    assert "only images of the source `drawn`." in said
    assert "an image of one face is one as a whole." in said
    assert "Validated on 50 crops of: mine." in said
    assert "No test images were held back" in said
    assert "drew" not in said
    notes = ["no validation split in the data: split by group with seed 1"]
    said = data(RECIPES["maskdet"], {"real": 1}, data_report={"notes": notes})
    assert "Of the data: no validation split in the data: split by group" in said
    assert "gives two, the whole and the face that the detector is sure of" in said
    assert "up to 6,000 of the crops" in said
    assert "Test images were not used in any choice." in said
    said = data(RECIPES["maskdet"], finder="none", drawn_crops=12)
    assert "one as a whole" in said
    assert "drew 12 of the crops" in said


def test_a_class_that_was_never_seen_is_not_to_be_trusted():
    assert "never seen" in rare_class_sentence([3, 3, 0])
    assert "trust `incorrect` least" in rare_class_sentence([3, 3, 1])
    assert "trust `incorrect` least" in rare_class_sentence(None)
