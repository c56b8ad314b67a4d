"""Easily separable crops and small networks for training tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from maskdet.training.classifier.batches import EpochIterator
from maskdet.training.classifier.crops import Crops, PackedCrops
from maskdet.training.classifier.data import ClassifierData
from maskdet.training.classifier.recipes import RECIPES, ClassifierRecipe, Stage
from maskdet.types import Label

if TYPE_CHECKING:
    import keras

EIGHT_CROPS = {
    (Label.MASK, False): 3,
    (Label.NO_MASK, False): 3,
    (Label.INCORRECT, False): 2,
}

TINY_RECIPE = ClassifierRecipe(
    name="tutorial",
    title="Tiny",
    about="For tests.",
    network="pooled",
    size_px=32,
    context=1.0,
    stages=(Stage(3, "adam", 0.1, 0),),
    batch_size=8,
    steps=None,
    dropout=0.0,
    norm_learns=False,
    views="tutorial",
    weights=None,
)


def make_samples(counts: dict[tuple[Label, bool], int], side: int = 32) -> PackedCrops:
    """Return `counts` crops per (label, whole); each class has its own colour."""
    labels = [label for (label, _), n in counts.items() for _ in range(n)]
    is_whole = [
        is_whole_image for (_, is_whole_image), n in counts.items() for _ in range(n)
    ]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (len(labels), side, side, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., int(label)] += 180
    sources = np.array(["odd" if row % 2 else "even" for row in range(len(labels))])
    drawn = np.zeros(len(labels), np.bool_)
    return PackedCrops(
        images, np.array(labels, np.int64), sources, np.array(is_whole), drawn
    )


def make_crops(
    counts: dict[tuple[Label, bool], int] = EIGHT_CROPS, side: int = 32
) -> Crops:
    """Return the same images as validation crops."""
    packed = make_samples(counts, side)
    return Crops(packed.images, packed.labels, packed.sources)


def keep_unchanged(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Return a crop unchanged."""
    return image


def make_training_data(steps: int = 1, seed: int = 1) -> ClassifierData:
    """Return eight crops for training, and the same for validation."""
    crops = make_crops()
    batches = EpochIterator(crops, keep_unchanged, 8, seed)
    return ClassifierData(batches, steps, 8, crops, np.ones(3, np.float32))


def build_tiny_network(recipe: ClassifierRecipe, weights: object = None) -> keras.Model:
    """Build a network of one layer that replaces the real ones."""
    import keras

    images = keras.Input((recipe.size_px, recipe.size_px, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    probs = keras.layers.Dense(3, activation="softmax", name="probs")(x)
    return keras.Model(images, probs)


def build_conv_network(recipe: ClassifierRecipe, weights: object = None) -> keras.Model:
    """Build a small network with the layer types of the real ones."""
    import keras

    images = keras.Input((recipe.size_px, recipe.size_px, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.ReLU(max_value=6.0)(x)
    y = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.MaxPooling2D(2)(keras.layers.Add()([x, y]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    probs = keras.layers.Dense(3, activation="softmax", name="probs")(x)
    return keras.Model(images, probs)


def make_small_recipe(name: str, **changes: object) -> ClassifierRecipe:
    """Return a real recipe, reduced for a test."""
    return dataclasses.replace(
        RECIPES[name], size_px=32, dropout=0.0, batch_size=8, **changes
    )


def write_class_folders(folder: Path, splits: Iterable[str] = ("train", "val")) -> Path:
    """Write a data set of two classes with distinct images."""
    for split in splits:
        for label in (Label.MASK, Label.NO_MASK):
            class_folder = folder / split / label.key
            class_folder.mkdir(parents=True)
            for number in range(4):
                rng = np.random.default_rng([len(split), int(label), number])
                coarse = rng.integers(0, 60, (6, 6, 3), dtype=np.uint8)
                coarse[..., int(label)] += 180
                image = cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
                cv2.imwrite(str(class_folder / f"{number}.png"), image)
    return folder
