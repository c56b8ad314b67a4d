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
"""The names of the splits."""

_SPLIT_NAMES = {
    **{split: split for split in SPLITS},
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}


def empty_boxes() -> Boxes:
    """Return an array of no boxes."""
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, eq=False)
class Example:
    """An image with its boxes and labels.

    Attributes:
        path: the image file.
        boxes: `(n, 4)` float32 `x1, y1, x2, y2` in pixels; `(0, 4)` where the label
            describes the whole image.
        labels: one per box; exactly one for an image without boxes (`is_crop`), none
            for a scene without faces.
        source: collection of the image, such as `real` or `kaggle`.
        split: `train`, `val`, `test` or empty.
        group: key of near-duplicates; images of a group must be in the same split.
        ignore_boxes: `(m, 4)` boxes of faces of unknown class, which are neither
            training faces nor background.
    """

    path: Path
    boxes: Boxes
    labels: tuple[Label, ...]
    source: str = ""
    split: str = ""
    group: str = ""
    ignore_boxes: Boxes = field(default_factory=empty_boxes)

    def __post_init__(self) -> None:
        """Check that the numbers of labels and boxes match."""
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
        """Whether the only label describes the whole image."""
        return len(self.boxes) == 0 and len(self.labels) == 1

    @property
    def label_values(self) -> NDArray[np.int64]:
        """The labels as `(n,)` column indices of `Scene.probs`."""
        return np.array([int(label) for label in self.labels], dtype=np.int64)


def split_from_name(name: str) -> str:
    """Return the split of a folder or file name; empty if it names no split."""
    return _SPLIT_NAMES.get(name.strip().lower(), "")


def select_split(
    examples: Iterable[Example], split: str, file: str | Path
) -> list[Example]:
    """Return the examples of a split.

    Raises:
        ValueError: there are none; the message names `file`.
    """
    kept = [example for example in examples if example.split == split]
    if not kept:
        raise ValueError(f"{file}: no image has the split {split!r}")
    return kept


def count_faces_by_class(examples: Iterable[Example]) -> dict[Label, int]:
    """Count the faces of each class in the examples."""
    counts = dict.fromkeys(CLASSES, 0)
    for example in examples:
        for label in example.labels:
            counts[label] += 1
    return counts
