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

from maskdet.datasets.archives import DatasetError, FileSource
from maskdet.datasets.example import split_from_name
from maskdet.datasets.issues import truncate_name

MAX_TEXT_BYTES: Final = 32_000_000
"""A label file in a zip; one of 100,000 faces has a third of that."""

MAX_FILE_BYTES: Final = 1_000_000_000
"""A label file on this machine."""

MAX_ELEMENTS: Final = 1_000_000
"""Lists and objects in a JSON file in a zip, or elements of an XML file: each costs
memory long before it is a face."""

MAX_FACES: Final = 1_000_000
"""Faces of a set."""

MAX_FACES_PER_IMAGE: Final = 2_000
"""Faces of an image; the most crowded of the public sets has a third of that."""

IGNORED_NAME: Final = ""
"""The word of a face that is marked as of unknown class."""

PARSE_ERRORS: Final = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What rows of a stranger's file raise when they are not what they should be."""

_IMAGE_SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".heic", ".heif", ".avif", ".pgm", ".ppm", ".pbm", ".pnm"),
)
_OTHER_SUFFIXES: Final = (
    *(".txt", ".json", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".md", ".html"),
    *(".data", ".names", ".cfg", ".ini", ".log", ".py", ".ipynb", ".pdf", ".cache"),
    *(".npz", ".npy", ".db", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".zip"),
    *(".pt", ".onnx", ".tflite", ".h5", ".weights"),
)
_IMAGE_SIGNATURES: Final = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"II*\0",
    b"MM\0*",
)
_IMAGE_SIGNATURES_AT_4: Final = (b"ftypavif", b"ftypavis", b"ftypheic", b"ftypmif1")

# How zips name files that were packed on other systems, when the flag of UTF-8 is
# missing: Python reads their bytes as cp437 (APPNOTE 6.3.10, appendix D).
_ZIP_ENCODING: Final = "cp437"
_FALLBACK_ENCODINGS: Final = (
    "cp850",
    "cp1252",
    "gb18030",
    "cp932",
    "cp949",
    "big5",
    "cp1251",
)

Coordinates = NDArray[np.float64]


def empty_coordinates() -> Coordinates:
    """Return the boxes of an image that has none."""
    return np.zeros((0, 4))


def stack_boxes(boxes: Sequence[Coordinates]) -> Coordinates:
    """Return `(n, 4)` of n boxes, also of none."""
    return np.array(boxes, np.float64).reshape(-1, 4)


@dataclass(frozen=True, eq=False)
class ImageAnnotations:
    """One image and its faces in a label file's own words.

    Attributes:
        image: its name among the files.
        class_names: one a face: what the set calls its class, or `IGNORED_NAME`;
            exactly one where the whole image is the face.
        boxes: `(n, 4)` `x1, y1, x2, y2`, in pixels or in fractions of the image's
            sides; not cut at its borders.
        is_normalized: whether they are fractions.
        size_wh: of the image in pixels, as told; 0, 0 where nothing is.
        label_file: the file that says so.
        split: `train`, `val`, `test` or empty.
        source: of the image, or None for that of the set.
        group: of images that belong together; empty where nothing is known.
    """

    image: str
    class_names: tuple[str, ...] = ()
    boxes: Coordinates = field(default_factory=empty_coordinates)
    is_normalized: bool = False
    size_wh: tuple[int, int] = (0, 0)
    label_file: str = ""
    split: str = ""
    source: str | None = None
    group: str = ""


@dataclass(frozen=True, eq=False)
class DatasetAnnotations:
    """All that the labels of a set say.

    Attributes:
        format: what they are, such as `COCO`.
        images: one an image.
        has_boxes: whether there are boxes; without, each image is one face.
    """

    format: str
    images: tuple[ImageAnnotations, ...]
    has_boxes: bool = True

    @property
    def class_name_counts(self) -> dict[str, int]:
        """How many faces carry each name of a class."""
        names = (name for row in self.images for name in row.class_names)
        return dict(Counter(name for name in names if name != IGNORED_NAME))


