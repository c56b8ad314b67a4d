"""More training scenes: masks, worn well or wrongly, and other things on bare faces."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import iou_matrix, sizes_px
from maskdet.detectors import LandmarkFinder
from maskdet.synthetic import Mask, cover_mouth, wear_mask
from maskdet.training.drawn import HARD_NEGATIVES, MASKS
from maskdet.training.onepass.scenes import Place
from maskdet.training.samples import Progress
from maskdet.training.workers import map_parallel
from maskdet.types import Image, Label

_LEAST_PX: Final = 32
"""Shortest side of a face to draw on: below, its points are guesses."""

_SAME_FACE_IOU: Final = 0.5
_DRAWN_SHARE: Final = 0.7
"""How many of the bare faces of a picture are drawn on; the rest stay for contrast."""

Drawing = tuple[int, NDArray[np.float32]]
"""Row of a face in its picture, and its `(5, 2)` points."""


def draw_places(
    places: Sequence[Place],
    finder: LandmarkFinder,
    count: int,
    seed: int,
    progress: Progress = iter,
) -> list[Place]:
    """Return about `count` pictures with something drawn on their bare faces.

    Args:
        places: training pictures.
        finder: finds the points of faces.
        count: how many to make; fewer if few bare faces show their points.
        seed: fixes every choice.
        progress: something like `tqdm`.
    """
    rng = np.random.default_rng(seed)
    bare = [
        index
        for index, place in enumerate(places)
        if (_large(place) & (place.labels == Label.NO_MASK)).any()
    ]
    passes = -(-count // max(len(bare), 1))
    order = [index for _ in range(passes) for index in rng.permutation(bare)][:count]

    def draw(turn: int) -> Place | None:
        place = places[order[turn]]
        faces = _drawable(place, finder)
        chance = np.random.default_rng([seed, turn])
        return _drawn(place, faces, chance) if faces else None

    return [
        one
        for one in map_parallel(draw, range(len(order)), progress)
        if one is not None
    ]


def _large(place: Place) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = sizes_px(place.boxes) >= _LEAST_PX
    return result


def _drawable(place: Place, finder: LandmarkFinder) -> list[Drawing]:
    """Return the bare faces that the finder sees too, with their points."""
    faces, points = finder.landmarks(place.image)
    wanted = np.flatnonzero(_large(place) & (place.labels == Label.NO_MASK))
    if not len(faces):
        return []
    overlaps = iou_matrix(place.boxes[wanted], faces.boxes)
    return [
        (int(row), points[seen.argmax()])
        for row, seen in zip(wanted, overlaps, strict=True)
        if seen.max() >= _SAME_FACE_IOU
    ]


def _drawn(place: Place, faces: Sequence[Drawing], rng: np.random.Generator) -> Place:
    image, labels = place.image, place.labels.copy()
    taught = place.taught.copy()
    chosen = [face for face in faces if rng.random() < _DRAWN_SHARE] or [faces[0]]
    for row, points in chosen:
        image, label = _draw(image, place.boxes[row], points, rng)
        labels[row] = label
        taught[row] = np.nan  # nobody asked about the new face
    return dataclasses.replace(
        place, image=image, labels=labels, taught=taught, source="drawn"
    )


def _draw(
    image: Image,
    box: NDArray[np.float32],
    points: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[Image, Label]:
    shares = [share for _, share in MASKS.values()] + list(HARD_NEGATIVES.values())
    choice = int(rng.choice(len(shares), p=np.array(shares) / sum(shares)))
    if choice < len(MASKS):
        position, (label, _) = list(MASKS.items())[choice]
        mask = Mask.random(rng, position)
        return wear_mask(image, points, mask, box=box, rng=rng), label
    thing = list(HARD_NEGATIVES)[choice - len(MASKS)]
    return cover_mouth(image, points, thing, box=box, rng=rng), Label.NO_MASK
