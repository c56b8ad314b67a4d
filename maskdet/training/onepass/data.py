"""Training data of the single-stage network.

Scenes are read, downscaled, optionally classified by a teacher, and stored in one file.
Images without a face are read as negatives and partly held out. A detection teacher
adds likely but unlabelled faces as ignored boxes, and scores the labelled faces.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.onepass import SingleStage, SingleStageNetwork
from maskdet.analyzers.pipelines import RESIZES
from maskdet.boxes import (
    Boxes,
    box_areas,
    intersection_areas,
    iou_matrix,
    nms,
    sizes_px,
)
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.datasets.example import empty_boxes
from maskdet.media import find_images, read_image, resize_image
from maskdet.settings import Settings
from maskdet.training.checkpoint import read_cached_arrays, save_arrays
from maskdet.training.classifier.crops import ProgressWrapper
from maskdet.training.workers import map_parallel
from maskdet.types import CLASSES, Faces, Image

logger = logging.getLogger(__name__)

VALIDATION_FILE = "validation.npz"
"""The validation scenes of a run."""

MAX_SIDE_PX = 640
"""Larger images are downscaled to this longer side."""

_MIN_TEACHER_PX = 16
"""Shortest side of a face for the teacher classifier."""

NO_LABEL = -1
"""Label of a face of unknown class; detecting it is neither correct nor wrong."""

HELD_OUT_FILE = "negatives.npz"
"""The held-out images without a face of a run."""

FALSE_POSITIVE_SCORES: Final = (0.5, 0.6, 0.7)
"""Thresholds at which false positives are counted; the first is the default."""

FALSE_POSITIVE_COST: Final = 0.25
"""Weight of the false-positive rate in the selection score of an epoch: a rate of 4 %
costs as much as 1 % of average precision."""

_HELD_OUT_EVERY: Final = 4
"""One in four images of each kind is held out, selected by a hash of its name."""

_MIN_SAMPLING_WEIGHT: Final = 0.03
"""Added to the squared score, so that images without false positives are sampled."""

SCALINGS: Final = {resize.long_side_px: resize for resize in RESIZES.values()}
"""Input scaling of the analyzers, the thorough one first, by longer side."""

_FUSION_WEIGHTS: Final = (1.0, 0.7)
"""Weights of the detections in the fusion, in the order of `SCALINGS`."""

_MIN_UNLABELLED_SCORE: Final = 0.4
"""On the audited validation scenes, 50 to 90 % of the unlabelled detections above this
score are real faces, about 33 % just below it, and 7 % at 0.15."""

_SAME_IOU: Final = 0.5

_DETECTED_IOU: Final = 0.4
"""Lower than `_SAME_IOU`: a face with an inaccurate box counts as detected."""

_MAX_COVERED_FRACTION: Final = 0.5
"""A detection with this fraction of its area in a labelled face is the same face."""


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """One image of a training set.

    Attributes:
        image: `(h, w, 3)` BGR.
        boxes: `(n, 4)` boxes of the faces in pixels.
        labels: `(n,)` columns as in `CLASSES`, `UNDECIDABLE` or `NO_LABEL`.
        teacher_probs: `(n, 3)` probabilities from a teacher classifier, or NaN.
        source: name of the collection; `drawn` for synthetic images.
        detector_scores: `(n,)` scores from a detection teacher; None without one.
    """

    image: Image
    boxes: Boxes
    labels: NDArray[np.int64]
    teacher_probs: NDArray[np.float32]
    source: str
    detector_scores: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Images of any size in one flat array. The field names are keys of the file.

    Attributes:
        pixels: `(bytes,)` uint8.
        sizes_hw: `(n, 2)` height and width of each image.
        first_face: `(n + 1,)` index of the first face of each image.
        boxes: `(m, 4)` boxes of all faces.
        labels: `(m,)` columns as in `CLASSES`, `UNDECIDABLE` or `NO_LABEL`.
        taught: `(m, 3)` probabilities from a teacher classifier, or NaN.
        sources: `(n,)` names of the collections.
        seen: `(m,)` scores from a detection teacher, 1 without one.
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
        """Return the number of images."""
        return len(self.sizes_hw)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Offset of each image."""
        return np.cumsum(np.concatenate([[0], self.sizes_hw.prod(axis=1) * 3]))

    def get(self, index: int) -> TrainingImage:
        """Return an image; nothing is copied."""
        height, width = self.sizes_hw[index]
        flat = self.pixels[self._starts[index] : self._starts[index + 1]]
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
        """Pack images into one."""
        counts = [len(image.boxes) for image in images]
        return cls(
            pixels=np.concatenate([image.image.ravel() for image in images]),
            sizes_hw=np.array([image.image.shape[:2] for image in images], np.int64),
            first_face=np.cumsum([0, *counts]).astype(np.int64),
            boxes=np.concatenate([image.boxes for image in images]),
            labels=np.concatenate([image.labels for image in images]),
            taught=np.concatenate([image.teacher_probs for image in images]),
            sources=np.array([image.source for image in images], np.str_),
            seen=np.concatenate(
                [
                    np.ones(len(image.boxes), np.float32)
                    if image.detector_scores is None
                    else image.detector_scores
                    for image in images
                ]
            ),
        )


