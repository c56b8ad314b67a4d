"""What a training of the one-pass network writes down: one row an epoch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maskdet.training.logs import append_row
from maskdet.training.onepass.validation import Precision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        epoch: counted from 1.
        learning_rate: after its last step.
        views_per_s: how many views a second it learnt from.
        took_s: seconds, validation included.
        losses: mean of each, unweighted.
        validation: of the averaged weights, on some of the validation scenes.
        false_positives: fraction of images without a face in which one is detected, by
            threshold.
    """

    epoch: int
    learning_rate: float
    views_per_s: float
    took_s: float
    losses: Mapping[str, float]
    validation: Precision
    false_positives: Mapping[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, float]:
        """Return everything under one name each."""
        return {
            "epoch": self.epoch,
            "stage": 1,
            "loss": round(sum(self.losses.values()), 5),
            **{f"loss_{name}": round(one, 5) for name, one in self.losses.items()},
            **{f"val_{name}": one for name, one in vars(self.validation).items()},
            **{
                f"val_false_positives_{least}": one
                for least, one in self.false_positives.items()
            },
            "learning_rate": self.learning_rate,
            "views_per_s": self.views_per_s,
            "took_s": self.took_s,
        }


def log_epoch(out: Path, done: Epoch, left: int) -> None:
    """Add a row to both logs and tell it on the console.

    Args:
        out: folder of the run.
        done: the epoch.
        left: epochs still to come.
    """
    losses = ", ".join(f"{name} {value:.3f}" for name, value in done.losses.items())
    logger.info("epoch %d: losses %s", done.epoch, losses)
    logger.info("epoch %d: validation %s", done.epoch, done.validation)
    if done.false_positives:
        logger.info(
            "epoch %d: false positives %s", done.epoch, dict(done.false_positives)
        )
    logger.info(
        "epoch %d: %.1f views a second, %.0f s; about %.0f min left",
        done.epoch,
        done.views_per_s,
        done.took_s,
        left * done.took_s / 60,
    )
    append_row(out, done.row())
