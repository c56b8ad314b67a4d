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
from maskdet.metrics.answers import Predictions, save_class_predictions
from maskdet.metrics.calibration import fit_temperature
from maskdet.runs import CARD_NAME, FACTS_NAME, LOG_NAME, PREDICTIONS_NAME
from maskdet.training.card import format_classifier_card
from maskdet.training.checkpoint import load_weights
from maskdet.training.crops import Crops, read_crops
from maskdet.training.fit import predict_probabilities
from maskdet.training.litert import (
    WEIGHT_FORMATS,
    ConvertedClassifier,
    compare_classifier,
    convert_classifier,
)
from maskdet.training.logs import BEST_FILE, read_epochs, read_recipe
from maskdet.training.material import CALIBRATION_FILE, TEST_FILE, VALIDATION_FILE
from maskdet.training.network import build_classifier
from maskdet.training.recipes import ClassifierRecipe
from maskdet.training.validation import ClassifierMetrics, compute_metrics_by_source
from maskdet.types import CLASSES

MAX_BYTES = 10_000_000
"""Larger files do not ship; their run keeps its numbers."""

SMALL_BYTES = 5_000_000
"""A version up to this size goes before larger ones: every clone brings it along."""

# A float32 file computes the same sums in another order; more than this is a defect.
_MAX_DIFFERENCE = 1e-3


@dataclass(frozen=True, eq=False)
class ClassifierExport:
    """Everything that is known about a run once it is converted and measured.

    Attributes:
        name: what it is called from now on.
        run_folder: folder that the training wrote.
        recipe: how it was made.
        metadata: all that its `recipe.json` says.
        log: one row an epoch.
        model: the network in Keras, with the temperature in it.
        n_parameters: how many it has.
        temperature: by which the logits are divided.
        versions: precision to what came of it.
        weight_format: the version that is used.
        n_validation: number of validation crops.
        test_metrics: rightness on pictures held back, source by source; may be empty.
    """

    name: str
    run_folder: Path
    recipe: ClassifierRecipe
    metadata: Mapping[str, object]
    log: Sequence[Mapping[str, float]]
    model: keras.Model
    n_parameters: int
    temperature: float
    versions: Mapping[str, ConvertedClassifier]
    weight_format: str
    n_validation: int
    test_metrics: Mapping[str, ClassifierMetrics]

    @property
    def selected(self) -> ConvertedClassifier:
        """The version that is used."""
        return self.versions[self.weight_format]

    @property
    def can_ship(self) -> bool:
        """Whether it is small enough to lie in `models/`."""
        return self.selected.n_bytes <= MAX_BYTES

    @property
    def is_small(self) -> bool:
        """Whether a clone brings it along without much weight."""
        return self.selected.n_bytes <= SMALL_BYTES

    @property
    def file_name(self) -> str:
        """Name of the file that ships; our own model is called what it is."""
        return shipped_file_name(self.name)


def shipped_file_name(name: str) -> str:
    """Return what the file of a run is called in `models/`."""
    return "classifier.tflite" if name == "maskdet" else f"{name}.tflite"


def export_classifier(run_folder: Path, name: str) -> ClassifierExport:
    """Convert the kept weights of a run in every precision, compare and choose.

    The fastest for four faces is used that is right as often as float32 on every
    source of validation. All versions stay in `run_folder`.

    Args:
        run_folder: folder that `fit` wrote.
        name: what the model is called from now on.

    Raises:
        FileNotFoundError: `run_folder` has no trained weights or no crops.
        RuntimeError: the float32 file differs from Keras by more than 1e-3.
    """
    recipe, metadata = read_recipe(run_folder)
    if not (run_folder / BEST_FILE).is_file():
        raise FileNotFoundError(f"{run_folder / BEST_FILE} is missing; train first")
    log = read_epochs(run_folder)
    if not log:
        raise ValueError(f"{run_folder}: not one epoch of it is whole; train longer")
    crops = read_crops(run_folder / VALIDATION_FILE)
    model = build_classifier(recipe)
    load_weights(run_folder / BEST_FILE, model)
    temperature = fit_temperature(
        crops.labels, predict_probabilities(model, crops.images)
    )
    fold_classifier_temperature(model, temperature)
    versions = _convert_versions(model, run_folder, crops)
    _check_conversion(versions["float32"])
    weight_format = select_fastest_version(versions)
    return ClassifierExport(
        name=name,
        run_folder=run_folder,
        recipe=recipe,
        metadata=metadata,
        log=log,
        model=model,
        n_parameters=model.count_params(),
        temperature=temperature,
        versions=versions,
        weight_format=weight_format,
        n_validation=len(crops),
        test_metrics=_evaluate_test_crops(
            versions[weight_format].path, run_folder / TEST_FILE
        ),
    )


