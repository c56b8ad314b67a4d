"""Training loop of the classifiers, for `maskdet train classifier`."""

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

from maskdet.classifier import split_face_probability
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
from maskdet.training.classifier.batches import to_network_input
from maskdet.training.classifier.data import ClassifierData
from maskdet.training.classifier.network import (
    build_classifier,
    count_parameters,
    format_layer_table,
    recalibrate_batchnorm,
    set_trainable,
)
from maskdet.training.classifier.recipes import ClassifierRecipe, Stage
from maskdet.training.classifier.validation import (
    compute_metrics_by_source,
    compute_rejection_rate,
    mean_loss,
    mean_selection_score,
)
from maskdet.training.run_log import (
    BEST_FILE,
    STATE_FILE,
    ClassifierEpoch,
    create_run_folder,
    drop_epochs_after,
    log_classifier_epoch,
    write_recipe,
)

logger = logging.getLogger(__name__)

_RECALIBRATION_BATCHES = 12


@dataclass(frozen=True)
class TrainingStart:
    """Initial state of a training, and metadata for its files.

    Attributes:
        weights: initial weights of the body, as in `build_classifier`; None for random
            weights.
        resume: continue after the last completed epoch in the run's folder instead.
        metadata: further entries of `recipe.json`, such as the names of the data.
    """

    weights: str | Path | None = None
    resume: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict)


def fit_classifier(
    training_data: ClassifierData,
    out: Path,
    recipe: ClassifierRecipe,
    start: TrainingStart = TrainingStart(),
) -> NDArray[np.float32]:
    """Train, validate after each epoch and keep the best weights by `recipe.keep`.

    Ctrl-C stops the training early and leaves a usable model.

    Args:
        training_data: training and validation data.
        out: folder of the run; receives logs, recipe, last state and best weights.
        recipe: all hyperparameters.
        start: initial state. A fresh start deletes an older run in `out`.

    Returns:
        `(n, 3)` probabilities of the kept weights on the validation crops.

    Raises:
        FileNotFoundError: there is no run to resume.
        OSError: `out` cannot be written.
        RuntimeError: the loss is NaN or infinite.
        ValueError: the resumed run began with other hyperparameters.
    """
    keras.utils.set_random_seed(recipe.seed)
    model = _build_initial_network(training_data, recipe, start)
    state = _begin_run(out, start)
    weight_average = _make_average(model, recipe)
    loop = _TrainingLoop(model, weight_average, training_data, recipe, out)
    stage = recipe.stage_index(min(state.epochs_done, recipe.epochs - 1))
    loop.start_stage(stage)
    if start.resume:
        is_same_stage = stage == state.stage
        load_state(out / STATE_FILE, model, weight_average, optimizer=is_same_stage)
    metadata = {**start.metadata, "backends": [keras.config.backend()]}
    write_recipe(out, recipe, metadata, n_done=state.epochs_done)
    loop.train(state, stage)
    load_weights(out / BEST_FILE, model)
    return predict_probabilities(model, training_data.validation.images)


