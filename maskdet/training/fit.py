"""The training itself: one visible loop.

maskdet train classifier --recipe tutorial --data FACES/index.csv
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from maskdet.classifier import split_columns
from maskdet.training.checkpoint import (
    Average,
    Progress,
    load_state,
    load_weights,
    read_progress,
    save_best,
    save_state,
    use_average,
)
from maskdet.training.logs import (
    BEST_FILE,
    STATE_FILE,
    Epoch,
    forget_epochs,
    log_epoch,
    start_run,
    write_recipe,
)
from maskdet.training.material import Material
from maskdet.training.network import (
    build_network,
    parameter_counts,
    set_trainable,
    settle_normalisation,
    summary_lines,
)
from maskdet.training.recipes import Recipe, Stage
from maskdet.training.sampling import network_input
from maskdet.training.validation import (
    by_source,
    caught_share,
    mean_loss,
    mean_merit,
)

logger = logging.getLogger(__name__)

_SETTLING_BATCHES = 12


@dataclass(frozen=True)
class Start:
    """Where a training starts, and what its files should say about it.

    Attributes:
        weights: of the body, as in `build_network`; None for chance.
        resume: go on after the last whole epoch in the run's folder instead.
        about: what else `recipe.json` tells a reader, such as the data's name.
    """

    weights: str | Path | None = None
    resume: bool = False
    about: Mapping[str, object] = field(default_factory=dict)


def fit(
    material: Material, out: Path, recipe: Recipe, start: Start = Start()
) -> NDArray[np.float32]:
    """Train, validate after each epoch and keep the weights that the recipe wants.

    Ctrl-C ends it early and leaves a usable model.

    Args:
        material: what it learns from.
        out: folder of the run; gets logs, recipe, last state and best weights.
        recipe: every knob.
        start: where it starts. A fresh start deletes an older run in `out`.

    Returns:
        `(n, 3)` what the kept weights answer on the validation crops.

    Raises:
        OSError: `out` cannot be written.
        RuntimeError: the loss is not a number any more.
        ValueError: there is nothing to resume, or it began with other knobs.
    """
    keras.utils.set_random_seed(recipe.seed)
    model = _network(material, recipe, start)
    progress = _begin(out, start)
    average = _average(model, recipe)
    run = _Run(model, average, material, recipe, out)
    stage = recipe.stage_of(min(progress.epochs_done, recipe.epochs - 1))
    run.enter(stage)
    if start.resume:
        same = stage == progress.stage
        load_state(out / STATE_FILE, model, average, optimizer=same)
    about = {**start.about, "backends": [keras.config.backend()]}
    write_recipe(out, recipe, about, done=progress.epochs_done)
    run.go_on(progress, stage)
    load_weights(out / BEST_FILE, model)
    return probabilities(model, material.validation.images)


@dataclass(eq=False)
class _Run:
    """A training in progress.

    Attributes:
        model: the network, compiled by `enter`.
        average: its averaged weights, if the recipe wants them.
        material: what it learns from.
        recipe: every knob.
        out: folder of the run.
    """

    model: keras.Model
    average: Average | None
    material: Material
    recipe: Recipe
    out: Path

    def enter(self, stage: int) -> None:
        """Begin a stage: other layers may learn, with a new optimizer."""
        compile_stage(self.model, self.recipe, stage, self.material.steps)
        learn, rest = parameter_counts(self.model)
        logger.info(
            "stage %d: %s parameters, %s of them learn",
            stage + 1,
            f"{learn + rest:,}",
            f"{learn:,}",
        )

    def go_on(self, progress: Progress, stage: int) -> None:
        """Train to the end from where it is; Ctrl-C ends it early."""
        recipe, best = self.recipe, self.out / BEST_FILE
        try:
            for epoch in range(progress.epochs_done, recipe.epochs):
                if _has_waited(recipe, progress):
                    break
                if recipe.stage_of(epoch) != stage:
                    stage = recipe.stage_of(epoch)
                    self.enter(stage)
                progress = self.epoch(epoch, progress)
        except KeyboardInterrupt:
            if not best.is_file():
                save_best(best, self.model, self.average)

    def epoch(self, epoch: int, before: Progress) -> Progress:
        """Train and validate once, keep what is better, and write the logs."""
        started = time.monotonic()
        loss, right = self._train(epoch)
        held_out = self.material.validation
        own = use_average(self.model, self.average)
        outputs = predicted(self.model, held_out.images)
        probs, faces = split_columns(outputs)
        empty = self.material.false_detections
        caught = None
        if empty is not None:
            others = split_columns(predicted(self.model, empty))[1]
            caught = caught_share(faces, others)
        if own is not None:
            self.model.set_weights(own)
        results = by_source(held_out.sources, held_out.labels, probs)
        done = Epoch(
            epoch=epoch + 1,
            stage=self.recipe.stage_of(epoch) + 1,
            loss=loss,
            accuracy=right,
            val_loss=mean_loss(held_out.labels, probs, self.material.class_weights),
            val_accuracy=float((probs.argmax(axis=1) == held_out.labels).mean()),
            learning_rate=float(self.model.optimizer.learning_rate),
            merit=mean_merit(results.values()),
            took_s=round(time.monotonic() - started, 1),
            caught=caught,
        )
        # What is caught counts as one more source.
        told = [] if caught is None else [caught]
        merit = float(np.mean([*(one.merit for one in results.values()), *told]))
        score = {"merit": merit, "loss": -done.val_loss, "last": float(epoch)}
        after = _after(before, done, score[self.recipe.keep])
        check_finite(done.epoch, loss, done.val_loss)
        if after.best > before.best:
            save_best(self.out / BEST_FILE, self.model, self.average)
        # The state comes last: whatever stops the run in between, the epoch that it
        # goes on with is done again and its row is replaced.
        log_epoch(self.out, done, results, self.recipe.epochs - epoch - 1)
        save_state(self.out / STATE_FILE, self.model, self.average, after)
        return after

    def _train(self, epoch: int) -> tuple[float, float]:
        """Return the mean loss and the share of right answers of one epoch."""
        steps = self.material.steps
        losses: list[float] = []
        shares: list[float] = []
        bar = tqdm(
            self.material.batches.epoch(epoch, steps),
            f"epoch {epoch + 1} of {self.recipe.epochs}",
            total=steps,
            disable=None,
        )
        for step, batch in enumerate(bar):
            self.model.reset_metrics()  # else the answers are running means
            weights = self.material.class_weights[batch.targets.argmax(axis=1)]
            said = self.model.train_on_batch(
                batch.images.astype(np.float32),
                batch.targets,
                sample_weight=weights,
                return_dict=True,
            )
            losses.append(float(said["loss"]))
            shares.append(float(said["accuracy"]))
            if self.average is not None:
                self.average.update(self.model.get_weights(), epoch * steps + step)
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        return float(np.mean(losses)), float(np.mean(shares))


def check_finite(epoch: int, *losses: float) -> None:
    """Refuse to go on with a network whose loss is not a number any more.

    Raises:
        RuntimeError: a loss is NaN or infinite.
    """
    for loss in losses:
        if not math.isfinite(loss):
            raise RuntimeError(
                f"epoch {epoch}: the loss is {loss}, so the weights are useless; "
                "train anew with a lower learning rate. The epochs before are kept"
            )


def compile_stage(model: keras.Model, recipe: Recipe, stage: int, steps: int) -> None:
    """Give the network the layers that learn, the optimizer and the loss of a stage.

    Args:
        model: what `build_network` gave.
        recipe: every knob.
        stage: index into its stages.
        steps: batches an epoch.
    """
    part = recipe.stages[stage]
    set_trainable(model, part, norm_learns=recipe.norm_learns)
    model.compile(
        _optimizer(part, part.epochs * steps),
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )


def _optimizer(stage: Stage, total: int) -> keras.Optimizer:
    rate: float | keras.optimizers.schedules.LearningRateSchedule = stage.learning_rate
    if stage.warm_up is not None:
        rising = max(1, round(total * stage.warm_up))
        rate = keras.optimizers.schedules.CosineDecay(
            stage.learning_rate / 20,
            max(total - rising, 1),
            warmup_target=stage.learning_rate,
            warmup_steps=rising,
        )
    elif stage.decay:
        rate = keras.optimizers.schedules.InverseTimeDecay(rate, 1, stage.decay)
    if stage.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=stage.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return optimizer
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}
    return kinds[stage.optimizer](rate)


def probabilities(
    model: keras.Model, images: NDArray[np.uint8], *, batch_size: int = 128
) -> NDArray[np.float32]:
    """Return `(n, 3)` probabilities of BGR crops `(n, size, size, 3)`."""
    return split_columns(predicted(model, images, batch_size=batch_size))[0]


def predicted(
    model: keras.Model, images: NDArray[np.uint8], *, batch_size: int = 128
) -> NDArray[np.float32]:
    """Return all columns of BGR crops `(n, size, size, 3)`."""
    parts = [
        model.predict_on_batch(network_input(images[start : start + batch_size]))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)


def _network(material: Material, recipe: Recipe, start: Start) -> keras.Model:
    model = build_network(recipe, None if start.resume else start.weights)
    if recipe.norm_learns and start.weights is not None and not start.resume:
        first = material.batches.epoch(recipe.epochs, _SETTLING_BATCHES)
        settle_normalisation(
            model, (batch.images.astype(np.float32) for batch in first)
        )
    for line in summary_lines(model):
        logger.info("%s", line)
    return model


def _begin(out: Path, start: Start) -> Progress:
    """Return how far the run is; a fresh start first deletes an older one."""
    if start.resume:
        progress = read_progress(out / STATE_FILE)
        forget_epochs(out, progress.epochs_done)
        return progress
    start_run(out)
    return Progress()


def _has_waited(recipe: Recipe, progress: Progress) -> bool:
    """Tell whether the recipe gives up after so many epochs without a gain."""
    if recipe.patience is None or progress.waited < recipe.patience:
        return False
    logger.info("no lower validation loss in %d epochs", progress.waited)
    return True


def _average(model: keras.Model, recipe: Recipe) -> Average | None:
    if recipe.average_decay is None:
        return None
    return Average([w.copy() for w in model.get_weights()], recipe.average_decay)


def _after(before: Progress, done: Epoch, score: float) -> Progress:
    lower = done.val_loss < before.lowest_loss
    return Progress(
        epochs_done=done.epoch,
        best=max(before.best, score),
        lowest_loss=min(done.val_loss, before.lowest_loss),
        waited=0 if lower else before.waited + 1,
        stage=done.stage - 1,
    )
