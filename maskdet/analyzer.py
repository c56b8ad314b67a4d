"""Analyzers: an image in, a scene out; in one pass, or find faces, then label them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from time import perf_counter
from typing import Final, Protocol

import numpy as np

from maskdet.aizoo import Aizoo
from maskdet.assets import ASSETS, asset_path
from maskdet.classifier import (
    BUILT_IN_CLASSIFIERS,
    DEFAULT_CLASSIFIER,
    Classifier,
    load_classifier,
)
from maskdet.detectors import DETECTORS, Detector, load_detector
from maskdet.media import DecodedImage
from maskdet.onepass import Network, OnePass, Scaling, SecondLook
from maskdet.own_models import own_models, read_own_models
from maskdet.types import Faces, Image, Scene, Settings, accepted, check_image, refused

AUTO = "auto"
"""What a visitor who leaves the choice to us has chosen; see `resolved`."""

_ONEPASS, _FAST = "onepass", "onepass-fast"

_FAST_ENDING = "-fast"
"""An own network is offered twice, as ours is: thorough, and fast with this ending."""

_ONE_PASS = {
    _ONEPASS: "our one-pass network on a large picture; a mask model may read again",
    _FAST: "our one-pass network on a small picture, for live video",
}

# Pictures grow for `onepass`, where small faces count, and never for live video.
_SCALINGS = {_ONEPASS: Scaling(640, 2.0), _FAST: Scaling(320, 1.0)}


_checked = partial(SecondLook, min_px=12, share=0.5, power=0.35)

_SECOND_LOOKS: dict[str, Callable[[Classifier], SecondLook]] = {
    _ONEPASS: partial(_checked, sure=0.98, doubted=0.9),
    _FAST: partial(_checked, sure=0.9, doubted=0.85, min_score=0.4, most=8),
}
"""The refinement of each single-stage analyzer; others have none. Chosen on the
validation images and on images without a face. Each face costs time, so fewer are
checked in video, and no weak detections, which only continue tracks."""

ENTRY_POINTS: Final = "maskdet.analyzers"
"""The entry point group by which a package adds analyzers of its own."""


class _Registry(MutableMapping[str, str]):
    """Analyzer names with one line each: built-in, registered, entry points, own.

    Entry points are looked up once, when somebody first asks for a name that is not
    built in, or for all names; their code is imported only when they are loaded. The
    folder of own models is read each time, for files may come and go.
    """

    def __init__(self, built_in: Mapping[str, str]) -> None:
        self._lines = dict(built_in)
        self.built_in = frozenset(built_in)
        self._factories: dict[str, Callable[[], Analyzer]] = {}
        self._discovered = False
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> str:
        if name not in self._lines:
            self._discover()
        return self._lines[name] if name in self._lines else _own_lines()[name]

    def __setitem__(self, name: str, line: str) -> None:
        self._lines[name] = line

    def __delitem__(self, name: str) -> None:
        del self._lines[name]
        self._factories.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(dict.fromkeys([*self._lines, *_own_lines()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def add(self, name: str, factory: Callable[[], Analyzer], line: str) -> None:
        """Add or replace an analyzer that is not built in."""
        if name in self.built_in or name == AUTO:
            raise ValueError(
                f"{name!r} is the name of an analyzer that ships with maskdet; choose "
                "another name"
            )
        self._factories[name], self._lines[name] = factory, line

    def factory(self, name: str) -> Callable[[], Analyzer] | None:
        """Return what makes the analyzer, or None for one that is built in."""
        return self._factories.get(name)

    def _discover(self) -> None:
        with self._lock:
            if self._discovered:
                return
            self._discovered = True
            for point in entry_points(group=ENTRY_POINTS):
                if point.name in self._lines or point.name == AUTO:
                    continue
                package = "another package" if point.dist is None else point.dist.name
                self.add(point.name, _loader(point), f"added by {package}")


def _loader(point: EntryPoint) -> Callable[[], Analyzer]:
    """Return a factory that imports an entry point when it is called."""

    def load() -> Analyzer:
        analyzer: Analyzer = point.load()()
        return analyzer

    return load


def _own_lines() -> dict[str, str]:
    """Return the analyzers that the user's own networks make, with a line each."""
    lines: dict[str, str] = {}
    for name in own_models("network"):
        lines[name] = "your single-stage network on a large image"
        lines[f"{name}{_FAST_ENDING}"] = (
            "your single-stage network on a small image, for live video"
        )
    return lines


