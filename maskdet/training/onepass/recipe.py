"""Training recipe of the single-stage network: all hyperparameters."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from maskdet.training.classifier.recipes import (
    MAX_DRAWN,
    MAX_SEED,
    check_count,
    check_learning_rate,
)
from maskdet.training.onepass.batches import (
    CLASS_FRACTIONS,
    EMPTY_FRACTION,
    MOSAIC_GRIDS,
    SAMPLE_SIDES_PX,
    SampleConfig,
)
from maskdet.training.onepass.losses import LossWeights

_STORED_VIEW_KEYS = {
    "min_visible_fraction": "kept_share",
    "teacher_fraction": "taught_share",
    "ambiguous_fraction": "blurred_share",
    "ambiguous_px": "blurred_px",
}
"""Attributes of `SampleConfig` that `recipe.json` stores under another key."""

TIMED_WH = ((320, 256), (640, 480))
"""Input sizes that are timed: small live video, and an image."""


@dataclass(frozen=True)
class OnePassRecipe:
    """All hyperparameters. Constants are beside the code that uses them.

    Attributes:
        epochs: number of epochs.
        steps: batches per epoch.
        batch_size: samples of 320 px per step; fewer if they are larger.
        learning_rate: peak rate, used for the mask branch.
        body_rate: rate of the layers initialized from YuNet, as a fraction of
            `learning_rate`. These layers detect faces already and forget at the full
            rate.
        warm_up: fraction of the steps for the warm-up, followed by a cosine decay.
        weight_decay: of kernels, as in AdamW.
        clip_norm: maximum global norm of the gradient.
        average_decay: decay of the averaged weights per step.
        drawn: number of synthetic images, made once.
        losses: weights of the losses.
        views: how samples are cut from scenes.
        negatives: fraction of samples from images without a face, if there are any.
        mined_every: epochs between minings of false positives; images with false
            positives are sampled more often.
        seed: determines all random choices.
    """

    epochs: int = 36
    steps: int = 300
    batch_size: int = 16
    learning_rate: float = 2e-3
    body_rate: float = 0.2
    warm_up: float = 0.03
    weight_decay: float = 1e-3
    clip_norm: float = 20.0
    average_decay: float = 0.999
    drawn: int = 800
    losses: LossWeights = LossWeights()  # noqa: RUF009 - frozen
    views: SampleConfig = SampleConfig()  # noqa: RUF009 - frozen
    negatives: float = 0.25
    mined_every: int = 3
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("epochs", "steps", "batch_size"):
            check_count(name, getattr(self, name))
        check_count("drawn", self.drawn, 0, MAX_DRAWN)
        check_count("seed", self.seed, 0, MAX_SEED)
        check_learning_rate(self.learning_rate)
        if not 0 <= self.negatives <= 1:
            raise ValueError(f"negatives must be from 0 to 1, not {self.negatives!r}")

    def to_json(self) -> dict[str, object]:
        """Return all hyperparameters and sampling constants, JSON-compatible."""
        values = dataclasses.asdict(self)
        values["views"] = {
            _STORED_VIEW_KEYS.get(name, name): value
            for name, value in values["views"].items()
        }
        return values | {
            "class_shares": {
                label.key: part for label, part in CLASS_FRACTIONS.items()
            },
            "empty_share": EMPTY_FRACTION,
            "sides_px": {str(side): part for side, part in SAMPLE_SIDES_PX.items()},
            "grids": {str(side): part for side, part in MOSAIC_GRIDS.items()},
        }
