"""What all readers of data sets share: text, pictures that are listed, their sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

import numpy as np

from maskdet.boxes import Boxes, clip, sizes_px
from maskdet.datasets.examples import label_from_name, split_from_name
from maskdet.media import SUFFIXES, ImageReadError
from maskdet.types import Label

PICTURE_SUFFIXES = SUFFIXES
"""File endings that a folder is searched for, in any case."""

_ORIENTATION = 0x0112  # Exif 2.32, tag 274
_LYING = range(5, 9)  # values of it that swap width and height

# Roboflow names the copies it makes of one picture `street_jpg.rf.<hash>.jpg`.
_COPY_MARK = ".rf."


def text_of(path: Path) -> str:
    """Return the content of a text file in UTF-8, with or without a mark of order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not text in UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    return text_in(path.read_bytes(), path)


def text_in(content: bytes, path: PurePath) -> str:
    """Return the text of a file that was read already.

    Args:
        content: of the file.
        path: names it in a complaint.

    Raises:
        ValueError: it is not text in UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8") from None
    # As Python does where it opens files as text.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def label_in(listed_in: Path, name: str) -> Label:
    """Return the class that a file calls `name`.

    Raises:
        ValueError: the name is not one that this project knows; names the file.
    """
    try:
        return label_from_name(name)
    except ValueError as error:
        raise ValueError(f"{listed_in}: {error}") from None


def listed_picture(candidates: Iterable[Path], listed_in: Path) -> Path:
    """Return the first of the places where a listed picture may lie.

    Raises:
        FileNotFoundError: it lies in none of them; the message names the first.
    """
    places = list(candidates)
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"{places[0]}: the picture that {listed_in} lists is missing"
    )


def files_in(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """Return the files of some endings in a folder and the folders in it, sorted.

    Hidden files and folders are left out: systems and editors put unreadable twins and
    old copies there.
    """
    wanted = set(suffixes)
    return (
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in wanted
        and not any(name.startswith(".") for name in path.relative_to(folder).parts)
    )


def pictures_in(folder: Path) -> Iterator[Path]:
    """Return every picture in a folder and the folders in it, sorted."""
    return files_in(folder, PICTURE_SUFFIXES)


def folders_in(folder: Path) -> list[Path]:
    """Return the folders directly in a folder, sorted, without hidden ones."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def split_of(path: Path, below: Path) -> str:
    """Return the split that a folder between `below` and `path` names, or empty."""
    names = path.relative_to(below).parts[:-1]
    return next((split for name in names if (split := split_from_name(name))), "")


def copies_group(path: Path) -> str:
    """Return the group of a picture whose name says of which it is a copy, or empty.

    A labelling service turns and mirrors one picture into several; a hash of their
    looks cannot see that they are one, but their names tell.
    """
    original, mark, _ = path.stem.partition(_COPY_MARK)
    return original if mark else ""


def picture_size_wh(path: Path) -> tuple[int, int]:
    """Return width and height in pixels of the upright picture; reads the header only.

    Raises:
        ImageReadError: it is no JPEG, PNG or WebP picture.
    """
    from PIL import Image as Pillow

    try:
        with Pillow.open(path, formats=["JPEG", "PNG", "WEBP"]) as picture:
            width, height = picture.size
            lying = picture.getexif().get(_ORIENTATION) in _LYING
    # Damaged headers make decoders raise nearly anything; all mean the same here.
    except Exception:
        raise ImageReadError(f"{path}: not a JPEG, PNG or WebP picture") from None
    return (height, width) if lying else (width, height)


def boxes_inside(boxes: Boxes, size_wh: tuple[int, int], name: str) -> Boxes:
    """Return the boxes cut at the picture's borders.

    Args:
        boxes: `(n, 4)` boxes `x1, y1, x2, y2` in pixels.
        size_wh: width and height of the picture, in pixels.
        name: what to call the picture and its list in a complaint.

    Raises:
        ValueError: a box is empty, lies outside, or is no number.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    inside = clip(boxes, *size_wh)
    # Written so that a box which is not a number fails too.
    if not (sizes_px(inside) > 0).all():
        raise ValueError(f"{name}: a box is empty or outside the picture")
    return inside
