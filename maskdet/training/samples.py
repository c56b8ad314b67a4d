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

MIN_VALIDATION_PX = 20
"""Smaller faces are left out of validation, as in the project's published numbers."""

# A picture of the crops has one face; a box below this score may be a hand or a poster.
_MIN_SINGLE_FACE_SCORE = 0.8

_PACKED_FIELDS = ("images", "labels", "sources", "whole", "drawn")

NO_FACE = len(CLASSES)
"""Label of a crop that shows no face: the column after those of `CLASSES`."""

ProgressWrapper = Callable[[Iterable[Any]], Iterable[Any]]
"""Something like `tqdm`: passes on what it is given and may show how far it is."""


@dataclass(frozen=True, eq=False)
class PackedCrops:
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

    def concat(self, other: PackedCrops) -> PackedCrops:
        """Return these crops and those of `other`, in this order."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in _PACKED_FIELDS)
        return PackedCrops(*(np.concatenate(pair) for pair in pairs))


def pack_crops(
    examples: Sequence[Example], detector: Detector | None, progress: ProgressWrapper
) -> PackedCrops:
    """Cut generous crops, with room for augmentation to move and turn within.

    A picture of one face gives two: the whole picture, and the box of `detector` where
    it is sure, which is what the classifier will be shown.
    """
    images: list[Image] = []
    labels: list[int] = []
    sources: list[str] = []
    whole: list[bool] = []

    def cut(example: Example) -> list[tuple[Image, int]]:
        return [
            (crop_face(image, box, PACKED_PX, context=PACKED_CONTEXT), label)
            for _, image in iter_images([example], iter)
            for box, label in _list_training_faces(example, image, detector)
        ]

    results = map_parallel(cut, examples, progress)
    for example, crops in zip(examples, results, strict=True):
        for crop, label in crops:
            images.append(crop)
            labels.append(label)
            sources.append(example.source)
            whole.append(example.is_crop)
    if not images:
        raise ValueError(f"none of {len(examples)} pictures holds a face to use")
    return PackedCrops(
        images=np.stack(images),
        labels=np.array(labels),
        sources=np.array(sources),
        whole=np.array(whole),
        drawn=np.zeros(len(images), np.bool_),
    )


def iter_images(
    examples: Sequence[Example], progress: ProgressWrapper
) -> Iterator[tuple[Example, Image]]:
    """Yield each example with its picture; the log names those left out as broken."""
    for example in progress(examples):
        try:
            image = read_image(example.path)
        except ValueError as error:
            logger.warning("left out: %s", error)
            continue
        yield example, image


def _list_training_faces(
    example: Example, image: Image, detector: Detector | None
) -> list[tuple[NDArray[np.float32], int]]:
    if not example.is_crop:
        large_enough = sizes_px(example.boxes) >= MIN_TRAIN_PX
        return list(
            zip(
                example.boxes[large_enough],
                example.label_values[large_enough],
                strict=True,
            )
        )
    boxes = [full_image_box(image)[0]]
    if detector is not None:
        boxes += list(_detect_single_face(detector, image))
    return [(box, int(example.labels[0])) for box in boxes]


def full_image_box(image: Image) -> Boxes:
    """Return the `(1, 4)` box that is the whole picture."""
    height, width = image.shape[:2]
    return np.array([[0, 0, width, height]], dtype=np.float32)


def _detect_single_face(detector: Detector, image: Image) -> Boxes:
    """Return the one face that stands out, `(1, 4)`, or `(0, 4)` if none does."""
    faces = detector.detect(image)
    faces = faces[faces.scores >= 0.5]
    sizes = sizes_px(faces.boxes)
    no_box = np.zeros((0, 4), np.float32)
    if (
        not len(faces)
        or faces.scores[0] < _MIN_SINGLE_FACE_SCORE
        or sizes[0] < MIN_VALIDATION_PX
    ):
        return no_box
    is_single = (sizes[1:] < 0.5 * sizes[0]).all()
    return faces.boxes[:1] if is_single else no_box


def save_packed_crops(samples: PackedCrops, path: Path, fingerprint: str = "") -> None:
    """Write crops to `path` (.npz); `fingerprint` names what they were cut from."""
    arrays = {name: getattr(samples, name) for name in _PACKED_FIELDS}
    save_arrays(path, arrays | {"made_of": np.array(fingerprint)})


def read_packed_crops(path: Path) -> PackedCrops:
    """Return the crops that `save_packed_crops` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there are no crops; `maskdet train` makes it")
    with open_arrays(path) as stored:
        return PackedCrops(*(stored[name] for name in _PACKED_FIELDS))


def read_fingerprint(path: Path) -> str | None:
    """Return what the crops in `path` were cut from; None without whole crops."""
    if not path.is_file():
        return None
    try:
        with open_arrays(path) as stored:
            return str(stored["made_of"])
    except ValueError:
        return None  # of a version that did not write whole files or none
