"""The faces of our own sample pictures: what is true, and what a mask model says.

The pictures of the data sets may not be shown; these may, as the portrait is in the
public domain and the masks were drawn by this program, which so knows the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from maskdet.classifier import classifier_path, crop_face, load_classifier
from maskdet.media import encode_jpeg, read_image
from maskdet.types import Faces, Label, Scene
from maskdet.web.pictures import CROP_PX
from maskdet.web.samples import IMAGE_SAMPLES

_LabelledBox: TypeAlias = tuple[tuple[float, float, float, float], Label]

_PORTRAIT_BOX: Final = (178.1, 65.0, 269.5, 176.4)

SAMPLE_FACES: Final[Mapping[str, tuple[_LabelledBox, ...]]] = {
    "portrait-bare.jpg": ((_PORTRAIT_BOX, Label.NO_MASK),),
    "portrait-mask.jpg": ((_PORTRAIT_BOX, Label.MASK),),
    "portrait-below-nose.jpg": ((_PORTRAIT_BOX, Label.INCORRECT),),
    "group.jpg": (
        ((61.4, 208.3, 118.1, 277.4), Label.NO_MASK),
        ((315.0, 192.9, 375.4, 266.4), Label.MASK),
        ((561.2, 205.0, 618.8, 275.1), Label.INCORRECT),
        ((801.2, 199.6, 859.7, 270.9), Label.MASK),
        ((153.4, 266.3, 246.6, 379.9), Label.MASK),
        ((422.0, 282.2, 518.0, 399.2), Label.INCORRECT),
        ((689.1, 261.0, 780.5, 372.4), Label.NO_MASK),
    ),
}
"""File name to the box of each face, `x1, y1, x2, y2` in pixels, and how the mask is
worn, as `scripts/make_samples.py` put them there."""


@dataclass(frozen=True, eq=False)
class SampleResult:
    """The sample faces as one mask model sees them, the worst answers first.

    Attributes:
        scene: the faces with their probabilities; boxes in pixels of their pictures.
        ground_truth: the true label of each.
        crops: one JPEG a face.
    """

    scene: Scene
    ground_truth: tuple[Label, ...]
    crops: tuple[bytes, ...]

    @property
    def n_wrong(self) -> int:
        """How many faces got another label than the true one."""
        pairs = zip(self.scene.labels, self.ground_truth, strict=True)
        return sum(label is not actual for label, actual in pairs)

    def take(self, n: int) -> SampleResult:
        """Return only the `n` faces with the worst answers."""
        rows = np.arange(min(n, len(self.ground_truth)))
        return SampleResult(self.scene[rows], self.ground_truth[:n], self.crops[:n])


def classify_samples(classifier: str) -> SampleResult:
    """Return what a mask model says of the sample faces, asked once.

    Raises:
        FileNotFoundError: its file is missing; the message says how to get it.
        RuntimeError: its file is broken or another version.
    """
    path = classifier_path(classifier)
    return _classify_samples(classifier, str(path), path.stat().st_mtime_ns)


@st.cache_data(max_entries=8, show_spinner="Looking at the samples …")
def _classify_samples(classifier: str, path: str, time_ns: int) -> SampleResult:
    model = load_classifier(classifier)
    crops: list[bytes] = []
    probs: list[NDArray[np.float32]] = []
    rows: list[_LabelledBox] = []
    for sample in IMAGE_SAMPLES:
        labelled_boxes = SAMPLE_FACES[sample.path.name]
        image = read_image(sample.path)
        boxes = np.array([box for box, _ in labelled_boxes], np.float32)
        probs.append(model.predict(image, boxes))
        crops += [encode_jpeg(crop_face(image, box, CROP_PX)) for box in boxes]
        rows += labelled_boxes
    return _sort_worst_first(rows, np.concatenate(probs), crops)


def _sort_worst_first(
    rows: list[_LabelledBox], probs: NDArray[np.float32], crops: list[bytes]
) -> SampleResult:
    ground_truth = [label for _, label in rows]
    order = np.argsort(probs[np.arange(len(rows)), ground_truth], kind="stable")
    boxes = np.array([box for box, _ in rows], np.float32)[order]
    scene = Scene(Faces(boxes, np.ones(len(rows), np.float32)), probs[order])
    return SampleResult(
        scene,
        tuple(ground_truth[row] for row in order),
        tuple(crops[row] for row in order),
    )
