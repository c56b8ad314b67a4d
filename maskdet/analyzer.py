"""Analyzers: an image in, a scene out; in one pass, or find faces, then label them."""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np

from maskdet.aizoo import Aizoo
from maskdet.assets import ASSETS, asset_path
from maskdet.classifier import DEFAULT_CLASSIFIER, Classifier, load_classifier
from maskdet.detectors import DETECTORS, Detector, load_detector
from maskdet.onepass import Network, OnePass, Scaling, SecondLook
from maskdet.types import Faces, Image, Scene, Settings, accepted, refused

AUTO = "auto"
"""What a visitor who leaves the choice to us has chosen; see `resolved`."""

_ONEPASS, _FAST = "onepass", "onepass-fast"

_ONE_PASS = {
    _ONEPASS: "our one-pass network on a large picture; a mask model may read again",
    _FAST: "our one-pass network on a small picture, for live video",
}

# Pictures grow for `onepass`, where small faces count, and never for live video.
_SCALINGS = {_ONEPASS: Scaling(640, 2.0), _FAST: Scaling(320, 1.0)}


class _Again(NamedTuple):
    """Which faces the classifier reads again, and how much its word counts then."""

    min_px: float
    share: float
    sure: float
    most: int | None = None


_SECOND_LOOKS: dict[str, _Again] = {
    _ONEPASS: _Again(min_px=24, share=0.8, sure=0.95),
    _FAST: _Again(min_px=24, share=0.8, sure=0.95, most=8),
}
"""By measurement on the validation scenes; who is not here looks once. Reading only in
doubt is as often right as reading everybody, and reads a fourth as many faces."""

ANALYZERS: dict[str, str] = {
    **(_ONE_PASS if _ONEPASS in ASSETS else {}),
    "mtcnn": "MTCNN finds, our classifier labels",
    "haar": "Haar cascades find, our classifier labels",
    "yunet": "YuNet finds, our classifier labels",
    "ssd": "ResNet-10 SSD finds, our classifier labels",
    "aizoo": "AIZOO's one-pass network, to compare with",
}
"""Analyzer name to one line that says what it does."""

DEFAULT_ANALYZER = _ONEPASS if _ONEPASS in ANALYZERS else "mtcnn"
"""The embedded analyzer that does best on the validation scenes; see README."""


class Analyzer(Protocol):
    """Something that finds the faces of an image and labels them."""

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Return the scene in `image`, which is not changed.

        Args:
            image: `(h, w, 3)` uint8, BGR.
            settings: faces that they refuse are dropped before they cost a label.
                Without, every face the finder reports is labelled. Either way,
                `analyze(image, settings)` equals `analyze(image).select(settings)`.
        """
        ...


class TwoStage:
    """A face finder followed by a classifier over all faces in one call."""

    def __init__(self, detector: Detector, classifier: Classifier) -> None:
        """Join the two stages.

        Args:
            detector: finds the faces.
            classifier: gives each face its probabilities.
        """
        self.detector = detector
        self.classifier = classifier

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Find, choose, then label; see `Analyzer.analyze`."""
        started = perf_counter()
        faces = self.detector.detect(image)
        hide = Faces.none().boxes
        if settings is not None:
            rows = accepted(faces, settings)
            hide, faces = refused(faces, rows, settings), faces.keep(rows)
        found = perf_counter()
        probs = self.classifier.predict(image, faces.boxes)
        labelled = perf_counter()
        return Scene(
            faces,
            probs,
            min_certainty=0.0 if settings is None else settings.min_certainty,
            stage_ms={
                "find": (found - started) * 1e3,
                "label": (labelled - found) * 1e3,
            },
            hide=hide,
        )


def resolved(analyzer: str, *, live: bool) -> str:
    """Return the name in `ANALYZERS` that a choice stands for.

    Args:
        analyzer: a name in `ANALYZERS`, which stands for itself, or `AUTO`: the fast
            one on video, the thorough one on pictures.
        live: whether it is for video, where each picture is late after a moment.
    """
    if analyzer != AUTO:
        return analyzer
    return _FAST if live and _FAST in ANALYZERS else DEFAULT_ANALYZER


def reads_twice(name: str) -> bool:
    """Return whether a classifier reads large faces again after this analyzer."""
    return name in _SECOND_LOOKS


def asset_of(name: str) -> str:
    """Return the name of the model file that an analyzer has for itself.

    Not every analyzer has one: then it is no name in `ASSETS`.
    """
    return _ONEPASS if name in _SCALINGS else name


def load_analyzer(
    name: str = DEFAULT_ANALYZER,
    classifier: str = DEFAULT_CLASSIFIER,
    *,
    second_look: bool = True,
) -> Analyzer:
    """Load an analyzer and run it once, so that the first picture is not slow.

    Args:
        name: a name in `ANALYZERS`.
        classifier: who labels them where a second stage does; see `load_classifier`.
        second_look: whether that classifier may read large faces again where the
            first stage has labelled them already; without, it is not even loaded.

    Raises:
        ValueError: there is no such analyzer or classifier.
        FileNotFoundError: a model file is missing; the message says how to get it.
        RuntimeError: a model file is not the one that was published.
    """
    if name not in ANALYZERS:
        known = ", ".join(ANALYZERS)
        raise ValueError(f"analyzer must be one of {known}, not {name!r}")
    analyzer = _loaded(name, classifier, second_look=second_look)
    analyzer.analyze(np.zeros((48, 64, 3), np.uint8))
    return analyzer


def _loaded(name: str, classifier: str, *, second_look: bool) -> Analyzer:
    if name in DETECTORS:
        return TwoStage(load_detector(name), load_classifier(classifier))
    if name not in _SCALINGS:
        return Aizoo()
    again = None
    if second_look and name in _SECOND_LOOKS:
        rule = _SECOND_LOOKS[name]
        reader = load_classifier(classifier)
        again = SecondLook(reader, *rule)
    network = Network(asset_path(_ONEPASS))
    return OnePass(network, _SCALINGS[name], second_look=again)
