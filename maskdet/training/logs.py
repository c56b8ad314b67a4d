"""What a training writes down: one row an epoch as CSV and JSON, and its recipe."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maskdet.training.recipes import Recipe
from maskdet.training.validation import Rightness

logger = logging.getLogger(__name__)

RECIPE_FILE = "recipe.json"
LOG_CSV = "log.csv"
LOG_JSON = "log.json"


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        epoch: counted from 1.
        stage: counted from 1.
        loss: mean over the batches, as trained.
        accuracy: share of the training views put into the right class.
        val_loss: the same loss on validation, without label smoothing.
        val_accuracy: share of the validation crops put into the right class.
        learning_rate: after its last step.
        merit: mean over the sources of validation, see `Rightness.merit`.
        took_s: seconds, validation included.
        caught: share of the false detections that are told as such where one face in
            a hundred is lost; None where that is not learnt.
    """

    epoch: int
    stage: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    merit: float
    took_s: float
    caught: float | None = None


def log_epoch(
    out: Path, done: Epoch, results: Mapping[str, Rightness], left: int
) -> None:
    """Add a row to both logs and tell it on the console.

    Args:
        out: folder of the run.
        done: the epoch.
        results: rightness on validation, source by source.
        left: epochs still to come, at most.
    """
    row: dict[str, float] = {
        name: value
        for name, value in dataclasses.asdict(done).items()
        if value is not None
    }
    if done.caught is not None:
        logger.info(
            "epoch %d: %.3f of the false detections caught", done.epoch, done.caught
        )
    for source, result in results.items():
        row |= {f"{source}_{k}": v for k, v in dataclasses.asdict(result).items()}
        logger.info("epoch %d %s: %s", done.epoch, source, result)
    logger.info(
        "epoch %d: loss %.4f, accuracy %.4f; validation: loss %.4f, accuracy %.4f; "
        "%.0f s%s",
        done.epoch,
        done.loss,
        done.accuracy,
        done.val_loss,
        done.val_accuracy,
        done.took_s,
        f", at most {_minutes(left * done.took_s)} left" if left else "",
    )
    rows = [*_rows(out / LOG_JSON), row]
    (out / LOG_JSON).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    with (out / LOG_CSV).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def forget_epochs(out: Path, done: int) -> None:
    """Drop rows of epochs after `done`, which a resumed training does again."""
    if (out / LOG_JSON).is_file():
        rows = [row for row in _rows(out / LOG_JSON) if row["epoch"] <= done]
        (out / LOG_JSON).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def epochs_of(run: Path) -> list[dict[str, float]]:
    """Return what `log_epoch` noted, one row an epoch."""
    return _rows(run / LOG_JSON)


def _rows(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    rows: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return rows


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def write_recipe(
    out: Path, recipe: Recipe, about: Mapping[str, object], *, done: int
) -> None:
    """Write or extend `recipe.json`: every knob, and what else a reader must know.

    A run resumed with another number of epochs says what was planned before, since
    the learning rate followed that plan until then.

    Args:
        out: folder of the run.
        recipe: every knob.
        about: what else to write, such as the command and the data.
        done: whole epochs behind the run.
    """
    path = out / RECIPE_FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if known.get("epochs", recipe.epochs) != recipe.epochs:
        plan = [known["epochs"], done]
        known["planned_before"] = [*known.get("planned_before", []), plan]
    known |= recipe.to_json() | {"epochs": recipe.epochs} | dict(about)
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def read_recipe(run: Path) -> tuple[Recipe, dict[str, object]]:
    """Return the recipe of a run and everything that `recipe.json` says.

    Raises:
        FileNotFoundError: the folder is no run.
        ValueError: the run is of another version.
    """
    path = run / RECIPE_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; {run} is no run")
    try:
        known: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
        return Recipe.from_json(known), known
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