class DatasetFiles:
    """Finds images and texts among files, wherever a set keeps them.

    Names are compared as they are, then as systems spell them differently: composed or
    decomposed accents, another case, another code page in a zip.
    """

    def __init__(self, files: FileSource, root: str = "") -> None:
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
        return [
            name for name in self.source.list_folder(folder) if self._is_image(name)
        ]

    def files_with_suffix(self, *suffixes: str) -> tuple[str, ...]:
        """Return the files of some endings, those in fewer folders first."""
        matches = [
            item for item in self.source.names if item.lower().endswith(suffixes)
        ]
        return tuple(sorted(matches, key=lambda name: (name.count("/"), name)))

    def find_image(self, listed_path: str, folders: Sequence[str]) -> str:
        """Return the image that a label file names.

        It is looked for in the folders, then as the only one whose path ends like the
        named one: label files often tell the path of another machine.

        Args:
            listed_path: as the label file has it: also with backslashes, or an address.
            folders: where it is expected, the best guess first.

        Returns:
            Its name among the files; empty if there is none, or several.
        """
        path = _normalize_path(listed_path)
        guesses = [posixpath.normpath(posixpath.join(item, path)) for item in folders]
        matches = next(filter(self.source.exists, guesses), "")
        matches = matches or next(filter(None, map(self._find_spelling, guesses)), "")
        return matches or self._find_by_path_tail(path)

    def find_file(self, name: str) -> str:
        """Return the file of a name, whatever its spelling; empty if there is none."""
        return name if self.source.exists(name) else self._find_spelling(name)

    def read_text(self, name: str) -> str:
        """Return the content of a text file.

        Raises:
            DatasetError: it cannot be read, or is no text.
        """
        return decode_text(self.read_bytes(name), name)

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a label file.

        Raises:
            DatasetError: it cannot be read; the message names it.
        """
        on_disk = self.source.local_path(name) is not None
        try:
            return self.source.read(name, MAX_FILE_BYTES if on_disk else MAX_TEXT_BYTES)
        except DatasetError as error:
            raise DatasetError(f"{truncate_name(name)}: {error}") from None

    def _is_image(self, name: str) -> bool:
        lower = name.lower()
        if lower.endswith(_IMAGE_SUFFIXES):
            return True
        if lower.endswith(_OTHER_SUFFIXES):
            return False
        head = self.source.read_head(name)
        if (head[:4], head[8:12]) == (b"RIFF", b"WEBP"):
            return True
        return (
            head.startswith(_IMAGE_SIGNATURES) or head[4:12] in _IMAGE_SIGNATURES_AT_4
        )

    def _find_spelling(self, name: str) -> str:
        for spelling in _spellings(name):
            for key_kind, index in enumerate(self._by_key):
                matches = index.get(_spelling_key(spelling, key_kind), [])
                if len(matches) == 1:
                    return matches[0]
        return ""

    def _find_by_path_tail(self, path: str) -> str:
        """Return the one image whose path ends most like this one."""
        path_parts = _spelling_key(path, 1).split("/")
        matches = self._by_file_name.get(path_parts[-1], [])
        if not matches:
            for spelling in _spellings(posixpath.basename(path)):
                matches = matches or self._by_file_name.get(
                    _spelling_key(spelling, 1), []
                )
        matches = [name for name in matches if not _has_other_split(name, path)]
        ranks = [
            _count_shared_tail(_spelling_key(name, 1).split("/"), path_parts)
            for name in matches
        ]
        best = max(ranks, default=0)
        return matches[ranks.index(best)] if ranks.count(best) == 1 else ""

    @cached_property
    def _by_key(self) -> tuple[dict[str, list[str]], ...]:
        """The names by how they are spelled, exactly first, then in any case."""
        indexes: tuple[dict[str, list[str]], ...] = ({}, {})
        for name in self.source.names:
            for key_kind, index in enumerate(indexes):
                for key in {
                    _spelling_key(name, key_kind),
                    _spelling_key(_undo_zip_encoding(name), key_kind),
                }:
                    index.setdefault(key, []).append(name)
        return indexes

    @cached_property
    def _by_file_name(self) -> dict[str, list[str]]:
        matches: dict[str, list[str]] = {}
        for name in self.images:
            last = posixpath.basename(name)
            for key in {
                _spelling_key(last, 1),
                _spelling_key(_undo_zip_encoding(last), 1),
            }:
                matches.setdefault(key, []).append(name)
        return matches


def decode_text(content: bytes, name: str) -> str:
    """Return the text of a file that was read already: UTF-8, or UTF-16 with a mark.

    Args:
        content: of the file.
        name: names it in a complaint.

    Raises:
        DatasetError: it is not text in UTF-8.
    """
    try:
        text = content.decode(detect_encoding(content))
    except UnicodeDecodeError:
        raise DatasetError(
            f"{truncate_name(name)}: not a text file in UTF-8; save it as UTF-8"
        ) from None
    # As Python does where it opens files as text.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: Path) -> str:
    """Return the content of a text file on this machine; see `decode_text`.

    Raises:
        FileNotFoundError: there is no such file.
        DatasetError: it is not text in UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    return decode_text(path.read_bytes(), str(path))


