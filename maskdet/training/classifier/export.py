"""From a trained run to what ships: the file, its facts, its answers and its card.

A Keras network as a LiteRT file in three precisions, each compared and timed.

A Keras network as an ONNX file, for programs that run no LiteRT.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from maskdet.classifier import OUTPUT_NAME, MaskClassifier, split_face_probability
from maskdet.evaluation.training_runs import (
    CARD_NAME,
    FACTS_NAME,
    LOG_NAME,
    PREDICTIONS_NAME,
)
from maskdet.extras import require_libraries
from maskdet.metrics.calibration import fit_temperature
from maskdet.metrics.classification import Predictions, save_class_predictions
from maskdet.own_models import VERIFIER_OUTPUT
from maskdet.training.checkpoint import load_weights
from maskdet.training.classifier.batches import to_network_input
from maskdet.training.classifier.card import format_classifier_card
from maskdet.training.classifier.crops import Crops, read_crops
from maskdet.training.classifier.data import (
    CALIBRATION_FILE,
    TEST_FILE,
    VALIDATION_FILE,
)
from maskdet.training.classifier.fit import predict_probabilities
from maskdet.training.classifier.network import build_classifier
from maskdet.training.classifier.recipes import ClassifierRecipe
from maskdet.training.classifier.validation import (
    ClassifierMetrics,
    compute_metrics_by_source,
)
from maskdet.training.run_log import BEST_FILE, read_epochs, read_recipe
from maskdet.types import CLASSES

WeightFormat = Literal["float32", "float16", "int8"]

WEIGHT_FORMATS: tuple[WeightFormat, ...] = ("float32", "float16", "int8")

# Where two shares of some hundred crops are the same, they are equal up to rounding.
_ROUNDING = 1e-9
_MAX_ACCURACY_LOSS = 0.001
_MAX_BALANCED_LOSS = 0.005


@dataclass(frozen=True, eq=False)
class ConvertedClassifier:
    """One LiteRT file and how it compares with the Keras network it was made from.

    Attributes:
        path: the file.
        n_bytes: its size.
        sha256: of the whole file.
        difference: largest difference of a probability to Keras, on real crops.
        n_changed: crops whose most likely class differs from Keras.
        one_face_ms: shortest time for one face.
        four_faces_ms: shortest time for four faces in one call.
        metrics: on validation, source by source.
    """

    path: Path
    n_bytes: int
    sha256: str
    difference: float
    n_changed: int
    one_face_ms: float
    four_faces_ms: float
    metrics: dict[str, ClassifierMetrics]

    def is_worse_than(self, other: ConvertedClassifier) -> bool:
        """Return whether it is wrong more often than chance could make it.

        Allowed is one face in a thousand, mask against no mask, over all sources
        together, and half of that in a hundred for the mean of the three classes: a
        class of 18 faces moves by five points with a single one.
        """
        n_correct = [
            source_metrics.mask_or_not * source_metrics.n
            for source_metrics in self.metrics.values()
        ]
        other_n_correct = [
            source_metrics.mask_or_not * source_metrics.n
            for source_metrics in other.metrics.values()
        ]
        n = sum(source_metrics.n for source_metrics in self.metrics.values())
        balanced = [source_metrics.balanced for source_metrics in self.metrics.values()]
        other_balanced = [
            source_metrics.balanced for source_metrics in other.metrics.values()
        ]
        return bool(
            sum(n_correct) < sum(other_n_correct) - _MAX_ACCURACY_LOSS * n - _ROUNDING
            or np.mean(balanced)
            < np.mean(other_balanced) - _MAX_BALANCED_LOSS - _ROUNDING
        )

    def list_regressions(self, other: ConvertedClassifier) -> list[str]:
        """Return the sources on which this file is right less often than `other`.

        Right: mask against no mask, or the mean over the three classes.
        """
        return [
            source
            for source, metrics in self.metrics.items()
            if metrics.mask_or_not < other.metrics[source].mask_or_not - _ROUNDING
            or metrics.balanced < other.metrics[source].balanced - _ROUNDING
        ]


def convert_classifier(
    model: keras.Model,
    weight_format: WeightFormat,
    calibration: NDArray[np.uint8] | None = None,
) -> bytes:
    """Return the network as a LiteRT file whose output is named after its columns.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`, or `(n, 4)` with `no_face`.
        weight_format: `float16` stores weights in half the room, and sums are of that
            kind too where the processor can. `int8` computes with 8 bits; input and
            output stay float32.
        calibration: `(n, s, s, 3)` BGR crops that show `int8` the usual values.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = (None, *model.input_shape[1:])
    has_no_face = model.output_shape[-1] > len(CLASSES)
    name = VERIFIER_OUTPUT if has_no_face else OUTPUT_NAME
    archive.add_endpoint(
        "classify",
        lambda image: {name: model(image, training=False)},
        input_signature=[keras.InputSpec(dtype="float32", shape=shape, name="image")],
    )
    if weight_format == "int8" and (calibration is None or not len(calibration)):
        raise ValueError("int8 needs crops to calibrate with")

    def prepare(converter: tf.lite.TFLiteConverter) -> None:
        if weight_format != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weight_format == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if weight_format == "int8" and calibration is not None:
            ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.target_spec.supported_ops = ops
            converter.representative_dataset = lambda: _iter_calibration_inputs(
                calibration
            )

    return export_flatbuffer(archive, "classify", prepare)


def export_flatbuffer(
    archive: keras.export.ExportArchive,
    endpoint: str,
    prepare: Callable[[tf.lite.TFLiteConverter], None],
) -> bytes:
    """Return an archive's endpoint as a LiteRT file.

    Args:
        archive: with the network and its endpoint.
        endpoint: its name.
        prepare: sets the converter's options.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[endpoint]
        )
        prepare(converter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's own, about its parts
            return bytes(converter.convert())


def _iter_calibration_inputs(
    crops: NDArray[np.uint8],
) -> Iterator[dict[str, NDArray[np.float32]]]:
    for row in range(len(crops)):
        yield {"image": to_network_input(crops[row : row + 1])}


def compare_classifier(
    path: Path, crops: Crops, keras_probs: NDArray[np.float32]
) -> ConvertedClassifier:
    """Return how a file does on crops that Keras has answered.

    Args:
        path: the file.
        crops: with their labels.
        keras_probs: `(n, 3)` the answers of Keras.
    """
    classifier = MaskClassifier(path)
    probs = classifier.predict_crops(crops.images)
    four_crops = np.resize(crops.images, (4, *crops.images.shape[1:]))
    return ConvertedClassifier(
        path=path,
        n_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        difference=float(np.abs(probs - keras_probs).max()),
        n_changed=int((probs.argmax(axis=1) != keras_probs.argmax(axis=1)).sum()),
        one_face_ms=_measure_shortest_ms(classifier, four_crops[:1]),
        four_faces_ms=_measure_shortest_ms(classifier, four_crops),
        metrics=compute_metrics_by_source(crops.sources, crops.labels, probs),
    )


def _measure_shortest_ms(
    classifier: MaskClassifier, images: NDArray[np.uint8]
) -> float:
    """Return the shortest of 100 calls: what else the machine does only adds."""
    times_ms = []
    for _ in range(100):
        started = perf_counter()
        classifier.predict_crops(images)
        times_ms.append((perf_counter() - started) * 1e3)
    return min(times_ms)


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
        test_metrics: rightness on images held back, source by source; may be empty.
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


def write_onnx(model: keras.Model, path: Path) -> None:
    """Write the network with the input `image` and the output that the LiteRT has.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`.
        path: where to.

    Raises:
        MissingExtraError: what Keras writes ONNX with is not installed.
    """
    require_libraries("an ONNX file", "onnx", "tf2onnx")
    import onnx

    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras asks for a call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, about code in tf2onnx
        model.export(str(path), format="onnx", verbose=False)
    onnx_model = onnx.load(str(path))
    graph = onnx_model.graph
    keras_name = graph.output[0].name
    has_no_face = model.output_shape[-1] > len(CLASSES)
    output_name = VERIFIER_OUTPUT if has_no_face else OUTPUT_NAME
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [output_name if name == keras_name else name for name in names]
    graph.output[0].name = output_name
    onnx.checker.check_model(onnx_model)
    onnx.save(onnx_model, str(path))


def compute_onnx_difference(
    path: Path, images: NDArray[np.uint8], keras_probs: NDArray[np.float32]
) -> float:
    """Return the largest difference of a probability to what Keras answered.

    Args:
        path: the ONNX file.
        images: `(n, s, s, 3)` BGR crops.
        keras_probs: `(n, 3)` the answers of Keras.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    parts = [
        session.run(None, {"image": to_network_input(images[first : first + 64])})
        for first in range(0, len(images), 64)
    ]
    probs = split_face_probability(np.concatenate([part[0] for part in parts]))[0]
    return float(np.abs(probs - keras_probs).max())
