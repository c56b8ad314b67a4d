"""More training scenes: masks, worn well or wrongly, and other things on bare faces."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import iou_matrix, sizes_px
from maskdet.detectors import LandmarkDetector
from maskdet.synthetic import Mask, render_mask, render_occluder
from maskdet.training.drawn import DRAWN_MASKS, HARD_NEGATIVES
from maskdet.training.onepass.scenes import TrainingImage
from maskdet.training.samples import ProgressWrapper
from maskdet.training.workers import map_parallel
from maskdet.types import Image, Label

_MIN_DRAWABLE_PX: Final = 32
"""Shortest side of a face to draw on: below, its points are guesses."""

_SAME_FACE_IOU: Final = 0.5
_DRAWN_FRACTION: Final = 0.7
"""How many of the bare faces of a picture are drawn on; the rest stay for contrast."""

DrawableFace = tuple[int, NDArray[np.float32]]
"""Row of a face in its picture, and its `(5, 2)` points."""


def draw_training_images(
    images: Sequence[TrainingImage],
    detector: LandmarkDetector,
    count: int,
    seed: int,
    progress: ProgressWrapper = iter,
) -> list[TrainingImage]:
    """Return about `count` pictures with something drawn on their bare faces.

    Args:
        images: training pictures.
        detector: finds the points of faces.
        count: how many to make; fewer if few bare faces show their points.
        seed: fixes every choice.
        progress: something like `tqdm`.
    """
    rng = np.random.default_rng(seed)
    candidates = [
        index
        for index, training_image in enumerate(images)
        if (
            _is_drawable_size(training_image) & (training_image.labels == Label.NO_MASK)
        ).any()
    ]
    passes = -(-count // max(len(candidates), 1))
    order = [index for _ in range(passes) for index in rng.permutation(candidates)][
        :count
    ]

    def draw(number: int) -> TrainingImage | None:
        training_image = images[order[number]]
        faces = _find_drawable_faces(training_image, detector)
        image_rng = np.random.default_rng([seed, number])
        return _draw_on_faces(training_image, faces, image_rng) if faces else None

    return [
        drawn_image
        for drawn_image in map_parallel(draw, range(len(order)), progress)
        if drawn_image is not None
    ]


def _is_drawable_size(image: TrainingImage) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = sizes_px(image.boxes) >= _MIN_DRAWABLE_PX
    return result


def _find_drawable_faces(
    image: TrainingImage, detector: LandmarkDetector
) -> list[DrawableFace]:
    """Return the bare faces that the finder sees too, with their points."""
    faces, landmarks = detector.detect_landmarks(image.image)
    candidates = np.flatnonzero(
        _is_drawable_size(image) & (image.labels == Label.NO_MASK)
    )
    if not len(faces):
        return []
    overlaps = iou_matrix(image.boxes[candidates], faces.boxes)
    return [
        (int(row), landmarks[ious.argmax()])
        for row, ious in zip(candidates, overlaps, strict=True)
        if ious.max() >= _SAME_FACE_IOU
    ]


def _draw_on_faces(
    training_image: TrainingImage,
    faces: Sequence[DrawableFace],
    rng: np.random.Generator,
) -> TrainingImage:
    image, labels = training_image.image, training_image.labels.copy()
    teacher_probs = training_image.teacher_probs.copy()
    selected = [face for face in faces if rng.random() < _DRAWN_FRACTION] or [faces[0]]
    for row, landmarks in selected:
        image, label = _draw_on_face(image, training_image.boxes[row], landmarks, rng)
        labels[row] = label
        teacher_probs[row] = np.nan  # nobody asked about the new face
    return dataclasses.replace(
        training_image,
        image=image,
        labels=labels,
        teacher_probs=teacher_probs,
        source="drawn",
    )


def _draw_on_face(
    image: Image,
    box: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[Image, Label]:
    fractions = [fraction for _, fraction in DRAWN_MASKS.values()] + list(
        HARD_NEGATIVES.values()
    )
    choice = int(rng.choice(len(fractions), p=np.array(fractions) / sum(fractions)))
    if choice < len(DRAWN_MASKS):
        position, (label, _) = list(DRAWN_MASKS.items())[choice]
        mask = Mask.random(rng, position)
        return render_mask(image, landmarks, mask, box=box, rng=rng), label
    occluder = list(HARD_NEGATIVES)[choice - len(DRAWN_MASKS)]
    return render_occluder(image, landmarks, occluder, box=box, rng=rng), Label.NO_MASK
