"""What the labels of a set say, and where among its files the images are."""

from __future__ import annotations

import codecs
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from maskdet.datasets.archives import DatasetError, Files
from maskdet.datasets.examples import split_from_name
from maskdet.datasets.issues import shortened

MAX_TEXT_BYTES: Final = 32_000_000
"""A label file in a zip; one of 100,000 faces has a third of that."""

MAX_FILE_BYTES: Final = 1_000_000_000
"""A label file on this machine."""

MAX_BRACKETS: Final = 1_000_000
"""Lists and objects in a JSON file in a zip, or elements of an XML file: each costs
memory long before it is a face."""

MAX_FACES: Final = 1_000_000
"""Faces of a set."""

MAX_FACES_PER_IMAGE: Final = 2_000
"""Faces of an image; the most crowded of the public sets has a third of that."""

IGNORED: Final = ""
"""The word of a face that is marked as of unknown class."""

BROKEN: Final = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What rows of a stranger's file raise when they are not what they should be."""

_IMAGES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".heic", ".heif", ".avif", ".pgm", ".ppm", ".pbm", ".pnm"),
)
_TEXTS: Final = (
    *(".txt", ".json", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".md", ".html"),
    *(".data", ".names", ".cfg", ".ini", ".log", ".py", ".ipynb", ".pdf", ".cache"),
    *(".npz", ".npy", ".db", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".zip"),
    *(".pt", ".onnx", ".tflite", ".h5", ".weights"),
)
_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
_MAGIC_LATER: Final = (b"ftypavif", b"ftypavis", b"ftypheic", b"ftypmif1")

# How zips name files that were packed on other systems, when the flag of UTF-8 is
# missing: Python reads their bytes as cp437 (APPNOTE 6.3.10, appendix D).
_OEM: Final = "cp437"
_FOREIGN: Final = ("cp850", "cp1252", "gb18030", "cp932", "cp949", "big5", "cp1251")

Coordinates = NDArray[np.float64]


def no_coordinates() -> Coordinates:
    """Return the boxes of an image that has none."""
    return np.zeros((0, 4))


def stacked(boxes: Sequence[Coordinates]) -> Coordinates:
    """Return `(n, 4)` of n boxes, also of none."""
    return np.array(boxes, np.float64).reshape(-1, 4)


@dataclass(frozen=True, eq=False)
class Listed:
    """One image and its faces in a label file's own words.

    Attributes:
        image: its name among the files.
        words: one a face: what the set calls its class, or `IGNORED`; exactly one
            where the whole image is the face.
        boxes: `(n, 4)` `x1, y1, x2, y2`, in pixels or in fractions of the image's
            sides; not cut at its borders.
        fractions: whether they are fractions.
        size_wh: of the image in pixels, as told; 0, 0 where nothing is.
        labels: the file that says so.
        split: `train`, `val`, `test` or empty.
        source: of the image, or None for that of the set.
        group: of images that belong together; empty where nothing is known.
    """

    image: str
    words: tuple[str, ...] = ()
    boxes: Coordinates = field(default_factory=no_coordinates)
    fractions: bool = False
    size_wh: tuple[int, int] = (0, 0)
    labels: str = ""
    split: str = ""
    source: str | None = None
    group: str = ""


@dataclass(frozen=True, eq=False)
class Listing:
    """All that the labels of a set say.

    Attributes:
        format: what they are, such as `COCO`.
        rows: one an image.
        boxed: whether there are boxes; without, each image is one face.
    """

    format: str
    rows: tuple[Listed, ...]
    boxed: bool = True

    @property
    def words(self) -> dict[str, int]:
        """How many faces carry each name of a class."""
        words = (word for row in self.rows for word in row.words)
        return dict(Counter(word for word in words if word != IGNORED))


