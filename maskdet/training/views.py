"""Random views of a crop as the published recipes make them, and passes over crops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.training.crops import Crops
from maskdet.training.sampling import ClassifierBatch, to_rgb
from maskdet.training.workers import prefetch
from maskdet.types import CLASSES, Image

Rng = np.random.Generator


class BatchSource(Protocol):
    """Where a training gets its steps from; `sampling.Sampler` is another."""

    def iter_batches(self, epoch: int, steps: int) -> Iterator[ClassifierBatch]:
        """Yield the batches of one epoch, the same for the same epoch."""
        ...


class Augmentation(Protocol):
    """A random change of a picture."""

    def __call__(self, image: Image, rng: Rng) -> Image:
        """Return a view of the same size; `image` is not changed."""
        ...


def augment_tutorial(image: Image, rng: Rng) -> Image:
    """Rotate, shift, zoom, shear and flip as the tutorial recipe does.

    Keras' `ImageDataGenerator`: up to 20 degrees, a fifth of the side each way, 15 %
    larger or smaller (each direction on its own), 0.15 degrees of shear, the border
    repeated.
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
    """Flip and rotate as recipe `finetune` does: up to a fifth of a turn each way."""
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
    """Fetch the pixel at p, seen from the middle, from `inverse` p + `offset`."""
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
"""Name in `Recipe.views` to what it does to a picture."""


@dataclass(frozen=True, eq=False)
class EpochIterator:
    """Every crop once an epoch, in a new order and a new view each time.

    Attributes:
        crops: in the size of the network.
        augmentation: changes each crop before it is shown.
        batch_size: crops a step; what is left over at the end of a pass is skipped,
            other crops each time.
        seed: with the epoch and the step it fixes every random choice.
        workers: processes that make the batches; 0 for a thread.
    """

    crops: Crops
    augmentation: Augmentation
    batch_size: int
    seed: int
    workers: int = 0

    @property
    def steps(self) -> int:
        """Batches in a pass; at least one, which then may be smaller."""
        return max(1, len(self.crops) // self.batch_size)

    def make_batch(
        self, rows: NDArray[np.int64], epoch: int, step: int
    ) -> ClassifierBatch:
        """Return the crops `rows` as one step sees them."""
        rng = np.random.default_rng([self.seed, epoch, step])
        augmented = np.stack(
            [self.augmentation(self.crops.images[row], rng) for row in rows]
        )
        targets = np.eye(len(CLASSES), dtype=np.float32)[self.crops.labels[rows]]
        return ClassifierBatch(to_rgb(augmented), targets)

    def iter_batches(self, epoch: int, steps: int) -> Iterator[ClassifierBatch]:
        """Yield `steps` batches.

        More steps than a pass has begin it again, in the same order.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.crops))
        size = self.batch_size

        def batch(step: int) -> ClassifierBatch:
            first = step % self.steps * size
            return self.make_batch(order[first : first + size], epoch, step)

        return prefetch(batch, steps, self.workers)
