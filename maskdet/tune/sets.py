"""A labelled set of a user's own: a folder or a zip of any known format, read whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maskdet.media import MAX_BYTES, read_image
from maskdet.tune.archives import Files
from maskdet.tune.scored import LabelledSet
from maskdet.types import Image

Progress = Callable[[int, int], None]
"""Told how many pictures are done, and of how many."""

Cancelled = Callable[[], bool]
"""Asked before each picture whether to stop."""


class Stopped(Exception):  # noqa: N818 - says what, not that it is an error
    """Somebody stopped what was running."""


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
            UnreadableImage: it is no picture.
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
    raise NotImplementedError
