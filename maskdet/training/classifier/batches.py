"""Batches of the classifier training.

`ClassifierSampler` samples crops balanced by class and origin (recipe `maskdet`);
`EpochIterator` passes over all crops (published recipes, with their augmentation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.training.classifier.augment import augment_crop
from maskdet.training.classifier.crops import (
    NO_FACE,
    UNDECIDABLE,
    Crops,
    PackedCrops,
    to_class_targets,
)
from maskdet.training.workers import TrainingBatch, prefetch
from maskdet.types import CLASSES, Image, Label, Rng

CLASS_FRACTIONS: Mapping[Label, float] = {
    Label.MASK: 0.42,
    Label.NO_MASK: 0.42,
    Label.INCORRECT: 0.16,
}
"""Fraction of each class in a batch. `incorrect` is rare in the data: a larger
fraction would repeat the few faces too often."""

ORIGIN_FRACTIONS: Mapping[Label, tuple[float, float, float]] = {
    Label.MASK: (0.55, 0.35, 0.10),
    Label.NO_MASK: (0.50, 0.25, 0.25),
    Label.INCORRECT: (0.65, 0.0, 0.35),
}
"""Fractions of a class from scenes, from images of one face, and from synthetic crops.
Synthetic `no_mask` crops are the hard negatives."""

NO_FACE_FRACTION = 0.25
"""Fraction of crops without a face, if the network has a `no_face` output."""

UNDECIDABLE_FRACTION = 0.12
"""Fraction of `UNDECIDABLE` faces of all faces, if there are any."""


def compute_crop_probabilities(samples: PackedCrops) -> NDArray[np.float64]:
    """Return the `(n,)` sampling probabilities that balance classes and origins.

    The fraction of an origin that a class lacks goes to the other origins.
    """
    probabilities = np.zeros(len(samples))
    kinds = (
        ~samples.whole & ~samples.drawn,
        samples.whole & ~samples.drawn,
        samples.drawn,
    )
    for label in CLASSES:
        rows = [kind & (samples.labels == label) for kind in kinds]
        fractions = [
            max(fraction, 1e-6) * in_kind.any()
            for fraction, in_kind in zip(ORIGIN_FRACTIONS[label], rows, strict=True)
        ]
        for fraction, in_kind in zip(fractions, rows, strict=True):
            if fraction:
                crop_probability = fraction / sum(fractions) / in_kind.sum()
                probabilities[in_kind] = CLASS_FRACTIONS[label] * crop_probability
    for other, fraction in (
        (UNDECIDABLE, UNDECIDABLE_FRACTION),
        (NO_FACE, NO_FACE_FRACTION),
    ):
        of_label = samples.labels == other
        if of_label.any():
            probabilities *= (1 - fraction) / probabilities.sum()
            probabilities[of_label] = fraction / of_label.sum()
    result: NDArray[np.float64] = probabilities / probabilities.sum()
    return result


def to_network_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert BGR crops `(n, s, s, 3)` to the network input, RGB float32."""
    return np.ascontiguousarray(images[..., ::-1], dtype=np.float32)


def _to_batch(
    images: Sequence[Image], labels: NDArray[np.int64], columns: int
) -> TrainingBatch:
    """Return BGR crops as a batch, RGB with the targets of their labels."""
    rgb = np.ascontiguousarray(np.stack(images)[..., ::-1])
    return TrainingBatch(rgb, to_class_targets(labels, columns))


