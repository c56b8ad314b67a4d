"""From a trained run to what ships: the file, its facts, its answers and its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.classifier import MaskClassifier
from maskdet.metrics.answers import Answers, save_answers
from maskdet.metrics.calibration import fit_temperature
from maskdet.runs import ANSWERS_NAME, CARD_NAME, FACTS_NAME, LOG_NAME
from maskdet.training.card import card_text
from maskdet.training.checkpoint import load_weights
from maskdet.training.crops import Crops, read_crops
from maskdet.training.fit import probabilities
from maskdet.training.litert import PRECISIONS, Converted, compared, convert
from maskdet.training.logs import BEST_FILE, epochs_of, read_recipe
from maskdet.training.material import CALIBRATION_FILE, TEST_FILE, VALIDATION_FILE
from maskdet.training.network import build_network
from maskdet.training.recipes import Recipe
from maskdet.training.validation import Rightness, by_source
from maskdet.types import CLASSES

MOST_BYTES = 10_000_000
"""Larger files do not ship; their run keeps its numbers."""

LIGHT_BYTES = 5_000_000
"""A version up to this size goes before larger ones: every clone brings it along."""

# A float32 file computes the same sums in another order; more than this is a defect.
_MOST_DIFFERENCE = 1e-3


@dataclass(frozen=True, eq=False)
class Exported:
    """Everything that is known about a run once it is converted and measured.

    Attributes:
        name: what it is called from now on.
        run: folder that the training wrote.
        recipe: how it was made.
        known: all that its `recipe.json` says.
        log: one row an epoch.
        model: the network in Keras, with the temperature in it.
        parameters: how many it has.
        temperature: by which the logits are divided.
        versions: precision to what came of it.
        precision: the version that is used.
        validation: number of validation crops.
        test: rightness on pictures held back, source by source; may be empty.
    """

    name: str
    run: Path
    recipe: Recipe
    known: Mapping[str, object]
    log: Sequence[Mapping[str, float]]
    model: keras.Model
    parameters: int
    temperature: float
    versions: Mapping[str, Converted]
    precision: str
    validation: int
    test: Mapping[str, Rightness]

    @property
    def chosen(self) -> Converted:
        """The version that is used."""
        return self.versions[self.precision]

    @property
    def ships(self) -> bool:
        """Whether it is small enough to lie in `models/`."""
        return self.chosen.n_bytes <= MOST_BYTES

    @property
    def is_light(self) -> bool:
        """Whether a clone brings it along without much weight."""
        return self.chosen.n_bytes <= LIGHT_BYTES

    @property
    def file_name(self) -> str:
        """Name of the file that ships; our own model is called what it is."""
        return file_name(self.name)


def file_name(name: str) -> str:
    """Return what the file of a run is called in `models/`."""
    return "classifier.tflite" if name == "maskdet" else f"{name}.tflite"


def export(run: Path, name: str) -> Exported:
    """Convert the kept weights of a run in every precision, compare and choose.

    The fastest for four faces is used that is right as often as float32 on every
    source of validation. All versions stay in `run`.

    Args:
        run: folder that `fit` wrote.
        name: what the model is called from now on.

    Raises:
        FileNotFoundError: `run` has no trained weights or no crops.
        RuntimeError: the float32 file differs from Keras by more than 1e-3.
    """
    recipe, known = read_recipe(run)
    if not (run / BEST_FILE).is_file():
        raise FileNotFoundError(f"{run / BEST_FILE} is missing; train first")
    log = epochs_of(run)
    if not log:
        raise ValueError(f"{run}: not one epoch of it is whole; train longer")
    crops = read_crops(run / VALIDATION_FILE)
    model = build_network(recipe)
    load_weights(run / BEST_FILE, model)
    temperature = fit_temperature(crops.labels, probabilities(model, crops.images))
    fold_temperature(model, temperature)
    versions = _versions(model, run, crops)
    _check(versions["float32"])
    best = fastest(versions)
    return Exported(
        name=name,
        run=run,
        recipe=recipe,
        known=known,
        log=log,
        model=model,
        parameters=model.count_params(),
        temperature=temperature,
        versions=versions,
        precision=best,
        validation=len(crops),
        test=_held_back(versions[best].path, run / TEST_FILE),
    )


def _versions(model: keras.Model, run: Path, crops: Crops) -> dict[str, Converted]:
    """Write the network into `run` in every precision and compare each with Keras."""
    calibration = read_crops(run / CALIBRATION_FILE).images
    truth = probabilities(model, crops.images)
    versions: dict[str, Converted] = {}
    for precision in PRECISIONS:
        path = run / f"{precision}.tflite"
        path.write_bytes(convert(model, precision, calibration))
        versions[precision] = compared(path, crops, truth)
    return versions


def fold_temperature(model: keras.Model, temperature: float) -> None:
    """Divide the logits by a temperature, inside the last layer's weights."""
    last = model.get_layer("probs")
    last.set_weights([values / temperature for values in last.get_weights()])


