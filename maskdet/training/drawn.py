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

from maskdet.detectors import LandmarkFinder
from maskdet.synthetic import Mask, Position, Thing, cover_mouth, wear_mask
from maskdet.training.augment import PACKED_CONTEXT
from maskdet.training.samples import Progress, Samples
from maskdet.training.workers import map_parallel
from maskdet.types import Image, Label

MASKS: Final[Mapping[Position, tuple[Label, float]]] = {
    "worn": (Label.MASK, 0.20),
    "below_nose": (Label.INCORRECT, 0.22),
    "chin": (Label.INCORRECT, 0.13),
}
"""How a mask is drawn: what it is then, and its share of all that is drawn."""

HARD_NEGATIVES: Final[Mapping[Thing, float]] = {
    "hand": 0.14,
    "scarf": 0.08,
    "beard": 0.09,
    "cup": 0.09,
    "phone": 0.06,
    "headscarf": 0.14,
}
"""What else is drawn, with its share. Hands lead: people report them most."""

# A box this sure, in the middle and of the right size, is the labelled face.
_SURE_SCORE: Final = 0.7
_LEAST_FACE: Final = 0.6
_MOST_FACE: Final = 1.6
_OFF_CENTRE: Final = 0.35


_Face: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Box and landmarks."""

_Drawn: TypeAlias = tuple[Image, Label, str]
"""The face with something drawn on it, its label and what was drawn."""


def draw_samples(
    samples: Samples,
    finder: LandmarkFinder,
    count: int,
    seed: int,
    progress: Progress = iter,
) -> Samples:
    """Return about `count` crops drawn on the bare ones among `samples`.

    Args:
        samples: packed crops; only `no_mask` ones are drawn on.
        finder: finds the landmarks.
        count: how many to draw; fewer if few faces show their landmarks.
        seed: fixes every choice.
        progress: something like `tqdm`.

    Returns:
        Crops with `drawn` set, their source named `drawn-` and what was drawn. None
        if there is no bare face to draw on.
    """
    bare = np.flatnonzero(samples.labels == Label.NO_MASK)
    order = _order(bare, count, np.random.default_rng(seed))

    def draw(place: int) -> _Drawn | None:
        image = samples.images[order[place]]
        found = _middle_face(finder, image)
        rng = np.random.default_rng([seed, place])
        return None if found is None else _draw(image, *found, rng)

    every = map_parallel(draw, range(len(order)), progress)
    drawn = list(itertools.islice(filter(None, every), count))
    return _packed(drawn, samples.images.shape[1:])


def _packed(drawn: list[_Drawn], side: tuple[int, ...]) -> Samples:
    return Samples(
        images=np.array([one for one, _, _ in drawn], np.uint8).reshape(-1, *side),
        labels=np.array([label for _, label, _ in drawn], np.int64),
        sources=np.array([f"drawn-{name}" for _, _, name in drawn], np.str_),
        whole=np.zeros(len(drawn), np.bool_),
        drawn=np.ones(len(drawn), np.bool_),
    )


def _order(bare: NDArray[np.int64], count: int, rng: np.random.Generator) -> list[int]:
    """Return one pass over the faces after the other, each in another order."""
    passes = -(-count // max(len(bare), 1))
    rows = np.concatenate([rng.permutation(bare) for _ in range(passes)] or [bare])
    return [int(row) for row in rows]


def _middle_face(finder: LandmarkFinder, image: Image) -> _Face | None:
    """Return box and landmarks of the face that a packed crop was cut around."""
    faces, points = finder.landmarks(image)
    side = image.shape[0]
    wanted = side / PACKED_CONTEXT
    sizes = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1)
    off = np.abs(faces.boxes.reshape(-1, 2, 2).mean(axis=1) - side / 2).max(axis=1)
    fits = (
        (faces.scores >= _SURE_SCORE)
        & (sizes > _LEAST_FACE * wanted)
        & (sizes < _MOST_FACE * wanted)
        & (off < _OFF_CENTRE * wanted)
    )
    if not fits.any():
        return None
    best = int(np.flatnonzero(fits)[0])
    return faces.boxes[best], points[best]


def _draw(
    image: Image,
    box: NDArray[np.float32],
    points: NDArray[np.float32],
    rng: np.random.Generator,
) -> _Drawn:
    shares = [share for _, share in MASKS.values()] + list(HARD_NEGATIVES.values())
    choice = int(rng.choice(len(shares), p=np.array(shares) / sum(shares)))
    if choice < len(MASKS):
        position, (label, _) = list(MASKS.items())[choice]
        mask = Mask.random(rng, position)
        return wear_mask(image, points, mask, box=box, rng=rng), label, position
    thing = list(HARD_NEGATIVES)[choice - len(MASKS)]
    drawn = cover_mouth(image, points, thing, box=box, rng=rng)
    return drawn, Label.NO_MASK, thing
