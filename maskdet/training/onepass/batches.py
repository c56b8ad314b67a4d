"""Which views a training step sees: balanced by class, source and size of the face.

One training view: a part of a scene around a face, at a size drawn by chance.

What is known of the faces of an image, as rows that a training reads.
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
from maskdet.training.workers import prefetch
from maskdet.types import CLASSES, Image, Label

TARGET_COLUMNS = 10
"""Of a row of truth: x1, y1, x2, y2 in pixels, state, three shares, two weights.

The state is `FACE`, `IGNORED` or 0 for a row that only fills the batch. The shares are
of `CLASSES`; the first weight is how much the label counts, the second how much the
border of the box does."""

FACE = 1.0
IGNORED = -1.0


def stack_targets(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return `(n, most faces, 10)` from one `(faces, 10)` an image, filled with zeros.

    The count is rounded up, so that a training meets few shapes.
    """
    max_rows = max(8, -(-max(len(image_rows) for image_rows in rows) // 8) * 8)
    stacked = np.zeros((len(rows), max_rows, TARGET_COLUMNS), np.float32)
    for index, image_rows in enumerate(rows):
        stacked[index, : len(image_rows)] = image_rows
    return stacked


Rng = np.random.Generator


@dataclass(frozen=True)
class SampleConfig:
    """How scenes become views.

    Attributes:
        face_px: the chosen face comes out so wide, log-uniformly between the two,
            as far as the view has room for it.
        most_zoom: images are enlarged by at most this: beyond it they show no more.
        stretch: sides are changed by at most this share, each by itself.
        least_px: smaller faces are ignored: a cell of 8 px does not see them.
        kept_share: of a face cut by the border at least this must be in the view for
            it to count; with less it is ignored.
        smoothing: share of the label given to all classes.
        taught_share: share of the label that a classifier's answer replaces.
        sure_px: from this width on the label of a face counts fully; small ones count
            less, as nobody can see their label.
        class_weights: how much a label counts, by class: views hold more masks than
            the faces they are drawn for.
        blurred_share: how much of the labels `mask` and `incorrect` the other gets,
            at most: in a tiny face nobody can tell them apart.
        blurred_px: faces between the two have a part of it; larger ones nothing.
        borders: how much the box of a face counts, by source; 1 for others. A
            detector's boxes teach what a face is and how its mask is worn, but not
            where people would draw its border.
        distracted: how many views get things that are no face, see `distractors`.
    """

    face_px: tuple[float, float] = (8.0, 560.0)
    most_zoom: float = 2.5
    stretch: float = 0.1
    least_px: float = 7.0
    kept_share: float = 0.5
    smoothing: float = 0.02
    taught_share: float = 0.3
    sure_px: float = 20.0
    class_weights: tuple[float, float, float] = (0.8, 1.2, 1.5)
    blurred_share: float = 0.1
    blurred_px: tuple[float, float] = (12.0, 32.0)
    borders: tuple[tuple[str, float], ...] = (("drawn", 0.0),)
    distracted: float = 0.4

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if not 0 <= self.distracted <= 1:
            raise ValueError(f"distracted must be from 0 to 1, not {self.distracted!r}")
        for source, weight in self.borders:
            if not 0 <= weight <= 1:
                raise ValueError(
                    f"the border weight of {source} must be from 0 to 1, not {weight!r}"
                )


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """What the network learns from in one image.

    Attributes:
        image: `(h, w, 3)` BGR.
        targets: `(n, 10)` rows, see `targets.TARGET_COLUMNS`.
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
    """Return a square view in which one face comes out at a size drawn by chance.

    Args:
        training_image: the scene.
        face: row of the face.
        size_px: side of the view.
        rng: the only source of chance.
        config: how.
        background_patch: a piece without a face, for `distractors`; one of the scene
            unless given.
    """
    x1, y1, x2, y2 = training_image.boxes[face]
    scale = _sample_scale(training_image, x2 - x1, size_px, rng, config)
    window_px = size_px / scale
    # The middle of the face stays inside, so at least about half of the face does.
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
    """Return a view of an image without faces, or with few that were laid into it.

    Mostly the whole image, as at run time, else a part of it.
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
    tries: int = 12,
) -> TrainingSample | None:
    """Return a view of a part of the scene without any face; None if none was found."""
    height, width = training_image.image.shape[:2]
    for _ in range(tries):
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
    """Return whether a square window of the image touches no face."""
    window = np.array([[*corner, *(corner + window_px)]], np.float32)
    return not intersection_areas(window, training_image.boxes).any()


def _cut_background_patch(
    training_image: TrainingImage, rng: Rng, tries: int = 4
) -> Image | None:
    """Return a piece of the image without any face, as it is; None without one."""
    height, width = training_image.image.shape[:2]
    for _ in range(tries):
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
    """Return the zoom: for the wanted face, but never so that little is left to see."""
    low, high = np.log(config.face_px)
    high = min(high, math.log(max(config.most_zoom * face_px, config.face_px[0] + 1)))
    high = min(high, math.log(0.9 * size_px))
    scale = math.exp(rng.uniform(min(low, high), high)) / max(face_px, 1.0)
    min_scale = rng.uniform(0.75, 1.1) * size_px / max(training_image.image.shape[:2])
    return float(min(max(scale, min_scale), config.most_zoom * 1.5))


def _sample_start(low: float, high: float, window_px: float, rng: Rng) -> float:
    """Return where a window of the length `window_px` may begin around a face."""
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
    """Return a part of the image, black where the image ends."""
    limits = np.array([image.shape[1], image.shape[0]])
    first = np.clip(np.floor(corner), 0, limits - 1).astype(int)
    last = np.clip(np.ceil(corner + size_px / zoom), first + 1, limits).astype(int)
    part = image[first[1] : last[1], first[0] : last[0]]
    remaining_zoom = zoom
    if float(zoom.min()) < 1 and rng.random() < 0.8:  # as run time does; the rest skip
        size_wh = np.maximum(np.rint((last - first) * zoom), 1).astype(int)
        part = np.asarray(cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA))
        remaining_zoom = np.ones(2)
    # Pixel i covers i to i + 1, and its middle is what moves.
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
    """Return `(k, 10)` what is to be found in a view, see `targets.TARGET_COLUMNS`.

    Args:
        training_image: the scene.
        boxes: `(n, 4)` its faces in pixels of the view, uncut.
        size_px: side of the view.
        config: what counts.
    """
    inside = clip_boxes(boxes, size_px, size_px)
    visible_fractions = box_areas(inside) / np.maximum(box_areas(boxes), 1e-6)
    sides = inside[:, 2:] - inside[:, :2]
    is_counted = (
        (visible_fractions >= config.kept_share)
        & (np.sqrt(box_areas(inside)) >= config.least_px)
        & (training_image.labels != NO_LABEL)
    )
    targets = np.zeros((len(boxes), TARGET_COLUMNS), np.float32)
    targets[:, :4] = inside
    targets[:, 4] = np.where(is_counted, FACE, IGNORED)
    class_columns = np.maximum(training_image.labels, 0)
    class_probs = np.eye(len(CLASSES), dtype=np.float32)[class_columns]
    class_probs += config.smoothing * (1 / len(CLASSES) - class_probs)
    class_probs = _mix_ambiguous_classes(
        class_probs, sides.min(axis=1, initial=np.inf), config
    )
    teacher_mix = class_probs + config.taught_share * (
        training_image.teacher_probs - class_probs
    )
    targets[:, 5:8] = np.where(np.isnan(teacher_mix), class_probs, teacher_mix)
    size_weights = np.clip(
        (sides.min(axis=1, initial=np.inf) - 5) / (config.sure_px - 5), 0.1, 1
    )
    targets[:, 8] = np.array(config.class_weights)[class_columns] * size_weights
    targets[:, 9] = dict(config.borders).get(training_image.source, 1.0)
    return targets[box_areas(inside) > 0]


