"""Training loop of the single-stage network, for `maskdet train onepass`."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from maskdet.training.checkpoint import (
    TrainingState,
    WeightAverage,
    load_state,
    load_weights,
    read_state,
    save_best,
    save_state,
    swap_in_average,
)
from maskdet.training.classifier.fit import check_finite
from maskdet.training.classifier.network import recalibrate_network_batchnorm
from maskdet.training.initial_weights import load_litert_weights
from maskdet.training.onepass.batches import OnePassSampler
from maskdet.training.onepass.data import (
    FALSE_POSITIVE_COST,
    NegativeImages,
    PackedImages,
    TrainingImage,
    compute_false_positive_rates,
)
from maskdet.training.onepass.losses import LOSS_NAMES, OnePassLearner
from maskdet.training.onepass.network import (
    build_onepass_network,
    load_yunet_weights,
    yunet_layers,
)
from maskdet.training.onepass.recipe import OnePassRecipe
from maskdet.training.onepass.validation import (
    OnePassMetrics,
    evaluate_onepass,
    mine_false_positives,
)
from maskdet.training.run_log import (
    BEST_FILE,
    STATE_FILE,
    append_row,
    create_run_folder,
    drop_epochs_after,
    write_recipe,
)

logger = logging.getLogger(__name__)

VALIDATION_PX = (640, 320)
"""Longer sides for validation of the kept weights; epochs use only the first."""

_RECALIBRATION_BATCHES = 24


@dataclass(frozen=True)
class OnePassEpoch:
    """Metrics of one epoch.

    Attributes:
        epoch: counted from 1.
        learning_rate: after the last step.
        views_per_s: training samples per second.
        took_s: seconds, including validation.
        losses: mean of each loss, unweighted.
        validation_metrics: of the averaged weights, on a subset of the validation
            scenes.
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
        """Return the row of the log."""
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
    """Append a row to both logs and report it on the console.

    Args:
        out: folder of the run.
        epoch: metrics of the epoch.
        n_epochs_left: number of remaining epochs.
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
        "epoch %d: %.1f samples per second, %.0f s; about %.0f min left",
        epoch.epoch,
        epoch.views_per_s,
        epoch.took_s,
        n_epochs_left * epoch.took_s / 60,
    )
    append_row(out, epoch.to_row())


@dataclass(frozen=True, eq=False)
class OnePassData:
    """Training and validation data of a run.

    Attributes:
        packed_images: the training scenes.
        validation: the validation scenes.
        n_epoch_validation: number of scenes for the validation of an epoch, evenly
            spaced; the final validation uses all.
        negatives: images without a face, for training and validation.
        workers: processes that make the batches; 0 for a thread.
    """

    packed_images: PackedImages
    validation: Sequence[TrainingImage]
    n_epoch_validation: int = 120
    negatives: NegativeImages = NegativeImages()  # noqa: RUF009 - frozen
    workers: int = 0

    def select_epoch_validation(self) -> list[TrainingImage]:
        """Return the scenes for the validation of an epoch."""
        return _select_evenly(self.validation, self.n_epoch_validation)

    def select_epoch_negatives(self) -> list[TrainingImage]:
        """Return the images without a face for the validation of an epoch."""
        return _select_evenly(self.negatives.held_out, self.n_epoch_validation)


def _select_evenly(
    images: Sequence[TrainingImage], max_count: int
) -> list[TrainingImage]:
    count = min(max_count, len(images))
    rows = np.linspace(0, len(images) - 1, count).astype(int)
    return [images[row] for row in rows]


def fit_onepass(
    training_data: OnePassData,
    out: Path,
    recipe: OnePassRecipe,
    weights: str | Path | None = None,
    *,
    resume: bool = False,
    metadata: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, OnePassMetrics]:
    """Train, validate after each epoch and keep the best weights.

    Ctrl-C stops the training early and leaves a usable model.

    Args:
        training_data: training and validation data.
        out: folder of the run; receives logs, recipe, last state and best weights. A
            fresh start deletes an older run.
        recipe: all hyperparameters.
        weights: initial weights: YuNet's ONNX file, the best weights of another run,
            or an exported LiteRT file; None for random weights.
        resume: continue after the last completed epoch in `out` instead.
        metadata: further entries of `recipe.json`, such as the names of the data.

    Returns:
        Metrics of the kept weights on all validation scenes, by source and longer
        side.

    Raises:
        FileNotFoundError: there is no run to resume.
        OSError: `out` cannot be written.
        RuntimeError: the loss is NaN or infinite.
        ValueError: the resumed run began with other hyperparameters.
    """
    keras.utils.set_random_seed(recipe.seed)
    model = build_onepass_network()
    if weights is not None and not resume:
        _load_initial_weights(model, Path(weights))
    learner = compile_learner(model, recipe)
    weight_average = WeightAverage(
        [w.copy() for w in model.get_weights()], recipe.average_decay
    )
    state = _begin_run(out, resume=resume)
    if resume:
        model.optimizer = learner.optimizer
        load_state(out / STATE_FILE, model, weight_average, optimizer=True)
    run_metadata = {**metadata, "backends": [keras.config.backend()]}
    write_recipe(out, recipe, run_metadata, n_done=state.epochs_done)
    loop = _OnePassTrainingLoop(
        model, learner, weight_average, training_data, recipe, out
    )
    if weights is not None and Path(weights).suffix == ".tflite" and not resume:
        loop.recalibrate_batchnorm()
    state = loop.train(state)
    if state.best == -math.inf:  # no completed epoch, or none with a score
        save_best(out / BEST_FILE, model, weight_average)
    load_weights(out / BEST_FILE, model)
    return evaluate_onepass_by_source(model, training_data.validation)


def check_initial_weights(weights: Path) -> None:
    """Check, before any work, that a file has usable initial weights.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file contains another network.
    """
    _load_initial_weights(build_onepass_network(), weights)


def _load_initial_weights(model: keras.Model, weights: Path) -> None:
    if weights.suffix == ".h5":
        load_weights(weights, model)
    elif weights.suffix == ".tflite":
        load_litert_weights(model, weights)
    else:
        load_yunet_weights(model, weights)


def evaluate_onepass_by_source(
    model: keras.Model, images: Sequence[TrainingImage]
) -> dict[str, OnePassMetrics]:
    """Return metrics by source and longer side: `kaggle 640`, `kaggle 320`, ..."""
    results = {}
    for source in dict.fromkeys(image.source for image in images):
        source_images = [image for image in images if image.source == source]
        for side in VALIDATION_PX:
            results[f"{source} {side}"] = evaluate_onepass(model, source_images, side)
    return results


def compile_learner(model: keras.Model, recipe: OnePassRecipe) -> OnePassLearner:
    """Return a compiled model with losses and optimizer, on the weights of `model`.

    Args:
        model: result of `build_onepass_network`.
        recipe: all hyperparameters.
    """
    learner = OnePassLearner(model.inputs, model.outputs)
    learner.attach_losses(recipe.losses)
    total = recipe.epochs * recipe.steps
    n_warm_up = max(1, round(total * recipe.warm_up))
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 50,
        max(total - n_warm_up, 1),
        alpha=0.01,
        warmup_target=recipe.learning_rate,
        warmup_steps=n_warm_up,
    )
    slow_paths = {
        v.path for layer in yunet_layers(model) for v in layer.trainable_variables
    }
    optimizer = DiscriminativeAdamW(
        rate,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
        slow=[v.path in slow_paths for v in learner.trainable_variables],
        slow_rate=recipe.body_rate,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # On a CPU, XLA compiles for minutes and then runs slower; PyTorch would recompile
    # for each number of faces.
    learner.compile(optimizer, jit_compile=False)
    return learner


class DiscriminativeAdamW(keras.optimizers.AdamW):  # type: ignore[misc] # Keras has no types
    """AdamW with a lower rate for some weights (with PyTorch, one rate for all)."""

    def __init__(
        self, rate: object, *, slow: Sequence[bool], slow_rate: float, **options: Any
    ) -> None:
        """Accept the arguments of AdamW, and a flag per trainable weight, in order."""
        super().__init__(rate, **options)
        self._factors = [slow_rate if is_slow else 1.0 for is_slow in slow]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one weight; Keras calls this."""
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)