def read_training_images(
    examples: Sequence[Example],
    progress: ProgressWrapper = iter,
    teacher: Classifier | None = None,
) -> list[TrainingImage]:
    """Read images with boxes, and classify their faces with a teacher.

    Args:
        examples: scenes; images with one label and no box are skipped with a warning.
        progress: wraps the examples, such as `tqdm`.
        teacher: a larger classifier; None for none.

    Raises:
        ValueError: no example has boxes.
    """
    unboxed = sum(example.is_crop for example in examples)
    if unboxed:
        logger.warning(
            "skipped %d images without boxes; `maskdet label` can add boxes", unboxed
        )
    boxed = [boxed_example for boxed_example in examples if not boxed_example.is_crop]
    images = list(map_parallel(partial(_read_training_image, teacher), boxed, progress))
    if not images:
        raise ValueError("no image has boxes; add them with `maskdet label`")
    return images


def shrink_image(image: Image) -> tuple[Image, float]:
    """Downscale an image to at most `MAX_SIDE_PX`; return it and the scale."""
    scale = min(1.0, MAX_SIDE_PX / max(image.shape[:2]))
    return resize_image(image, scale), scale


def _read_training_image(teacher: Classifier | None, example: Example) -> TrainingImage:
    image = read_image(example.path)
    boxes = np.concatenate([example.boxes, example.ignore_boxes]).astype(np.float32)
    unknown = np.full(len(example.ignore_boxes), NO_LABEL)
    labels = np.concatenate([example.label_values, unknown]).astype(np.int64)
    teacher_probs = np.full((len(boxes), len(CLASSES)), np.nan, np.float32)
    large = sizes_px(boxes) >= _MIN_TEACHER_PX
    if teacher is not None and len(boxes):
        teachable = large & (labels != NO_LABEL)
        teacher_probs[teachable] = teacher.predict(image, boxes[teachable])
    image, scale = shrink_image(image)
    return TrainingImage(image, boxes * scale, labels, teacher_probs, example.source)


def save_packed_images(
    packed_images: PackedImages, path: Path, fingerprint: str
) -> None:
    """Write scenes to `path` (.npz); `fingerprint` identifies their inputs."""
    arrays = {
        field.name: getattr(packed_images, field.name)
        for field in dataclasses.fields(packed_images)
    }
    save_arrays(path, arrays, fingerprint)


def read_packed_images(
    path: Path, fingerprint: str | None = None
) -> PackedImages | None:
    """Return the scenes in `path` if the fingerprint matches or is None, else None."""
    arrays = read_cached_arrays(path, fingerprint)
    if arrays is None:
        return None
    # Older versions did not store scores of a detection teacher.
    arrays.setdefault("seen", np.ones(len(arrays["labels"]), np.float32))
    return PackedImages(**arrays)


def load_training_images(path: Path) -> list[TrainingImage]:
    """Return the images that `save_packed_images` wrote, for any fingerprint.

    Raises:
        ValueError: the file is damaged.
    """
    packed_images = read_packed_images(path)
    if packed_images is None:
        raise ValueError(f"{path}: file is damaged or of another version")
    return [packed_images.get(index) for index in range(len(packed_images))]


class NegativeImage(NamedTuple):
    """An image file without a face.

    Attributes:
        path: the file.
        kind: its content, such as `house`.
        held_out: whether it is used for validation only.
    """

    path: Path
    kind: str
    held_out: bool


