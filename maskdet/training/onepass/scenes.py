"""Training scenes in one file: pixels, boxes, labels, and points to draw at."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.media import read_image
from maskdet.training.arrays import open_arrays, save_arrays
from maskdet.training.samples import ProgressWrapper
from maskdet.training.workers import map_parallel
from maskdet.types import CLASSES, Image

logger = logging.getLogger(__name__)

VALIDATION_FILE = "validation.npz"
"""Of a run: the scenes that it is judged by."""

MAX_SIDE_PX = 640
"""Larger pictures are shrunk to this: no view shows more of a face."""

_MIN_TEACHER_PX = 16
"""Shortest side of a face that a classifier can be asked about."""

NO_LABEL = -1
"""Of a face that is there but of unknown class; finding it is neither good nor bad."""


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """One picture of a training set.

    Attributes:
        image: `(h, w, 3)` BGR.
        boxes: `(n, 4)` its faces in pixels.
        labels: `(n,)` columns as in `CLASSES`, or `NO_LABEL`.
        teacher_probs: `(n, 3)` what a classifier said; NaN where none was asked.
        source: which collection it is from; `drawn` where our own code drew on it.
        detector_scores: `(n,)` scores that a detection teacher gave them; None without
            one.
    """

    image: Image
    boxes: Boxes
    labels: NDArray[np.int64]
    teacher_probs: NDArray[np.float32]
    source: str
    detector_scores: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Many pictures; those of any size share one long row of pixels.

    Attributes:
        pixels: `(bytes,)` uint8.
        sizes_hw: `(n, 2)` height and width of each picture.
        first_face: `(n + 1,)` where its faces begin.
        boxes: `(m, 4)` of all faces.
        labels: `(m,)` columns as in `CLASSES`, or `NO_LABEL`.
        taught: `(m, 3)` what a classifier said of each face; NaN where none did.
        sources: `(n,)` text.
        seen: `(m,)` scores that a detection teacher gave them, 1 without one.
    """

    pixels: NDArray[np.uint8]
    sizes_hw: NDArray[np.int64]
    first_face: NDArray[np.int64]
    boxes: Boxes
    labels: NDArray[np.int64]
    taught: NDArray[np.float32]
    sources: NDArray[np.str_]
    seen: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.sizes_hw)

    def __post_init__(self) -> None:
        """Work out where each picture begins."""
        ends = np.cumsum(np.concatenate([[0], self.sizes_hw.prod(axis=1) * 3]))
        object.__setattr__(self, "_starts", ends)

    def get(self, index: int) -> TrainingImage:
        """Return one picture; nothing is copied."""
        starts: NDArray[np.int64] = getattr(self, "_starts")  # noqa: B009 - frozen
        height, width = self.sizes_hw[index]
        flat = self.pixels[starts[index] : starts[index + 1]]
        faces = slice(self.first_face[index], self.first_face[index + 1])
        return TrainingImage(
            image=flat.reshape(height, width, 3),
            boxes=self.boxes[faces],
            labels=self.labels[faces],
            teacher_probs=self.taught[faces],
            source=str(self.sources[index]),
            detector_scores=self.seen[faces],
        )

    @classmethod
    def pack(cls, images: Sequence[TrainingImage]) -> PackedImages:
        """Join pictures."""
        counts = [len(image.boxes) for image in images]
        return cls(
            pixels=np.concatenate([image.image.ravel() for image in images]),
            sizes_hw=np.array([image.image.shape[:2] for image in images], np.int64),
            first_face=np.cumsum([0, *counts]).astype(np.int64),
            boxes=np.concatenate([image.boxes for image in images]),
            labels=np.concatenate([image.labels for image in images]),
            taught=np.concatenate([image.teacher_probs for image in images]),
            sources=np.array([image.source for image in images], np.str_),
            seen=np.concatenate([_get_detector_scores(image) for image in images]),
        )


def _get_detector_scores(image: TrainingImage) -> NDArray[np.float32]:
    """Return the scores that a detection teacher gave the faces, 1 without one."""
    return (
        np.ones(len(image.boxes), np.float32)
        if image.detector_scores is None
        else image.detector_scores
    )


def read_training_images(
    examples: Sequence[Example],
    progress: ProgressWrapper = iter,
    teacher: Classifier | None = None,
) -> list[TrainingImage]:
    """Read pictures with boxes, and ask a classifier about their faces.

    Args:
        examples: scenes; pictures with one label and no box are left out with a word.
        progress: something like `tqdm`.
        teacher: knows the mask state better than a small network will.

    Raises:
        ValueError: no example has boxes.
    """
    unboxed = sum(example.is_crop for example in examples)
    if unboxed:
        logger.warning(
            "left out %d pictures without boxes; `maskdet label` can box them", unboxed
        )
    boxed = [boxed_example for boxed_example in examples if not boxed_example.is_crop]
    images = list(map_parallel(partial(_read_training_image, teacher), boxed, progress))
    if not images:
        raise ValueError("no picture has boxes; `maskdet label` makes them")
    return images


def shrink_image(image: Image) -> tuple[Image, float]:
    """Return a picture with at most `MAX_SIDE_PX`, and by how much it was scaled."""
    scale = min(1.0, MAX_SIDE_PX / max(image.shape[:2]))
    if scale == 1:
        return image, scale
    size_wh = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), scale


def _read_training_image(teacher: Classifier | None, example: Example) -> TrainingImage:
    image = read_image(example.path)
    boxes = np.concatenate([example.boxes, example.ignore_boxes]).astype(np.float32)
    unknown = np.full(len(example.ignore_boxes), NO_LABEL)
    labels = np.concatenate([example.label_values, unknown]).astype(np.int64)
    teacher_probs = np.full((len(boxes), len(CLASSES)), np.nan, np.float32)
    large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= _MIN_TEACHER_PX
    if teacher is not None and len(boxes):
        teachable = large & (labels != NO_LABEL)
        teacher_probs[teachable] = teacher.predict(image, boxes[teachable])
    image, scale = shrink_image(image)
    return TrainingImage(image, boxes * scale, labels, teacher_probs, example.source)


def save_packed_images(
    packed_images: PackedImages, path: Path, fingerprint: str
) -> None:
    """Write scenes to `path` (.npz); `fingerprint` names what they were made from."""
    arrays = {
        field.name: getattr(packed_images, field.name) for field in _packed_fields()
    }
    save_arrays(path, arrays | {"made_of": np.array(fingerprint)})


def read_packed_images(path: Path, fingerprint: str) -> PackedImages | None:
    """Return the scenes in `path` if they were made of the same, else None."""
    if not path.is_file():
        return None
    try:
        with open_arrays(path) as stored:
            return (
                _load_packed_images(stored)
                if str(stored["made_of"]) == fingerprint
                else None
            )
    except ValueError:
        return None  # of a version that did not write whole files or none


def load_training_images(path: Path) -> list[TrainingImage]:
    """Return the pictures that `save_packed_images` wrote, whatever they were made of.

    Raises:
        ValueError: the file is damaged.
    """
    with open_arrays(path) as stored:
        packed_images = _load_packed_images(stored)
    return [packed_images.get(index) for index in range(len(packed_images))]


def _load_packed_images(stored: np.lib.npyio.NpzFile) -> PackedImages:
    arrays = {name: stored[name] for name in stored.files if name != "made_of"}
    # Files of older versions, where nobody looked, say nothing of it.
    arrays.setdefault("seen", np.ones(len(arrays["labels"]), np.float32))
    return PackedImages(**arrays)


def _packed_fields() -> tuple[dataclasses.Field[object], ...]:
    return dataclasses.fields(PackedImages)
