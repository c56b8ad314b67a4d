"""Batches of the single-stage training.

A sample is a square part of a scene around a face, at a random size, with one row of
targets per face. The sampler balances classes, sources and face sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, box_areas, clip_boxes, intersection_areas, sizes_px
from maskdet.training.classifier.crops import UNDECIDABLE, to_class_targets
from maskdet.training.onepass.augment import (
    augment_photometric,
    cut_patch_around,
    paste_distractors,
    paste_face,
)
from maskdet.training.onepass.data import (
    NO_LABEL,
    MinedNegatives,
    PackedImages,
    TrainingImage,
)
from maskdet.training.workers import TrainingBatch, prefetch
from maskdet.types import CLASSES, Image, Label, Rng

TARGET_COLUMNS = 10
"""Columns of a target row: x1, y1, x2, y2 in pixels, state, three class
probabilities (as in `CLASSES`), weight of the class loss, weight of the box loss.

The state is `FACE`, `IGNORED`, or 0 for padding."""

FACE = 1.0
IGNORED = -1.0

CLASS_FRACTIONS: Mapping[Label, float] = {
    Label.MASK: 0.38,
    Label.NO_MASK: 0.42,
    Label.INCORRECT: 0.20,
}
"""Fraction of samples for a face of each class. `no_mask` and `incorrect` are
oversampled, because the other faces of a scene are mostly masked."""

UNDECIDABLE_FRACTION = 0.08
"""Fraction of samples for an undecidable face, besides `CLASS_FRACTIONS`."""

EMPTY_FRACTION = 0.08
"""Fraction of samples without a face."""

SAMPLE_SIDES_PX: Mapping[int, float] = {256: 0.15, 320: 0.47, 416: 0.22, 640: 0.16}
"""Sides of the samples (one per batch), and their fractions. The largest are for faces
that fill the image."""

MOSAIC_GRIDS: Mapping[int, float] = {1: 0.80, 2: 0.15, 3: 0.05}
"""Grid sizes of mosaics (Bochkovskiy et al., "YOLOv4", 2020), and their fractions.
Mosaics show many small faces, also from images with a single large one."""

_PASTED_FRACTION = 0.3
"""Fraction of samples from images without a face that get pasted faces."""

_MAX_PASTED = 3

_HARD_FACE_WEIGHT = 5.0
"""Additional sampling weight of a face that the detection teacher misses."""

_FULL_WEIGHT_PX = 24.0


def stack_targets(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Stack the `(faces, 10)` rows of each image to `(n, max faces, 10)`, zero-padded.

    The number of rows is rounded up, to limit the number of different shapes.
    """
    max_rows = max(8, -(-max(len(image_rows) for image_rows in rows) // 8) * 8)
    stacked = np.zeros((len(rows), max_rows, TARGET_COLUMNS), np.float32)
    for index, image_rows in enumerate(rows):
        stacked[index, : len(image_rows)] = image_rows
    return stacked


@dataclass(frozen=True)
class SampleConfig:
    """Sampling and target parameters.

    Attributes:
        face_px: range of the width of the selected face (log-uniform), limited by the
            size of the sample.
        most_zoom: maximum enlargement of an image.
        stretch: maximum relative change of each side, independently.
        least_px: smaller faces are ignored; they are below the finest stride.
        min_visible_fraction: minimum visible area of a face that is cut by the border;
            with less it is ignored.
        smoothing: label smoothing.
        teacher_fraction: fraction of the label from the teacher classifier.
        sure_px: width from which a class label has full weight; smaller faces have
            less, because their label is less visible.
        class_weights: weights of the class labels; samples contain more masks than
            the faces they are selected for.
        ambiguous_fraction: maximum exchange between the labels `mask` and `incorrect`,
            which are indistinguishable in tiny faces.
        ambiguous_px: range of the face size over which the exchange falls to 0.
        borders: weight of the box loss by source; 1 for other sources. The boxes of a
            detector are good enough for objectness and class, but not as borders.
        distracted: fraction of samples with distractors, see `paste_distractors`.
    """

    face_px: tuple[float, float] = (8.0, 560.0)
    most_zoom: float = 2.5
    stretch: float = 0.1
    least_px: float = 7.0
    min_visible_fraction: float = 0.5
    smoothing: float = 0.02
    teacher_fraction: float = 0.3
    sure_px: float = 20.0
    class_weights: tuple[float, float, float] = (0.8, 1.2, 1.5)
    ambiguous_fraction: float = 0.1
    ambiguous_px: tuple[float, float] = (12.0, 32.0)
    borders: tuple[tuple[str, float], ...] = (("drawn", 0.0),)
    distracted: float = 0.4

    def __post_init__(self) -> None:
        """Check the fractions."""
        if not 0 <= self.distracted <= 1:
            raise ValueError(f"distracted must be from 0 to 1, not {self.distracted!r}")
        for source, weight in self.borders:
            if not 0 <= weight <= 1:
                raise ValueError(
                    f"the border weight of {source} must be from 0 to 1, not {weight!r}"
                )


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """One image of a batch.

    Attributes:
        image: `(h, w, 3)` BGR.
        targets: `(n, 10)` rows, see `TARGET_COLUMNS`.
    """

    image: Image
    targets: NDArray[np.float32]


def make_face_sample(
    training_image: TrainingImage,
    face: int,
    size_px: int,
    rng: Rng,
    config: SampleConfig,
    background_patch: Image | None = None,
) -> TrainingSample:
    """Return a square sample that shows one face at a random size.

    Args:
        training_image: the scene.
        face: row of the face.
        size_px: side of the sample.
        rng: source of all random choices.
        config: sampling parameters.
        background_patch: a patch without a face, for distractors; by default one of
            the scene.
    """
    x1, y1, x2, y2 = training_image.boxes[face]
    scale = _sample_scale(training_image, x2 - x1, size_px, rng, config)
    window_px = size_px / scale
    # The middle of the face is inside, so at least about half of the face is visible.
    corner = np.array(
        [_sample_start(x1, x2, window_px, rng), _sample_start(y1, y2, window_px, rng)]
    )
    height, width = training_image.image.shape[:2]
    if rng.random() < 0.88:  # show as much of the image as fits
        room = np.array([width, height]) - window_px
        corner = np.clip(corner, np.minimum(room, 0), np.maximum(room, 0))
    return _cut_sample(
        training_image, corner, scale, size_px, rng, config, background_patch
    )


def make_negative_sample(
    training_image: TrainingImage, size_px: int, rng: Rng, config: SampleConfig
) -> TrainingSample:
    """Return a sample of an image without faces, or with a few pasted ones.

    It is usually the whole image, as at run time, or else a part of it.
    """
    height, width = training_image.image.shape[:2]
    low, high = (0.85, 1.25) if rng.random() < 0.65 else (0.3, 0.85)
    window_px = max(height, width) * math.exp(
        rng.uniform(math.log(low), math.log(high))
    )
    room = np.array([width - window_px, height - window_px])
    corner = rng.uniform(np.minimum(room, 0), np.maximum(room, 0) + 1e-6)
    return _cut_sample(
        training_image, corner, size_px / window_px, size_px, rng, config
    )


def make_empty_sample(
    training_image: TrainingImage,
    size_px: int,
    rng: Rng,
    config: SampleConfig,
) -> TrainingSample | None:
    """Return a sample of a part of the scene without a face; None if there is none."""
    height, width = training_image.image.shape[:2]
    for _ in range(12):
        window_px = math.exp(
            rng.uniform(math.log(48), math.log(max(64, min(height, width))))
        )
        corner = rng.uniform(0, np.maximum([width - window_px, height - window_px], 1))
        if _is_empty(training_image, corner, window_px):
            return _cut_sample(
                training_image, corner, size_px / window_px, size_px, rng, config
            )
    return None


def _is_empty(
    training_image: TrainingImage, corner: NDArray[np.float64], window_px: float
) -> bool:
    """Return whether a square window does not intersect a face."""
    window = np.array([[*corner, *(corner + window_px)]], np.float32)
    return not intersection_areas(window, training_image.boxes).any()


def _cut_background_patch(training_image: TrainingImage, rng: Rng) -> Image | None:
    """Return an unscaled patch of the image without a face; None if there is none."""
    height, width = training_image.image.shape[:2]
    for _ in range(4):
        patch_px = int(rng.integers(12, max(13, min(160, height, width))))
        corner = rng.uniform(0, np.maximum([width - patch_px, height - patch_px], 1))
        if _is_empty(training_image, corner, patch_px):
            x, y = corner.astype(int)
            return training_image.image[y : y + patch_px, x : x + patch_px]
    return None


def _sample_scale(
    training_image: TrainingImage,
    face_px: float,
    size_px: int,
    rng: Rng,
    config: SampleConfig,
) -> float:
    """Return the zoom for a random face size, limited so that the image fills it."""
    low, high = np.log(config.face_px)
    high = min(high, math.log(max(config.most_zoom * face_px, config.face_px[0] + 1)))
    high = min(high, math.log(0.9 * size_px))
    scale = math.exp(rng.uniform(min(low, high), high)) / max(face_px, 1.0)
    min_scale = rng.uniform(0.75, 1.1) * size_px / max(training_image.image.shape[:2])
    return float(min(max(scale, min_scale), config.most_zoom * 1.5))


def _sample_start(low: float, high: float, window_px: float, rng: Rng) -> float:
    """Return a random start of a window of `window_px` around a face, on one axis."""
    middle, half = (low + high) / 2, (high - low) / 2
    first, last = middle + half - window_px, middle - half
    if first > last:  # the face is larger than the window
        first, last = last, first
    return float(rng.uniform(first, last))


def _cut_sample(
    training_image: TrainingImage,
    corner: NDArray[np.float64],
    scale: float,
    size_px: int,
    rng: Rng,
    config: SampleConfig,
    background_patch: Image | None = None,
) -> TrainingSample:
    zoom = scale * (1 + rng.uniform(-config.stretch, config.stretch, 2))
    image = _warp_window(training_image.image, corner, zoom, size_px, rng)
    corners = (training_image.boxes.reshape(-1, 2, 2) - corner) * zoom
    boxes = corners.reshape(-1, 4).astype(np.float32)
    targets = make_targets(training_image, boxes, size_px, config)
    if config.distracted and rng.random() < config.distracted:
        distractor_patch = (
            _cut_background_patch(training_image, rng)
            if background_patch is None
            else background_patch
        )
        image = paste_distractors(image, boxes, distractor_patch, rng)
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
        targets[:, [0, 2]] = size_px - targets[:, [2, 0]]
    return TrainingSample(augment_photometric(image, rng), targets)


def _warp_window(
    image: Image,
    corner: NDArray[np.float64],
    zoom: NDArray[np.float64],
    size_px: int,
    rng: Rng,
) -> Image:
    """Return a part of the image, black outside it."""
    limits = np.array([image.shape[1], image.shape[0]])
    first = np.clip(np.floor(corner), 0, limits - 1).astype(int)
    last = np.clip(np.ceil(corner + size_px / zoom), first + 1, limits).astype(int)
    part = image[first[1] : last[1], first[0] : last[0]]
    remaining_zoom = zoom
    if float(zoom.min()) < 1 and rng.random() < 0.8:  # usually as at run time
        size_wh = np.maximum(np.rint((last - first) * zoom), 1).astype(int)
        part = np.asarray(cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA))
        remaining_zoom = np.ones(2)
    # Pixel i covers i to i + 1; the transform maps pixel centres.
    shift = (first - corner) * zoom + (remaining_zoom - 1) / 2
    matrix = np.array(
        [[remaining_zoom[0], 0, shift[0]], [0, remaining_zoom[1], shift[1]]]
    )
    resampling = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
    warped = cv2.warpAffine(part, matrix, (size_px, size_px), flags=resampling)
    return np.asarray(warped, np.uint8)


def make_targets(
    training_image: TrainingImage, boxes: Boxes, size_px: int, config: SampleConfig
) -> NDArray[np.float32]:
    """Return the `(k, 10)` target rows of a sample, see `TARGET_COLUMNS`.

    Args:
        training_image: the scene.
        boxes: `(n, 4)` its faces in pixels of the sample, not clipped.
        size_px: side of the sample.
        config: target parameters.
    """
    inside = clip_boxes(boxes, size_px, size_px)
    visible_fractions = box_areas(inside) / np.maximum(box_areas(boxes), 1e-6)
    sides_px = sizes_px(inside)
    is_counted = (
        (visible_fractions >= config.min_visible_fraction)
        & (np.sqrt(box_areas(inside)) >= config.least_px)
        & (training_image.labels != NO_LABEL)
    )
    targets = np.zeros((len(boxes), TARGET_COLUMNS), np.float32)
    targets[:, :4] = inside
    targets[:, 4] = np.where(is_counted, FACE, IGNORED)
    labels = np.maximum(training_image.labels, 0)
    class_probs = to_class_targets(labels, len(CLASSES))
    # An undecidable face has the mean weight of the classes.
    class_weights = class_probs @ np.array(config.class_weights, np.float32)
    class_probs += config.smoothing * (1 / len(CLASSES) - class_probs)
    class_probs = _mix_ambiguous_classes(class_probs, sides_px, config)
    teacher_mix = class_probs + config.teacher_fraction * (
        training_image.teacher_probs - class_probs
    )
    targets[:, 5:8] = np.where(np.isnan(teacher_mix), class_probs, teacher_mix)
    size_weights = np.clip((sides_px - 5) / (config.sure_px - 5), 0.1, 1)
    targets[:, 8] = class_weights * size_weights
    targets[:, 9] = dict(config.borders).get(training_image.source, 1.0)
    return targets[box_areas(inside) > 0]


def _mix_ambiguous_classes(
    class_probs: NDArray[np.float32],
    sides_px: NDArray[np.float32],
    config: SampleConfig,
) -> NDArray[np.float32]:
    """Return the probabilities, with `mask` and `incorrect` mixed for small faces."""
    low, high = config.ambiguous_px
    mix_fraction = config.ambiguous_fraction * np.clip(
        (high - sides_px) / (high - low), 0, 1
    )
    pair = [Label.MASK, Label.INCORRECT]
    result = class_probs.copy()
    result[:, pair] += mix_fraction[:, None] * (
        class_probs[:, pair[::-1]] - class_probs[:, pair]
    )
    return result


def compute_face_probabilities(packed_images: PackedImages) -> NDArray[np.float64]:
    """Return the `(m,)` sampling probability of each face.

    Classes have fixed fractions. Within a class, a source is weighted by the square
    root of its number of faces, so that small data sets contribute. A face is weighted
    by its size, because large faces can be sampled at any size, and by how low the
    detection teacher scores it, because training on negatives affects hard faces first.

    Raises:
        ValueError: there is no face of a known class.
    """
    counts = np.diff(packed_images.first_face)
    sources = np.repeat(packed_images.sources, counts)
    face_weights = np.clip(
        sizes_px(packed_images.boxes) / _FULL_WEIGHT_PX, 0.2, 2.0
    ).astype(np.float64)
    face_weights *= 1 + _HARD_FACE_WEIGHT * np.square(
        1 - packed_images.seen.astype(np.float64)
    )
    probabilities = np.zeros(len(packed_images.labels))
    fractions = [*CLASS_FRACTIONS.items(), (UNDECIDABLE, UNDECIDABLE_FRACTION)]
    for label, fraction in fractions:
        of_class = packed_images.labels == label
        for source in np.unique(sources[of_class]):
            rows = of_class & (sources == source)
            probabilities[rows] = (
                face_weights[rows] / face_weights[rows].sum() * np.sqrt(rows.sum())
            )
        if of_class.any():
            probabilities[of_class] *= fraction / probabilities[of_class].sum()
    if not probabilities.sum():
        raise ValueError("no training image has a face of a known class")
    result: NDArray[np.float64] = probabilities / probabilities.sum()
    return result


@dataclass(frozen=True, eq=False)
class OnePassSampler:
    """Random batches, reproducible for the same seed, epoch and step.

    Attributes:
        packed_images: the training scenes.
        batch_size: samples of 320 px per step; fewer if they are larger.
        seed: determines all random choices.
        config: sampling parameters.
        negatives: images without a face.
        negative_fraction: fraction of samples from `negatives`.
        mined: false positives in `negatives`, which weight their sampling; uniform
            without it.
        workers: processes that make the batches; 0 for a thread.
    """

    packed_images: PackedImages
    batch_size: int
    seed: int
    config: SampleConfig = SampleConfig()
    negatives: Sequence[TrainingImage] = ()
    negative_fraction: float = 0.0
    mined: MinedNegatives | None = None
    workers: int = 0
    _face_probabilities: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute the sampling probabilities once."""
        object.__setattr__(
            self, "_face_probabilities", compute_face_probabilities(self.packed_images)
        )

    def make_batch(self, epoch: int, step: int) -> TrainingBatch:
        """Return the samples of one step, BGR; targets as in `TARGET_COLUMNS`."""
        rng = np.random.default_rng([self.seed, epoch, step])
        side = int(rng.choice(list(SAMPLE_SIDES_PX), p=list(SAMPLE_SIDES_PX.values())))
        count = max(1, round(self.batch_size * min(1.0, (320 / side) ** 2)))
        faces = rng.choice(
            len(self._face_probabilities), 9 * count, p=self._face_probabilities
        )
        samples = [
            self._make_mosaic(iter(faces[n::count]), side, rng) for n in range(count)
        ]
        images = np.stack([sample.image for sample in samples])
        return TrainingBatch(
            images, stack_targets([sample.targets for sample in samples])
        )

    def iter_batches(self, epoch: int, steps: int) -> Iterator[TrainingBatch]:
        """Yield the batches of one epoch."""
        return prefetch(partial(self.make_batch, epoch), steps, self.workers)

    def _make_mosaic(self, faces: Iterator[int], side: int, rng: Rng) -> TrainingSample:
        grid = int(rng.choice(list(MOSAIC_GRIDS), p=list(MOSAIC_GRIDS.values())))
        if grid == 1:
            return self._make_tile(next(faces), side, rng)
        tile_px = side // grid
        image = np.zeros((side, side, 3), np.uint8)
        target_rows = []
        for cell in range(grid * grid):
            x, y = cell % grid * tile_px, cell // grid * tile_px
            sample = self._make_tile(next(faces), tile_px, rng)
            image[y : y + tile_px, x : x + tile_px] = sample.image
            sample.targets[:, :4] += (x, y, x, y)
            target_rows.append(sample.targets)
        return TrainingSample(image, np.concatenate(target_rows))

    def _make_tile(self, face: int, side: int, rng: Rng) -> TrainingSample:
        if len(self.negatives) and rng.random() < self.negative_fraction:
            return self._make_negative(side, rng)
        if rng.random() < EMPTY_FRACTION:
            image = self.packed_images.get(int(rng.integers(len(self.packed_images))))
            empty = make_empty_sample(image, side, rng, self.config)
            if empty is not None:
                return empty
        image, row = self._locate_face(face)
        return make_face_sample(
            image, row, side, rng, self.config, self._cut_false_positive_patch(rng)
        )

    def _locate_face(self, face: int) -> tuple[TrainingImage, int]:
        """Return the scene of a face, and its row in the scene."""
        first = self.packed_images.first_face
        index = int(np.searchsorted(first, face, side="right")) - 1
        return self.packed_images.get(index), int(face - first[index])

    def _make_negative(self, side: int, rng: Rng) -> TrainingSample:
        image = self.negatives[self._choose_negative(rng)]
        if rng.random() < _PASTED_FRACTION:
            count = int(rng.integers(1, _MAX_PASTED + 1))
            for face in rng.choice(
                len(self._face_probabilities), count, p=self._face_probabilities
            ):
                image = paste_face(image, *self._locate_face(int(face)), rng)
        return make_negative_sample(image, side, rng, self.config)

    def _choose_negative(self, rng: Rng) -> int:
        """Return the index of a negative, weighted by its false positives."""
        probabilities = (
            None if self.mined is None else self.mined.compute_probabilities()
        )
        return int(rng.choice(len(self.negatives), p=probabilities))

    def _cut_false_positive_patch(self, rng: Rng) -> Image | None:
        """Return the patch of a false positive for half of the samples, else None."""
        if self.mined is None or rng.random() < 0.5:
            return None
        index = self._choose_negative(rng)
        return cut_patch_around(self.negatives[index], self.mined.boxes[index], rng)
