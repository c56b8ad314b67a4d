"""Find the image files in a folder and its subfolders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from maskdet.media.image_formats import SIGNATURE_BYTES, looks_like_image


@dataclass(frozen=True)
class ImageFolder:
    """The files of a folder and its subfolders, each list sorted.

    Attributes:
        images: files with the content or the suffix of an image.
        skipped: other files, and broken links.
        unreadable_folders: folders that cannot be listed, each with its error.
    """

    images: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    unreadable_folders: dict[Path, OSError] = field(default_factory=dict)


def find_images(folder: str | Path, *, exclude: Path | None = None) -> ImageFolder:
    """Return the image files in a folder and its subfolders.

    A file is an image by its content or its suffix, also if its format cannot be read:
    reading it gives the reason. Hidden files and folders are ignored, because some
    systems put unreadable copies beside images. A linked folder is searched once, so a
    loop of links ends.

    Args:
        folder: the folder to search.
        exclude: a subfolder that is not searched, such as that of the results.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError("there is no such folder")
    result = ImageFolder()
    # Do not follow links to parent folders.
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
    """Yield the files of a folder and of its unvisited subfolders."""
    try:
        names = sorted(name for name in os.listdir(folder) if name[0] != ".")
    except OSError as error:
        unreadable_folders[folder] = error
        return
    subfolders = [folder / name for name in names if os.path.isdir(folder / name)]
    yield from (folder / name for name in names if folder / name not in subfolders)
    unvisited: list[Path] = []
    # Visit real folders before links to them.
    for path in sorted(subfolders, key=os.path.islink):
        target = path.resolve()
        if target not in visited:
            visited.add(target)
            unvisited.append(path)
    for path in sorted(unvisited):
        yield from _iter_files(path, visited, unreadable_folders)


def _may_be_image(path: Path) -> bool:
    """Return whether a file is an image by its suffix or its content."""
    if looks_like_image(path.name, b""):
        return True
    if not os.path.isfile(path):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(SIGNATURE_BYTES)
    except OSError:
        # Not known; reading it gives the reason.
        return True
    return looks_like_image(path.name, head)
