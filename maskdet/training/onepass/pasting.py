"""Faces laid into pictures without any, and pieces of such pictures laid beside faces.

A network that never sees a lamp and a face in one picture may learn to tell the
pictures apart instead of the things.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import clip, expand, shared_areas
from maskdet.training.onepass.scenes import NO_LABEL, Place
from maskdet.types import Image

Rng = np.random.Generator

_AROUND: Final = 1.7
"""What is laid is so many times the box of a face: its hair, ears and collar too."""

_SIDES_PX: Final = (14.0, 160.0)
"""Width of a face that is laid into a picture, log-uniformly."""

_LARGEST: Final = 0.45
"""Most that a face takes of the picture's shorter side."""

_ENLARGED: Final = 1.3
_SOFT: Final = (0.02, 0.1)
"""Width of the soft border, as a share of what is laid."""

_TRIES: Final = 6


def with_face(place: Place, giver: Place, face: int, rng: Rng) -> Place:
    """Return the picture with a face of another, or as it was if that does not fit.

    Args:
        place: the picture; not changed.
        giver: has the face.
        face: its row there.
        rng: the only source of chance.
    """
    cut = _cut_out(giver, face)
    if cut is None or giver.labels[face] == NO_LABEL:
        return place
    piece, inside = cut
    height, width = place.image.shape[:2]
    face_px = float(inside[2] - inside[0])
    most = min(_SIDES_PX[1], _ENLARGED * face_px, _LARGEST * min(height, width))
    if most <= _SIDES_PX[0]:
        return place
    scale = math.exp(rng.uniform(math.log(_SIDES_PX[0]), math.log(most))) / face_px
    size_wh = (
        max(4, round(piece.shape[1] * scale)),
        max(4, round(piece.shape[0] * scale)),
    )
    corner = _free_place(place, size_wh, rng)
    if corner is None:
        return place
    factors = np.tile(np.array(size_wh) / (piece.shape[1], piece.shape[0]), 2)
    box = (inside * factors + np.tile(corner, 2)).astype(np.float32)
    return dataclasses.replace(
        place,
        image=_laid(place.image, piece, corner, size_wh, rng),
        boxes=np.concatenate([place.boxes, box[None]]),
        labels=np.append(place.labels, giver.labels[face]),
        taught=np.concatenate([place.taught, giver.taught[face][None]]),
    )


def scrap_of(place: Place, box: NDArray[np.float32], rng: Rng) -> Image | None:
    """Return a piece of the picture around a box, wider or closer by chance."""
    height, width = place.image.shape[:2]
    around = expand(box[None], float(rng.uniform(0.9, 1.8)))
    x1, y1, x2, y2 = clip(around, width, height)[0].astype(int).tolist()
    if min(x2 - x1, y2 - y1) < 8:
        return None
    return place.image[y1:y2, x1:x2]


def _cut_out(giver: Place, face: int) -> tuple[Image, NDArray[np.float64]] | None:
    """Return a face with what is around it, and its box in that piece.

    None where another face is near, or where too much lies outside the picture.
    """
    height, width = giver.image.shape[:2]
    around = expand(giver.boxes[face : face + 1], _AROUND)
    others = np.delete(giver.boxes, face, axis=0)
    if shared_areas(around, others).any():
        return None
    cut = clip(around, width, height)[0]
    x1, y1, x2, y2 = np.rint(cut).astype(int).tolist()
    wanted = around[0, 2:] - around[0, :2]
    if ((cut[2:] - cut[:2]) < 0.85 * wanted).any() or min(x2 - x1, y2 - y1) < 8:
        return None
    box = clip(giver.boxes[face : face + 1], width, height)[0]
    return giver.image[y1:y2, x1:x2], box.astype(np.float64) - (x1, y1, x1, y1)


def _free_place(
    place: Place, size_wh: tuple[int, int], rng: Rng
) -> tuple[int, int] | None:
    """Return a corner where a piece covers no face, or None."""
    height, width = place.image.shape[:2]
    if size_wh[0] >= width or size_wh[1] >= height:
        return None
    for _ in range(_TRIES):
        x = int(rng.integers(width - size_wh[0]))
        y = int(rng.integers(height - size_wh[1]))
        covered = np.array([[x, y, x + size_wh[0], y + size_wh[1]]], np.float32)
        if not shared_areas(covered, place.boxes).any():
            return x, y
    return None


def _laid(
    image: Image,
    piece: Image,
    corner: tuple[int, int],
    size_wh: tuple[int, int],
    rng: Rng,
) -> Image:
    """Return the picture with an oval of the piece in it, its border soft."""
    width, height = size_wh
    how = cv2.INTER_AREA if width < piece.shape[1] else cv2.INTER_LINEAR
    small = cv2.resize(piece, size_wh, interpolation=how)
    mark = np.zeros((height, width), np.float32)
    soft = rng.uniform(*_SOFT) * min(size_wh)
    axes = (width - 2 * soft, height - 2 * soft)
    cv2.ellipse(mark, ((width / 2, height / 2), axes, 0), 1.0, cv2.FILLED)
    share = cv2.GaussianBlur(mark, (0, 0), max(soft / 2, 0.3))[..., None]
    x, y = corner
    canvas = image.copy()
    under = canvas[y : y + height, x : x + width]
    mixed = under + share * (small.astype(np.float32) - under)
    canvas[y : y + height, x : x + width] = np.rint(mixed).astype(np.uint8)
    return canvas
