"""Import of labelled sets: a folder, file or zip of any supported format.

Every image is opened and checked once.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from maskdet.datasets.archives import DatasetError, FileSource
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.files import DatasetAnnotations, ImageAnnotations
from maskdet.datasets.issues import Issues
from maskdet.datasets.pixel_boxes import PixelBoxes, convert_to_pixels
from maskdet.datasets.reading import (
    ClassesError,
    label_file_name,
    map_class_names,
    open_dataset,
    read_annotations,
)
from maskdet.evaluation.predictions import (
    MAX_SET_FACES,
    LabelledImage,
    LabelledSet,
    MeasuredBoxes,
)
from maskdet.media import MAX_BYTES, read_image
from maskdet.types import CLASSES, Image, Label

ProgressCallback = Callable[[int, int], None]
"""Called with the number of finished images and the number of images."""

_Item = TypeVar("_Item")


def iterate_with_progress(
    items: Sequence[_Item], progress: ProgressCallback | None
) -> Iterator[_Item]:
    """Yield the items, and report the progress after each."""
    for number, item in enumerate(items, start=1):
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
) -> tuple[LabelledSet, tuple[str, ...]]:
    """Open every listed image and return the set and the path of each image.

    Args:
        listing: the annotations.
        files: source of the images.
        name: name of the set.
        issues: collects what is left out: unreadable images, boxes outside the image,
            unknown classes.
        classes: meaning of the class names.
        progress: called with the progress after each image.

    Raises:
        ClassesError: no class is known; one line.
        ValueError: no image or no face is left; one line.
    """
    labels = map_class_names(listing.images, classes or ClassNames(), issues)
    rows = _drop_repeated_images(listing.images, issues)
    placements: Iterable[PixelBoxes | None] = (
        convert_to_pixels(rows, files, issues)
        if listing.has_boxes
        else [None] * len(rows)
    )
    checked = (
        _check_image(row, placed, files, labels, issues)
        for row, placed in zip(
            iterate_with_progress(rows, progress), placements, strict=True
        )
    )
    checked_images = [image for image in checked if image is not None]
    if not checked_images:
        raise DatasetError("; ".join(["no image can be read", *issues.lines()]))
    ground_truth = LabelledSet.from_images(
        name,
        [
            dataclasses.replace(image, name=_display_name(image.name))
            for image in checked_images
        ],
        has_boxes=listing.has_boxes,
    )
    if not (ground_truth.labels != Label.UNKNOWN).any():
        class_keys = ", ".join(label.key for label in CLASSES)
        no_faces = () if listing.class_name_counts else ("the labels have no face",)
        reasons = "; ".join([*no_faces, *issues.lines()])
        raise ClassesError(
            f"no face of {class_keys} is labelled: {reasons}", listing.class_name_counts
        )
    return ground_truth, tuple(checked_image.name for checked_image in checked_images)


def _drop_repeated_images(
    rows: Sequence[ImageAnnotations], issues: Issues
) -> list[ImageAnnotations]:
    """Return the rows without repeated images."""
    first_rows: dict[str, ImageAnnotations] = {}
    for row in rows:
        if row.image in first_rows:
            note = "listed twice; only the first entry is used"
            issues.add(row.image, note, is_error=False)
        first_rows.setdefault(row.image, row)
    return list(first_rows.values())


def _check_image(
    row: ImageAnnotations,
    placed: PixelBoxes | None,
    files: FileSource,
    labels: Mapping[str, Label | None],
    issues: Issues,
) -> LabelledImage | None:
    """Return an image with its faces; None if it is unreadable or not of a face.

    Its name is its path.
    """
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
    kept_labels = [
        labels[word]
        for word, keep in zip(row.class_names, placed.kept, strict=True)
        if keep
    ]
    faces = [label for label in kept_labels if label is not None]
    has_label = np.array([label is not None for label in kept_labels], bool)
    if not row.boxes.size and row.class_names and not faces:
        return None  # a whole image of a class that is not a face
    return LabelledImage(
        row.image,
        (width, height),
        MeasuredBoxes.from_image(image, placed.boxes[has_label]),
        np.array(faces, np.int64),
    )


def _display_name(file_path: str) -> str:
    """Return the name to show for an image, without a path outside the set."""
    path = PurePosixPath(file_path)
    is_outside = path.is_absolute() or ".." in path.parts
    return path.name if is_outside else file_path


@dataclass(frozen=True, eq=False)
class ImageStore:
    """The images of a set, read on demand.

    Attributes:
        files: source of the files.
        paths: path of each image in `files`, in the order of `LabelledSet.names`.
    """

    files: FileSource
    paths: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.paths)

    def read_bytes(self, image_index: int) -> bytes:
        """Return the file of an image.

        Raises:
            DatasetError: the file cannot be read any more.
        """
        return self.files.read(self.paths[image_index], MAX_BYTES)

    def load_image(self, image_index: int) -> Image:
        """Return an image, upright, BGR.

        Raises:
            DatasetError: the file cannot be read any more.
            ImageReadError: the file is not an image.
        """
        return read_image(self.read_bytes(image_index))


@dataclass(frozen=True, eq=False)
class ImportedDataset:
    """A labelled set and its images.

    Attributes:
        ground_truth: the labelled set.
        images: its images, in the order of `ground_truth.names`.
        notes: one line for each kind of item that was left out or is doubtful.
        class_word_counts: number of faces of each class name of the set.
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
) -> ImportedDataset:
    """Read a set of any supported format; every image is opened once and checked.

    Broken items are left out and noted.

    Args:
        source: a folder, a zip, a COCO, VOC, YOLO or index file; or the bytes of a
            zip, which are never written to disk.
        name: name of the set; the name of the file or folder by default.
        classes: meaning of class names that are not known by default.
        progress: called with the progress after each image.

    Raises:
        FileNotFoundError: the file or folder does not exist.
        ClassesError: no class of the set is known.
        ValueError: no label or no image can be read; one line.
    """
    issues, classes = Issues(), classes or ClassNames()
    with _name_source_in_errors(source):
        files, folder = open_dataset(source)
        file = "" if isinstance(source, bytes) else label_file_name(source, folder)
        listing = read_annotations(
            files, classes, issues, file, max_faces=MAX_SET_FACES
        )
        default_name = (
            "your set" if isinstance(source, bytes) else source.resolve().stem
        )
        ground_truth, paths = build_labelled_set(
            listing,
            files.source,
            name or default_name,
            issues,
            classes,
            progress=progress,
        )
    return ImportedDataset(
        ground_truth,
        ImageStore(files.source, paths),
        (*files.source.notes, *issues.lines()),
        listing.class_name_counts,
    )


@contextlib.contextmanager
def _name_source_in_errors(source: Path | bytes) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if isinstance(source, bytes):
            raise
        text = f"{source}: {error}"
        if isinstance(error, ClassesError):
            raise ClassesError(text, error.name_counts) from None
        raise ValueError(text) from None
