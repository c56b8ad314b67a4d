"""From a trained one-pass run to what ships: the file, its facts and its card."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import keras
import numpy as np

from maskdet.metrics.calibration import fit_temperature
from maskdet.metrics.detection import match_faces
from maskdet.onepass.decode import OUTPUT_NAMES, STRIDES_PX
from maskdet.onepass.network import CELL_PX
from maskdet.runs import CARD_NAME, FACTS_NAME, LOG_NAME, NETWORKS_FOLDER
from maskdet.training.checkpoint import load_average, load_weights
from maskdet.training.logs import BEST_FILE, RECIPE_FILE, STATE_FILE, epochs_of
from maskdet.training.onepass.card import card_text
from maskdet.training.onepass.litert import (
    TIMED_WH,
    WEIGHTS,
    Converted,
    compared,
    convert,
)
from maskdet.training.onepass.negatives import HELD_OUT_FILE
from maskdet.training.onepass.network import build_onepass
from maskdet.training.onepass.scenes import (
    NO_LABEL,
    VALIDATION_FILE,
    Place,
    load_places,
)
from maskdet.training.onepass.validation import Precision, look
from maskdet.types import CLASSES

MOST_BYTES = 5_000_000
"""Larger files do not ship: every clone brings them along."""

_ABOUT = (
    "Finds the faces of a picture and says of each whether its mask is worn, in one "
    "pass: YuNet's layers find, a branch of our own reads the mask."
)

# A float32 file computes the same sums in another order; more than this is a defect.
_MOST_DIFFERENCE = 1e-3
_AS_FAST = 1.1


@dataclass(frozen=True, eq=False)
class Exported:
    """Everything that is known about a run once it is converted and measured.

    Attributes:
        name: what it is called from now on.
        run: folder that the training wrote.
        known: all that its `recipe.json` says.
        log: one row an epoch.
        parameters: how many numbers the network has.
        temperature: by which the mask logits are divided.
        versions: kind of weights to what came of it.
        weights: the version that is used.
        validation: number of validation scenes.
        negatives: number of held-out pictures without a face.
        last: whether it is the last epoch, not the one with the best validation.
    """

    name: str
    run: Path
    known: Mapping[str, object]
    log: Sequence[Mapping[str, float]]
    parameters: int
    temperature: float
    versions: Mapping[str, Converted]
    weights: str
    validation: int
    negatives: int = 0
    last: bool = False

    @property
    def chosen(self) -> Converted:
        """The version that is used."""
        return self.versions[self.weights]

    @property
    def about(self) -> str:
        """What it is, in one sentence."""
        return _ABOUT


def export(run: Path, name: str, *, last: bool = False) -> Exported:
    """Convert the kept weights of a run, compare the versions, and choose one.

    Every version stays in `run`.

    Args:
        run: folder that the training wrote.
        name: what the network is called from now on.
        last: take the last epoch instead of the one with the best validation.

    Raises:
        FileNotFoundError: `run` lacks its weights, its recipe or its validation.
        RuntimeError: float32 differs from Keras, or no version is small enough.
    """
    weights_file = STATE_FILE if last else BEST_FILE
    for needed in (RECIPE_FILE, weights_file, LOG_NAME, VALIDATION_FILE):
        if not (run / needed).is_file():
            raise FileNotFoundError(f"{run / needed} is missing; train first")
    known = json.loads((run / RECIPE_FILE).read_text(encoding="utf-8"))
    places = load_places(run / VALIDATION_FILE)
    apart = run / HELD_OUT_FILE
    negatives = load_places(apart) if apart.is_file() else []
    model = build_onepass()
    if last:
        load_average(run / STATE_FILE, model)
    else:
        load_weights(run / BEST_FILE, model)
    temperature = fitted_temperature(model, places)
    fold_temperature(model, temperature)
    versions = _versions(model, run, places, negatives)
    return Exported(
        name=name,
        run=run,
        known=known,
        log=epochs_of(run),
        parameters=model.count_params(),
        temperature=temperature,
        versions=versions,
        weights=best_version(versions),
        validation=len(places),
        negatives=len(negatives),
        last=last,
    )


def _versions(
    model: keras.Model,
    run: Path,
    places: Sequence[Place],
    negatives: Sequence[Place],
) -> dict[str, Converted]:
    """Write every version into the run's folder and compare it with Keras."""
    versions: dict[str, Converted] = {}
    for weights in WEIGHTS:
        path = run / f"{weights}.tflite"
        path.write_bytes(convert(model, weights))
        versions[weights] = compared(path, model, places, negatives)
    _check(versions["float32"])
    return versions


