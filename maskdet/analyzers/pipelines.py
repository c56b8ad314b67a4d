"""Analyzers: the protocol, the registry, loading, and two-stage analysis.

An analyzer turns an image into a scene. A single-stage analyzer is one network; a
two-stage analyzer is a face detector followed by a classifier.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from time import perf_counter
from typing import Final, Protocol

import numpy as np

from maskdet.analyzers.aizoo import Aizoo
from maskdet.analyzers.onepass import Refiner, Resize, SingleStage, SingleStageNetwork
from maskdet.classifier import (
    BUILT_IN_CLASSIFIERS,
    DEFAULT_CLASSIFIER,
    Classifier,
    load_classifier,
)
from maskdet.detectors import DETECTORS, Detector, load_detector
from maskdet.media import DecodedImage
from maskdet.model_files.model_zoo import model_path
from maskdet.model_files.own_models import get_own_models, read_own_models
from maskdet.settings import Settings
from maskdet.types import Faces, Image, Scene, check_image, rejected_boxes, select_rows

AUTO = "auto"
"""The analyzer name for automatic choice; see `resolve_analyzer`."""

_ONEPASS, _ONEPASS_FAST = "onepass", "onepass-fast"

_FAST_SUFFIX = "-fast"
"""Each single-stage network has two analyzers: a thorough one, and a fast one with this
suffix."""

# `onepass` enlarges images to detect small faces; `onepass-fast` never does.
RESIZES: Final = {_ONEPASS: Resize(640, 2.0), _ONEPASS_FAST: Resize(320, 1.0)}
"""Input scaling of the two analyzers of a single-stage network."""

_onepass_refiner = partial(Refiner, weight=0.5, verify_power=0.35)

_REFINERS: dict[str, partial[Refiner]] = {
    _ONEPASS: partial(_onepass_refiner, min_px=8, skip_above=0.995, verify_below=0.9),
    _ONEPASS_FAST: partial(
        _onepass_refiner,
        min_px=12,
        skip_above=0.9,
        verify_below=0.85,
        min_score=0.4,
        max_faces=8,
    ),
}
"""The refinement of each single-stage analyzer; others have none.

Chosen on the validation images and on images without faces. Each face takes time, so
in video fewer faces are checked, and no low-score detections, which only continue
tracks."""

_ENTRY_POINT_GROUP: Final = "maskdet.analyzers"
"""The entry point group with which a package registers its analyzers."""


class _AnalyzerRegistry(UserDict[str, str]):
    """Analyzer names and descriptions: built-in, registered, entry points, user models.

    Entry points are discovered once, at the first lookup of a name that is not built
    in or of all names; their code is imported only when they are loaded. The user's
    model folder is read each time, because its files may change.
    """

    def __init__(self, built_in: Mapping[str, str]) -> None:
        super().__init__(built_in)
        self.built_in = frozenset(built_in)
        self._factories: dict[str, Callable[[], Analyzer]] = {}
        self._discovered = False
        self._lock = threading.Lock()

    def __missing__(self, name: str) -> str:
        self._discover()
        return self.data[name] if name in self.data else _own_descriptions()[name]

    def __contains__(self, name: object) -> bool:
        return name in self.data or name in list(self)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._factories.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(dict.fromkeys([*self.data, *_own_descriptions()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def add(self, name: str, factory: Callable[[], Analyzer], description: str) -> None:
        """Add or replace an analyzer that is not built in."""
        if name in self.built_in or name == AUTO:
            raise ValueError(
                f"{name!r} is the name of an analyzer that ships with maskdet; choose "
                "another name"
            )
        self._factories[name], self.data[name] = factory, description

    def factory(self, name: str) -> Callable[[], Analyzer] | None:
        """Return the factory of an analyzer, or None if it is built in."""
        return self._factories.get(name)

    def _discover(self) -> None:
        with self._lock:
            if self._discovered:
                return
            self._discovered = True
            for point in entry_points(group=_ENTRY_POINT_GROUP):
                if point.name in self.data or point.name == AUTO:
                    continue
                package = "another package" if point.dist is None else point.dist.name
                load = partial(_load_entry_point, point)
                self.add(point.name, load, f"added by {package}")


def _load_entry_point(point: EntryPoint) -> Analyzer:
    """Import an entry point, and create its analyzer."""
    analyzer: Analyzer = point.load()()
    return analyzer


def _own_descriptions() -> dict[str, str]:
    """Return the analyzers of the user's networks, with their descriptions."""
    descriptions: dict[str, str] = {}
    for name in get_own_models("network"):
        descriptions[name] = "your single-stage network on a large image"
        descriptions[f"{name}{_FAST_SUFFIX}"] = (
            "your single-stage network on a small image, for live video"
        )
    return descriptions


