"""Training scenes in one file: pixels, boxes, labels, and points to draw at.

Images that show no face: read, held out in part, and how often one is seen.

A finished network looks at training scenes first.

Who has no label but is likely a face is not taught as background, and the faces that it
hardly sees are known, so that they can be shown more often.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.onepass import Resize, SingleStage, SingleStageNetwork
from maskdet.boxes import Boxes, box_areas, intersection_areas, iou_matrix, nms
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.datasets.example import empty_boxes
from maskdet.media import find_images, read_image
from maskdet.settings import Settings
from maskdet.training.checkpoint import open_arrays, save_arrays
from maskdet.training.classifier.crops import ProgressWrapper
from maskdet.training.workers import map_parallel
from maskdet.types import CLASSES, Faces, Image

logger = logging.getLogger(__name__)

VALIDATION_FILE = "validation.npz"
"""Of a run: the scenes that it is judged by."""

MAX_SIDE_PX = 640
"""Larger images are shrunk to this: no view shows more of a face."""

_MIN_TEACHER_PX = 16
"""Shortest side of a face that a classifier can be asked about."""

NO_LABEL = -1
"""Of a face that is there but of unknown class; finding it is neither good nor bad."""


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """One image of a training set.

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
    """Many images; those of any size share one long row of pixels.

    Attributes:
        pixels: `(bytes,)` uint8.
        sizes_hw: `(n, 2)` height and width of each image.
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
        """Return the number of images."""
        return len(self.sizes_hw)

    def __post_init__(self) -> None:
        """Work out where each image begins."""
        ends = np.cumsum(np.concatenate([[0], self.sizes_hw.prod(axis=1) * 3]))
        object.__setattr__(self, "_starts", ends)

    def get(self, index: int) -> TrainingImage:
        """Return one image; nothing is copied."""
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
        """Join images."""
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
    """Read images with boxes, and ask a classifier about their faces.

    Args:
        examples: scenes; images with one label and no box are left out with a word.
        progress: something like `tqdm`.
        teacher: knows the mask state better than a small network will.

    Raises:
        ValueError: no example has boxes.
    """
    unboxed = sum(example.is_crop for example in examples)
    if unboxed:
        logger.warning(
            "left out %d images without boxes; `maskdet label` can box them", unboxed
        )
    boxed = [boxed_example for boxed_example in examples if not boxed_example.is_crop]
    images = list(map_parallel(partial(_read_training_image, teacher), boxed, progress))
    if not images:
        raise ValueError("no image has boxes; `maskdet label` makes them")
    return images


def shrink_image(image: Image) -> tuple[Image, float]:
    """Return an image with at most `MAX_SIDE_PX`, and by how much it was scaled."""
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
    """Return the images that `save_packed_images` wrote, whatever they were made of.

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


HELD_OUT_FILE = "negatives.npz"
"""Of a run: the images without a face that it is judged by."""

FALSE_POSITIVE_SCORES: Final = (0.5, 0.6, 0.7)
"""Detection scores at which false positives are counted; the first is the default."""

FALSE_POSITIVE_COST: Final = 0.25
"""What a false positive in all images without a face would take from the score of an
epoch: four of a hundred are worth a hundredth of average precision."""

_HELD_OUT_EVERY: Final = 4
"""One image in so many of each kind is held out, chosen by its name."""

_MIN_SAMPLING_WEIGHT: Final = 0.03
"""Added to the squared score: an image that was learnt must not be forgotten."""


class NegativeImage(NamedTuple):
    """An image file that shows no face.

    Attributes:
        path: the file.
        kind: what it shows, such as `house`.
        held_out: whether it is only measured on, never trained on.
    """

    path: Path
    kind: str
    held_out: bool


@dataclass(frozen=True, eq=False)
class NegativeImages:
    """Images without a face; `source` is their kind.

    Attributes:
        train: to learn from.
        held_out: to judge by: of each kind a part, and some kinds as a whole.
    """

    train: Sequence[TrainingImage] = ()
    held_out: Sequence[TrainingImage] = ()


@dataclass(frozen=True, eq=False)
class MinedNegatives:
    """Where the network sees faces in images that have none.

    Attributes:
        scores: `(n,)` highest face score in each image; 0 where it sees nothing.
        boxes: `(n, 4)` where.
    """

    scores: NDArray[np.float32]
    boxes: Boxes

    def compute_probabilities(self) -> NDArray[np.float64]:
        """Return the `(n,)` chance of each image to be shown."""
        sampling_weights = _MIN_SAMPLING_WEIGHT + np.square(
            self.scores.astype(np.float64)
        )
        result: NDArray[np.float64] = sampling_weights / sampling_weights.sum()
        return result


def read_negatives(
    paths: Iterable[str | Path],
    kinds: Sequence[str] = (),
    progress: Callable[[Iterable[NegativeImage]], Iterable[NegativeImage]] = iter,
) -> NegativeImages:
    """Read the images of `list_negatives`; arguments and errors as there.

    Args:
        paths: see there.
        kinds: see there.
        progress: something like `tqdm`.
    """
    train: list[TrainingImage] = []
    held_out: list[TrainingImage] = []
    for image in progress(list_negatives(paths, kinds)):
        target_list = held_out if image.held_out else train
        target_list.append(_read_negative(image.path, image.kind))
    return NegativeImages(train, held_out)


