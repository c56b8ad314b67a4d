"""Export of a trained classifier: LiteRT file, facts, predictions and model card.

The network is converted to three weight formats, which are compared with Keras and
timed. It can also be written as an ONNX file.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.classifier import MaskClassifier, split_face_probability
from maskdet.evaluation.training_runs import PREDICTIONS_NAME
from maskdet.extras import require_libraries
from maskdet.metrics.calibration import fit_temperature
from maskdet.metrics.classification import Predictions, save_class_predictions
from maskdet.model_files.own_models import CLASSIFIER_OUTPUT, VERIFIER_OUTPUT
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
from maskdet.training.classifier.recipes import ClassifierRecipe, read_recipe
from maskdet.training.classifier.validation import (
    MAX_ACCURACY_LOSS,
    MAX_BALANCED_LOSS,
    ClassifierMetrics,
    compute_metrics_by_source,
)
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
    round_metrics,
    write_run_files,
)
from maskdet.training.run_log import BEST_FILE, read_epochs
from maskdet.types import CLASSES

# Equal rates of some hundred crops may differ by rounding.
_ROUNDING = 1e-9

MAX_BYTES = 10_000_000
"""Larger files are not shipped; only their facts are."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvertedClassifier(ConvertedModel):
    """A LiteRT file compared with its Keras network on real crops.

    Attributes:
        n_changed: number of crops whose predicted class differs from Keras.
        one_face_ms: minimum time for one face.
        four_faces_ms: minimum time for four faces in one call.
    """

    n_changed: int
    one_face_ms: float
    four_faces_ms: float
    metrics: Mapping[str, ClassifierMetrics]

    def collect_times(self) -> dict[str, object]:
        """Return the times for `facts.json`."""
        return {
            "one_face_ms": round(self.one_face_ms, 3),
            "four_faces_ms": round(self.four_faces_ms, 3),
        }

    def to_facts(self, float32: ConvertedClassifier) -> dict[str, object]:
        """Return the entry of the version in `facts.json`."""
        return {**super().to_facts(float32), "changed": self.n_changed}

    def is_worse_than(self, other: ConvertedClassifier) -> bool:
        """Return whether the file is less accurate, beyond the tolerance.

        `MAX_ACCURACY_LOSS` is the tolerance for mask or no mask over all sources,
        `MAX_BALANCED_LOSS` that for the balanced accuracy: in a class of 18 faces, a
        single face changes the recall by five points.
        """
        n = sum(metrics.n for metrics in self.metrics.values())
        return bool(
            self._count_correct()
            < other._count_correct() - MAX_ACCURACY_LOSS * n - _ROUNDING
            or self._mean_balanced()
            < other._mean_balanced() - MAX_BALANCED_LOSS - _ROUNDING
        )

    def _count_correct(self) -> float:
        return sum(metrics.mask_or_not * metrics.n for metrics in self.metrics.values())

    def _mean_balanced(self) -> np.floating:
        return np.mean([metrics.balanced for metrics in self.metrics.values()])

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
        weight_format: as in `convert_to_litert`; with `int8`, input and output remain
            float32.
        calibration: `(n, s, s, 3)` BGR crops that calibrate `int8`.

    Raises:
        ValueError: `int8` without calibration crops.
    """
    if weight_format == "int8" and (calibration is None or not len(calibration)):
        raise ValueError("int8 needs calibration crops")
    return convert_to_litert(
        model,
        "classify",
        [_output_name(model)],
        weight_format,
        None
        if calibration is None
        else lambda: ({"image": to_network_input(crop[None])} for crop in calibration),
    )


def _output_name(model: keras.Model) -> str:
    has_no_face = model.output_shape[-1] > len(CLASSES)
    return VERIFIER_OUTPUT if has_no_face else CLASSIFIER_OUTPUT


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

    def time_ms(n_faces: int) -> float:
        return measure_shortest_ms(
            lambda: classifier.predict_crops(four_crops[:n_faces])
        )

    return ConvertedClassifier.of_file(
        path,
        difference=float(np.abs(probs - keras_probs).max()),
        n_changed=int((probs.argmax(axis=1) != keras_probs.argmax(axis=1)).sum()),
        one_face_ms=time_ms(1),
        four_faces_ms=time_ms(4),
        metrics=compute_metrics_by_source(crops.sources, crops.labels, probs),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassifierExport(ModelExport[ConvertedClassifier]):
    """A converted and evaluated run.

    Attributes:
        recipe: recipe of the run.
        model: the Keras network, including the temperature.
        test_metrics: metrics on the test split by source; may be empty.
    """

    recipe: ClassifierRecipe
    model: keras.Model
    test_metrics: Mapping[str, ClassifierMetrics]

    @property
    def can_ship(self) -> bool:
        """Whether the selected version is small enough for `models/`."""
        return self.selected.n_bytes <= MAX_BYTES

    @property
    def file_name(self) -> str:
        """Name of the shipped file."""
        name = "classifier" if self.name == "maskdet" else self.name
        return f"{name}.tflite"


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
    fold_temperature(model, ["probs"], temperature)
    calibration = read_crops(run_folder / CALIBRATION_FILE).images
    keras_probs = predict_probabilities(model, crops.images)
    versions = convert_versions(
        run_folder,
        lambda weight_format: convert_classifier(model, weight_format, calibration),
        lambda path: compare_classifier(path, crops, keras_probs),
    )
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
    recipe = model_export.recipe
    facts = collect_facts(
        model_export,
        title=recipe.title,
        about=recipe.about,
        file_name=model_export.file_name if model_export.can_ship else None,
        input={
            "size_px": recipe.size_px,
            "context": recipe.context,
            "colours": "RGB",
            "range": [0, 255],
        },
        test=round_metrics(model_export.test_metrics),
    )
    card = format_classifier_card(model_export, predictions, command)
    written = write_run_files(model_export, folder, facts, card)
    save_class_predictions(folder / PREDICTIONS_NAME, predictions)
    written.append(folder / PREDICTIONS_NAME)
    file = out / model_export.file_name
    if model_export.can_ship:
        file.write_bytes(model_export.selected.path.read_bytes())
        return [file, *written]
    file.unlink(missing_ok=True)
    return written


def _evaluate_test_crops(path: Path, crops_file: Path) -> dict[str, ClassifierMetrics]:
    if not crops_file.is_file():
        return {}
    crops: Crops = read_crops(crops_file)
    probs: NDArray[np.float32] = MaskClassifier(path).predict_crops(crops.images)
    return compute_metrics_by_source(crops.sources, crops.labels, probs)


def write_onnx(model: keras.Model, path: Path) -> None:
    """Write the network as ONNX, with the input and output names of the LiteRT file.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`.
        path: the output file.

    Raises:
        MissingExtraError: the ONNX libraries are not installed.
    """
    require_libraries("an ONNX file", "tf2onnx", "onnx")
    import onnx

    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras requires a call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, about tf2onnx
        model.export(str(path), format="onnx", verbose=False)
    onnx_model = onnx.load(str(path))
    graph = onnx_model.graph
    keras_name = graph.output[0].name
    output_name = _output_name(model)
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