ANALYZERS: Final = _Registry(
    {
        **(_ONE_PASS if _ONEPASS in ASSETS else {}),
        "mtcnn": "MTCNN detects, our classifier classifies",
        "haar": "Haar cascades detect, our classifier classifies",
        "haar-live": "one Haar cascade in its fast preset detects, our classifier "
        "classifies",
        "yunet": "YuNet detects, our classifier classifies",
        "ssd": "ResNet-10 SSD detects, our classifier classifies",
        "aizoo": "AIZOO's single-stage network, for comparison",
    }
)
"""Analyzer name to one line that says what it does; `register_analyzer` adds to it."""


def register_analyzer(
    name: str, factory: Callable[[], Analyzer], description: str = ""
) -> None:
    """Make an analyzer of your own known by a name, here, to the CLI and the dashboard.

    A package does the same without being imported, by an entry point of the group
    `maskdet.analyzers` that names the factory:

        [project.entry-points."maskdet.analyzers"]
        mine = "my_package:make_analyzer"

    Examples:
        >>> maskdet.register_analyzer(
        ...     "my-haar", lambda: maskdet.TwoStage(maskdet.load_detector("haar"))
        ... )
        >>> "my-haar" in maskdet.ANALYZERS
        True
        >>> del maskdet.ANALYZERS["my-haar"]

    Args:
        name: what `load_analyzer`, `--analyzer` and the dashboard call it.
        factory: makes the analyzer; called without arguments when it is first used,
            for example `lambda: maskdet.TwoStage(MyDetector())`.
        description: one line that says what it does.

    Raises:
        ValueError: the name is empty or is that of an analyzer of maskdet.
        TypeError: the factory cannot be called.
    """
    if not name.strip():
        raise ValueError("name must be a word, not empty")
    if not callable(factory):
        raise TypeError(f"factory must be callable without arguments, not {factory!r}")
    ANALYZERS.add(name, factory, description or "registered by a program")


BUILT_IN_ANALYZERS: Final = ANALYZERS.built_in
"""The analyzers that ship with maskdet."""

DEFAULT_ANALYZER = _ONEPASS if _ONEPASS in ANALYZERS else "mtcnn"
"""The embedded analyzer that does best on the validation scenes; see README."""


class Analyzer(Protocol):
    """Anything that detects the faces of an image and classifies them.

    Examples:
        >>> class Nobody:
        ...     def analyze(self, image, settings=None):
        ...         return maskdet.Scene.empty()
        >>> maskdet.analyze("group.jpg", analyzer=Nobody())
        <Scene: 0 faces>
    """

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Return the scene in `image`, which is not changed.

        Args:
            image: `(h, w, 3)` uint8, BGR; grey `(h, w)` is accepted too.
            settings: thresholds; by default `Settings()`. Faces that they drop are
                dropped before they are classified. `analyze(image, settings)` equals
                `analyze(image, Settings.permissive()).filter(settings)`.

        Raises:
            TypeError: `image` is not an array of uint8 numbers.
            ValueError: `image` is empty or has another shape.
        """
        ...


class TwoStage:
    """A face detector followed by a classifier over all faces in one call.

    Examples:
        >>> class MyDetector:
        ...     def detect(self, image):
        ...         return maskdet.Faces([[691, 270, 780, 366]], [0.9])
        >>> analyzer = maskdet.TwoStage(MyDetector())
        >>> maskdet.analyze("group.jpg", analyzer=analyzer)
        <Scene: 1 face (1 no_mask)>
    """

    def __init__(
        self, detector: Detector, classifier: Classifier | None = None
    ) -> None:
        """Join the two stages.

        Args:
            detector: an object with `detect(image) -> Faces`.
            classifier: gives each face its probabilities; by default the one that
                ships with maskdet.

        Raises:
            TypeError: the detector has no `detect` method.
        """
        if not callable(getattr(detector, "detect", None)):
            raise TypeError(
                "detector must have a method detect(image) -> Faces, which "
                f"{type(detector).__name__} does not have"
            )
        self.detector = detector
        self.classifier = load_classifier() if classifier is None else classifier
        self.pipeline = (
            f"{type(detector).__name__} detects, {type(self.classifier).__name__} "
            "classifies every face"
        )

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Find, choose, then label; see `Analyzer.analyze`."""
        image = check_image(image)
        settings = Settings() if settings is None else settings
        started = perf_counter()
        faces = self.detector.detect(image)
        rows = accepted(faces, settings)
        blur_boxes, faces = refused(faces, rows, settings), faces[rows]
        found = perf_counter()
        probs = self.classifier.predict(image, faces.boxes)
        labelled = perf_counter()
        return Scene(
            faces,
            probs,
            min_confidence=settings.min_confidence,
            stage_ms={
                "find": (found - started) * 1e3,
                "label": (labelled - found) * 1e3,
            },
            blur_boxes=blur_boxes,
        )


