"""What the labels of a set say, before any picture is opened."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

import numpy as np

from maskdet.boxes import Boxes
from maskdet.datasets import PICTURE_SUFFIXES
from maskdet.datasets.examples import no_boxes
from maskdet.datasets.files import text_in
from maskdet.tune.archives import BadFiles, Files
from maskdet.tune.notes import Notes, shortened

MAX_TEXT_BYTES: Final = 32_000_000
"""A label file of 100,000 faces has a third of that."""

IGNORED: Final = ""
"""The word of a face that is marked as of unknown class."""

BROKEN: Final = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What rows of a stranger's file raise when they are not what they should be."""


@dataclass(frozen=True, eq=False)
class Listed:
    """One picture and its faces in a label file's own words.

    Attributes:
        picture: its name among the files.
        words: one a face: what the set calls its class, or `IGNORED`; exactly one
            where the whole picture is the face.
        boxes: `(n, 4)` `x1, y1, x2, y2`, in pixels or in shares of the picture's sides;
            not cut at its borders.
        shares: whether they are shares.
        size_wh: of the picture in pixels, as told; 0, 0 where nothing is.
    """

    picture: str
    words: tuple[str, ...] = ()
    boxes: Boxes = field(default_factory=no_boxes)
    shares: bool = False
    size_wh: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Listing:
    """All that the labels of a set say.

    Attributes:
        format: what they are, such as `COCO`.
        rows: one a picture.
        boxed: whether there are boxes; without, each picture is one face.
    """

    format: str
    rows: tuple[Listed, ...]
    boxed: bool = True


class Places:
    """Finds pictures and texts among files, wherever a set keeps them."""

    def __init__(self, files: Files) -> None:
        """Look at files; a folder is searched when it must be."""
        self.files = files

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        """Every picture among the files, sorted."""
        return tuple(sorted(self.ending(PICTURE_SUFFIXES)))

    def ending(self, suffixes: Iterable[str]) -> tuple[str, ...]:
        """Return the files of some endings, those in fewer folders first."""
        wanted = tuple(suffixes)
        found = [one for one in self.files.names if one.lower().endswith(wanted)]
        return tuple(sorted(found, key=lambda name: (name.count("/"), name)))

    def picture(self, guesses: Iterable[str]) -> str:
        """Return the first guess that exists, or the only picture of its name.

        Args:
            guesses: names among the files; the first one's last part is the picture's.

        Returns:
            Its name among the files; empty if there is none, or several.
        """
        tried = [_plain(guess) for guess in guesses]
        for name in tried:
            if name.lower().endswith(PICTURE_SUFFIXES) and self.files.has(name):
                return name
        alike = self._by_last_part.get(posixpath.basename(tried[0]), [])
        return alike[0] if len(alike) == 1 else ""

    @cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.pictures:
            found.setdefault(posixpath.basename(name), []).append(name)
        return found

    def text(self, name: str) -> str:
        """Return the content of a text file.

        Raises:
            BadFiles: it cannot be read, or is no text.
        """
        content = self.content(name)
        try:
            return text_in(content, PurePosixPath(shortened(name)))
        except ValueError as error:
            raise BadFiles(str(error)) from None

    def content(self, name: str) -> bytes:
        """Return the content of a label file.

        Raises:
            BadFiles: it cannot be read; the message names it.
        """
        try:
            return self.files.read(name, MAX_TEXT_BYTES)
        except BadFiles as error:
            raise BadFiles(f"{shortened(name)}: {error}") from None


def stacked(boxes: list[Boxes]) -> Boxes:
    """Return `(n, 4)` of n boxes, also of none."""
    return np.array(boxes, np.float32).reshape(-1, 4)


def each_once(rows: Iterable[Listed], notes: Notes) -> tuple[Listed, ...]:
    """Return the rows without pictures that were listed before."""
    found: dict[str, Listed] = {}
    for row in rows:
        if row.picture in found:
            notes.add(row.picture, "listed twice, only the first time counts")
        found.setdefault(row.picture, row)
    return tuple(found.values())


def _plain(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/"))
