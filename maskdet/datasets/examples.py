"""One labelled picture, and the words that data sets use for the same things."""

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

# The public sets name the same three states in their own words: `with_mask` and
# `mask_weared_incorrect` are Kaggle's, `face` and `face_mask` are AIZOO's, `cmfd` and
# `imfd` MaskedFace-Net's.
_WORDS: dict[Label, str] = {
    Label.MASK: "mask with_mask withmask wearing_mask masked face_mask facemask "
    "face_with_mask mask_on correct correct_mask correctly_masked mask_correct "
    "mask_worn_correctly mask_weared_correct proper proper_mask cmfd",
    Label.NO_MASK: "no_mask nomask non_mask without_mask withoutmask not_masked "
    "unmasked no_face_mask face_no_mask face_nomask face_without_mask mask_off bare "
    "bare_face face",
    Label.INCORRECT: "incorrect incorrect_mask incorrectly_masked mask_incorrect "
    "mask_weared_incorrect mask_worn_incorrect mask_worn_incorrectly "
    "wearing_mask_incorrectly face_with_mask_incorrect worn_wrongly wrong wrong_mask "
    "improper improper_mask improperly_masked imfd",
}
_NAMES = {word: label for label, words in _WORDS.items() for word in words.split()}


def no_boxes() -> Boxes:
    """Return the boxes of a picture that has none."""
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, eq=False)
class Example:
    """One picture and what is known about it.

    Attributes:
        path: the picture file.
        boxes: `(n, 4)` float32 `x1, y1, x2, y2` in pixels; `(0, 4)` where the label
            speaks of the whole picture.
        labels: one a box; exactly one where there is no box (`whole`), and none in
            a scene without a face.
        source: which collection the picture is from, such as `real` or `kaggle`.
        split: `train`, `val`, `test` or empty.
        group: pictures that look alike share it and must stay on one side of a split.
        ignored: `(m, 4)` boxes where there is a face of unknown class: neither a face
            to learn nor background.
    """

    path: Path
    boxes: Boxes
    labels: tuple[Label, ...]
    source: str = ""
    split: str = ""
    group: str = ""
    ignored: Boxes = field(default_factory=no_boxes)

    def __post_init__(self) -> None:
        """Check that labels and boxes fit each other."""
        boxes = np.asarray(self.boxes, dtype=np.float32).reshape(-1, 4)
        fits = len(self.labels) == len(boxes)
        if not fits and not (len(boxes) == 0 and len(self.labels) == 1):
            raise ValueError(
                f"{self.path}: {len(boxes)} boxes need as many labels, "
                f"got {len(self.labels)}"
            )
        ignored = np.asarray(self.ignored, dtype=np.float32).reshape(-1, 4)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "ignored", ignored)

    @property
    def whole(self) -> bool:
        """Whether the one label speaks of the whole picture."""
        return len(self.boxes) == 0 and len(self.labels) == 1

    @property
    def label_values(self) -> NDArray[np.int64]:
        """The labels as `(n,)` numbers, as in the columns of `Scene.probs`."""
        return np.array([int(label) for label in self.labels], dtype=np.int64)


def label_from_name(name: str) -> Label:
    """Return the class that a data set calls `name`.

    Raises:
        ValueError: the name is not one that this project knows.
    """
    key = name.strip().lower().replace(" ", "_").replace("-", "_")
    if key not in _NAMES:
        raise ValueError(f"unknown class {name!r}; known are {', '.join(_NAMES)}")
    return _NAMES[key]


def split_from_name(name: str) -> str:
    """Return the split that a folder or file calls `name`; empty if it is none."""
    return _SPLIT_NAMES.get(name.strip().lower(), "")


def class_counts(examples: Iterable[Example]) -> dict[Label, int]:
    """Return how many faces of each class the examples hold."""
    counts = dict.fromkeys(CLASSES, 0)
    for example in examples:
        for label in example.labels:
            counts[label] += 1
    return counts
