"""The training of the one-pass network: one visible loop.

maskdet train onepass --data town-train.json --weights yunet_n_640_640.onnx

What a training of the one-pass network writes down: one row an epoch.
"""

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


VALIDATION_PX = (640, 320)
"""Long sides that the kept weights are measured at; epochs only at the first."""


_RECALIBRATION_BATCHES = 24


@dataclass(frozen=True, eq=False)
class OnePassData:
    """What a training learns from and is judged by.

    Attributes:
        packed_images: to learn from.
        validation: to judge by.
        n_epoch_validation: how many of them judge an epoch, spread over all; the end
            takes all.
        negatives: images without a face, to learn from and to judge by.
        workers: processes that make the batches; 0 for a thread.
    """

    packed_images: PackedImages
    validation: Sequence[TrainingImage]
    n_epoch_validation: int = 120
    negatives: NegativeImages = NegativeImages()  # noqa: RUF009 - frozen
    workers: int = 0

    def select_epoch_validation(self) -> list[TrainingImage]:
        """Return the validation scenes that judge an epoch."""
        return _select_evenly(self.validation, self.n_epoch_validation)

    def select_epoch_negatives(self) -> list[TrainingImage]:
        """Return the images without a face that judge an epoch."""
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
    """Train, validate after each epoch and keep the weights that did best.

    Ctrl-C ends it early and leaves a usable model.

    Args:
        training_data: what it learns from.
        out: folder of the run; gets logs, recipe, last state and best weights. A
            fresh start deletes an older run.
        recipe: every knob.
        weights: YuNet's ONNX file to start from, the best weights of another run, or
            a LiteRT file that was exported; None for chance.
        resume: go on after the last whole epoch in `out` instead.
        metadata: what else `recipe.json` tells a reader, such as the data's name.

    Returns:
        How the kept weights do on all of validation, by source and long side.

    Raises:
        OSError: `out` cannot be written.
        RuntimeError: the loss is not a number any more.
        ValueError: there is nothing to resume, or it began with other knobs.
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
    if state.best == -math.inf:  # no epoch was done, or none had a score
        save_best(out / BEST_FILE, model, weight_average)
    load_weights(out / BEST_FILE, model)
    return evaluate_onepass_by_source(model, training_data.validation)


def check_initial_weights(weights: Path) -> None:
    """Make sure, before any work, that a training can start from a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds another network.
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
    """Return how a network does on scenes: `kaggle 640`, `kaggle 320`, ..."""
    results = {}
    for source in dict.fromkeys(image.source for image in images):
        source_images = [image for image in images if image.source == source]
        for side in VALIDATION_PX:
            results[f"{source} {side}"] = evaluate_onepass(model, source_images, side)
    return results


def compile_learner(model: keras.Model, recipe: OnePassRecipe) -> OnePassLearner:
    """Return the network with its loss and optimizer; weights are shared.

    Args:
        model: what `build_onepass_network` gave.
        recipe: every knob.
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
    # On a processor XLA compiles for minutes and then runs slower; PyTorch would
    # compile anew for each number of faces.
    learner.compile(optimizer, jit_compile=False)
    return learner


class DiscriminativeAdamW(keras.optimizers.AdamW):  # type: ignore[misc] # Keras has no types
    """AdamW with a lower rate for some weights (one rate for all under PyTorch)."""

    def __init__(
        self, rate: object, *, slow: Sequence[bool], slow_rate: float, **options: Any
    ) -> None:
        """Take AdamW's arguments, and which trainable weights are slow, in order."""
        super().__init__(rate, **options)
        self._factors = [slow_rate if is_slow else 1.0 for is_slow in slow]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one weight; called by Keras."""
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)


@dataclass(eq=False)
class _OnePassTrainingLoop:
    """A training in progress."""

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
        """Give normalisations that were folded away the statistics of the views."""
        first = self.sampler.iter_batches(self.recipe.epochs, _RECALIBRATION_BATCHES)
        recalibrate_network_batchnorm(
            self.model, (batch.images.astype(np.float32) for batch in first)
        )
        self.weight_average.weights = [
            array.copy() for array in self.model.get_weights()
        ]

    def train(self, state: TrainingState) -> TrainingState:
        """Train to the end from where it is; Ctrl-C ends it early."""
        with contextlib.suppress(KeyboardInterrupt):
            for epoch in range(state.epochs_done, self.recipe.epochs):
                state = self.run_epoch(epoch, state)
        return state

    def run_epoch(self, epoch: int, previous: TrainingState) -> TrainingState:
        """Train and validate once, keep what is better, and write the logs."""
        started = time.monotonic()
        if self.sampler.mined is None or epoch % self.recipe.mined_every == 0:
            self._mine_negatives()
        mined_s = time.monotonic() - started
        losses, views = self._train_epoch(epoch)
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
            views_per_s=round(views / trained_s, 1),
            took_s=round(time.monotonic() - started, 1),
            losses=losses,
            validation_metrics=metrics,
            false_positive_rates=false_positives,
        )
        score = (metrics.faces + metrics.mean) / 2
        score -= FALSE_POSITIVE_COST * next(iter(false_positives.values()), 0.0)
        # NaN, where validation holds no face, is no best: `max` keeps its first then.
        state = dataclasses.replace(
            previous, epochs_done=epoch + 1, best=max(previous.best, score)
        )
        check_finite(record.epoch, *losses.values())
        if score > previous.best:
            save_best(self.out / BEST_FILE, self.model, self.weight_average)
        # The state comes last, see the training of the classifiers.
        log_onepass_epoch(self.out, record, self.recipe.epochs - epoch - 1)
        self.model.optimizer = self.learner.optimizer
        save_state(self.out / STATE_FILE, self.model, self.weight_average, state)
        return state

    def _mine_negatives(self) -> None:
        """Look at all images without a face with the averaged weights."""
        own_weights = swap_in_average(self.model, self.weight_average)
        mined = mine_false_positives(self.model, self.training_data.negatives.train)
        if own_weights is not None:
            self.model.set_weights(own_weights)
        if len(mined.scores):
            self.sampler = dataclasses.replace(self.sampler, mined=mined)
            logger.info(
                "training images without a face: %s",
                compute_false_positive_rates(mined.scores),
            )

    def _train_epoch(self, epoch: int) -> tuple[dict[str, float], int]:
        """Return the mean of each loss, and how many views there were."""
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
                batch.images.astype(np.float32), batch.truth, return_dict=True
            )
            self.weight_average.update(self.model.get_weights(), epoch * steps + step)
            n_samples += len(batch.images)
            progress_bar.set_postfix(mask=f"{float(logs['mask']):.3f}", refresh=False)
        return {name: float(logs[name]) for name in LOSS_NAMES}, n_samples


def _begin_run(out: Path, *, resume: bool) -> TrainingState:
    """Return how far the run is; a fresh start first deletes an older one."""
    if resume:
        state = read_state(out / STATE_FILE)
        drop_epochs_after(out, state.epochs_done)
        return state
    create_run_folder(out)
    return TrainingState()