@dataclass(frozen=True, eq=False)
class NegativeImages:
    """Images without a face; `source` is their kind.

    Attributes:
        train: to train on.
        held_out: for validation: a part of each kind, and some kinds completely.
    """

    train: Sequence[TrainingImage] = ()
    held_out: Sequence[TrainingImage] = ()


@dataclass(frozen=True, eq=False)
class MinedNegatives:
    """Highest-scoring false positive in each image without a face.

    Attributes:
        scores: `(n,)` highest detection score; 0 without a detection.
        boxes: `(n, 4)` its box.
    """

    scores: NDArray[np.float32]
    boxes: Boxes

    def compute_probabilities(self) -> NDArray[np.float64]:
        """Return the `(n,)` sampling probability of each image."""
        sampling_weights = _MIN_SAMPLING_WEIGHT + np.square(
            self.scores.astype(np.float64)
        )
        result: NDArray[np.float64] = sampling_weights / sampling_weights.sum()
        return result


def read_negatives(
    paths: Iterable[str | Path],
    kinds: Sequence[str] = (),
    progress: Callable[[Sequence[NegativeImage]], Iterable[NegativeImage]] = iter,
) -> NegativeImages:
    """Read the images of `list_negatives`.

    Args:
        paths: as in `list_negatives`.
        kinds: as in `list_negatives`.
        progress: wraps the files, such as `tqdm`.

    Raises:
        FileNotFoundError: as in `list_negatives`.
        ValueError: as in `list_negatives`.
    """
    train: list[TrainingImage] = []
    held_out: list[TrainingImage] = []
    listed = list_negatives(paths, kinds)
    images = map_parallel(_read_negative, listed, progress)
    for item, image in zip(listed, images, strict=True):
        (held_out if item.held_out else train).append(image)
    return NegativeImages(train, held_out)


def list_negatives(
    paths: Iterable[str | Path], kinds: Sequence[str] = ()
) -> list[NegativeImage]:
    """List images without a face, and hold out a part of them.

    Args:
        paths: COCO files without annotations, whose images may have a `kind`, or
            folders of images; the name of a folder is its kind.
        kinds: kinds to hold out completely; of the others, one image in four is held
            out.

    Raises:
        FileNotFoundError: a path or an image does not exist.
        ValueError: a file is not COCO or lists a face, or a kind does not exist.
    """
    listed = [row for path in paths for row in _list_path(Path(path))]
    all_kinds = {kind for _, kind in listed}
    for kind in kinds:
        if kind not in all_kinds:
            raise ValueError(
                f"no negative image has the kind {kind!r}; available kinds: "
                f"{', '.join(sorted(all_kinds)) or 'none'}"
            )
    return [
        NegativeImage(file, kind, kind in kinds or is_held_out(file.name))
        for file, kind in listed
    ]


def is_held_out(name: str) -> bool:
    """Return whether an image with this file name is held out."""
    digest = hashlib.sha256(name.encode()).digest()
    return digest[0] % _HELD_OUT_EVERY == 0


def _list_path(path: Path) -> list[tuple[Path, str]]:
    """Return the images of a file or folder, and the kind of each."""
    if path.is_dir():
        files = [(file, path.resolve().name) for file in find_images(path).images]
        if not files:
            raise ValueError(f"{path}: folder contains no images")
        return files
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images, faces = content["images"], content["annotations"]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: file or folder does not exist") from None
    except (KeyError, RecursionError, TypeError, ValueError):
        raise ValueError(
            f"{path}: not a COCO file with images and annotations"
        ) from None
    if faces:
        raise ValueError(
            f"{path}: file has {len(faces)} boxes, but negatives must not show a face; "
            "use it with --data instead"
        )
    return [_parse_coco_row(path, row) for row in images]


def _parse_coco_row(path: Path, row: Mapping[str, Any]) -> tuple[Path, str]:
    try:
        name = str(row["file_name"])
    except (KeyError, TypeError):
        raise ValueError(f"{path}: not a COCO file, file_name is missing") from None
    for file in (path.parent / "images" / name, path.parent / name):
        if file.is_file():
            return file, str(row.get("kind", path.stem))
    raise FileNotFoundError(f"{path}: image {name} does not exist")


def _read_negative(negative: NegativeImage) -> TrainingImage:
    image, _ = shrink_image(read_image(negative.path))
    return TrainingImage(
        image,
        empty_boxes(),
        np.zeros(0, np.int64),
        np.zeros((0, len(CLASSES)), np.float32),
        negative.kind,
    )


