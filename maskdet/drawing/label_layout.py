"""Place the captions of faces so that they do not cover other faces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from maskdet.boxes import Boxes, box_areas

_MIN_CROWD_FACES = 5
"""Number of faces from which the width of captions is limited, so that it stays clear
which face they belong to (by eye)."""

_MAX_WIDTH_RATIO = 2.5
"""Maximum width of a caption in a crowd, in widths of its face (by eye)."""

_MAX_HEIGHT_RATIO = 0.25
"""Maximum height of a caption inside its face, in heights of the face."""


_Corners: TypeAlias = Sequence[float]
"""`x1, y1, x2, y2` in pixels; scalars, as arrays are slow for a few boxes."""


@dataclass(frozen=True)
class Caption:
    """One possible caption of a face.

    Attributes:
        text: the text.
        text_px: height of its capital letters, in pixels.
        size_wh: width and height of its plate, in pixels.
        prefix: smaller text before it, such as a track ID.
    """

    text: str
    text_px: int
    size_wh: tuple[int, int]
    prefix: str = ""


class PlacedCaption(NamedTuple):
    """A caption with a position.

    Attributes:
        face: row of the face.
        caption: one of its captions.
        box: its plate, `x1, y1, x2, y2` in pixels, inside the image.
        is_inside: whether it is inside the face.
    """

    face: int
    caption: Caption
    box: tuple[int, int, int, int]
    is_inside: bool


def place_captions(
    boxes: Boxes,
    captions: Sequence[Sequence[Caption]],
    *,
    image_wh: tuple[int, int],
) -> list[PlacedCaption]:
    """Choose a caption and its position for each face, large faces first.

    The captions of a face are tried in order, around the face and then inside it. The
    first position inside the image that does not touch another face or a placed plate
    is used. If there is none, the face gets no caption, unless it is large enough to
    contain one: then the position that covers least of other faces is used.

    Args:
        boxes: `(n, 4)` the faces as drawn, in pixels, inside the image.
        captions: the possible captions of each face, best first; may be empty.
        image_wh: width and height of the image.

    Returns:
        At most one caption per face, in the order of placement.
    """
    placed: list[PlacedCaption] = []
    corners: list[_Corners] = boxes.tolist()
    for face in np.argsort(-box_areas(boxes), kind="stable").tolist():
        x1, y1, x2, y2 = corners[face]
        sizes = [caption.size_wh for caption in captions[face]]
        w, h = (max(lengths) for lengths in zip((0, 0), *sizes, strict=True))
        # Plates start at whole pixels.
        around = (x1 - w - 1, y1 - h - 1, x2 + w + 1, y2 + h + 1)
        others = corners[:face] + corners[face + 1 :]
        chosen = _choose_candidate(
            _list_candidates(face, boxes, captions[face], image_wh),
            [other for other in others if _overlaps(around, other)],
            [other for other in placed if _overlaps(around, other.box)],
        )
        if chosen is not None:
            placed.append(chosen)
    return placed


def _choose_candidate(
    candidates: Iterable[PlacedCaption],
    others: Sequence[_Corners],
    placed: Sequence[PlacedCaption],
) -> PlacedCaption | None:
    """Return the first candidate without overlap, else the best one, if any.

    Args:
        candidates: those of a face, best first. Most faces take one of the first, so
            they are made one by one.
        others: the faces around it.
        placed: captions around it, which must not be covered.
    """
    best: PlacedCaption | None = None
    least = math.inf
    may_cover = False
    for candidate in candidates:
        may_cover |= candidate.is_inside
        covered_px2 = 0.0
        for other in others:
            if _overlaps(candidate.box, other):
                covered_px2 += _get_overlap_area(candidate.box, other)
                if covered_px2 >= least:
                    break
        if covered_px2 < least and not any(
            _overlaps(candidate.box, other.box) for other in placed
        ):
            best, least = candidate, covered_px2
            if not least:
                return best
    return best if may_cover else None


def _get_overlap_area(a: _Corners, b: _Corners) -> float:
    """Return the area in square pixels that two boxes have in common; they overlap."""
    return (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))


def _overlaps(a: _Corners, b: _Corners) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _list_candidates(
    face: int,
    boxes: Boxes,
    captions: Sequence[Caption],
    image_wh: tuple[int, int],
) -> Iterator[PlacedCaption]:
    """Yield the possible captions and positions of a face, best first."""
    x1, y1, x2, y2 = (int(value) for value in boxes[face])
    width, height = image_wh
    for caption in captions:
        w, h = caption.size_wh
        if w > width or (
            len(boxes) >= _MIN_CROWD_FACES and w > _MAX_WIDTH_RATIO * (x2 - x1)
        ):
            continue
        corners = [(x1, y1 - h), (x2 - w, y1 - h), (x1, y2), (x2 - w, y2)]
        n_around = len(corners)
        if w <= x2 - x1 and h <= _MAX_HEIGHT_RATIO * (y2 - y1):
            corners += [(x1, y1), (x1, y2 - h)]
        for corner_index, (x, y) in enumerate(corners):
            if 0 <= y <= height - h:
                x = min(max(x, 0), width - w)
                plate = (x, y, x + w, y + h)
                yield PlacedCaption(face, caption, plate, corner_index >= n_around)
