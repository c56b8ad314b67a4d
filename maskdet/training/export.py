"""Export of a trained network, for both networks: conversion, versions and files.

A network is converted to LiteRT with three weight formats. Each file is compared with
its Keras network and timed; the networks define how, and which version is selected.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
import timeit
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

import keras
import tensorflow as tf

from maskdet.evaluation.training_runs import CARD_NAME, LOG_NAME
from maskdet.model_files.own_models import FACTS_NAME
from maskdet.threads import N_THREADS
from maskdet.types import CLASSES

WeightFormat = Literal["float32", "float16", "int8"]

WEIGHT_FORMATS: tuple[WeightFormat, ...] = ("float32", "float16", "int8")

SMALL_BYTES = 5_000_000
"""Size limit of files that every clone downloads."""

_N_TIMED_CALLS = 100

TIMES_SENTENCE = (
    f"Time: minimum of {_N_TIMED_CALLS} calls with {N_THREADS} CPU threads."
)
"""Says in a model card how the versions were timed."""

# A float32 file sums in another order; a larger difference is a defect.
_MAX_DIFFERENCE = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvertedModel(ABC):
    """A LiteRT file compared with its Keras network.

    Attributes:
        path: the file.
        n_bytes: size of the file.
        sha256: checksum of the file.
        difference: largest difference of an output from Keras.
        metrics: validation metrics by source.
    """

    path: Path
    n_bytes: int
    sha256: str
    difference: float
    metrics: Mapping[str, Any]

    @classmethod
    def of_file(cls, path: Path, **results: Any) -> Self:
        """Return the comparison of a file, with its size and checksum."""
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        return cls(path=path, n_bytes=len(content), sha256=sha256, **results)

    @abstractmethod
    def collect_times(self) -> dict[str, object]:
        """Return the measured times for `facts.json`."""

    def to_facts(self, float32: Self) -> dict[str, object]:
        """Return the entry of the version in `facts.json`; see `list_regressions`."""
        return {
            "bytes": self.n_bytes,
            "difference": self.difference,
            **self.collect_times(),
        }

    @abstractmethod
    def list_regressions(self, other: Self) -> list[str]:
        """Return the sources on which this file is less accurate than `other`."""


Version = TypeVar("Version", bound=ConvertedModel)


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelExport(Generic[Version]):
    """A converted and evaluated run.

    Attributes:
        name: name of the model.
        run_folder: folder that the training wrote.
        metadata: all entries of `recipe.json`.
        log: one row per epoch.
        n_parameters: number of parameters.
        temperature: divisor of the logits.
        versions: converted file by weight format.
        weight_format: format of the selected version.
        n_validation: number of validation images.
    """

    name: str
    run_folder: Path
    metadata: Mapping[str, object]
    log: Sequence[Mapping[str, float]]
    n_parameters: int
    temperature: float
    versions: Mapping[str, Version]
    weight_format: str
    n_validation: int

    @property
    def selected(self) -> Version:
        """The selected version."""
        return self.versions[self.weight_format]

    def list_regressions(self) -> dict[str, str]:
        """Return by weight format where a file is less accurate than float32."""
        return {
            name: ", ".join(version.list_regressions(self.versions["float32"]))
            for name, version in self.versions.items()
        }


def convert_to_litert(
    model: keras.Model,
    endpoint: str,
    output_names: Sequence[str],
    weight_format: WeightFormat,
    calibration_inputs: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
) -> bytes:
    """Convert a network to a LiteRT file.

    Args:
        model: the network, with one input.
        endpoint: name of the signature.
        output_names: name of each output in the file.
        weight_format: `float16` halves the size of the weights; the computation is
            also float16 if the processor supports it. `int8` quarters it.
        calibration_inputs: returns inputs by name that calibrate `int8`, which then
            computes with 8 bits; without it, `int8` uses dynamic-range quantization.
    """

    def name_outputs(outputs: Any) -> dict[str, Any]:
        listed = [outputs] if len(output_names) == 1 else outputs
        return dict(zip(output_names, listed, strict=True))

    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = (None, *model.input_shape[1:])
    archive.add_endpoint(
        endpoint,
        lambda image: name_outputs(model(image, training=False)),
        input_signature=[keras.InputSpec(dtype="float32", shape=shape, name="image")],
    )
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[endpoint]
        )
        if weight_format != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weight_format == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if weight_format == "int8" and calibration_inputs is not None:
            ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.target_spec.supported_ops = ops
            converter.representative_dataset = calibration_inputs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TensorFlow, about its internals
            return bytes(converter.convert())


def convert_versions(
    run_folder: Path,
    convert: Callable[[WeightFormat], bytes],
    compare: Callable[[Path], Version],
) -> dict[str, Version]:
    """Write all versions to the run's folder and compare each with Keras.

    Args:
        run_folder: receives the files.
        convert: converts the network.
        compare: compares a file with the network.

    Raises:
        RuntimeError: the float32 file differs from Keras by more than 1e-3.
    """
    versions: dict[str, Version] = {}
    for weight_format in WEIGHT_FORMATS:
        path = run_folder / f"{weight_format}.tflite"
        path.write_bytes(convert(weight_format))
        versions[weight_format] = compare(path)
    float32_version = versions["float32"]
    if float32_version.difference > _MAX_DIFFERENCE:
        raise RuntimeError(
            f"{float32_version.path} differs from Keras by "
            f"{float32_version.difference:.2g}; at most {_MAX_DIFFERENCE:g} is accepted"
        )
    return versions


def measure_shortest_ms(call: Callable[[], object]) -> float:
    """Return the minimum time of several calls, which other load affects least."""
    return min(timeit.repeat(call, number=1, repeat=_N_TIMED_CALLS)) * 1e3


def fold_temperature(
    model: keras.Model, layer_names: Iterable[str], temperature: float
) -> None:
    """Divide the logits of layers by a temperature, in their weights."""
    for name in layer_names:
        layer = model.get_layer(name)
        layer.set_weights([values / temperature for values in layer.get_weights()])


def collect_facts(
    model_export: ModelExport[Version],
    *,
    title: str,
    about: str,
    file_name: str | None,
    **results: object,
) -> dict[str, object]:
    """Return the contents of `facts.json`; see `TrainingRun.facts`.

    Args:
        model_export: the exported run.
        title: title of the model.
        about: description of the model, in one or two sentences.
        file_name: name of the shipped file, or None.
        **results: further entries, which only one of the networks has.
    """
    return {
        "title": title,
        "about": about,
        "parameters": model_export.n_parameters,
        "file": file_name,
        "bytes": model_export.selected.n_bytes,
        "sha256": model_export.selected.sha256,
        "weights": model_export.weight_format,
        "labels": [label.key for label in CLASSES],
        **model_export.selected.collect_times(),
        "versions": {
            name: version.to_facts(model_export.versions["float32"])
            for name, version in model_export.versions.items()
        },
        "validation": round_metrics(model_export.selected.metrics),
        **results,
        "recipe": dict(model_export.metadata),
        "temperature": round(model_export.temperature, 4),
        "made": date.today().isoformat(),
    }


def round_metrics(
    results: Mapping[str, object],
) -> dict[str, dict[str, float | None]]:
    """Return metrics by source, with None for NaN, which JSON does not have."""
    return {
        source: {
            name: None if math.isnan(value) else round(value, 4)
            for name, value in vars(metrics).items()
        }
        for source, metrics in results.items()
    }


def write_run_files(
    model_export: ModelExport[Version],
    folder: Path,
    facts: Mapping[str, object],
    card: str,
) -> list[Path]:
    """Write facts, log and model card to `folder` and return the written paths.

    The run receives the facts too, so that it can be used as a user's model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(facts, indent=2, allow_nan=False) + "\n"
    run_facts = model_export.run_folder / FACTS_NAME
    for path in (folder / FACTS_NAME, run_facts):
        path.write_text(text, encoding="utf-8")
    shutil.copyfile(model_export.run_folder / LOG_NAME, folder / LOG_NAME)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
    names = (FACTS_NAME, LOG_NAME, CARD_NAME)
    return [*(folder / name for name in names), run_facts]
