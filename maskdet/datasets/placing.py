"""Boxes of labels become boxes in pixels of the upright image, or an issue."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, sizes_px
from maskdet.datasets.archives import FileSource
from maskdet.datasets.issues import Issues
from maskdet.datasets.listing import Coordinates, ImageAnnotations
from maskdet.media import MAX_BYTES, read_image

_ORIENTATION: Final = 0x0112  # Exif 2.32, tag 274
_SWAPPED_ORIENTATIONS: Final = range(5, 9)  # values of it that swap width and height

_CLIP_TOLERANCE_PX: Final = 1.0
"""People draw boxes this far beyond an image's border without meaning anything."""

_FIT_TOLERANCE_PX: Final = 2.0
"""A box that sticks out this little still says in which frame it was drawn."""


_SIDEWAYS_RATIO: Final = 0.9
"""Height of a face's box for each pixel of its width, below which the face lies on its
side: upright, the medians of four public sets are 1.1 to 1.5."""


@dataclass(frozen=True)
class ImageSize:
    """How large an image is, upright, and how its EXIF data turn it for that.

    Attributes:
        width: in pixels of the upright image.
        height: in pixels of the upright image.
        orientation: 1 to 8 as in EXIF; 1 is upright as stored.
    """

    width: int
    height: int
    orientation: int = 1

    @property
    def upright_wh(self) -> tuple[int, int]:
        """Width and height as shown."""
        return self.width, self.height

    @property
    def stored_wh(self) -> tuple[int, int]:
        """Width and height of the pixels as they lie in the file."""
        return self.upright_wh[::-1] if self.is_rotated else self.upright_wh

    @property
    def is_rotated(self) -> bool:
        """Whether width and height are swapped to show it."""
        return self.orientation in _SWAPPED_ORIENTATIONS


@dataclass(frozen=True, eq=False)
class PixelBoxes:
    """The boxes of one image.

    Attributes:
        boxes: `(k, 4)` float32 in pixels of the upright image, cut at its borders.
        kept: `(n,)` which of the listed boxes these are.
    """

    boxes: Boxes
    kept: NDArray[np.bool_]


def read_image_size(files: FileSource, name: str) -> ImageSize | None:
    """Return the size of an image; of most, only the header is read."""
    from PIL import Image as Pillow

    path = files.local_path(name)
    try:
        source = path or io.BytesIO(files.read(name, MAX_BYTES))
        with Pillow.open(source, formats=["JPEG", "PNG", "WEBP"]) as image:
            size = ImageSize(*image.size, image.getexif().get(_ORIENTATION, 1))
    # Damaged headers make decoders raise nearly anything; all mean the same here.
    except Exception:
        return _decoded_size(files, name)
    return (
        ImageSize(*size.upright_wh[::-1], size.orientation) if size.is_rotated else size
    )


def _decoded_size(files: FileSource, name: str) -> ImageSize | None:
    """Return the size of an image of another format, which must be decoded for it."""
    try:
        height, width = read_image(files.read(name, MAX_BYTES)).shape[:2]
    except (ValueError, OSError):
        return None
    return ImageSize(width, height)


def convert_to_pixels(
    rows: Sequence[ImageAnnotations], files: FileSource, issues: Issues
) -> Iterator[PixelBoxes]:
    """Return the boxes of each row in pixels of its upright image.

    Pixels are those of the size that the labels tell, so the image must have it. A
    camera that was held on its side stores width and height swapped and notes how to
    turn the image; some tools draw on the upright image but tell the stored size,
    others draw on the stored one. Where boxes fit only one of the two, that counts,
    also for the other images of the set. Where nothing tells, faces that are wider than
    high were drawn on the stored image, all others on the upright one.

    Args:
        rows: with boxes.
        files: where the images are.
        issues: get sizes that differ, and boxes that are cut or lie outside.
    """
    sizes = [
        read_image_size(files, row.image) if len(row.boxes) else None for row in rows
    ]
    frames = [_detect_frame(row, size) for row, size in zip(rows, sizes, strict=True)]
    known_frames = {"stored", "upright"} & set(frames)
    all_stored = known_frames == {"stored"} or (
        not known_frames and _are_faces_sideways(rows, frames)
    )
    for row, size, frame in zip(rows, sizes, frames, strict=True):
        stored = frame == "stored" or (all_stored and frame in ("open", "follows"))
        image_size_used = size or (
            ImageSize(*row.size_wh) if all(row.size_wh) else None
        )
        if image_size_used is None or not len(row.boxes):
            # Whoever opens the image is told; it has no pixels to place a box in.
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
    """Return in which frame the boxes were drawn: `fits_upright`, `fits_stored` or `open`.

    `follows` where the size cannot tell, but the set may; empty where there is no
    question.
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
    """Return whether faces of which nothing else tells the frame lie on their sides."""
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
    """Note what a person should know of the size, and what is wrong with it."""
    if stored:
        note = "boxes were drawn before the EXIF turn of the image; turned with it"
        issues.add(row.image, note, is_error=False)
    elif size.is_rotated and (frame or row.is_normalized):
        note = "turned by EXIF; boxes are taken as drawn on the upright image"
        issues.add(row.image, note, is_error=False)
    elif row.size_wh in ((0, 0), size.upright_wh):
        return
    elif row.size_wh == size.upright_wh[::-1]:
        note = "the labels swap width and height; boxes are taken as they are"
        issues.add(row.image, note, is_error=False)
    else:
        (width, height), (listed_width, listed_height) = size.upright_wh, row.size_wh
        issues.add(
            f"{row.image}: {width} x {height}, told {listed_width} x {listed_height}",
            "another size than the labels say, so boxes may lie wrong; give the images "
            "that were labelled or, if the boxes fit, take the size out of the labels",
            outcome="",
        )


def _rotate_boxes(boxes: Coordinates, size: ImageSize) -> Coordinates:
    """Return boxes of the stored image in the upright one (Exif 2.32, tag 274)."""
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
    """Return the boxes cut at the borders, and which are left then."""
    clipped = clip_boxes(boxes, *size_wh)
    # Written so that a box which is not a number fails too.
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
        note = "partly outside the image; cut at its border"
        issues.add(location, note, "box", is_error=False)
    return PixelBoxes(clipped[kept], kept)
