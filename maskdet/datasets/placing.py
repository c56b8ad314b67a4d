"""Boxes of labels become boxes in pixels of the upright image, or an issue."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip, sizes_px
from maskdet.datasets.archives import Files
from maskdet.datasets.issues import Issues
from maskdet.datasets.listing import Coordinates, Listed
from maskdet.media import MAX_BYTES, read_image

_ORIENTATION: Final = 0x0112  # Exif 2.32, tag 274
_TURNED: Final = range(5, 9)  # values of it that swap width and height

_CUT_PX: Final = 1.0
"""People draw boxes this far beyond an image's border without meaning anything."""

_FITS_PX: Final = 2.0
"""A box that sticks out this little still says in which frame it was drawn."""


_LYING: Final = 0.9
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
    def upright(self) -> tuple[int, int]:
        """Width and height as shown."""
        return self.width, self.height

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height of the pixels as they lie in the file."""
        return self.upright[::-1] if self.turned else self.upright

    @property
    def turned(self) -> bool:
        """Whether width and height are swapped to show it."""
        return self.orientation in _TURNED


@dataclass(frozen=True, eq=False)
class Placed:
    """The boxes of one image.

    Attributes:
        boxes: `(k, 4)` float32 in pixels of the upright image, cut at its borders.
        kept: `(n,)` which of the listed boxes these are.
    """

    boxes: Boxes
    kept: NDArray[np.bool_]


def image_size(files: Files, name: str) -> ImageSize | None:
    """Return the size of an image; of most, only the header is read."""
    from PIL import Image as Pillow

    path = files.path(name)
    try:
        source = path or io.BytesIO(files.read(name, MAX_BYTES))
        with Pillow.open(source, formats=["JPEG", "PNG", "WEBP"]) as image:
            size = ImageSize(*image.size, image.getexif().get(_ORIENTATION, 1))
    # Damaged headers make decoders raise nearly anything; all mean the same here.
    except Exception:
        return _decoded_size(files, name)
    return ImageSize(*size.upright[::-1], size.orientation) if size.turned else size


def _decoded_size(files: Files, name: str) -> ImageSize | None:
    """Return the size of an image of another format, which must be decoded for it."""
    try:
        height, width = read_image(files.read(name, MAX_BYTES)).shape[:2]
    except (ValueError, OSError):
        return None
    return ImageSize(width, height)


def place(rows: Sequence[Listed], files: Files, issues: Issues) -> Iterator[Placed]:
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
    sizes = [image_size(files, row.image) if len(row.boxes) else None for row in rows]
    votes = [_vote(row, size) for row, size in zip(rows, sizes, strict=True)]
    decided = {"stored", "upright"} & set(votes)
    all_stored = decided == {"stored"} or (not decided and _lie(rows, votes))
    for row, size, vote in zip(rows, sizes, votes, strict=True):
        stored = vote == "stored" or (all_stored and vote in ("open", "follows"))
        told = size or (ImageSize(*row.size_wh) if all(row.size_wh) else None)
        if told is None or not len(row.boxes):
            # Whoever opens the image is told; it has no pixels to place a box in.
            yield Placed(np.zeros((0, 4), np.float32), np.zeros(len(row.boxes), bool))
            continue
        if size is not None:
            _tell(row, size, vote, issues, stored=stored)
        with np.errstate(over="ignore", invalid="ignore"):
            boxes = row.boxes * ([*told.upright] * 2) if row.fractions else row.boxes
            boxes = _upright(boxes, told) if stored else boxes
            yield _inside(boxes.astype(np.float32), told.upright, row, issues)


def _vote(row: Listed, size: ImageSize | None) -> str:
    """Return in which frame the boxes were drawn: `upright`, `stored` or `open`.

    `follows` where the size cannot tell, but the set may; empty where there is no
    question.
    """
    if size is None or size.orientation == 1 or row.fractions:
        return ""
    if not size.turned or size.stored == size.upright:
        return "follows" if row.size_wh in ((0, 0), size.upright) else ""
    if row.size_wh not in ((0, 0), size.stored):
        return ""
    upright, stored = (_fit(row.boxes, wh) for wh in (size.upright, size.stored))
    if upright == stored:
        return "open"
    return "upright" if upright else "stored"


def _lie(rows: Sequence[Listed], votes: Sequence[str]) -> bool:
    """Return whether faces of which nothing else tells the frame lie on their sides."""
    boxes = [row.boxes for row, vote in zip(rows, votes, strict=True) if vote == "open"]
    if not boxes:
        return False
    sides = np.concatenate(boxes)[:, 2:] - np.concatenate(boxes)[:, :2]
    sides = sides[(sides > 0).all(axis=1)]
    return bool(len(sides)) and float(np.median(sides[:, 1] / sides[:, 0])) < _LYING


def _fit(boxes: Coordinates, size_wh: tuple[int, int]) -> bool:
    limits = np.array([*size_wh]) + _FITS_PX
    return bool((boxes[:, 2:] <= limits).all())


def _tell(
    row: Listed, size: ImageSize, vote: str, issues: Issues, *, stored: bool
) -> None:
    """Note what a person should know of the size, and what is wrong with it."""
    if stored:
        how = "boxes were drawn before the EXIF turn of the image; turned with it"
        issues.add(row.image, how, stops=False)
    elif size.turned and (vote or row.fractions):
        how = "turned by EXIF; boxes are taken as drawn on the upright image"
        issues.add(row.image, how, stops=False)
    elif row.size_wh in ((0, 0), size.upright):
        return
    elif row.size_wh == size.upright[::-1]:
        how = "the labels swap width and height; boxes are taken as they are"
        issues.add(row.image, how, stops=False)
    else:
        (width, height), (told_width, told_height) = size.upright, row.size_wh
        issues.add(
            f"{row.image}: {width} x {height}, told {told_width} x {told_height}",
            "another size than the labels say, so boxes may lie wrong; give the images "
            "that were labelled or, if the boxes fit, take the size out of the labels",
            outcome="",
        )


def _upright(boxes: Coordinates, size: ImageSize) -> Coordinates:
    """Return boxes of the stored image in the upright one (Exif 2.32, tag 274)."""
    width, height = size.stored
    x1, y1, x2, y2 = boxes.T
    mirrored = {2: (1, 0), 3: (1, 1), 4: (0, 1), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
    across, down = mirrored.get(size.orientation, (0, 0))
    if across:
        x1, x2 = width - x2, width - x1
    if down:
        y1, y2 = height - y2, height - y1
    return np.stack((y1, x1, y2, x2) if size.turned else (x1, y1, x2, y2), axis=1)


def _inside(
    boxes: Boxes, size_wh: tuple[int, int], row: Listed, issues: Issues
) -> Placed:
    """Return the boxes cut at the borders, and which are left then."""
    inside = clip(boxes, *size_wh)
    # Written so that a box which is not a number fails too.
    kept = sizes_px(inside) > 0
    cut = kept & ~(np.abs(boxes - inside) <= _CUT_PX).all(axis=1)
    place = row.image if row.labels in ("", row.image) else f"{row.labels}: {row.image}"
    for _ in range(int((~kept).sum())):
        issues.add(place, "empty or outside the image", "box")
    for _ in range(int(cut.sum())):
        note = "partly outside the image; cut at its border"
        issues.add(place, note, "box", stops=False)
    return Placed(inside[kept], kept)