def list_negatives(
    paths: Iterable[str | Path], kinds: Sequence[str] = ()
) -> list[NegativeImage]:
    """Return images without a face, and hold out a part of them.

    Args:
        paths: COCO files without annotations, whose rows may say a `kind`, or folders
            of images; a folder's name is its kind.
        kinds: held out as a whole; of the others, one image in four is.

    Raises:
        FileNotFoundError: a path or an image is missing.
        ValueError: a file is not COCO, lists a face, or has none of `kinds`.
    """
    listed = [row for path in paths for row in _list_path(Path(path))]
    all_kinds = {kind for _, kind in listed}
    for kind in kinds:
        if kind not in all_kinds:
            raise ValueError(
                f"no negative is of the kind {kind!r}; there are "
                f"{', '.join(sorted(all_kinds)) or 'none'}"
            )
    return [
        NegativeImage(file, kind, kind in kinds or is_held_out(file.name))
        for file, kind in listed
    ]


def is_held_out(name: str) -> bool:
    """Return whether an image of this file name is judged by, not learnt."""
    digest = hashlib.sha256(name.encode()).digest()
    return digest[0] % _HELD_OUT_EVERY == 0


def _list_path(path: Path) -> list[tuple[Path, str]]:
    """Return the images of a file or folder, and the kind of each."""
    if path.is_dir():
        files = [(file, path.resolve().name) for file in find_images(path).images]
        if not files:
            raise ValueError(f"{path}: holds no image")
        return files
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images, faces = content["images"], content["annotations"]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file or folder") from None
    except (KeyError, RecursionError, TypeError, ValueError):
        raise ValueError(
            f"{path}: not a COCO file, wanted images and annotations"
        ) from None
    if faces:
        raise ValueError(
            f"{path}: lists {len(faces)} boxes; negatives must show no face. Give it "
            "as --data instead"
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
    raise FileNotFoundError(f"{path}: the image {name} is missing")


def _read_negative(file: Path, kind: str) -> TrainingImage:
    image, _ = shrink_image(read_image(file))
    return TrainingImage(
        image,
        empty_boxes(),
        np.zeros(0, np.int64),
        np.zeros((0, len(CLASSES)), np.float32),
        kind,
    )


def highest_scores(detections: Iterable[Faces]) -> NDArray[np.float32]:
    """Return the best face score of each image, 0 where nothing was found."""
    scores = [faces.scores.max(initial=0) for faces in detections]
    return np.array(scores, np.float32)


def compute_false_positive_rates(scores: NDArray[np.float32]) -> dict[str, float]:
    """Return the share of images in which a face is seen, by threshold."""
    return {
        f"{threshold:g}": round(float((scores >= threshold).mean()), 4)
        for threshold in FALSE_POSITIVE_SCORES
        if len(scores)
    }


_WEIGHTED_SCALINGS: Final = ((Resize(640, 2.0), 1.0), (Resize(320, 1.0), 0.7))
"""How large the network sees an image, and how much that look counts."""

_MIN_UNLABELLED_SCORE: Final = 0.4
"""On the audited validation scenes, of the detections that no label covers, half to
nine tenths are real faces from here on, a third just below, one in fifteen at 0.15."""

_SAME_IOU: Final = 0.5
_DETECTED_IOU: Final = 0.4
"""Lower: a face whose box is a bit off was seen."""

_MAX_COVERED_FRACTION: Final = 0.5
"""A detection that shares so much of its area with a known face is not another one."""


def fuse_detections(detections: Sequence[Faces], weights: Sequence[float]) -> Faces:
    """Return what several looks at one image see, each face once.

    The score is the weighted mean over the looks, 0 where one does not see the face;
    the box is that of the best look.
    """
    boxes = np.concatenate([faces.boxes for faces in detections])
    parts = [
        faces.scores * (weight / sum(weights))
        for faces, weight in zip(detections, weights, strict=True)
    ]
    order = np.argsort(-np.concatenate(parts), kind="stable")
    scores = np.concatenate(parts)
    kept = order[nms(boxes[order], scores[order], _SAME_IOU)]
    overlaps = iou_matrix(boxes[kept], boxes) >= _SAME_IOU
    total = np.zeros(len(kept), np.float32)
    first = 0
    for part in parts:
        rows = slice(first, first + len(part))
        total += (overlaps[:, rows] * part).max(axis=1, initial=0)
        first += len(part)
    best = np.argsort(-total, kind="stable")
    return Faces(boxes[kept][best], total[best])


class DetectionTeacher:
    """The one-pass network at two sizes, fused."""

    def __init__(self, path: str | Path) -> None:
        """Load the file of the network.

        Raises:
            FileNotFoundError: there is no such file.
            RuntimeError: it is not a one-pass network.
        """
        network = SingleStageNetwork(path)
        self._weighted_analyzers = [
            (SingleStage(network, scaling), weight)
            for scaling, weight in _WEIGHTED_SCALINGS
        ]

    def detect(self, image: Image) -> Faces:
        """Return the faces in an image, with their fused scores."""
        settings = Settings.permissive()
        detections = [
            analyzer.analyze(image, settings).faces
            for analyzer, _ in self._weighted_analyzers
        ]
        return fuse_detections(
            detections, [weight for _, weight in self._weighted_analyzers]
        )


def apply_detection_teacher(
    images: Sequence[TrainingImage],
    detection_teacher: DetectionTeacher,
    progress: ProgressWrapper = iter,
) -> list[TrainingImage]:
    """Return scenes with how well each face is seen, and unlabelled ones ignored."""
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
    """Return the best score of a detection on each known face, 0 for none."""
    matches = iou_matrix(boxes, detected.boxes) >= _DETECTED_IOU
    result: NDArray[np.float32] = (matches * detected.scores).max(axis=1, initial=0)
    return result


def _select_unlabelled(boxes: Boxes, labelled: Boxes) -> Boxes:
    covered = intersection_areas(boxes, labelled).max(axis=1, initial=0)
    result: Boxes = boxes[
        covered < _MAX_COVERED_FRACTION * np.maximum(box_areas(boxes), 1e-6)
    ]
    return result