ANALYZERS: Final = _AnalyzerRegistry(
    {
        _ONEPASS: "our single-stage network on a large image, with optional refinement",
        _ONEPASS_FAST: "our single-stage network on a small image, for live video",
        "mtcnn": "MTCNN detects, our classifier classifies",
        "haar": "Haar cascades detect, our classifier classifies",
        "haar-live": "one Haar cascade with a fast preset detects, our classifier "
        "classifies",
        "yunet": "YuNet detects, our classifier classifies",
        "centerface": "CenterFace detects, our classifier classifies",
        "ssd": "ResNet-10 SSD detects, our classifier classifies",
        "aizoo": "AIZOO's single-stage network, for comparison",
    }
)
"""Analyzer names and one-line descriptions; `register_analyzer` adds to it."""


_TITLES: Final[Mapping[str, str]] = {
    AUTO: "Auto",
    _ONEPASS: "Accurate",
    _ONEPASS_FAST: "Fast",
    "mtcnn": "MTCNN (classic)",
    "haar": "Haar (classic)",
    "haar-live": "Haar for video (classic)",
    "yunet": "YuNet",
    "centerface": "CenterFace",
    "ssd": "SSD",
    "aizoo": "AIZOO",
}


def get_analyzer_title(name: str) -> str:
    """Return the title of an analyzer, or of `AUTO`, in the dashboard.

    Other analyzers than the built-in ones have their name as the title.
    """
    return _TITLES.get(name, name)


def register_analyzer(
    name: str, factory: Callable[[], Analyzer], description: str = ""
) -> None:
    """Register an analyzer under a name, for the API, the CLI and the dashboard.

    A package can register one without being imported, with an entry point of the
    group `maskdet.analyzers` that names the factory:

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
        name: its name in `load_analyzer`, `--analyzer` and the dashboard.
        factory: creates the analyzer; called without arguments at the first use, for
            example `lambda: maskdet.TwoStage(MyDetector())`.
        description: what it does, in one line.

    Raises:
        ValueError: the name is empty or that of a built-in analyzer.
        TypeError: the factory is not callable.
    """
    if not name.strip():
        raise ValueError("name must not be empty")
    if not callable(factory):
        raise TypeError(f"factory must be callable without arguments, not {factory!r}")
    ANALYZERS.add(name, factory, description or "registered by a program")


DEFAULT_ANALYZER = _ONEPASS
"""The analyzer with the best results on the validation scenes; see docs/accuracy.md."""


