"""Run an analyzer on every image of a set, without thresholds."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import numpy as np

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
from maskdet.boxes import Boxes
from maskdet.classifier import DEFAULT_CLASSIFIER, classifier_path
from maskdet.datasets.example import empty_boxes
from maskdet.evaluation.matching import measure_crop_quality
from maskdet.evaluation.predictions import (
    MIN_STORED_SCORE,
    AnalyzerPredictions,
    FaceRows,
    Float32Array,
)
from maskdet.media import read_image
from maskdet.model_zoo import MODEL_FILES, get_model_file, model_path, sha256_of
from maskdet.settings import Settings
from maskdet.tuning.labelled_set import (
    CancelCallback,
    ImportedDataset,
    ProgressCallback,
    iterate_with_progress,
)
from maskdet.types import CLASSES

_DETECTOR_PACKAGES = ("opencv-python-headless", "mtcnn")

PERMISSIVE_SETTINGS: Final = Settings(
    min_score=MIN_STORED_SCORE, min_confidence=0, min_face_px=1, nms_iou=1
)
"""Keep every face that any slider could show."""


@dataclass(frozen=True, eq=False)
class CachedDetections:
    """The detections of one image; rows by descending score.

    Attributes:
        boxes: `(n, 4)` in pixels of the image.
        scores: `(n,)` detection scores.
        probs: `(n, 3)` columns as in `CLASSES`.
        lights: `(n,)` see `FaceRows`.
        sharpness: `(n,)` see `FaceRows`.
    """

    boxes: Boxes
    scores: Float32Array
    probs: Float32Array
    lights: Float32Array
    sharpness: Float32Array


DetectionCache = MutableMapping[tuple[str, str], CachedDetections]
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
    cancelled: CancelCallback | None = None,
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
        cancelled: called before each image; returns whether to stop.
        cache: its images are not analyzed again; new detections are added image by
            image, so a cancelled run can be continued.
        key: cache key of the analyzer and its files; `analyzer_key(name)` by default.

    Raises:
        ValueError: an image cannot be read any more; one line.
        CancelledError: `cancelled` returned True.
    """
    key = key or analyzer_key(name)
    cache = {} if cache is None else cache
    analyzer = _without_refinement_limit(analyzer)
    all_detections: list[CachedDetections] = []
    for image_index in iterate_with_progress(
        range(len(dataset.images)), progress, cancelled
    ):
        all_detections.append(_detect_image(dataset, image_index, analyzer, cache, key))
    return _join_detections(dataset, name, all_detections)


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
) -> CachedDetections:
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
    boxes = scene.faces.boxes
    detections = CachedDetections(
        boxes, scene.faces.scores, scene.probs, *measure_crop_quality(image, boxes)
    )
    cache[cache_key] = detections
    return detections


def _join_detections(
    dataset: ImportedDataset, name: str, everything: Sequence[CachedDetections]
) -> AnalyzerPredictions:
    counts = [len(detections.scores) for detections in everything]
    faces = FaceRows(
        np.repeat(np.arange(len(everything)), counts),
        np.concatenate(
            [empty_boxes(), *(detections.boxes for detections in everything)]
        ),
        _concat_float32(detections.lights for detections in everything),
        _concat_float32(detections.sharpness for detections in everything),
    )
    scores = _concat_float32(detections.scores for detections in everything)
    probs = [np.zeros((0, len(CLASSES)), np.float32)]
    probs += [detections.probs for detections in everything]
    return AnalyzerPredictions(
        dataset.ground_truth, name, faces, scores, np.concatenate(probs)
    )


def _concat_float32(parts: Iterable[Float32Array]) -> Float32Array:
    return np.concatenate([np.zeros(0, np.float32), *parts])
