"""A visitor's pictures: analysed once, kept for the session, judged anew for free."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskdet.analyzer import Analyzer, analyze_decoded
from maskdet.classifier import crop_face
from maskdet.drawing import coarse, draw, hidden
from maskdet.media import (
    ImageReadError,
    decode_image,
    encode_jpeg,
    encode_png,
)
from maskdet.style import Style
from maskdet.types import Image, Scene, Settings, accepted

MAX_PICTURES: Final = 30
"""So many are taken at once; it bounds the memory that one visitor can use."""

KEPT: Final = 50
"""So many analysed pictures a session remembers, the last used ones."""

FLOOR: Final = Settings(min_score=0.1, min_confidence=0, min_face_px=4, nms_iou=1)
"""Every face that passes these is labelled and kept, so that a slider moved anywhere
above them needs no network. Overlapping boxes all stay: which of them goes depends on
the other three thresholds."""

CROP_PX: Final = 112
"""Side of a face's crop, about twice what a card on the page shows."""

# Small pictures are enlarged for the page, so that their captions can be read; large
# ones shrink: each redraw must be fast, and a higher one would not fit the screen.
_LONG_SIDE_PX: Final = 640
_LARGEST_WH: Final = (1280, 800)


@dataclass(frozen=True, eq=False)
class Source:
    """A picture as it was given.

    Attributes:
        name: its file name; written by a stranger, so only ever shown as plain text.
        content: the bytes of the file.
        digest: the SHA-256 of `content`, in hexadecimal.
    """

    name: str
    content: bytes
    digest: str


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture after its one pass through the networks, without its own pixels.

    Attributes:
        width: in pixels; 0 if it could not be read.
        height: in pixels; 0 if it could not be read.
        preview: the picture as JPEG, in the size that the page shows.
        crops: one JPEG a row of `raw`: what the classifier saw.
        raw: every face that passes `floor`, in pixels of the original.
        floor: the settings `raw` was made with; stricter ones need no network.
        error: why it could not be read, or empty.
    """

    width: int = 0
    height: int = 0
    preview: bytes = b""
    crops: tuple[bytes, ...] = ()
    raw: Scene = dataclasses.field(default_factory=Scene.empty)
    floor: Settings = FLOOR
    error: str = ""

    def rows(self, settings: Settings) -> list[int]:
        """Return the rows of `raw` that `settings` accept, best first."""
        return [int(row) for row in accepted(self.raw.faces, settings)]

    def answers(self, settings: Settings) -> bool:
        """Return whether `raw` holds every face that `settings` could accept."""
        return bool(self.error) or (
            self.floor.min_score <= settings.min_score
            and self.floor.min_face_px <= settings.min_face_px
        )


class Album:
    """The analysed pictures of one session; nothing is on disk, nothing is shared."""

    def __init__(self, kept: int = KEPT) -> None:
        """Start empty.

        Args:
            kept: so many pictures are remembered, the last used ones.
        """
        self._kept = kept
        self._pictures: OrderedDict[tuple[str, str], Picture] = OrderedDict()
        self._digests: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of remembered pictures."""
        return len(self._pictures)

    def source(self, name: str, content: bytes, *, file_id: str) -> Source:
        """Return the source; a `file_id` is hashed once, as large files take time."""
        if file_id not in self._digests:
            self._digests[file_id] = hashlib.sha256(content).hexdigest()
        self._digests.move_to_end(file_id)
        _forget(self._digests, self._kept)
        return Source(name, content, self._digests[file_id])

    def knows(self, source: Source, analyzer_name: str, settings: Settings) -> bool:
        """Return whether `picture` would answer without a network."""
        known = self._pictures.get((source.digest, analyzer_name))
        return known is not None and known.answers(settings)

    def picture(
        self, source: Source, analyzer: Analyzer, *, name: str, settings: Settings
    ) -> Picture:
        """Return the analysed picture; only an unknown one goes through the networks.

        Args:
            source: the file.
            analyzer: looks at the picture if it must be.
            name: the analyzer's name; each has its own results.
            settings: the result holds at least every face that they could accept.
        """
        key = (source.digest, name)
        if not self.knows(source, name, settings):
            self._pictures[key] = analyse(source.content, analyzer, settings)
        self._pictures.move_to_end(key)
        _forget(self._pictures, self._kept)
        return self._pictures[key]


def analyse(content: bytes, analyzer: Analyzer, settings: Settings) -> Picture:
    """Read one file and find its faces, down to `FLOOR` or to `settings` if lower.

    A file that is no readable picture gives a `Picture` with its `error`.
    """
    try:
        image = decode_image(content)
    except ImageReadError as error:
        return Picture(error=str(error))
    floor = dataclasses.replace(
        FLOOR,
        min_score=min(FLOOR.min_score, settings.min_score),
        min_face_px=min(FLOOR.min_face_px, settings.min_face_px),
    )
    raw = analyze_decoded(analyzer, image, floor)
    boxes = image.on_pixels(raw).faces.boxes
    crops = (crop_face(image.pixels, box, CROP_PX) for box in boxes)
    return Picture(
        width=image.width,
        height=image.height,
        preview=encode_jpeg(_preview(image.pixels)),
        crops=tuple(encode_jpeg(crop) for crop in crops),
        raw=raw,
        floor=floor,
    )


def result_preview(picture: Picture, settings: Settings, style: Style) -> bytes:
    """Return the preview with the accepted faces drawn on it, as JPEG."""
    image, scene = _in_preview(picture, settings)
    return encode_jpeg(draw(image, scene, style))


def original_preview(picture: Picture, settings: Settings, style: Style) -> bytes:
    """Return the preview as it is, or with the accepted faces blurred, as JPEG."""
    if not style.blur:
        return picture.preview
    image, scene = _in_preview(picture, settings)
    return encode_jpeg(hidden(image, scene))


def blurred_crop(crop: bytes) -> bytes:
    """Return a face's crop, a JPEG, in which nobody can be recognised."""
    return encode_jpeg(coarse(_decoded(crop)))


def result_png(
    source: Source, picture: Picture, settings: Settings, style: Style
) -> bytes:
    """Return the picture in full size with the accepted faces drawn on it, as PNG.

    A very large JPEG has half its width and height.
    """
    return encode_png(draw(source.content, picture.raw.filter(settings), style))


def _in_preview(picture: Picture, settings: Settings) -> tuple[Image, Scene]:
    """Return the preview, and the accepted faces in its pixels."""
    image = _decoded(picture.preview)
    scene = picture.raw.filter(settings)
    height, width = image.shape[:2]
    return image, scene.scaled(width / picture.width, height / picture.height)


def _decoded(jpeg: bytes) -> Image:
    content = np.frombuffer(jpeg, np.uint8)
    image: Image = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
    return image


def _preview(image: Image) -> Image:
    height, width = image.shape[:2]
    most = min(_LARGEST_WH[0] / width, _LARGEST_WH[1] / height)
    scale = min(most, max(1, _LONG_SIDE_PX / max(width, height)))
    if scale == 1:
        return image
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    result: Image = np.asarray(cv2.resize(image, size_wh, interpolation=method))
    return result


def _forget(
    kept: OrderedDict[str, str] | OrderedDict[tuple[str, str], Picture], most: int
) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