@dataclass(eq=False)
class _OnePassTrainingLoop:
    """State of a running training."""

    model: keras.Model
    learner: OnePassLearner
    weight_average: WeightAverage
    training_data: OnePassData
    recipe: OnePassRecipe
    out: Path

    def __post_init__(self) -> None:
        self.sampler = OnePassSampler(
            self.training_data.packed_images,
            self.recipe.batch_size,
            self.recipe.seed,
            self.recipe.views,
            self.training_data.negatives.train,
            self.recipe.negatives,
            workers=self.training_data.workers,
        )
        self.epoch_validation = self.training_data.select_epoch_validation()
        self.epoch_negatives = self.training_data.select_epoch_negatives()

    def recalibrate_batchnorm(self) -> None:
        """Set the statistics of folded batch normalisation from training samples."""
        first = self.sampler.iter_batches(self.recipe.epochs, _RECALIBRATION_BATCHES)
        recalibrate_network_batchnorm(
            self.model, (batch.images.astype(np.float32) for batch in first)
        )
        self.weight_average.weights = [
            array.copy() for array in self.model.get_weights()
        ]

    def train(self, state: TrainingState) -> TrainingState:
        """Run the remaining epochs; Ctrl-C stops early."""
        with contextlib.suppress(KeyboardInterrupt):
            for epoch in range(state.epochs_done, self.recipe.epochs):
                state = self.run_epoch(epoch, state)
        return state

    def run_epoch(self, epoch: int, previous: TrainingState) -> TrainingState:
        """Run one epoch, validate, keep better weights, and write the logs."""
        started = time.monotonic()
        if self.sampler.mined is None or epoch % self.recipe.mined_every == 0:
            self._mine_negatives()
        mined_s = time.monotonic() - started
        losses, n_samples = self._train_epoch(epoch)
        trained_s = time.monotonic() - started - mined_s
        own_weights = swap_in_average(self.model, self.weight_average)
        metrics = evaluate_onepass(self.model, self.epoch_validation, VALIDATION_PX[0])
        false_positives = compute_false_positive_rates(
            mine_false_positives(
                self.model, self.epoch_negatives, VALIDATION_PX[0]
            ).scores
        )
        if own_weights is not None:
            self.model.set_weights(own_weights)
        record = OnePassEpoch(
            epoch=epoch + 1,
            learning_rate=float(self.learner.optimizer.learning_rate),
            views_per_s=round(n_samples / trained_s, 1),
            took_s=round(time.monotonic() - started, 1),
            losses=losses,
            validation_metrics=metrics,
            false_positive_rates=false_positives,
        )
        score = (metrics.faces + metrics.mean) / 2
        score -= FALSE_POSITIVE_COST * next(iter(false_positives.values()), 0.0)
        # The score is NaN without validation faces; `max` then returns its first value.
        state = dataclasses.replace(
            previous, epochs_done=epoch + 1, best=max(previous.best, score)
        )
        check_finite(record.epoch, *losses.values())
        if score > previous.best:
            save_best(self.out / BEST_FILE, self.model, self.weight_average)
        # Save the state last, as in `classifier.fit`.
        log_onepass_epoch(self.out, record, self.recipe.epochs - epoch - 1)
        self.model.optimizer = self.learner.optimizer
        save_state(self.out / STATE_FILE, self.model, self.weight_average, state)
        return state

    def _mine_negatives(self) -> None:
        """Mine false positives in all negatives with the averaged weights."""
        own_weights = swap_in_average(self.model, self.weight_average)
        mined = mine_false_positives(self.model, self.training_data.negatives.train)
        if own_weights is not None:
            self.model.set_weights(own_weights)
        if len(mined.scores):
            self.sampler = dataclasses.replace(self.sampler, mined=mined)
            logger.info(
                "false positives in training images without a face: %s",
                compute_false_positive_rates(mined.scores),
            )

    def _train_epoch(self, epoch: int) -> tuple[dict[str, float], int]:
        """Return the mean of each loss, and the number of samples."""
        steps = self.recipe.steps
        progress_bar = tqdm(
            self.sampler.iter_batches(epoch, steps),
            f"epoch {epoch + 1} of {self.recipe.epochs}",
            total=steps,
            disable=None,
        )
        n_samples = 0
        logs: dict[str, float] = {}
        self.learner.reset_metrics()
        for step, batch in enumerate(progress_bar):
            logs = self.learner.train_on_batch(
                batch.images.astype(np.float32), batch.targets, return_dict=True
            )
            self.weight_average.update(self.model.get_weights(), epoch * steps + step)
            n_samples += len(batch.images)
            progress_bar.set_postfix(mask=f"{float(logs['mask']):.3f}", refresh=False)
        return {name: float(logs[name]) for name in LOSS_NAMES}, n_samples


def _begin_run(out: Path, *, resume: bool) -> TrainingState:
    """Return the progress of the run; a fresh start deletes an older run."""
    if resume:
        state = read_state(out / STATE_FILE)
        drop_epochs_after(out, state.epochs_done)
        return state
    create_run_folder(out)
    return TrainingState()
