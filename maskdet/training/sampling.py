"""Which crops a training step sees: balanced by class and by kind of picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from maskdet.training.augment import augment
from maskdet.training.samples import NO_FACE, Samples
from maskdet.training.workers import prefetch
from maskdet.types import CLASSES, Label

CLASS_SHARES: Mapping[Label, float] = {
    Label.MASK: 0.42,
    Label.NO_MASK: 0.42,
    Label.INCORRECT: 0.16,
}
"""How often each class is taken. `incorrect` is rare in the world and in the data:
more of it would repeat the few faces there are too often."""

KIND_SHARES: Mapping[Label, tuple[float, float, float]] = {
    Label.MASK: (0.55, 0.35, 0.10),
    Label.NO_MASK: (0.50, 0.25, 0.25),
    Label.INCORRECT: (0.65, 0.0, 0.35),
}
"""How much of a class comes from scenes, from pictures of one face, and from what our
own code drew. Drawn bare faces are the hard negatives."""

NO_FACE_SHARE = 0.25
"""How often a crop without a face is taken, where the network learns to know them."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One training step's input.

    Attributes:
        images: `(n, size_px, size_px, 3)` uint8 RGB.
        targets: `(n, 3)` float32 one-hot, columns as in `CLASSES`; `(n, 4)` with
            `NO_FACE`.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]


def draw_chances(samples: Samples) -> NDArray[np.float64]:
    """Return the `(n,)` chance of each crop, so that classes and kinds are balanced.

    A kind that a class lacks leaves its share to the others.
    """
    chances = np.zeros(len(samples))
    kinds = (
        ~samples.whole & ~samples.drawn,
        samples.whole & ~samples.drawn,
        samples.drawn,
    )
    for label in CLASSES:
        rows = [kind & (samples.labels == label) for kind in kinds]
        shares = [
            max(share, 1e-6) * of_kind.any()
            for share, of_kind in zip(KIND_SHARES[label], rows, strict=True)
        ]
        for share, of_kind in zip(shares, rows, strict=True):
            if share:
                part = share / sum(shares) / of_kind.sum()
                chances[of_kind] = CLASS_SHARES[label] * part
    empty = samples.labels == NO_FACE
    if empty.any():
        chances *= (1 - NO_FACE_SHARE) / chances.sum()
        chances[empty] = NO_FACE_SHARE / empty.sum()
    result: NDArray[np.float64] = chances / chances.sum()
    return result


def network_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return BGR crops `(n, s, s, 3)` as the network wants them: RGB float32."""
    return np.ascontiguousarray(images[..., ::-1], dtype=np.float32)


def to_rgb(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return BGR crops `(n, s, s, 3)` as RGB."""
    return np.ascontiguousarray(images[..., ::-1])


@dataclass(frozen=True, eq=False)
class Sampler:
    """Endless choice, the same for the same seed and epoch.

    Attributes:
        samples: packed crops.
        size_px: input size of the network.
        batch_size: crops a step.
        seed: with the epoch and the step it fixes every random choice.
        workers: processes that make the batches; 0 for a thread.
    """

    samples: Samples
    size_px: int
    batch_size: int
    seed: int
    workers: int = 0
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
        columns = max(len(CLASSES), int(self.samples.labels.max()) + 1)
        targets = np.eye(columns, dtype=np.float32)[self.samples.labels[rows]]
        return Batch(to_rgb(views), targets)

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        return prefetch(partial(self.batch, epoch), steps, self.workers)
