"""Run an analyzer on every image of a set, once and without thresholds."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.onepass import SingleStage
from maskdet.analyzers.pipelines import (
    ANALYZERS,
    Analyzer,
    analyzer_model_name,
    classifies_every_face,
    has_refinement,
    network_path,
    own_network_name,
)
from maskdet.boxes import Boxes, sizes_px
from maskdet.classifier import DEFAULT_CLASSIFIER, classifier_path
from maskdet.datasets import Example
from maskdet.evaluation.classification import LARGE_PX, read_example
from maskdet.evaluation.labelled_set import (
    ImportedDataset,
    ProgressCallback,
    iterate_with_progress,
)
from maskdet.evaluation.operating_point import EvaluationResult
from maskdet.evaluation.predictions import (
    MIN_STORED_SCORE,
    AnalyzerPredictions,
    FaceRows,
    LabelledImage,
    LabelledSet,
    MeasuredBoxes,
)
from maskdet.media import read_image
from maskdet.metrics.classification import Predictions
from maskdet.metrics.matching import Float32Array
from maskdet.model_files.model_zoo import (
    MODEL_FILES,
    get_model_file,
    model_path,
    sha256_of,
)
from maskdet.settings import Settings
from maskdet.types import CLASSES, Image, Label, Scene

_NO_PROBS: Final[Float32Array] = np.zeros((0, len(CLASSES)), np.float32)

_DETECTOR_PACKAGES = ("opencv-python-headless", "mtcnn")

PERMISSIVE_SETTINGS: Final = Settings(
    min_score=MIN_STORED_SCORE, min_confidence=0, min_face_px=1, nms_iou=1
)
"""Keep every face that any slider could show."""


@dataclass(frozen=True, eq=False)
class ImageDetections:
    """The detections of one image; rows by descending score.

    Attributes:
        faces: their boxes in pixels of the image, lights and sharpness.
        scores: `(n,)` detection scores.
        probs: `(n, 3)` columns as in `CLASSES`.
    """

    faces: MeasuredBoxes
    scores: Float32Array
    probs: Float32Array

    @classmethod
    def from_scene(cls, image: Image, scene: Scene) -> ImageDetections:
        """Measure the faces of a scene in its image."""
        faces = MeasuredBoxes.from_image(image, scene.faces.boxes)
        return cls(faces, scene.faces.scores, scene.probs)


DetectionCache = MutableMapping[tuple[str, str], ImageDetections]
"""Detections by SHA-256 of the image file and `analyzer_key`, for example a dict."""


def analyzer_key(
    name: str, classifier: str = DEFAULT_CLASSIFIER, *, refinement: bool = True
) -> str:
    """Return a cache key that differs where the predictions may differ.

    Args:
        name: a name for `load_analyzer`; other names are returned unchanged.
        classifier: name or path of the classifier.
        refinement: whether the classifier may re-check large faces.

    Raises:
        ValueError: the classifier is not known.
        FileNotFoundError: a model file is missing; the message says how to get it.
        RuntimeError: the checksum of a model file is wrong.
    """
    if name not in ANALYZERS:
        return name
    parts = [name]
    model = analyzer_model_name(name)
    if own_network_name(name) is not None:
        parts.append(sha256_of(network_path(name)))
    elif model in MODEL_FILES:
        parts += [
            sha256_of(model_path(name_part))
            for name_part in (model, *get_model_file(model).requires)
        ]
    else:
        # The model files are part of these packages, so their versions identify them.
        parts += [
            f"{name_part} {_package_version(name_part)}"
            for name_part in _DETECTOR_PACKAGES
        ]
    uses_refinement = refinement and has_refinement(name, classifier)
    if classifies_every_face(name, classifier):
        parts.append("every face by")
    if uses_refinement or classifies_every_face(name, classifier):
        parts.append(sha256_of(classifier_path(classifier)))
    return " ".join(parts)


def _package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def predict_dataset(
    dataset: ImportedDataset,
    analyzer: Analyzer,
    name: str,
    *,
    progress: ProgressCallback | None = None,
    cache: DetectionCache | None = None,
    key: str = "",
) -> AnalyzerPredictions:
    """Return all predictions of an analyzer on a set, for `Evaluator`.

    Refinement has no limit on the number of faces here, because the faces that the
    limit would select depend on the sliders. So probabilities differ from those on Live
    only in images with more large, low-confidence faces than the limit (eight with
    `onepass-fast`), where Live does not refine the rest.

    Args:
        dataset: the set.
        analyzer: analyzes each image once, with `PERMISSIVE_SETTINGS`.
        name: name of the analyzer.
        progress: called with the progress after each image.
        cache: its images are not analyzed again; new detections are added image by
            image, so an interrupted run can be continued.
        key: cache key of the analyzer and its files; `analyzer_key(name)` by default.

    Raises:
        ValueError: an image cannot be read any more; one line.
    """
    key = key or analyzer_key(name)
    cache = {} if cache is None else cache
    analyzer = _without_refinement_limit(analyzer)
    all_detections: list[ImageDetections] = []
    for image_index in iterate_with_progress(range(len(dataset.images)), progress):
        all_detections.append(_detect_image(dataset, image_index, analyzer, cache, key))
    return _join_detections(dataset.ground_truth, name, all_detections)


@dataclass(frozen=True, eq=False)
class ExamplePredictions:
    """Predictions of an analyzer on examples.

    Attributes:
        examples: the examples.
        by_settings: the predictions with each of the settings; images in the order of
            the examples.
        times_ms: time of the analysis of each image with the last settings.
    """

    examples: tuple[Example, ...]
    by_settings: tuple[AnalyzerPredictions, ...]
    times_ms: tuple[float, ...]


def predict_examples(
    analyzer: Analyzer, examples: Iterable[Example], *settings: Settings
) -> ExamplePredictions:
    """Return the predictions of an analyzer on scenes, as it gives them in use.

    Unlike in `predict_dataset`, a limit on the number of refined faces applies, so each
    of the settings has predictions of its own.

    Args:
        analyzer: analyzes each image once with each of the settings.
        examples: the scenes; faces of unknown class are part of the ground truth.
        settings: one or more. The last ones are timed: buffers of the size of the image
            are then allocated.

    Raises:
        ValueError: an image cannot be read; the message names it.
    """
    used, images, times_ms = [], [], []
    detections: list[list[ImageDetections]] = [[] for _ in settings]
    for example in examples:
        image = read_example(example)
        used.append(example)
        images.append(_label_image(example, image))
        took_ms = 0.0
        for item_settings, items in zip(settings, detections, strict=True):
            start_s = perf_counter()
            scene = analyzer.analyze(image, item_settings)
            took_ms = (perf_counter() - start_s) * 1e3
            items.append(ImageDetections.from_scene(image, scene))
        times_ms.append(took_ms)
    ground_truth = LabelledSet.from_images("examples", images)
    return ExamplePredictions(
        tuple(used),
        tuple(_join_detections(ground_truth, "analyzer", item) for item in detections),
        tuple(times_ms),
    )


def _label_image(example: Example, image: Image) -> LabelledImage:
    """Return the true faces of an example, those of unknown class last."""
    boxes = np.concatenate([example.boxes, example.ignore_boxes])
    return LabelledImage(
        example.path.name,
        (image.shape[1], image.shape[0]),
        MeasuredBoxes.from_image(image, boxes),
        np.append(
            example.label_values, np.full(len(example.ignore_boxes), Label.UNKNOWN)
        ),
    )


def _without_refinement_limit(analyzer: Analyzer) -> Analyzer:
    """Return the analyzer without a limit on the number of refined faces.

    With `PERMISSIVE_SETTINGS`, the limit would be spent on faces that are hidden later.
    """
    if not isinstance(analyzer, SingleStage) or analyzer.refiner is None:
        return analyzer
    result = copy.copy(analyzer)  # a shallow copy uses the same networks
    result.refiner = dataclasses.replace(analyzer.refiner, max_faces=None)
    return result


def _detect_image(
    dataset: ImportedDataset,
    image_index: int,
    analyzer: Analyzer,
    cache: DetectionCache,
    key: str,
) -> ImageDetections:
    image_name = dataset.ground_truth.names[image_index]
    try:
        content = dataset.images.read_bytes(image_index)
        cache_key = (hashlib.sha256(content).hexdigest(), key)
        if cache_key in cache:
            return cache[cache_key]
        image = read_image(content)
    except ValueError as error:
        raise ValueError(f"{image_name}: {error}") from None
    scene = analyzer.analyze(image, PERMISSIVE_SETTINGS)
    detections = ImageDetections.from_scene(image, scene)
    cache[cache_key] = detections
    return detections


def _join_detections(
    ground_truth: LabelledSet, name: str, detections: Sequence[ImageDetections]
) -> AnalyzerPredictions:
    return AnalyzerPredictions(
        ground_truth,
        name,
        FaceRows.from_images([item.faces for item in detections]),
        np.concatenate([_NO_PROBS[:, 0], *(item.scores for item in detections)]),
        np.concatenate([_NO_PROBS, *(item.probs for item in detections)]),
    )


class ClassifiedFaces(NamedTuple):
    """Predictions for the faces of one image.

    Attributes:
        example: the labelled image.
        faces: the faces. Light and sharpness are measured on the box, extended to a
            square, not on the wider crop of the classifier.
        ground_truth: `(n,)` true classes.
        probs: `(n, 3)` predicted probabilities.
    """

    example: Example
    faces: MeasuredBoxes
    ground_truth: NDArray[np.int64]
    probs: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FacePredictions:
    """Predictions with the place of each face.

    Attributes:
        predictions: ground truth and prediction of each face.
        paths: the image of each face.
        boxes: `(n, 4)` box of the face in its image, as passed to the classifier.
    """

    predictions: Predictions
    paths: tuple[Path, ...]
    boxes: Boxes

    @classmethod
    def from_images(cls, images: Sequence[ClassifiedFaces]) -> FacePredictions:
        """Join the predictions of several images; may be none."""
        faces = FaceRows.from_images([image.faces for image in images])
        no_labels = np.zeros(0, np.int64)
        return cls.from_faces(
            [images[index].example for index in faces.image_indices],
            faces,
            np.concatenate([no_labels, *(image.ground_truth for image in images)]),
            np.concatenate([_NO_PROBS, *(image.probs for image in images)]),
        )

    @classmethod
    def from_faces(
        cls,
        examples: Sequence[Example],
        faces: MeasuredBoxes | FaceRows,
        ground_truth: NDArray[np.int64],
        probs: NDArray[np.float32],
    ) -> FacePredictions:
        """Create the predictions of faces; row i of all arguments is the same face."""
        predictions = Predictions(
            ground_truth=np.asarray(ground_truth, np.int64),
            probs=np.asarray(probs, np.float32).reshape(-1, len(CLASSES)),
            sizes_px=sizes_px(faces.boxes).astype(np.float32),
            lights=faces.lights,
            sharpness=faces.sharpness,
            sources=np.array([example.source for example in examples], np.str_),
        )
        return cls(predictions, tuple(item.path for item in examples), faces.boxes)

    @classmethod
    def from_result(
        cls, result: EvaluationResult, examples: Sequence[Example]
    ) -> FacePredictions:
        """Return the shown faces that match a true face of at least `LARGE_PX`.

        Args:
            result: the shown faces.
            examples: the images of the set.
        """
        faces, ground_truth = result.predictions.faces, result.predictions.ground_truth
        is_large = sizes_px(ground_truth.faces.boxes) >= LARGE_PX
        matched = result.matched_ground_truth
        selected = matched >= 0
        selected[selected] = is_large[matched[selected]]
        rows = result.shown_rows[selected]
        return cls.from_faces(
            [examples[index] for index in faces.image_indices[rows]],
            MeasuredBoxes(faces.boxes[rows], faces.lights[rows], faces.sharpness[rows]),
            ground_truth.labels[matched[selected]],
            result.probs[selected],
        )
