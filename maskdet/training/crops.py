"""Crops as a network is shown them at run time: to validate, calibrate and test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, sizes_px
from maskdet.classifier import crop_face
from maskdet.datasets import Example
from maskdet.training.arrays import open_arrays, save_arrays
from maskdet.training.samples import ProgressWrapper, full_image_box, iter_images
from maskdet.types import Image


@dataclass(frozen=True, eq=False)
class Crops:
    """Square crops of faces whose label is known.

    Attributes:
        images: `(n, side, side, 3)` uint8 BGR.
        labels: `(n,)` int64, columns as in `CLASSES`, or `NO_FACE`.
        sources: `(n,)` text: which collection a crop is from.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.labels)


def cut_crops(
    examples: Sequence[Example],
    progress: ProgressWrapper,
    size_px: int,
    *,
    context: float,
    min_px: float,
) -> Crops:
    """Cut every labelled face exactly as `MaskClassifier` does.

    A picture of one face counts as a whole: its box is the picture. A picture that
    cannot be read is left out, and the log says so.

    Args:
        examples: labelled pictures.
        progress: goes through them.
        size_px: side of a crop.
        context: side of the window in longer sides of the box.
        min_px: shortest side of a box of a scene; smaller ones are left out.

    Raises:
        ValueError: not one face is left.
    """
    images: list[Image] = []
    labels: list[int] = []
    sources: list[str] = []
    for example, image in iter_images(examples, progress):
        boxes, values = _list_evaluation_faces(example, image, min_px)
        images += [crop_face(image, box, size_px, context=context) for box in boxes]
        labels += values.tolist()
        sources += [example.source] * len(boxes)
    if not images:
        raise ValueError(f"none of {len(examples)} pictures holds a face to use")
    return Crops(np.stack(images), np.array(labels, np.int64), np.array(sources))


def _list_evaluation_faces(
    example: Example, image: Image, min_px: float
) -> tuple[Boxes, NDArray[np.int64]]:
    if example.is_crop:
        return full_image_box(image), example.label_values
    large_enough = sizes_px(example.boxes) >= min_px
    return example.boxes[large_enough], example.label_values[large_enough]


def save_crops(crops: Crops, path: Path) -> None:
    """Write crops to `path` (.npz)."""
    save_arrays(path, vars(crops))


def read_crops(path: Path) -> Crops:
    """Return the crops that `save_crops` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there are no crops; `maskdet train` makes it")
    with open_arrays(path) as stored:
        return Crops(stored["images"], stored["labels"], stored["sources"])
