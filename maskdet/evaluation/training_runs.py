"""Read the packaged training runs: facts, training log, predictions, model card."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskdet.metrics.classification import Predictions, read_class_predictions
from maskdet.model_files.own_models import FACTS_NAME
from maskdet.resources import resource_path

RUNS_FOLDER = resource_path("models/runs")
"""One folder per run; its name is the name of the run."""

ONEPASS_RUNS_NAME = "runs-onepass"
"""Folder in `models/` of the runs of single-stage networks, which have other facts."""

LOG_NAME = "log.csv"
PREDICTIONS_NAME = "answers.npz"
CARD_NAME = "card.md"

EVALUATION_SETS: Mapping[str, str] = {
    "faces-test": "images of one face, test split",
    "kaggle-val/true": "kaggle-val, true boxes of at least 20 px",
    "kaggle-val/found": "kaggle-val, detected faces of at least 20 px",
    "ilc-val/true": "ilc-val, true boxes of at least 20 px",
    "ilc-val/found": "ilc-val, detected faces of at least 20 px",
}
"""The evaluation sets of every packaged run, with their descriptions."""


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A training run, as written by `maskdet export`.

    Attributes:
        name: of its folder, such as `maskdet` or `tutorial`.
        facts: content of `facts.json`: `title`, `about`, `parameters`, `file` (name
            in `models/`, or null where the weights are too large to ship), `bytes`,
            `sha256`, `weights`, `input` (`size_px`, `context`), `labels`,
            `one_face_ms`, `four_faces_ms`, `versions`, `recipe`, `temperature`,
            `made`.
        log: one row per epoch: `epoch`, `stage`, `loss`,
            `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`, `took_s`.
        predictions: predictions by name of the set in `EVALUATION_SETS`.
        card: the model card, Markdown.
    """

    name: str
    facts: Mapping[str, Any]
    log: tuple[Mapping[str, float], ...]
    predictions: Mapping[str, Predictions]
    card: str


def list_training_runs(folder: Path = RUNS_FOLDER) -> list[str]:
    """Return the names of the packaged runs, `maskdet` first."""
    names = sorted(path.parent.name for path in folder.glob(f"*/{FACTS_NAME}"))
    return sorted(names, key=lambda name: name != "maskdet")


def read_training_run(name: str, folder: Path = RUNS_FOLDER) -> TrainingRun:
    """Read a run by name.

    Raises:
        FileNotFoundError: one of its files is missing.
        ValueError: one of its files is invalid.
    """
    run_folder = folder / name
    try:
        facts = json.loads((run_folder / FACTS_NAME).read_text(encoding="utf-8"))
        with (run_folder / LOG_NAME).open(newline="", encoding="utf-8") as file:
            rows = [
                {key: float(value) for key, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{run_folder}: cannot read the run ({error})") from None
    card = (run_folder / CARD_NAME).read_text(encoding="utf-8")
    predictions = read_class_predictions(run_folder / PREDICTIONS_NAME)
    return TrainingRun(name, facts, tuple(rows), predictions, card)
