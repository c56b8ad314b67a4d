"""Which views a training step sees: balanced by class, source and size of the face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import sizes_px
from maskdet.training.onepass.negatives import MinedNegatives
from maskdet.training.onepass.pasting import cut_patch_around, paste_face
from maskdet.training.onepass.scenes import PackedImages, TrainingImage
from maskdet.training.onepass.truth import stack_targets
from maskdet.training.onepass.views import (
    Rng,
    SampleConfig,
    TrainingSample,
    make_empty_sample,
    make_face_sample,
    make_negative_sample,
)
from maskdet.training.workers import prefetch
from maskdet.types import CLASSES, Image, Label

CLASS_FRACTIONS: Mapping[Label, float] = {
    Label.MASK: 0.38,
    Label.NO_MASK: 0.42,
    Label.INCORRECT: 0.20,
}
"""How often a view is drawn for a face of each class. Bare and wrongly worn ones come
more often than they are: the other faces of a scene are mostly masked."""

EMPTY_FRACTION = 0.08
"""Views without any face."""

SAMPLE_SIDES_PX: Mapping[int, float] = {256: 0.15, 320: 0.47, 416: 0.22, 640: 0.16}
"""Side of the views, a whole batch at a time, and how often. The largest are for faces
that fill a picture: scaled up for the analyzer they are wider than the others show."""

MOSAIC_GRIDS: Mapping[int, float] = {1: 0.80, 2: 0.15, 3: 0.05}
"""Pictures side by side in one view (mosaics; Bochkovskiy et al., "YOLOv4", 2020), and
how often: crowds of small faces, also from pictures that show a single large one."""

_PASTED_FRACTION = 0.3
"""Views of pictures without a face that get some laid in."""

_MAX_PASTED = 3
_HARD_FACE_WEIGHT = 5.0
"""A face that a detection teacher misses counts so much more than a clear one."""

_FULL_WEIGHT_PX = 24.0


@dataclass(frozen=True, eq=False)
class OnePassBatch:
    """One training step's input.

    Attributes:
        images: `(n, side, side, 3)` uint8 BGR.
        targets: `(n, faces, 10)` float32, see `targets.TRUTH_COLUMNS`.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]


def compute_face_probabilities(packed_images: PackedImages) -> NDArray[np.float64]:
    """Return the `(m,)` chance of each face to have a view drawn for it.

    Classes get their share. Within one, a source counts by the root of its faces, so
    that small careful sets are not drowned, and a face by its size, as large ones can
    be shown at any size, and by how low a detection teacher scores it: learning that
    things are no faces costs those first that look least like one.
    """
    counts = np.diff(packed_images.first_face)
    sources = np.repeat(packed_images.sources, counts)
    face_weights = np.clip(
        sizes_px(packed_images.boxes) / _FULL_WEIGHT_PX, 0.2, 2.0
    ).astype(np.float64)
    face_weights *= 1 + _HARD_FACE_WEIGHT * np.square(
        1 - packed_images.seen.astype(np.float64)
    )
    probabilities = np.zeros(len(packed_images.labels))
    for label in CLASSES:
        of_class = packed_images.labels == label
        for source in np.unique(sources[of_class]):
            rows = of_class & (sources == source)
            probabilities[rows] = (
                face_weights[rows] / face_weights[rows].sum() * np.sqrt(rows.sum())
            )
        if of_class.any():
            probabilities[of_class] *= (
                CLASS_FRACTIONS[label] / probabilities[of_class].sum()
            )
    if not probabilities.sum():
        raise ValueError("no picture to train on holds a face of a known class")
    result: NDArray[np.float64] = probabilities / probabilities.sum()
    return result


