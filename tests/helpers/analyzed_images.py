"""Small analyzed images with known faces, for tests of the Image page."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.pipelines import TwoStage
from maskdet.media import encode_png
from maskdet.settings import Settings
from maskdet.types import Image
from maskdet.web.image.cache import ImageCache, ImageView, SourceImage
from maskdet.web.image.results import ImageResult
from tests.helpers.fakes import FakeClassifier, FakeDetector

# A high-score face, one that overlaps it, one with a low score, a small one, and one
# below the blur threshold.
BOXES = [
    [10, 10, 60, 70],
    [14, 10, 64, 70],
    [80, 20, 120, 70],
    [130, 5, 137, 13],
    [150, 40, 190, 90],
]
SCORES = [0.9, 0.8, 0.4, 0.7, 0.05]
NAME = "fake"


def make_two_stage() -> TwoStage:
    return TwoStage(FakeDetector(BOXES, SCORES), FakeClassifier((0.55, 0.35, 0.1)))


def count_detector_calls(analyzer: TwoStage) -> int:
    assert isinstance(analyzer.detector, FakeDetector)
    return analyzer.detector.calls


def make_ramp_image(width: int = 200, height: int = 100) -> Image:
    """Return an image whose every region looks different."""
    ramp = np.add.outer(np.arange(height) * 2, np.arange(width)) % 256
    return np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=2).astype(np.uint8)


def make_source(
    album: ImageCache, image: Image | None = None, name: str = "a.png"
) -> SourceImage:
    content = encode_png(make_ramp_image() if image is None else image)
    return album.add_file(name, content, file_id=f"{name} {hash(content)}")


def make_result(settings: Settings | None = None, name: str = "a.png") -> ImageResult:
    album, settings = ImageCache(), settings or Settings()
    image_source = make_source(album, name=name)
    return ImageResult(
        image_source,
        album.get_or_analyze(
            image_source, make_two_stage(), analyzer_name=NAME, settings=settings
        ),
        settings,
    )


def make_broken_result(name: str = "b.jpg") -> ImageResult:
    album = ImageCache()
    image_source = album.add_file(name, b"no image", file_id=name)
    analyzed = album.get_or_analyze(
        image_source, make_two_stage(), analyzer_name=NAME, settings=Settings()
    )
    return ImageResult(image_source, analyzed, Settings())


def make_view(result: ImageResult, *, blur: bool = False) -> ImageView:
    return ImageCache().get_view(result.source, result.analyzed, blur=blur)


def decode_image(content: bytes) -> Image:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def pixel_changes(before: Image, after: Image) -> NDArray[np.int64]:
    return np.abs(after.astype(np.int64) - before).max(axis=2)
