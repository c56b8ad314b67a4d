"""Crops to train and validate on, cut once from labelled pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, sizes_px
from maskdet.classifier import crop_face
from maskdet.datasets import Example
from maskdet.detectors import Detector
from maskdet.media import read_image
from maskdet.training.arrays import open_arrays, save_arrays
from maskdet.training.augment import PACKED_CONTEXT
from maskdet.training.workers import map_parallel
from maskdet.types import CLASSES, Image

logger = logging.getLogger(__name__)

PACKED_PX = 192
"""Side of a packed crop: as fine as the network's input when cut to the face."""

MIN_TRAIN_PX = 8
"""Smaller faces are left out of training: nobody can see their label."""

MIN_VAL_PX = 20
"""Smaller faces are left out of validation, as in the project's published numbers."""

# A picture of the crops has one face; a box below this score may be a hand or a poster.
_SURE_SCORE = 0.8

_FIELDS = ("images", "labels", "sources", "whole", "drawn")

NO_FACE = len(CLASSES)
"""Label of a crop that shows no face: the column after those of `CLASSES`."""

Progress = Callable[[Iterable[Any]], Iterable[Any]]
"""Something like `tqdm`: passes on what it is given and may show how far it is."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Square face crops in one array.

    Attributes:
        images: `(n, side, side, 3)` uint8 BGR.
        labels: `(n,)` int64, columns as in `CLASSES`, or `NO_FACE`.
        sources: `(n,)` text: which collection a crop is from.
        whole: `(n,)` whether the crop is from a picture of one face (`faces`), not
            from a scene.
        drawn: `(n,)` whether our own code drew on it; never in validation.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    whole: NDArray[np.bool_]
    drawn: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.labels)

    def joined(self, other: Samples) -> Samples:
        """Return these crops and those of `other`, in this order."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in _FIELDS)
        return Samples(*(np.concatenate(pair) for pair in pairs))


def pack_training(
    examples: Sequence[Example], finder: Detector | None, progress: Progress
) -> Samples:
    """Cut generous crops, with room for augmentation to move and turn within.

    A picture of one face gives two: the whole picture, and the box of `finder` where
    it is sure, which is what the classifier will be shown.
    """
    images: list[Image] = []
    labels: list[int] = []
    sources: list[str] = []
    whole: list[bool] = []

    def cut(example: Example) -> list[tuple[Image, int]]:
        return [
            (crop_face(picture, box, PACKED_PX, context=PACKED_CONTEXT), label)
            for _, picture in opened([example], iter)
            for box, label in _faces_of(example, picture, finder)
        ]

    every = map_parallel(cut, examples, progress)
    for example, crops in zip(examples, every, strict=True):
        for crop, label in crops:
            images.append(crop)
            labels.append(label)
            sources.append(example.source)
            whole.append(example.whole)
    if not images:
        raise ValueError(f"none of {len(examples)} pictures holds a face to use")
    return Samples(
        images=np.stack(images),
        labels=np.array(labels),
        sources=np.array(sources),
        whole=np.array(whole),
        drawn=np.zeros(len(images), np.bool_),
    )


def opened(
    examples: Sequence[Example], progress: Progress
) -> Iterator[tuple[Example, Image]]:
    """Yield each example with its picture; the log names those left out as broken."""
    for example in progress(examples):
        try:
            picture = read_image(example.path)
        except ValueError as error:
            logger.warning("left out: %s", error)
            continue
        yield example, picture


def _faces_of(
    example: Example, picture: Image, finder: Detector | None
) -> list[tuple[NDArray[np.float32], int]]:
    if not example.whole:
        big = sizes_px(example.boxes) >= MIN_TRAIN_PX
        return list(zip(example.boxes[big], example.label_values[big], strict=True))
    boxes = [whole_box(picture)[0]]
    if finder is not None:
        boxes += list(_sure_box(finder, picture))
    return [(box, int(example.labels[0])) for box in boxes]


def whole_box(picture: Image) -> Boxes:
    """Return the `(1, 4)` box that is the whole picture."""
    height, width = picture.shape[:2]
    return np.array([[0, 0, width, height]], dtype=np.float32)


def _sure_box(finder: Detector, picture: Image) -> Boxes:
    """Return the one face that stands out, `(1, 4)`, or `(0, 4)` if none does."""
    faces = finder.detect(picture)
    faces = faces[faces.scores >= 0.5]
    sizes = sizes_px(faces.boxes)
    none = np.zeros((0, 4), np.float32)
    if not len(faces) or faces.scores[0] < _SURE_SCORE or sizes[0] < MIN_VAL_PX:
        return none
    alone = (sizes[1:] < 0.5 * sizes[0]).all()
    return faces.boxes[:1] if alone else none


def save_samples(samples: Samples, path: Path, made_of: str = "") -> None:
    """Write crops to `path` (.npz); `made_of` names what they were cut from."""
    arrays = {name: getattr(samples, name) for name in _FIELDS}
    save_arrays(path, arrays | {"made_of": np.array(made_of)})


def read_samples(path: Path) -> Samples:
    """Return the crops that `save_samples` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there are no crops; `maskdet train` makes it")
    with open_arrays(path) as stored:
        return Samples(*(stored[name] for name in _FIELDS))


def stored_made_of(path: Path) -> str | None:
    """Return what the crops in `path` were cut from; None without whole crops."""
    if not path.is_file():
        return None
    try:
        with open_arrays(path) as stored:
            return str(stored["made_of"])
    except ValueError:
        return None  # of a version that did not write whole files or none
