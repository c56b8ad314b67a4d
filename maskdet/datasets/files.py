"""Annotations of a data set in its own class names, and file lookup with limits."""

from __future__ import annotations

import codecs
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from maskdet.datasets.issues import Issues, truncate_name
from maskdet.media.image_formats import looks_like_image

_MAX_TEXT_BYTES: Final = 32_000_000
"""Limit of a label file in a zip; 100,000 faces take a third of it."""

_MAX_FILE_BYTES: Final = 1_000_000_000
"""Limit of a label file on this machine."""

MAX_ELEMENTS: Final = 1_000_000
"""Limit of lists and objects in a JSON file in a zip, or of elements in an XML file:
each takes memory while it is parsed."""

MAX_FACES: Final = 1_000_000
"""Limit of faces in a data set."""

MAX_FACES_PER_IMAGE: Final = 2_000
"""Limit of faces in an image; the most crowded public data set has a third of it."""

IGNORED_NAME: Final = ""
"""Class name of a face that is marked as of unknown class."""

PARSE_ERRORS: Final = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""Errors that invalid rows of an untrusted file can raise."""

_OTHER_SUFFIXES: Final = (
    *(".txt", ".json", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".md", ".html"),
    *(".data", ".names", ".cfg", ".ini", ".log", ".py", ".ipynb", ".pdf", ".cache"),
    *(".npz", ".npy", ".db", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".zip"),
    *(".pt", ".onnx", ".tflite", ".h5", ".weights"),
)

# Python decodes names in zips without the UTF-8 flag as cp437 (APPNOTE 6.3.10,
# appendix D), whatever the system that packed them used.
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


def stack_boxes(boxes: Sequence[Coordinates] = ()) -> Coordinates:
    """Stack n boxes to `(n, 4)`; n may be 0."""
    return np.array(boxes, np.float64).reshape(-1, 4)


@dataclass(frozen=True, eq=False)
class ImageAnnotations:
    """An image and its faces as a label file describes them.

    Attributes:
        image: its name among the files.
        class_names: one per face: the class name in the data set, or `IGNORED_NAME`;
            exactly one if the whole image is the face.
        boxes: `(n, 4)` `x1, y1, x2, y2`, in pixels or in fractions of the image's
            sides; not clipped.
        is_normalized: whether the boxes are fractions.
        size_wh: listed size of the image in pixels; 0, 0 if none is listed.
        label_file: file with these annotations.
        split: `train`, `val`, `test` or empty.
        source: of the image, or None for the source of the data set.
        group: key of images that belong together; empty if unknown.
    """

    image: str
    class_names: tuple[str, ...] = ()
    boxes: Coordinates = field(default_factory=stack_boxes)
    is_normalized: bool = False
    size_wh: tuple[int, int] = (0, 0)
    label_file: str = ""
    split: str = ""
    source: str | None = None
    group: str = ""


@dataclass(frozen=True, eq=False)
class DatasetAnnotations:
    """All annotations of a data set.

    Attributes:
        format: such as `COCO`.
        images: one entry per image.
        has_boxes: whether there are boxes; if not, each image is one face.
    """

    format: str
    images: tuple[ImageAnnotations, ...]
    has_boxes: bool = True

    @property
    def class_name_counts(self) -> dict[str, int]:
        """Number of faces by class name."""
        names = (name for row in self.images for name in row.class_names)
        return dict(Counter(name for name in names if name != IGNORED_NAME))


class DatasetFiles:
    """Finds images and label files among the files of a data set.

    Names are compared exactly, then with the differences between systems: composed or
    decomposed accents, other case, another code page in a zip.
    """

    def __init__(self, files: FileSource, root: str = "") -> None:
        """Set the files; a folder is searched on first use.

        Args:
            files: the files.
            root: absolute path of their folder on this machine, or empty.
        """
        self.source = files
        self.root = root

    @cached_property
    def images(self) -> tuple[str, ...]:
        """All images, sorted; files with unknown suffixes are checked by content."""
        return tuple(name for name in self.source.names if self._is_image(name))

    def images_in(self, folder: str) -> list[str]:
        """Return the images in a folder and its subfolders, sorted."""
        if folder in ("", "."):
            return list(self.images)
        return [
            name for name in self.source.list_folder(folder) if self._is_image(name)
        ]

    def files_with_suffix(self, *suffixes: str) -> tuple[str, ...]:
        """Return the files with one of the suffixes, those in fewer folders first."""
        matches = [
            item for item in self.source.names if item.lower().endswith(suffixes)
        ]
        return tuple(sorted(matches, key=lambda name: (name.count("/"), name)))

    def find_image(self, listed_path: str, folders: Sequence[str]) -> str:
        """Return the image that a label file lists.

        It is searched in the folders, then by the end of its path, because label files
        often contain paths of another machine.

        Args:
            listed_path: path in the label file; may have backslashes or be a URL.
            folders: folders to search, the most likely first.

        Returns:
            The name among the files; empty if there is no match or several.
        """
        path = _normalize_path(listed_path)
        guesses = [posixpath.normpath(posixpath.join(item, path)) for item in folders]
        matches = next(filter(self.source.exists, guesses), "")
        matches = matches or next(filter(None, map(self._find_spelling, guesses)), "")
        return matches or self._find_by_path_tail(path)

    def find_listed_image(
        self, listed_path: str, folders: Sequence[str], label_file: str, issues: Issues
    ) -> str:
        """Return the image that a label file lists; add an issue if there is none."""
        image = self.find_image(listed_path, folders) if listed_path else ""
        if not image:
            reason = (
                f"listed in {truncate_name(label_file)}, but the image does not exist"
            )
            issues.add(listed_path or label_file, reason, missing=True)
        return image

    def find_file(self, name: str) -> str:
        """Return the file of a name in any spelling; empty if there is none."""
        return name if self.source.exists(name) else self._find_spelling(name)

    def read_text(self, name: str) -> str:
        """Return the content of a text file.

        Raises:
            DatasetError: it cannot be read or is not text.
        """
        return _decode_text(self.read_bytes(name), name)

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a label file.

        Raises:
            DatasetError: it cannot be read; the message names it.
        """
        on_disk = self.source.local_path(name) is not None
        try:
            return self.source.read(
                name, _MAX_FILE_BYTES if on_disk else _MAX_TEXT_BYTES
            )
        except DatasetError as error:
            raise DatasetError(f"{truncate_name(name)}: {error}") from None

    def _is_image(self, name: str) -> bool:
        if looks_like_image(name, b""):
            return True
        if name.lower().endswith(_OTHER_SUFFIXES):
            return False
        return looks_like_image(name, self.source.read_head(name))

    def _find_spelling(self, name: str) -> str:
        for spelling in _spellings(name):
            for key_kind, index in enumerate(self._by_key):
                matches = index.get(_spelling_key(spelling, key_kind), [])
                if len(matches) == 1:
                    return matches[0]
        return ""

    def _find_by_path_tail(self, path: str) -> str:
        """Return the only image with the longest common path suffix; may be empty."""
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
        """The names by spelling: exact, then case-insensitive."""
        return tuple(_index_by_spelling(self.source.names, kind) for kind in (0, 1))

    @cached_property
    def _by_file_name(self) -> dict[str, list[str]]:
        return _index_by_spelling(self.images, 1, posixpath.basename)


