"""Fake detectors, classifiers and analyzers with fixed results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.settings import Settings
from maskdet.types import Faces, Image, Scene


class FakeDetector:
    """Detects the same boxes in every image and counts its calls."""

    def __init__(
        self, boxes: Sequence[Sequence[float]] = (), scores: Sequence[float] = ()
    ) -> None:
        self.calls = 0
        self._faces = Faces(
            np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)
        )

    def detect(self, image: Image) -> Faces:
        self.calls += 1
        return self._faces


class FakeClassifier:
    """Gives every box the same probabilities and records the boxes of its calls."""

    def __init__(self, probs: Sequence[float] = (0.9, 0.08, 0.02)) -> None:
        self.boxes: list[Boxes] = []
        self._probs = np.array(probs, np.float32)

    def predict(self, image: Image, boxes: Boxes) -> NDArray[np.float32]:
        self.boxes.append(boxes)
        return np.tile(self._probs, (len(boxes), 1))


def make_grey_image(width: int = 64, height: int = 48) -> Image:
    """Return a plain grey image."""
    return np.full((height, width, 3), 128, np.uint8)


class ScriptedFace(NamedTuple):
    """A face in a scripted video."""

    box: tuple[float, float, float, float]
    probs: tuple[float, float, float]
    score: float = 0.9


class ScriptedAnalyzer:
    """Returns the faces of a script for the current time, by falling score."""

    def __init__(self, script: Callable[[float], Sequence[ScriptedFace]]) -> None:
        self.time_s = 0.0
        self.requested_settings: list[Settings] = []
        self._script = script

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        settings = Settings() if settings is None else settings
        self.requested_settings.append(settings)
        faces = sorted(self._script(self.time_s), key=lambda face: -face.score)
        scene = Scene(
            Faces(
                np.array([face.box for face in faces], np.float32).reshape(-1, 4),
                np.array([face.score for face in faces], np.float32),
            ),
            np.array([face.probs for face in faces], np.float32).reshape(-1, 3),
            stage_ms={"detect": 1.0, "classify": 0.5},
        )
        return scene.filter(settings)