@dataclass(frozen=True, eq=False)
class ClassifierSampler:
    """Random batches, reproducible for the same seed and epoch.

    Attributes:
        packed_crops: the training crops.
        size_px: input size of the network.
        batch_size: crops per step.
        seed: determines all random choices, with the epoch and the step.
        workers: processes that make the batches; 0 for a thread.
    """

    packed_crops: PackedCrops
    size_px: int
    batch_size: int
    seed: int
    workers: int = 0
    _probabilities: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute the sampling probabilities once."""
        object.__setattr__(
            self, "_probabilities", compute_crop_probabilities(self.packed_crops)
        )

    def make_batch(self, epoch: int, step: int) -> TrainingBatch:
        """Return the augmented crops of one step, RGB, with their targets.

        The columns of the targets are as in `CLASSES`, with a fourth for `NO_FACE`.
        """
        rng = np.random.default_rng([self.seed, epoch, step])
        crops = self.packed_crops
        rows = rng.choice(len(crops), self.batch_size, p=self._probabilities)
        images = [augment_crop(crops.images[row], self.size_px, rng) for row in rows]
        columns = len(CLASSES) + bool((crops.labels == NO_FACE).any())
        return _to_batch(images, crops.labels[rows], columns)

    def iter_batches(self, epoch: int, steps: int) -> Iterator[TrainingBatch]:
        """Yield the batches of one epoch."""
        return prefetch(partial(self.make_batch, epoch), steps, self.workers)


Augmentation = Callable[[Image, Rng], Image]
"""Returns a randomly changed copy of an image, of the same size."""


def augment_tutorial(image: Image, rng: Rng) -> Image:
    """Rotate, shift, zoom, shear and flip as the tutorial recipe does.

    As Keras' `ImageDataGenerator`: rotation up to 20 degrees, shift up to 20 % of the
    side, zoom up to 15 % (independently in x and y), shear up to 0.15 degrees, border
    replicated.
    """
    angle = math.radians(rng.uniform(-20, 20))
    dy, dx = rng.uniform(-0.2, 0.2, 2) * image.shape[:2]
    shear = math.radians(rng.uniform(-0.15, 0.15))
    zoom_y, zoom_x = rng.uniform(0.85, 1.15, 2)
    sheared = np.array([[1, -math.sin(shear)], [0, math.cos(shear)]])
    inverse = _rotation_matrix(angle) @ sheared @ np.diag([zoom_x, zoom_y])
    offset = _rotation_matrix(angle) @ np.array([dx, dy])
    augmented = _warp_inverse(image, inverse, offset, cv2.BORDER_REPLICATE)
    return augmented[:, ::-1] if rng.random() < 0.5 else augmented


def augment_flip_rotate(image: Image, rng: Rng) -> Image:
    """Flip and rotate as recipe `finetune` does: up to 72 degrees each way."""
    angle = rng.uniform(-0.2, 0.2) * 2 * math.pi
    augmented = _warp_inverse(
        image, _rotation_matrix(angle), np.zeros(2), cv2.BORDER_REFLECT
    )
    return augmented[:, ::-1] if rng.random() < 0.5 else augmented


def _rotation_matrix(angle: float) -> NDArray[np.float64]:
    return np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )


def _warp_inverse(
    image: Image, inverse: NDArray[np.float64], offset: NDArray[np.float64], border: int
) -> Image:
    """Warp so that pixel p (from the centre) is taken from `inverse` p + `offset`."""
    height, width = image.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([inverse, offset + middle - inverse @ middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        image, matrix, (width, height), flags=flags, borderMode=border
    )
    return np.asarray(warped, np.uint8)


AUGMENTATIONS: dict[str, Augmentation] = {
    "tutorial": augment_tutorial,
    "flip-turn": augment_flip_rotate,
}
"""Augmentation of a published recipe, by its name in `ClassifierRecipe.views`."""


@dataclass(frozen=True, eq=False)
class EpochIterator:
    """Passes over all crops in random order, with a new augmentation each time.

    Attributes:
        crops: in the input size of the network.
        augmentation: changes each crop.
        batch_size: crops per step; the remainder of a pass is skipped, different crops
            each time.
        seed: determines all random choices, with the epoch and the step.
        workers: processes that make the batches; 0 for a thread.
    """

    crops: Crops
    augmentation: Augmentation
    batch_size: int
    seed: int
    workers: int = 0

    @property
    def steps(self) -> int:
        """Batches per pass; at least one, which may be smaller."""
        return max(1, len(self.crops) // self.batch_size)

    def make_batch(
        self, rows: NDArray[np.int64], epoch: int, step: int
    ) -> TrainingBatch:
        """Return the augmented crops `rows` of one step."""
        rng = np.random.default_rng([self.seed, epoch, step])
        images = [self.augmentation(self.crops.images[row], rng) for row in rows]
        return _to_batch(images, self.crops.labels[rows], len(CLASSES))

    def iter_batches(self, epoch: int, steps: int) -> Iterator[TrainingBatch]:
        """Yield `steps` batches.

        More steps than a pass has begin it again, in the same order.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.crops))
        size = self.batch_size

        def batch(step: int) -> TrainingBatch:
            first = step % self.steps * size
            return self.make_batch(order[first : first + size], epoch, step)

        return prefetch(batch, steps, self.workers)
