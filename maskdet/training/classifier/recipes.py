"""Training recipes: all hyperparameters of each classifier.

Four recipes reproduce published systems for comparison; `maskdet` is our own. Mistakes
of the published systems are corrected, with a comment. All recipes have three outputs;
data of two classes never has the third label. Our own may have a fourth, `no_face`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maskdet.classifier import DEFAULT_CONTEXT
from maskdet.training.run_log import (
    RECIPE_FILE,
    epochs_since_lowest_loss,
    read_recipe_json,
)
from maskdet.validation import parse_fields

MAX_INPUT_PX = 1024
"""Largest input side: all crops of a training are in memory."""

MAX_DRAWN = 1_000_000

MAX_SEED = 2**32 - 1
"""Largest seed of NumPy."""

_STORED_KEYS = {"split_fractions": "shares"}
"""Attributes that `recipe.json` and `facts.json` store under another key."""

# The four systems cropped the detected box without a margin.
_BOX_CONTEXT = 1.0

# The published networks have two outputs and binary cross-entropy; these have three and
# categorical cross-entropy, which is the same loss for two classes. Their data was
# balanced; other data is balanced by weighting the loss (see `compute_class_weights`),
# so that an epoch remains one pass over all crops.
_TUTORIAL_SOURCE = (
    "[ikigai-aa/Face-Mask-Detector-using-MobileNetV2]"
    "(https://github.com/ikigai-aa/Face-Mask-Detector-using-MobileNetV2)"
)


def check_learning_rate(learning_rate: float) -> None:
    """Check a learning rate.

    Raises:
        ValueError: the rate is not a finite number greater than 0.
    """
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(
            f"learning_rate must be a number greater than 0, not {learning_rate}"
        )


def check_count(
    name: str, count: int, minimum: int = 1, maximum: int | None = None
) -> None:
    """Check that a count is in range.

    Raises:
        ValueError: the count is below `minimum` or above `maximum`.
    """
    if count < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {count}")
    if maximum is not None and count > maximum:
        raise ValueError(f"{name} must be at most {maximum}, not {count}")


@dataclass(frozen=True)
class Stage:
    """A stage of a training, with its own optimizer.

    Attributes:
        epochs: number of epochs.
        optimizer: `adam`, `rmsprop` or `adamw`.
        learning_rate: initial rate, or the peak with a warm-up.
        train_from: index of the first trainable layer of the body; 0 for all layers,
            None for the head only.
        decay: the rate decays as 1 / (1 + decay * step); 0 for a constant rate.
        warm_up: fraction of the steps for the warm-up, followed by a cosine decay to
            0; None for neither.
        weight_decay: of AdamW, for kernels only.
    """

    epochs: int
    optimizer: Literal["adam", "rmsprop", "adamw"]
    learning_rate: float
    train_from: int | None
    decay: float = 0.0
    warm_up: float | None = None
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        check_count("epochs", self.epochs)
        check_learning_rate(self.learning_rate)


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe:
    """All hyperparameters of a training.

    Attributes:
        name: value of `--recipe`.
        title: short title.
        about: one or two sentences on the origin and the differences from it.
        source: link to the publication, as Markdown; empty for our own recipe.
        network: `pooled` (MobileNetV2, average pooling, dropout, outputs), `dense`
            (the same with 128 units after the pooling) or `custom-cnn`.
        size_px: side of the square input.
        context: side of the crop in longer sides of the face box, in training and at
            run time.
        stages: stages of the training, in this order.
        batch_size: crops per step.
        steps: batches per epoch; None for one pass over the crops.
        dropout: fraction of features dropped before the last layer in training.
        norm_learns: whether batch normalisation in trained layers of the body uses
            and updates batch statistics. Otherwise the statistics remain those of the
            initial weights, and only scale and offset are trained.
        views: augmentation of the crops: `camera`, `tutorial` or `flip-turn`.
        drawn: number of synthetic training crops; see `draw_synthetic_crops`.
        smoothing: label smoothing.
        average_decay: decay of the averaged weights; None for no averaging.
        keep: epoch whose weights are kept: best validation score (`merit`), lowest
            validation `loss`, or `last`.
        patience: epochs without a lower validation loss until early stopping; None
            to disable it.
        split_fractions: train, val and test fractions for data without splits.
        weights: initial weights of the body: `imagenet`, or None for random weights.
        seed: determines weights, splits, order and augmentation.
        verifies: whether a fourth output, `no_face`, is trained on false positives in
            images without a face.
    """

    name: str
    title: str
    about: str
    network: Literal["pooled", "dense", "custom-cnn"]
    size_px: int
    context: float
    stages: tuple[Stage, ...]
    batch_size: int
    steps: int | None
    dropout: float
    norm_learns: bool
    views: Literal["camera", "tutorial", "flip-turn"]
    source: str = ""
    drawn: int = 0
    smoothing: float = 0.0
    average_decay: float | None = None
    keep: Literal["merit", "loss", "last"] = "last"
    patience: int | None = None
    split_fractions: tuple[float, float, float] | None = None
    weights: str | None = "imagenet"
    seed: int = 1
    verifies: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        if self.verifies and self.views != "camera":
            raise ValueError("only recipe maskdet can train the no_face output")
        check_count("size_px", self.size_px, 32, MAX_INPUT_PX)
        check_count("batch_size", self.batch_size)
        if self.steps is not None:
            check_count("steps", self.steps)
        check_count("drawn", self.drawn, 0, MAX_DRAWN)
        check_count("seed", self.seed, 0, MAX_SEED)
        if self.size_px % 16:
            raise ValueError(f"size_px must be a multiple of 16, not {self.size_px}")
        if not self.stages:
            raise ValueError("a recipe needs at least one stage")

    @property
    def epochs(self) -> int:
        """Number of epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def stage_index(self, epoch: int) -> int:
        """Return the index of the stage that `epoch`, counted from 0, belongs to."""
        for index, stage in enumerate(self.stages):
            epoch -= stage.epochs
            if epoch < 0:
                return index
        raise ValueError(f"the recipe has {self.epochs} epochs")

    def with_epochs(self, epochs: int) -> ClassifierRecipe:
        """Return the recipe with this number of epochs, distributed over the stages.

        Raises:
            ValueError: there are fewer epochs than stages.
        """
        if epochs < len(self.stages):
            hint = ", one for each stage" if len(self.stages) > 1 else ""
            raise ValueError(
                f"epochs must be at least {len(self.stages)}, not {epochs}{hint}"
            )
        ends = [sum(s.epochs for s in self.stages[:i]) for i in range(len(self.stages))]
        starts = [
            max(index, round(epochs * end / self.epochs))
            for index, end in enumerate(ends)
        ]
        stages = tuple(
            dataclasses.replace(stage, epochs=max(1, stop - start))
            for stage, start, stop in zip(
                self.stages, starts, [*starts[1:], epochs], strict=True
            )
        )
        return dataclasses.replace(self, stages=stages)

    def stops_early(self, log: Sequence[Mapping[str, float]]) -> bool:
        """Return whether early stopping applies after the epochs of a log."""
        return (
            self.patience is not None and epochs_since_lowest_loss(log) >= self.patience
        )

    def to_json(self) -> dict[str, object]:
        """Return all hyperparameters as a JSON-compatible dictionary."""
        values = dataclasses.asdict(self)
        return {_STORED_KEYS.get(name, name): value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ClassifierRecipe:
        """Return the recipe that `to_json` wrote; other keys are ignored.

        Raises:
            ValueError: a hyperparameter is missing or invalid.
        """
        stored_keys = {
            field.name: _STORED_KEYS.get(field.name, field.name)
            for field in dataclasses.fields(cls)
        }
        knobs = {
            name: values[key] for name, key in stored_keys.items() if key in values
        }
        try:
            return parse_fields(cls, knobs)
        except ValueError as error:
            raise ValueError(f"not a recipe of this version: {error}") from None


_ADAM = Stage(epochs=20, optimizer="adam", learning_rate=1e-4, train_from=None)


_TUTORIAL = ClassifierRecipe(
    name="tutorial",
    title="Tutorial recipe",
    about="The usual tutorial recipe, as in Face-Mask-Detector-using-MobileNetV2: a "
    "frozen MobileNetV2 and a head of 128 units. The original was evaluated on its "
    "validation images; here test images are held out, if there are any.",
    source=_TUTORIAL_SOURCE,
    network="dense",
    size_px=224,
    context=_BOX_CONTEXT,
    # Keras' old `decay`: learning rate / epochs, so the rate stays nearly the same.
    stages=(dataclasses.replace(_ADAM, decay=1e-4 / 20),),
    batch_size=32,
    steps=None,
    dropout=0.5,
    norm_learns=False,
    views="tutorial",
)

_CUSTOM_CNN = dataclasses.replace(
    _TUTORIAL,
    name="custom-cnn",
    title="Custom CNN",
    about="The custom network of the article Facemask Detection from Videos (2020): 92 "
    "million parameters, trained from random weights. Trained as the tutorial recipe, "
    "and evaluated on test images, if there are any.",
    source="",
    network="custom-cnn",
    stages=(dataclasses.replace(_ADAM, decay=1e-4 / 20, train_from=0),),
    dropout=0.25,
    norm_learns=True,
    weights=None,
)

_FINETUNE = ClassifierRecipe(
    name="finetune",
    title="Two-stage fine-tuning",
    about="The recipe of the Streamlit app Face-Mask Detection: first the head on a "
    "frozen MobileNetV2, then the upper layers too. The original took validation and "
    "test images from one shuffled stream and computed its ROC curve from labels; here "
    "the splits never mix and curves come from scores.",
    source="[marinafdezban/final_project]"
    "(https://github.com/marinafdezban/final_project)",
    network="pooled",
    size_px=160,
    context=_BOX_CONTEXT,
    stages=(
        Stage(epochs=10, optimizer="adam", learning_rate=1e-4, train_from=None),
        Stage(epochs=10, optimizer="rmsprop", learning_rate=1e-5, train_from=100),
    ),
    batch_size=32,
    steps=None,
    dropout=0.2,
    norm_learns=False,
    views="flip-turn",
)

_EARLY_STOP = dataclasses.replace(
    _TUTORIAL,
    name="early-stop",
    title="Early stopping",
    about="The recipe of CV-Mask-detection: the tutorial network with early stopping. "
    "The original monitored the training loss, augmented the validation images, kept "
    "the last weights and swapped the labels in its report; here the loss on "
    "validation images without augmentation decides, and the best weights are "
    "restored.",
    source="[GalileoParise/CV-Mask-detection]"
    "(https://github.com/GalileoParise/CV-Mask-detection)",
    stages=(dataclasses.replace(_ADAM, epochs=100, decay=1e-6),),
    keep="loss",
    patience=2,
    split_fractions=(0.7, 0.2, 0.1),
)

_MASKDET = ClassifierRecipe(
    name="maskdet",
    title="maskdet",
    about="Our own recipe: all layers of MobileNetV2 are trained on crops augmented as "
    "cameras and face detectors produce them, with fixed fractions of classes and "
    "sources in each batch.",
    network="pooled",
    # Half of the faces are narrower than 30 px; an input of 128 px takes a third more
    # time per face, and exceeds the resolution of packed crops.
    size_px=112,
    context=DEFAULT_CONTEXT,
    stages=(
        Stage(
            epochs=12,
            optimizer="adamw",
            # Small enough to keep the ImageNet features; the warm-up protects them
            # from the gradients of the new head.
            learning_rate=5e-4,
            train_from=0,
            warm_up=0.05,
            weight_decay=0.02,
        ),
    ),
    batch_size=64,  # the largest that is fast on two cores
    steps=140,
    dropout=0.3,
    norm_learns=True,
    views="camera",
    drawn=6000,
    smoothing=0.05,  # the data has a few wrong labels
    average_decay=0.99,  # about 100 steps
    keep="merit",
)

RECIPES: Mapping[str, ClassifierRecipe] = {
    recipe.name: recipe
    for recipe in (_MASKDET, _TUTORIAL, _CUSTOM_CNN, _FINETUNE, _EARLY_STOP)
}
"""All recipes by name; our own is the first."""


def read_recipe(run_folder: Path) -> tuple[ClassifierRecipe, dict[str, object]]:
    """Return the recipe of a run and all entries of `recipe.json`.

    Raises:
        FileNotFoundError: the folder is not a run.
        ValueError: the run is of another version.
    """
    path = run_folder / RECIPE_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: file does not exist; {run_folder} is not a training run"
        )
    metadata = read_recipe_json(path)
    try:
        return ClassifierRecipe.from_json(metadata), metadata
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
