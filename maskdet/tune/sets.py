"""A labelled set of a user's own: a folder or a zip of any known format, read whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from maskdet.datasets.archives import Files
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.issues import Issues
from maskdet.datasets.listing import SetFiles
from maskdet.datasets.reading import ClassesError as ClassesError
from maskdet.datasets.reading import label_file, open_set, read_listing
from maskdet.media import MAX_BYTES, read_image
from maskdet.tune.measuring import Cancelled as Cancelled
from maskdet.tune.measuring import Progress as Progress
from maskdet.tune.measuring import Stopped as Stopped
from maskdet.tune.measuring import measured
from maskdet.tune.scored import LabelledSet
from maskdet.types import Image

MAX_FACES: Final = 100_000
"""More would take minutes to count at each move of a slider."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of a set, read one by one when somebody looks.

    Attributes:
        files: where they are.
        places: name of each in `files`, in the order of `LabelledSet.names`.
    """

    files: Files
    places: tuple[str, ...]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.places)

    def content(self, picture: int) -> bytes:
        """Return the file of a picture.

        Raises:
            DatasetError: it cannot be read any more.
        """
        return self.files.read(self.places[picture], MAX_BYTES)

    def image(self, picture: int) -> Image:
        """Return a picture, upright, BGR.

        Raises:
            DatasetError: it cannot be read any more.
            ImageReadError: it is no picture.
        """
        return read_image(self.content(picture))


@dataclass(frozen=True, eq=False)
class Loaded:
    """A labelled set and its pictures.

    Attributes:
        truth: what people said.
        pictures: in the order of `truth.names`.
        notes: what was left out or is doubtful, a line each.
        words: how many faces carry each of the set's own names of classes.
    """

    truth: LabelledSet
    pictures: Pictures
    notes: tuple[str, ...] = ()
    words: Mapping[str, int] = field(default_factory=dict)


def read_set(
    source: Path | bytes,
    name: str = "",
    *,
    classes: ClassNames | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Loaded:
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
        files, folder = open_set(source)
        return _read(
            files,
            "" if isinstance(source, bytes) else label_file(source, folder),
            name or _name_of(source),
            classes or ClassNames(),
            progress,
            cancelled,
        )
    except ClassesError as error:
        if isinstance(source, bytes):
            raise
        raise ClassesError(f"{source}: {error}", error.words) from None
    except ValueError as error:
        if isinstance(source, bytes):
            raise
        raise ValueError(f"{source}: {error}") from None


def _read(
    files: SetFiles,
    file: str,
    name: str,
    classes: ClassNames,
    progress: Progress | None,
    cancelled: Cancelled | None,
) -> Loaded:
    issues = Issues()
    listing = read_listing(files, classes, issues, file, most=MAX_FACES)
    truth, places = measured(
        listing,
        files.source,
        name,
        issues,
        classes,
        progress=progress,
        cancelled=cancelled,
    )
    return Loaded(
        truth,
        Pictures(files.source, places),
        (*files.source.notes, *issues.lines()),
        listing.words,
    )


def _name_of(source: Path | bytes) -> str:
    return "your set" if isinstance(source, bytes) else source.resolve().stem
