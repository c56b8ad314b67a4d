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

from maskdet.boxes import clip_boxes, intersection_areas, scale_boxes
from maskdet.training.onepass.scenes import NO_LABEL, TrainingImage
from maskdet.types import Image

Rng = np.random.Generator

_FACE_CONTEXT: Final = 1.7
"""What is laid is so many times the box of a face: its hair, ears and collar too."""

_PASTED_FACE_PX: Final = (14.0, 160.0)
"""Width of a face that is laid into a picture, log-uniformly."""

_MAX_FACE_FRACTION: Final = 0.45
"""Most that a face takes of the picture's shorter side."""

_MAX_UPSCALE: Final = 1.3
_BORDER_FRACTIONS: Final = (0.02, 0.1)
"""Width of the soft border, as a share of what is laid."""

_PASTE_TRIES: Final = 6


def paste_face(
    target: TrainingImage, donor: TrainingImage, face: int, rng: Rng
) -> TrainingImage:
    """Return the picture with a face of another, or as it was if that does not fit.

    Args:
        target: the picture; not changed.
        donor: has the face.
        face: its row there.
        rng: the only source of chance.
    """
    cutout = _cut_face(donor, face)
    if cutout is None or donor.labels[face] == NO_LABEL:
        return target
    patch, box_in_patch = cutout
    height, width = target.image.shape[:2]
    face_px = float(box_in_patch[2] - box_in_patch[0])
    max_px = min(
        _PASTED_FACE_PX[1],
        _MAX_UPSCALE * face_px,
        _MAX_FACE_FRACTION * min(height, width),
    )
    if max_px <= _PASTED_FACE_PX[0]:
        return target
    scale = (
        math.exp(rng.uniform(math.log(_PASTED_FACE_PX[0]), math.log(max_px))) / face_px
    )
    size_wh = (
        max(4, round(patch.shape[1] * scale)),
        max(4, round(patch.shape[0] * scale)),
    )
    corner = _find_free_corner(target, size_wh, rng)
    if corner is None:
        return target
    factors = np.tile(np.array(size_wh) / (patch.shape[1], patch.shape[0]), 2)
    box = (box_in_patch * factors + np.tile(corner, 2)).astype(np.float32)
    return dataclasses.replace(
        target,
        image=_blend_oval(target.image, patch, corner, size_wh, rng),
        boxes=np.concatenate([target.boxes, box[None]]),
        labels=np.append(target.labels, donor.labels[face]),
        teacher_probs=np.concatenate(
            [target.teacher_probs, donor.teacher_probs[face][None]]
        ),
    )


def cut_patch_around(
    negative: TrainingImage, box: NDArray[np.float32], rng: Rng
) -> Image | None:
    """Return a piece of the picture around a box, wider or closer by chance."""
    height, width = negative.image.shape[:2]
    expanded = scale_boxes(box[None], float(rng.uniform(0.9, 1.8)))
    x1, y1, x2, y2 = clip_boxes(expanded, width, height)[0].astype(int).tolist()
    if min(x2 - x1, y2 - y1) < 8:
        return None
    return negative.image[y1:y2, x1:x2]


def _cut_face(
    donor: TrainingImage, face: int
) -> tuple[Image, NDArray[np.float64]] | None:
    """Return a face with what is around it, and its box in that piece.

    None where another face is near, or where too much lies outside the picture.
    """
    height, width = donor.image.shape[:2]
    expanded = scale_boxes(donor.boxes[face : face + 1], _FACE_CONTEXT)
    others = np.delete(donor.boxes, face, axis=0)
    if intersection_areas(expanded, others).any():
        return None
    cut = clip_boxes(expanded, width, height)[0]
    x1, y1, x2, y2 = np.rint(cut).astype(int).tolist()
    expanded_wh = expanded[0, 2:] - expanded[0, :2]
    if ((cut[2:] - cut[:2]) < 0.85 * expanded_wh).any() or min(x2 - x1, y2 - y1) < 8:
        return None
    box = clip_boxes(donor.boxes[face : face + 1], width, height)[0]
    return donor.image[y1:y2, x1:x2], box.astype(np.float64) - (x1, y1, x1, y1)


def _find_free_corner(
    target: TrainingImage, size_wh: tuple[int, int], rng: Rng
) -> tuple[int, int] | None:
    """Return a corner where a piece covers no face, or None."""
    height, width = target.image.shape[:2]
    if size_wh[0] >= width or size_wh[1] >= height:
        return None
    for _ in range(_PASTE_TRIES):
        x = int(rng.integers(width - size_wh[0]))
        y = int(rng.integers(height - size_wh[1]))
        covered = np.array([[x, y, x + size_wh[0], y + size_wh[1]]], np.float32)
        if not intersection_areas(covered, target.boxes).any():
            return x, y
    return None


def _blend_oval(
    image: Image,
    patch: Image,
    corner: tuple[int, int],
    size_wh: tuple[int, int],
    rng: Rng,
) -> Image:
    """Return the picture with an oval of the piece in it, its border soft."""
    width, height = size_wh
    resampling = cv2.INTER_AREA if width < patch.shape[1] else cv2.INTER_LINEAR
    small = cv2.resize(patch, size_wh, interpolation=resampling)
    mask = np.zeros((height, width), np.float32)
    border_px = rng.uniform(*_BORDER_FRACTIONS) * min(size_wh)
    axes = (width - 2 * border_px, height - 2 * border_px)
    cv2.ellipse(mask, ((width / 2, height / 2), axes, 0), 1.0, cv2.FILLED)
    opacity = cv2.GaussianBlur(mask, (0, 0), max(border_px / 2, 0.3))[..., None]
    x, y = corner
    canvas = image.copy()
    background = canvas[y : y + height, x : x + width]
    mixed = background + opacity * (small.astype(np.float32) - background)
    canvas[y : y + height, x : x + width] = np.rint(mixed).astype(np.uint8)
    return canvas
