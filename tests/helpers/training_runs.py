"""Small synthetic training runs for tests of the Models page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from maskdet.evaluation.training_runs import EVALUATION_SETS, PREDICTIONS_NAME
from maskdet.metrics.classification import Predictions, save_class_predictions

FACTS: dict[str, Any] = {
    "title": "Our own",
    "about": "Made up for a test.",
    "parameters": 2_262_979,
    "file": "classifier.tflite",
    "bytes": 4_517_656,
    "weights": "float16",
    "input": {"size_px": 96, "context": 1.3},
    "labels": ["mask", "no_mask", "incorrect"],
    "one_face_ms": 1.1,
    "four_faces_ms": 3.6,
    "recipe": {"command": "maskdet train classifier --seed 1"},
    "made": "2026-11-21",
}
LARGE_FACTS: dict[str, Any] = {
    **FACTS,
    "title": "Custom CNN",
    "parameters": 92_000_000,
    "file": None,
    "bytes": 368_000_000,
    "one_face_ms": None,
    "four_faces_ms": None,
}

CARD = "# maskdet\n\nA card.\n\n## Limits\n\n<b>none</b> | [here](limits.md)\n"


def make_predictions(n_wrong: int = 2, n: int = 30, seed: int = 0) -> Predictions:
    """Return predictions of which the first `n_wrong` are wrong."""
    rng = np.random.default_rng(seed)
    ground_truth = np.arange(n) % 3
    predicted = ground_truth.copy()
    predicted[:n_wrong] = (predicted[:n_wrong] + 1) % 3
    confidences = rng.uniform(0.6, 0.98, n)
    probs = np.repeat(((1 - confidences) / 2)[:, None], 3, axis=1)
    probs[np.arange(n), predicted] = confidences
    return Predictions(
        ground_truth,
        probs.astype(np.float32),
        rng.uniform(20, 200, n).astype(np.float32),
        rng.uniform(20, 220, n).astype(np.float32),
        rng.uniform(5, 900, n).astype(np.float32),
        np.array(["real", "drawn"])[np.arange(n) % 2],
    )


def write_training_run(
    folder: Path,
    name: str = "maskdet",
    facts: dict[str, Any] | None = None,
    *,
    n_wrong: int = 2,
    n: int = 30,
) -> Path:
    """Write a complete training run and return its folder."""
    path = folder / name
    path.mkdir(parents=True)
    (path / "facts.json").write_text(json.dumps(FACTS if facts is None else facts))
    lines = ["epoch,stage,loss,accuracy,val_loss,val_accuracy,learning_rate,took_s"]
    for epoch in range(1, 6):
        loss, accuracy = 1 / epoch, 1 - 0.3 / epoch
        values = (loss, accuracy, 1.2 * loss, accuracy - 0.02, 1e-4, 9)
        lines.append(f"{epoch},{epoch // 4},{','.join(map(str, values))}")
    (path / "log.csv").write_text("\n".join(lines) + "\n")
    sets = {
        set_name: make_predictions(n_wrong + index, n + 3 * index, index)
        for index, set_name in enumerate(EVALUATION_SETS)
    }
    save_class_predictions(path / PREDICTIONS_NAME, sets)
    (path / "card.md").write_text(CARD)
    return path
