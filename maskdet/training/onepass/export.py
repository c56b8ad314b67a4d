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
from maskdet.metrics.detection import match_detections_in_image
from maskdet.onepass.decode import OUTPUT_NAMES, STRIDES_PX
from maskdet.onepass.network import MAX_STRIDE_PX
from maskdet.runs import CARD_NAME, FACTS_NAME, LOG_NAME, ONEPASS_RUNS_NAME
from maskdet.training.checkpoint import load_average, load_weights
from maskdet.training.logs import BEST_FILE, RECIPE_FILE, STATE_FILE, read_epochs
from maskdet.training.onepass.card import format_onepass_card
from maskdet.training.onepass.litert import (
    TIMED_WH,
    WEIGHT_FORMATS,
    ConvertedOnePass,
    compare_onepass,
    convert_onepass,
)
from maskdet.training.onepass.negatives import HELD_OUT_FILE
from maskdet.training.onepass.network import build_onepass_network
from maskdet.training.onepass.scenes import (
    NO_LABEL,
    VALIDATION_FILE,
    TrainingImage,
    load_training_images,
)
from maskdet.training.onepass.validation import OnePassMetrics, detect_with_keras
from maskdet.types import CLASSES

MAX_BYTES = 5_000_000
"""Larger files do not ship: every clone brings them along."""

_ABOUT = (
    "Finds the faces of a picture and says of each whether its mask is worn, in one "
    "pass: YuNet's layers find, a branch of our own reads the mask."
)

# A float32 file computes the same sums in another order; more than this is a defect.
_MAX_DIFFERENCE = 1e-3
_MAX_SLOWDOWN = 1.1


@dataclass(frozen=True, eq=False)
class OnePassExport:
    """Everything that is known about a run once it is converted and measured.

    Attributes:
        name: what it is called from now on.
        run_folder: folder that the training wrote.
        metadata: all that its `recipe.json` says.
        log: one row an epoch.
        n_parameters: how many numbers the network has.
        temperature: by which the mask logits are divided.
        versions: kind of weights to what came of it.
        weight_format: the version that is used.
        n_validation: number of validation scenes.
        n_negatives: number of held-out pictures without a face.
        is_last_epoch: whether it is the last epoch, not the one with the best
            validation.
    """

    name: str
    run_folder: Path
    metadata: Mapping[str, object]
    log: Sequence[Mapping[str, float]]
    n_parameters: int
    temperature: float
    versions: Mapping[str, ConvertedOnePass]
    weight_format: str
    n_validation: int
    n_negatives: int = 0
    is_last_epoch: bool = False

    @property
    def selected(self) -> ConvertedOnePass:
        """The version that is used."""
        return self.versions[self.weight_format]

    @property
    def about(self) -> str:
        """What it is, in one sentence."""
        return _ABOUT


def export_onepass(
    run_folder: Path, name: str, *, use_last_epoch: bool = False
) -> OnePassExport:
    """Convert the kept weights of a run, compare the versions, and choose one.

    Every version stays in `run_folder`.

    Args:
        run_folder: folder that the training wrote.
        name: what the network is called from now on.
        use_last_epoch: take the last epoch instead of the one with the best validation.

    Raises:
        FileNotFoundError: `run_folder` lacks its weights, its recipe or its validation.
        RuntimeError: float32 differs from Keras, or no version is small enough.
    """
    weights_file = STATE_FILE if use_last_epoch else BEST_FILE
    for needed in (RECIPE_FILE, weights_file, LOG_NAME, VALIDATION_FILE):
        if not (run_folder / needed).is_file():
            raise FileNotFoundError(f"{run_folder / needed} is missing; train first")
    metadata = json.loads((run_folder / RECIPE_FILE).read_text(encoding="utf-8"))
    images = load_training_images(run_folder / VALIDATION_FILE)
    negatives_file = run_folder / HELD_OUT_FILE
    negatives = load_training_images(negatives_file) if negatives_file.is_file() else []
    model = build_onepass_network()
    if use_last_epoch:
        load_average(run_folder / STATE_FILE, model)
    else:
        load_weights(run_folder / BEST_FILE, model)
    temperature = fit_onepass_temperature(model, images)
    fold_onepass_temperature(model, temperature)
    versions = _convert_versions(model, run_folder, images, negatives)
    return OnePassExport(
        name=name,
        run_folder=run_folder,
        metadata=metadata,
        log=read_epochs(run_folder),
        n_parameters=model.count_params(),
        temperature=temperature,
        versions=versions,
        weight_format=select_smallest_version(versions),
        n_validation=len(images),
        n_negatives=len(negatives),
        is_last_epoch=use_last_epoch,
    )


def _convert_versions(
    model: keras.Model,
    run_folder: Path,
    images: Sequence[TrainingImage],
    negatives: Sequence[TrainingImage],
) -> dict[str, ConvertedOnePass]:
    """Write every version into the run's folder and compare it with Keras."""
    versions: dict[str, ConvertedOnePass] = {}
    for weight_format in WEIGHT_FORMATS:
        path = run_folder / f"{weight_format}.tflite"
        path.write_bytes(convert_onepass(model, weight_format))
        versions[weight_format] = compare_onepass(path, model, images, negatives)
    _check_conversion(versions["float32"])
    return versions


