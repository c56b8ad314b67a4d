"""One labelled image, and the names of the splits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.types import CLASSES, Label

SPLITS = ("train", "val", "test")
"""The parts a data set may be cut into."""

_SPLIT_NAMES = {
    **{split: split for split in SPLITS},
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}


def empty_boxes() -> Boxes:
    """Return the boxes of an image that has none."""
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, eq=False)
class Example:
    """One image and what is known about it.

    Attributes:
        path: the image file.
        boxes: `(n, 4)` float32 `x1, y1, x2, y2` in pixels; `(0, 4)` where the label
            speaks of the whole image.
        labels: one a box; exactly one where there is no box (`is_crop`), and none in
            a scene without a face.
        source: which collection the image is from, such as `real` or `kaggle`.
        split: `train`, `val`, `test` or empty.
        group: images that look alike share it and must stay on one side of a split.
        ignore_boxes: `(m, 4)` boxes where there is a face of unknown class: neither a
            face to learn nor background.
    """

    path: Path
    boxes: Boxes
    labels: tuple[Label, ...]
    source: str = ""
    split: str = ""
    group: str = ""
    ignore_boxes: Boxes = field(default_factory=empty_boxes)

    def __post_init__(self) -> None:
        """Check that labels and boxes fit each other."""
        boxes = np.asarray(self.boxes, dtype=np.float32).reshape(-1, 4)
        fits = len(self.labels) == len(boxes)
        if not fits and not (len(boxes) == 0 and len(self.labels) == 1):
            raise ValueError(
                f"{self.path}: {len(boxes)} boxes need as many labels, "
                f"got {len(self.labels)}"
            )
        ignored = np.asarray(self.ignore_boxes, dtype=np.float32).reshape(-1, 4)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "ignore_boxes", ignored)

    @property
    def is_crop(self) -> bool:
        """Whether the one label speaks of the whole image."""
        return len(self.boxes) == 0 and len(self.labels) == 1

    @property
    def label_values(self) -> NDArray[np.int64]:
        """The labels as `(n,)` numbers, as in the columns of `Scene.probs`."""
        return np.array([int(label) for label in self.labels], dtype=np.int64)


def split_from_name(name: str) -> str:
    """Return the split that a folder or file calls `name`; empty if it is none."""
    return _SPLIT_NAMES.get(name.strip().lower(), "")


def select_split(
    examples: Iterable[Example], split: str, file: str | Path
) -> list[Example]:
    """Return the examples of a split.

    Raises:
        ValueError: there are none; the message names the file that they are from.
    """
    kept = [example for example in examples if example.split == split]
    if not kept:
        raise ValueError(f"{file}: there is no image of split {split!r}")
    return kept


def count_faces_by_class(examples: Iterable[Example]) -> dict[Label, int]:
    """Return how many faces of each class the examples hold."""
    counts = dict.fromkeys(CLASSES, 0)
    for example in examples:
        for label in example.labels:
            counts[label] += 1
    return counts