class Analyzer(Protocol):
    """Protocol of an analyzer: detects and classifies the faces of an image.

    Examples:
        >>> class EmptyAnalyzer:
        ...     def analyze(self, image, settings=None):
        ...         return maskdet.Scene.empty()
        >>> maskdet.analyze("group.jpg", analyzer=EmptyAnalyzer())
        <Scene: 0 faces>
    """

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Return the scene in `image`, which is not changed.

        Args:
            image: `(h, w, 3)` uint8, BGR; grey `(h, w)` is accepted too.
            settings: thresholds; by default `Settings()`. Faces below them are not
                classified. `analyze(image, settings)` equals
                `analyze(image, Settings.permissive()).filter(settings)`.

        Raises:
            TypeError: `image` is not an array of uint8 numbers.
            ValueError: `image` is empty or has another shape.
        """
        ...


class TwoStage:
    """A face detector followed by a classifier of all faces.

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
        """Combine the two stages.

        Args:
            detector: an object with `detect(image) -> Faces`.
            classifier: an object with `predict(image, boxes)`; by default the bundled
                classifier.

        Raises:
            TypeError: the detector has no `detect` method.
        """
        if not callable(getattr(detector, "detect", None)):
            raise TypeError(
                "detector must have a method detect(image) -> Faces; "
                f"{type(detector).__name__} does not have one"
            )
        self.detector = detector
        self.classifier = load_classifier() if classifier is None else classifier
        self.pipeline = (
            f"{type(detector).__name__} detects, {type(self.classifier).__name__} "
            "classifies every face"
        )

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Detect, select and classify faces; see `Analyzer.analyze`."""
        image = check_image(image)
        settings = Settings() if settings is None else settings
        started_at = perf_counter()
        faces = self.detector.detect(image)
        rows = select_rows(faces, settings)
        blur_boxes, faces = rejected_boxes(faces, rows, settings), faces[rows]
        detected_at = perf_counter()
        probs = self.classifier.predict(image, faces.boxes)
        classified_at = perf_counter()
        return Scene(
            faces,
            probs,
            min_confidence=settings.min_confidence,
            stage_ms={
                "detect": (detected_at - started_at) * 1e3,
                "classify": (classified_at - detected_at) * 1e3,
            },
            blur_boxes=blur_boxes,
        )


def analyze_decoded(
    analyzer: Analyzer, image: DecodedImage, settings: Settings
) -> Scene:
    """Analyze a decoded image and return the scene in pixels of the original.

    Args:
        analyzer: analyzes the decoded pixels.
        image: may be smaller than the original.
        settings: thresholds; `min_face_px` is in pixels of the original.
    """
    factor_x, factor_y = image.scale_factors
    if factor_x == factor_y == 1:
        return analyzer.analyze(image.pixels, settings)
    decoded_min_px = max(1.0, settings.min_face_px / max(factor_x, factor_y))
    decoded_settings = dataclasses.replace(settings, min_face_px=decoded_min_px)
    scene = analyzer.analyze(image.pixels, decoded_settings)
    return scene.scale(factor_x, factor_y).filter(settings)


def resolve_analyzer(name: str, *, live: bool) -> str:
    """Return the name in `ANALYZERS` for a choice that may be `AUTO`.

    Args:
        name: a name in `ANALYZERS`, which is returned unchanged, or `AUTO`: the fast
            analyzer for video, the thorough one for images.
        live: whether it is for video, where speed matters.
    """
    if name != AUTO:
        return name
    return _ONEPASS_FAST if live else DEFAULT_ANALYZER


def has_refinement(name: str, classifier: str = DEFAULT_CLASSIFIER) -> bool:
    """Return whether the classifier can refine the results of this analyzer.

    A classifier other than the default one classifies every face instead.
    """
    return _preset_name(name) in _REFINERS and classifier == DEFAULT_CLASSIFIER


def max_refined_faces(
    name: str, classifier: str = DEFAULT_CLASSIFIER, *, refine: bool = True
) -> int | None:
    """Return how many faces of an image are refined at most; None without a limit."""
    if not refine or not has_refinement(name, classifier):
        return None
    limit: int | None = _REFINERS[_preset_name(name)].keywords.get("max_faces")
    return limit


def classifies_every_face(name: str, classifier: str = DEFAULT_CLASSIFIER) -> bool:
    """Return whether the classifier classifies every face.

    It does after a face detector. A classifier other than the default one does so
    after every analyzer, because the user chose it explicitly.
    """
    return name in DETECTORS or classifier != DEFAULT_CLASSIFIER


def describe_pipeline(
    name: str,
    classifier: str = DEFAULT_CLASSIFIER,
    *,
    refine: bool = True,
    with_title: bool = False,
) -> str:
    """Return one line on what detects and what classifies.

    Args:
        name: see `load_analyzer`.
        classifier: see `load_analyzer`.
        refine: see `load_analyzer`.
        with_title: whether the analyzer has its title, as in the dashboard.

    Examples:
        >>> from maskdet.analyzers.pipelines import describe_pipeline
        >>> describe_pipeline("onepass", "tutorial")
        'onepass detects, classifier tutorial classifies every face'
    """
    shown_name = get_analyzer_title(name) if with_title else name
    if classifies_every_face(name, classifier):
        return f"{shown_name} detects, classifier {classifier} classifies every face"
    description = f"{shown_name} detects and classifies"
    if refine and has_refinement(name, classifier):
        description += f", classifier {classifier} re-checks low-confidence faces"
    return description


def get_pipeline(analyzer: Analyzer) -> str:
    """Return one line on what detects and what classifies in an analyzer.

    It is the attribute `pipeline`, or the class name of an analyzer without one.
    """
    return str(getattr(analyzer, "pipeline", "") or type(analyzer).__name__)


def list_own_model_problems() -> tuple[str, ...]:
    """Return one line for each file in the user's model folder that cannot be used.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set but is not a folder.
    """
    own = read_own_models()
    reserved_names = {*ANALYZERS.built_in, *BUILT_IN_CLASSIFIERS, AUTO}
    clashes = [
        f"{model.path.parent.name}/{model.path.name}: {name} is the name of a model "
        "that ships with maskdet, which is used; rename the file and the folder of "
        "its facts"
        for name, model in own.models.items()
        if {name, f"{name}{_FAST_SUFFIX}"} & reserved_names
    ]
    return (*own.problems, *clashes)


def _preset_name(name: str) -> str:
    """Return the analyzer whose resize and refinement an analyzer uses."""
    own = own_network_name(name)
    if own is None:
        return name
    return _ONEPASS if own == name else _ONEPASS_FAST


def own_network_name(name: str) -> str | None:
    """Return the user's network that an analyzer runs, or None."""
    if name in ANALYZERS.built_in:
        return None
    own_networks = get_own_models("network")
    for candidate in (name, name.removesuffix(_FAST_SUFFIX)):
        if candidate in own_networks:
            return candidate
    return None


