"""Small made-up runs, for the tests of the Models page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from maskdet.metrics.answers import Answers, save_answers
from maskdet.runs import SETS

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
LARGE: dict[str, Any] = {
    **FACTS,
    "title": "Custom CNN",
    "parameters": 92_000_000,
    "file": None,
    "bytes": 368_000_000,
    "one_face_ms": None,
    "four_faces_ms": None,
}

CARD = "# maskdet\n\nA card.\n\n## Limits\n\n<b>none</b> | [here](limits.md)\n"


def answers(wrong: int = 2, n: int = 30, seed: int = 0) -> Answers:
    """Return answers that are right but for the first `wrong` ones, a class too far."""
    rng = np.random.default_rng(seed)
    truths = np.arange(n) % 3
    said = truths.copy()
    said[:wrong] = (said[:wrong] + 1) % 3
    sure = rng.uniform(0.6, 0.98, n)
    probs = np.repeat(((1 - sure) / 2)[:, None], 3, axis=1)
    probs[np.arange(n), said] = sure
    return Answers(
        truths,
        probs.astype(np.float32),
        rng.uniform(20, 200, n).astype(np.float32),
        rng.uniform(20, 220, n).astype(np.float32),
        rng.uniform(5, 900, n).astype(np.float32),
        np.array(["real", "drawn"])[np.arange(n) % 2],
    )


def write_run(
    folder: Path,
    name: str = "maskdet",
    facts: dict[str, Any] | None = None,
    *,
    wrong: int = 2,
    n: int = 30,
) -> Path:
    """Write a whole run and return its folder."""
    path = folder / name
    path.mkdir(parents=True)
    (path / "facts.json").write_text(json.dumps(FACTS if facts is None else facts))
    lines = ["epoch,stage,loss,accuracy,val_loss,val_accuracy,learning_rate,took_s"]
    for epoch in range(1, 6):
        loss, right = 1 / epoch, 1 - 0.3 / epoch
        numbers = (loss, right, 1.2 * loss, right - 0.02, 1e-4, 9)
        lines.append(f"{epoch},{epoch // 4},{','.join(map(str, numbers))}")
    (path / "log.csv").write_text("\n".join(lines) + "\n")
    sets = {
        set_name: answers(wrong + place, n + 3 * place, place)
        for place, set_name in enumerate(SETS)
    }
    save_answers(path / "answers.npz", sets)
    (path / "card.md").write_text(CARD)
    return path
