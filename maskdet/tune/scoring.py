"""An analyzer looks once at every picture of a set, as laxly as it can."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import numpy as np

from maskdet.analyzer import (
    ANALYZERS,
    Analyzer,
    asset_of,
    classifies_every_face,
    network_file,
    network_name,
    reads_twice,
)
from maskdet.assets import ASSETS, asset, asset_path, sha256_of
from maskdet.boxes import Boxes
from maskdet.classifier import DEFAULT_CLASSIFIER, classifier_path
from maskdet.datasets.examples import no_boxes
from maskdet.evaluation.judged import looks
from maskdet.media import read_image
from maskdet.onepass import OnePass
from maskdet.tune.measuring import Cancelled, Progress, watched
from maskdet.tune.scored import FLOOR_SCORE, FaceRows, Numbers, Scored
from maskdet.tune.sets import Loaded
from maskdet.types import CLASSES, Settings

_PACKAGES = ("opencv-python-headless", "mtcnn")

LAX: Final = Settings(min_score=FLOOR_SCORE, min_confidence=0, min_face_px=1, nms_iou=1)
"""Nothing that any slider could show is refused."""


@dataclass(frozen=True, eq=False)
class Found:
    """What an analyzer found in one picture; rows by falling score.

    Attributes:
        boxes: `(n, 4)` in pixels of the picture.
        scores: `(n,)` face scores.
        probs: `(n, 3)` columns as in `CLASSES`.
        lights: `(n,)` see `FaceRows`.
        sharpness: `(n,)` see `FaceRows`.
    """

    boxes: Boxes
    scores: Numbers
    probs: Numbers
    lights: Numbers
    sharpness: Numbers


Cache = MutableMapping[tuple[str, str], Found]
"""By sha256 of the picture's file and `analyzer_key`; a plain dict will do."""


def analyzer_key(
    name: str, classifier: str = DEFAULT_CLASSIFIER, *, second_look: bool = True
) -> str:
    """Return a text that differs where the answers of an analyzer may differ.

    Args:
        name: as `load_analyzer` has it; another one stands for itself.
        classifier: who labels the faces, a name or the path of a file.
        second_look: whether it may read large faces again.

    Raises:
        ValueError: there is no such classifier.
        FileNotFoundError: a model file is missing; the message says how to get it.
        RuntimeError: a model file is not the one that was published.
    """
    if name not in ANALYZERS:
        return name
    parts = [name]
    model = asset_of(name)
    if network_name(name) is not None:
        parts.append(sha256_of(network_file(name)))
    elif model in ASSETS:
        parts += [sha256_of(asset_path(one)) for one in (model, *asset(model).also)]
    else:
        # Its files come with these packages, so their versions say which ones.
        parts += [f"{one} {_version(one)}" for one in _PACKAGES]
    again = second_look and reads_twice(name, classifier)
    if classifies_every_face(name, classifier):
        parts.append("every face by")
    if again or classifies_every_face(name, classifier):
        parts.append(sha256_of(classifier_path(classifier)))
    return " ".join(parts)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def score_set(
    loaded: Loaded,
    analyzer: Analyzer,
    name: str,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    cache: Cache | None = None,
    key: str = "",
) -> Scored:
    """Return all that an analyzer finds in a set, for `Judge` to choose from.

    Whose second look reads only some faces of a picture reads all of them here: which
    ones those are depends on the sliders, that come later. So probabilities differ from
    those on Live, and only there, in crowds of more large and doubtful faces than that
    (eight with `onepass-fast`): Live leaves the rest of them as first read.

    Args:
        loaded: the set.
        analyzer: looks at each picture once, with `LAX` settings.
        name: of the analyzer.
        progress: told how far it is.
        cancelled: asked before each picture.
        cache: what is there is not looked at again; what is new is put there, picture
            by picture, so that whoever stops loses nothing.
        key: names the analyzer and its files in the cache; `analyzer_key(name)` unless
            given.

    Raises:
        ValueError: a picture cannot be read any more; one line.
        Stopped: `cancelled` said so.
    """
    key = key or analyzer_key(name)
    cache = {} if cache is None else cache
    analyzer = _unlimited(analyzer)
    everything: list[Found] = []
    for picture in watched(range(len(loaded.pictures)), progress, cancelled):
        everything.append(_found(loaded, picture, analyzer, cache, key))
    return _joined(loaded, name, everything)


def _unlimited(analyzer: Analyzer) -> Analyzer:
    """Return the analyzer without a limit on how many faces are read again.

    With `LAX` settings that limit would go to faces that no slider shows later.
    """
    if not isinstance(analyzer, OnePass) or analyzer.second_look is None:
        return analyzer
    result = copy.copy(analyzer)  # the networks stay shared
    result.second_look = dataclasses.replace(analyzer.second_look, most=None)
    return result


def _found(
    loaded: Loaded, picture: int, analyzer: Analyzer, cache: Cache, key: str
) -> Found:
    shown = loaded.truth.names[picture]
    try:
        content = loaded.pictures.content(picture)
        place = (hashlib.sha256(content).hexdigest(), key)
        if place in cache:
            return cache[place]
        image = read_image(content)
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None
    scene = analyzer.analyze(image, LAX)
    boxes = scene.faces.boxes
    found = Found(boxes, scene.faces.scores, scene.probs, *looks(image, boxes))
    cache[place] = found
    return found


def _joined(loaded: Loaded, name: str, everything: Sequence[Found]) -> Scored:
    counts = [len(one.scores) for one in everything]
    faces = FaceRows(
        np.repeat(np.arange(len(everything)), counts),
        np.concatenate([no_boxes(), *(one.boxes for one in everything)]),
        _numbers(one.lights for one in everything),
        _numbers(one.sharpness for one in everything),
    )
    scores = _numbers(one.scores for one in everything)
    probs = [np.zeros((0, len(CLASSES)), np.float32)]
    probs += [one.probs for one in everything]
    return Scored(loaded.truth, name, faces, scores, np.concatenate(probs))


def _numbers(parts: Iterable[Numbers]) -> Numbers:
    return np.concatenate([np.zeros(0, np.float32), *parts])
