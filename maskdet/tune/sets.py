"""A labelled set of a user's own: a folder or a zip of any known format, read whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskdet.media import MAX_BYTES, read_image
from maskdet.tune.archives import Files, FolderFiles, ZipFiles
from maskdet.tune.layouts import read_data_file, read_label_file, read_listing
from maskdet.tune.listing import Listing
from maskdet.tune.measuring import Cancelled as Cancelled
from maskdet.tune.measuring import Progress as Progress
from maskdet.tune.measuring import Stopped as Stopped
from maskdet.tune.measuring import measured
from maskdet.tune.notes import Notes
from maskdet.tune.scored import LabelledSet
from maskdet.types import Image


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
            BadFiles: it cannot be read any more.
        """
        return self.files.read(self.places[picture], MAX_BYTES)

    def image(self, picture: int) -> Image:
        """Return a picture, upright, BGR.

        Raises:
            BadFiles: it cannot be read any more.
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
    """

    truth: LabelledSet
    pictures: Pictures
    notes: tuple[str, ...] = ()


def read_set(
    source: Path | bytes,
    name: str = "",
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Loaded:
    """Read a set of any known format; every picture is opened once and checked.

    Args:
        source: a folder, a zip, a COCO, VOC, YOLO or index file; or the bytes of a
            zip, which are never written to disk.
        name: what to call it; the name of the file or folder unless given.
        progress: told how far it is.
        cancelled: asked before each picture.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: there is no label or no picture that can be read; one line.
        Stopped: `cancelled` said so.
    """
    try:
        found, files, notes = _labels_of(source)
        truth, places = measured(
            found,
            files,
            name or _name_of(source),
            notes,
            progress=progress,
            cancelled=cancelled,
        )
    except FileNotFoundError:
        raise
    except ValueError as error:
        if isinstance(source, bytes):
            raise
        raise ValueError(f"{source}: {error}") from None
    return Loaded(truth, Pictures(files, places), (*files.notes, *notes.lines()))


def _labels_of(source: Path | bytes) -> tuple[Listing, Files, Notes]:
    notes = Notes()
    if isinstance(source, bytes):
        files: Files = ZipFiles(source)
        return read_listing(files, notes), files, notes
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such file or folder")
    if source.is_dir():
        files = FolderFiles(source)
        return read_listing(files, notes), files, notes
    if source.suffix.lower() == ".zip":
        files = ZipFiles(source)
        return read_listing(files, notes), files, notes
    files = FolderFiles(source.parent)
    if source.suffix.lower() in (".yaml", ".yml"):
        return read_data_file(source), files, notes
    return read_label_file(files, source.name, notes), files, notes


def _name_of(source: Path | bytes) -> str:
    return "your set" if isinstance(source, bytes) else source.resolve().stem
