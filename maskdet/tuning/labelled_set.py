"""A labelled set of a user's own: a folder or a zip of any known format, read whole.

Labels and images become a labelled set: every image is opened and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.datasets.archives import DatasetError, FileSource
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.files import DatasetAnnotations, DatasetFiles, ImageAnnotations
from maskdet.datasets.issues import Issues
from maskdet.datasets.reading import (
    ClassesError,
    PixelBoxes,
    convert_to_pixels,
    label_file_name,
    map_class_names,
    open_dataset,
    read_annotations,
)
from maskdet.evaluation.matching import measure_crop_quality
from maskdet.media import MAX_BYTES, read_image
from maskdet.tuning.predictions import FaceRows, Float32Array, LabelledSet
from maskdet.types import CLASSES, Image, Label

ProgressCallback = Callable[[int, int], None]
"""Told how many images are done, and of how many."""

CancelCallback = Callable[[], bool]
"""Asked before each image whether to stop."""

_Item = TypeVar("_Item")


class CancelledError(Exception):
    """Somebody stopped what was running."""


@dataclass(frozen=True, eq=False)
class _CheckedImage:
    """One image that could be opened, and its true faces."""

    path: str
    size_wh: tuple[int, int]
    boxes: Boxes
    labels: NDArray[np.int64]
    lights: Float32Array
    sharpness: Float32Array


def iterate_with_progress(
    items: Sequence[_Item],
    progress: ProgressCallback | None,
    cancelled: CancelCallback | None,
) -> Iterator[_Item]:
    """Yield one image after the other, and tell when its turn is over.

    Raises:
        Stopped: `cancelled` said so.
    """
    for number, item in enumerate(items, start=1):
        if cancelled is not None and cancelled():
            raise CancelledError
        yield item
        if progress is not None:
            progress(number, len(items))


def build_labelled_set(
    listing: DatasetAnnotations,
    files: FileSource,
    name: str,
    issues: Issues,
    classes: ClassNames | None = None,
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> tuple[LabelledSet, tuple[str, ...]]:
    """Open every listed image and return the set, and where each image is.

    Args:
        listing: what the labels say.
        files: where the images are.
        name: of the set.
        issues: get what is left out: images that cannot be read, boxes outside of
            theirs, classes that nobody here knows.
        classes: what the names of classes mean.
        progress: told how far it is.
        cancelled: asked before each image.

    Raises:
        ClassesError: no class is known; one line.
        ValueError: no image or no face is left; one line.
        Stopped: `cancelled` said so.
    """
    labels = map_class_names(listing.images, classes or ClassNames(), issues)
    rows = _drop_repeated_images(listing.images, issues)
    placements: Iterable[PixelBoxes | None] = (
        convert_to_pixels(rows, files, issues)
        if listing.has_boxes
        else [None] * len(rows)
    )
    checked_images: list[_CheckedImage] = []
    for row, placed in zip(
        iterate_with_progress(rows, progress, cancelled), placements, strict=True
    ):
        checked_image = _check_image(row, placed, files, labels, issues)
        checked_images += [] if checked_image is None else [checked_image]
    if not checked_images:
        raise DatasetError("; ".join(["no image can be read", *issues.lines()]))
    ground_truth = _join_images(checked_images, name, boxed=listing.has_boxes)
    if not (ground_truth.labels != Label.UNKNOWN).any():
        class_keys = ", ".join(label.key for label in CLASSES)
        no_faces = () if listing.class_name_counts else ("the labels hold no face",)
        reasons = "; ".join([*no_faces, *issues.lines()])
        raise ClassesError(
            f"no face of {class_keys} is labelled: {reasons}", listing.class_name_counts
        )
    return ground_truth, tuple(checked_image.path for checked_image in checked_images)


def _drop_repeated_images(
    rows: Sequence[ImageAnnotations], issues: Issues
) -> list[ImageAnnotations]:
    """Return the rows without images that were listed before."""
    first_rows: dict[str, ImageAnnotations] = {}
    for row in rows:
        if row.image in first_rows:
            note = "listed twice, only the first time counts"
            issues.add(row.image, note, is_error=False)
        first_rows.setdefault(row.image, row)
    return list(first_rows.values())


def _check_image(
    row: ImageAnnotations,
    placed: PixelBoxes | None,
    files: FileSource,
    labels: Mapping[str, Label | None],
    issues: Issues,
) -> _CheckedImage | None:
    """Return an image with its faces, or None where it cannot be opened."""
    try:
        image = read_image(files.read(row.image, MAX_BYTES))
    except ValueError as error:
        issues.add(_display_name(row.image), str(error))
        return None
    height, width = image.shape[:2]
    if placed is None:
        placed = PixelBoxes(
            np.array([[0, 0, width, height]], np.float32), np.ones(1, bool)
        )
    kept_words = [
        w for w, keep in zip(row.class_names, placed.kept, strict=True) if keep
    ]
    faces = [
        label for label in map(labels.__getitem__, kept_words) if label is not None
    ]
    has_label = np.array([labels[word] is not None for word in kept_words], bool)
    boxes = placed.boxes[has_label]
    if not row.boxes.size and row.class_names and not faces:
        return None  # a whole image that is not of a face
    return _CheckedImage(
        row.image,
        (width, height),
        boxes,
        np.array(faces, np.int64),
        *measure_crop_quality(image, boxes),
    )


def _join_images(
    checked_images: Sequence[_CheckedImage], name: str, *, boxed: bool
) -> LabelledSet:
    counts = [len(image.boxes) for image in checked_images]
    faces = FaceRows(
        np.repeat(np.arange(len(checked_images)), counts),
        np.concatenate([image.boxes for image in checked_images]),
        np.concatenate([image.lights for image in checked_images]),
        np.concatenate([image.sharpness for image in checked_images]),
    )
    return LabelledSet(
        name,
        tuple(_display_name(image.path) for image in checked_images),
        np.array([image.size_wh for image in checked_images], np.int64),
        faces,
        np.concatenate([image.labels for image in checked_images]),
        boxed,
    )


def _display_name(file_path: str) -> str:
    """Return an image's name as people may see it: no path outside of the set."""
    pure_path = PurePosixPath(file_path)
    return (
        pure_path.name
        if pure_path.is_absolute() or ".." in pure_path.parts
        else file_path
    )


