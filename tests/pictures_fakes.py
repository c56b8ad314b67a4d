"""Small analysed pictures with known faces, for the tests of the Image page."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.analyzer import TwoStage
from maskdet.media import encode_png
from maskdet.types import Image, Settings
from maskdet.web.pictures import Album, Source, analyse
from maskdet.web.results import Result
from tests.fakes import FakeClassifier, FakeDetector

# A sure face, its overlapping twin, a doubtful face, a small one, one below the floor.
BOXES = [
    [10, 10, 60, 70],
    [14, 10, 64, 70],
    [80, 20, 120, 70],
    [130, 5, 137, 13],
    [150, 40, 190, 90],
]
SCORES = [0.9, 0.8, 0.4, 0.7, 0.05]
NAME = "fake"


def two_stage() -> TwoStage:
    return TwoStage(FakeDetector(BOXES, SCORES), FakeClassifier((0.55, 0.35, 0.1)))


def calls(analyzer: TwoStage) -> int:
    assert isinstance(analyzer.detector, FakeDetector)
    return analyzer.detector.calls


def scenery(width: int = 200, height: int = 100) -> Image:
    """Return a picture whose every region looks different."""
    ramp = np.add.outer(np.arange(height) * 2, np.arange(width)) % 256
    return np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=2).astype(np.uint8)


def source(album: Album, image: Image | None = None, name: str = "a.png") -> Source:
    content = encode_png(scenery() if image is None else image)
    return album.source(name, content, file_id=f"{name} {hash(content)}")


def result(settings: Settings | None = None, name: str = "a.png") -> Result:
    album, settings = Album(), settings or Settings()
    given = source(album, name=name)
    return Result(
        given,
        album.picture(given, two_stage(), name=NAME, settings=settings),
        settings,
    )


def broken(name: str = "b.jpg") -> Result:
    given = Album().source(name, b"no picture", file_id=name)
    return Result(given, analyse(given.content, two_stage(), Settings()), Settings())


def decoded(content: bytes) -> Image:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def changes(before: Image, after: Image) -> NDArray[np.int64]:
    return np.abs(after.astype(np.int64) - before).max(axis=2)
