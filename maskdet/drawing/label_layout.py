"""Place the captions of faces so that they do not cover other faces."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskdet.boxes import Boxes, box_areas, intersection_areas

_MIN_CROWD_FACES = 5
"""Number of faces from which the width of captions is limited, so that it stays clear
which face they belong to (by eye)."""

_MAX_WIDTH_RATIO = 2.5
"""Maximum width of a caption in a crowd, in widths of its face (by eye)."""

_MAX_HEIGHT_RATIO = 0.25
"""Maximum height of a caption inside its face, in heights of the face."""


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
    candidates = [
        candidate
        for face in range(len(boxes))
        for candidate in _list_candidates(face, boxes, captions[face], image_wh)
    ]
    candidate_boxes = np.array(
        [candidate.box for candidate in candidates], np.float32
    ).reshape(-1, 4)
    faces = np.array([candidate.face for candidate in candidates], np.int64)
    overlap_areas = intersection_areas(candidate_boxes, boxes)
    overlap_areas[np.arange(len(faces)), faces] = 0
    options: list[list[tuple[PlacedCaption, float]]] = [[] for _ in boxes]
    for candidate, on_faces in zip(
        candidates, overlap_areas.sum(axis=1).tolist(), strict=True
    ):
        options[candidate.face].append((candidate, on_faces))
    for face in np.argsort(-box_areas(boxes), kind="stable").tolist():
        chosen = _choose_candidate(options[face], placed)
        if chosen is not None:
            placed.append(chosen)
    return placed


def _choose_candidate(
    options: Sequence[tuple[PlacedCaption, float]], placed: Sequence[PlacedCaption]
) -> PlacedCaption | None:
    """Return the first candidate without overlap, else the best one, if any.

    Args:
        options: the candidates of a face, and the areas of other faces they cover.
        placed: captions that must not be covered.
    """
    best: PlacedCaption | None = None
    least = math.inf
    for candidate, on_faces in options:
        if on_faces < least and not any(
            _overlaps(candidate.box, other.box) for other in placed
        ):
            best, least = candidate, on_faces
            if not least:
                break
    may_cover = any(candidate.is_inside for candidate, _ in options)
    return best if may_cover or not least else None


def _overlaps(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
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