def _mix_ambiguous_classes(
    class_probs: NDArray[np.float32],
    sides_px: NDArray[np.float32],
    config: SampleConfig,
) -> NDArray[np.float32]:
    """Return the shares, those of `mask` and `incorrect` mixed in small faces."""
    low, high = config.blurred_px
    mix_fraction = config.blurred_share * np.clip(
        (high - sides_px) / (high - low), 0, 1
    )
    pair = [Label.MASK, Label.INCORRECT]
    result = class_probs.copy()
    result[:, pair] += mix_fraction[:, None] * (
        class_probs[:, pair[::-1]] - class_probs[:, pair]
    )
    return result


CLASS_FRACTIONS: Mapping[Label, float] = {
    Label.MASK: 0.38,
    Label.NO_MASK: 0.42,
    Label.INCORRECT: 0.20,
}
"""How often a view is drawn for a face of each class. Bare and wrongly worn ones come
more often than they are: the other faces of a scene are mostly masked."""

EMPTY_FRACTION = 0.08
"""Views without any face."""

SAMPLE_SIDES_PX: Mapping[int, float] = {256: 0.15, 320: 0.47, 416: 0.22, 640: 0.16}
"""Side of the views, a whole batch at a time, and how often. The largest are for faces
that fill an image: scaled up for the analyzer they are wider than the others show."""