def fitted_temperature(
    model: keras.Model, places: Sequence[Place], long_side_px: int = 640
) -> float:
    """Return the temperature that fits the mask probabilities of found faces best."""
    probs, labels = [], []
    for place in places:
        found = look(model, place.image, long_side_px)
        matched = match_faces(found.faces, place.boxes)
        rows = np.flatnonzero(matched >= 0)
        rows = rows[place.labels[matched[rows]] != NO_LABEL]
        probs.append(found.probs[rows])
        labels.append(place.labels[matched[rows]])
    every = np.concatenate(labels)
    return fit_temperature(every, np.concatenate(probs)) if len(every) else 1.0


def fold_temperature(model: keras.Model, temperature: float) -> None:
    """Divide the mask logits by a temperature, inside the last layers' weights."""
    for stride in STRIDES_PX:
        last = model.get_layer(f"mask{stride}_logits")
        last.set_weights([values / temperature for values in last.get_weights()])


def best_version(versions: Mapping[str, Converted]) -> str:
    """Return the smallest of the fast versions that lose nothing to float32.

    Fast is within a tenth of the fastest on small pictures: less is chance.

    Raises:
        RuntimeError: all of them are too large to ship.
    """
    full = versions["float32"]
    good = [
        name
        for name, one in versions.items()
        if not one.loses_to(full) and one.n_bytes <= MOST_BYTES
    ]
    if not good:
        raise RuntimeError(f"no version has at most {MOST_BYTES:,} bytes")
    shortest = min(versions[name].times_ms[0] for name in good)
    fast = [name for name in good if versions[name].times_ms[0] <= _AS_FAST * shortest]
    return min(fast, key=lambda name: versions[name].n_bytes)


def write_run(exported: Exported, out: Path, command: str) -> list[Path]:
    """Write what ships into `out`, and return the files.

    Args:
        exported: what `export` gave.
        out: folder such as `models/`; gets the file, and `runs-onepass/NAME/`.
        command: the export's own, for the card.
    """
    folder = out / NETWORKS_FOLDER / exported.name
    folder.mkdir(parents=True, exist_ok=True)
    file = out / f"{exported.name}.tflite"
    shutil.copyfile(exported.chosen.path, file)
    text = json.dumps(facts(exported), indent=2, allow_nan=False) + "\n"
    (folder / FACTS_NAME).write_text(text, encoding="utf-8")
    shutil.copyfile(exported.run / LOG_NAME, folder / LOG_NAME)
    card = card_text(exported, command)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
    return [file, *(folder / name for name in (FACTS_NAME, LOG_NAME, CARD_NAME))]


def facts(exported: Exported) -> dict[str, object]:
    """Return what a program needs to know about a run."""
    chosen = exported.chosen
    return {
        "title": exported.name,
        "about": exported.about,
        "parameters": exported.parameters,
        "file": f"{exported.name}.tflite",
        "bytes": chosen.n_bytes,
        "sha256": chosen.sha256,
        "weights": exported.weights,
        "input": {"multiple_px": CELL_PX, "colours": "BGR", "range": [0, 255]},
        "outputs": list(OUTPUT_NAMES),
        "labels": [label.key for label in CLASSES],
        "times_ms": _times(chosen),
        "versions": {
            name: {
                "bytes": one.n_bytes,
                "difference": one.difference,
                "times_ms": _times(one),
                "loses": one.loses_to(exported.versions["float32"]),
            }
            for name, one in exported.versions.items()
        },
        "validation": {name: _numbers(one) for name, one in chosen.precision.items()},
        "false_positives": {
            side: dict(one) for side, one in chosen.false_positives.items()
        },
        "recipe": dict(exported.known),
        "temperature": round(exported.temperature, 4),
        "credits": "YuNet (Apache-2.0)",
        "made": date.today().isoformat(),
    }


def _times(one: Converted) -> dict[str, float]:
    return {
        f"{width}x{height}": round(time_ms, 3)
        for (width, height), time_ms in zip(TIMED_WH, one.times_ms, strict=True)
    }


def _numbers(precision: Precision) -> dict[str, float | None]:
    """Return the numbers, None for what could not be measured: JSON has no NaN."""
    return {
        name: None if math.isnan(value) else round(value, 4)
        for name, value in vars(precision).items()
    }


def _check(full: Converted) -> None:
    if full.difference > _MOST_DIFFERENCE:
        raise RuntimeError(
            f"{full.path} differs from Keras by {full.difference:.2g}, "
            f"wanted {_MOST_DIFFERENCE:g}"
        )
