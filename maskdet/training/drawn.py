"""Crops drawn for training only: more masks, wrongly worn ones, and hard negatives.

Bare faces whose landmarks are found get a mask of a random kind, worn well or wrongly,
or something before the mouth that is no mask. Validation and test never see them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskdet.detectors import LandmarkDetector
from maskdet.synthetic import Mask, MaskPosition, Occluder, render_mask, render_occluder
from maskdet.training.augment import PACKED_CONTEXT
from maskdet.training.samples import PackedCrops, ProgressWrapper
from maskdet.training.workers import map_parallel
from maskdet.types import Image, Label

DRAWN_MASKS: Final[Mapping[MaskPosition, tuple[Label, float]]] = {
    "worn": (Label.MASK, 0.20),
    "below_nose": (Label.INCORRECT, 0.22),
    "chin": (Label.INCORRECT, 0.13),
}
"""How a mask is drawn: what it is then, and its share of all that is drawn."""

HARD_NEGATIVES: Final[Mapping[Occluder, float]] = {
    "hand": 0.14,
    "scarf": 0.08,
    "beard": 0.09,
    "cup": 0.09,
    "phone": 0.06,
    "headscarf": 0.14,
}
"""What else is drawn, with its share. Hands lead: people report them most."""

# A box this sure, in the middle and of the right size, is the labelled face.
_MIN_CENTRE_FACE_SCORE: Final = 0.7
_MIN_FACE_RATIO: Final = 0.6
_MAX_FACE_RATIO: Final = 1.6
_MAX_CENTRE_OFFSET: Final = 0.35


_FaceLandmarks: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Box and landmarks."""

_DrawnCrop: TypeAlias = tuple[Image, Label, str]
"""The face with something drawn on it, its label and what was drawn."""


def draw_synthetic_crops(
    packed_crops: PackedCrops,
    detector: LandmarkDetector,
    count: int,
    seed: int,
    progress: ProgressWrapper = iter,
) -> PackedCrops:
    """Return about `count` crops drawn on the bare ones among `packed_crops`.

    Args:
        packed_crops: packed crops; only `no_mask` ones are drawn on.
        detector: finds the landmarks.
        count: how many to draw; fewer if few faces show their landmarks.
        seed: fixes every choice.
        progress: something like `tqdm`.

    Returns:
        Crops with `drawn` set, their source named `drawn-` and what was drawn. None
        if there is no bare face to draw on.
    """
    no_mask_rows = np.flatnonzero(packed_crops.labels == Label.NO_MASK)
    order = _shuffle_passes(no_mask_rows, count, np.random.default_rng(seed))

    def draw(index: int) -> _DrawnCrop | None:
        image = packed_crops.images[order[index]]
        face = _detect_centre_face(detector, image)
        rng = np.random.default_rng([seed, index])
        return None if face is None else _draw_on_crop(image, *face, rng)

    results = map_parallel(draw, range(len(order)), progress)
    drawn = list(itertools.islice(filter(None, results), count))
    return _pack_drawn(drawn, packed_crops.images.shape[1:])


def _pack_drawn(drawn: list[_DrawnCrop], side: tuple[int, ...]) -> PackedCrops:
    return PackedCrops(
        images=np.array([image for image, _, _ in drawn], np.uint8).reshape(-1, *side),
        labels=np.array([label for _, label, _ in drawn], np.int64),
        sources=np.array([f"drawn-{name}" for _, _, name in drawn], np.str_),
        whole=np.zeros(len(drawn), np.bool_),
        drawn=np.ones(len(drawn), np.bool_),
    )


def _shuffle_passes(
    no_mask_rows: NDArray[np.int64], count: int, rng: np.random.Generator
) -> list[int]:
    """Return one pass over the faces after the other, each in another order."""
    passes = -(-count // max(len(no_mask_rows), 1))
    rows = np.concatenate(
        [rng.permutation(no_mask_rows) for _ in range(passes)] or [no_mask_rows]
    )
    return [int(row) for row in rows]


def _detect_centre_face(
    detector: LandmarkDetector, image: Image
) -> _FaceLandmarks | None:
    """Return box and landmarks of the face that a packed crop was cut around."""
    faces, landmarks = detector.detect_landmarks(image)
    side = image.shape[0]
    expected_px = side / PACKED_CONTEXT
    sizes = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1)
    offsets = np.abs(faces.boxes.reshape(-1, 2, 2).mean(axis=1) - side / 2).max(axis=1)
    fits = (
        (faces.scores >= _MIN_CENTRE_FACE_SCORE)
        & (sizes > _MIN_FACE_RATIO * expected_px)
        & (sizes < _MAX_FACE_RATIO * expected_px)
        & (offsets < _MAX_CENTRE_OFFSET * expected_px)
    )
    if not fits.any():
        return None
    best = int(np.flatnonzero(fits)[0])
    return faces.boxes[best], landmarks[best]


def _draw_on_crop(
    image: Image,
    box: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    rng: np.random.Generator,
) -> _DrawnCrop:
    fractions = [fraction for _, fraction in DRAWN_MASKS.values()] + list(
        HARD_NEGATIVES.values()
    )
    choice = int(rng.choice(len(fractions), p=np.array(fractions) / sum(fractions)))
    if choice < len(DRAWN_MASKS):
        position, (label, _) = list(DRAWN_MASKS.items())[choice]
        mask = Mask.random(rng, position)
        return render_mask(image, landmarks, mask, box=box, rng=rng), label, position
    occluder = list(HARD_NEGATIVES)[choice - len(DRAWN_MASKS)]
    drawn = render_occluder(image, landmarks, occluder, box=box, rng=rng)
    return drawn, Label.NO_MASK, occluder