def fit_onepass_temperature(
    model: keras.Model, images: Sequence[TrainingImage], long_side_px: int = 640
) -> float:
    """Return the temperature that fits the mask probabilities of found faces best."""
    probs, labels = [], []
    for image in images:
        detections = detect_with_keras(model, image.image, long_side_px)
        matched = match_detections_in_image(detections.faces, image.boxes)
        rows = np.flatnonzero(matched >= 0)
        rows = rows[image.labels[matched[rows]] != NO_LABEL]
        probs.append(detections.probs[rows])
        labels.append(image.labels[matched[rows]])
    all_labels = np.concatenate(labels)
    return (
        fit_temperature(all_labels, np.concatenate(probs)) if len(all_labels) else 1.0
    )


def fold_onepass_temperature(model: keras.Model, temperature: float) -> None:
    """Divide the mask logits by a temperature, inside the last layers' weights."""
    for stride in STRIDES_PX:
        last = model.get_layer(f"mask{stride}_logits")
        last.set_weights([values / temperature for values in last.get_weights()])


def select_smallest_version(versions: Mapping[str, ConvertedOnePass]) -> str:
    """Return the smallest of the fast versions that lose nothing to float32.

    Fast is within a tenth of the fastest on small pictures: less is chance.

    Raises:
        RuntimeError: all of them are too large to ship.
    """
    float32_version = versions["float32"]
    candidates = [
        name
        for name, version in versions.items()
        if not version.list_regressions(float32_version)
        and version.n_bytes <= MAX_BYTES
    ]
    if not candidates:
        raise RuntimeError(f"no version has at most {MAX_BYTES:,} bytes")
    shortest = min(versions[name].times_ms[0] for name in candidates)
    fast = [
        name
        for name in candidates
        if versions[name].times_ms[0] <= _MAX_SLOWDOWN * shortest
    ]
    return min(fast, key=lambda name: versions[name].n_bytes)


def write_onepass_export(
    model_export: OnePassExport, out: Path, command: str
) -> list[Path]:
    """Write what ships into `out`, and return the files.

    Args:
        model_export: what `export_onepass` gave.
        out: folder such as `models/`; gets the file, and `runs-onepass/NAME/`.
        command: the export's own, for the card.
    """
    folder = out / ONEPASS_RUNS_NAME / model_export.name
    folder.mkdir(parents=True, exist_ok=True)
    file = out / f"{model_export.name}.tflite"
    shutil.copyfile(model_export.selected.path, file)
    text = (
        json.dumps(collect_onepass_facts(model_export), indent=2, allow_nan=False)
        + "\n"
    )
    (folder / FACTS_NAME).write_text(text, encoding="utf-8")
    shutil.copyfile(model_export.run_folder / LOG_NAME, folder / LOG_NAME)
    card = format_onepass_card(model_export, command)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
    return [file, *(folder / name for name in (FACTS_NAME, LOG_NAME, CARD_NAME))]


def collect_onepass_facts(model_export: OnePassExport) -> dict[str, object]:
    """Return what a program needs to know about a run."""
    selected = model_export.selected
    return {
        "title": model_export.name,
        "about": model_export.about,
        "parameters": model_export.n_parameters,
        "file": f"{model_export.name}.tflite",
        "bytes": selected.n_bytes,
        "sha256": selected.sha256,
        "weights": model_export.weight_format,
        "input": {"multiple_px": MAX_STRIDE_PX, "colours": "BGR", "range": [0, 255]},
        "outputs": list(OUTPUT_NAMES),
        "labels": [label.key for label in CLASSES],
        "times_ms": _round_times(selected),
        "versions": {
            name: {
                "bytes": version.n_bytes,
                "difference": version.difference,
                "times_ms": _round_times(version),
                "loses": version.list_regressions(model_export.versions["float32"]),
            }
            for name, version in model_export.versions.items()
        },
        "validation": {
            name: _round_metrics(version) for name, version in selected.metrics.items()
        },
        "false_positives": {
            side: dict(version)
            for side, version in selected.false_positive_rates.items()
        },
        "recipe": dict(model_export.metadata),
        "temperature": round(model_export.temperature, 4),
        "credits": "YuNet (Apache-2.0)",
        "made": date.today().isoformat(),
    }


def _round_times(version: ConvertedOnePass) -> dict[str, float]:
    return {
        f"{width}x{height}": round(time_ms, 3)
        for (width, height), time_ms in zip(TIMED_WH, version.times_ms, strict=True)
    }


def _round_metrics(metrics: OnePassMetrics) -> dict[str, float | None]:
    """Return the numbers, None for what could not be measured: JSON has no NaN."""
    return {
        name: None if math.isnan(value) else round(value, 4)
        for name, value in vars(metrics).items()
    }


def _check_conversion(float32_version: ConvertedOnePass) -> None:
    if float32_version.difference > _MAX_DIFFERENCE:
        raise RuntimeError(
            f"{float32_version.path} differs from Keras by "
            f"{float32_version.difference:.2g}, "
            f"wanted {_MAX_DIFFERENCE:g}"
        )
