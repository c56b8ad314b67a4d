"""A labelled set, and what an analyzer said about it, as numbers only."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.types import CLASSES

MIN_STORED_SCORE = 0.02
"""Faces from this score on are kept, so that every slider above it is right."""

IntArray = NDArray[np.int64]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FaceRows:
    """Faces of many pictures: row i is the same face in every array.

    Attributes:
        image_indices: `(n,)` int64, which picture of the set the face is in, rising.
        boxes: `(n, 4)` float32 `x1, y1, x2, y2` in pixels of the picture.
        lights: `(n,)` float32 mean brightness of the box, 0 to 255; see
            `metrics.slices.crop_light`.
        sharpness: `(n,)` float32, see `metrics.slices.crop_sharpness`.
    """

    image_indices: IntArray
    boxes: Boxes
    lights: Float32Array
    sharpness: Float32Array

    def __post_init__(self) -> None:
        """Convert and check shapes and order."""
        _convert_fields(
            self, image_indices=np.int64, lights=np.float32, sharpness=np.float32
        )
        boxes = np.asarray(self.boxes, np.float32).reshape(-1, 4)
        object.__setattr__(self, "boxes", boxes)
        n = len(self.image_indices)
        if not n == len(boxes) == len(self.lights) == len(self.sharpness):
            raise ValueError("faces must have one row in every array")
        if n and (np.diff(self.image_indices) < 0).any():
            raise ValueError("faces must be sorted by picture")

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.image_indices)

    def select_images(self, image_mask: NDArray[np.bool_]) -> FaceRows:
        """Return the faces of some pictures, which are counted anew."""
        row_mask, new_indices = (
            image_mask[self.image_indices],
            np.cumsum(image_mask) - 1,
        )
        return FaceRows(
            new_indices[self.image_indices[row_mask]],
            self.boxes[row_mask],
            self.lights[row_mask],
            self.sharpness[row_mask],
        )


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """What people said is true: pictures, faces and their labels.

    Attributes:
        name: of the set, as people know it.
        names: of each picture, for the gallery; no path of a machine.
        sizes_wh: `(p, 2)` int64 width and height of each picture in pixels.
        faces: the true faces.
        labels: `(n,)` int64 values of `Label`; `UNKNOWN` is a face of unknown class,
            which is neither missed nor a false alarm.
        has_boxes: whether the boxes are true. Without (folders of a class each), each
            picture has one face row whose box is the whole picture, and the face found
            there with the highest score answers for it; other faces do not count.
    """

    name: str
    names: tuple[str, ...]
    sizes_wh: IntArray
    faces: FaceRows
    labels: IntArray
    has_boxes: bool = True

    def __post_init__(self) -> None:
        """Convert and check shapes."""
        _convert_fields(self, labels=np.int64)
        sizes = np.asarray(self.sizes_wh, np.int64).reshape(-1, 2)
        object.__setattr__(self, "sizes_wh", sizes)
        if len(sizes) != len(self.names):
            raise ValueError("each picture of a set needs a name and a size")
        if len(self.labels) != len(self.faces):
            raise ValueError("each face of a set needs a label")
        if len(self.faces) and self.faces.image_indices[-1] >= len(self.names):
            raise ValueError("a face lies in a picture that the set does not have")

    def select_images(self, image_mask: NDArray[np.bool_]) -> LabelledSet:
        """Return the part of the set with the `(p,)` chosen pictures."""
        return dataclasses.replace(
            self,
            names=tuple(
                self.names[image_index] for image_index in np.flatnonzero(image_mask)
            ),
            sizes_wh=self.sizes_wh[image_mask],
            faces=self.faces.select_images(image_mask),
            labels=self.labels[image_mask[self.faces.image_indices]],
        )


@dataclass(frozen=True, eq=False)
class AnalyzerPredictions:
    """What one analyzer said about a set: every face from `MIN_STORED_SCORE` on.

    Attributes:
        ground_truth: the set.
        analyzer: its name, such as `onepass` or `onepass-fast`.
        faces: all it found, before any threshold and before overlaps are settled (an
            analyzer that settles them itself keeps its own way: its
            `nms_iou` was 1).
        scores: `(n,)` float32 face scores in [0, 1].
        probs: `(n, 3)` float32, rows sum to 1, columns as in `CLASSES`.
    """

    ground_truth: LabelledSet
    analyzer: str
    faces: FaceRows
    scores: Float32Array
    probs: Float32Array

    def __post_init__(self) -> None:
        """Convert and check shapes."""
        _convert_fields(self, scores=np.float32)
        probs = np.asarray(self.probs, np.float32).reshape(-1, len(CLASSES))
        object.__setattr__(self, "probs", probs)
        if not len(self.faces) == len(self.scores) == len(probs):
            raise ValueError("each face found needs a score and its probabilities")
        if len(self.faces) and self.faces.image_indices[-1] >= len(
            self.ground_truth.names
        ):
            raise ValueError("a face was found in a picture that the set does not have")

    def select_images(self, image_mask: NDArray[np.bool_]) -> AnalyzerPredictions:
        """Return what was said about the `(p,)` chosen pictures."""
        row_mask = image_mask[self.faces.image_indices]
        return dataclasses.replace(
            self,
            ground_truth=self.ground_truth.select_images(image_mask),
            faces=self.faces.select_images(image_mask),
            scores=self.scores[row_mask],
            probs=self.probs[row_mask],
        )


def _convert_fields(owner: object, **types: type[np.generic[Any]]) -> None:
    for name, dtype in types.items():
        values = np.asarray(getattr(owner, name), dtype).reshape(-1)
        object.__setattr__(owner, name, values)
