"""Face crops for the classifier, cut from labelled images.

`PackedCrops` are wide crops for training, with room for augmentation. `Crops` are cut
as at run time, for validation, calibration and test. Synthetic crops add rendered masks
and other occluders to unmasked faces; they are used for training only.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, sizes_px
from maskdet.classifier import crop_face
from maskdet.datasets import Example
from maskdet.detectors import Detector, LandmarkDetector
from maskdet.media import read_image
from maskdet.synthetic import (
    Cover,
    Mask,
    MaskPosition,
    Occluder,
    render_cover,
    render_mask,
    render_occluder,
)
from maskdet.training.checkpoint import (
    open_arrays,
    read_cached_arrays,
    save_arrays,
)
from maskdet.training.classifier.augment import PACKED_CONTEXT
from maskdet.training.workers import map_parallel
from maskdet.types import CLASSES, Image, Label, Rng

logger = logging.getLogger(__name__)

PACKED_PX = 192
"""Side of a packed crop: the resolution of the network input when cut to the face."""

MIN_TRAIN_PX = 8
"""Smaller faces are excluded from training, because their label is not visible."""

MIN_VALIDATION_PX = 20
"""Smaller faces are excluded from validation, as in the published results."""

# These images show one face; a box with a lower score may be a hand or a poster.
_MIN_SINGLE_FACE_SCORE = 0.8

NO_FACE = len(CLASSES)
"""Label of a crop without a face: the column after those of `CLASSES`."""

UNDECIDABLE = NO_FACE + 1
"""Label of a face whose class is not certain, such as one behind a clear shield: its
target is the same probability for each of `CLASSES`."""

ProgressWrapper = Callable[[Iterable[Any]], Iterable[Any]]
"""Yields the items of an iterable and may show progress, such as `tqdm`."""

DRAWN_MASKS: Final[Mapping[MaskPosition, tuple[Label, float]]] = {
    "worn": (Label.MASK, 0.20),
    "below_nose": (Label.INCORRECT, 0.22),
    "chin": (Label.INCORRECT, 0.13),
}
"""Label of each rendered mask position, and its fraction of the synthetic crops."""

HARD_NEGATIVES: Final[Mapping[Occluder, float]] = {
    "hand": 0.14,
    "scarf": 0.08,
    "beard": 0.09,
    "cup": 0.09,
    "phone": 0.06,
    "headscarf": 0.14,
}
"""Other rendered occluders, with their fractions. Hands are reported most often."""

DRAWN_COVERS: Final[Mapping[Cover, tuple[int, float]]] = {
    "visor": (UNDECIDABLE, 0.12),
    "mouth shield": (UNDECIDABLE, 0.04),
    "window": (UNDECIDABLE, 0.05),
    "printed face": (UNDECIDABLE, 0.06),
    "printed mouth": (Label.MASK, 0.08),
}
"""Label of each rendered cover, and its fraction."""

# A box with this score, in the middle and of the right size, is the labelled face.
_MIN_CENTRE_FACE_SCORE: Final = 0.7

_MIN_FACE_RATIO: Final = 0.6

_MAX_FACE_RATIO: Final = 1.6

_MAX_CENTRE_OFFSET: Final = 0.35

_FaceLandmarks: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Box and landmarks."""

LabelledCrop: TypeAlias = tuple[Image, int, str]
"""A crop, its label and its source."""


def to_class_targets(labels: NDArray[np.int64], columns: int) -> NDArray[np.float32]:
    """Return the `(n, columns)` target probabilities of labels.

    Those of `UNDECIDABLE` are equal for all of `CLASSES`, the others one-hot.
    """
    table = np.zeros((UNDECIDABLE + 1, columns), np.float32)
    np.fill_diagonal(table, 1)
    table[UNDECIDABLE] = 0
    table[UNDECIDABLE, : len(CLASSES)] = 1 / len(CLASSES)
    targets: NDArray[np.float32] = table[labels]
    return targets


@dataclass(frozen=True, eq=False)
class Crops:
    """Labelled square face crops.

    Attributes:
        images: `(n, side, side, 3)` uint8 BGR.
        labels: `(n,)` int64, columns as in `CLASSES`, `NO_FACE` or `UNDECIDABLE`.
        sources: `(n,)` names of the collections.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class PackedCrops(Crops):
    """Wide crops with their origin.

    Attributes:
        whole: `(n,)` whether the crop is from an image of one face, not from a scene.
        drawn: `(n,)` whether the crop is synthetic; never in validation.
    """

    whole: NDArray[np.bool_]
    drawn: NDArray[np.bool_]

    def concat(self, other: PackedCrops) -> PackedCrops:
        """Return these crops and those of `other`, in this order."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return PackedCrops(*(np.concatenate(pair) for pair in pairs))