def detect_encoding(content: bytes) -> str:
    """Return the encoding that a mark of byte order tells, else UTF-8."""
    has_bom = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if has_bom else "utf-8-sig"


def limit_faces(
    rows: Iterable[ImageAnnotations], max_faces: int = MAX_FACES
) -> Iterator[ImageAnnotations]:
    """Yield the rows while they hold as many faces as real sets do.

    Raises:
        DatasetError: there are more in an image, or in all of them.
    """
    total = 0
    for row in rows:
        if len(row.class_names) > MAX_FACES_PER_IMAGE:
            raise too_many_boxes(row.label_file or row.image, len(row.class_names))
        total += len(row.class_names)
        if total > max_faces:
            raise DatasetError(
                f"more than {max_faces:,} faces; please give fewer at a time"
            )
        yield row


def too_many_boxes(name: str, n: int) -> DatasetError:
    """Return the complaint about an image with too many boxes."""
    return DatasetError(
        f"{truncate_name(name)}: {n:,} boxes in one image; at most "
        f"{MAX_FACES_PER_IMAGE:,} are read"
    )


def split_from_path(name: str) -> str:
    """Return the split that a folder of a file among the files names, or empty."""
    folders = PurePosixPath(name).parts[:-1]
    return next((split for item in folders if (split := split_from_name(item))), "")


def augmentation_group(name: str) -> str:
    """Return the group of an image whose name says of which it is a copy, or empty.

    A labelling service turns and mirrors one image into several; a hash of their looks
    cannot see that they are one, but their names tell.
    """
    # Roboflow names the copies it makes of one image `street_jpg.rf.<hash>.jpg`.
    original, mark, _ = PurePosixPath(name).stem.partition(".rf.")
    return original if mark else ""


def _normalize_path(listed_path: str) -> str:
    """Return a named path with `/` between folders, without drive, host and query."""
    if "://" in listed_path:
        with suppress(ValueError):
            listed_path = unquote(urlsplit(listed_path).path)
    drive, colon, rest = listed_path.partition(":")
    if colon and len(drive) == 1:
        listed_path = rest
    return posixpath.normpath(listed_path.strip().replace("\\", "/"))


def _spelling_key(name: str, ignore_case: int) -> str:
    composed = unicodedata.normalize("NFC", name)
    return (
        unicodedata.normalize("NFC", composed.casefold()) if ignore_case else composed
    )


def _undo_zip_encoding(name: str) -> str:
    """Return a name in UTF-8 that was read in the code page of old zips, undone."""
    if name.isascii():
        return name
    try:
        return name.encode(_ZIP_ENCODING).decode("utf-8")
    except UnicodeError:
        return name


def _spellings(name: str) -> Iterator[str]:
    yield name
    if not name.isascii():
        composed = unicodedata.normalize("NFC", name)
        for encoding in _FALLBACK_ENCODINGS:
            with suppress(UnicodeError):
                yield composed.encode(encoding).decode(_ZIP_ENCODING)


def _count_shared_tail(item: Sequence[str], other: Sequence[str]) -> int:
    shared = 0
    for first, second in zip(reversed(item), reversed(other), strict=False):
        if first != second:
            break
        shared += 1
    return shared


def _has_other_split(first: str, second: str) -> bool:
    splits = {split_from_path(first), split_from_path(second)} - {""}
    return len(splits) > 1
