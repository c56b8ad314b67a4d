"""Training loop of the classifiers, for `maskdet train classifier`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.classifier import split_face_probability
from maskdet.training.checkpoint import WeightAverage, load_weights
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
)
from maskdet.training.loop import EpochResult, NetworkInTraining, run_training
from maskdet.training.run_log import BEST_FILE
from maskdet.training.workers import TrainingBatch

logger = logging.getLogger(__name__)

_RECALIBRATION_BATCHES = 12
_PREDICTED_AT_ONCE = 128


def fit_classifier(
    training_data: ClassifierData,
    out: Path,
    recipe: ClassifierRecipe,
    weights: str | Path | None = None,
    *,
    resume: bool = False,
    metadata: Mapping[str, object] = MappingProxyType({}),
) -> NDArray[np.float32]:
    """Train a classifier, see `run_training`, and keep the weights by `recipe.keep`.

    Args:
        training_data: training and validation data.
        out: folder of the run; receives logs, recipe, last state and best weights. A
            fresh start deletes an older run.
        recipe: all hyperparameters.
        weights: initial weights of the body, as in `build_classifier`; None for random
            weights.
        resume: continue after the last completed epoch in `out` instead.
        metadata: further entries of `recipe.json`, such as the names of the data.

    Returns:
        `(n, 3)` probabilities of the kept weights on the validation crops.

    Raises:
        FileNotFoundError: as in `run_training`, as the other errors.
    """
    keras.utils.set_random_seed(recipe.seed)
    model = _build_initial_network(training_data, recipe, None if resume else weights)
    network = _ClassifierInTraining(model, training_data, recipe)
    run_training(network, out, resume=resume, metadata=metadata)
    load_weights(out / BEST_FILE, model)
    return predict_probabilities(model, training_data.validation.images)


class _ClassifierInTraining(NetworkInTraining):
    """A classifier with its data, for the training loop."""

    shown_loss = "loss"

    def __init__(
        self,
        model: keras.Model,
        training_data: ClassifierData,
        recipe: ClassifierRecipe,
    ) -> None:
        self.recipe: ClassifierRecipe = recipe
        self.model = self.learner = model
        self.steps = training_data.steps
        self.patience = recipe.patience
        self.average = (
            None
            if recipe.average_decay is None
            else WeightAverage.of_model(model, recipe.average_decay)
        )
        self._training_data = training_data

    def stage_index(self, epoch: int) -> int:
        return self.recipe.stage_index(epoch)

    def start_stage(self, stage: int) -> None:
        compile_stage(self.model, self.recipe, stage, self.steps)
        n_trainable, n_frozen = count_parameters(self.model)
        logger.info(
            "stage %d: %s parameters, %s of them trainable",
            stage + 1,
            f"{n_trainable + n_frozen:,}",
            f"{n_trainable:,}",
        )

    def iter_batches(self, epoch: int) -> Iterator[TrainingBatch]:
        return self._training_data.batch_source.iter_batches(epoch, self.steps)

    def train_step(self, batch: TrainingBatch) -> dict[str, float]:
        self.model.reset_metrics()  # otherwise Keras returns running means
        weights = self._training_data.class_weights[batch.targets.argmax(axis=1)]
        logs = self.model.train_on_batch(
            batch.images.astype(np.float32),
            batch.targets,
            sample_weight=weights,
            return_dict=True,
        )
        return {name: float(logs[name]) for name in ("loss", "accuracy")}

    def validate(self, epoch: int, logs: Sequence[Mapping[str, float]]) -> EpochResult:
        data, validation = self._training_data, self._training_data.validation
        outputs = predict_columns(self.model, validation.images)
        probs, face_probs = split_face_probability(outputs)
        results = compute_metrics_by_source(
            validation.sources, validation.labels, probs
        )
        row = {
            "loss": float(np.mean([step["loss"] for step in logs])),
            "accuracy": float(np.mean([step["accuracy"] for step in logs])),
            "val_loss": mean_loss(validation.labels, probs, data.class_weights),
            "val_accuracy": float((probs.argmax(axis=1) == validation.labels).mean()),
        }
        scores = [result.selection_score for result in results.values()]
        lines = [f"{source}: {result}" for source, result in results.items()]
        if data.false_positives is not None:
            outputs = predict_columns(self.model, data.false_positives)
            rate = compute_rejection_rate(
                face_probs, split_face_probability(outputs)[1]
            )
            row["caught"] = rate
            scores.append(rate)  # counts as one more source
            lines.append(f"{rate:.3f} of the false positives rejected")
        row["merit"] = float(np.mean(scores))
        for source, result in results.items():
            row |= {f"{source}_{name}": value for name, value in vars(result).items()}
        lines.append(
            f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}; validation: "
            f"loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.4f}"
        )
        score = {
            "merit": row["merit"],
            "loss": -row["val_loss"],
            "last": float(epoch),
        }
        return EpochResult(row, lines, score[self.recipe.keep])


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
    model: keras.Model, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return `(n, 3)` probabilities of BGR crops `(n, size, size, 3)`."""
    return split_face_probability(predict_columns(model, images))[0]


def predict_columns(
    model: keras.Model, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return all output columns for BGR crops `(n, size, size, 3)`."""
    parts = [
        model.predict_on_batch(
            to_network_input(images[start : start + _PREDICTED_AT_ONCE])
        )
        for start in range(0, len(images), _PREDICTED_AT_ONCE)
    ]
    return np.concatenate(parts)


def _build_initial_network(
    training_data: ClassifierData,
    recipe: ClassifierRecipe,
    weights: str | Path | None,
) -> keras.Model:
    model = build_classifier(recipe, weights)
    if recipe.norm_learns and weights is not None:
        first = training_data.batch_source.iter_batches(
            recipe.epochs, _RECALIBRATION_BATCHES
        )
        recalibrate_batchnorm(
            model, (batch.images.astype(np.float32) for batch in first)
        )
    for line in format_layer_table(model):
        logger.info("%s", line)
    return model
