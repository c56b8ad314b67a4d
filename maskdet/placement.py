"""Where to put the captions of faces, so that none hides another face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, areas, shared_areas

_CROWD = 5
"""From this many faces on, a wide caption no longer tells whose it is (by eye)."""

_MAX_FACE_WIDTHS = 2.5
"""How many times as wide as its face a caption in a crowd may be (by eye)."""

_MAX_FACE_SHARE = 0.25
"""How much of its own face's height a caption may take when it lies inside."""


@dataclass(frozen=True)
class Caption:
    """One way to write about a face.

    Attributes:
        text: what it says, ASCII.
        text_px: height of its capital letters, in pixels.
        size_wh: width and height of its plate, in pixels.
    """

    text: str
    text_px: int
    size_wh: tuple[int, int]


@dataclass(frozen=True)
class Placed:
    """The caption that row `face` gets, and the pixels of its plate.

    Attributes:
        face: row of the face.
        caption: what is written.
        box: `x1, y1, x2, y2` in pixels, inside the picture.
    """

    face: int
    caption: Caption
    box: tuple[int, int, int, int]


def place(
    boxes: Boxes,
    captions: Sequence[Sequence[Caption]],
    *,
    image_wh: tuple[int, int],
) -> list[Placed]:
    """Choose for each face which caption it gets, and where.

    Large faces choose first. Each tries its captions in order, around the face and
    then inside it, and takes the first place that lies in the picture and touches
    neither another face nor a placed plate. A face without such a place gets no
    caption, unless it is large enough to hold one: then the place that covers least
    of the other faces is taken.

    Args:
        boxes: `(n, 4)` the faces as drawn, in pixels, inside the picture.
        captions: the choices of each face, best first; may be empty.
        image_wh: width and height of the picture.

    Returns:
        At most one caption a face, in the order in which they were placed.
    """
    placed: list[Placed] = []
    for face in np.argsort(-areas(boxes), kind="stable"):
        plates = np.array([one.box for one in placed], np.float32).reshape(-1, 4)
        choices = list(_choices(boxes[face], captions[face], len(boxes), image_wh))
        spots = np.array([spot for _, spot, _ in choices], np.float32).reshape(-1, 4)
        covered = shared_areas(spots, np.concatenate([boxes, plates]))
        covered[:, face] = 0
        on_faces = covered[:, : len(boxes)].sum(axis=1)
        on_plates = covered[:, len(boxes) :].sum(axis=1)
        holds = any(inside for _, _, inside in choices)
        chosen = _best(on_plates, on_faces, may_cover=holds)
        if chosen is not None:
            caption, spot, _ = choices[chosen]
            placed.append(Placed(int(face), caption, spot))
    return placed


def _best(
    on_plates: NDArray[np.float32], on_faces: NDArray[np.float32], *, may_cover: bool
) -> int | None:
    """Return the first free choice, else the least bad one, else None."""
    open_choices = np.flatnonzero(on_plates == 0)
    if not len(open_choices):
        return None
    best = int(open_choices[on_faces[open_choices].argmin()])
    return best if may_cover or on_faces[best] == 0 else None


def _choices(
    box: NDArray[np.float32],
    captions: Sequence[Caption],
    n: int,
    image_wh: tuple[int, int],
) -> Iterator[tuple[Caption, tuple[int, int, int, int], bool]]:
    """Yield caption, plate and whether it lies inside its face, best first."""
    x1, y1, x2, y2 = (int(value) for value in box)
    width, height = image_wh
    for caption in captions:
        w, h = caption.size_wh
        if w > width or (n >= _CROWD and w > _MAX_FACE_WIDTHS * (x2 - x1)):
            continue
        corners = [(x1, y1 - h), (x2 - w, y1 - h), (x1, y2), (x2 - w, y2)]
        n_around = len(corners)
        if w <= x2 - x1 and h <= _MAX_FACE_SHARE * (y2 - y1):
            corners += [(x1, y1), (x1, y2 - h)]
        for place_no, (x, y) in enumerate(corners):
            if 0 <= y <= height - h:
                x = min(max(x, 0), width - w)
                yield caption, (x, y, x + w, y + h), place_no >= n_around
