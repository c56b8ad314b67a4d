"""The training itself: one visible loop.

python -m maskdet train classifier --faces ../shared/data/faces/index.csv \
    --scenes ../shared/data/scenes/kaggle-train.json --weights imagenet --out runs/mine
"""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from maskdet.training.checkpoint import (
    Average,
    Progress,
    load_state,
    save_average,
    save_state,
)
from maskdet.training.network import build_classifier, settle_normalisation
from maskdet.training.samples import Samples
from maskdet.training.sampling import Sampler, network_input
from maskdet.training.validation import Rightness, by_source, mean_merit

logger = logging.getLogger(__name__)

STATE_FILE = "last.npz"
BEST_FILE = "best.weights.h5"
RECIPE_FILE = "recipe.json"
LOG_FILE = "log.csv"
VALIDATION_FILE = "validation.npz"

_SETTLING_BATCHES = 12


@dataclass(frozen=True)
class Recipe:
    """Every knob of a training.

    Attributes:
        size_px: input side. 96 trains 1.4 times as fast as 112, and half of the faces
            to read are narrower than 30 px anyway.
        epochs: passes; the learning rate falls to nothing over all of them.
        steps: batches an epoch.
        batch_size: crops a batch; the largest that is still fast on two cores.
        learning_rate: the peak, small enough to keep what ImageNet taught.
        warm_up: share of all steps in which the rate rises, so that the new head does
            not shake the body.
        weight_decay: of AdamW, on kernels only.
        smoothing: of labels; the folders hold a few wrong ones.
        average_decay: of the averaged weights, about 100 steps.
        dropout: before the last layer.
        seed: fixes weights, order and augmentation.
    """

    size_px: int = 96
    epochs: int = 7
    steps: int = 140
    batch_size: int = 64
    learning_rate: float = 5e-4
    warm_up: float = 0.05
    weight_decay: float = 0.02
    smoothing: float = 0.05
    average_decay: float = 0.99
    dropout: float = 0.3
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse values that cannot train."""
        for name in ("size_px", "epochs", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, not {getattr(self, name)}"
                )
        if self.size_px % 32:
            raise ValueError(f"size_px must be a multiple of 32, not {self.size_px}")


@dataclass(frozen=True)
class Start:
    """Where a training starts, and what its files should say about it.

    Attributes:
        weights: of the body, as in `build_classifier`; None for chance.
        resume: go on after the last whole epoch in the run's folder instead.
        about: what else `recipe.json` tells a reader, such as the data's name.
    """

    weights: str | Path | None = None
    resume: bool = False
    about: Mapping[str, object] = field(default_factory=dict)


def fit(
    train: Samples,
    validation: Samples,
    out: Path,
    recipe: Recipe,
    start: Start = Start(),
) -> dict[str, Rightness]:
    """Train, validate after each epoch and keep the best averaged weights in `out`.

    Ctrl-C ends it early and leaves a usable model.

    Args:
        train: crops of `pack_training`.
        validation: crops of `pack_validation`, in the size of the recipe.
        out: folder of the run; gets log, recipe, last state and best weights.
        recipe: every knob.
        start: where it starts. A fresh start deletes an older run in `out`.

    Returns:
        The rightness of the best epoch of this call, source by source.
    """
    keras.utils.set_random_seed(recipe.seed)
    sampler = Sampler(train, recipe.size_px, recipe.batch_size, recipe.seed)
    model = compiled(recipe, None if start.resume else start.weights)
    if not start.resume and start.weights is not None:
        first = (
            batch.images for batch in sampler.epoch(recipe.epochs, _SETTLING_BATCHES)
        )
        settle_normalisation(model, first)
    average = Average([w.copy() for w in model.get_weights()], recipe.average_decay)
    out.mkdir(parents=True, exist_ok=True)
    if start.resume:
        progress = load_state(out / STATE_FILE, model, average)
    else:
        progress = Progress()
        for name in (STATE_FILE, BEST_FILE, LOG_FILE, RECIPE_FILE):
            (out / name).unlink(missing_ok=True)
    write_recipe(out, recipe, start.about, done=progress.epochs_done)
    best: dict[str, Rightness] = {}
    try:
        for epoch in range(progress.epochs_done, recipe.epochs):
            started = time.monotonic()
            loss = _train_epoch(model, average, sampler, epoch, recipe.steps)
            results = _validate(model, average, validation)
            merit = mean_merit(results.values())
            if merit > progress.best_merit:
                best = results
                save_average(out / BEST_FILE, model, average)
            progress = Progress(epoch + 1, max(merit, progress.best_merit))
            save_state(out / STATE_FILE, model, average, progress)
            _log_epoch(out, epoch + 1, loss, merit, results, time.monotonic() - started)
    except KeyboardInterrupt:
        logger.warning("stopped by hand after %d epochs", progress.epochs_done)
        if not (out / BEST_FILE).is_file():
            save_average(out / BEST_FILE, model, average)
    return best


def compiled(recipe: Recipe, weights: str | Path | None) -> keras.Model:
    """Return the network of a recipe with its optimizer and loss."""
    model = build_classifier(recipe.size_px, weights=weights, dropout=recipe.dropout)
    total = recipe.epochs * recipe.steps
    rising = max(1, round(total * recipe.warm_up))
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 20,
        max(total - rising, 1),
        warmup_target=recipe.learning_rate,
        warmup_steps=rising,
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.smoothing),
    )
    return model


def probabilities(
    model: keras.Model, images: NDArray[np.uint8], *, batch_size: int = 128
) -> NDArray[np.float32]:
    """Return `(n, 3)` probabilities of BGR crops `(n, size, size, 3)`."""
    parts = [
        model.predict_on_batch(network_input(images[start : start + batch_size]))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)


def write_recipe(
    out: Path, recipe: Recipe, about: Mapping[str, object], *, done: int
) -> None:
    """Write or extend `recipe.json`: every knob, and what else a reader must know.

    A run resumed with another number of epochs says what was planned before, since
    the learning rate followed that plan until then.

    Args:
        out: folder of the run.
        recipe: every knob.
        about: what else to write.
        done: whole epochs behind the run.
    """
    path = out / RECIPE_FILE
    known = json.loads(path.read_text()) if path.is_file() else {}
    if known.get("epochs", recipe.epochs) != recipe.epochs:
        plan = [known["epochs"], done]
        known["planned_before"] = [*known.get("planned_before", []), plan]
    known |= dataclasses.asdict(recipe) | dict(about)
    path.write_text(json.dumps(known, indent=2) + "\n")


def read_recipe(run: Path) -> tuple[Recipe, dict[str, object]]:
    """Return the recipe of a run and everything that `recipe.json` says.

    Raises:
        FileNotFoundError: the folder is no run.
    """
    path = run / RECIPE_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; {run} is no run")
    known: dict[str, object] = json.loads(path.read_text())
    names = [field.name for field in dataclasses.fields(Recipe)]
    knobs: dict[str, object] = {name: known[name] for name in names if name in known}
    return Recipe(**knobs), known  # type: ignore[arg-type]


def _train_epoch(
    model: keras.Model, average: Average, sampler: Sampler, epoch: int, steps: int
) -> float:
    losses: list[float] = []
    bar = tqdm(
        sampler.epoch(epoch, steps), f"epoch {epoch + 1}", total=steps, disable=None
    )
    for step, batch in enumerate(bar):
        model.reset_metrics()  # else some versions of Keras answer with a mean
        losses.append(float(model.train_on_batch(batch.images, batch.targets)))
        average.update(model.get_weights(), epoch * steps + step)
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    return float(np.mean(losses))


def _validate(
    model: keras.Model, average: Average, validation: Samples
) -> dict[str, Rightness]:
    own = model.get_weights()
    model.set_weights(average.weights)
    probs = probabilities(model, validation.images)
    model.set_weights(own)
    return by_source(validation.sources, validation.labels, probs)


def _log_epoch(
    out: Path,
    epoch: int,
    loss: float,
    merit: float,
    results: Mapping[str, Rightness],
    took_s: float,
) -> None:
    row: dict[str, object] = {"epoch": epoch, "loss": loss, "merit": merit}
    row["took_s"] = round(took_s, 1)
    for source, result in results.items():
        row |= {f"{source}_{k}": v for k, v in dataclasses.asdict(result).items()}
        logger.info("epoch %d %s: %s", epoch, source, result)
    logger.info("epoch %d loss %.4f merit %.4f, %.0f s", epoch, loss, merit, took_s)
    path = out / LOG_FILE
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