def analyze_decoded(
    analyzer: Analyzer, image: DecodedImage, settings: Settings
) -> Scene:
    """Return the scene of an image in pixels of its original, however it was decoded.

    Args:
        analyzer: looks at the pixels that were decoded.
        image: perhaps smaller than its original.
        settings: the smallest face is in pixels of the original, too.
    """
    across, down = image.factors
    if across == down == 1:
        return analyzer.analyze(image.pixels, settings)
    smallest_px = max(1.0, settings.min_face_px / max(across, down))
    early = dataclasses.replace(settings, min_face_px=smallest_px)
    scene = analyzer.analyze(image.pixels, early)
    return scene.scaled(across, down).filter(settings)


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


def reads_twice(name: str, classifier: str = DEFAULT_CLASSIFIER) -> bool:
    """Return whether the classifier checks large faces again after this analyzer.

    A classifier other than the default one classifies every face instead.
    """
    return _kind(name) in _SECOND_LOOKS and classifier == DEFAULT_CLASSIFIER


def classifies_every_face(name: str, classifier: str = DEFAULT_CLASSIFIER) -> bool:
    """Return whether the classifier gives every face its class.

    So it is after a face detector; and if a classifier other than the default one was
    chosen, after every analyzer: who chooses one wants to see what it says.
    """
    return name in DETECTORS or classifier != DEFAULT_CLASSIFIER


def pipeline(
    name: str, classifier: str = DEFAULT_CLASSIFIER, *, second_look: bool = True
) -> str:
    """Return in one line who detects and who classifies; arguments of `load_analyzer`.

    Examples:
        >>> from maskdet.analyzer import pipeline
        >>> pipeline("onepass", "tutorial")
        'onepass detects, classifier tutorial classifies every face'
    """
    if classifies_every_face(name, classifier):
        return f"{name} detects, classifier {classifier} classifies every face"
    line = f"{name} detects and classifies"
    if second_look and reads_twice(name, classifier):
        line += f", classifier {classifier} checks uncertain faces again"
    return line


def pipeline_of(analyzer: Analyzer) -> str:
    """Return in one line who detects and who classifies in an analyzer.

    That is its attribute `pipeline`; of one without, the name of its class.
    """
    return str(getattr(analyzer, "pipeline", "") or type(analyzer).__name__)


def own_model_problems() -> tuple[str, ...]:
    """Return one line for each file in the folder of own models that is not used.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set, and is not a folder.
    """
    known = read_own_models()
    taken = {*BUILT_IN_ANALYZERS, *BUILT_IN_CLASSIFIERS, AUTO}
    clashes = [
        f"{model.path.parent.name}/{model.path.name}: {name} is the name of a model "
        "that ships with maskdet, which is used; rename the file and the folder of "
        "its facts"
        for name, model in known.models.items()
        if {name, f"{name}{_FAST_ENDING}"} & taken
    ]
    return (*known.problems, *clashes)


