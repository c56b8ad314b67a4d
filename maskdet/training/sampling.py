"""Which crops a training step sees: balanced by class and by kind of picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.training.augment import augment
from maskdet.training.samples import Samples
from maskdet.types import CLASSES, Label

CLASS_SHARES: Mapping[Label, float] = {
    Label.MASK: 0.42,
    Label.NO_MASK: 0.40,
    Label.INCORRECT: 0.18,
}
"""How often each class is drawn. `incorrect` is rare in the world and in the data:
more of it would repeat the few faces there are too often."""

SCENE_SHARE = 0.6
"""How much of a class is drawn from scenes; the rest from pictures of one face."""

_AHEAD = 6


@dataclass(frozen=True, eq=False)
class Batch:
    """One training step's input.

    Attributes:
        images: `(n, size_px, size_px, 3)` float32 RGB 0..255.
        targets: `(n, 3)` float32 one-hot, columns as in `CLASSES`.
    """

    images: NDArray[np.float32]
    targets: NDArray[np.float32]


def draw_chances(samples: Samples) -> NDArray[np.float64]:
    """Return the `(n,)` chance of each crop, so that classes and kinds are balanced."""
    chances = np.zeros(len(samples))
    for label in CLASSES:
        of_class = samples.labels == label
        kinds = (of_class & ~samples.whole, of_class & samples.whole)
        shares = (SCENE_SHARE, 1 - SCENE_SHARE)
        present = sum(
            share for kind, share in zip(kinds, shares, strict=True) if kind.any()
        )
        for kind, share in zip(kinds, shares, strict=True):
            if kind.any():
                chances[kind] = CLASS_SHARES[label] * share / present / kind.sum()
    result: NDArray[np.float64] = chances / chances.sum()
    return result


def network_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return BGR crops `(n, s, s, 3)` as the network wants them: RGB float32."""
    return np.ascontiguousarray(images[..., ::-1], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Sampler:
    """Endless choice, the same for the same seed and epoch.

    Attributes:
        samples: packed crops.
        size_px: input size of the network.
        batch_size: crops a step.
        seed: with the epoch and the step it fixes every random choice.
    """

    samples: Samples
    size_px: int
    batch_size: int
    seed: int
    _chances: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out the chances once: they are the same for every step."""
        object.__setattr__(self, "_chances", draw_chances(self.samples))

    def batch(self, epoch: int, step: int) -> Batch:
        """Return the crops of one step, augmented."""
        rng = np.random.default_rng([self.seed, epoch, step])
        rows = rng.choice(len(self.samples), self.batch_size, p=self._chances)
        views = np.stack(
            [augment(self.samples.images[row], self.size_px, rng) for row in rows]
        )
        targets = np.eye(len(CLASSES), dtype=np.float32)[self.samples.labels[rows]]
        return Batch(network_input(views), targets)

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """Yield the batches of one epoch, made ahead in a thread of their own."""
        # OpenCV's own threads would fight with those of the training for the cores.
        cv2.setNumThreads(1)
        with ThreadPoolExecutor(1) as pool:
            ahead: list[Future[Batch]] = []
            for step in range(steps + _AHEAD):
                if step < steps:
                    ahead.append(pool.submit(self.batch, epoch, step))
                if step >= _AHEAD:
                    yield ahead.pop(0).result()
