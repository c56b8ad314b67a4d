"""Which views a training step sees: balanced by class, source and size of the face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import sizes_px
from maskdet.training.onepass.negatives import Mined
from maskdet.training.onepass.pasting import scrap_of, with_face
from maskdet.training.onepass.scenes import Place, Scenes
from maskdet.training.onepass.truth import stack_truths
from maskdet.training.onepass.views import (
    Rng,
    View,
    ViewRules,
    empty_view,
    face_view,
    negative_view,
)
from maskdet.training.workers import prefetch
from maskdet.types import CLASSES, Image, Label

CLASS_SHARES: Mapping[Label, float] = {
    Label.MASK: 0.38,
    Label.NO_MASK: 0.42,
    Label.INCORRECT: 0.20,
}
"""How often a view is drawn for a face of each class. Bare and wrongly worn ones come
more often than they are: the other faces of a scene are mostly masked."""

EMPTY_SHARE = 0.08
"""Views without any face."""

SIDES_PX: Mapping[int, float] = {256: 0.15, 320: 0.47, 416: 0.22, 640: 0.16}
"""Side of the views, a whole batch at a time, and how often. The largest are for faces
that fill a picture: scaled up for the analyzer they are wider than the others show."""

GRIDS: Mapping[int, float] = {1: 0.80, 2: 0.15, 3: 0.05}
"""Pictures side by side in one view (mosaics; Bochkovskiy et al., "YOLOv4", 2020), and
how often: crowds of small faces, also from pictures that show a single large one."""

_PASTED_SHARE = 0.3
"""Views of pictures without a face that get some laid in."""

_MOST_PASTED = 3
_HARD = 5.0
"""A face that a detection teacher misses counts so much more than a clear one."""

_LARGE_PX = 24.0


@dataclass(frozen=True, eq=False)
class Batch:
    """One training step's input.

    Attributes:
        images: `(n, side, side, 3)` uint8 BGR.
        truth: `(n, faces, 10)` float32, see `targets.TRUTH_COLUMNS`.
    """

    images: NDArray[np.uint8]
    truth: NDArray[np.float32]


def face_chances(scenes: Scenes) -> NDArray[np.float64]:
    """Return the `(m,)` chance of each face to have a view drawn for it.

    Classes get their share. Within one, a source counts by the root of its faces, so
    that small careful sets are not drowned, and a face by its size, as large ones can
    be shown at any size, and by how low a detection teacher scores it: learning that
    things are no faces costs those first that look least like one.
    """
    counts = np.diff(scenes.first_face)
    sources = np.repeat(scenes.sources, counts)
    worth = np.clip(sizes_px(scenes.boxes) / _LARGE_PX, 0.2, 2.0).astype(np.float64)
    worth *= 1 + _HARD * np.square(1 - scenes.seen.astype(np.float64))
    chances = np.zeros(len(scenes.labels))
    for label in CLASSES:
        of_class = scenes.labels == label
        for source in np.unique(sources[of_class]):
            rows = of_class & (sources == source)
            chances[rows] = worth[rows] / worth[rows].sum() * np.sqrt(rows.sum())
        if of_class.any():
            chances[of_class] *= CLASS_SHARES[label] / chances[of_class].sum()
    if not chances.sum():
        raise ValueError("no picture to train on holds a face of a known class")
    result: NDArray[np.float64] = chances / chances.sum()
    return result


@dataclass(frozen=True, eq=False)
class Sampler:
    """Endless choice, the same for the same seed, epoch and step.

    Attributes:
        scenes: what views are cut from.
        batch_size: views a step, of 320 px; larger ones are fewer.
        seed: fixes every random choice.
        rules: how scenes become views.
        negatives: pictures without a face.
        negative_share: how many views show one of them.
        mined: where the network sees faces in them; without, all are shown as often.
        workers: processes that make the batches; 0 for a thread.
    """

    scenes: Scenes
    batch_size: int
    seed: int
    rules: ViewRules = ViewRules()  # noqa: RUF009 - frozen
    negatives: Sequence[Place] = ()
    negative_share: float = 0.0
    mined: Mined | None = None
    workers: int = 0
    _chances: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out the chances once: they are the same for every step."""
        object.__setattr__(self, "_chances", face_chances(self.scenes))

    def batch(self, epoch: int, step: int) -> Batch:
        """Return the views of one step."""
        rng = np.random.default_rng([self.seed, epoch, step])
        side = int(rng.choice(list(SIDES_PX), p=list(SIDES_PX.values())))
        count = max(1, round(self.batch_size * min(1.0, (320 / side) ** 2)))
        faces = rng.choice(len(self._chances), 9 * count, p=self._chances)
        views = [self._view(iter(faces[n::count]), side, rng) for n in range(count)]
        images = np.stack([view.image for view in views])
        return Batch(images, stack_truths([view.truth for view in views]))

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        return prefetch(partial(self.batch, epoch), steps, self.workers)

    def _view(self, faces: Iterator[int], side: int, rng: Rng) -> View:
        grid = int(rng.choice(list(GRIDS), p=list(GRIDS.values())))
        if grid == 1:
            return self._tile(next(faces), side, rng)
        tile = side // grid
        image = np.zeros((side, side, 3), np.uint8)
        truths = []
        for place in range(grid * grid):
            x, y = place % grid * tile, place // grid * tile
            view = self._tile(next(faces), tile, rng)
            image[y : y + tile, x : x + tile] = view.image
            view.truth[:, :4] += (x, y, x, y)
            truths.append(view.truth)
        return View(image, np.concatenate(truths))

    def _tile(self, face: int, side: int, rng: Rng) -> View:
        if len(self.negatives) and rng.random() < self.negative_share:
            return self._negative(side, rng)
        if rng.random() < EMPTY_SHARE:
            place = self.scenes.place(int(rng.integers(len(self.scenes))))
            empty = empty_view(place, side, rng, self.rules)
            if empty is not None:
                return empty
        place, row = self._face(face)
        return face_view(place, row, side, rng, self.rules, self._scrap(rng))

    def _face(self, face: int) -> tuple[Place, int]:
        """Return the scene of a face, and its row there."""
        first = self.scenes.first_face
        index = int(np.searchsorted(first, face, side="right")) - 1
        return self.scenes.place(index), int(face - first[index])

    def _negative(self, side: int, rng: Rng) -> View:
        place = self.negatives[self._chosen(rng)]
        if rng.random() < _PASTED_SHARE:
            count = int(rng.integers(1, _MOST_PASTED + 1))
            for face in rng.choice(len(self._chances), count, p=self._chances):
                place = with_face(place, *self._face(int(face)), rng)
        return negative_view(place, side, rng, self.rules)

    def _chosen(self, rng: Rng) -> int:
        """Return a negative, those that the network is wrong about more often."""
        chances = None if self.mined is None else self.mined.chances()
        return int(rng.choice(len(self.negatives), p=chances))

    def _scrap(self, rng: Rng) -> Image | None:
        """Return what the network took for a face, now and then."""
        if self.mined is None or rng.random() < 0.5:
            return None
        index = self._chosen(rng)
        return scrap_of(self.negatives[index], self.mined.boxes[index], rng)
