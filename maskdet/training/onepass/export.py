"""Export of a trained single-stage network: LiteRT file, facts and model card.

The network is converted to three weight formats, which are compared with Keras,
evaluated and timed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from maskdet.analyzers.onepass import (
    MAX_STRIDE_PX,
    OUTPUT_NAMES,
    STRIDES_PX,
    FeatureMap,
    SingleStage,
    SingleStageNetwork,
)
from maskdet.evaluation.training_runs import LOG_NAME, ONEPASS_RUNS_NAME
from maskdet.metrics.calibration import fit_temperature
from maskdet.metrics.detection import match_detections_in_image
from maskdet.settings import Settings
from maskdet.training.checkpoint import load_average, load_weights
from maskdet.training.export import (
    SMALL_BYTES,
    ConvertedModel,
    ModelExport,
    WeightFormat,
    collect_facts,
    convert_to_litert,
    convert_versions,
    fold_temperature,
    measure_shortest_ms,
    write_run_files,
)
from maskdet.training.onepass.card import ABOUT, format_onepass_card
from maskdet.training.onepass.data import (
    HELD_OUT_FILE,
    NO_LABEL,
    SCALINGS,
    VALIDATION_FILE,
    TrainingImage,
    compute_false_positive_rates,
    highest_scores,
    load_training_images,
    open_at_scalings,
)
from maskdet.training.onepass.network import build_onepass_network
from maskdet.training.onepass.recipe import TIMED_WH
from maskdet.training.onepass.validation import (
    OnePassDetections,
    OnePassMetrics,
    detect_with_keras,
    evaluate_by_source,
)
from maskdet.training.run_log import (
    BEST_FILE,
    RECIPE_FILE,
    STATE_FILE,
    read_epochs,
    read_recipe_json,
)
from maskdet.types import Image

_MAX_AP_LOSS = 0.003

_MAX_SLOWDOWN = 1.1


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvertedOnePass(ConvertedModel):
    """A LiteRT file compared with its Keras network.

    The difference of map values above 1 is relative.

    Attributes:
        times_ms: minimum time of one call, for each size in `TIMED_WH`.
        metrics: by source and longer side: `kaggle 640`, ...
        false_positive_rates: fraction of held-out images without a face in which one is
            detected, by threshold, for each long side; empty without such images.
    """

    times_ms: tuple[float, ...]
    metrics: Mapping[str, OnePassMetrics]
    false_positive_rates: Mapping[str, Mapping[str, float]] = field(
        default_factory=dict
    )

    def collect_times(self) -> dict[str, object]:
        """Return the times for `facts.json`."""
        return {
            "times_ms": {
                f"{width}x{height}": round(time_ms, 3)
                for (width, height), time_ms in zip(
                    TIMED_WH, self.times_ms, strict=True
                )
            }
        }

    def to_facts(self, float32: ConvertedOnePass) -> dict[str, object]:
        """Return the entry of the version in `facts.json`."""
        return {**super().to_facts(float32), "loses": self.list_regressions(float32)}

    def list_regressions(self, other: ConvertedOnePass) -> list[str]:
        """Return the sources on which this file is less accurate than `other`."""
        return [
            name
            for name, source_metrics in self.metrics.items()
            if source_metrics.faces < other.metrics[name].faces - _MAX_AP_LOSS
            or source_metrics.mean < other.metrics[name].mean - _MAX_AP_LOSS
        ]


def convert_onepass(model: keras.Model, weight_format: WeightFormat) -> bytes:
    """Convert the network to a LiteRT file for images of any size.

    The outputs have the names in `maskdet.analyzers.onepass`, which include the labels.

    Args:
        model: result of `build_onepass_network`.
        weight_format: as in `convert_to_litert`.
    """
    return convert_to_litert(model, "find", OUTPUT_NAMES, weight_format)


def compare_onepass(
    path: Path,
    model: keras.Model,
    images: Sequence[TrainingImage],
    negatives: Sequence[TrainingImage] = (),
) -> ConvertedOnePass:
    """Compare a file with its Keras network, evaluate it and time it.

    Args:
        path: the file.
        model: the Keras network.
        images: validation scenes; the map values are compared on some of them.
        negatives: held-out images without a face.
    """
    network = SingleStageNetwork(path)
    analyzers = open_at_scalings(network)

    def detect(image: Image, long_side_px: int) -> OnePassDetections:
        scene = analyzers[long_side_px].analyze(image, Settings.permissive())
        return OnePassDetections(scene.faces, scene.probs)

    return ConvertedOnePass.of_file(
        path,
        difference=max(
            _compute_max_difference(network.forward(sample), model, sample)
            for sample in _cut_comparison_images(images)
        ),
        times_ms=tuple(_measure_ms(network, *size) for size in TIMED_WH),
        metrics=evaluate_by_source(images, SCALINGS, detect),
        false_positive_rates=_measure_false_positive_rates(analyzers, negatives)
        if negatives
        else {},
    )


def _cut_comparison_images(images: Sequence[TrainingImage]) -> list[Image]:
    """Return a landscape and a portrait crop of up to three scenes."""
    rows = np.linspace(0, len(images) - 1, min(3, len(images))).astype(int)
    sizes_hw = ((192, 256), (256, 160))
    return [
        np.resize(images[row].image[:height, :width], (height, width, 3))
        for row in rows
        for height, width in sizes_hw
    ]


def _compute_max_difference(
    maps: Sequence[FeatureMap], model: keras.Model, image: Image
) -> float:
    keras_maps = model(image[None].astype(np.float32), training=False)
    largest = 0.0
    for litert_map, keras_map in zip(maps, keras_maps, strict=True):
        expected = np.asarray(keras_map)[0]
        difference = np.abs(litert_map - expected) / np.maximum(np.abs(expected), 1)
        largest = max(largest, float(difference.max()))
    return largest


def _measure_ms(network: SingleStageNetwork, width: int, height: int) -> float:
    image = np.full((height, width, 3), 90, np.uint8)
    return measure_shortest_ms(lambda: network.forward(image))


def _measure_false_positive_rates(
    analyzers: Mapping[int, SingleStage], negatives: Sequence[TrainingImage]
) -> dict[str, Mapping[str, float]]:
    return {
        str(side): compute_false_positive_rates(
            highest_scores(
                analyzer.analyze(negative.image, Settings.permissive()).faces
                for negative in negatives
            )
        )
        for side, analyzer in analyzers.items()
    }


@dataclass(frozen=True, eq=False, kw_only=True)
class OnePassExport(ModelExport[ConvertedOnePass]):
    """A converted and evaluated run.

    Attributes:
        n_negatives: number of held-out images without a face.
        is_last_epoch: whether the weights are those of the last epoch, not those with
            the best validation score.
    """

    n_negatives: int = 0
    is_last_epoch: bool = False


def export_onepass(
    run_folder: Path, name: str, *, use_last_epoch: bool = False
) -> OnePassExport:
    """Convert the weights of a run to all weight formats and select one.

    `select_smallest_version` describes the selection. All versions remain in
    `run_folder`.

    Args:
        run_folder: folder that the training wrote.
        name: name of the model.
        use_last_epoch: use the last epoch instead of the best one.

    Raises:
        FileNotFoundError: `run_folder` lacks weights, recipe, log or validation scenes.
        RuntimeError: float32 differs from Keras, or no version is small enough.
    """
    weights_file = STATE_FILE if use_last_epoch else BEST_FILE
    for needed in (RECIPE_FILE, weights_file, LOG_NAME, VALIDATION_FILE):
        if not (run_folder / needed).is_file():
            raise FileNotFoundError(f"{run_folder / needed} is missing; train first")
    metadata = read_recipe_json(run_folder / RECIPE_FILE)
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
    versions = convert_versions(
        run_folder,
        lambda weight_format: convert_onepass(model, weight_format),
        lambda path: compare_onepass(path, model, images, negatives),
    )
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


def fit_onepass_temperature(
    model: keras.Model, images: Sequence[TrainingImage]
) -> float:
    """Fit the temperature of the mask probabilities on the detected faces."""
    probs, labels = [], []
    for image in images:
        detections = detect_with_keras(model, image.image, max(SCALINGS))
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
    """Divide the mask logits by a temperature, in the weights of the last layers."""
    names = [f"mask{stride}_logits" for stride in STRIDES_PX]
    fold_temperature(model, names, temperature)


def select_smallest_version(versions: Mapping[str, ConvertedOnePass]) -> str:
    """Return the smallest fast version that is as accurate as float32.

    A version is fast if its time on small images is within 10 % of the fastest, the
    variation of the measurement.

    Raises:
        RuntimeError: all versions are too large to ship.
    """
    float32_version = versions["float32"]
    candidates = [
        name
        for name, version in versions.items()
        if not version.list_regressions(float32_version)
        and version.n_bytes <= SMALL_BYTES
    ]
    if not candidates:
        raise RuntimeError(
            f"all versions are too large; at most {SMALL_BYTES:,} bytes are accepted"
        )
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
    """Write the shipped files to `out` and return their paths.

    Args:
        model_export: result of `export_onepass`.
        out: folder such as `models/`; receives the file and `runs-onepass/NAME/`.
        command: the export command, for the card.
    """
    facts = collect_facts(
        model_export,
        title=model_export.name,
        about=ABOUT,
        file_name=f"{model_export.name}.tflite",
        input={"multiple_px": MAX_STRIDE_PX, "colours": "BGR", "range": [0, 255]},
        outputs=list(OUTPUT_NAMES),
        false_positives={
            side: dict(version)
            for side, version in model_export.selected.false_positive_rates.items()
        },
        credits="YuNet (Apache-2.0)",
    )
    card = format_onepass_card(model_export, command)
    folder = out / ONEPASS_RUNS_NAME / model_export.name
    written = write_run_files(model_export, folder, facts, card)
    file = out / f"{model_export.name}.tflite"
    shutil.copyfile(model_export.selected.path, file)
    return [file, *written]
