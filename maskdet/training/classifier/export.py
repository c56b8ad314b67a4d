"""Export of a trained classifier: LiteRT file, facts, predictions and model card.

The network is converted to three weight formats, which are compared with Keras and
timed. It can also be written as an ONNX file.
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

from maskdet.classifier import MaskClassifier, split_face_probability
from maskdet.evaluation.training_runs import CARD_NAME, LOG_NAME, PREDICTIONS_NAME
from maskdet.extras import require_libraries
from maskdet.metrics.calibration import fit_temperature
from maskdet.metrics.classification import Predictions, save_class_predictions
from maskdet.own_models import CLASSIFIER_OUTPUT, FACTS_NAME, VERIFIER_OUTPUT
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

# Equal rates of some hundred crops may differ by rounding.
_ROUNDING = 1e-9
_MAX_ACCURACY_LOSS = 0.001
_MAX_BALANCED_LOSS = 0.005

MAX_BYTES = 10_000_000
"""Larger files are not shipped; only their facts are."""

SMALL_BYTES = 5_000_000
"""Versions up to this size are preferred, because every clone downloads them."""

# A float32 file sums in another order; a larger difference is a defect.
_MAX_DIFFERENCE = 1e-3


@dataclass(frozen=True, eq=False)
class ConvertedClassifier:
    """A LiteRT file compared with its Keras network.

    Attributes:
        path: the file.
        n_bytes: size of the file.
        sha256: checksum of the file.
        difference: largest difference of a probability from Keras, on real crops.
        n_changed: number of crops whose predicted class differs from Keras.
        one_face_ms: minimum time for one face.
        four_faces_ms: minimum time for four faces in one call.
        metrics: validation metrics by source.
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
        """Return whether the file is less accurate, beyond the tolerance.

        The tolerance is 0.1 % for mask or no mask over all sources, and 0.5 % for the
        balanced accuracy: in a class of 18 faces, a single face changes the recall by
        five points.
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
        """Return the sources on which this file is less accurate than `other`.

        Compared are the accuracy of mask or no mask, and the balanced accuracy.
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
    """Convert the network to a LiteRT file whose output is named after its columns.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`, or `(n, 4)` with `no_face`.
        weight_format: `float16` halves the size of the weights; the computation is
            also float16 if the processor supports it. `int8` computes with 8 bits;
            input and output remain float32.
        calibration: `(n, s, s, 3)` BGR crops that calibrate `int8`.

    Raises:
        ValueError: `int8` without calibration crops.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = (None, *model.input_shape[1:])
    has_no_face = model.output_shape[-1] > len(CLASSES)
    name = VERIFIER_OUTPUT if has_no_face else CLASSIFIER_OUTPUT
    archive.add_endpoint(
        "classify",
        lambda image: {name: model(image, training=False)},
        input_signature=[keras.InputSpec(dtype="float32", shape=shape, name="image")],
    )
    if weight_format == "int8" and (calibration is None or not len(calibration)):
        raise ValueError("int8 needs calibration crops")

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
    """Convert an endpoint of an archive to a LiteRT file.

    Args:
        archive: contains the network and the endpoint.
        endpoint: name of the endpoint.
        prepare: sets the options of the converter.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[endpoint]
        )
        prepare(converter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TensorFlow, about its internals
            return bytes(converter.convert())


def _iter_calibration_inputs(
    crops: NDArray[np.uint8],
) -> Iterator[dict[str, NDArray[np.float32]]]:
    for row in range(len(crops)):
        yield {"image": to_network_input(crops[row : row + 1])}


def compare_classifier(
    path: Path, crops: Crops, keras_probs: NDArray[np.float32]
) -> ConvertedClassifier:
    """Compare a file with the predictions of Keras, and time it.

    Args:
        path: the file.
        crops: labelled validation crops.
        keras_probs: `(n, 3)` probabilities from Keras.
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
    """Return the minimum time of 100 calls, which other load affects least."""
    times_ms = []
    for _ in range(100):
        started = perf_counter()
        classifier.predict_crops(images)
        times_ms.append((perf_counter() - started) * 1e3)
    return min(times_ms)


@dataclass(frozen=True, eq=False)
class ClassifierExport:
    """A converted and evaluated run.

    Attributes:
        name: name of the model.
        run_folder: folder that the training wrote.
        recipe: recipe of the run.
        metadata: all entries of `recipe.json`.
        log: one row per epoch.
        model: the Keras network, including the temperature.
        n_parameters: number of parameters.
        temperature: divisor of the logits.
        versions: converted file by weight format.
        weight_format: format of the selected version.
        n_validation: number of validation crops.
        test_metrics: metrics on the test split by source; may be empty.
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
        """The selected version."""
        return self.versions[self.weight_format]

    @property
    def can_ship(self) -> bool:
        """Whether the selected version is small enough for `models/`."""
        return self.selected.n_bytes <= MAX_BYTES

    @property
    def is_small(self) -> bool:
        """Whether the selected version has at most `SMALL_BYTES`."""
        return self.selected.n_bytes <= SMALL_BYTES

    @property
    def file_name(self) -> str:
        """Name of the shipped file."""
        return shipped_file_name(self.name)


def shipped_file_name(name: str) -> str:
    """Return the file name of a run in `models/`."""
    return "classifier.tflite" if name == "maskdet" else f"{name}.tflite"


def export_classifier(run_folder: Path, name: str) -> ClassifierExport:
    """Convert the best weights of a run to all weight formats and select one.

    `select_fastest_version` describes the selection. All versions remain in
    `run_folder`.

    Args:
        run_folder: folder that `fit_classifier` wrote.
        name: name of the model.

    Raises:
        FileNotFoundError: `run_folder` has no trained weights or no crops.
        RuntimeError: the float32 file differs from Keras by more than 1e-3.
        ValueError: the run has no completed epoch.
    """
    recipe, metadata = read_recipe(run_folder)
    if not (run_folder / BEST_FILE).is_file():
        raise FileNotFoundError(f"{run_folder / BEST_FILE} is missing; train first")
    log = read_epochs(run_folder)
    if not log:
        raise ValueError(f"{run_folder}: the run has no completed epoch; train longer")
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
    """Write all versions to `run_folder` and compare each with Keras."""
    calibration = read_crops(run_folder / CALIBRATION_FILE).images
    keras_probs = predict_probabilities(model, crops.images)
    versions: dict[str, ConvertedClassifier] = {}
    for weight_format in WEIGHT_FORMATS:
        path = run_folder / f"{weight_format}.tflite"
        path.write_bytes(convert_classifier(model, weight_format, calibration))
        versions[weight_format] = compare_classifier(path, crops, keras_probs)
    return versions


def fold_classifier_temperature(model: keras.Model, temperature: float) -> None:
    """Divide the logits by a temperature, in the weights of the last layer."""
    last = model.get_layer("probs")
    last.set_weights([values / temperature for values in last.get_weights()])


def select_fastest_version(versions: Mapping[str, ConvertedClassifier]) -> str:
    """Return the fastest version for four faces that is as accurate as float32.

    Versions within `SMALL_BYTES` are preferred to faster, larger ones.
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
    """Write the shipped files to `out` and return their paths.

    Args:
        model_export: result of `export_classifier`.
        out: folder such as `models/`; receives the file and `runs/NAME/`.
        predictions: predictions by evaluation set.
        command: the export command, for the card.
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
    """Return the contents of `facts.json`; see `TrainingRun.facts`."""
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
            f"{float32_version.difference:.2g}; at most {_MAX_DIFFERENCE:g} is accepted"
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
    """Write the network as ONNX, with the input and output names of the LiteRT file.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`.
        path: the output file.

    Raises:
        MissingExtraError: the ONNX libraries are not installed.
    """
    require_libraries("an ONNX file", "onnx", "tf2onnx")
    import onnx

    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras requires a call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, about tf2onnx
        model.export(str(path), format="onnx", verbose=False)
    onnx_model = onnx.load(str(path))
    graph = onnx_model.graph
    keras_name = graph.output[0].name
    has_no_face = model.output_shape[-1] > len(CLASSES)
    output_name = VERIFIER_OUTPUT if has_no_face else CLASSIFIER_OUTPUT
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [output_name if name == keras_name else name for name in names]
    graph.output[0].name = output_name
    onnx.checker.check_model(onnx_model)
    onnx.save(onnx_model, str(path))


def compute_onnx_difference(
    path: Path, images: NDArray[np.uint8], keras_probs: NDArray[np.float32]
) -> float:
    """Return the largest difference of a probability from Keras.

    Args:
        path: the ONNX file.
        images: `(n, s, s, 3)` BGR crops.
        keras_probs: `(n, 3)` probabilities from Keras.
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