def stack_packed_crops(
    crops: Sequence[LabelledCrop],
    *,
    whole: Sequence[bool] | None = None,
    drawn: bool = False,
) -> PackedCrops:
    """Return crops of `PACKED_PX`, by default none of them `whole`."""
    n = len(crops)
    images = np.array([image for image, _, _ in crops], np.uint8)
    return PackedCrops(
        images=images.reshape(n, PACKED_PX, PACKED_PX, 3),
        labels=np.array([label for _, label, _ in crops], np.int64),
        sources=np.array([source for _, _, source in crops], np.str_),
        whole=np.zeros(n, np.bool_) if whole is None else np.array(whole),
        drawn=np.full(n, drawn),
    )


def pack_crops(
    examples: Sequence[Example], detector: Detector | None, progress: ProgressWrapper
) -> PackedCrops:
    """Cut wide crops, with room for augmentation to shift and rotate.

    An image of one face gives two crops: the whole image, and the box of `detector` if
    its score is high, as at run time.

    Raises:
        ValueError: there is no usable face.
    """
    faces = _cut_faces(
        examples, progress, PACKED_PX, PACKED_CONTEXT, MIN_TRAIN_PX, detector
    )
    return stack_packed_crops(
        [(crop, label, example.source) for crop, label, example in faces],
        whole=[example.is_crop for _, _, example in faces],
    )


def _cut_faces(
    examples: Sequence[Example],
    progress: ProgressWrapper,
    size_px: int,
    context: float,
    min_px: float,
    detector: Detector | None = None,
) -> list[tuple[Image, int, Example]]:
    """Cut the faces of images; unreadable images are skipped and logged."""

    def cut(example: Example) -> list[tuple[Image, int, Example]]:
        try:
            image = read_image(example.path)
        except ValueError as error:
            logger.warning("skipped: %s", error)
            return []
        return [
            (crop_face(image, box, size_px, context=context), int(label), example)
            for box, label in _list_faces(example, image, min_px, detector)
        ]

    crops = [*itertools.chain(*map_parallel(cut, examples, progress))]
    if not crops:
        raise ValueError(f"none of {len(examples)} images has a usable face")
    return crops


def _list_faces(
    example: Example, image: Image, min_px: float, detector: Detector | None
) -> Iterator[tuple[NDArray[np.float32], Label]]:
    """Yield the boxes to cut, with their labels."""
    if not example.is_crop:
        for box, label in zip(example.boxes, example.labels, strict=True):
            if sizes_px(box[None])[0] >= min_px:
                yield box, label
        return
    height, width = image.shape[:2]
    yield np.array([0, 0, width, height], np.float32), example.labels[0]
    if detector is not None:
        for box in _detect_single_face(detector, image):
            yield box, example.labels[0]


def _detect_single_face(detector: Detector, image: Image) -> Boxes:
    """Return the box of the single dominant face, `(1, 4)`, or `(0, 4)`."""
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


def read_packed_crops(path: Path, fingerprint: str) -> PackedCrops | None:
    """Return the crops in `path` if the fingerprint matches, else None."""
    arrays = read_cached_arrays(path, fingerprint)
    return None if arrays is None else PackedCrops(**arrays)


def cut_crops(
    examples: Sequence[Example],
    progress: ProgressWrapper,
    size_px: int,
    *,
    context: float,
    min_px: float,
) -> Crops:
    """Cut every labelled face exactly as `MaskClassifier` does.

    For an image of one face, the box is the whole image. Unreadable images are skipped
    and logged.

    Args:
        examples: labelled images.
        progress: wraps the examples, such as `tqdm`.
        size_px: side of a crop.
        context: side of the window in longer sides of the box.
        min_px: shortest side of a box in a scene; smaller boxes are skipped.

    Raises:
        ValueError: there is no usable face.
    """
    faces = _cut_faces(examples, progress, size_px, context, min_px)
    return Crops(
        np.stack([crop for crop, _, _ in faces]),
        np.array([label for _, label, _ in faces], np.int64),
        np.array([example.source for _, _, example in faces]),
    )


def save_crops(crops: Crops, path: Path, fingerprint: str | None = None) -> None:
    """Write crops to `path` (.npz); `fingerprint` identifies their inputs."""
    save_arrays(path, vars(crops), fingerprint)


