"""Training loop of the single-stage network, for `maskdet train onepass`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from maskdet.training.checkpoint import WeightAverage, load_weights, use_average
from maskdet.training.classifier.network import recalibrate_network_batchnorm
from maskdet.training.initial_weights import load_litert_weights
from maskdet.training.loop import EpochResult, NetworkInTraining, run_training
from maskdet.training.onepass.batches import OnePassSampler
from maskdet.training.onepass.data import (
    SCALINGS,
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
    compute_selection_score,
    detect_with_keras,
    evaluate_by_source,
    evaluate_onepass,
    mine_false_positives,
)
from maskdet.training.run_log import BEST_FILE
from maskdet.training.workers import TrainingBatch

logger = logging.getLogger(__name__)

_RECALIBRATION_BATCHES = 24


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

    def select_for_epochs(self, images: Sequence[TrainingImage]) -> list[TrainingImage]:
        """Return the images for the validation of an epoch."""
        count = min(self.n_epoch_validation, len(images))
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
    """Train the single-stage network; see `run_training`.

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
        FileNotFoundError: as in `run_training`, as the other errors.
    """
    keras.utils.set_random_seed(recipe.seed)
    model = build_onepass_network()
    if weights is not None and not resume:
        _load_initial_weights(model, Path(weights))
    network = _OnePassInTraining(model, training_data, recipe)
    if weights is not None and Path(weights).suffix == ".tflite" and not resume:
        network.recalibrate_batchnorm()
    run_training(network, out, resume=resume, metadata=metadata)
    load_weights(out / BEST_FILE, model)
    return evaluate_by_source(
        training_data.validation, SCALINGS, partial(detect_with_keras, model)
    )


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


class _OnePassInTraining(NetworkInTraining):
    """The single-stage network with its data, for the training loop."""

    shown_loss = "mask"

    def __init__(
        self, model: keras.Model, training_data: OnePassData, recipe: OnePassRecipe
    ) -> None:
        self.recipe: OnePassRecipe = recipe
        self.model = model
        self.average: WeightAverage = WeightAverage.of_model(
            model, recipe.average_decay
        )
        self.steps = recipe.steps
        self._negatives = training_data.negatives.train
        self._sampler = OnePassSampler(
            training_data.packed_images,
            recipe.batch_size,
            recipe.seed,
            recipe.views,
            self._negatives,
            recipe.negatives,
            workers=training_data.workers,
        )
        self._epoch_validation = training_data.select_for_epochs(
            training_data.validation
        )
        self._epoch_negatives = training_data.select_for_epochs(
            training_data.negatives.held_out
        )

    def recalibrate_batchnorm(self) -> None:
        """Set the statistics of folded batch normalisation from training samples."""
        first = self._sampler.iter_batches(self.recipe.epochs, _RECALIBRATION_BATCHES)
        recalibrate_network_batchnorm(
            self.model, (batch.images.astype(np.float32) for batch in first)
        )
        self.average = WeightAverage.of_model(self.model, self.recipe.average_decay)

    def start_stage(self, stage: int) -> None:
        self.learner = compile_learner(self.model, self.recipe)

    def prepare_epoch(self, epoch: int) -> None:
        """Mine false positives in all negatives with the averaged weights."""
        if self._sampler.mined is not None and epoch % self.recipe.mined_every:
            return
        with use_average(self.model, self.average):
            mined = mine_false_positives(self.model, self._negatives)
        if len(mined.scores):
            self._sampler = dataclasses.replace(self._sampler, mined=mined)
            logger.info(
                "false positives in training images without a face: %s",
                compute_false_positive_rates(mined.scores),
            )

    def iter_batches(self, epoch: int) -> Iterator[TrainingBatch]:
        return self._sampler.iter_batches(epoch, self.steps)

    def train_step(self, batch: TrainingBatch) -> dict[str, float]:
        logs = self.learner.train_on_batch(
            batch.images.astype(np.float32), batch.targets, return_dict=True
        )
        return {name: float(logs[name]) for name in LOSS_NAMES}

    def validate(self, epoch: int, logs: Sequence[Mapping[str, float]]) -> EpochResult:
        losses = logs[-1]  # Keras returns running means
        long_side_px = max(SCALINGS)
        metrics = evaluate_onepass(self.model, self._epoch_validation, long_side_px)
        mined = mine_false_positives(self.model, self._epoch_negatives, long_side_px)
        rates = compute_false_positive_rates(mined.scores)
        row = {
            "loss": round(sum(losses.values()), 5),
            **{f"loss_{name}": round(value, 5) for name, value in losses.items()},
            **{f"val_{name}": value for name, value in vars(metrics).items()},
            **{f"val_false_positives_{key}": rate for key, rate in rates.items()},
        }
        named_losses = [f"{name} {value:.3f}" for name, value in losses.items()]
        lines = [f"losses {', '.join(named_losses)}", f"validation {metrics}"]
        if rates:
            lines.append(f"false positives {rates}")
        return EpochResult(row, lines, compute_selection_score(row))
