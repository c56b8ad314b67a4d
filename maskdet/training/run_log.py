"""What a training writes down: one row an epoch as CSV and JSON, and its recipe."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from maskdet.atomic_file import AtomicFile
from maskdet.training.classifier.recipes import ClassifierRecipe
from maskdet.training.classifier.validation import ClassifierMetrics

logger = logging.getLogger(__name__)

RECIPE_FILE = "recipe.json"
LOG_CSV = "log.csv"
LOG_JSON = "log.json"
STATE_FILE = "last.npz"
BEST_FILE = "best.weights.h5"

_RUN_FILES = (STATE_FILE, BEST_FILE, LOG_CSV, LOG_JSON, RECIPE_FILE)


class AnyRecipe(Protocol):
    """A recipe of either network."""

    @property
    def epochs(self) -> int:
        """Rounds of all stages together."""
        ...

    def to_json(self) -> dict[str, object]:
        """Return every knob as `json.dumps` can write it."""
        ...


@dataclass(frozen=True)
class ClassifierEpoch:
    """What one epoch came to.

    Attributes:
        epoch: counted from 1.
        stage: counted from 1.
        loss: mean over the batches, as trained.
        accuracy: share of the training views put into the right class.
        val_loss: the same loss on validation, without label smoothing.
        val_accuracy: share of the validation crops put into the right class.
        learning_rate: after its last step.
        merit: mean over the sources of validation, see `ClassifierMetrics.merit`.
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


def log_classifier_epoch(
    out: Path,
    epoch: ClassifierEpoch,
    results: Mapping[str, ClassifierMetrics],
    n_epochs_left: int,
) -> None:
    """Add a row to both logs and tell it on the console.

    Args:
        out: folder of the run.
        epoch: the epoch.
        results: rightness on validation, source by source.
        n_epochs_left: epochs still to come, at most.
    """
    row: dict[str, float] = {
        name: value
        for name, value in dataclasses.asdict(epoch).items()
        if value is not None
    }
    if epoch.caught is not None:
        logger.info(
            "epoch %d: %.3f of the false detections caught", epoch.epoch, epoch.caught
        )
    for source, result in results.items():
        row |= {f"{source}_{k}": v for k, v in dataclasses.asdict(result).items()}
        logger.info("epoch %d %s: %s", epoch.epoch, source, result)
    logger.info(
        "epoch %d: loss %.4f, accuracy %.4f; validation: loss %.4f, accuracy %.4f; "
        "%.0f s%s",
        epoch.epoch,
        epoch.loss,
        epoch.accuracy,
        epoch.val_loss,
        epoch.val_accuracy,
        epoch.took_s,
        f", at most {_format_duration(n_epochs_left * epoch.took_s)} left"
        if n_epochs_left
        else "",
    )
    append_row(out, row)


def append_row(out: Path, row: Mapping[str, float]) -> None:
    """Add what an epoch came to at the end of both logs.

    Raises:
        OSError: they cannot be written.
    """
    _write_logs(out, [*read_epochs(out), row])


def drop_epochs_after(out: Path, n_done: int) -> None:
    """Drop rows of epochs after `n_done`, which a resumed training does again."""
    rows = read_epochs(out)
    kept = [row for row in rows if row["epoch"] <= n_done]
    if len(kept) < len(rows):
        _write_logs(out, kept)


