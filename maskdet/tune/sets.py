"""A labelled set of a user's own: a folder or a zip of any known format, read whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from maskdet.datasets.archives import FileSource
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.issues import Issues
from maskdet.datasets.listing import DatasetFiles
from maskdet.datasets.reading import ClassesError as ClassesError
from maskdet.datasets.reading import label_file_name, open_dataset, read_annotations
from maskdet.media import MAX_BYTES, read_image
from maskdet.tune.measuring import CancelCallback as CancelCallback
from maskdet.tune.measuring import CancelledError as CancelledError
from maskdet.tune.measuring import ProgressCallback as ProgressCallback
from maskdet.tune.measuring import build_labelled_set
from maskdet.tune.scored import LabelledSet
from maskdet.types import Image

MAX_FACES: Final = 100_000
"""More would take minutes to count at each move of a slider."""


@dataclass(frozen=True, eq=False)
class ImageStore:
    """The pictures of a set, read one by one when somebody looks.

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
        """Return the file of a picture.

        Raises:
            DatasetError: it cannot be read any more.
        """
        return self.files.read(self.paths[image_index], MAX_BYTES)

    def load_image(self, image_index: int) -> Image:
        """Return a picture, upright, BGR.

        Raises:
            DatasetError: it cannot be read any more.
            ImageReadError: it is no picture.
        """
        return read_image(self.read_bytes(image_index))


@dataclass(frozen=True, eq=False)
class ImportedDataset:
    """A labelled set and its pictures.

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
    """Read a set of any known format; every picture is opened once and checked.

    What is broken is left out and noted.

    Args:
        source: a folder, a zip, a COCO, VOC, YOLO or index file; or the bytes of a
            zip, which are never written to disk.
        name: what to call it; the name of the file or folder unless given.
        classes: what the names of classes mean, where the usual words are not enough.
        progress: told how far it is.
        cancelled: asked before each picture.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ClassesError: no class of it is known.
        ValueError: there is no label or no picture that can be read; one line.
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
