"""Cache of a session's analyzed images: a changed threshold needs no inference."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np

from maskdet.analyzers.pipelines import Analyzer, analyze_decoded
from maskdet.classifier import crop_face
from maskdet.datasets.archives import DatasetError
from maskdet.drawing import anonymize_scene, draw, pixelate_image
from maskdet.media import (
    ImageReadError,
    decode_image,
    encode_jpeg,
    encode_png,
    resize_image,
)
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Image, Scene, select_rows

MAX_IMAGES: Final = 500
"""Maximum number of images at once."""

_IMAGE_CACHE_SIZE: Final = 600
"""Number of analyzed images that a session keeps (least recently used are evicted): all
at once and some samples. Without pixels each takes some 10 kB."""

_VIEW_CACHE_SIZE: Final = 8
"""Number of views that a session keeps; others are decoded again."""

_PERMISSIVE_IMAGE_SETTINGS: Final = Settings(
    min_score=0.1, min_confidence=0, min_face_px=4, nms_iou=1
)
"""Every face that passes these is classified and kept, so that any stricter threshold
needs no inference. NMS is off, as its result depends on the other three thresholds."""

CROP_PX: Final = 112
"""Side of a face crop, about twice its size on a card of the page."""

# Small images are enlarged for the page to make captions readable. Large images are
# scaled down to be redrawn quickly and to fit the screen.
_MIN_PREVIEW_SIDE_PX: Final = 640
_MAX_PREVIEW_WH: Final = (1920, 1440)
_THUMBNAIL_WH: Final = (280, 210)


@dataclass(frozen=True, eq=False)
class SourceImage:
    """An image file of a visitor.

    Attributes:
        name: its file name; untrusted, so only shown as plain text.
        read: returns the bytes of the file, which may still be packed in a zip.
        digest: identifies the content.
        number: different for each image, also of the same content.
    """

    name: str
    read: Callable[[], bytes]
    digest: str
    number: int = dataclasses.field(default_factory=itertools.count().__next__)


@dataclass(frozen=True, eq=False)
class AnalyzedImage:
    """The analysis of an image, without its original pixels.

    Attributes:
        width: in pixels; 0 if it could not be read.
        height: in pixels; 0 if it could not be read.
        thumbnail: the image as JPEG, in the size of a list of images.
        raw_scene: every face that passes `base_settings`, in pixels of the original.
        base_settings: the settings of `raw_scene`; stricter ones need no inference.
        error: why it could not be read, or empty.
    """

    width: int = 0
    height: int = 0
    thumbnail: bytes = b""
    raw_scene: Scene = dataclasses.field(default_factory=Scene.empty)
    base_settings: Settings = _PERMISSIVE_IMAGE_SETTINGS
    error: str = ""

    @cached_property
    def blurred_thumbnail(self) -> bytes:
        """The thumbnail with every face blurred."""
        image = _decode_jpeg(self.thumbnail)
        return encode_jpeg(
            anonymize_scene(image, self.scale_scene(self.raw_scene, image))
        )

    def scale_scene(self, scene: Scene, image: Image) -> Scene:
        """Return a scene in the pixels of a smaller or larger copy of the image."""
        height, width = image.shape[:2]
        return scene.scale(width / self.width, height / self.height)

    def select_rows(self, settings: Settings) -> list[int]:
        """Return the rows of `raw_scene` that `settings` accept, best first."""
        return [int(row) for row in select_rows(self.raw_scene.faces, settings)]

    def covers(self, settings: Settings) -> bool:
        """Return whether `raw_scene` holds every face that `settings` could accept."""
        return bool(self.error) or (
            self.base_settings.min_score <= settings.min_score
            and self.base_settings.min_face_px <= settings.min_face_px
        )


@dataclass(frozen=True, eq=False)
class ImageView:
    """The pixels of an image that the page shows.

    Attributes:
        preview: the image as JPEG, in the size of the page.
        crops: one JPEG per row of `AnalyzedImage.raw_scene`.
    """

    preview: bytes
    crops: tuple[bytes, ...]


class ImageCache:
    """The analyzed images of one session, in memory only."""

    def __init__(self, capacity: int = _IMAGE_CACHE_SIZE) -> None:
        """Create an empty cache.

        Args:
            capacity: maximum number of images; the least recently used are evicted.
        """
        self._capacity = capacity
        self._images: OrderedDict[tuple[str, str], AnalyzedImage] = OrderedDict()
        self._digests: OrderedDict[str, str] = OrderedDict()
        self._views: OrderedDict[tuple[AnalyzedImage, bool], ImageView] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of cached images."""
        return len(self._images)

    def add_file(self, name: str, content: bytes, *, file_id: str) -> SourceImage:
        """Return the source image; each `file_id` is hashed only once."""
        if file_id not in self._digests:
            self._digests[file_id] = hashlib.sha256(content).hexdigest()
        self._digests.move_to_end(file_id)
        _evict_oldest(self._digests, self._capacity)
        return SourceImage(name, lambda: content, self._digests[file_id])

    def has_analysis(
        self, source: SourceImage, analyzer_name: str, settings: Settings
    ) -> bool:
        """Return whether `get_or_analyze` needs no inference."""
        cached = self._images.get((source.digest, analyzer_name))
        return cached is not None and cached.covers(settings)

    def get_or_analyze(
        self,
        source: SourceImage,
        analyzer: Analyzer,
        *,
        analyzer_name: str,
        settings: Settings,
    ) -> AnalyzedImage:
        """Return the analysis of an image, from the cache if possible.

        Args:
            source: the file.
            analyzer: analyzes the image if it is not cached.
            analyzer_name: name of the analyzer; each has its own results.
            settings: the result contains at least every face that passes them.
        """
        key = (source.digest, analyzer_name)
        if not self.has_analysis(source, analyzer_name, settings):
            self._images[key] = _analyze_source(source, analyzer, settings)
        self._images.move_to_end(key)
        _evict_oldest(self._images, self._capacity)
        return self._images[key]

    def get_view(
        self, source: SourceImage, analyzed: AnalyzedImage, *, blur: bool
    ) -> ImageView:
        """Return the pixels of a readable image, with all faces blurred if wanted."""
        key = analyzed, blur
        if key not in self._views:
            self._views[key] = _build_view(source, analyzed, blur=blur)
        self._views.move_to_end(key)
        _evict_oldest(self._views, _VIEW_CACHE_SIZE)
        return self._views[key]