MAX_FACES: Final = 100_000
"""More would take minutes to count at each move of a slider."""


@dataclass(frozen=True, eq=False)
class ImageStore:
    """The images of a set, read one by one when somebody looks.

    Attributes:
        files: where they are.
        paths: name of each in `files`, in the order of `LabelledSet.names`.
    """

    files: FileSource
    paths: tuple[str, ...]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.paths)

    def read_bytes(self, image_index: int) -> bytes:
        """Return the file of an image.

        Raises:
            DatasetError: it cannot be read any more.
        """
        return self.files.read(self.paths[image_index], MAX_BYTES)

    def load_image(self, image_index: int) -> Image:
        """Return an image, upright, BGR.

        Raises:
            DatasetError: it cannot be read any more.
            ImageReadError: it is no image.
        """
        return read_image(self.read_bytes(image_index))


@dataclass(frozen=True, eq=False)
class ImportedDataset:
    """A labelled set and its images.

    Attributes:
        ground_truth: what people said.
        images: in the order of `ground_truth.names`.
        notes: what was left out or is doubtful, a line each.
        class_word_counts: how many faces carry each of the set's own names of classes.
    """

    ground_truth: LabelledSet
    images: ImageStore
    notes: tuple[str, ...] = ()
    class_word_counts: Mapping[str, int] = field(default_factory=dict)


def import_dataset(
    source: Path | bytes,
    name: str = "",
    *,
    classes: ClassNames | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
) -> ImportedDataset:
    """Read a set of any known format; every image is opened once and checked.

    What is broken is left out and noted.

    Args:
        source: a folder, a zip, a COCO, VOC, YOLO or index file; or the bytes of a
            zip, which are never written to disk.
        name: what to call it; the name of the file or folder unless given.
        classes: what the names of classes mean, where the usual words are not enough.
        progress: told how far it is.
        cancelled: asked before each image.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ClassesError: no class of it is known.
        ValueError: there is no label or no image that can be read; one line.
        Stopped: `cancelled` said so.
    """
    try:
        files, folder = open_dataset(source)
        return _import_files(
            files,
            "" if isinstance(source, bytes) else label_file_name(source, folder),
            name or _default_name(source),
            classes or ClassNames(),
            progress,
            cancelled,
        )
    except ClassesError as error:
        if isinstance(source, bytes):
            raise
        raise ClassesError(f"{source}: {error}", error.name_counts) from None
    except ValueError as error:
        if isinstance(source, bytes):
            raise
        raise ValueError(f"{source}: {error}") from None


def _import_files(
    files: DatasetFiles,
    file: str,
    name: str,
    classes: ClassNames,
    progress: ProgressCallback | None,
    cancelled: CancelCallback | None,
) -> ImportedDataset:
    issues = Issues()
    listing = read_annotations(files, classes, issues, file, max_faces=MAX_FACES)
    ground_truth, paths = build_labelled_set(
        listing,
        files.source,
        name,
        issues,
        classes,
        progress=progress,
        cancelled=cancelled,
    )
    return ImportedDataset(
        ground_truth,
        ImageStore(files.source, paths),
        (*files.source.notes, *issues.lines()),
        listing.class_name_counts,
    )


def _default_name(source: Path | bytes) -> str:
    return "your set" if isinstance(source, bytes) else source.resolve().stem
