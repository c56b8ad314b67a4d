"""The training of the one-pass network: one visible loop.

maskdet train onepass --data town-train.json --weights yunet_n_640_640.onnx
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

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
from maskdet.training.exported import load_exported
from maskdet.training.fit import check_finite
from maskdet.training.logs import (
    BEST_FILE,
    STATE_FILE,
    forget_epochs,
    start_run,
    write_recipe,
)
from maskdet.training.network import settle_network
from maskdet.training.onepass.logs import Epoch, log_epoch
from maskdet.training.onepass.losses import LOSSES, Learner
from maskdet.training.onepass.negatives import (
    FALSE_POSITIVE_COST,
    Negatives,
    false_positive_rates,
)
from maskdet.training.onepass.network import build_onepass
from maskdet.training.onepass.recipe import OnepassRecipe
from maskdet.training.onepass.sampling import Sampler
from maskdet.training.onepass.scenes import Place, Scenes
from maskdet.training.onepass.validation import Precision, measured, mine
from maskdet.training.onepass.yunet import load_yunet, yunet_layers

logger = logging.getLogger(__name__)

VALIDATION_PX = (640, 320)
"""Long sides that the kept weights are measured at; epochs only at the first."""


_SETTLING_BATCHES = 24


@dataclass(frozen=True, eq=False)
class Material:
    """What a training learns from and is judged by.

    Attributes:
        scenes: to learn from.
        validation: to judge by.
        judged: how many of them judge an epoch, spread over all; the end takes all.
        negatives: pictures without a face, to learn from and to judge by.
        workers: processes that make the batches; 0 for a thread.
    """

    scenes: Scenes
    validation: Sequence[Place]
    judged: int = 120
    negatives: Negatives = Negatives()  # noqa: RUF009 - frozen
    workers: int = 0

    def some(self) -> list[Place]:
        """Return the validation scenes that judge an epoch."""
        return _spread(self.validation, self.judged)

    def some_held_out(self) -> list[Place]:
        """Return the pictures without a face that judge an epoch."""
        return _spread(self.negatives.held_out, self.judged)


def _spread(places: Sequence[Place], most: int) -> list[Place]:
    count = min(most, len(places))
    rows = np.linspace(0, len(places) - 1, count).astype(int)
    return [places[row] for row in rows]


def fit(
    material: Material,
    out: Path,
    recipe: OnepassRecipe,
    weights: str | Path | None = None,
    *,
    resume: bool = False,
    about: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, Precision]:
    """Train, validate after each epoch and keep the weights that did best.

    Ctrl-C ends it early and leaves a usable model.

    Args:
        material: what it learns from.
        out: folder of the run; gets logs, recipe, last state and best weights. A
            fresh start deletes an older run.
        recipe: every knob.
        weights: YuNet's ONNX file to start from, the best weights of another run, or
            a LiteRT file that was exported; None for chance.
        resume: go on after the last whole epoch in `out` instead.
        about: what else `recipe.json` tells a reader, such as the data's name.

    Returns:
        How the kept weights do on all of validation, by source and long side.

    Raises:
        OSError: `out` cannot be written.
        RuntimeError: the loss is not a number any more.
        ValueError: there is nothing to resume, or it began with other knobs.
    """
    keras.utils.set_random_seed(recipe.seed)
    model = build_onepass()
    if weights is not None and not resume:
        _begin_with(model, Path(weights))
    learner = compiled(model, recipe)
    average = Average([w.copy() for w in model.get_weights()], recipe.average_decay)
    progress = _begin(out, resume=resume)
    if resume:
        model.optimizer = learner.optimizer
        load_state(out / STATE_FILE, model, average, optimizer=True)
    told = {**about, "backends": [keras.config.backend()]}
    write_recipe(out, recipe, told, done=progress.epochs_done)
    run = _Run(model, learner, average, material, recipe, out)
    if weights is not None and Path(weights).suffix == ".tflite" and not resume:
        run.settle()
    progress = run.go_on(progress)
    if progress.best == -math.inf:  # no epoch was done, or none had a score
        save_best(out / BEST_FILE, model, average)
    load_weights(out / BEST_FILE, model)
    return measured_by_source(model, material.validation)


def check_weights(weights: Path) -> None:
    """Make sure, before any work, that a training can start from a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds another network.
    """
    _begin_with(build_onepass(), weights)


def _begin_with(model: keras.Model, weights: Path) -> None:
    if weights.suffix == ".h5":
        load_weights(weights, model)
    elif weights.suffix == ".tflite":
        load_exported(model, weights)
    else:
        load_yunet(model, weights)


def measured_by_source(
    model: keras.Model, places: Sequence[Place]
) -> dict[str, Precision]:
    """Return how a network does on scenes: `kaggle 640`, `kaggle 320`, ..."""
    results = {}
    for source in dict.fromkeys(place.source for place in places):
        own = [place for place in places if place.source == source]
        for side in VALIDATION_PX:
            results[f"{source} {side}"] = measured(model, own, side)
    return results


def compiled(model: keras.Model, recipe: OnepassRecipe) -> Learner:
    """Return the network with its loss and optimizer; weights are shared.

    Args:
        model: what `build_onepass` gave.
        recipe: every knob.
    """
    learner = Learner(model.inputs, model.outputs)
    learner.watch(recipe.losses)
    total = recipe.epochs * recipe.steps
    rising = max(1, round(total * recipe.warm_up))
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 50,
        max(total - rising, 1),
        alpha=0.01,
        warmup_target=recipe.learning_rate,
        warmup_steps=rising,
    )
    slow = {v.path for layer in yunet_layers(model) for v in layer.trainable_variables}
    optimizer = TwoRates(
        rate,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
        slow=[v.path in slow for v in learner.trainable_variables],
        slow_rate=recipe.body_rate,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # On a processor XLA compiles for minutes and then runs slower; PyTorch would
    # compile anew for each number of faces.
    learner.compile(optimizer, jit_compile=False)
    return learner


class TwoRates(keras.optimizers.AdamW):  # type: ignore[misc] # Keras has no types
    """AdamW with a lower rate for some weights (one rate for all under PyTorch)."""

    def __init__(
        self, rate: object, *, slow: Sequence[bool], slow_rate: float, **rest: Any
    ) -> None:
        """Take AdamW's arguments, and which trainable weights are slow, in order."""
        super().__init__(rate, **rest)
        self._factors = [slow_rate if one else 1.0 for one in slow]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one weight; called by Keras."""
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)


@dataclass(eq=False)
class _Run:
    """A training in progress."""

    model: keras.Model
    learner: Learner
    average: Average
    material: Material
    recipe: OnepassRecipe
    out: Path

    def __post_init__(self) -> None:
        self.sampler = Sampler(
            self.material.scenes,
            self.recipe.batch_size,
            self.recipe.seed,
            self.recipe.views,
            self.material.negatives.train,
            self.recipe.negatives,
            workers=self.material.workers,
        )
        self.judges = self.material.some()
        self.held_out = self.material.some_held_out()

    def settle(self) -> None:
        """Give normalisations that were folded away the statistics of the views."""
        first = self.sampler.epoch(self.recipe.epochs, _SETTLING_BATCHES)
        settle_network(self.model, (batch.images.astype(np.float32) for batch in first))
        self.average.weights = [one.copy() for one in self.model.get_weights()]

    def go_on(self, progress: Progress) -> Progress:
        """Train to the end from where it is; Ctrl-C ends it early."""
        with contextlib.suppress(KeyboardInterrupt):
            for epoch in range(progress.epochs_done, self.recipe.epochs):
                progress = self.epoch(epoch, progress)
        return progress

    def epoch(self, epoch: int, before: Progress) -> Progress:
        """Train and validate once, keep what is better, and write the logs."""
        started = time.monotonic()
        if self.sampler.mined is None or epoch % self.recipe.mined_every == 0:
            self._mine()
        mined_s = time.monotonic() - started
        losses, views = self._train(epoch)
        trained_s = time.monotonic() - started - mined_s
        own = use_average(self.model, self.average)
        result = measured(self.model, self.judges, VALIDATION_PX[0])
        false_positives = false_positive_rates(
            mine(self.model, self.held_out, VALIDATION_PX[0]).scores
        )
        if own is not None:
            self.model.set_weights(own)
        done = Epoch(
            epoch=epoch + 1,
            learning_rate=float(self.learner.optimizer.learning_rate),
            views_per_s=round(views / trained_s, 1),
            took_s=round(time.monotonic() - started, 1),
            losses=losses,
            validation=result,
            false_positives=false_positives,
        )
        score = (result.faces + result.mean) / 2
        score -= FALSE_POSITIVE_COST * next(iter(false_positives.values()), 0.0)
        # NaN, where validation holds no face, is no best: `max` keeps its first then.
        after = dataclasses.replace(
            before, epochs_done=epoch + 1, best=max(before.best, score)
        )
        check_finite(done.epoch, *losses.values())
        if score > before.best:
            save_best(self.out / BEST_FILE, self.model, self.average)
        # The state comes last, see the training of the classifiers.
        log_epoch(self.out, done, self.recipe.epochs - epoch - 1)
        self.model.optimizer = self.learner.optimizer
        save_state(self.out / STATE_FILE, self.model, self.average, after)
        return after

    def _mine(self) -> None:
        """Look at all pictures without a face with the averaged weights."""
        own = use_average(self.model, self.average)
        mined = mine(self.model, self.material.negatives.train)
        if own is not None:
            self.model.set_weights(own)
        if len(mined.scores):
            self.sampler = dataclasses.replace(self.sampler, mined=mined)
            logger.info(
                "training pictures without a face: %s",
                false_positive_rates(mined.scores),
            )

    def _train(self, epoch: int) -> tuple[dict[str, float], int]:
        """Return the mean of each loss, and how many views there were."""
        steps = self.recipe.steps
        bar = tqdm(
            self.sampler.epoch(epoch, steps),
            f"epoch {epoch + 1} of {self.recipe.epochs}",
            total=steps,
            disable=None,
        )
        views = 0
        said: dict[str, float] = {}
        self.learner.reset_metrics()
        for step, batch in enumerate(bar):
            said = self.learner.train_on_batch(
                batch.images.astype(np.float32), batch.truth, return_dict=True
            )
            self.average.update(self.model.get_weights(), epoch * steps + step)
            views += len(batch.images)
            bar.set_postfix(mask=f"{float(said['mask']):.3f}", refresh=False)
        return {name: float(said[name]) for name in LOSSES}, views


def _begin(out: Path, *, resume: bool) -> Progress:
    """Return how far the run is; a fresh start first deletes an older one."""
    if resume:
        progress = read_progress(out / STATE_FILE)
        forget_epochs(out, progress.epochs_done)
        return progress
    start_run(out)
    return Progress()
