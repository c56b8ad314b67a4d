"""The training runs that ship: what they are, how they learnt, what they answered."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskdet.metrics.answers import Answers, read_answers
from maskdet.resources import resource_path

RUNS_FOLDER = resource_path("models/runs")
"""One folder a run; its name is the name of the run."""

NETWORKS_FOLDER = "runs-onepass"
"""Inside `models/`: the runs of one-pass networks, which have other facts."""

FACTS_NAME = "facts.json"
LOG_NAME = "log.csv"
ANSWERS_NAME = "answers.npz"
CARD_NAME = "card.md"

SETS: Mapping[str, str] = {
    "faces-test": "pictures of one face, test split",
    "kaggle-val/true": "kaggle-val, true boxes of at least 20 px",
    "kaggle-val/found": "kaggle-val, faces of at least 20 px as found",
    "ilc-val/true": "ilc-val, true boxes of at least 20 px",
    "ilc-val/found": "ilc-val, faces of at least 20 px as found",
}
"""The sets that every run that ships has answers for."""


@dataclass(frozen=True, eq=False)
class Run:
    """One training run, as `maskdet export` leaves it.

    Attributes:
        name: of its folder, such as `maskdet` or `tutorial`.
        facts: what `facts.json` says: `title`, `about`, `parameters`, `file` (name
            in `models/`, or null where the weights are too large to ship), `bytes`,
            `sha256`, `weights`, `input` (`size_px`, `context`), `labels`,
            `one_face_ms`, `four_faces_ms`, `versions`, `recipe`, `temperature`,
            `made`.
        log: one row an epoch, names to numbers: `epoch`, `stage`, `loss`,
            `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`, `took_s`.
        answers: name of a set in `SETS` to the answers on it.
        card: the model card, Markdown.
    """

    name: str
    facts: Mapping[str, Any]
    log: tuple[Mapping[str, float], ...]
    answers: Mapping[str, Answers]
    card: str


def run_names(folder: Path = RUNS_FOLDER) -> list[str]:
    """Return the names of the runs that ship, our own first."""
    names = sorted(path.parent.name for path in folder.glob(f"*/{FACTS_NAME}"))
    return sorted(names, key=lambda name: name != "maskdet")


def read_run(name: str, folder: Path = RUNS_FOLDER) -> Run:
    """Return a run by name.

    Raises:
        FileNotFoundError: one of its files is missing.
        ValueError: one of its files cannot be understood.
    """
    path = folder / name
    try:
        facts = json.loads((path / FACTS_NAME).read_text(encoding="utf-8"))
        with (path / LOG_NAME).open(newline="", encoding="utf-8") as file:
            rows = [
                {key: float(value) for key, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: no run that can be read ({error})") from None
    card = (path / CARD_NAME).read_text(encoding="utf-8")
    answers = read_answers(path / ANSWERS_NAME)
    return Run(name, facts, tuple(rows), answers, card)