def read_crops(path: Path) -> Crops:
    """Return the crops that `save_crops` wrote.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no crops; run `maskdet train` first")
    with open_arrays(path) as stored:
        return Crops(stored["images"], stored["labels"], stored["sources"])


def draw_synthetic_crops(
    packed_crops: PackedCrops,
    detector: LandmarkDetector,
    count: int,
    seed: int,
    progress: ProgressWrapper = iter,
) -> PackedCrops:
    """Return up to `count` synthetic crops, rendered on `no_mask` crops.

    Args:
        packed_crops: source crops; only those labelled `no_mask` are used.
        detector: detects the landmarks.
        count: number of crops; fewer if landmarks are detected on few faces.
        seed: determines all random choices.
        progress: wraps the items, such as `tqdm`.

    Returns:
        Crops with `drawn` set and the source `drawn-NAME`, where NAME is the rendered
        object; empty without a `no_mask` crop.
    """
    no_mask_rows = np.flatnonzero(packed_crops.labels == Label.NO_MASK).tolist()
    order = shuffle_passes(no_mask_rows, count, np.random.default_rng(seed))

    def draw(index: int) -> LabelledCrop | None:
        image = packed_crops.images[order[index]]
        face = _detect_centre_face(detector, image)
        rng = np.random.default_rng([seed, index])
        if face is None:
            return None
        drawn_image, label, name = draw_on_face(image, *face, rng)
        return drawn_image, label, f"drawn-{name}"

    results = map_parallel(draw, range(len(order)), progress)
    return stack_packed_crops(
        list(itertools.islice(filter(None, results), count)), drawn=True
    )


def shuffle_passes(rows: Sequence[int], count: int, rng: Rng) -> list[int]:
    """Return passes over rows, each in another order, with at least `count` entries."""
    passes = -(-count // max(len(rows), 1))
    return [int(row) for _ in range(passes) for row in rng.permutation(rows)]


def _detect_centre_face(
    detector: LandmarkDetector, image: Image
) -> _FaceLandmarks | None:
    """Return box and landmarks of the face at the centre of a packed crop."""
    faces, landmarks = detector.detect_landmarks(image)
    side = image.shape[0]
    expected_px = side / PACKED_CONTEXT
    sizes = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1)
    offsets = np.abs(faces.boxes.reshape(-1, 2, 2).mean(axis=1) - side / 2).max(axis=1)
    fits = (
        (faces.scores >= _MIN_CENTRE_FACE_SCORE)
        & (sizes > _MIN_FACE_RATIO * expected_px)
        & (sizes < _MAX_FACE_RATIO * expected_px)
        & (offsets < _MAX_CENTRE_OFFSET * expected_px)
    )
    if not fits.any():
        return None
    best = int(np.flatnonzero(fits)[0])
    return faces.boxes[best], landmarks[best]


def draw_on_face(
    image: Image,
    box: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    rng: Rng,
) -> tuple[Image, int, str]:
    """Draw a random mask, hard negative or cover on a face without a mask.

    Args:
        image: `(h, w, 3)` uint8, BGR; not changed.
        box: `(4,)` box of the face.
        landmarks: `(5, 2)` landmarks of the face.
        rng: random numbers; the frequencies are in `DRAWN_MASKS`, `HARD_NEGATIVES` and
            `DRAWN_COVERS`.

    Returns:
        The new image, the label of the face, and the name of what was drawn.
    """
    fractions = [
        *(fraction for _, fraction in DRAWN_MASKS.values()),
        *HARD_NEGATIVES.values(),
        *(fraction for _, fraction in DRAWN_COVERS.values()),
    ]
    choice = int(rng.choice(len(fractions), p=np.array(fractions) / sum(fractions)))
    if choice < len(DRAWN_MASKS):
        position, (mask_label, _) = list(DRAWN_MASKS.items())[choice]
        mask = Mask.random(rng, position)
        drawn = render_mask(image, landmarks, mask, box=box, rng=rng)
        return drawn, mask_label, position
    choice -= len(DRAWN_MASKS)
    if choice < len(HARD_NEGATIVES):
        occluder = list(HARD_NEGATIVES)[choice]
        drawn = render_occluder(image, landmarks, occluder, box=box, rng=rng)
        return drawn, Label.NO_MASK, occluder
    cover, (label, _) = list(DRAWN_COVERS.items())[choice - len(HARD_NEGATIVES)]
    return render_cover(image, landmarks, cover, box=box, rng=rng), label, cover