def _analyze_source(
    source: SourceImage, analyzer: Analyzer, settings: Settings
) -> AnalyzedImage:
    """Decode one file and analyze it with permissive settings.

    The thresholds are the lower ones of `_PERMISSIVE_IMAGE_SETTINGS` and `settings`. If
    the file is not a readable image, the result has only an `error`.
    """
    try:
        image = decode_image(source.read())
    except (DatasetError, ImageReadError) as error:
        return AnalyzedImage(error=str(error))
    base_settings = dataclasses.replace(
        _PERMISSIVE_IMAGE_SETTINGS,
        min_score=min(_PERMISSIVE_IMAGE_SETTINGS.min_score, settings.min_score),
        min_face_px=min(_PERMISSIVE_IMAGE_SETTINGS.min_face_px, settings.min_face_px),
    )
    return AnalyzedImage(
        width=image.width,
        height=image.height,
        thumbnail=encode_jpeg(_limit_size(image.pixels, _THUMBNAIL_WH)),
        raw_scene=analyze_decoded(analyzer, image, base_settings),
        base_settings=base_settings,
    )


def _build_view(
    source: SourceImage, analyzed: AnalyzedImage, *, blur: bool
) -> ImageView:
    image = decode_image(source.read())
    crops = [
        crop_face(image.pixels, box, CROP_PX)
        for box in image.scale_scene(analyzed.raw_scene).faces.boxes
    ]
    preview = _resize_for_page(image.pixels)
    if blur:
        crops = [pixelate_image(crop) for crop in crops]
        preview = anonymize_scene(
            preview, analyzed.scale_scene(analyzed.raw_scene, preview)
        )
    return ImageView(encode_jpeg(preview), tuple(encode_jpeg(crop) for crop in crops))


def render_result_preview(
    view: ImageView, analyzed: AnalyzedImage, settings: Settings, style: Style
) -> bytes:
    """Return the preview with the accepted faces drawn on it, as JPEG."""
    image = _decode_jpeg(view.preview)
    scene = analyzed.scale_scene(analyzed.raw_scene.filter(settings), image)
    return encode_jpeg(draw(image, scene, style))


def render_result_png(
    source: SourceImage, analyzed: AnalyzedImage, settings: Settings, style: Style
) -> bytes:
    """Return the image in full size with the accepted faces drawn on it, as PNG.

    A very large JPEG is reduced to half its width and height.
    """
    return encode_png(draw(source.read(), analyzed.raw_scene.filter(settings), style))


def _decode_jpeg(jpeg: bytes) -> Image:
    content = np.frombuffer(jpeg, np.uint8)
    image: Image = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
    return image


def _resize_for_page(image: Image) -> Image:
    scale = _MIN_PREVIEW_SIDE_PX / max(image.shape[:2])
    if scale > 1:
        return resize_image(image, scale)
    return _limit_size(image, _MAX_PREVIEW_WH)


def _limit_size(image: Image, max_wh: tuple[int, int]) -> Image:
    """Return an image that is at most so wide and high, in its own proportions."""
    height, width = image.shape[:2]
    return resize_image(image, min(1.0, max_wh[0] / width, max_wh[1] / height))


def _evict_oldest(
    cache: OrderedDict[str, str]
    | OrderedDict[tuple[str, str], AnalyzedImage]
    | OrderedDict[tuple[AnalyzedImage, bool], ImageView],
    capacity: int,
) -> None:
    while len(cache) > capacity:
        cache.popitem(last=False)
