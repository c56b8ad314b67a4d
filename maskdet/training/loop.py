"""The training loop of both networks: train, validate, keep the best, log, resume."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import keras
from tqdm import tqdm

from maskdet.training.checkpoint import (
    TrainingState,
    WeightAverage,
    load_state,
    read_state,
    save_best,
    save_state,
    use_average,
)
from maskdet.training.run_log import (
    BEST_FILE,
    STATE_FILE,
    AnyRecipe,
    append_row,
    create_run_folder,
    drop_epochs_after,
    write_recipe,
)
from maskdet.training.workers import TrainingBatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EpochResult:
    """What a network measured in one epoch.

    Attributes:
        row: its columns in the log. `loss` is the training loss; `val_loss`, if the
            network has a validation loss, is used for early stopping.
        lines: lines for the console.
        score: the score by which the best epoch is kept; higher is better.
    """

    row: Mapping[str, float]
    lines: Sequence[str]
    score: float


class NetworkInTraining(ABC):
    """What the loop needs to know of a network.

    Attributes:
        recipe: all hyperparameters.
        model: the network.
        learner: the compiled model, with the same weights as `model`.
        average: the averaged weights, if the recipe uses them.
        steps: batches per epoch.
        patience: epochs without a lower validation loss until early stopping.
        shown_loss: the loss that the progress bar shows.
    """

    recipe: AnyRecipe
    model: keras.Model
    learner: keras.Model
    average: WeightAverage | None
    steps: int
    patience: int | None = None
    shown_loss: str

    def stage_index(self, epoch: int) -> int:
        """Return the index of the stage that `epoch`, counted from 0, belongs to."""
        return 0

    @abstractmethod
    def start_stage(self, stage: int) -> None:
        """Compile the learner for a stage."""

    def prepare_epoch(self, epoch: int) -> None:  # noqa: B027 - optional
        """Do what an epoch needs before its first step; by default nothing."""

    @abstractmethod
    def iter_batches(self, epoch: int) -> Iterator[TrainingBatch]:
        """Yield the batches of an epoch, reproducibly."""

    @abstractmethod
    def train_step(self, batch: TrainingBatch) -> Mapping[str, float]:
        """Train with one batch and return the losses."""

    @abstractmethod
    def validate(self, epoch: int, logs: Sequence[Mapping[str, float]]) -> EpochResult:
        """Validate `model` after an epoch, counted from 0; `logs` are of its steps."""


def run_training(
    network: NetworkInTraining,
    out: Path,
    *,
    resume: bool,
    metadata: Mapping[str, object],
) -> None:
    """Train, validate after each epoch and keep the best weights.

    Ctrl-C stops the training early and leaves a usable model.

    Args:
        network: the network, with its initial weights.
        out: folder of the run; receives logs, recipe, last state and best weights. A
            fresh start deletes an older run.
        resume: continue after the last completed epoch in `out` instead.
        metadata: further entries of `recipe.json`, such as the names of the data.

    Raises:
        FileNotFoundError: there is no run to resume.
        OSError: `out` cannot be written.
        RuntimeError: the loss is NaN or infinite.
        ValueError: the resumed run began with other hyperparameters.
    """
    recipe, state = network.recipe, _begin_run(out, resume=resume)
    stage = network.stage_index(min(state.epochs_done, recipe.epochs - 1))
    network.start_stage(stage)
    if resume:
        optimizer = network.learner.optimizer if stage == state.stage else None
        load_state(out / STATE_FILE, network.model, network.average, optimizer)
    metadata = {**metadata, "backends": [keras.config.backend()]}
    write_recipe(out, recipe, metadata, n_done=state.epochs_done)
    with suppress(KeyboardInterrupt):
        for epoch in range(state.epochs_done, recipe.epochs):
            if network.patience is not None and state.waited >= network.patience:
                logger.info(
                    "early stopping: no lower validation loss in %d epochs",
                    state.waited,
                )
                break
            if network.stage_index(epoch) != stage:
                stage = network.stage_index(epoch)
                network.start_stage(stage)
            state = _run_epoch(network, out, epoch, state)
    if state.best == -math.inf:  # no completed epoch, or none with a score
        save_best(out / BEST_FILE, network.model, network.average)


def _begin_run(out: Path, *, resume: bool) -> TrainingState:
    """Return the progress of the run; a fresh start deletes an older run."""
    if resume:
        state = read_state(out / STATE_FILE)
        drop_epochs_after(out, state.epochs_done)
        return state
    create_run_folder(out)
    return TrainingState()


def _run_epoch(
    network: NetworkInTraining,
    out: Path,
    epoch: int,
    previous: TrainingState,
) -> TrainingState:
    """Run one epoch, validate, keep better weights, and write the logs."""
    started_s = time.monotonic()
    network.prepare_epoch(epoch)
    ready_s = time.monotonic()
    logs, n_samples = _run_steps(network, epoch)
    samples_per_s = n_samples / (time.monotonic() - ready_s)
    with use_average(network.model, network.average):
        result = network.validate(epoch, logs)
    took_s = time.monotonic() - started_s
    row = {
        "epoch": epoch + 1,
        "stage": network.stage_index(epoch) + 1,
        **result.row,
        "learning_rate": float(network.learner.optimizer.learning_rate),
        "views_per_s": round(samples_per_s, 1),
        "took_s": round(took_s, 1),
    }
    val_loss = result.row.get("val_loss")
    for loss in (row["loss"], val_loss or 0.0):
        if not math.isfinite(loss):
            raise RuntimeError(
                f"epoch {epoch + 1}: the loss is {loss}; train again with a lower "
                "learning rate. Earlier epochs are kept"
            )
    if result.score > previous.best:
        save_best(out / BEST_FILE, network.model, network.average)
    left_s = (network.recipe.epochs - epoch - 1) * took_s
    left = f"{left_s:.0f} s" if left_s < 90 else f"{left_s / 60:.0f} min"
    time_line = f"{samples_per_s:.1f} samples per second, {took_s:.0f} s"
    for line in (*result.lines, f"{time_line}; at most {left} left"):
        logger.info("epoch %d: %s", epoch + 1, line)
    append_row(out, row)
    state = dataclasses.replace(
        previous,
        epochs_done=epoch + 1,
        # The score may be NaN; `max` then returns its first value.
        best=max(previous.best, result.score),
        stage=network.stage_index(epoch),
    )
    if val_loss is not None:
        is_lower = val_loss < previous.lowest_loss
        state = dataclasses.replace(
            state,
            lowest_loss=min(val_loss, previous.lowest_loss),
            waited=0 if is_lower else previous.waited + 1,
        )
    # Save the state last: if the run stops in between, a resumed run repeats the epoch
    # and replaces its row.
    optimizer = network.learner.optimizer
    save_state(out / STATE_FILE, network.model, network.average, optimizer, state)
    return state


def _run_steps(
    network: NetworkInTraining, epoch: int
) -> tuple[list[Mapping[str, float]], int]:
    """Return the results of each step, and the number of samples."""
    progress_bar = tqdm(
        network.iter_batches(epoch),
        f"epoch {epoch + 1} of {network.recipe.epochs}",
        total=network.steps,
        disable=None,
    )
    logs: list[Mapping[str, float]] = []
    n_samples = 0
    network.learner.reset_metrics()
    for step, batch in enumerate(progress_bar):
        logs.append(network.train_step(batch))
        if network.average is not None:
            weights = network.model.get_weights()
            network.average.update(weights, epoch * network.steps + step)
        n_samples += len(batch.images)
        shown = f"{logs[-1][network.shown_loss]:.3f}"
        progress_bar.set_postfix({network.shown_loss: shown}, refresh=False)
    return logs, n_samples
