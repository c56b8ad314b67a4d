"""Every knob of a training of the one-pass network."""

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


@dataclass(frozen=True)
class OnePassRecipe:
    """Every knob; the rest of the numbers is beside what it turns.

    Attributes:
        epochs: rounds.
        steps: batches a round.
        batch_size: views of 320 px a step; larger views are fewer.
        learning_rate: highest rate, of the mask branch.
        body_rate: the rate of the layers that start as YuNet, as a share of it. They
            know faces already: at the full rate they forget.
        warm_up: share of the steps in which the rate rises; then it falls on a cosine.
        weight_decay: of kernels, as in AdamW.
        clip_norm: longest gradient, of all weights together.
        average_decay: how slowly the averaged weights follow, a step.
        drawn: images that our own code draws on, made once.
        losses: what counts how much.
        views: how scenes become views.
        negatives: how many views are of images without a face, where there are any.
        mined_every: after so many epochs they are mined anew: those that the network
            sees faces in are shown more often.
        seed: fixes every choice.
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
        """Refuse values that cannot train."""
        for name in ("epochs", "steps", "batch_size"):
            check_count(name, getattr(self, name))
        check_count("drawn", self.drawn, 0, MAX_DRAWN)
        check_count("seed", self.seed, 0, MAX_SEED)
        check_learning_rate(self.learning_rate)
        if not 0 <= self.negatives <= 1:
            raise ValueError(f"negatives must be from 0 to 1, not {self.negatives!r}")

    def to_json(self) -> dict[str, object]:
        """Return every knob by name, those of the views' choice among them."""
        return dataclasses.asdict(self) | {
            "class_shares": {
                label.key: part for label, part in CLASS_FRACTIONS.items()
            },
            "empty_share": EMPTY_FRACTION,
            "sides_px": {str(side): part for side, part in SAMPLE_SIDES_PX.items()},
            "grids": {str(side): part for side, part in MOSAIC_GRIDS.items()},
        }


TIMED_WH = ((320, 256), (640, 480))
"""Sizes that are timed: small live video, and an image."""