def _index_by_spelling(
    names: Iterable[str], ignore_case: int, part: Callable[[str], str] = str
) -> dict[str, list[str]]:
    """Return the names by the spellings of a part of each."""
    index: dict[str, list[str]] = {}
    for name in names:
        spellings = (part(name), _undo_zip_encoding(part(name)))
        for key in {_spelling_key(spelling, ignore_case) for spelling in spellings}:
            index.setdefault(key, []).append(name)
    return index


def _decode_text(content: bytes, name: str) -> str:
    """Decode the content of a text file: UTF-8, or UTF-16 with a byte order mark.

    Args:
        content: of the file.
        name: its name in error messages.

    Raises:
        DatasetError: it is not text in UTF-8.
    """
    try:
        text = content.decode(detect_encoding(content))
    except UnicodeDecodeError:
        raise DatasetError(
            f"{truncate_name(name)}: not a text file in UTF-8; save it as UTF-8"
        ) from None
    # As Python does for files opened in text mode.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: Path) -> str:
    """Return the content of a text file on this machine; see `_decode_text`.

    Raises:
        FileNotFoundError: the file does not exist.
        DatasetError: it is not text in UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    return _decode_text(path.read_bytes(), str(path))


def detect_encoding(content: bytes) -> str:
    """Return UTF-16 if there is a byte order mark of it, else UTF-8."""
    has_bom = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if has_bom else "utf-8-sig"


def limit_faces(
    rows: Iterable[ImageAnnotations], max_faces: int = MAX_FACES
) -> Iterator[ImageAnnotations]:
    """Yield the rows up to the limits of faces.

    Raises:
        DatasetError: there are too many faces in an image or in total.
    """
    total = 0
    for row in rows:
        if len(row.class_names) > MAX_FACES_PER_IMAGE:
            raise too_many_boxes(row.label_file or row.image, len(row.class_names))
        total += len(row.class_names)
        if total > max_faces:
            raise DatasetError(f"more than {max_faces:,} faces; split the data set")
        yield row


def too_many_boxes(name: str, n: int) -> DatasetError:
    """Return the error for an image with too many boxes."""
    return DatasetError(
        f"{truncate_name(name)}: {n:,} boxes in one image; the maximum is "
        f"{MAX_FACES_PER_IMAGE:,}"
    )


def split_from_path(name: str) -> str:
    """Return the split of a file from the names of its folders; may be empty."""
    folders = PurePosixPath(name).parts[:-1]
    return next((split for item in folders if (split := split_from_name(item))), "")


def augmentation_group(name: str) -> str:
    """Return the group of an augmented image from its name; empty if it has none.

    Labelling services rotate and mirror images; difference hashes do not match these
    copies, but their names do.
    """
    # Roboflow names the copies of an image `street_jpg.rf.<hash>.jpg`.
    original, mark, _ = PurePosixPath(name).stem.partition(".rf.")
    return original if mark else ""


def _normalize_path(listed_path: str) -> str:
    """Return a listed path with `/` between folders, without drive, host and query."""
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
    """Return a UTF-8 name that zipfile decoded with the code page of old zips."""
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