MOSAIC_GRIDS: Mapping[int, float] = {1: 0.80, 2: 0.15, 3: 0.05}
"""Images side by side in one view (mosaics; Bochkovskiy et al., "YOLOv4", 2020), and
how often: crowds of small faces, also from images that show a single large one."""

_PASTED_FRACTION = 0.3
"""Views of images without a face that get some laid in."""

_MAX_PASTED = 3
_HARD_FACE_WEIGHT = 5.0
"""A face that a detection teacher misses counts so much more than a clear one."""

_FULL_WEIGHT_PX = 24.0


@dataclass(frozen=True, eq=False)
class OnePassBatch:
    """One training step's input.

    Attributes:
        images: `(n, side, side, 3)` uint8 BGR.
        targets: `(n, faces, 10)` float32, see `targets.TRUTH_COLUMNS`.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]


def compute_face_probabilities(packed_images: PackedImages) -> NDArray[np.float64]:
    """Return the `(m,)` chance of each face to have a view drawn for it.

    Classes get their share. Within one, a source counts by the root of its faces, so
    that small careful sets are not drowned, and a face by its size, as large ones can
    be shown at any size, and by how low a detection teacher scores it: learning that
    things are no faces costs those first that look least like one.
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
    for label in CLASSES:
        of_class = packed_images.labels == label
        for source in np.unique(sources[of_class]):
            rows = of_class & (sources == source)
            probabilities[rows] = (
                face_weights[rows] / face_weights[rows].sum() * np.sqrt(rows.sum())
            )
        if of_class.any():
            probabilities[of_class] *= (
                CLASS_FRACTIONS[label] / probabilities[of_class].sum()
            )
    if not probabilities.sum():
        raise ValueError("no image to train on holds a face of a known class")
    result: NDArray[np.float64] = probabilities / probabilities.sum()
    return result


@dataclass(frozen=True, eq=False)
class OnePassSampler:
    """Endless choice, the same for the same seed, epoch and step.

    Attributes:
        packed_images: what views are cut from.
        batch_size: views a step, of 320 px; larger ones are fewer.
        seed: fixes every random choice.
        config: how scenes become views.
        negatives: images without a face.
        negative_fraction: how many views show one of them.
        mined: where the network sees faces in them; without, all are shown as often.
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
        """Work out the chances once: they are the same for every step."""
        object.__setattr__(
            self, "_face_probabilities", compute_face_probabilities(self.packed_images)
        )

    def make_batch(self, epoch: int, step: int) -> OnePassBatch:
        """Return the views of one step."""
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
        return OnePassBatch(
            images, stack_targets([sample.targets for sample in samples])
        )

    def iter_batches(self, epoch: int, steps: int) -> Iterator[OnePassBatch]:
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
        """Return the scene of a face, and its row there."""
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
        """Return a negative, those that the network is wrong about more often."""
        probabilities = (
            None if self.mined is None else self.mined.compute_probabilities()
        )
        return int(rng.choice(len(self.negatives), p=probabilities))

    def _cut_false_positive_patch(self, rng: Rng) -> Image | None:
        """Return what the network took for a face, now and then."""
        if self.mined is None or rng.random() < 0.5:
            return None
        index = self._choose_negative(rng)
        return cut_patch_around(self.negatives[index], self.mined.boxes[index], rng)
