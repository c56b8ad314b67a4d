"""The images in a folder and in the folders in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from maskdet.media.image_formats import (
    IMAGE_SUFFIXES,
    READABLE_FORMATS,
    SIGNATURE_BYTES,
    UNREADABLE_FORMATS,
)


@dataclass(frozen=True)
class ImageFolder:
    """The files of a folder and the folders in it, each list sorted.

    Attributes:
        images: files that hold an image, and files that should by their ending.
        skipped: other files, and links that lead to none.
        unreadable_folders: folders that cannot be listed, each with what is wrong.
    """

    images: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    unreadable_folders: dict[Path, OSError] = field(default_factory=dict)


def find_images(folder: str | Path, *, exclude: Path | None = None) -> ImageFolder:
    """Return the image files in a folder and in the folders in it.

    The content of a file decides. An image of a kind that cannot be read counts as an
    image, so that reading it says why. Hidden files and folders do not count at all:
    some systems put unreadable twins beside images. A folder behind a link is searched
    once, so a loop ends.

    Args:
        folder: where to search.
        exclude: a folder in it that is not searched, such as that of the results.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError("there is no such folder")
    result = ImageFolder()
    # Links that lead up would bring everything beside the folder.
    visited = {root.resolve(), *root.resolve().parents}
    if exclude is not None:
        visited.add(exclude.resolve())
    for path in _iter_files(root, visited, result.unreadable_folders):
        target_list = result.images if _may_be_image(path) else result.skipped
        target_list.append(path)
    return result


def _iter_files(
    folder: Path, visited: set[Path], unreadable_folders: dict[Path, OSError]
) -> Iterator[Path]:
    """Yield the files of a folder and of those below it that were not seen yet."""
    try:
        names = sorted(name for name in os.listdir(folder) if name[0] != ".")
    except OSError as error:
        unreadable_folders[folder] = error
        return
    subfolders = [folder / name for name in names if os.path.isdir(folder / name)]
    yield from (folder / name for name in names if folder / name not in subfolders)
    unvisited: list[Path] = []
    # Real folders first: a link beside a folder does not take its place.
    for path in sorted(subfolders, key=os.path.islink):
        target = path.resolve()
        if target not in visited:
            visited.add(target)
            unvisited.append(path)
    for path in sorted(unvisited):
        yield from _iter_files(path, visited, unreadable_folders)


def _may_be_image(path: Path) -> bool:
    """Return whether a file holds an image, or should by its ending."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    if not os.path.isfile(path):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(SIGNATURE_BYTES)
    except OSError:
        # Nobody knows what it is; reading it says why.
        return True
    signatures = (*READABLE_FORMATS.values(), *UNREADABLE_FORMATS.values())
    return any(signature.match(head) for signature in signatures)
