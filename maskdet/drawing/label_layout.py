"""Place the captions of faces so that they do not cover other faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class PlacedCaption:
    """A caption with its position.

    Attributes:
        face: row of the face.
        caption: the chosen caption.
        box: its plate, `x1, y1, x2, y2` in pixels, inside the image.
    """

    face: int
    caption: Caption
    box: tuple[int, int, int, int]


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
    for face in np.argsort(-box_areas(boxes), kind="stable"):
        plates = np.array([other.box for other in placed], np.float32).reshape(-1, 4)
        candidates = list(
            _list_candidates(boxes[face], captions[face], len(boxes), image_wh)
        )
        candidate_boxes = np.array(
            [plate_box for _, plate_box, _ in candidates], np.float32
        ).reshape(-1, 4)
        overlap_areas = intersection_areas(
            candidate_boxes, np.concatenate([boxes, plates])
        )
        overlap_areas[:, face] = 0
        on_faces = overlap_areas[:, : len(boxes)].sum(axis=1)
        on_plates = overlap_areas[:, len(boxes) :].sum(axis=1)
        fits_inside = any(inside for _, _, inside in candidates)
        best_index = _choose_candidate(on_plates, on_faces, may_cover=fits_inside)
        if best_index is not None:
            caption, plate_box, _ = candidates[best_index]
            placed.append(PlacedCaption(int(face), caption, plate_box))
    return placed


def _choose_candidate(
    on_plates: NDArray[np.float32], on_faces: NDArray[np.float32], *, may_cover: bool
) -> int | None:
    """Return the first free candidate, else the one that covers least, else None."""
    free_indices = np.flatnonzero(on_plates == 0)
    if not len(free_indices):
        return None
    best = int(free_indices[on_faces[free_indices].argmin()])
    return best if may_cover or on_faces[best] == 0 else None


def _list_candidates(
    box: NDArray[np.float32],
    captions: Sequence[Caption],
    n_faces: int,
    image_wh: tuple[int, int],
) -> Iterator[tuple[Caption, tuple[int, int, int, int], bool]]:
    """Yield caption, plate box, and whether it is inside its face, best first."""
    x1, y1, x2, y2 = (int(value) for value in box)
    width, height = image_wh
    for caption in captions:
        w, h = caption.size_wh
        if w > width or (
            n_faces >= _MIN_CROWD_FACES and w > _MAX_WIDTH_RATIO * (x2 - x1)
        ):
            continue
        corners = [(x1, y1 - h), (x2 - w, y1 - h), (x1, y2), (x2 - w, y2)]
        n_around = len(corners)
        if w <= x2 - x1 and h <= _MAX_HEIGHT_RATIO * (y2 - y1):
            corners += [(x1, y1), (x1, y2 - h)]
        for corner_index, (x, y) in enumerate(corners):
            if 0 <= y <= height - h:
                x = min(max(x, 0), width - w)
                yield caption, (x, y, x + w, y + h), corner_index >= n_around
