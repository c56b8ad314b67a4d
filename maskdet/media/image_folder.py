"""The images in a folder and in the folders in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from maskdet.media.image_formats import HEAD_BYTES, READABLE, SUFFIXES, UNREADABLE


@dataclass(frozen=True)
class ImageFolder:
    """The files of a folder and the folders in it, each list sorted.

    Attributes:
        images: files that hold an image, and files that should by their ending.
        left_out: other files, and links that lead to none.
        unread: folders that cannot be listed, each with what is wrong.
    """

    images: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    unread: dict[Path, OSError] = field(default_factory=dict)


def find_images(folder: str | Path, *, without: Path | None = None) -> ImageFolder:
    """Return the image files in a folder and in the folders in it.

    The content of a file decides. An image of a kind that cannot be read counts as an
    image, so that reading it says why. Hidden files and folders do not count at all:
    some systems put unreadable twins beside images. A folder behind a link is searched
    once, so a loop ends.

    Args:
        folder: where to search.
        without: a folder in it that is not searched, such as that of the results.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError("there is no such folder")
    result = ImageFolder()
    # Links that lead up would bring everything beside the folder.
    seen = {root.resolve(), *root.resolve().parents}
    if without is not None:
        seen.add(without.resolve())
    for path in _files_below(root, seen, result.unread):
        chosen = result.images if _may_be_image(path) else result.left_out
        chosen.append(path)
    return result


def _files_below(
    folder: Path, seen: set[Path], unread: dict[Path, OSError]
) -> Iterator[Path]:
    """Yield the files of a folder and of those below it that were not seen yet."""
    try:
        names = sorted(name for name in os.listdir(folder) if name[0] != ".")
    except OSError as error:
        unread[folder] = error
        return
    below = [folder / name for name in names if os.path.isdir(folder / name)]
    yield from (folder / name for name in names if folder / name not in below)
    fresh: list[Path] = []
    # Real folders first: a link beside a folder does not take its place.
    for path in sorted(below, key=os.path.islink):
        target = path.resolve()
        if target not in seen:
            seen.add(target)
            fresh.append(path)
    for path in sorted(fresh):
        yield from _files_below(path, seen, unread)


def _may_be_image(path: Path) -> bool:
    """Return whether a file holds an image, or should by its ending."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if not os.path.isfile(path):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        # Nobody knows what it is; reading it says why.
        return True
    kinds = (*READABLE.values(), *UNREADABLE.values())
    return any(begins.match(head) for begins in kinds)