@dataclass(eq=False)
class _TrainingLoop:
    """State of a running training.

    Attributes:
        model: the network, compiled by `start_stage`.
        weight_average: its averaged weights, if the recipe uses them.
        training_data: training and validation data.
        recipe: all hyperparameters.
        out: folder of the run.
    """

    model: keras.Model
    weight_average: WeightAverage | None
    training_data: ClassifierData
    recipe: ClassifierRecipe
    out: Path

    def start_stage(self, stage: int) -> None:
        """Compile the model for a stage, with its trainable layers and optimizer."""
        compile_stage(self.model, self.recipe, stage, self.training_data.steps)
        n_trainable, n_frozen = count_parameters(self.model)
        logger.info(
            "stage %d: %s parameters, %s of them trainable",
            stage + 1,
            f"{n_trainable + n_frozen:,}",
            f"{n_trainable:,}",
        )

    def train(self, state: TrainingState, stage: int) -> None:
        """Run the remaining epochs; Ctrl-C stops early."""
        recipe, best_file = self.recipe, self.out / BEST_FILE
        try:
            for epoch in range(state.epochs_done, recipe.epochs):
                if _should_stop_early(recipe, state):
                    break
                if recipe.stage_index(epoch) != stage:
                    stage = recipe.stage_index(epoch)
                    self.start_stage(stage)
                state = self.run_epoch(epoch, state)
        except KeyboardInterrupt:
            if not best_file.is_file():
                save_best(best_file, self.model, self.weight_average)

    def run_epoch(self, epoch: int, previous: TrainingState) -> TrainingState:
        """Run one epoch, validate, keep better weights, and write the logs."""
        started = time.monotonic()
        loss, train_accuracy = self._train_epoch(epoch)
        validation = self.training_data.validation
        own_weights = swap_in_average(self.model, self.weight_average)
        outputs = predict_columns(self.model, validation.images)
        probs, face_probs = split_face_probability(outputs)
        false_positives = self.training_data.false_positives
        rejection_rate = None
        if false_positives is not None:
            false_positive_probs = split_face_probability(
                predict_columns(self.model, false_positives)
            )[1]
            rejection_rate = compute_rejection_rate(face_probs, false_positive_probs)
        if own_weights is not None:
            self.model.set_weights(own_weights)
        results = compute_metrics_by_source(
            validation.sources, validation.labels, probs
        )
        record = ClassifierEpoch(
            epoch=epoch + 1,
            stage=self.recipe.stage_index(epoch) + 1,
            loss=loss,
            accuracy=train_accuracy,
            val_loss=mean_loss(
                validation.labels, probs, self.training_data.class_weights
            ),
            val_accuracy=float((probs.argmax(axis=1) == validation.labels).mean()),
            learning_rate=float(self.model.optimizer.learning_rate),
            merit=mean_selection_score(results.values()),
            took_s=round(time.monotonic() - started, 1),
            caught=rejection_rate,
        )
        # The rejection rate counts as one more source.
        extra_scores = [] if rejection_rate is None else [rejection_rate]
        selection_score = float(
            np.mean(
                [
                    *(metrics.selection_score for metrics in results.values()),
                    *extra_scores,
                ]
            )
        )
        score = {
            "merit": selection_score,
            "loss": -record.val_loss,
            "last": float(epoch),
        }
        state = _update_state(previous, record, score[self.recipe.keep])
        check_finite(record.epoch, loss, record.val_loss)
        if state.best > previous.best:
            save_best(self.out / BEST_FILE, self.model, self.weight_average)
        # Save the state last: if the run stops in between, a resumed run repeats the
        # epoch and replaces its row.
        log_classifier_epoch(self.out, record, results, self.recipe.epochs - epoch - 1)
        save_state(self.out / STATE_FILE, self.model, self.weight_average, state)
        return state

    def _train_epoch(self, epoch: int) -> tuple[float, float]:
        """Return the mean loss and the accuracy of one epoch."""
        steps = self.training_data.steps
        losses: list[float] = []
        accuracies: list[float] = []
        progress_bar = tqdm(
            self.training_data.batch_source.iter_batches(epoch, steps),
            f"epoch {epoch + 1} of {self.recipe.epochs}",
            total=steps,
            disable=None,
        )
        for step, batch in enumerate(progress_bar):
            self.model.reset_metrics()  # otherwise Keras returns running means
            weights = self.training_data.class_weights[batch.targets.argmax(axis=1)]
            logs = self.model.train_on_batch(
                batch.images.astype(np.float32),
                batch.targets,
                sample_weight=weights,
                return_dict=True,
            )
            losses.append(float(logs["loss"]))
            accuracies.append(float(logs["accuracy"]))
            if self.weight_average is not None:
                self.weight_average.update(
                    self.model.get_weights(), epoch * steps + step
                )
            progress_bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        return float(np.mean(losses)), float(np.mean(accuracies))


