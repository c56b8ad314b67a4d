"""An analyzer looks once at every image of a set, as laxly as it can."""

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
from maskdet.media import read_image
from maskdet.model_zoo import MODEL_FILES, get_model_file, model_path, sha256_of
from maskdet.settings import Settings
from maskdet.tuning.labelled_set import (
    CancelCallback,
    ImportedDataset,
    ProgressCallback,
    iterate_with_progress,
)
from maskdet.tuning.predictions import (
    MIN_STORED_SCORE,
    AnalyzerPredictions,
    FaceRows,
    Float32Array,
)
from maskdet.types import CLASSES

_DETECTOR_PACKAGES = ("opencv-python-headless", "mtcnn")

PERMISSIVE_SETTINGS: Final = Settings(
    min_score=MIN_STORED_SCORE, min_confidence=0, min_face_px=1, nms_iou=1
)
"""Nothing that any slider could show is refused."""


@dataclass(frozen=True, eq=False)
class CachedDetections:
    """What an analyzer found in one image; rows by falling score.

    Attributes:
        boxes: `(n, 4)` in pixels of the image.
        scores: `(n,)` face scores.
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
"""By sha256 of the image's file and `analyzer_key`; a plain dict will do."""


def analyzer_key(
    name: str, classifier: str = DEFAULT_CLASSIFIER, *, refinement: bool = True
) -> str:
    """Return a text that differs where the answers of an analyzer may differ.

    Args:
        name: as `load_analyzer` has it; another one stands for itself.
        classifier: who labels the faces, a name or the path of a file.
        refinement: whether it may read large faces again.

    Raises:
        ValueError: there is no such classifier.
        FileNotFoundError: a model file is missing; the message says how to get it.
        RuntimeError: a model file is not the one that was published.
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
        # Its files come with these packages, so their versions say which ones.
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
    """Return all that an analyzer finds in a set, for `Judge` to choose from.

    Whose second look reads only some faces of an image reads all of them here: which
    ones those are depends on the sliders, that come later. So probabilities differ from
    those on Live, and only there, in crowds of more large and doubtful faces than that
    (eight with `onepass-fast`): Live leaves the rest of them as first read.

    Args:
        dataset: the set.
        analyzer: looks at each image once, with `PERMISSIVE_SETTINGS` settings.
        name: of the analyzer.
        progress: told how far it is.
        cancelled: asked before each image.
        cache: what is there is not looked at again; what is new is put there, image
            by image, so that whoever stops loses nothing.
        key: names the analyzer and its files in the cache; `analyzer_key(name)` unless
            given.

    Raises:
        ValueError: an image cannot be read any more; one line.
        Stopped: `cancelled` said so.
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
    """Return the analyzer without a limit on how many faces are read again.

    With `PERMISSIVE_SETTINGS` settings that limit would go to faces that no slider
    shows later.
    """
    if not isinstance(analyzer, SingleStage) or analyzer.refiner is None:
        return analyzer
    result = copy.copy(analyzer)  # the networks stay shared
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
