"""Convert the boxes of a data set to pixels of the upright image; check image sizes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, sizes_px
from maskdet.datasets.archives import FileSource
from maskdet.datasets.files import Coordinates, ImageAnnotations
from maskdet.datasets.issues import Issues
from maskdet.media import MAX_BYTES, read_image
from maskdet.media.images import get_exif_orientation

_SWAPPED_ORIENTATIONS: Final = range(5, 9)
"""EXIF orientations that swap width and height."""

_CLIP_TOLERANCE_PX: Final = 1.0
"""Boxes that exceed the image by up to this are not reported."""

_FIT_TOLERANCE_PX: Final = 2.0
"""Tolerance when boxes are used to detect the frame in which they were drawn."""

_SIDEWAYS_RATIO: Final = 0.9
"""Ratio of height to width of a box below which the face lies on its side; the medians
of upright faces in four public data sets are 1.1 to 1.5."""


@dataclass(frozen=True)
class ImageSize:
    """Size of an upright image and its EXIF orientation.

    Attributes:
        upright_wh: width and height of the upright image.
        orientation: 1 to 8 as in EXIF; 1 means stored upright.
    """

    upright_wh: tuple[int, int]
    orientation: int = 1

    @property
    def stored_wh(self) -> tuple[int, int]:
        """Width and height of the pixels in the file."""
        return self.upright_wh[::-1] if self.is_rotated else self.upright_wh

    @property
    def is_rotated(self) -> bool:
        """Whether the orientation swaps width and height."""
        return self.orientation in _SWAPPED_ORIENTATIONS


@dataclass(frozen=True, eq=False)
class PixelBoxes:
    """The boxes of one image.

    Attributes:
        boxes: `(k, 4)` float32 in pixels of the upright image, clipped to it.
        kept: `(n,)` mask of the listed boxes that were kept.
    """

    boxes: Boxes
    kept: NDArray[np.bool_]


def _read_image_size(files: FileSource, name: str) -> ImageSize | None:
    """Return the size of an image; for most formats, only the header is read."""
    from PIL import Image as Pillow

    path = files.local_path(name)
    try:
        source = path or io.BytesIO(files.read(name, MAX_BYTES))
        with Pillow.open(source, formats=["JPEG", "PNG", "WEBP"]) as image:
            size = ImageSize(image.size, get_exif_orientation(image))
    # Damaged headers make decoders raise many kinds of errors.
    except Exception:
        return _decoded_size(files, name)
    return ImageSize(size.stored_wh, size.orientation)


def _decoded_size(files: FileSource, name: str) -> ImageSize | None:
    """Return the size of an image by decoding it."""
    try:
        height, width = read_image(files.read(name, MAX_BYTES)).shape[:2]
    except (ValueError, OSError):
        return None
    return ImageSize((width, height))


def convert_to_pixels(
    rows: Sequence[ImageAnnotations], files: FileSource, issues: Issues
) -> Iterator[PixelBoxes]:
    """Yield the boxes of each row in pixels of its upright image.

    The image must have the size that is listed in the labels. Images with an EXIF
    orientation are stored rotated. Some tools annotate the upright image but list the
    stored size, others annotate the stored image. If boxes fit only one of the two,
    it is used, also for the other images of the data set. Otherwise boxes that are
    wider than high refer to the stored image, all others to the upright one.

    Args:
        rows: annotations with boxes.
        files: where the images are.
        issues: collects wrong sizes and boxes that are clipped or outside.
    """
    sizes = [
        _read_image_size(files, row.image) if len(row.boxes) else None for row in rows
    ]
    frames = [_detect_frame(row, size) for row, size in zip(rows, sizes, strict=True)]
    known_frames = {"stored", "upright"} & set(frames)
    all_stored = known_frames == {"stored"} or (
        not known_frames and _are_faces_sideways(rows, frames)
    )
    for row, size, frame in zip(rows, sizes, frames, strict=True):
        stored = frame == "stored" or (all_stored and frame in ("open", "follows"))
        image_size_used = size or (ImageSize(row.size_wh) if all(row.size_wh) else None)
        if image_size_used is None or not len(row.boxes):
            # The image cannot be read; this is reported when it is opened.
            yield PixelBoxes(
                np.zeros((0, 4), np.float32), np.zeros(len(row.boxes), bool)
            )
            continue
        if size is not None:
            _add_size_issue(row, size, frame, issues, stored=stored)
        with np.errstate(over="ignore", invalid="ignore"):
            boxes = (
                row.boxes * ([*image_size_used.upright_wh] * 2)
                if row.is_normalized
                else row.boxes
            )
            boxes = _rotate_boxes(boxes, image_size_used) if stored else boxes
            yield _clip_boxes(
                boxes.astype(np.float32), image_size_used.upright_wh, row, issues
            )


def _detect_frame(row: ImageAnnotations, size: ImageSize | None) -> str:
    """Return the frame of the boxes: `upright`, `stored` or `open` (undecided).

    `follows` means that the size cannot decide it, but other images of the data set
    may; an empty text means that there is nothing to decide.
    """
    if size is None or size.orientation == 1 or row.is_normalized:
        return ""
    if not size.is_rotated or size.stored_wh == size.upright_wh:
        return "follows" if row.size_wh in ((0, 0), size.upright_wh) else ""
    if row.size_wh not in ((0, 0), size.stored_wh):
        return ""
    fits_upright, fits_stored = (
        _boxes_fit(row.boxes, wh) for wh in (size.upright_wh, size.stored_wh)
    )
    if fits_upright == fits_stored:
        return "open"
    return "upright" if fits_upright else "stored"


def _are_faces_sideways(
    rows: Sequence[ImageAnnotations], frames: Sequence[str]
) -> bool:
    """Return whether the faces with undecided frames lie on their sides."""
    boxes = [
        row.boxes for row, frame in zip(rows, frames, strict=True) if frame == "open"
    ]
    if not boxes:
        return False
    sides = np.concatenate(boxes)[:, 2:] - np.concatenate(boxes)[:, :2]
    sides = sides[(sides > 0).all(axis=1)]
    return (
        bool(len(sides))
        and float(np.median(sides[:, 1] / sides[:, 0])) < _SIDEWAYS_RATIO
    )


def _boxes_fit(boxes: Coordinates, size_wh: tuple[int, int]) -> bool:
    limits = np.array([*size_wh]) + _FIT_TOLERANCE_PX
    return bool((boxes[:, 2:] <= limits).all())


def _add_size_issue(
    row: ImageAnnotations, size: ImageSize, frame: str, issues: Issues, *, stored: bool
) -> None:
    """Add a note or an error about the size of an image."""
    if stored:
        note = "boxes refer to the image before its EXIF rotation; rotated with it"
        issues.add(row.image, note, is_error=False)
    elif size.is_rotated and (frame or row.is_normalized):
        note = "rotated by EXIF; boxes are assumed to refer to the upright image"
        issues.add(row.image, note, is_error=False)
    elif row.size_wh in ((0, 0), size.upright_wh):
        return
    elif row.size_wh == size.upright_wh[::-1]:
        note = "the labels swap width and height; boxes are not changed"
        issues.add(row.image, note, is_error=False)
    else:
        (width, height), (listed_width, listed_height) = size.upright_wh, row.size_wh
        issues.add(
            f"{row.image}: {width} x {height}, annotated as "
            f"{listed_width} x {listed_height}",
            "size differs from the labels, so boxes may be wrong; use the images that "
            "were labelled or, if the boxes fit, remove the size from the labels",
            outcome="",
        )


def _rotate_boxes(boxes: Coordinates, size: ImageSize) -> Coordinates:
    """Convert boxes of the stored image to the upright one (Exif 2.32, tag 274)."""
    width, height = size.stored_wh
    x1, y1, x2, y2 = boxes.T
    flips = {2: (1, 0), 3: (1, 1), 4: (0, 1), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
    flip_x, flip_y = flips.get(size.orientation, (0, 0))
    if flip_x:
        x1, x2 = width - x2, width - x1
    if flip_y:
        y1, y2 = height - y2, height - y1
    return np.stack((y1, x1, y2, x2) if size.is_rotated else (x1, y1, x2, y2), axis=1)


def _clip_boxes(
    boxes: Boxes, size_wh: tuple[int, int], row: ImageAnnotations, issues: Issues
) -> PixelBoxes:
    """Clip boxes to the image and drop the empty ones."""
    clipped = clip_boxes(boxes, *size_wh)
    # This comparison also rejects NaN.
    kept = sizes_px(clipped) > 0
    is_clipped = kept & ~(np.abs(boxes - clipped) <= _CLIP_TOLERANCE_PX).all(axis=1)
    location = (
        row.image
        if row.label_file in ("", row.image)
        else f"{row.label_file}: {row.image}"
    )
    for _ in range(int((~kept).sum())):
        issues.add(location, "empty or outside the image", "box")
    for _ in range(int(is_clipped.sum())):
        note = "partly outside the image; clipped to its border"
        issues.add(location, note, "box", is_error=False)
    return PixelBoxes(clipped[kept], kept)
