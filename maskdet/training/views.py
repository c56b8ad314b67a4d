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
from maskdet.training.sampling import Batch, to_rgb
from maskdet.training.workers import prefetch
from maskdet.types import CLASSES, Image

Rng = np.random.Generator


class Batches(Protocol):
    """Where a training gets its steps from; `sampling.Sampler` is another."""

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """Yield the batches of one epoch, the same for the same epoch."""
        ...


class View(Protocol):
    """A random change of a picture."""

    def __call__(self, image: Image, rng: Rng) -> Image:
        """Return a view of the same size; `image` is not changed."""
        ...


def tutorial_view(image: Image, rng: Rng) -> Image:
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
    back = _turn(angle) @ sheared @ np.diag([zoom_x, zoom_y])
    moved = _turn(angle) @ np.array([dx, dy])
    view = _sampled(image, back, moved, cv2.BORDER_REPLICATE)
    return view[:, ::-1] if rng.random() < 0.5 else view


def flip_turn_view(image: Image, rng: Rng) -> Image:
    """Flip and rotate as recipe `finetune` does: up to a fifth of a turn each way."""
    angle = rng.uniform(-0.2, 0.2) * 2 * math.pi
    view = _sampled(image, _turn(angle), np.zeros(2), cv2.BORDER_REFLECT)
    return view[:, ::-1] if rng.random() < 0.5 else view


def _turn(angle: float) -> NDArray[np.float64]:
    return np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )


def _sampled(
    image: Image, back: NDArray[np.float64], moved: NDArray[np.float64], border: int
) -> Image:
    """Fetch the pixel at p, seen from the middle, from `back` p + `moved`."""
    height, width = image.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([back, moved + middle - back @ middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpAffine(
        image, matrix, (width, height), flags=flags, borderMode=border
    )
    return np.asarray(view, np.uint8)


VIEWS: dict[str, View] = {"tutorial": tutorial_view, "flip-turn": flip_turn_view}
"""Name in `Recipe.views` to what it does to a picture."""


@dataclass(frozen=True, eq=False)
class Passes:
    """Every crop once an epoch, in a new order and a new view each time.

    Attributes:
        crops: in the size of the network.
        view: changes each crop before it is shown.
        batch_size: crops a step; what is left over at the end of a pass is skipped,
            other crops each time.
        seed: with the epoch and the step it fixes every random choice.
        workers: processes that make the batches; 0 for a thread.
    """

    crops: Crops
    view: View
    batch_size: int
    seed: int
    workers: int = 0

    @property
    def steps(self) -> int:
        """Batches in a pass; at least one, which then may be smaller."""
        return max(1, len(self.crops) // self.batch_size)

    def batch(self, rows: NDArray[np.int64], epoch: int, step: int) -> Batch:
        """Return the crops `rows` as one step sees them."""
        rng = np.random.default_rng([self.seed, epoch, step])
        views = np.stack([self.view(self.crops.images[row], rng) for row in rows])
        targets = np.eye(len(CLASSES), dtype=np.float32)[self.crops.labels[rows]]
        return Batch(to_rgb(views), targets)

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """Yield `steps` batches.

        More steps than a pass has begin it again, in the same order.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.crops))
        size = self.batch_size

        def batch(step: int) -> Batch:
            first = step % self.steps * size
            return self.batch(order[first : first + size], epoch, step)

        return prefetch(batch, steps, self.workers)
