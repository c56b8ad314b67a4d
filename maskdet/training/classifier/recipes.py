"""The recipes: each one the whole truth of how a classifier is made.

Four are those of published systems, kept to compare with; `maskdet` is our own. Where
a published one had a mistake, the right way is taken and a comment says so. All have
three outputs: on data of two classes the third is simply never the truth. Our own may
have a fourth, which says that there is no face.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from maskdet.classifier import DEFAULT_CONTEXT

MAX_INPUT_PX = 1024
"""Largest side of an input: all crops of a training are in memory at once."""

MAX_DRAWN = 1_000_000

MAX_SEED = 2**32 - 1
"""Of NumPy's, which TensorFlow's follow."""


def check_learning_rate(learning_rate: float) -> None:
    """Refuse a learning rate that cannot train.

    Raises:
        ValueError: it is not a number over 0.
    """
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(f"learning_rate must be over 0, not {learning_rate}")


def check_count(
    name: str, count: int, minimum: int = 1, maximum: int | None = None
) -> None:
    """Refuse a number of something that cannot train.

    Raises:
        ValueError: it is below `minimum` or above `maximum`.
    """
    if count < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {count}")
    if maximum is not None and count > maximum:
        raise ValueError(f"{name} must be at most {maximum}, not {count}")


@dataclass(frozen=True)
class Stage:
    """One part of a training, with an optimizer of its own.

    Attributes:
        epochs: rounds of this stage.
        optimizer: `adam`, `rmsprop` or `adamw`.
        learning_rate: at the start; the peak where there is a warm-up.
        train_from: number of the first layer of the body that learns; 0 for all,
            None for none: then only the head learns.
        decay: the rate falls as 1 / (1 + decay * step); 0 keeps it.
        warm_up: share of the steps in which the rate rises, before it falls to
            nothing on a cosine; None for neither.
        weight_decay: of AdamW, on kernels only.
    """

    epochs: int
    optimizer: Literal["adam", "rmsprop", "adamw"]
    learning_rate: float
    train_from: int | None
    decay: float = 0.0
    warm_up: float | None = None
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that cannot train."""
        check_count("epochs", self.epochs)
        check_learning_rate(self.learning_rate)


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe:
    """Every knob of a training.

    Attributes:
        name: what `--recipe` calls it.
        title: a few words for people.
        about: one or two sentences: where it is from, and what is done otherwise.
        source: where it was published, as Markdown links; empty for our own.
        network: `pooled` (MobileNetV2, average, dropout, outputs), `dense` (the same
            with 128 units after the average) or `custom-cnn`.
        size_px: side of the square input.
        context: side of the crop in longer sides of the face box, here and at run
            time.
        stages: what is trained, in this order.
        batch_size: crops a step.
        steps: batches an epoch; None for one pass over the crops.
        dropout: share of features dropped before the last layer while training.
        norm_learns: whether the batch normalisation of the body uses and learns the
            statistics of the batches, in the layers that train. Else it works as at
            run time in every stage: the statistics stay those of the initial weights,
            and only scale and offset learn, in the layers that train.
        views: how a crop is changed each time it is shown: `camera`, `tutorial` or
            `flip-turn`.
        drawn: crops to train on that our own code draws: masks worn well and wrongly,
            and things before the mouth that are none; see `drawn.py`.
        smoothing: of labels.
        average_decay: of the averaged weights that are kept; None keeps the last.
        keep: which epoch's weights stay: with the best `merit` on validation, with
            the lowest validation `loss`, or the `last`.
        patience: epochs without a lower validation loss after which it ends; None
            for never.
        shares: train, val and test of data that has no split of its own.
        weights: where the body starts: `imagenet`, or None for chance.
        seed: fixes weights, splits, order and every view.
        verifies: whether a fourth output says that there is no face; it is trained
            on false detections in images without a face.
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
    shares: tuple[float, float, float] | None = None
    weights: str | None = "imagenet"
    seed: int = 1
    verifies: bool = False

    def __post_init__(self) -> None:
        """Refuse values that cannot train."""
        if self.verifies and self.views != "camera":
            raise ValueError("only recipe maskdet learns what is no face")
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
        """Rounds of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def stage_index(self, epoch: int) -> int:
        """Return the index of the stage that `epoch`, counted from 0, belongs to."""
        for index, stage in enumerate(self.stages):
            epoch -= stage.epochs
            if epoch < 0:
                return index
        raise ValueError(f"the recipe has {self.epochs} epochs")

    def with_epochs(self, epochs: int) -> ClassifierRecipe:
        """Return the recipe with this many rounds, shared out as its own are.

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

    def to_json(self) -> dict[str, object]:
        """Return every knob as `json.dumps` can write it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ClassifierRecipe:
        """Return the recipe that `to_json` gave; other keys are not looked at.

        Raises:
            ValueError: a knob is missing or has a value it cannot have.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        try:
            knobs = {name: values[name] for name in names if name in values}
            knobs["stages"] = tuple(Stage(**stage) for stage in knobs["stages"])
            if knobs.get("shares") is not None:
                knobs["shares"] = tuple(knobs["shares"])
            return cls(**knobs)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no recipe of this version: {error}") from None


# The four systems showed the network the box as it was found, without a margin.
_BOX_CONTEXT = 1.0

_ADAM = Stage(epochs=20, optimizer="adam", learning_rate=1e-4, train_from=None)

# Where the published networks had two outputs and binary cross-entropy, ours have
# three and categorical cross-entropy: with two classes present the two are the same
# loss. Their data was balanced; any other is balanced by weighting the loss (see
# `material.class_weights`), so that an epoch stays one pass over every crop.
_TUTORIAL_SOURCE = (
    "[ikigai-aa/Face-Mask-Detector-using-MobileNetV2]"
    "(https://github.com/ikigai-aa/Face-Mask-Detector-using-MobileNetV2)"
)

_TUTORIAL = ClassifierRecipe(
    name="tutorial",
    title="Tutorial recipe",
    about="The usual tutorial recipe, as in Face-Mask-Detector-using-MobileNetV2: a "
    "frozen MobileNetV2 and a head of 128 units. The original was measured on its "
    "validation images; here test images, where there are any, are held back.",
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
    "measured on test images, where there are any.",
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
    shares=(0.7, 0.2, 0.1),
)

_MASKDET = ClassifierRecipe(
    name="maskdet",
    title="maskdet",
    about="Our own recipe: all layers of MobileNetV2 are trained on crops augmented as "
    "cameras and face detectors produce them, with fixed fractions of classes and "
    "sources in each batch.",
    network="pooled",
    # Half of the faces to read are narrower than 30 px; 128 costs a third more time a
    # face and more than packed crops show.
    size_px=112,
    context=DEFAULT_CONTEXT,
    stages=(
        Stage(
            epochs=12,
            optimizer="adamw",
            # Small enough to keep what ImageNet taught; it rises at first, so that
            # the new head does not shake the body.
            learning_rate=5e-4,
            train_from=0,
            warm_up=0.05,
            weight_decay=0.02,
        ),
    ),
    batch_size=64,  # the largest that is still fast on two cores
    steps=140,
    dropout=0.3,
    norm_learns=True,
    views="camera",
    drawn=6000,
    smoothing=0.05,  # the folders hold a few wrong labels
    average_decay=0.99,  # about 100 steps
    keep="merit",
)

RECIPES: Mapping[str, ClassifierRecipe] = {
    recipe.name: recipe
    for recipe in (_MASKDET, _TUTORIAL, _CUSTOM_CNN, _FINETUNE, _EARLY_STOP)
}
"""Every recipe that ships, by name; our own first."""