def network_path(name: str) -> Path:
    """Return the network file of a single-stage analyzer, bundled or the user's."""
    own_name = own_network_name(name)
    return (
        model_path(_ONEPASS)
        if own_name is None
        else get_own_models("network")[own_name].path
    )


def analyzer_model_name(name: str) -> str:
    """Return the name of an analyzer's model file.

    It is not in `MODEL_FILES` if the analyzer does not have one.
    """
    return _ONEPASS if name in RESIZES else name


def load_analyzer(
    name: str = DEFAULT_ANALYZER,
    classifier: str = DEFAULT_CLASSIFIER,
    *,
    refine: bool = True,
) -> Analyzer:
    """Load an analyzer and run it once to warm up.

    Examples:
        >>> analyzer = maskdet.load_analyzer("onepass-fast")
        >>> len(analyzer.analyze(maskdet.read_image("group.jpg")))
        7

    Args:
        name: a name in `ANALYZERS`.
        classifier: name or path, see `load_classifier`. The default one classifies
            the faces of a face detector, and re-checks low-confidence faces of a
            single-stage network. Any other one classifies every face of every
            analyzer; boxes and scores do not change.
        refine: whether the default classifier re-checks low-confidence faces of a
            single-stage network; if not, it is not loaded.

    Raises:
        ValueError: the analyzer or classifier is unknown.
        FileNotFoundError: a model file is missing; the message says how to get it.
        RuntimeError: a model file does not have the published checksum.
    """
    if name not in ANALYZERS:
        names = ", ".join(ANALYZERS)
        raise ValueError(f"analyzer must be one of {names}, not {name!r}")
    analyzer = _build_analyzer(name, classifier, refine=refine)
    # An analyzer from a factory keeps its own description.
    is_built_here = ANALYZERS.factory(name) is None or classifies_every_face(
        name, classifier
    )
    if is_built_here and isinstance(analyzer, TwoStage | SingleStage | Aizoo):
        analyzer.pipeline = describe_pipeline(name, classifier, refine=refine)
    analyzer.analyze(np.zeros((48, 64, 3), np.uint8))
    return analyzer


def _build_analyzer(name: str, classifier: str, *, refine: bool) -> Analyzer:
    if name in DETECTORS:
        return TwoStage(load_detector(name), load_classifier(classifier))
    if classifies_every_face(name, classifier):
        analyzer = _build_base_analyzer(name, None)
        return TwoStage(_AnalyzerAsDetector(analyzer), load_classifier(classifier))
    make_refiner = _REFINERS.get(_preset_name(name)) if refine else None
    refiner = None
    if make_refiner is not None and ANALYZERS.factory(name) is None:
        refiner = make_refiner(load_classifier(classifier))
    return _build_base_analyzer(name, refiner)


def _build_base_analyzer(name: str, refiner: Refiner | None) -> Analyzer:
    """Return a single-stage or registered analyzer."""
    factory = ANALYZERS.factory(name)
    if factory is not None:
        return _call_factory(name, factory)
    kind = _preset_name(name)
    if kind not in RESIZES:
        return Aizoo()
    network = SingleStageNetwork(network_path(name))
    return SingleStage(network, RESIZES[kind], refiner=refiner)


class _AnalyzerAsDetector:
    """Adapter that uses an analyzer as a face detector, without its classes."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        # `TiledAnalyzer` reads the input size of the network.
        self.resize = getattr(analyzer, "resize", None)

    def detect(self, image: Image) -> Faces:
        """Return every candidate of the analyzer; see `Detector.detect`."""
        return self._analyzer.analyze(image, Settings.permissive()).faces


def _call_factory(name: str, factory: Callable[[], Analyzer]) -> Analyzer:
    """Create a registered analyzer and check its interface."""
    try:
        analyzer = factory()
    except Exception as error:
        raise RuntimeError(f"analyzer {name!r} cannot be created: {error}") from error
    if not callable(getattr(analyzer, "analyze", None)):
        raise RuntimeError(
            f"analyzer {name!r}: its factory must return an object with "
            f"analyze(image, settings) -> Scene, not {type(analyzer).__name__}"
        )
    return analyzer