class SetFiles:
    """Finds images and texts among files, wherever a set keeps them.

    Names are compared as they are, then as systems spell them differently: composed or
    decomposed accents, another case, another code page in a zip.
    """

    def __init__(self, files: Files, root: str = "") -> None:
        """Look at files; a folder is searched when it must be.

        Args:
            files: where they are.
            root: the whole path of their folder on this machine, or nothing.
        """
        self.source = files
        self.root = root

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Every image among the files, sorted; the content decides of unknown ends."""
        return tuple(name for name in self.source.names if self._is_image(name))

    def images_in(self, folder: str) -> list[str]:
        """Return the images in a folder and the folders in it, sorted."""
        if folder in ("", "."):
            return list(self.images)
        return [name for name in self.source.below(folder) if self._is_image(name)]

    def ending(self, *suffixes: str) -> tuple[str, ...]:
        """Return the files of some endings, those in fewer folders first."""
        matches = [
            item for item in self.source.names if item.lower().endswith(suffixes)
        ]
        return tuple(sorted(matches, key=lambda name: (name.count("/"), name)))

    def image(self, named: str, folders: Sequence[str]) -> str:
        """Return the image that a label file names.

        It is looked for in the folders, then as the only one whose path ends like the
        named one: label files often tell the path of another machine.

        Args:
            named: as the label file has it: also with backslashes, or an address.
            folders: where it is expected, the best guess first.

        Returns:
            Its name among the files; empty if there is none, or several.
        """
        path = _plain(named)
        guesses = [posixpath.normpath(posixpath.join(item, path)) for item in folders]
        matches = next(filter(self.source.has, guesses), "")
        matches = matches or next(filter(None, map(self._spelled, guesses)), "")
        return matches or self._alike(path)

    def file(self, name: str) -> str:
        """Return the file of a name, whatever its spelling; empty if there is none."""
        return name if self.source.has(name) else self._spelled(name)

    def text(self, name: str) -> str:
        """Return the content of a text file.

        Raises:
            DatasetError: it cannot be read, or is no text.
        """
        return decoded(self.content(name), name)

    def content(self, name: str) -> bytes:
        """Return the content of a label file.

        Raises:
            DatasetError: it cannot be read; the message names it.
        """
        on_disk = self.source.path(name) is not None
        try:
            return self.source.read(name, MAX_FILE_BYTES if on_disk else MAX_TEXT_BYTES)
        except DatasetError as error:
            raise DatasetError(f"{shortened(name)}: {error}") from None

    def _is_image(self, name: str) -> bool:
        lower = name.lower()
        if lower.endswith(_IMAGES):
            return True
        if lower.endswith(_TEXTS):
            return False
        head = self.source.head(name)
        if (head[:4], head[8:12]) == (b"RIFF", b"WEBP"):
            return True
        return head.startswith(_MAGIC) or head[4:12] in _MAGIC_LATER

    def _spelled(self, name: str) -> str:
        for spelling in _spellings(name):
            for number, index in enumerate(self._by_key):
                matches = index.get(_key(spelling, number), [])
                if len(matches) == 1:
                    return matches[0]
        return ""

    def _alike(self, path: str) -> str:
        """Return the one image whose path ends most like this one."""
        wanted = _key(path, 1).split("/")
        matches = self._by_last_part.get(wanted[-1], [])
        if not matches:
            for spelling in _spellings(posixpath.basename(path)):
                matches = matches or self._by_last_part.get(_key(spelling, 1), [])
        matches = [name for name in matches if not _other_split(name, path)]
        ranks = [_shared_tail(_key(name, 1).split("/"), wanted) for name in matches]
        best = max(ranks, default=0)
        return matches[ranks.index(best)] if ranks.count(best) == 1 else ""

    @cached_property
    def _by_key(self) -> tuple[dict[str, list[str]], ...]:
        """The names by how they are spelled, exactly first, then in any case."""
        indexes: tuple[dict[str, list[str]], ...] = ({}, {})
        for name in self.source.names:
            for number, index in enumerate(indexes):
                for key in {_key(name, number), _key(_undone(name), number)}:
                    index.setdefault(key, []).append(name)
        return indexes

    @cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        matches: dict[str, list[str]] = {}
        for name in self.images:
            last = posixpath.basename(name)
            for key in {_key(last, 1), _key(_undone(last), 1)}:
                matches.setdefault(key, []).append(name)
        return matches


def decoded(content: bytes, name: str) -> str:
    """Return the text of a file that was read already: UTF-8, or UTF-16 with a mark.

    Args:
        content: of the file.
        name: names it in a complaint.

    Raises:
        DatasetError: it is not text in UTF-8.
    """
    try:
        text = content.decode(encoding_of(content))
    except UnicodeDecodeError:
        raise DatasetError(
            f"{shortened(name)}: not a text file in UTF-8; save it as UTF-8"
        ) from None
    # As Python does where it opens files as text.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: Path) -> str:
    """Return the content of a text file on this machine; see `decoded`.

    Raises:
        FileNotFoundError: there is no such file.
        DatasetError: it is not text in UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    return decoded(path.read_bytes(), str(path))