def _kind(name: str) -> str:
    """Return whose scale and refinement an analyzer has; most have their own."""
    own = network_name(name)
    if own is None:
        return name
    return _ONEPASS if own == name else _FAST


def network_name(name: str) -> str | None:
    """Return which own network an analyzer runs; None if it does not run one."""
    if name in BUILT_IN_ANALYZERS:
        return None
    own = own_models("network")
    for one in (name, name.removesuffix(_FAST_ENDING)):
        if one in own:
            return one
    return None


def network_file(name: str) -> Path:
    """Return the network file of a single-stage analyzer, ours or the user's own."""
    own = network_name(name)
    return asset_path(_ONEPASS) if own is None else own_models("network")[own].path


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
    """Load an analyzer and run it once, so that the first image is not slow.

    Examples:
        >>> analyzer = maskdet.load_analyzer("onepass-fast")
        >>> len(analyzer.analyze(maskdet.read_image("group.jpg")))
        7

    Args:
        name: a name in `ANALYZERS`.
        classifier: name or path, see `load_classifier`. The default one classifies
            the faces of a face detector, and checks uncertain faces again after a
            single-stage network. Any other one classifies every face,
            after every analyzer; boxes and scores are those of the analyzer.
        second_look: whether the default classifier may check faces again that a
            single-stage network has classified; without, it is not even loaded.

    Raises:
        ValueError: there is no such analyzer or classifier.
        FileNotFoundError: a model file is missing; the message says how to get it.
        RuntimeError: a model file is not the one that was published.
    """
    if name not in ANALYZERS:
        known = ", ".join(ANALYZERS)
        raise ValueError(f"analyzer must be one of {known}, not {name!r}")
    analyzer = _loaded(name, classifier, second_look=second_look)
    # What a factory made may be somebody else's; it speaks for itself.
    ours = ANALYZERS.factory(name) is None or classifies_every_face(name, classifier)
    if ours and isinstance(analyzer, TwoStage | OnePass | Aizoo):
        analyzer.pipeline = pipeline(name, classifier, second_look=second_look)
    analyzer.analyze(np.zeros((48, 64, 3), np.uint8))
    return analyzer


def _loaded(name: str, classifier: str, *, second_look: bool) -> Analyzer:
    if name in DETECTORS:
        return TwoStage(load_detector(name), load_classifier(classifier))
    if classifies_every_face(name, classifier):
        alone = _alone(name, None)
        return TwoStage(_Boxes(alone), load_classifier(classifier))
    rule = _SECOND_LOOKS.get(_kind(name)) if second_look else None
    again = None
    if rule is not None and ANALYZERS.factory(name) is None:
        again = rule(load_classifier(classifier))
    return _alone(name, again)


def _alone(name: str, again: SecondLook | None) -> Analyzer:
    """Return an analyzer that classifies the faces itself."""
    factory = ANALYZERS.factory(name)
    if factory is not None:
        return _made(name, factory)
    kind = _kind(name)
    if kind not in _SCALINGS:
        return Aizoo()
    network = Network(network_file(name))
    return OnePass(network, _SCALINGS[kind], second_look=again)


class _Boxes:
    """The faces that an analyzer detects, without the classes it gives them."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        # Tiles ask how large the network sees an image.
        self.scaling = getattr(analyzer, "scaling", None)

    def detect(self, image: Image) -> Faces:
        """Return every candidate of the analyzer; see `Detector.detect`."""
        return self._analyzer.analyze(image, Settings.permissive()).faces


def _made(name: str, factory: Callable[[], Analyzer]) -> Analyzer:
    """Return what the factory of a registered analyzer makes, checked."""
    try:
        analyzer = factory()
    except Exception as error:
        raise RuntimeError(f"analyzer {name!r} cannot be made: {error}") from error
    if not callable(getattr(analyzer, "analyze", None)):
        raise RuntimeError(
            f"analyzer {name!r}: its factory must return an object with "
            f"analyze(image, settings) -> Scene, not {type(analyzer).__name__}"
        )
    return analyzer