def check_finite(epoch: int, *losses: float) -> None:
    """Check that the losses of an epoch are finite.

    Raises:
        RuntimeError: a loss is NaN or infinite.
    """
    for loss in losses:
        if not math.isfinite(loss):
            raise RuntimeError(
                f"epoch {epoch}: the loss is {loss}; train again with a lower learning "
                "rate. Earlier epochs are kept"
            )


def compile_stage(
    model: keras.Model, recipe: ClassifierRecipe, stage: int, steps: int
) -> None:
    """Compile the network for a stage: trainable layers, optimizer and loss.

    Args:
        model: result of `build_classifier`.
        recipe: all hyperparameters.
        stage: index into `recipe.stages`.
        steps: batches per epoch.
    """
    stage_recipe = recipe.stages[stage]
    set_trainable(model, stage_recipe, norm_learns=recipe.norm_learns)
    model.compile(
        _make_optimizer(stage_recipe, stage_recipe.epochs * steps),
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )


def _make_optimizer(stage: Stage, total: int) -> keras.Optimizer:
    rate: float | keras.optimizers.schedules.LearningRateSchedule = stage.learning_rate
    if stage.warm_up is not None:
        n_warm_up = max(1, round(total * stage.warm_up))
        rate = keras.optimizers.schedules.CosineDecay(
            stage.learning_rate / 20,
            max(total - n_warm_up, 1),
            warmup_target=stage.learning_rate,
            warmup_steps=n_warm_up,
        )
    elif stage.decay:
        rate = keras.optimizers.schedules.InverseTimeDecay(rate, 1, stage.decay)
    if stage.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=stage.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return optimizer
    optimizers = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}
    return optimizers[stage.optimizer](rate)


def predict_probabilities(
    model: keras.Model, images: NDArray[np.uint8], *, batch_size: int = 128
) -> NDArray[np.float32]:
    """Return `(n, 3)` probabilities of BGR crops `(n, size, size, 3)`."""
    return split_face_probability(
        predict_columns(model, images, batch_size=batch_size)
    )[0]


def predict_columns(
    model: keras.Model, images: NDArray[np.uint8], *, batch_size: int = 128
) -> NDArray[np.float32]:
    """Return all output columns for BGR crops `(n, size, size, 3)`."""
    parts = [
        model.predict_on_batch(to_network_input(images[start : start + batch_size]))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)


def _build_initial_network(
    training_data: ClassifierData, recipe: ClassifierRecipe, start: TrainingStart
) -> keras.Model:
    model = build_classifier(recipe, None if start.resume else start.weights)
    if recipe.norm_learns and start.weights is not None and not start.resume:
        first = training_data.batch_source.iter_batches(
            recipe.epochs, _RECALIBRATION_BATCHES
        )
        recalibrate_batchnorm(
            model, (batch.images.astype(np.float32) for batch in first)
        )
    for line in format_layer_table(model):
        logger.info("%s", line)
    return model


def _begin_run(out: Path, start: TrainingStart) -> TrainingState:
    """Return the progress of the run; a fresh start deletes an older run."""
    if start.resume:
        state = read_state(out / STATE_FILE)
        drop_epochs_after(out, state.epochs_done)
        return state
    create_run_folder(out)
    return TrainingState()


def _should_stop_early(recipe: ClassifierRecipe, state: TrainingState) -> bool:
    """Return whether early stopping applies."""
    if recipe.patience is None or state.waited < recipe.patience:
        return False
    logger.info("early stopping: no lower validation loss in %d epochs", state.waited)
    return True


def _make_average(model: keras.Model, recipe: ClassifierRecipe) -> WeightAverage | None:
    if recipe.average_decay is None:
        return None
    return WeightAverage([w.copy() for w in model.get_weights()], recipe.average_decay)


def _update_state(
    previous: TrainingState, record: ClassifierEpoch, score: float
) -> TrainingState:
    is_lower = record.val_loss < previous.lowest_loss
    return TrainingState(
        epochs_done=record.epoch,
        best=max(previous.best, score),
        lowest_loss=min(record.val_loss, previous.lowest_loss),
        waited=0 if is_lower else previous.waited + 1,
        stage=record.stage - 1,
    )