def encoding_of(content: bytes) -> str:
    """Return the encoding that a mark of byte order tells, else UTF-8."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if marked else "utf-8-sig"


def limited(rows: Iterable[Listed], most: int = MAX_FACES) -> Iterator[Listed]:
    """Yield the rows while they hold as many faces as real sets do.

    Raises:
        DatasetError: there are more in an image, or in all of them.
    """
    total = 0
    for row in rows:
        if len(row.words) > MAX_FACES_PER_IMAGE:
            raise too_crowded(row.labels or row.image, len(row.words))
        total += len(row.words)
        if total > most:
            raise DatasetError(f"more than {most:,} faces; please give fewer at a time")
        yield row


def too_crowded(name: str, n: int) -> DatasetError:
    """Return the complaint about an image with too many boxes."""
    return DatasetError(
        f"{shortened(name)}: {n:,} boxes in one image; at most "
        f"{MAX_FACES_PER_IMAGE:,} are read"
    )


def split_of(name: str) -> str:
    """Return the split that a folder of a file among the files names, or empty."""
    folders = PurePosixPath(name).parts[:-1]
    return next((split for item in folders if (split := split_from_name(item))), "")


def copies_group(name: str) -> str:
    """Return the group of an image whose name says of which it is a copy, or empty.

    A labelling service turns and mirrors one image into several; a hash of their looks
    cannot see that they are one, but their names tell.
    """
    # Roboflow names the copies it makes of one image `street_jpg.rf.<hash>.jpg`.
    original, mark, _ = PurePosixPath(name).stem.partition(".rf.")
    return original if mark else ""


def _plain(named: str) -> str:
    """Return a named path with `/` between folders, without drive, host and query."""
    if "://" in named:
        with suppress(ValueError):
            named = unquote(urlsplit(named).path)
    drive, colon, rest = named.partition(":")
    if colon and len(drive) == 1:
        named = rest
    return posixpath.normpath(named.strip().replace("\\", "/"))


def _key(name: str, number: int) -> str:
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", composed.casefold()) if number else composed


def _undone(name: str) -> str:
    """Return a name in UTF-8 that was read in the code page of old zips, undone."""
    if name.isascii():
        return name
    try:
        return name.encode(_OEM).decode("utf-8")
    except UnicodeError:
        return name


def _spellings(name: str) -> Iterator[str]:
    yield name
    if not name.isascii():
        composed = unicodedata.normalize("NFC", name)
        for encoding in _FOREIGN:
            with suppress(UnicodeError):
                yield composed.encode(encoding).decode(_OEM)


def _shared_tail(item: Sequence[str], other: Sequence[str]) -> int:
    shared = 0
    for first, second in zip(reversed(item), reversed(other), strict=False):
        if first != second:
            break
        shared += 1
    return shared


def _other_split(item: str, other: str) -> bool:
    splits = {split_of(item), split_of(other)} - {""}
    return len(splits) > 1