def highest_scores(detections: Iterable[Faces]) -> NDArray[np.float32]:
    """Return the highest detection score of each image, 0 without a detection."""
    scores = [faces.scores.max(initial=0) for faces in detections]
    return np.array(scores, np.float32)


def compute_false_positive_rates(scores: NDArray[np.float32]) -> dict[str, float]:
    """Return the fraction of images with a detection, by threshold."""
    return {
        f"{threshold:g}": round(float((scores >= threshold).mean()), 4)
        for threshold in FALSE_POSITIVE_SCORES
        if len(scores)
    }


def fuse_detections(detections: Sequence[Faces], weights: Sequence[float]) -> Faces:
    """Fuse several detections of one image, with each face once.

    The score is the weighted mean over the detections, 0 where a face is not detected;
    the box is the one with the highest weighted score.
    """
    boxes = np.concatenate([faces.boxes for faces in detections])
    parts = [
        faces.scores * (weight / sum(weights))
        for faces, weight in zip(detections, weights, strict=True)
    ]
    order = np.argsort(-np.concatenate(parts), kind="stable")
    scores = np.concatenate(parts)
    kept = order[nms(boxes[order], scores[order], _SAME_IOU)]
    is_same = iou_matrix(boxes[kept], boxes) >= _SAME_IOU
    total = np.zeros(len(kept), np.float32)
    first = 0
    for part in parts:
        rows = slice(first, first + len(part))
        total += (is_same[:, rows] * part).max(axis=1, initial=0)
        first += len(part)
    best = np.argsort(-total, kind="stable")
    return Faces(boxes[kept][best], total[best])


def open_at_scalings(network: SingleStageNetwork) -> dict[int, SingleStage]:
    """Return the analyzer of a network at each of `SCALINGS`, by longer side."""
    return {side: SingleStage(network, scaling) for side, scaling in SCALINGS.items()}


class DetectionTeacher:
    """The single-stage network at two input sizes, fused."""

    def __init__(self, path: str | Path) -> None:
        """Load the file of the network; see `SingleStageNetwork`."""
        self._analyzers = open_at_scalings(SingleStageNetwork(path))

    def detect(self, image: Image) -> Faces:
        """Return the faces in an image with fused scores."""
        detections = [
            analyzer.analyze(image, Settings.permissive()).faces
            for analyzer in self._analyzers.values()
        ]
        return fuse_detections(detections, _FUSION_WEIGHTS)


def apply_detection_teacher(
    images: Sequence[TrainingImage],
    detection_teacher: DetectionTeacher,
    progress: ProgressWrapper = iter,
) -> list[TrainingImage]:
    """Add detection scores to scenes, and unlabelled faces as ignored boxes."""
    apply = partial(_apply_to_image, detection_teacher)
    return list(map_parallel(apply, images, progress))


def _apply_to_image(
    detection_teacher: DetectionTeacher, image: TrainingImage
) -> TrainingImage:
    detected = detection_teacher.detect(image.image)
    unlabelled = _select_unlabelled(
        detected.boxes[detected.scores >= _MIN_UNLABELLED_SCORE], image.boxes
    )
    no_probs = np.full((len(unlabelled), len(CLASSES)), np.nan, np.float32)
    return dataclasses.replace(
        image,
        boxes=np.concatenate([image.boxes, unlabelled]),
        labels=np.append(image.labels, np.full(len(unlabelled), NO_LABEL)).astype(
            np.int64
        ),
        teacher_probs=np.concatenate([image.teacher_probs, no_probs]),
        detector_scores=np.append(
            _best_scores(image.boxes, detected), np.ones(len(unlabelled), np.float32)
        ),
    )


def _best_scores(boxes: Boxes, detected: Faces) -> NDArray[np.float32]:
    """Return the highest detection score on each labelled face, 0 without one."""
    matches = iou_matrix(boxes, detected.boxes) >= _DETECTED_IOU
    result: NDArray[np.float32] = (matches * detected.scores).max(axis=1, initial=0)
    return result


def _select_unlabelled(boxes: Boxes, labelled: Boxes) -> Boxes:
    covered = intersection_areas(boxes, labelled).max(axis=1, initial=0)
    result: Boxes = boxes[
        covered < _MAX_COVERED_FRACTION * np.maximum(box_areas(boxes), 1e-6)
    ]
    return result