def _convert_versions(
    model: keras.Model, run_folder: Path, crops: Crops
) -> dict[str, ConvertedClassifier]:
    """Write the network into `run_folder` in every precision and compare each with Keras."""
    calibration = read_crops(run_folder / CALIBRATION_FILE).images
    keras_probs = predict_probabilities(model, crops.images)
    versions: dict[str, ConvertedClassifier] = {}
    for weight_format in WEIGHT_FORMATS:
        path = run_folder / f"{weight_format}.tflite"
        path.write_bytes(convert_classifier(model, weight_format, calibration))
        versions[weight_format] = compare_classifier(path, crops, keras_probs)
    return versions


def fold_classifier_temperature(model: keras.Model, temperature: float) -> None:
    """Divide the logits by a temperature, inside the last layer's weights."""
    last = model.get_layer("probs")
    last.set_weights([values / temperature for values in last.get_weights()])


def select_fastest_version(versions: Mapping[str, ConvertedClassifier]) -> str:
    """Return the fastest version for four faces that is as often right as float32.

    A version within `SMALL_BYTES` goes before a faster one that is larger.
    """
    float32_version = versions["float32"]
    candidates = [
        name
        for name, version in versions.items()
        if not version.is_worse_than(float32_version)
    ]
    return min(
        candidates,
        key=lambda name: (
            versions[name].n_bytes > SMALL_BYTES,
            versions[name].four_faces_ms,
        ),
    )


def write_classifier_export(
    model_export: ClassifierExport,
    out: Path,
    predictions: Mapping[str, Predictions],
    command: str,
) -> list[Path]:
    """Write what ships into `out`, and return the files.

    Args:
        model_export: what `export_classifier` gave.
        out: folder such as `models/`; gets the file, and `runs/NAME/`.
        predictions: name of a set to the answers on it.
        command: the export's own, for the card.
    """
    folder = out / "runs" / model_export.name
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(collect_classifier_facts(model_export), indent=2) + "\n"
    written = [folder / FACTS_NAME, model_export.run_folder / FACTS_NAME]
    for path in written:
        path.write_text(text, encoding="utf-8")
    shutil.copyfile(model_export.run_folder / LOG_NAME, folder / LOG_NAME)
    save_class_predictions(folder / PREDICTIONS_NAME, predictions)
    card = format_classifier_card(model_export, predictions, command)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
    written += [folder / name for name in (LOG_NAME, PREDICTIONS_NAME, CARD_NAME)]
    file = out / model_export.file_name
    if model_export.can_ship:
        file.write_bytes(model_export.selected.path.read_bytes())
        return [file, *written]
    file.unlink(missing_ok=True)
    return written


def collect_classifier_facts(model_export: ClassifierExport) -> dict[str, object]:
    """Return what a program needs to know about a run; see `runs.Run.facts`."""
    selected = model_export.selected
    return {
        "title": model_export.recipe.title,
        "about": model_export.recipe.about,
        "parameters": model_export.n_parameters,
        "file": model_export.file_name if model_export.can_ship else None,
        "bytes": selected.n_bytes,
        "sha256": selected.sha256,
        "weights": model_export.weight_format,
        "input": {
            "size_px": model_export.recipe.size_px,
            "context": model_export.recipe.context,
            "colours": "RGB",
            "range": [0, 255],
        },
        "labels": [label.key for label in CLASSES],
        "one_face_ms": round(selected.one_face_ms, 3),
        "four_faces_ms": round(selected.four_faces_ms, 3),
        "versions": {
            name: {
                "bytes": version.n_bytes,
                "difference": version.difference,
                "changed": version.n_changed,
                "one_face_ms": round(version.one_face_ms, 3),
                "four_faces_ms": round(version.four_faces_ms, 3),
            }
            for name, version in model_export.versions.items()
        },
        "validation": _round_metrics(selected.metrics),
        "test": _round_metrics(model_export.test_metrics),
        "recipe": dict(model_export.metadata),
        "temperature": round(model_export.temperature, 4),
        "made": date.today().isoformat(),
    }


def _check_conversion(float32_version: ConvertedClassifier) -> None:
    if float32_version.difference > _MAX_DIFFERENCE:
        raise RuntimeError(
            f"{float32_version.path} differs from Keras by "
            f"{float32_version.difference:.2g}, "
            f"wanted {_MAX_DIFFERENCE:g}"
        )


def _evaluate_test_crops(path: Path, crops_file: Path) -> dict[str, ClassifierMetrics]:
    if not crops_file.is_file():
        return {}
    crops: Crops = read_crops(crops_file)
    probs: NDArray[np.float32] = MaskClassifier(path).predict_crops(crops.images)
    return compute_metrics_by_source(crops.sources, crops.labels, probs)


def _round_metrics(
    results: Mapping[str, ClassifierMetrics],
) -> dict[str, dict[str, float]]:
    return {
        source: {name: round(value, 4) for name, value in asdict(result).items()}
        for source, result in results.items()
    }