@dataclass(frozen=True, eq=False)
class OnePassSampler:
    """Endless choice, the same for the same seed, epoch and step.

    Attributes:
        packed_images: what views are cut from.
        batch_size: views a step, of 320 px; larger ones are fewer.
        seed: fixes every random choice.
        config: how scenes become views.
        negatives: pictures without a face.
        negative_fraction: how many views show one of them.
        mined: where the network sees faces in them; without, all are shown as often.
        workers: processes that make the batches; 0 for a thread.
    """

    packed_images: PackedImages
    batch_size: int
    seed: int
    config: SampleConfig = SampleConfig()  # noqa: RUF009 - frozen
    negatives: Sequence[TrainingImage] = ()
    negative_fraction: float = 0.0
    mined: MinedNegatives | None = None
    workers: int = 0
    _face_probabilities: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out the chances once: they are the same for every step."""
        object.__setattr__(
            self, "_face_probabilities", compute_face_probabilities(self.packed_images)
        )

    def make_batch(self, epoch: int, step: int) -> OnePassBatch:
        """Return the views of one step."""
        rng = np.random.default_rng([self.seed, epoch, step])
        side = int(rng.choice(list(SAMPLE_SIDES_PX), p=list(SAMPLE_SIDES_PX.values())))
        count = max(1, round(self.batch_size * min(1.0, (320 / side) ** 2)))
        faces = rng.choice(
            len(self._face_probabilities), 9 * count, p=self._face_probabilities
        )
        samples = [
            self._make_mosaic(iter(faces[n::count]), side, rng) for n in range(count)
        ]
        images = np.stack([sample.image for sample in samples])
        return OnePassBatch(
            images, stack_targets([sample.targets for sample in samples])
        )

    def iter_batches(self, epoch: int, steps: int) -> Iterator[OnePassBatch]:
        """Yield the batches of one epoch."""
        return prefetch(partial(self.make_batch, epoch), steps, self.workers)

    def _make_mosaic(self, faces: Iterator[int], side: int, rng: Rng) -> TrainingSample:
        grid = int(rng.choice(list(MOSAIC_GRIDS), p=list(MOSAIC_GRIDS.values())))
        if grid == 1:
            return self._make_tile(next(faces), side, rng)
        tile_px = side // grid
        image = np.zeros((side, side, 3), np.uint8)
        target_rows = []
        for cell in range(grid * grid):
            x, y = cell % grid * tile_px, cell // grid * tile_px
            sample = self._make_tile(next(faces), tile_px, rng)
            image[y : y + tile_px, x : x + tile_px] = sample.image
            sample.targets[:, :4] += (x, y, x, y)
            target_rows.append(sample.targets)
        return TrainingSample(image, np.concatenate(target_rows))

    def _make_tile(self, face: int, side: int, rng: Rng) -> TrainingSample:
        if len(self.negatives) and rng.random() < self.negative_fraction:
            return self._make_negative(side, rng)
        if rng.random() < EMPTY_FRACTION:
            image = self.packed_images.get(int(rng.integers(len(self.packed_images))))
            empty = make_empty_sample(image, side, rng, self.config)
            if empty is not None:
                return empty
        image, row = self._locate_face(face)
        return make_face_sample(
            image, row, side, rng, self.config, self._cut_false_positive_patch(rng)
        )

    def _locate_face(self, face: int) -> tuple[TrainingImage, int]:
        """Return the scene of a face, and its row there."""
        first = self.packed_images.first_face
        index = int(np.searchsorted(first, face, side="right")) - 1
        return self.packed_images.get(index), int(face - first[index])

    def _make_negative(self, side: int, rng: Rng) -> TrainingSample:
        image = self.negatives[self._choose_negative(rng)]
        if rng.random() < _PASTED_FRACTION:
            count = int(rng.integers(1, _MAX_PASTED + 1))
            for face in rng.choice(
                len(self._face_probabilities), count, p=self._face_probabilities
            ):
                image = paste_face(image, *self._locate_face(int(face)), rng)
        return make_negative_sample(image, side, rng, self.config)

    def _choose_negative(self, rng: Rng) -> int:
        """Return a negative, those that the network is wrong about more often."""
        probabilities = (
            None if self.mined is None else self.mined.compute_probabilities()
        )
        return int(rng.choice(len(self.negatives), p=probabilities))

    def _cut_false_positive_patch(self, rng: Rng) -> Image | None:
        """Return what the network took for a face, now and then."""
        if self.mined is None or rng.random() < 0.5:
            return None
        index = self._choose_negative(rng)
        return cut_patch_around(self.negatives[index], self.mined.boxes[index], rng)