def fastest(versions: Mapping[str, Converted]) -> str:
    """Return the fastest version for four faces that is as often right as float32.

    A version within `LIGHT_BYTES` goes before a faster one that is larger.
    """
    full = versions["float32"]
    good = [name for name, one in versions.items() if not one.is_worse_than(full)]
    return min(
        good,
        key=lambda name: (
            versions[name].n_bytes > LIGHT_BYTES,
            versions[name].four_ms,
        ),
    )


def write_run(
    exported: Exported, out: Path, answers: Mapping[str, Answers], command: str
) -> list[Path]:
    """Write what ships into `out`, and return the files.

    Args:
        exported: what `export` gave.
        out: folder such as `models/`; gets the file, and `runs/NAME/`.
        answers: name of a set to the answers on it.
        command: the export's own, for the card.
    """
    folder = out / "runs" / exported.name
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(facts(exported), indent=2) + "\n"
    written = [folder / FACTS_NAME, exported.run / FACTS_NAME]
    for path in written:
        path.write_text(text, encoding="utf-8")
    shutil.copyfile(exported.run / LOG_NAME, folder / LOG_NAME)
    save_answers(folder / ANSWERS_NAME, answers)
    card = card_text(exported, answers, command)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
    written += [folder / name for name in (LOG_NAME, ANSWERS_NAME, CARD_NAME)]
    file = out / exported.file_name
    if exported.ships:
        file.write_bytes(exported.chosen.path.read_bytes())
        return [file, *written]
    file.unlink(missing_ok=True)
    return written


def facts(exported: Exported) -> dict[str, object]:
    """Return what a program needs to know about a run; see `runs.Run.facts`."""
    chosen = exported.chosen
    return {
        "title": exported.recipe.title,
        "about": exported.recipe.about,
        "parameters": exported.parameters,
        "file": exported.file_name if exported.ships else None,
        "bytes": chosen.n_bytes,
        "sha256": chosen.sha256,
        "weights": exported.precision,
        "input": {
            "size_px": exported.recipe.size_px,
            "context": exported.recipe.context,
            "colours": "RGB",
            "range": [0, 255],
        },
        "labels": [label.key for label in CLASSES],
        "one_face_ms": round(chosen.one_ms, 3),
        "four_faces_ms": round(chosen.four_ms, 3),
        "versions": {
            name: {
                "bytes": one.n_bytes,
                "difference": one.difference,
                "changed": one.changed,
                "one_face_ms": round(one.one_ms, 3),
                "four_faces_ms": round(one.four_ms, 3),
            }
            for name, one in exported.versions.items()
        },
        "validation": _rounded(chosen.rightness),
        "test": _rounded(exported.test),
        "recipe": dict(exported.known),
        "temperature": round(exported.temperature, 4),
        "made": date.today().isoformat(),
    }


def _check(full: Converted) -> None:
    if full.difference > _MOST_DIFFERENCE:
        raise RuntimeError(
            f"{full.path} differs from Keras by {full.difference:.2g}, "
            f"wanted {_MOST_DIFFERENCE:g}"
        )


def _held_back(path: Path, stored: Path) -> dict[str, Rightness]:
    if not stored.is_file():
        return {}
    crops: Crops = read_crops(stored)
    probs: NDArray[np.float32] = MaskClassifier(path).predict_crops(crops.images)
    return by_source(crops.sources, crops.labels, probs)


def _rounded(results: Mapping[str, Rightness]) -> dict[str, dict[str, float]]:
    return {
        source: {name: round(value, 4) for name, value in asdict(result).items()}
        for source, result in results.items()
    }
