"""What a training of the one-pass network writes down: one row an epoch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maskdet.training.logs import append_row
from maskdet.training.onepass.validation import OnePassMetrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OnePassEpoch:
    """What one epoch came to.

    Attributes:
        epoch: counted from 1.
        learning_rate: after its last step.
        views_per_s: how many views a second it learnt from.
        took_s: seconds, validation included.
        losses: mean of each, unweighted.
        validation_metrics: of the averaged weights, on some of the validation scenes.
        false_positive_rates: fraction of images without a face in which one is
            detected, by threshold.
    """

    epoch: int
    learning_rate: float
    views_per_s: float
    took_s: float
    losses: Mapping[str, float]
    validation_metrics: OnePassMetrics
    false_positive_rates: Mapping[str, float] = field(default_factory=dict)

    def to_row(self) -> dict[str, float]:
        """Return everything under one name each."""
        return {
            "epoch": self.epoch,
            "stage": 1,
            "loss": round(sum(self.losses.values()), 5),
            **{f"loss_{name}": round(value, 5) for name, value in self.losses.items()},
            **{
                f"val_{name}": value
                for name, value in vars(self.validation_metrics).items()
            },
            **{
                f"val_false_positives_{threshold}": value
                for threshold, value in self.false_positive_rates.items()
            },
            "learning_rate": self.learning_rate,
            "views_per_s": self.views_per_s,
            "took_s": self.took_s,
        }


def log_onepass_epoch(out: Path, epoch: OnePassEpoch, n_epochs_left: int) -> None:
    """Add a row to both logs and tell it on the console.

    Args:
        out: folder of the run.
        epoch: the epoch.
        n_epochs_left: epochs still to come.
    """
    losses = ", ".join(f"{name} {value:.3f}" for name, value in epoch.losses.items())
    logger.info("epoch %d: losses %s", epoch.epoch, losses)
    logger.info("epoch %d: validation %s", epoch.epoch, epoch.validation_metrics)
    if epoch.false_positive_rates:
        logger.info(
            "epoch %d: false positives %s",
            epoch.epoch,
            dict(epoch.false_positive_rates),
        )
    logger.info(
        "epoch %d: %.1f views a second, %.0f s; about %.0f min left",
        epoch.epoch,
        epoch.views_per_s,
        epoch.took_s,
        n_epochs_left * epoch.took_s / 60,
    )
    append_row(out, epoch.to_row())