def read_epochs(run_folder: Path) -> list[Mapping[str, float]]:
    """Return what a run noted, one row an epoch; none before its first is whole.

    Raises:
        ValueError: the log is damaged.
    """
    path = run_folder / LOG_JSON
    if not path.is_file():
        return []
    try:
        rows: list[Mapping[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is damaged ({error})") from None
    return rows


def epochs_since_lowest_loss(rows: Sequence[Mapping[str, float]]) -> int:
    """Return how many epochs ago the validation loss was lowest."""
    losses = [row["val_loss"] for row in rows]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def _write_logs(out: Path, rows: Sequence[Mapping[str, float]]) -> None:
    with AtomicFile(out / LOG_JSON) as file, file.report_target_errors():
        file.stream.write(json.dumps(rows, indent=1) + "\n")
        file.commit()
    with AtomicFile(out / LOG_CSV) as file, file.report_target_errors():
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(file.stream, list(names))
        writer.writeheader()
        writer.writerows(rows)
        file.commit()


def _format_duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def check_run_folder(out: Path, *, resume: bool) -> None:
    """Make sure, before any work, that a run can be kept in a folder.

    Args:
        out: the folder; it need not exist and is not made.
        resume: whether the run in it goes on.

    Raises:
        FileNotFoundError: there is no run to resume.
        ValueError: it is a file, or holds a run that would be lost.
        PermissionError: nothing can be written there.
    """
    if resume:
        if not (out / STATE_FILE).is_file():
            raise FileNotFoundError(
                f"{out / STATE_FILE}: nothing to resume; train without --resume"
            )
    elif (out / STATE_FILE).is_file():
        n_done = len(read_epochs(out))
        raise ValueError(
            f"--out {out}: holds a run of {n_done} epoch{'' if n_done == 1 else 's'}; "
            "continue it with --resume, or choose another folder"
        )
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"--out {out}: {existing} is a file, wanted a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f"--out {out}: no permission to write in {existing}")


def create_run_folder(out: Path) -> None:
    """Make the folder of a new run, and delete an older run in it."""
    out.mkdir(parents=True, exist_ok=True)
    for name in _RUN_FILES:
        (out / name).unlink(missing_ok=True)


def write_recipe(
    out: Path, recipe: AnyRecipe, metadata: Mapping[str, object], *, n_done: int
) -> None:
    """Write `recipe.json`, or extend that of a run that goes on.

    It holds every knob and what else a reader must know. A run resumed with another
    number of epochs says what was planned before, since the learning rate followed
    that plan until then. Nothing else may change, or its card would not be true.

    Args:
        out: folder of the run.
        recipe: every knob.
        metadata: what else to write, such as the command and the data.
        n_done: whole epochs behind the run.

    Raises:
        ValueError: a run that goes on began with other knobs or other data, or has
            done more epochs than it shall have.
    """
    if n_done > recipe.epochs:
        raise ValueError(
            f"{out}: has done {n_done} epochs already, more than {recipe.epochs}; "
            "resume "
            f"it with --epochs {n_done} or more"
        )
    path = out / RECIPE_FILE
    stored = _read_json(path) if path.is_file() else {}
    new = json.loads(json.dumps(recipe.to_json() | dict(metadata)))
    if n_done:
        _check_unchanged(out, stored, new)
    if stored.get("epochs", recipe.epochs) != recipe.epochs:
        plan = [stored["epochs"], n_done]
        stored["planned_before"] = [*stored.get("planned_before", []), plan]
    backends = [*stored.get("backends", []), *new.get("backends", [])]
    stored |= new | {"epochs": recipe.epochs}
    stored["backends"] = list(dict.fromkeys(backends))
    with AtomicFile(path) as file, file.report_target_errors():
        file.stream.write(json.dumps(stored, indent=2) + "\n")
        file.commit()


_CHANGEABLE_KEYS = frozenset(
    (
        "title",
        "about",
        "source",
        "epochs",
        "stages",
        "command",
        "data_report",
        "before",
        "backends",
    )
)
"""What may differ where a run goes on: words, and how long it shall be."""


def _check_unchanged(
    out: Path, stored: Mapping[str, object], new: Mapping[str, object]
) -> None:
    for name in new.keys() & stored.keys() - _CHANGEABLE_KEYS:
        if new[name] != stored[name]:
            raise ValueError(
                f"{out}: began with {name} {json.dumps(stored[name])}, not "
                f"{json.dumps(new[name])}; resume it with the options and the data it "
                "began with, or train in another folder"
            )


def _read_json(path: Path) -> dict[str, Any]:
    """Return what `recipe.json` says.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: is damaged ({error})") from None
    return content


def read_recipe(run_folder: Path) -> tuple[ClassifierRecipe, dict[str, object]]:
    """Return the recipe of a run and everything that `recipe.json` says.

    Raises:
        FileNotFoundError: the folder is no run.
        ValueError: the run is of another version.
    """
    path = run_folder / RECIPE_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no such file; {run_folder} is no run"
        )
    metadata = _read_json(path)
    try:
        return ClassifierRecipe.from_json(metadata), metadata
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
