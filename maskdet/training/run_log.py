"""Log files of a training run: one row per epoch (CSV, JSON) and the recipe (JSON)."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from maskdet.atomic_file import AtomicFile
from maskdet.evaluation.training_runs import LOG_NAME

RECIPE_FILE = "recipe.json"
LOG_JSON = "log.json"
STATE_FILE = "last.npz"
BEST_FILE = "best.weights.h5"

_RUN_FILES = (STATE_FILE, BEST_FILE, LOG_NAME, LOG_JSON, RECIPE_FILE)

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
"""Entries that may differ when a run is resumed: texts and the number of epochs."""

_RENAMED_KEYS = {"finder": "detector", "negative_pictures": "negative_images"}
"""Keys of `recipe.json` that version 0.2 and earlier wrote, and their names now."""


class AnyRecipe(Protocol):
    """A recipe of either network."""

    @property
    def epochs(self) -> int:
        """Number of epochs of all stages together."""
        ...

    def to_json(self) -> dict[str, object]:
        """Return all hyperparameters as a JSON-compatible dictionary."""
        ...


def append_row(out: Path, row: Mapping[str, float]) -> None:
    """Append the row of an epoch to both logs.

    Raises:
        OSError: the logs cannot be written.
    """
    _write_logs(out, [*read_epochs(out), row])


def drop_epochs_after(out: Path, n_done: int) -> None:
    """Drop the rows of epochs after `n_done`, which a resumed training repeats."""
    rows = read_epochs(out)
    kept = [row for row in rows if row["epoch"] <= n_done]
    if len(kept) < len(rows):
        _write_logs(out, kept)


def read_epochs(run_folder: Path) -> list[Mapping[str, float]]:
    """Return the log of a run, one row per completed epoch.

    Raises:
        ValueError: the log is damaged.
    """
    path = run_folder / LOG_JSON
    if not path.is_file():
        return []
    try:
        rows: list[Mapping[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: file is damaged ({error})") from None
    return rows


def epochs_since_lowest_loss(rows: Sequence[Mapping[str, float]]) -> int:
    """Return the number of epochs since the lowest validation loss."""
    losses = [row["val_loss"] for row in rows]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def _write_logs(out: Path, rows: Sequence[Mapping[str, float]]) -> None:
    with AtomicFile(out / LOG_JSON) as file, file.report_target_errors():
        file.stream.write(json.dumps(rows, indent=1) + "\n")
        file.commit()
    with AtomicFile(out / LOG_NAME) as file, file.report_target_errors():
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(file.stream, list(names))
        writer.writeheader()
        writer.writerows(rows)
        file.commit()


def check_run_folder(out: Path, *, resume: bool) -> None:
    """Check, before any work, that a run can be written to a folder.

    Args:
        out: the folder; it need not exist and is not created.
        resume: whether the run in the folder is resumed.

    Raises:
        FileNotFoundError: there is no run to resume.
        ValueError: `out` is a file, or holds a run that would be overwritten.
        PermissionError: the folder is not writable.
    """
    if resume:
        if not (out / STATE_FILE).is_file():
            raise FileNotFoundError(
                f"{out / STATE_FILE}: nothing to resume; train without --resume"
            )
    elif (out / STATE_FILE).is_file():
        n_done = len(read_epochs(out))
        raise ValueError(
            f"--out {out}: contains a run of {n_done} "
            f"epoch{'' if n_done == 1 else 's'}; "
            "continue it with --resume, or choose another folder"
        )
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"--out {out}: {existing} is a file, not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f"--out {out}: no permission to write in {existing}")


def create_run_folder(out: Path) -> None:
    """Create the folder of a new run, and delete an older run in it."""
    out.mkdir(parents=True, exist_ok=True)
    for name in _RUN_FILES:
        (out / name).unlink(missing_ok=True)


def write_recipe(
    out: Path, recipe: AnyRecipe, metadata: Mapping[str, object], *, n_done: int
) -> None:
    """Write `recipe.json`, or update it for a resumed run.

    If a run is resumed with another number of epochs, the file records the earlier
    plan, because the learning rate followed it until then. Other settings must not
    change, so that the model card stays correct.

    Args:
        out: folder of the run.
        recipe: all hyperparameters.
        metadata: other entries, such as the command and the data.
        n_done: number of completed epochs.

    Raises:
        ValueError: a resumed run began with other hyperparameters or other data, or
            has completed more epochs than requested.
    """
    if n_done > recipe.epochs:
        raise ValueError(
            f"{out}: the run has {n_done} epochs, more than {recipe.epochs}; resume it "
            f"with --epochs {n_done} or more"
        )
    path = out / RECIPE_FILE
    stored = read_recipe_json(path) if path.is_file() else {}
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


def _check_unchanged(
    out: Path, stored: Mapping[str, object], new: Mapping[str, object]
) -> None:
    for name in new.keys() & stored.keys() - _CHANGEABLE_KEYS:
        if new[name] != stored[name]:
            raise ValueError(
                f"{out}: the run began with {name} {json.dumps(stored[name])}, not "
                f"{json.dumps(new[name])}; resume it with the same options and data, "
                "or train in another folder"
            )


def read_recipe_json(path: Path) -> dict[str, Any]:
    """Return the entries of `recipe.json` under their current names.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: file is damaged ({error})") from None
    return {_RENAMED_KEYS.get(key, key): value for key, value in content.items()}
